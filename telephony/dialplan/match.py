"""Which rule takes a number: exact numbers by dictionary, patterns by a tree, then `any`. Pure.

The narrowest rule wins, compared from the left, wherever it stands in the file; check.py has refused ties. A
call that matched keeps its Route; a later plan does not touch it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from telephony.dialplan.model import DialPlan, NumberRoute, Persona, Route
from telephony.dialplan.music import located
from telephony.dialplan.number import Pattern, normalise, parse_pattern
from telephony.errors import NoSuchNumber, SentElsewhere


@dataclass(frozen=True, slots=True)
class Rule:
    """One number rule with its pattern. position: in the file's list, from 0; line: in the file."""

    pattern: Pattern
    action: NumberRoute
    position: int
    line: int


@dataclass(slots=True)
class _Node:
    """A place in the tree of patterns. ways: the next place's characters → what follows, narrowest first."""

    ways: list[tuple[frozenset[str], _Node]] = field(default_factory=list)
    here: Rule | None = None
    rest: Rule | None = None

    def way(self, place: frozenset[str]) -> _Node:
        for known, node in self.ways:
            if known == place:
                return node
        node = _Node()
        self.ways.append((place, node))
        self.ways.sort(key=lambda way: len(way[0]))
        return node

    def find(self, number: str, at: int) -> Rule | None:
        if at == len(number):
            return self.here or self.rest
        for place, node in self.ways:
            if number[at] in place and (rule := node.find(number, at + 1)):
                return rule
        return self.rest

    def meeting(self, pattern: Pattern, at: int) -> Iterator[Rule]:
        """Rules from here on that share a number with what `pattern` has from place `at` on."""
        if self.rest:
            yield self.rest
        if self.here and at >= len(pattern.places):
            yield self.here
        for place, node in self.ways:
            if (at < len(pattern.places) and place & pattern.places[at]) or (
                at >= len(pattern.places) and pattern.rest
            ):
                yield from node.meeting(pattern, at + 1)


class Index:
    """All number rules of a plan, ready to be asked. The first of two equal rules stays."""

    def __init__(self) -> None:
        self.exact: dict[str, Rule] = {}
        self.patterns: list[Rule] = []
        self.any: Rule | None = None
        self._root = _Node()

    def add(self, rule: Rule) -> Rule | None:
        """Add one rule. Returns the equal rule that was there before, if any."""
        pattern = rule.pattern
        if (number := pattern.exact) is not None:
            before = self.exact.setdefault(number, rule)
            return None if before is rule else before
        if pattern.is_any:
            before_any, self.any = self.any, self.any or rule
            return before_any
        node = self._root
        for place in pattern.places:
            node = node.way(place)
        before_here = node.rest if pattern.rest else node.here
        if before_here is not None:
            return before_here
        if pattern.rest:
            node.rest = rule
        else:
            node.here = rule
        self.patterns.append(rule)
        return None

    def find(self, number: str) -> Rule | None:
        """The rule that takes a normalised number."""
        return self.exact.get(number) or self._root.find(number, 0) or self.any

    def meeting(self, pattern: Pattern) -> list[Rule]:
        """The pattern rules that share a number with `pattern`, itself included."""
        return list(self._root.meeting(pattern, 0))

    def in_order(self) -> Iterator[Rule]:
        """Every rule but the exact ones, in the order in which they are considered."""
        yield from sorted(self.patterns, key=lambda rule: rule.pattern.order)
        if self.any:
            yield self.any


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked dial plan, ready for calls. version: hash of the file's bytes."""

    spec: DialPlan
    name: str
    path: str
    version: str
    index: Index
    teams: Mapping[str, dict[str, Persona]]


def compile_plan(spec: DialPlan, *, name: str, path: str, version: str, lines: list[int]) -> Plan:
    """Make a plan ready for calls. lines: where each number rule stands. Driven by load.py."""
    index = Index()
    for position, (action, line) in enumerate(zip(spec.numbers, lines, strict=True)):
        index.add(Rule(parse_pattern(action.number), action, position, line))
    agents = {
        key: persona.with_defaults(spec.defaults).with_servers(spec.mcp)
        for key, persona in spec.agents.items()
    }
    teams = {key: _team(key, agents) for key in agents}
    return Plan(spec, name, path, version, index, teams)


def match(plan: Plan, called: str, caller: str = "") -> Route:
    """The route of one call.

    called, caller: the user part of the SIP URI, or a number as people write it. Raises NoSuchNumber, with
    the rule's SIP status when a rule refuses the number, with 404 when there is no rule; SentElsewhere when a
    rule sends its callers on.
    """
    number = normalise(called)
    rule = plan.index.find(number)
    if rule is None:
        raise NoSuchNumber(f"{plan.path}: no rule for number {number!r}. Add it, or a rule `number: any`.")
    action = rule.action
    if action.reject is not None:
        where = f"{plan.path}:{rule.line}"
        raise NoSuchNumber(
            f"{where}: {action.number!r} refuses {number!r} with {action.reject}.", code=action.reject
        )
    if action.redirect:
        where, targets = f"{plan.path}:{rule.line}", ", ".join(action.redirect)
        raise SentElsewhere(f"{where}: {action.number!r} sends {number!r} to {targets}.", action.redirect)
    return _route(plan, action, rule.line, number, caller)


def route_to(plan: Plan, agent: str, called: str, caller: str = "") -> Route:
    """The route of a call that this agent takes, whatever the number rules say. Raises KeyError for an unknown one."""
    if agent not in plan.teams:
        raise KeyError(agent)
    return _route(plan, NumberRoute(number="any", agent=agent), 0, called, caller)


def _route(plan: Plan, action: NumberRoute, line: int, called: str, caller: str) -> Route:
    defaults = plan.spec.defaults
    return Route.model_construct(
        called=called,
        caller=caller,
        number=action.number,
        line=line,
        agent=action.agent,
        agents=plan.teams[action.agent],
        plan=plan.name,
        plan_version=plan.version,
        max_call_s=action.max_call or defaults.max_call,
        hold_music=located(action.hold_music or defaults.hold_music, plan.path),
        tones=action.tones or defaults.tones,
        before_answer=action.before_answer or defaults.before_answer,
        recording=action.recording or defaults.recording,
        cassette=action.cassette or defaults.cassette,
        announcement=action.announcement or defaults.announcement,
        on_failure=action.on_failure or defaults.on_failure or "",
    )


def _team(first: str, agents: Mapping[str, Persona]) -> dict[str, Persona]:
    """An agent and everyone a call can reach from it by handing over, the first one first."""
    team: dict[str, Persona] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop(0)
        if name in team or name not in agents:
            continue
        team[name] = agents[name]
        waiting.extend(agents[name].handoff)
    return team
