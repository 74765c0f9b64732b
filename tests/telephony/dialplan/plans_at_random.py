"""Dial plans, callers and moments for property tests: what a plan may ask of a call, near changes of clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")
NUMBERS = ("+4989100", "+4989101", "+498915", "100", "142", "+33123")
PATTERNS = (*NUMBERS, "+49*", "+4989*", "+49891XX", "+4989[1-3]0X", "1XX", "ZXX", "any")
CALLERS = ("", "+4916012345", "+491601", "+12125550100", "200")
CLOCKS = (  # moments about which the clocks of one of the zones are changed
    datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 1, 0, tzinfo=UTC),
    datetime(2026, 3, 8, 7, 0, tzinfo=UTC),
    datetime(2026, 11, 1, 6, 0, tzinfo=UTC),
    datetime(2026, 4, 4, 15, 0, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
)

_day = st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun", "mon-fri", "sat-sun", "daily"])
_minute = st.integers(0, 24 * 4 - 1).map(lambda quarter: quarter * 15)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


_span = st.tuples(_minute, _minute).filter(lambda ends: ends[0] != ends[1]).map(
    lambda ends: f'"{_clock(ends[0])}-{_clock(ends[1])}"'
)  # fmt: skip
_date = st.sampled_from(["2026-03-29", "2026-10-25", "2026-11-01", "2026-12-25"])


@st.composite
def _when(draw: st.DrawFn) -> str:
    parts = {
        "caller": st.sampled_from(["known", "anonymous", '"+4916*"', '["+491601", anonymous]']),
        "day": _day,
        "time": _span,
        "date": _date,
        "calendar": st.sampled_from(["office", "office, is: closed", "office, is: holiday"]),
        "header": st.just('{X-Line: "gold*"}'),
    }
    keys = draw(st.lists(st.sampled_from(sorted(parts)), min_size=1, max_size=2, unique=True))
    return "{" + ", ".join(f"{key}: {draw(parts[key])}" for key in keys) + "}"


@st.composite
def _number(draw: st.DrawFn, number: str) -> str:
    head = f'  - number: "{number}"\n    priority: {draw(st.sampled_from([0, 0, 0, 5]))}\n'
    last = draw(st.sampled_from(["agent: a", "agent: b", "target: box", "reject: 486"]))
    if draw(st.booleans()):
        return f"{head}    {last}\n"
    lines = [
        f"      - {{when: {draw(_when())}, {draw(st.sampled_from(['agent: a', 'agent: c', 'target: box']))}}}\n"
        for _ in range(draw(st.integers(1, 3)))
    ]
    return f"{head}    routes:\n{''.join(lines)}      - {{{last}}}\n"


@st.composite
def plans(draw: st.DrawFn) -> str:
    """A plan as YAML. It may be wrong (branches that nobody reaches, for instance): then it is not taken."""
    zone, office = draw(st.sampled_from(ZONES)), draw(st.sampled_from(ZONES))
    hours = ", ".join(f"{draw(_day)}: {draw(_span)}" for _ in range(1))
    numbers = draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=5, unique=True))
    return (
        f"version: 1\ntimezone: {zone}\n"
        f'lists: {{known: ["+49160*", "200"]}}\n'
        f"calendars:\n  office:\n    timezone: {office}\n    open: {{{hours}}}\n"
        f"    holidays: [{draw(_date)}]\n    open_also: {{2026-04-05: {draw(_span)}}}\n"
        "agents: {a: {instructions: x}, b: {instructions: x}, c: {instructions: x}}\n"
        "targets: {box: {voicemail: Speak.}}\n"
        "numbers:\n" + "".join(draw(_number(number)) for number in numbers)
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """One call."""

    number: str
    caller: str
    line: str
    at: datetime


def moments() -> st.SearchStrategy[datetime]:
    """About the changes of clocks, and at any other time of the year."""
    near = st.tuples(st.sampled_from(CLOCKS), st.integers(-36 * 60, 36 * 60)).map(
        lambda found: found[0] + timedelta(minutes=found[1])
    )
    far = st.integers(0, 365 * 24 * 60).map(lambda m: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=m))
    return near | far


def calls() -> st.SearchStrategy[Asked]:
    """Somebody rings, at some time."""
    return st.builds(
        Asked,
        st.sampled_from(NUMBERS),
        st.sampled_from(CALLERS),
        st.sampled_from(["", "gold 7", "silver"]),
        moments(),
    )
