"""Where targets lead, rings without an end, and addresses that the plan may not send callers to. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from telephony.dialplan.document import Loc, nearest
from telephony.dialplan.finding import Finding
from telephony.dialplan.index import Index
from telephony.dialplan.match import Rule
from telephony.dialplan.model import DialPlan, OnFailure, TargetSpec
from telephony.dialplan.number import normalise, parse_pattern
from telephony.dialplan.pruned import Unread
from telephony.dialplan.routing import is_address

KINDS = ("ring", "voicemail", "play", "menu", "queue", "reject", "redirect", "split")
ANSWERED = "Name an agent, or a target that rings, plays or records."
_DIALLED = re.compile(r"\+?[0-9*#]{3,}")


def check_ways(plan: DialPlan, names: Collection[str], unread: Unread) -> Iterator[Finding]:
    """Everything about targets. names: of all agents and targets, those too that could not be read."""
    known = {name: target for name, target in plan.targets.items() if not unread.lacks("targets", name)}
    for name, target in plan.targets.items():
        loc: Loc = ("targets", name)
        does = [kind for kind in KINDS if kind in target.model_fields_set]
        if len(does) != 1:
            fact = (
                f"has both {' and '.join(does)}" if does else f"does nothing. Write one of {', '.join(KINDS)}"
            )
            yield Finding(loc, f"target {name!r} {fact}.{' Keep one.' if does else ''}", key=True)
        if name in plan.agents:
            yield Finding(loc, f"{name!r} is an agent already. Give the target another name.", key=True)
        yield from check_split((*loc, "split"), target.split, names)
        yield from _leads(known, loc, target, names)
    yield from _rings(known)
    if plan.defaults.on_failure is not None:
        yield from check_failing(plan, ("defaults", "on_failure"), plan.defaults.on_failure, names, unread)
        yield from _for_itself(plan, plan.defaults.on_failure.agent_crash)
    if plan.allowed and plan.numbers and "allowed" not in unread.touched:
        yield from _fenced(plan)


def _leads(
    targets: Mapping[str, TargetSpec], loc: Loc, target: TargetSpec, names: Collection[str]
) -> Iterator[Finding]:
    """Names in `then`, `agent` and `keys`: of somebody who can take a caller that has been answered."""
    places: list[tuple[Loc, str]] = []
    for kind in ("ring", "play", "menu", "queue"):
        part = getattr(target, kind)
        if part is not None and part.then:
            places.append(((*loc, kind, "then"), part.then))
    if target.menu:
        places += [((*loc, "menu", "keys", key), name) for key, name in target.menu.keys.items()]
    if target.queue:
        places.append(((*loc, "queue", "agent"), target.queue.agent))
    for place, name in places:
        other = targets.get(name)
        if name not in names:
            yield Finding(place, f"nobody is called {name!r}.{nearest(name, names)}")
        elif other is not None and other.unanswered:
            fact = f"{name!r} answers no call, and this one is answered already."
            yield Finding(place, f"{fact} {ANSWERED}")


def _rings(targets: Mapping[str, TargetSpec]) -> Iterator[Finding]:
    """Targets that go on by themselves, round and round, with nobody who ends it."""
    goes_on = {
        name: [*target.split, *([then] if (then := getattr(target.does, "then", "")) else ())]
        for name, target in targets.items()
    }
    told: set[str] = set()
    for start in goes_on:
        way, seen = [start], {start}
        while way:
            name = way.pop()
            for after in goes_on.get(name, ()):
                if after == start and start not in told:
                    told.update(seen)
                    fact = f"target {start!r} leads back to itself, and nobody ends the call."
                    yield Finding(
                        ("targets", start), f"{fact} Let one lead to voicemail or an agent.", key=True
                    )
                elif after not in seen and after in goes_on:
                    seen.add(after)
                    way.append(after)


def _fenced(plan: DialPlan) -> Iterator[Finding]:
    """Toll fraud begins with a target that nobody meant: `allowed` says which numbers a plan may send callers to."""
    fence: Index[Rule] = Index()
    for at, text in enumerate(plan.allowed):
        fence.add(Rule(parse_pattern(text), plan.numbers[0], at, 0))
    for loc, address in _addresses(plan):
        number = _number(address)
        if number and fence.find(number) is None:
            fact = (
                f"{address!r} is outside the prefixes that `allowed` names ({', '.join(plan.allowed[:5])})."
            )
            yield Finding(loc, f"{fact} Mend the number, or add its prefix.")


def _addresses(plan: DialPlan) -> Iterator[tuple[Loc, str]]:
    for name, persona in plan.agents.items():
        for place, where in persona.transfer_to.items():
            yield ("agents", name, "transfer_to", place, "target"), where.target
    for name, target in plan.targets.items():
        if target.ring:
            yield ("targets", name, "ring", "target"), target.ring.target
        yield from _each(("targets", name, "redirect"), target.redirect)
    yield from _failing(("defaults", "on_failure"), plan.defaults.on_failure)
    for position, rule in enumerate(plan.numbers):
        if rule.redirect or rule.on_failure or rule.routes:
            loc: Loc = ("numbers", position)
            yield from _each((*loc, "redirect"), rule.redirect)
            yield from _failing((*loc, "on_failure"), rule.on_failure)
            for at, branch in enumerate(rule.routes):
                yield from _each((*loc, "routes", at, "redirect"), branch.redirect)


def _each(loc: Loc, addresses: tuple[str, ...]) -> Iterator[tuple[Loc, str]]:
    return (((*loc, at), address) for at, address in enumerate(addresses))


def _failing(loc: Loc, failing: OnFailure | None) -> Iterator[tuple[Loc, str]]:
    for key in ("overload", "provider_outage", "agent_crash", "closed"):
        if failing is not None and (name := getattr(failing, key)):
            yield (*loc, key), name


def _number(address: str) -> str:
    """What would be dialled, "" for a SIP user with a name."""
    number = normalise(address)
    return number if _DIALLED.fullmatch(number) else ""


# ---------------------------------------------------------------- shares, and who stands in


def check_split(loc: Loc, split: Mapping[str, float], names: Collection[str]) -> Iterator[Finding]:
    """Shares must be of somebody, and of the whole."""
    for name in split:
        if name not in names:
            yield Finding((*loc, name), f"nobody is called {name!r}.{nearest(name, names)}", key=True)
    if split and abs(sum(split.values()) - 100) > 0.001:
        fact = f"the shares are {sum(split.values()):g}% together. Make them 100%."
        yield Finding(loc, fact, key=True, because=("split", "routes"))
    if len(split) == 1:
        fact = "one share is no split. Write `agent:` or add another share."
        yield Finding(loc, fact, key=True, because=("split", "routes"))


def check_failing(
    plan: DialPlan, loc: Loc, failing: OnFailure, names: Collection[str], unread: Unread, agent: str = ""
) -> Iterator[Finding]:
    """Nobody can stand in for what they need themselves. agent: who takes the call otherwise."""
    for key in ("overload", "provider_outage", "agent_crash", "closed"):
        name = getattr(failing, key)
        if not name or unread.lacks("targets", name):
            continue
        fact, target = "", plan.targets.get(name)
        if name not in names:
            if not is_address(name):
                fact = f"nobody is called {name!r}, and it is no SIP address.{nearest(name, names)}"
        elif key == "overload" and not (target and (target.redirect or target.ring)):
            fact = f"{name!r} needs a worker, and none is free then."
            fact = f"{fact} Name a `redirect` or `ring` target, or a SIP address."
        elif key == "provider_outage" and not (target and target.ring):
            fact = (
                f"{name!r} needs the voice or model that has failed. Name a `ring` target or a SIP address."
            )
        elif key == "agent_crash" and agent and name == agent:
            fact = f"{name!r} cannot stand in for itself. Name somebody else."
        elif key == "agent_crash" and target is not None and target.unanswered:
            fact = f"{name!r} answers no call, and this one is answered already. {ANSWERED}"
        elif key == "agent_crash" and agent and target is not None and set(target.leads_to) == {agent}:
            fact = f"{name!r} leads to {agent!r} only, who has failed. Name somebody else."
        if fact:
            yield Finding((*loc, key), fact)


def _for_itself(plan: DialPlan, name: str) -> Iterator[Finding]:
    """Whom the plan names for agents that crash crashes as well: at which number is nobody left?"""
    if name not in plan.agents:
        return
    for rule in plan.numbers:
        if rule.agent == name and not (rule.on_failure and rule.on_failure.agent_crash):
            fact = f"{name!r} cannot stand in for itself at number {rule.number!r}."
            fact = f"{fact} Name somebody else, or give that number its own `on_failure`."
            yield Finding(("defaults", "on_failure", "agent_crash"), fact, because=("on_failure",))
            return
