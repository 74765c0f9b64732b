"""Numbers and targets: names that lead nowhere, rules nobody reaches, limits and fallbacks that cannot hold. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, takewhile

from telephony.dialplan.check_ways import check_failing, check_split, check_ways
from telephony.dialplan.compile import numbering
from telephony.dialplan.document import Loc, nearest
from telephony.dialplan.finding import Finding
from telephony.dialplan.index import Index
from telephony.dialplan.match import Rule
from telephony.dialplan.model import DialPlan, NumberRoute, When
from telephony.dialplan.number import narrower, overlap, parse_pattern, uncovered
from telephony.dialplan.pruned import Unread
from telephony.dialplan.routing import ANONYMOUS, Outcome, is_address

_STATUS = re.compile("[3-6][0-9][0-9]", re.ASCII)
SHORT = 6  # extensions and service numbers have no E.164 form


def check_calls(
    plan: DialPlan,
    names: Collection[str],
    rules: Sequence[Rule],
    trunks: Mapping[str, int] | None,
    unread: Unread,
) -> Iterator[Finding]:
    """Everything about numbers, targets, lists and trunks. names: of all agents and targets."""
    yield from check_ways(plan, names, unread)
    yield from _trunks(plan, trunks)
    yield from _lists(plan)
    calls = _Calls(plan, names, trunks, unread)
    for position, rule in enumerate(plan.numbers):
        yield from calls.number(("numbers", position), rule)
    yield from _order(rules)
    yield from _tests(plan, names)


def _tests(plan: DialPlan, names: Collection[str]) -> Iterator[Finding]:
    """Tests that can never be good: what they expect is nobody's name, or they come by a trunk that is not served."""
    trunks = plan.trunks
    for at, test in enumerate(plan.tests):
        loc: Loc = ("tests", at)
        if test.expect not in names and not _STATUS.fullmatch(test.expect) and not is_address(test.expect):
            fact = f"nobody is called {test.expect!r}, and it is no SIP status.{nearest(test.expect, names)}"
            yield Finding((*loc, "expect"), fact, because=("agents", "targets"))
        if test.trunk and trunks and test.trunk not in trunks:
            fact = f"no trunk {test.trunk!r}.{nearest(test.trunk, trunks)} Add it to `trunks:`."
            yield Finding((*loc, "trunk"), fact, because=("trunks",))


def _trunks(plan: DialPlan, trunks: Mapping[str, int] | None) -> Iterator[Finding]:
    for name, use in plan.trunks.items():
        if trunks is not None and name not in trunks:
            fact = f"no trunk {name!r} in the settings.{nearest(name, trunks)} Add it there, under `trunks:`."
            yield Finding(("trunks", name), fact, key=True)
        try:
            numbering(use.numbers) if use.numbers != "as_sent" else None
        except ValueError as error:
            yield Finding(("trunks", name, "numbers"), str(error))


def _lists(plan: DialPlan) -> Iterator[Finding]:
    for name, known in plan.lists.items():
        if not known.numbers and not known.file:
            yield Finding(("lists", name), f"list {name!r} is empty. Write `numbers:` or `file:`.", key=True)
        for at, text in enumerate(known.numbers):
            if text.strip().lower() != ANONYMOUS:
                yield from _pattern(("lists", name, "numbers", at), text)


def _pattern(loc: Loc, text: str) -> Iterator[Finding]:
    try:
        parse_pattern(text)
    except ValueError as error:
        yield Finding(loc, str(error))


class _Calls:
    """What is asked of each number."""

    def __init__(
        self,
        plan: DialPlan,
        names: Collection[str],
        trunks: Mapping[str, int] | None,
        unread: Unread,
    ) -> None:
        self._plan, self._names, self._unread = plan, names, unread
        limits = [(trunks or {}).get(name, 0) for name in plan.trunks]
        self._lines = sum(limits) if limits and all(limits) else 0  # calls that the plan's trunks can bring
        self._all_e164 = bool(plan.trunks) and all(use.numbers != "as_sent" for use in plan.trunks.values())
        self._recording = plan.defaults.recording

    def number(self, loc: Loc, rule: NumberRoute) -> Iterator[Finding]:
        """Everything about one rule by itself."""
        yield from self._outcome(loc, rule)
        if rule.max_calls or rule.calls_per_hour or rule.open or rule.on_failure:
            yield from self._limits(loc, rule)
        if rule.on_failure is not None:
            yield from check_failing(
                self._plan, (*loc, "on_failure"), rule.on_failure, self._names, self._unread, rule.agent
            )
        if rule.recording is not None or self._recording != "announce":
            yield from self._recorded(loc, rule)
        if self._all_e164 and rule.number[0].isdigit() and len(rule.number) > SHORT:
            fact = f"{rule.number!r} is not E.164, and the trunks of this plan send that. Write it with + and country."
            yield Finding((*loc, "number"), fact)
        for at, branch in enumerate(rule.routes):
            here: Loc = (*loc, "routes", at)
            yield from self._outcome(here, branch)
            if branch.when is not None:
                yield from self._when((*here, "when"), branch.when)

    def _outcome(self, loc: Loc, rule: Outcome) -> Iterator[Finding]:
        routes = isinstance(rule, NumberRoute) and bool(rule.routes)
        if rule.agent in self._plan.agents and not (
            routes or rule.target or rule.reject or rule.redirect or rule.split
        ):
            return  # most of a hundred thousand
        keys = ("agent", "target", "reject", "redirect", "split")
        does = [f"`{key}`" for key in keys if getattr(rule, key)] + (["`routes`"] if routes else [])
        what = f"number {rule.number!r}" if isinstance(rule, NumberRoute) else "this route"
        if len(does) > 1:
            yield Finding(loc, f"{what} has both {' and '.join(does)}. Remove one.")
        elif not does:
            text = (
                "has no `agent`. Add one, or `target:`, or `reject: 404`, or `redirect:` with a SIP address."
            )
            yield Finding(loc, f"{what} {text}", because=("routes",))
        if rule.agent and rule.agent not in self._plan.agents:
            yield from self._no_agent(loc, rule.agent)
        if rule.target and rule.target not in self._names:
            fact = f"no target {rule.target!r}.{nearest(rule.target, self._names)}"
            yield Finding((*loc, "target"), fact, because=("agents", "targets"))
        yield from check_split((*loc, "split"), rule.split or {}, self._names)

    def _no_agent(self, loc: Loc, name: str) -> Iterator[Finding]:
        if name in self._plan.targets:
            yield Finding((*loc, "agent"), f"{name!r} is a target. Write `target: {name}`.")
        elif name not in self._names:
            fact = f"no agent {name!r}.{nearest(name, self._names)}"
            yield Finding((*loc, "agent"), fact, because=("agents", "targets"))

    def _limits(self, loc: Loc, rule: NumberRoute) -> Iterator[Finding]:
        for key, limit in (("max_calls", rule.max_calls), ("calls_per_hour", rule.calls_per_hour)):
            if limit is None:
                continue
            if limit.then and limit.then not in self._names and not is_address(limit.then):
                yield Finding(
                    (*loc, key, "then"), f"nobody is called {limit.then!r}.{nearest(limit.then, self._names)}"
                )
            if limit.then and limit.then in (rule.agent, rule.target):
                yield Finding(
                    (*loc, key, "then"), f"{limit.then!r} takes these calls anyway. Name somebody else."
                )
            if key == "max_calls" and self._lines and limit.limit > self._lines:
                fact = f"{limit.limit} calls at once, but the plan's trunks bring {self._lines} at most."
                yield Finding((*loc, key, "limit"), f"{fact} Lower it, or raise max_calls of the trunk.")
        failing = rule.on_failure or self._plan.defaults.on_failure
        if rule.open not in ("", *self._plan.calendars) and not self._unread.lacks("calendars", rule.open):
            fact = f"no calendar {rule.open!r}.{nearest(rule.open, self._plan.calendars)}"
            yield Finding((*loc, "open"), f"{fact} Describe it under `calendars:`.")
        if rule.open and not (failing and failing.closed):
            fact = f"outside the hours of {rule.open!r} nobody takes the calls. Add `on_failure: {{closed: ...}}`."
            yield Finding((*loc, "open"), fact, key=True, because=("on_failure",))
        if rule.on_failure and rule.on_failure.closed and not rule.open:
            fact = "`closed` needs hours: which calendar does this number keep? Add `open:`."
            yield Finding((*loc, "on_failure", "closed"), fact, key=True, because=("open",))

    def _recorded(self, loc: Loc, rule: NumberRoute) -> Iterator[Finding]:
        defaults = self._plan.defaults
        recording = rule.recording or defaults.recording
        place: Loc = (*loc, "recording") if rule.recording else ("defaults", "recording")
        if recording == "ask" and not defaults.consent:
            fact = "`recording: ask` asks what? Add `consent:` with the question to `defaults`."
            yield Finding(place, fact, because=("consent", "recording"))
        if recording == "on" and defaults.consent_required and (rule.agent or rule.target or rule.routes):
            fact = "records without consent, which `consent_required` rules out."
            yield Finding(place, f"{fact} Write announce, ask or off.", because=("recording",))

    def _when(self, loc: Loc, when: When) -> Iterator[Finding]:
        plan = self._plan
        for at, name in enumerate(when.trunk):
            if plan.trunks and name not in plan.trunks and not self._unread.lacks("trunks", name):
                fact = f"no trunk {name!r}.{nearest(name, plan.trunks)} Add it to `trunks:`."
                yield Finding(_one(loc, "trunk", when.trunk, at), fact)
        for at, name in enumerate(when.caller):
            if name in plan.lists or name.lower() == ANONYMOUS:
                continue
            if (
                name[:1].isalpha()
                and not name.lower().startswith(("sip:", "sips:", "tel:"))
                and not _is_letters(name)
            ):
                if not self._unread.lacks("lists", name):
                    fact = f"no list {name!r}.{nearest(name, [*plan.lists, ANONYMOUS])} Describe it under `lists:`."
                    yield Finding(_one(loc, "caller", when.caller, at), fact)
            else:
                yield from _pattern(_one(loc, "caller", when.caller, at), name)
        if "is_" in when.model_fields_set and not when.calendar:
            fact = "`is` of which calendar? Add `calendar:`."
            yield Finding((*loc, "is"), fact, key=True, because=("routes",))
        if not when.model_fields_set:
            fact = "`when` says nothing. Write a condition, or remove it."
            yield Finding(loc, fact, key=True, because=("routes",))


def _is_letters(name: str) -> bool:
    return set(name) <= set("XZN0123456789*[]-")


def _one(loc: Loc, key: str, several: tuple[str, ...], at: int) -> Loc:
    return (*loc, key, at) if len(several) > 1 else (*loc, key)


# ---------------------------------------------------------------- which rule wins


def _order(rules: Sequence[Rule]) -> Iterator[Finding]:
    levels: dict[int, Index[Rule]] = {}
    for rule in rules:
        action = rule.action
        if (level := levels.get(action.priority)) is None:
            level = levels[action.priority] = Index()
        if (before := level.add(rule)) is not None:
            same = (
                f"number {action.number!r} is the same as {before.action.number!r} in {_line(before, rule)}."
            )
            yield Finding(("numbers", rule.position, "number"), f"{same} Keep one of the two.")
    above: list[Index[Rule]] = []
    for priority in sorted(levels, reverse=True):
        index = levels[priority]
        exact = sorted(index.exact) if index.patterns else []
        for rule in index.patterns:
            meeting = [other for other in index.meeting(rule.pattern) if other is not rule]
            yield from _ties(rule, meeting)
            stronger = [other for other in meeting if narrower(other.pattern, rule.pattern)]
            stronger += _beginning(index, exact, rule)
            for higher in above:
                stronger += [*higher.meeting(rule.pattern), *([higher.any] if higher.any else ())]
            yield from _shadowed(rule, stronger)
        if above:
            yield from _outranked(index, above)
        above.append(index)


def _line(of: Rule, seen_from: Rule) -> str:
    return f"line {of.line}" if of.file == seen_from.file else f"{of.file}:{of.line}"


def _ties(rule: Rule, meeting: list[Rule]) -> Iterator[Finding]:
    for other in meeting:
        one, two = other.pattern, rule.pattern
        if other.position < rule.position and not narrower(one, two) and not narrower(two, one):
            both = (
                f"number {two.text!r} and {one.text!r} in {_line(other, rule)} both take {overlap(one, two)}"
            )
            text = f"{both}, and neither is narrower. Make one more specific, or give it a `priority`."
            yield Finding(("numbers", rule.position, "number"), text)


def _beginning(index: Index[Rule], exact: list[str], rule: Rule) -> list[Rule]:
    """The exact numbers that fit a pattern. exact: all of them, sorted."""
    prefix = rule.pattern.prefix
    first = bisect_left(exact, prefix)
    near = takewhile(lambda number: number.startswith(prefix), islice(exact, first, None))
    return [index.exact[number] for number in near if not rule.pattern.mismatch(number)]


def _shadowed(rule: Rule, stronger: list[Rule]) -> Iterator[Finding]:
    if stronger and uncovered(rule.pattern, [other.pattern for other in stronger]) is None:
        where = ", ".join(str(line) for line in sorted({other.line for other in stronger})[:5])
        text = f"number {rule.pattern.text!r} is never reached: narrower rules take all of it (line {where})."
        yield Finding(("numbers", rule.position, "number"), f"{text} Remove it.")


def _outranked(index: Index[Rule], above: list[Index[Rule]]) -> Iterator[Finding]:
    """Single numbers, and `any`, below rules of a higher priority that take them."""
    for number, rule in index.exact.items():
        if higher := next((found for level in above if (found := level.find(number))), None):
            text = f"number {rule.pattern.text!r} is never reached: {higher.pattern.text!r} in {_line(higher, rule)}"
            yield Finding(("numbers", rule.position, "number"), f"{text} has a higher priority. Remove one.")
    anything = index.any
    if anything is not None and (higher := next((level.any for level in above if level.any), None)):
        text = f"number {anything.pattern.text!r} is never reached: line {higher.line} has a higher priority."
        yield Finding(("numbers", anything.position, "number"), f"{text} Remove one.")
