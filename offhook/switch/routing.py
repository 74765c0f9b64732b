"""From an INVITE to what becomes of it: the call's facts for the dial plan, limits, and where it may be sent.

Asks the plan, decides nothing itself. Driven by reception.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from offhook.settings import Settings
from offhook.switch.traffic import Traffic
from offhook.switch.worker import Worker
from telephony.call.call import Call
from telephony.dialplan.condition import CallFacts, Load
from telephony.dialplan.match import Decision
from telephony.dialplan.model import Desk, Route, TargetSpec
from telephony.dialplan.routing import HEADERS
from telephony.dialplan.store import PlanStore
from telephony.errors import SipSyntaxError
from telephony.sip.message import Request
from telephony.sip.parties import called, caller
from telephony.sip.uri import readable

_PASSED = frozenset(name.lower() for name in HEADERS)


class Routing:
    """Asks the dial plan. traffic: what it may know of other calls; wall: the clock on the wall."""

    def __init__(self, settings: Settings, store: PlanStore, wall: Callable[[], datetime]) -> None:
        self._settings, self._store, self._wall = settings, store, wall
        self.traffic = Traffic()

    def decide(self, call: Call, live: int, workers: Sequence[Worker], now: float) -> Decision:
        """What becomes of a call. live: calls on this machine; now: loop time."""
        parties = call.parties
        load = self.traffic.load(live, self._settings.max_calls, workers, now)
        facts = CallFacts(
            parties.called,
            parties.caller.shown,
            call.sender.trunk,
            headers(call.request),
            self._wall(),
            load,
            call.sip_call_id,
        )
        return self._store.decide(facts)

    def overflow(self, request: Request, trunk: str) -> bool:
        """Does the plan name somebody who takes calls of this number when we are full?"""
        try:
            number, who = called(request), caller(request, trusted=bool(trunk)).shown
        except SipSyntaxError:
            return False
        facts = CallFacts(number, who, trunk, headers(request), self._wall(), Load(share=1.0))
        return bool(self._store.decide(facts).overload)

    def answered_here(self, number: str) -> bool:
        """The plan names exactly this number."""
        rule = self._store.decide(CallFacts(number)).rule
        return rule is not None and rule.action.number == number


def record(call: Call, decision: Decision, route: Route) -> dict[str, Any]:
    """What is known of a call before anybody has said a word, for its bundle. arm: of a split."""
    arm = {"arm": route.arm} if route.arm else {}
    return {
        "direction": call.direction,
        **call.parties.facts(),
        "trunk": call.sender.trunk,
        "sip_call_id": call.sip_call_id,
        "source": list(call.source),
        "agent": route.agent,
        "recording": route.recording,
        "rule": {"number": route.number, "line": decision.line, **arm},
        "plan": {"name": route.plan, "version": route.plan_version},
    }


def headers(request: Request) -> dict[str, str]:
    """Those that a plan may ask about, by their lower-case names; of equal ones the first."""
    found: dict[str, str] = {}
    for name, value in request.headers:
        if (low := name.lower()).startswith("x-") or low in _PASSED:
            found.setdefault(low, readable(value))
    return found


def written(route: Route) -> set[str]:
    """Where the plan's author lets a call go."""
    agents = route.agents.values()
    places = {place.target for persona in agents for place in persona.transfer_to.values()}
    specs = [persona.does for persona in agents if isinstance(persona, Desk)]
    places |= {spec.ring.target for spec in specs if isinstance(spec, TargetSpec) and spec.ring}
    fallback = route.fallback
    named = {fallback.agent_crash, fallback.closed, fallback.overload, fallback.provider_outage}
    return (places | {route.on_failure} | named) - {""} - set(route.agents)


def crash_address(route: Route) -> str:
    """Whom the plan names for calls whose agent breaks, as an address that needs no worker; "" if it is an agent, or
    nobody."""
    name = route.fallback.agent_crash
    desk = route.agents.get(name)
    if desk is None:
        return name
    ring = desk.does.ring if isinstance(desk, Desk) and isinstance(desk.does, TargetSpec) else None
    return ring.target if ring else ""


def last_resort(route: Route) -> str:
    """Where a call is sent that no worker may have any more: `agent_crash`, or else `provider_outage`."""
    return crash_address(route) or route.on_failure


def transfer_headers(route: Route, target: str) -> tuple[tuple[str, str], ...]:
    """The lines that the agent whose target it is wants on the REFER."""
    for persona in route.agents.values():
        if target in {place.target for place in persona.transfer_to.values()}:
            return tuple(persona.transfer_headers.items())
    return ()
