"""Is a branch of the plan for this call? Callers, trunk, headers, language, time and load, each with its reason. Pure.

A call is described by its `CallFacts`; whoever asks passes the wall clock and the load in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from telephony.dialplan.hours import DAY_MINUTES, DAYS, Hours, Span, dates, days, shown, span
from telephony.dialplan.index import Index
from telephony.dialplan.number import Pattern, normalise, parse_pattern
from telephony.dialplan.routing import ANONYMOUS, When, load_share

_Q = re.compile(r"q ?= ?([01](?:\.\d{0,3})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Load:
    """What is going on when a call comes. share: of the capacity in use, 0.0 to 1.0.

    calls: rule (its number as written) → calls now. recent: (rule, caller) → calls within the last hour."""

    share: float = 0.0
    calls: Mapping[str, int] = field(default_factory=dict)
    recent: Mapping[tuple[str, str], int] = field(default_factory=dict)


IDLE = Load()


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One call as the plan sees it. called, caller: user parts, or numbers as people write them; caller "" if hidden.

    trunk: "" for none. headers: lower-case name → value. at: the wall clock, aware; None: nobody knows, so that no
    condition on time fits. call_id: decides splits."""

    called: str
    caller: str = ""
    trunk: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None
    load: Load = IDLE
    call_id: str = ""

    @property
    def languages(self) -> tuple[str, ...]:
        """What the caller's side wants to hear, best first (Accept-Language: RFC 3261 §20.3, RFC 2616 §14.4)."""
        listed = [part.partition(";") for part in self.headers.get("accept-language", "").split(",")]
        found = [(_quality(q), tag.strip().lower()) for tag, _, q in listed if tag.strip()]
        return tuple(tag for quality, tag in sorted(found, key=lambda one: -one[0]) if quality)


@dataclass(frozen=True, slots=True)
class _Entry:
    pattern: Pattern


class Callers:
    """A set of callers: numbers, patterns, and perhaps those who hide theirs."""

    def __init__(self, numbers: Iterable[str]) -> None:
        self.anonymous = False
        self._index: Index[_Entry] = Index()
        for text in numbers:
            if text.strip().lower() == ANONYMOUS:
                self.anonymous = True
            else:
                self.add(parse_pattern(text))

    def add(self, pattern: Pattern) -> None:
        """One more number, or several."""
        self._index.add(_Entry(pattern))

    def __len__(self) -> int:
        return len(self._index)

    @property
    def patterns(self) -> Iterator[Pattern]:
        """Those who are in it, but for those who hide their number."""
        return (entry.pattern for entry in self._index.rules())

    def dismantle(self) -> Iterator[Pattern]:
        """Let go of one after the other."""
        return (entry.pattern for entry in self._index.dismantle())

    def __contains__(self, caller: str) -> bool:
        return self.anonymous if not caller else self._index.find(caller) is not None


@dataclass(frozen=True, slots=True)
class Condition:
    """A `when` that can be asked."""

    when: When
    callers: tuple[Callers, ...]
    hours: Hours | None
    zone: ZoneInfo
    days: frozenset[int]
    time: Span | None
    dates: tuple[date, date] | None
    load: float

    def mismatch(self, call: CallFacts, caller: str) -> str:
        """Why it is not true of this call, in a few words; empty if it is. caller: normalised."""
        when = self.when
        if when.trunk and call.trunk not in when.trunk:
            return f"trunk {call.trunk or 'none'} is not {' or '.join(when.trunk)}"
        if self.callers and not any(caller in known for known in self.callers):
            return f"caller {caller or ANONYMOUS} is not in {', '.join(when.caller)}"
        for name, wanted in when.header.items():
            value = call.headers.get(name.lower())
            if value is None or not fnmatchcase(value.lower(), wanted.lower()):
                return f"header {name} is {'missing' if value is None else repr(value)}, not {wanted!r}"
        if when.language and not _speaks(call.languages, when.language):
            return f"language {', '.join(call.languages) or 'unknown'} is not {' or '.join(when.language)}"
        if self.load and call.load.share < self.load:
            return f"load is {call.load.share:.0%}, below {self.load:.0%}"
        return self.mistimed(call.at)

    def mistimed(self, at: datetime | None) -> str:
        """Why it is not true at this moment; empty if it is."""
        if self.hours is None and not self.days and self.time is None and self.dates is None:
            return ""
        if at is None:
            return "the time of the call is not known"
        if self.hours is not None:
            state, wanted = self.hours.state(at), self.when.is_
            if not (state == wanted or (wanted == "closed" and state == "holiday")):
                return f"calendar {self.when.calendar} is {self.hours.why(at)}, not {wanted}"
        local = at.astimezone(self.zone)
        if self.days and local.weekday() not in self.days:
            return f"{DAYS[local.weekday()]} is not {self.when.day}"
        minute = local.hour * 60 + local.minute
        if self.time is not None and not _within(minute, self.time):
            return f"{local:%H:%M} is not in {shown(self.time)}"
        if self.dates is not None and not self.dates[0] <= local.date() <= self.dates[1]:
            return f"{local:%Y-%m-%d} is not {self.when.date}"
        return ""


def condition(
    when: When, lists: Mapping[str, Callers], calendars: Mapping[str, Hours], zone: ZoneInfo
) -> Condition:
    """Make a `when` that can be asked. lists, calendars: by name."""
    named = [lists[name] for name in when.caller if name in lists]
    numbers = [name for name in when.caller if name not in lists]
    return Condition(
        when,
        (*named, *((Callers(numbers),) if numbers else ())),
        calendars.get(when.calendar) if when.calendar else None,
        zone,
        frozenset(days(when.day)) if when.day else frozenset(),
        span(when.time) if when.time else None,
        dates(when.date) if when.date else None,
        load_share(when.load) if when.load else 0.0,
    )


def _quality(parameter: str) -> float:
    """`q=0.8`; 1.0 for none, or for what is no number."""
    form = _Q.fullmatch(parameter.strip().lower())
    return float(form[1]) if form else 1.0


def _speaks(languages: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Is the language that the caller likes best one of these? `de` is `de-AT` too, but not the other way round."""
    best = languages[0] if languages else ""
    return any(best == tag.lower() or best.startswith(f"{tag.lower()}-") for tag in wanted)


def _within(minute: int, time: Span) -> bool:
    start, end = time
    return start <= minute < end or minute + DAY_MINUTES < end


def in_e164(number: str, country: str, national: str, international: str) -> str:
    """A number as a trunk sends it, in E.164 with `+`. country: its calling code; national, international: what is
    dialled before numbers within and abroad. Short numbers, extensions, stay."""
    number = normalise(number)
    if number.startswith("+") or not number.isdigit() or len(number) < 7:
        return number
    if international and number.startswith(international):
        return "+" + number[len(international) :]
    if national and number.startswith(national):
        return f"+{country}{number[len(national) :]}"
    return f"+{number}" if not country or number.startswith(country) else f"+{country}{number}"
