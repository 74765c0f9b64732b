"""Dial plans, callers and moments for property tests: what a plan may ask of a call, near changes of clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")
NUMBERS = ("+4989100", "+4989101", "+498915", "100", "142", "+33123")
PATTERNS = (*NUMBERS, "+498910055", "+49*", "+4989*", "+49891XX", "+4989[1-3]0X", "1XX", "ZXX", "any")
FITTING = {  # a number for each
    **{number: number for number in NUMBERS}, "+498910055": "+498910055", "+49*": "+4930", "+4989*": "+498977",
    "+49891XX": "+4989155", "+4989[1-3]0X": "+4989205", "1XX": "177", "ZXX": "955", "any": "+1212",
}  # fmt: skip
CALLERS = ("", "+4916012345", "+491601", "+12125550100", "200", "016012345", "0049160999")
DIALLED = (*NUMBERS, "08910055", "004989101", "+498910055")
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
def _when(draw: st.DrawFn, everything: bool) -> str:
    parts: dict[str, st.SearchStrategy[str]] = {
        "caller": st.sampled_from(["known", "anonymous", '"+4916*"', '["+491601", anonymous]']),
        "day": _day,
        "time": _span,
        "date": _date,
        "calendar": st.sampled_from(["office", "office, is: closed", "office, is: holiday"]),
        "header": st.just('{X-Line: "gold*"}'),
    }
    if everything:
        parts |= {
            "trunk": st.sampled_from(["carrier", "pbx", "[carrier, pbx]"]),
            "language": st.sampled_from(["de", "en-GB", "[fr, de-AT]"]),
            "load": st.sampled_from(["30%", "80%"]),
        }
    keys = draw(st.lists(st.sampled_from(sorted(parts)), min_size=1, max_size=2, unique=True))
    return "{" + ", ".join(f"{key}: {draw(parts[key])}" for key in keys) + "}"


@st.composite
def _number(draw: st.DrawFn, number: str, everything: bool) -> str:
    head = f'  - number: "{number}"\n    priority: {draw(st.sampled_from([0, 0, 0, 5]))}\n'
    takers = ["agent: a", "agent: c", "target: box"]
    ends = ["agent: a", "agent: b", "target: box", "reject: 486"]
    if everything:
        more = ["split: {a: 60%, box: 40%}", "target: trial", "target: away", 'redirect: "sip:d@pbx.example"']
        takers, ends = takers + more, ends + more
        head += "".join(draw(st.lists(_limits, max_size=2, unique_by=lambda line: line.split(":")[0])))
    last = draw(st.sampled_from(ends))
    if draw(st.booleans()):
        return f"{head}    {last}\n"
    lines = [
        f"      - {{when: {draw(_when(everything))}, {draw(st.sampled_from(takers))}}}\n"
        for _ in range(draw(st.integers(1, 3)))
    ]
    return f"{head}    routes:\n{''.join(lines)}      - {{{last}}}\n"


_limits = st.sampled_from(
    [
        "    open: office\n    on_failure: {closed: b}\n",
        "    open: office\n    on_failure: {closed: trial, agent_crash: b}\n",
        '    open: office\n    on_failure: {closed: "sip:night@pbx.example"}\n',
        "    max_calls: 2\n",
        "    max_calls: {limit: 1, then: box}\n",
        "    calls_per_hour: {limit: 1, then: away}\n",
        "    calls_per_hour: {limit: 2, then: trial}\n",
    ]
)


@st.composite
def plans(draw: st.DrawFn, everything: bool = False) -> str:
    """A plan as YAML. It may be wrong (branches that nobody reaches, for instance): then it is not taken.

    everything: with trunks, languages, load, limits, hours of numbers, splits and redirects too."""
    zone, office = draw(st.sampled_from(ZONES)), draw(st.sampled_from(ZONES))
    hours = ", ".join(f"{draw(_day)}: {draw(_span)}" for _ in range(1))
    numbers = draw(
        st.lists(st.sampled_from(PATTERNS), min_size=2 if everything else 1, max_size=5, unique=True)
    )
    trunks = draw(
        st.sampled_from(["", "", "trunks: {carrier: {numbers: e164}, pbx: {numbers: national de}}\n"])
    )
    more = "  trial: {split: {a: 50%, c: 50%}}\n  away: {redirect: [sip:x@pbx.example, sip:y@pbx.example]}\n"
    return (
        f"version: 1\ntimezone: {zone}\n{trunks if everything else ''}"
        f'lists: {{known: ["+49160*", "200"]}}\n'
        f"calendars:\n  office:\n    timezone: {office}\n    open: {{{hours}}}\n"
        f"    holidays: [{draw(_date)}]\n    open_also: {{2026-04-05: {draw(_span)}}}\n"
        "agents: {a: {instructions: x}, b: {instructions: x}, c: {instructions: x}}\n"
        f"targets:\n  box: {{voicemail: Speak.}}\n{more if everything else ''}"
        "numbers:\n" + "".join(draw(_number(number, everything)) for number in numbers)
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """One call. line: of X-Line, language: of Accept-Language, "" for none. load: the share of the capacity in use."""

    number: str
    caller: str
    line: str
    at: datetime
    language: str = ""
    trunk: str = "carrier"
    load: float = 0.0

    @property
    def headers(self) -> dict[str, str]:
        """Those that it has."""
        given = {"x-line": self.line, "accept-language": self.language}
        return {name: value for name, value in given.items() if value}


def moments() -> st.SearchStrategy[datetime]:
    """About the changes of clocks, on the holidays, and at any other time of the year."""
    near = st.tuples(st.sampled_from(CLOCKS), st.integers(-36 * 60, 36 * 60)).map(
        lambda found: found[0] + timedelta(minutes=found[1])
    )
    far = st.integers(0, 365 * 24 * 60).map(lambda m: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=m))
    special = st.tuples(st.sampled_from([3, 10, 11, 12]), st.integers(0, 48 * 60)).map(
        lambda found: (
            datetime(2026, found[0], {3: 29, 10: 25, 11: 1, 12: 25}[found[0]], tzinfo=UTC)
            + timedelta(minutes=found[1] - 12 * 60)
        )
    )
    return near | far | special


def calls() -> st.SearchStrategy[Asked]:
    """Somebody rings, at some time."""
    return st.builds(
        Asked,
        st.sampled_from(DIALLED),
        st.sampled_from(CALLERS),
        st.sampled_from(["", "gold 7", "silver"]),
        moments(),
        st.sampled_from(["", "de-AT, en;q=0.5", "fr;q=0.3, en-GB;q=0.7", "en", "fr"]),
        st.sampled_from(["carrier", "pbx"]),
        st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    )
