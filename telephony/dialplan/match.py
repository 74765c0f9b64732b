"""Which rule takes a call, and where it then goes: the one place that decides, with every reason on request. Pure.

Rules of a higher priority come first; among equals the narrowest number wins, compared from the left, wherever it
stands in the file (check.py has refused ties). Then hours, limits and branches are asked in that order. `now` and the
load come with the call. A call that matched keeps its Route; a later plan does not touch it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from telephony.dialplan.condition import CallFacts, Condition, in_e164
from telephony.dialplan.document import Problem, Spot
from telephony.dialplan.hours import Hours
from telephony.dialplan.index import Index
from telephony.dialplan.model import (
    CONSENT,
    Branch,
    Consent,
    Defaults,
    Desk,
    DialPlan,
    Limit,
    NumberRoute,
    OnFailure,
    Persona,
    Route,
    TargetSpec,
)
from telephony.dialplan.music import THINKING, located
from telephony.dialplan.number import Pattern, normalise
from telephony.dialplan.persona import thinking_file
from telephony.dialplan.routing import Outcome, is_address
from telephony.errors import NoSuchNumber, SentElsewhere

FULL = 486  # Busy Here: the number's own limit, not ours (RFC 3261 §21.4.24)
MAX_STEPS = 8  # from target to target; check.py has refused rings


@dataclass(frozen=True, slots=True)
class Branching:
    """One branch that can be asked. line: in the rule's file."""

    condition: Condition | None
    outcome: Branch
    line: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One number rule with its pattern. position: in the plan's list, from 0; line: in file."""

    pattern: Pattern
    action: NumberRoute
    position: int
    line: int
    file: str = ""
    branches: tuple[Branching, ...] = ()


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule or branch that was considered. why: empty for the one that took the call."""

    line: int
    number: str
    why: str


@dataclass(frozen=True, slots=True)
class Numbering:
    """How a trunk sends numbers, for condition.in_e164."""

    country: str
    national: str
    international: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked dial plan, ready for calls. version: hash of the files' bytes. indexes: priority → rules, the
    highest first.

    teams: agent or target → itself and all that a call can reach from there. files: all that were read. warnings: what
    is worth a look and no mistake."""

    spec: DialPlan
    name: str
    path: str
    version: str
    indexes: tuple[tuple[int, Index[Rule]], ...]
    teams: Mapping[str, dict[str, Desk | Persona]]
    calendars: Mapping[str, Hours] = field(default_factory=dict)
    numbering: Mapping[str, Numbering] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    test_places: tuple[
        tuple[str, Spot], ...
    ] = ()  # what each of the plan's own tests expects, file and place
    warnings: tuple[Problem, ...] = ()
    merged: dict[tuple[str, ...], dict[str, Desk | Persona]] = field(
        default_factory=dict
    )  # teams put together, by name

    def rules(self, number: str) -> Iterator[Rule]:
        """The rule of each priority that fits a normalised number, best first."""
        for _, index in self.indexes:
            if (rule := index.find(number)) is not None:
                yield rule


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a call: a route, or code with which it is refused or (3xx) sent to `redirect`.

    taker: the agent or target that takes the call. rule: that decided, None if there was none; line: of it, or of its
    branch. overload: where it goes instead if no worker is free (SIP addresses). tried: only on request, in the order
    in which they were considered. caller: as limits count it, "" if hidden."""

    route: Route | None
    code: int
    reason: str
    number: str
    rule: Rule | None = None
    line: int = 0
    taker: str = ""
    redirect: tuple[str, ...] = ()
    overload: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    caller: str = ""


def match(plan: Plan, call: CallFacts | str, caller: str = "") -> Route:
    """The route of one call.

    call: its facts, or just the number that was called. Raises NoSuchNumber, with the rule's SIP status when a rule
    refuses the call, with 404 when there is no rule; SentElsewhere when a rule sends its callers on.
    """
    return taken(decide(plan, call if isinstance(call, CallFacts) else CallFacts(call, caller)))


def taken(decision: Decision) -> Route:
    """The route, or what `match` raises."""
    if decision.route is not None:
        return decision.route
    if decision.redirect:
        raise SentElsewhere(decision.reason, decision.redirect)
    raise NoSuchNumber(decision.reason, code=decision.code)


def decide(plan: Plan, call: CallFacts, tried: list[Tried] | None = None) -> Decision:
    """What becomes of one call. tried: filled with each rule and branch that was asked."""
    number, caller = normalise(call.called), normalise(call.caller)
    if (how := plan.numbering.get(call.trunk)) is not None:
        number = in_e164(number, how.country, how.national, how.international)
        caller = in_e164(caller, how.country, how.national, how.international)
    if plan.spec.trunks and call.trunk not in plan.spec.trunks:
        return Decision(
            None,
            404,
            f"{plan.path}: does not serve calls of trunk {call.trunk or 'none'}. See `trunks:`.",
            number,
        )
    rule = next(plan.rules(number), None)
    if rule is None:
        why = f"{plan.path}: no rule for number {number!r}. Add it, or a rule `number: any`."
        return Decision(None, 404, why, number)
    return _Deciding(plan, call, number, caller, rule, tried).decide()


def route_to(plan: Plan, agent: str, called: str, caller: str = "") -> Route:
    """The route of a call that this agent takes, whatever the number rules say. Raises KeyError for an unknown one."""
    if agent not in plan.teams:
        raise KeyError(agent)
    action = NumberRoute(number="any", agent=agent)
    return _route(plan, action, _failing(None, plan.spec.defaults), agent, called, caller)


def _route(
    plan: Plan,
    action: NumberRoute,
    failing: OnFailure,
    name: str,
    called: str,
    caller: str,
    *,
    line: int = 0,
    file: str = "",
    arm: str = "",
) -> Route:
    """What the rule and the plan's defaults say of a call that this agent or target takes."""
    defaults = plan.spec.defaults
    recording = action.recording or defaults.recording
    asks = recording == "ask" and any(
        other in plan.spec.agents for other in plan.teams[name]
    )  # a box needs no leave
    agents, first = _agents(plan, name, failing, asks=asks)
    return Route.model_construct(
        called=called,
        caller=caller,
        number=action.number,
        line=line,
        file=file or plan.path,
        agent=first,
        agents=agents,
        plan=plan.name,
        plan_version=plan.version,
        max_call_s=action.max_call or defaults.max_call,
        hold_music=located(action.hold_music or defaults.hold_music, plan.path),
        tones=action.tones or defaults.tones,
        before_answer=action.before_answer or defaults.before_answer,
        recording=recording,
        cassette=action.cassette or defaults.cassette,
        announcement=(action.announcement or defaults.announcement).located(plan.path),
        on_failure=_address(plan, failing.provider_outage),
        arm=arm,
        fallback=failing,
    )


class _Deciding:
    """One call at one rule."""

    def __init__(
        self, plan: Plan, call: CallFacts, number: str, caller: str, rule: Rule, tried: list[Tried] | None
    ) -> None:
        self._plan, self._call, self._rule, self._tried = plan, call, rule, tried
        self._number, self._caller = number, caller
        self._arm = ""
        self._line = rule.line
        defaults = plan.spec.defaults
        self._failing = _failing(rule.action.on_failure, defaults)

    def decide(self) -> Decision:
        action = self._rule.action
        if action.open and (why := self._shut(action.open)):
            return self._went("", why) if not self._failing.closed else self._named(self._failing.closed, why)
        for limit, full in self._limits(action):
            if full:
                return self._named(limit.then, full) if limit.then else self._refused(FULL, full)
        if not self._rule.branches:
            return self._outcome(action)
        for branch in self._rule.branches:
            why = branch.condition.mismatch(self._call, self._caller) if branch.condition else ""
            if not why:
                self._line = branch.line
                return self._outcome(branch.outcome)
            self._note(branch.line, action.number, why)
        return self._refused(404, "none of its routes fits")

    def _shut(self, name: str) -> str:
        calendar, at = self._plan.calendars.get(name), self._call.at
        if calendar is None or at is None or calendar.state(at) == "open":
            return ""
        return f"calendar {name} is {calendar.why(at)}"

    def _limits(self, action: NumberRoute) -> Iterator[tuple[Limit, str]]:
        load = self._call.load
        if (most := action.max_calls) is not None:
            now = load.calls.get(action.number, 0)
            yield most, f"{now} calls at once, {most.limit} are allowed" if now >= most.limit else ""
        if (most := action.calls_per_hour) is not None and self._caller:
            made = load.recent.get((action.number, self._caller), 0)
            yield (
                most,
                f"{made} calls of this caller within an hour, {most.limit} are allowed"
                if made >= most.limit
                else "",
            )

    def _outcome(self, outcome: Outcome | TargetSpec) -> Decision:
        if outcome.reject is not None:
            return self._refused(outcome.reject, "")
        if outcome.redirect:
            return self._sent(outcome.redirect)
        if outcome.split:
            return self._named(self._share(outcome.split), "")
        assert isinstance(outcome, Outcome)
        return self._named(outcome.agent or outcome.target, "")

    def _share(self, split: Mapping[str, float]) -> str:
        """One arm, the same one whenever the call is asked about again: by its id, else by who calls whom."""
        key = self._call.call_id or f"{self._caller} {self._number}"
        point = int.from_bytes(sha256(key.encode()).digest()[:8], "big") / 2**64 * sum(split.values())
        for name, share in split.items():  # noqa: B007 # the last one takes what rounding leaves
            if (point := point - share) < 0:
                break
        self._arm = f"{self._arm}/{name}" if self._arm else name
        return name

    def _named(self, name: str, why: str) -> Decision:
        """Who or what is called so: an agent, a target, or a SIP address."""
        if why:
            self._note(self._rule.line, self._rule.action.number, why)
        plan = self._plan
        for _ in range(MAX_STEPS):
            target = plan.spec.targets.get(name)
            if target is None or target.does is not None:
                break
            if not target.split:
                return self._outcome(target)
            name = self._share(target.split)
        if name not in plan.teams:
            return (
                self._sent((name,)) if is_address(name) else self._refused(404, f"nobody is called {name!r}")
            )
        return self._went(name, why)

    def _went(self, name: str, why: str) -> Decision:
        if not name:
            return self._refused(480, why)
        self._note(self._line, self._rule.action.number, "")
        plan, rule, action = self._plan, self._rule, self._rule.action
        route = _route(
            plan, action, self._failing, name, self._number, self._call.caller,
            line=rule.line, file=rule.file, arm=self._arm,
        )  # fmt: skip
        return Decision(
            route, 0, "", self._number, rule, self._line, taker=name, overload=_addresses(plan, self._failing.overload),
            tried=tuple(self._tried or ()), caller=self._caller,
        )  # fmt: skip

    def _sent(self, targets: tuple[str, ...]) -> Decision:
        self._note(self._line, self._rule.action.number, "")
        text = (
            f"{self._where()}: {self._rule.action.number!r} sends {self._number!r} to {', '.join(targets)}."
        )
        return self._ended(302, text, targets)

    def _refused(self, code: int, why: str) -> Decision:
        self._note(self._line, self._rule.action.number, "")
        text = f"{self._where()}: {self._rule.action.number!r} refuses {self._number!r} with {code}"
        return self._ended(code, f"{text}: {why}." if why else f"{text}.")

    def _ended(self, code: int, reason: str, redirect: tuple[str, ...] = ()) -> Decision:
        tried = tuple(self._tried or ())
        return Decision(
            None, code, reason, self._number, self._rule, self._line, redirect=redirect, tried=tried
        )

    def _where(self) -> str:
        return f"{self._rule.file or self._plan.path}:{self._line}"

    def _note(self, line: int, number: str, why: str) -> None:
        if self._tried is not None:
            self._tried.append(Tried(line, number, why))


def _failing(own: OnFailure | None, defaults: Defaults) -> OnFailure:
    """Who takes calls that fail: the number's word, else the plan's."""
    general = defaults.on_failure
    if own is None or general is None:
        return own or general or _NOBODY
    return OnFailure.model_construct(
        overload=own.overload or general.overload,
        provider_outage=own.provider_outage or general.provider_outage,
        agent_crash=own.agent_crash or general.agent_crash,
        closed=own.closed or general.closed,
    )


_NOBODY = OnFailure()


def _address(plan: Plan, name: str) -> str:
    """The SIP address that a name stands for, or "": what can be dialled without an agent."""
    target = plan.spec.targets.get(name)
    if target is None:
        return name if name and name not in plan.teams else ""
    return target.ring.target if target.ring else ""


def _addresses(plan: Plan, name: str) -> tuple[str, ...]:
    """Where a call can be sent that is not answered."""
    target = plan.spec.targets.get(name)
    if target is not None and target.redirect:
        return target.redirect
    address = _address(plan, name)
    return (address,) if address else ()


def _agents(
    plan: Plan, name: str, failing: OnFailure, *, asks: bool
) -> tuple[dict[str, Desk | Persona], str]:
    """Everybody whom a call can reach, and who takes it first. Made once for each start and kept."""
    others = [other for other in (failing.agent_crash, failing.closed) if other in plan.teams]
    if not others and not asks:
        return plan.teams[name], name
    first = CONSENT if asks else name
    key = (first, name, *others)
    if (known := plan.merged.get(key)) is None:
        known = dict(plan.teams[name])
        for other in others:
            known.update({key: value for key, value in plan.teams[other].items() if key not in known})
        if asks:
            known = {CONSENT: _asking(plan, name), **known}
        plan.merged[key] = known
    return known, first


def _asking(plan: Plan, name: str) -> Desk:
    defaults, persona = plan.spec.defaults, plan.teams[name][name]
    question = defaults.consent.located(plan.path)
    consent = Consent(question=question, then=name, if_refused=defaults.if_refused)
    voice = {part: getattr(persona, part) for part in ("language", "voice", "stt", "tts", "llm")}
    return Desk.model_construct(does=consent, handoff=(name,), **voice)


def teams(spec: DialPlan, path: str) -> dict[str, dict[str, Desk | Persona]]:
    """Each agent and each target that talks, with all that a call can reach from there. path: of the plan; the files
    of its sounds lie beside it."""
    everybody: dict[str, Desk | Persona] = {
        key: _sounding(persona.with_defaults(spec.defaults).with_servers(spec.mcp), path)
        for key, persona in spec.agents.items()
    }
    for key, target in spec.targets.items():
        if target.does is not None:
            heirs = tuple(_talking(target.leads_to, spec))
            desk = Desk(does=target.located(path), handoff=heirs).with_defaults(spec.defaults)
            everybody.setdefault(key, desk)
    return {key: _team(key, everybody) for key in everybody}


def _sounding(persona: Persona, path: str) -> Persona:
    sound = thinking_file(persona)
    return persona.with_thinking_sound(located(sound, path, THINKING)) if sound else persona


def _talking(names: Sequence[str], spec: DialPlan) -> Iterator[str]:
    """Those of the names that a caller can be handed to, splits by their arms."""
    for name in names:
        target = spec.targets.get(name)
        if target is not None and target.split:
            yield from _talking([arm for arm in target.split if arm in spec.agents], spec)
        elif target is None or target.does is not None:
            yield name


def _team(first: str, agents: Mapping[str, Desk | Persona]) -> dict[str, Desk | Persona]:
    """An agent and everyone a call can reach from it by handing over, the first one first."""
    team: dict[str, Desk | Persona] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop(0)
        if name in team or name not in agents:
            continue
        team[name] = agents[name]
        waiting.extend(agents[name].handoff)
    return team
