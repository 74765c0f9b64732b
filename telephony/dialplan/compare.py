"""Which calls would go elsewhere under another plan: by number, by who calls, and by hour of a week. Pure.

Nothing is sampled blindly. Numbers fall into classes that the rules of both plans cannot tell apart, callers and other
conditions too, and time into the spells between the moments of instants.py: one call of each is asked of match.decide,
the same that routes live calls. Only shares of a split are compared on a set of call ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, product
from zoneinfo import ZoneInfo

from telephony.dialplan.condition import CallFacts, Condition, Load
from telephony.dialplan.hours import DAYS
from telephony.dialplan.instants import DAY, WEEK, Moments, moments
from telephony.dialplan.match import Decision, Plan, Rule, decide
from telephony.dialplan.number import Pattern, narrower, overlap, uncovered
from telephony.dialplan.routing import ANONYMOUS

SPLIT_CALLS = tuple(f"call {number}" for number in range(64))
MOST_KINDS = 400  # of callers, trunks, headers together, for one pair of rules
NOBODY = Pattern("any", (), rest=True)


@dataclass(frozen=True, slots=True)
class Spell:
    """From one moment to another, on the plan's clock. weekly: in every week without special days."""

    start: datetime
    end: datetime
    weekly: bool

    def __str__(self) -> str:
        if not self.weekly:
            return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}"
        if self.end - self.start >= WEEK:
            return "always"
        return (
            f"{DAYS[self.start.weekday()]} {self.start:%H:%M} to {DAYS[self.end.weekday()]} {self.end:%H:%M}"
        )


@dataclass(frozen=True, slots=True)
class Change:
    """Calls that go elsewhere. numbers: as the rules have them; example: one that can be dialled. callers: which of
    them, "" for all."""

    numbers: tuple[str, ...]
    example: str
    callers: str
    before: str
    after: str
    spells: tuple[Spell, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What another plan would change. agents: whose own lines differ. notes: what could not be compared."""

    changes: tuple[Change, ...]
    agents: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers that neither plan can tell apart."""

    label: str
    example: str
    old: Rule | None
    new: Rule | None


def compare(old: Plan, new: Plan, today: date, week: date | None = None) -> Comparison:
    """What becomes of calls under `new` that is not so under `old`. week: the Monday to look at, None for a typical
    week from `today` on; special days to come are looked at in any case."""
    groups: dict[tuple[str, str], list[_Numbers]] = {}
    for numbers in _classes(old, new):
        groups.setdefault((_same(numbers.old), _same(numbers.new)), []).append(numbers)
    notes: list[str] = []
    changes = [
        change
        for several in groups.values()
        for change in _Comparing(old, new, several, today, week, notes).changes()
    ]
    everybody = [*dict.fromkeys([*old.spec.agents, *new.spec.agents])]
    agents = [name for name in everybody if old.spec.agents.get(name) != new.spec.agents.get(name)]
    return Comparison(tuple(changes), tuple(agents), tuple(dict.fromkeys(notes)))


# ---------------------------------------------------------------- numbers


def _classes(old: Plan, new: Plan) -> Iterator[_Numbers]:
    exact = dict.fromkeys(
        number for plan in (old, new) for _, index in plan.indexes for number in index.exact
    )
    for number in exact:
        yield _Numbers(number, number, _winner(old, number), _winner(new, number))
    for one in [*_patterns(old), None]:
        for two in [*_patterns(new), None]:
            left, right = (rule.pattern if rule else NOBODY for rule in (one, two))
            both = _both(left, right)
            if both is None:
                continue
            before = [*_beating(old, one, both), *_beating(new, two, both)]
            example = uncovered(both, before)
            if example is None or _winner(old, example) is not one or _winner(new, example) is not two:
                continue
            if one is None and two is None:
                continue
            texts = dict.fromkeys(rule.pattern.text for rule in (one, two) if rule is not None)
            yield _Numbers(" and ".join(texts), example, one, two)


def _patterns(plan: Plan) -> list[Rule]:
    return [rule for _, index in plan.indexes for rule in index.in_order()]


def _winner(plan: Plan, number: str) -> Rule | None:
    return next(plan.rules(number), None)


def _both(one: Pattern, two: Pattern) -> Pattern | None:
    """The numbers that fit both."""
    if overlap(one, two) is None:
        return None
    longest = one if len(one.places) >= len(two.places) else two
    places = []
    for at, place in enumerate(longest.places):
        others = [p.places[at] for p in (one, two) if at < len(p.places)]
        places.append(frozenset.intersection(place, *others))
    return Pattern(f"{one.text} and {two.text}", tuple(places), rest=one.rest and two.rest)


def _beating(plan: Plan, rule: Rule | None, within: Pattern) -> Iterator[Pattern]:
    """The patterns of the plan that take numbers of `within` before this rule does."""
    for priority, index in plan.indexes:
        own = rule is not None and priority == rule.action.priority
        if rule is not None and priority < rule.action.priority:
            return
        for number, other in index.exact.items():
            if not within.mismatch(number):
                yield other.pattern
        for other in index.in_order():
            if other is rule or overlap(other.pattern, within) is None:
                continue
            if not own or (rule is not None and narrower(other.pattern, rule.pattern)):
                yield other.pattern


def _same(rule: Rule | None) -> str:
    """Rules that say the same have the same text here."""
    return rule.action.model_dump_json(exclude={"number", "name", "priority"}) if rule is not None else ""


# ---------------------------------------------------------------- one pair of rules


class _Comparing:
    """One rule of each plan, over all kinds of calls and all moments."""

    def __init__(
        self,
        old: Plan,
        new: Plan,
        several: Sequence[_Numbers],
        today: date,
        week: date | None,
        notes: list[str],
    ) -> None:
        self._plans, self._several = (old, new), several
        self._one = several[0]
        self._rules = (self._one.old, self._one.new)
        self._today, self._notes = today, notes
        self._zone = ZoneInfo(new.spec.timezone or "UTC")
        self._moments: Moments = moments(zip(self._plans, self._rules, strict=True))
        self._week = week or self._moments.typical_week(today)
        self._splits = any(map(_splits, self._plans, self._rules))

    def changes(self) -> Iterator[Change]:
        """What is different, kinds of calls with the same difference put together."""
        found: dict[tuple[str, str, tuple[Spell, ...]], list[str]] = {}
        kinds = self._kinds()
        for label, facts in kinds:
            spells: dict[tuple[str, str], list[Spell]] = {}
            for before, after, spell in self._spells(facts):
                spells.setdefault((before, after), []).append(spell)
            for (before, after), listed in spells.items():
                found.setdefault((before, after, tuple(listed)), []).append(label)
        numbers = tuple(numbers.label for numbers in self._several)
        for (before, after, together), labels in found.items():
            who = "" if len(labels) == len(kinds) else "; ".join(label or "other callers" for label in labels)
            yield Change(numbers, self._one.example, who, before, after, together)

    def _spells(self, facts: CallFacts) -> Iterator[tuple[str, str, Spell]]:
        week = self._moments.within(self._week, self._week + WEEK, self._zone)
        end = (week[0].astimezone(self._zone) + WEEK).astimezone(UTC)
        usual = [self._pair(facts, at) for at in week]
        for before, after, start, until in _merged(usual, week, end):
            yield (
                before,
                after,
                Spell(start.astimezone(self._zone), until.astimezone(self._zone), weekly=True),
            )
        for day in self._moments.special(self._today):
            today = self._moments.within(day, day + DAY, self._zone)
            as_usual = self._week + DAY * ((day - self._week).days % 7)
            pairs = []
            for at in today:
                pair = self._pair(facts, at)
                local = at.astimezone(self._zone)
                like = local.replace(year=as_usual.year, month=as_usual.month, day=as_usual.day)
                pairs.append(("", "") if pair == self._pair(facts, like) else pair)
            stop = (today[0].astimezone(self._zone) + DAY).astimezone(UTC)
            for before, after, start, until in _merged(pairs, today, stop):
                yield (
                    before,
                    after,
                    Spell(start.astimezone(self._zone), until.astimezone(self._zone), weekly=False),
                )

    def _pair(self, facts: CallFacts, at: datetime) -> tuple[str, str]:
        """Where a call goes under both plans."""
        timed = replace(facts, at=at)
        ids = SPLIT_CALLS if self._splits else ("",)
        ends = [[_end(decide(plan, replace(timed, call_id=one))) for one in ids] for plan in self._plans]
        before, after = (" or ".join(dict.fromkeys(several)) for several in ends)
        if ends[0] != ends[1] and before == after:
            after = f"{after} in other shares"
        return before, after

    # ------------------------------------------------------------ kinds of calls

    def _kinds(self) -> list[tuple[str, CallFacts]]:
        """One call of each kind that the rules can tell apart, with what it is called."""
        asked = [
            branch.condition
            for rule in self._rules
            if rule is not None
            for branch in rule.branches
            if branch.condition is not None
        ]
        parts: list[Sequence[tuple[str, dict[str, object]]]] = [
            list(self._callers(asked)),
            list(self._trunks(asked)),
            list(_languages(asked)),
            list(self._loads(asked)),
            *_headers(asked),
        ]
        kinds: list[tuple[str, CallFacts]] = []
        for picked in product(*parts):
            if len(kinds) >= MOST_KINDS:
                self._notes.append(
                    f"{self._one.label}: more than {MOST_KINDS} kinds of callers; the first were compared"
                )
                break
            label = ", ".join(filter(None, (name for name, _ in picked)))
            facts: dict[str, object] = {}
            headers: dict[str, str] = {}
            for _, values in picked:
                headers |= {k[7:]: str(v) for k, v in values.items() if k.startswith("header ")}
                facts |= {k: v for k, v in values.items() if not k.startswith("header ")}
            kinds.append((label, CallFacts(self._one.example, headers=headers, **facts)))  # type: ignore[arg-type]
        return kinds

    def _callers(self, asked: Iterable[Condition]) -> Iterator[tuple[str, dict[str, object]]]:
        known = {id(callers): callers for condition in asked for callers in condition.callers}
        names = {text for condition in asked for text in condition.when.caller}
        yield "", {"caller": "+99900000000"}
        if not known:
            return
        yield ANONYMOUS, {"caller": ""}
        patterns = [pattern for callers in known.values() for pattern in callers.patterns]
        if len(patterns) > MOST_KINDS:
            self._notes.append(f"callers of {', '.join(sorted(names))}: the first {MOST_KINDS} were compared")
        seen: set[tuple[bool, ...]] = set()
        for pattern in patterns[:MOST_KINDS]:
            others = [other for other in patterns if other is not pattern and narrower(other, pattern)]
            example = uncovered(pattern, others[:MOST_KINDS])
            if example is None:
                continue
            kind = tuple(example in callers for callers in known.values())
            if kind not in seen:
                seen.add(kind)
                yield f"caller {pattern.text}", {"caller": example}

    def _trunks(self, asked: Iterable[Condition]) -> Iterator[tuple[str, dict[str, object]]]:
        served = [name for plan in self._plans for name in plan.spec.trunks]
        named = [name for condition in asked for name in condition.when.trunk]
        for name in dict.fromkeys([*served, *named]):
            yield f"trunk {name}", {"trunk": name}
        yield "" if not (served or named) else "no trunk", {"trunk": ""}

    def _loads(self, asked: Iterable[Condition]) -> Iterator[tuple[str, dict[str, object]]]:
        yield "", {}
        for share in sorted({condition.load for condition in asked if condition.load}):
            yield f"load {share:.0%}", {"load": Load(share)}
        numbers = [rule.action for rule in self._rules if rule is not None]
        for most in sorted({action.max_calls.limit for action in numbers if action.max_calls}):
            calls = {action.number: most for action in numbers}
            yield f"{most} calls at once", {"load": Load(calls=calls)}
        for most in sorted({action.calls_per_hour.limit for action in numbers if action.calls_per_hour}):
            recent = {(action.number, "+99900000000"): most for action in numbers}
            yield f"{most} calls of that caller within an hour", {"load": Load(recent=recent)}


def _splits(plan: Plan, rule: Rule | None) -> bool:
    """May a call of this rule be given an arm of a split?"""
    if rule is None:
        return False
    outcomes = (rule.action, *rule.action.routes)
    limits = (rule.action.max_calls, rule.action.calls_per_hour)
    failing = (rule.action.on_failure, plan.spec.defaults.on_failure)
    names = {one.agent or one.target for one in outcomes} | {limit.then for limit in limits if limit}
    names |= {one.closed for one in failing if one}
    several = [plan.spec.targets[name].split for name in names if name in plan.spec.targets]
    return any(several) or any(one.split for one in outcomes)


def _languages(asked: Iterable[Condition]) -> Iterator[tuple[str, dict[str, object]]]:
    yield "", {}
    for tag in dict.fromkeys(tag for condition in asked for tag in condition.when.language):
        yield f"language {tag}", {"header accept-language": tag}


def _headers(asked: Iterable[Condition]) -> list[list[tuple[str, dict[str, object]]]]:
    wanted: dict[str, list[tuple[str, dict[str, object]]]] = {}
    for condition in asked:
        for name, value in condition.when.header.items():
            kind: tuple[str, dict[str, object]] = (
                f"{name}: {value}",
                {f"header {name.lower()}": value.replace("*", "")},
            )
            known = wanted.setdefault(name.lower(), [("", {})])
            if kind not in known:
                known.append(kind)
    return list(wanted.values())


def _end(decision: Decision) -> str:
    """Where a call ends up, in a word or two."""
    if decision.route is not None:
        return decision.taker
    return f"sent to {', '.join(decision.redirect)}" if decision.redirect else f"refused with {decision.code}"


def shown(spells: Sequence[Spell]) -> list[str]:
    """Spells in few lines: days of a week with the same hours are one."""
    by_hours: dict[str, list[int]] = {}
    weekly: list[Spell] = []
    special: list[Spell] = []
    for spell in spells:
        end = spell.end - timedelta(minutes=1)
        if spell.weekly and end.date() == spell.start.date():
            hours = f"{spell.start:%H:%M} to {spell.end:%H:%M}".replace("to 00:00", "to 24:00")
            by_hours.setdefault(hours, []).append(spell.start.weekday())
        elif spell.weekly or not special or special[-1].end != spell.start:
            (weekly if spell.weekly else special).append(spell)
        else:  # one special day after the other
            special[-1] = Spell(special[-1].start, spell.end, weekly=False)
    return [
        *(f"{_days(days)} {hours}" for hours, days in by_hours.items()),
        *map(str, weekly),
        *map(str, special),
    ]


def _days(numbers: Sequence[int]) -> str:
    """`mon-fri`, `mon, wed-fri`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(DAYS[run[0]] + (f"-{DAYS[run[-1]]}" if len(run) > 1 else "") for run in runs)


def _merged(
    pairs: Sequence[tuple[str, str]], at: Sequence[datetime], end: datetime
) -> Iterator[tuple[str, str, datetime, datetime]]:
    """Spells that differ: what before, what after, from, to."""
    until = [*at[1:], end]
    for (before, after), several in groupby(range(len(pairs)), key=lambda place: pairs[place]):
        places = list(several)
        if before != after:
            yield before, after, at[places[0]], until[places[-1]]
