"""`offhook dialplan diff`: which calls would go elsewhere, exactly."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from telephony.dialplan.compare import Comparison, compare, shown
from telephony.dialplan.condition import CallFacts
from telephony.dialplan.document import FileProblems
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import Plan, decide
from tests.telephony.dialplan.plans_at_random import NUMBERS, plans

TODAY = date(2026, 11, 23)
PLAN = """
version: 1
timezone: Europe/Berlin
calendars: {office: {open: {mon-fri: "08:00-18:00"}, holidays: {2026-12-25: Christmas}}}
lists: {known: ["+49160*"]}
agents: {day: {instructions: x}, night: {instructions: x}}
numbers:
  - number: "+4989100"
    routes:
      - {when: {caller: known}, agent: day}
      - {when: {calendar: office}, agent: day}
      - {agent: night}
  - {number: "+49892XX", agent: day}
  - {number: any, reject: 404}
"""


def compared(*changes: tuple[str, str]) -> Comparison:
    new = PLAN
    for old, other in changes:
        assert old in new
        new = new.replace(old, other)
    return compare(parse_plan(PLAN.encode()), parse_plan(new.encode()), TODAY)


def lines(found: Comparison) -> list[str]:
    return [
        f"{', '.join(one.numbers)} {one.callers}: {one.before} -> {one.after}: {'; '.join(shown(one.spells))}"
        for one in found.changes
    ]


def test_a_plan_does_not_differ_from_itself() -> None:
    assert compared() == Comparison((), (), ())


def test_longer_hours_change_exactly_the_hours_between_for_those_who_are_not_known() -> None:
    found = compared(('"08:00-18:00"', '"08:00-19:30"'))
    assert lines(found) == ["+4989100 other callers; anonymous: night -> day: mon-fri 18:00 to 19:30"]


def test_a_new_holiday_is_a_day_of_its_own_and_says_nothing_of_the_week() -> None:
    found = compared(("{2026-12-25: Christmas}", "{2026-12-25: Christmas, 2026-12-28: stocktaking}"))
    (line,) = lines(found)
    assert line.endswith("day -> night: 2026-12-28 08:00 to 2026-12-28 18:00")


def test_holidays_in_a_row_are_one_spell() -> None:
    found = compared(
        ("{2026-12-25: Christmas}", "{2026-12-25: Christmas, 2026-12-28..2026-12-30: stocktaking}")
    )
    assert len(found.changes[0].spells) == 3, "each day has hours of its own"
    whole = [replace(spell, start=midnight(spell.start), end=midnight(spell.start) + timedelta(days=1))
             for spell in found.changes[0].spells]  # fmt: skip
    assert shown(whole) == ["2026-12-28 00:00 to 2026-12-31 00:00"]


def midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0)


def test_a_narrower_pattern_takes_its_share_of_a_pattern_only() -> None:
    found = compared(("  - {number: any", '  - {number: "+498925X", agent: night}\n  - {number: any'))
    assert lines(found) == ["+49892XX and +498925X : day -> night: always"]
    assert found.changes[0].example == "+4989250"


def test_a_number_that_is_gone_falls_to_whatever_is_left() -> None:
    found = compared(('  - {number: "+49892XX", agent: day}\n', ""))
    assert lines(found) == ["+49892XX and any : day -> refused with 404: always"]


def test_an_agent_who_says_something_else_is_named_though_no_call_moves() -> None:
    found = compared(("night: {instructions: x}", "night: {instructions: y}"))
    assert (found.changes, found.agents) == ((), ("night",))


def test_a_rule_that_stands_in_two_plans_under_other_limits_differs_when_they_are_reached() -> None:
    found = compared(('"+49892XX", agent: day', '"+49892XX", agent: day, max_calls: 5'))
    assert lines(found) == ["+49892XX 5 calls at once: day -> refused with 486: always"]


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    one=plans(),
    two=plans(),
    calls=st.lists(
        st.tuples(st.sampled_from(NUMBERS), st.integers(0, 7 * 24 * 60 - 1)), min_size=10, max_size=40
    ),
)
def test_a_call_goes_elsewhere_if_and_only_if_the_difference_says_so(
    one: str, two: str, calls: list[tuple[str, int]]
) -> None:
    """Of the typical week, for a caller whom no plan knows; the week is that of the new plan's clock."""
    old, new = _good(one), _good(two)
    assume(old is not None and new is not None)
    assert old is not None and new is not None
    monday = date(2026, 6, 15)  # no change of clocks, no special day near
    found = compare(old, new, monday, monday)
    zone = ZoneInfo(new.spec.timezone or "UTC")
    for number, minute in calls:
        at = datetime(2026, 6, 15, tzinfo=zone).astimezone(UTC) + timedelta(minutes=minute)
        facts = CallFacts(number, "+99900000000", at=at)
        ends = tuple(_end(plan, facts) for plan in (old, new))
        told = {
            (change.before, change.after)
            for change in found.changes
            if _meant(change.numbers, number, old, new)
            and ("other callers" in change.callers or not change.callers)
            for spell in change.spells
            if spell.weekly and spell.start <= at < spell.end
        }
        moved.append(ends[0] != ends[1])
        assert told == ({ends} if ends[0] != ends[1] else set()), f"{number} {at}\n{one}\n{two}"

    if len(moved) > 200:
        assert 20 < sum(moved) < len(moved) - 20, "the plans of this test are all alike, or all different"


moved: list[bool] = []


def _good(text: str) -> Plan | None:
    with suppress(FileProblems):
        return parse_plan(text.encode())
    return None


def _meant(labels: tuple[str, ...], number: str, old: Plan, new: Plan) -> bool:
    rules = [next(plan.rules(number), None) for plan in (old, new)]
    exact = any(number in index.exact for plan in (old, new) for _, index in plan.indexes)
    texts = dict.fromkeys(rule.pattern.text for rule in rules if rule is not None)
    return (number if exact else " and ".join(texts)) in labels


def _end(plan: Plan, facts: CallFacts) -> str:
    decision = decide(plan, facts)
    return decision.taker if decision.route is not None else f"refused with {decision.code}"
