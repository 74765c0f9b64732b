"""When somebody is there: weekly hours, holidays and exceptions, asked for a moment of the wall clock. Pure.

Hours are those of the clock on the wall, half-open [from, to): the hour that a clock change leaves out is nobody's,
the one it repeats counts both times. iCalendar files are read by holidays.py, before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from telephony.dialplan.document import nearest
from telephony.dialplan.values import PlanModel

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
LONGEST_SPAN_DAYS = 3660

State: TypeAlias = Literal["open", "closed", "holiday"]
Span: TypeAlias = tuple[int, int]  # minutes after midnight, half-open; an end above 1440 is on the next day

_TIME = re.compile(r"([01]?[0-9]|2[0-4])[:.]([0-5][0-9])", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


# ---------------------------------------------------------------- texts with a form


def zone(text: str) -> str:
    """The name of a time zone (IANA). Raises ValueError with the nearest one."""
    if text not in _zones():
        raise ValueError(f"there is no time zone {text!r}.{_nearest_zone(text)} Write it like Europe/Berlin.")
    return text


def _zones() -> frozenset[str]:
    if not _ZONES:
        _ZONES.append(frozenset(available_timezones()))
    return _ZONES[0]


_ZONES: list[frozenset[str]] = []  # reading them takes 20 ms, and most plans name one that is there


def _nearest_zone(text: str) -> str:
    by_city = {name.rpartition("/")[2].lower(): name for name in sorted(_zones()) if "/" in name}
    if found := by_city.get(text.rpartition("/")[2].lower().replace(" ", "_")):
        return f" Did you mean {found!r}?"
    hint = nearest(text, _zones())
    return hint if "mean" in hint else ""


def span(text: str) -> Span:
    """`08:00-12:30`, or `22:00-06:00` over midnight. Raises ValueError."""
    ends = [_TIME.fullmatch(part.strip()) for part in re.split("-|\u2013", text)]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        raise ValueError(f"{text!r} is not a time of day. Write it like 08:00-17:30.")
    start, end = (int(form[1]) * 60 + int(form[2]) for form in ends if form)
    if start >= DAY_MINUTES or end > DAY_MINUTES:
        raise ValueError(f"{text!r} is not a time of day. A day ends at 24:00.")
    if start == end:
        raise ValueError(f"{text!r} is empty: it ends when it begins. Write 00:00-24:00 for the whole day.")
    return (start, end) if end > start else (start, end + DAY_MINUTES)


def days(text: str) -> tuple[int, ...]:
    """`mon`, `mon-fri`, `sat, sun`, `daily`: numbers of weekdays, Monday is 0. Raises ValueError."""
    found: list[int] = []
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if part.strip() in ("daily", "every day"):
            found += range(7)
            continue
        ends = [_day(name.strip(), text) for name in (first, last or first)]
        count = (ends[1] - ends[0]) % 7 + 1
        found += [(ends[0] + step) % 7 for step in range(count)]
    return tuple(dict.fromkeys(found))


def _day(name: str, text: str) -> int:
    if name[:3] in DAYS and (len(name) == 3 or name in _LONG_DAYS):
        return DAYS.index(name[:3])
    raise ValueError(f"{text!r} is no day.{nearest(name[:3], DAYS)} Write it like mon-fri, sat.")


_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def dates(text: str) -> tuple[date, date]:
    """`2026-12-24`, or `2026-12-24..2027-01-06`, both included. Raises ValueError."""
    first, dots, last = text.partition("..")
    one, two = _date(first.strip(), text), _date((last if dots else first).strip(), text)
    if two < one:
        raise ValueError(f"{text!r} ends before it begins. Swap the dates.")
    if (two - one).days > LONGEST_SPAN_DAYS:
        raise ValueError(f"{text!r} is longer than ten years. Mend the year.")
    return one, two


def _date(part: str, text: str) -> date:
    if not _DATE.fullmatch(part):
        raise ValueError(f"{text!r} is not a date. Write it like 2026-12-24 or 2026-12-24..2027-01-06.")
    try:
        return date.fromisoformat(part)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date: {error}. Look at the calendar.") from None


def _holiday(text: str) -> str:
    if not text.lower().endswith(".ics"):
        try:
            dates(text)
        except ValueError:
            fact = f"{text!r} is neither a date nor an iCalendar file; holidays of a region are not built in."
            raise ValueError(f"{fact} Write 2026-12-25, or the path of an .ics file.") from None
    return text


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _named_or_listed(value: Any) -> Any:
    """`[2026-12-25, file.ics]`, or `{2026-12-25: Christmas Day}`."""
    value = _listed(value)
    return dict.fromkeys(value, "") if _are_texts(value) else value


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _checked(check: Any) -> AfterValidator:
    def validate(text: str) -> str:
        check(text)
        return text

    return AfterValidator(validate)


Zone: TypeAlias = Annotated[str, AfterValidator(zone)]
Days: TypeAlias = Annotated[str, _checked(days)]
Dates: TypeAlias = Annotated[str, _checked(dates)]
TimeSpan: TypeAlias = Annotated[
    str,
    _checked(span),
    WithJsonSchema({"type": "string", "pattern": rf"^\s*{_TIME.pattern}\s*[-\u2013]\s*{_TIME.pattern}\s*$"}),
]
TimeSpans: TypeAlias = Annotated[tuple[TimeSpan, ...], BeforeValidator(_listed)]


# ---------------------------------------------------------------- what may be written


class Calendar(PlanModel):
    """When somebody is there. open: days → hours. holidays: dates or .ics files, beside the plan. closed: dates →
    why. open_also: dates → hours of that day, whatever else is said of it."""

    timezone: Zone | None = None
    open: dict[Days, TimeSpans] = {}
    holidays: Annotated[
        dict[Annotated[str, AfterValidator(_holiday)], str], BeforeValidator(_named_or_listed)
    ] = {}
    closed: Annotated[dict[Dates, str], BeforeValidator(_named_or_listed)] = {}
    open_also: dict[Dates, TimeSpans] = {}


# ---------------------------------------------------------------- what it means


@dataclass(frozen=True, slots=True)
class Hours:
    """A calendar that can be asked. week: spans of each day; special: what is different on a date, and why."""

    zone: ZoneInfo
    week: tuple[tuple[Span, ...], ...]
    special: Mapping[date, tuple[tuple[Span, ...], str]] = field(default_factory=dict)

    def state(self, at: datetime) -> State:
        """Is somebody there? at: any time zone, aware. A holiday is a day that is closed by its date."""
        local = at.astimezone(self.zone)
        today, minute = local.date(), local.hour * 60 + local.minute
        if any(start <= minute < end for start, end in self._spans(today)):
            return "open"
        if any(minute + DAY_MINUTES < end for _, end in self._spans(today - timedelta(days=1))):
            return "open"
        return "holiday" if today in self.special and not self.special[today][0] else "closed"

    def why(self, at: datetime) -> str:
        """The state in words, for `who`."""
        local = at.astimezone(self.zone)
        reason = self.special.get(local.date(), ((), ""))[1]
        return f"{self.state(at)} on {DAYS[local.weekday()]} {local:%Y-%m-%d %H:%M}" + (
            f" ({reason})" if reason else ""
        )

    def _spans(self, day: date) -> tuple[Span, ...]:
        special = self.special.get(day)
        return self.week[day.weekday()] if special is None else special[0]


def hours(calendar: Calendar, timezone: str, holidays: Mapping[str, Mapping[date, str]]) -> Hours:
    """Make a calendar that can be asked. timezone: the plan's. holidays: what is in the .ics files, by name."""
    week: list[tuple[Span, ...]] = [()] * 7
    for names, spans in calendar.open.items():
        for day in days(names):
            week[day] += tuple(map(span, spans))
    special: dict[date, tuple[tuple[Span, ...], str]] = {}
    for text, why in calendar.holidays.items():
        if text in holidays:
            special.update({day: ((), name) for day, name in holidays[text].items()})
        elif not text.lower().endswith(".ics"):
            special.update(dict.fromkeys(_each(text), ((), why or "holiday")))
    for text, why in calendar.closed.items():
        special.update(dict.fromkeys(_each(text), ((), why or "closed")))
    for text, spans in calendar.open_also.items():
        special.update(dict.fromkeys(_each(text), (tuple(map(span, spans)), "open as an exception")))
    return Hours(ZoneInfo(calendar.timezone or timezone), tuple(week), special)


def _each(text: str) -> list[date]:
    first, last = dates(text)
    return [first + timedelta(days=step) for step in range((last - first).days + 1)]


def overlapping(spans: Sequence[Span]) -> tuple[Span, Span] | None:
    """Two spans of one day that share a minute."""
    ordered = sorted(spans)
    return next(((one, two) for one, two in zip(ordered, ordered[1:], strict=False) if two[0] < one[1]), None)


def shown(one: Span) -> str:
    """A span as it is written."""
    start, end = one
    end = end if end <= DAY_MINUTES else end - DAY_MINUTES
    return f"{start // 60:02d}:{start % 60:02d}-{end // 60:02d}:{end % 60:02d}"
