"""Calendars that contradict themselves, and hours of the week that no route takes. Pure.

Routes that ask for nothing but the time are tried at every moment at which an hour begins or ends, in an ordinary week
and on every special day of the calendars they name: one look instead of a proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from telephony.dialplan.compile import UTC, FilesRead, compiled_calendars
from telephony.dialplan.condition import Condition, condition
from telephony.dialplan.document import Loc, nearest
from telephony.dialplan.finding import Finding
from telephony.dialplan.hours import DAY_MINUTES, DAYS, Hours, Span, dates, days, overlapping, shown, span
from telephony.dialplan.model import Branch, Calendar, DialPlan, When
from telephony.dialplan.pruned import Unread
from telephony.dialplan.routing import load_share

SPECIAL_DAYS = 400  # looked at, of each plan
MONDAY = date(2001, 1, 1)


def check_calendars(plan: DialPlan, files: FilesRead, unread: Unread) -> Iterator[Finding]:
    """Everything about times."""
    for name, calendar in plan.calendars.items():
        yield from _calendar(plan, ("calendars", name), name, calendar)
    if all(calendar.timezone for calendar in plan.calendars.values()):  # else it has been said
        yield from _zone_missing(plan, unread)
    if any(rule.routes for rule in plan.numbers):
        yield from _Routes(plan, files).findings(unread)


def _calendar(plan: DialPlan, loc: Loc, name: str, calendar: Calendar) -> Iterator[Finding]:
    if calendar.timezone is None and plan.timezone is None:
        fact = f"calendar {name!r} has no time zone. Add `timezone: Europe/Berlin` here or to the plan."
        yield Finding(loc, fact, key=True, because=("timezone",))
    if not calendar.open and not calendar.open_also:
        yield Finding(
            loc, f"calendar {name!r} is never open. Add `open: {{mon-fri: 08:00-17:00}}`.", key=True
        )
    yield from _overlapping(loc, calendar)
    exceptions: dict[date, str] = {}
    for text, texts in calendar.open_also.items():
        if twice := next((day for day in _each(text) if day in exceptions), None):
            fact = f"{twice} is in {exceptions[twice]} too, and only one of them counts. Keep one."
            yield Finding((*loc, "open_also", text), fact, key=True)
        exceptions.update(dict.fromkeys(_each(text), text))
        if (both := overlapping([span(one) for one in texts])) is not None:
            fact = f"{shown(both[0])} and {shown(both[1])} overlap. Make them one."
            at = texts.index(shown(both[1])) if shown(both[1]) in texts else 0
            yield Finding((*loc, "open_also", text, at), fact)
    for text in calendar.closed:
        if clash := next((day for day in _each(text) if day in exceptions), None):
            fact = f"{clash} is both closed and in `open_also` ({exceptions[clash]}). Keep one."
            yield Finding((*loc, "closed", text), fact, key=True)


def _overlapping(loc: Loc, calendar: Calendar) -> Iterator[Finding]:
    """Hours of the week that share a minute, those too that go over midnight into the next day."""
    week = [(day, span(text), (written, at)) for written, texts in calendar.open.items()
            for day in days(written) for at, text in enumerate(texts)]  # fmt: skip
    told: set[tuple[str, int]] = set()
    for position, (day, one, where) in enumerate(week):
        for other_day, other, before in week[:position]:
            if where in told or where == before or not _meet(day, one, other_day, other):
                continue
            told.add(where)
            on = DAYS[day] if day == other_day else f"{DAYS[other_day]} and {DAYS[day]}"
            fact = f"{shown(other)} and {shown(one)} overlap on {on}. Make them one."
            yield Finding((*loc, "open", *where), fact)


def _meet(day: int, one: Span, other_day: int, other: Span) -> bool:
    """Do two spans of a week share a minute? Sunday's may go on into Monday."""
    week = len(DAYS) * DAY_MINUTES
    start, other_start = day * DAY_MINUTES + one[0], other_day * DAY_MINUTES + other[0]
    return (other_start - start) % week < one[1] - one[0] or (start - other_start) % week < other[1] - other[
        0
    ]


def _zone_missing(plan: DialPlan, unread: Unread) -> Iterator[Finding]:
    """Days and times of routes are those of the plan's time zone."""
    if plan.timezone is not None or "timezone" in unread.touched:
        return
    for position, rule in enumerate(plan.numbers):
        for at, branch in enumerate(rule.routes):
            when = branch.when
            if when is not None and (when.day or when.time or when.date):
                fact = "a time without a time zone. Add `timezone: Europe/Berlin` at the top of the plan."
                yield Finding(("numbers", position, "routes", at, "when"), fact, key=True)
                return


def _each(text: str) -> Iterator[date]:
    first, last = dates(text)
    yield from (first + timedelta(days=step) for step in range((last - first).days + 1))


class _Routes:
    """Which hours the routes of each number take."""

    def __init__(self, plan: DialPlan, files: FilesRead) -> None:
        self._plan = plan
        self._zone = ZoneInfo(plan.timezone or UTC)
        self._calendars = compiled_calendars(plan, files)
        self._known: dict[str, list[Finding]] = {}

    def findings(self, unread: Unread) -> Iterator[Finding]:
        for position, rule in enumerate(self._plan.numbers):
            if not rule.routes:
                continue
            loc: Loc = ("numbers", position)
            asked = [(at, branch.when.calendar) for at, branch in enumerate(rule.routes) if branch.when]
            if not all(map(_says, rule.routes)):
                continue  # check_calls.py has told
            broken = [name for _, name in asked if name and unread.lacks("calendars", name)]
            for at, name in asked:
                if name and name not in self._calendars and name not in broken:
                    yield Finding((*loc, "routes", at, "when", "calendar"), self._no_calendar(name))
            if broken or any(name and name not in self._calendars for _, name in asked):
                continue
            key = repr([branch.when for branch in rule.routes])
            if key not in self._known:
                self._known[key] = list(self._number(rule.routes))
            for found in self._known[key]:
                yield Finding((*loc, *found.loc), found.text, found.key, because=("routes",))

    def _no_calendar(self, name: str) -> str:
        return f"no calendar {name!r}.{nearest(name, self._calendars)} Describe it under `calendars:`."

    def _number(self, routes: Sequence[Branch]) -> Iterator[Finding]:
        """What is wrong with the order and the hours of one number's routes."""
        last = next((at for at, branch in enumerate(routes) if branch.when is None), None)
        if last is not None and last + 1 < len(routes):
            fact = "this route is never reached: the one before it has no `when`. Move it up, or remove it."
            yield Finding(("routes", last + 1), fact)
        yield from _implied(routes[:last])
        asked = [
            (at, condition(branch.when, {}, self._calendars, self._zone))
            for at, branch in enumerate(routes[:last])
            if branch.when and branch.when.temporal
        ]
        first, ever, left = self._tried(asked)
        for at, _ in asked:
            if at not in ever:
                yield Finding(
                    ("routes", at, "when"), "this is never true. Mend it, or remove the route.", key=True
                )
            elif at not in first:
                fact = (
                    "this route is never reached: earlier ones take all its hours. Move it up, or remove it."
                )
                yield Finding(("routes", at, "when"), fact, key=True)
        if last is None and left is not None:
            when = f"{DAYS[left.weekday()]} {left:%H:%M}" + (
                f" ({left:%Y-%m-%d})" if left.year != MONDAY.year else ""
            )
            fact = f"no route is left on {when}. Add a last one without `when`, `- {{reject: 404}}` for instance."
            yield Finding(("routes",), fact, key=True)

    def _tried(self, asked: Sequence[tuple[int, Condition]]) -> tuple[set[int], set[int], datetime | None]:
        """Routes that are first at some time, those that are ever true, and a time that is nobody's."""
        first: set[int] = set()
        ever: set[int] = set()
        left: datetime | None = None
        for at in self._times([one for _, one in asked]):
            fitting = [route for route, one in asked if not one.mistimed(at)]
            ever.update(fitting)
            first.update(fitting[:1])
            if not fitting and left is None:
                left = at
        return first, ever, left

    def _times(self, asked: Sequence[Condition]) -> Iterator[datetime]:
        """An ordinary week, and the special days, each at every boundary; hours of another zone at every half hour."""
        foreign = any(one.hours is not None and one.hours.zone.key != self._zone.key for one in asked)
        minutes = set(range(0, 24 * 60, 30)) if foreign else {0}
        special: set[date] = set()
        for one in asked:
            minutes.update(minute % (24 * 60) for minute in (one.time or ()))
            special.update(one.dates or ())
            if one.hours is not None:
                minutes.update(_boundaries(one.hours))
                special.update(one.hours.special)
        week = [MONDAY + timedelta(days=step) for step in range(7)]
        for day in [*week, *sorted(special)[-SPECIAL_DAYS:]]:
            for minute in sorted(minutes):
                yield datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=self._zone)


def _says(branch: Branch) -> bool:
    """Is its `when` left out, or does it ask for something?"""
    if (when := branch.when) is None:
        return "when" not in branch.model_fields_set
    return bool(when.model_fields_set - {"is_"}) and (
        bool(when.calendar) or "is_" not in when.model_fields_set
    )


def _implied(routes: Sequence[Branch]) -> Iterator[Finding]:
    """Routes that ask for all that an earlier one asks for, and more: whoever fits has gone there already."""
    for at, branch in enumerate(routes):
        when = branch.when
        if when is None or when.temporal:
            continue  # of times alone check the hours themselves
        if any(_wider(earlier.when, when) for earlier in routes[:at]):
            fact = (
                "this route is never reached: an earlier one takes all its calls. Move it up, or remove it."
            )
            yield Finding(("routes", at, "when"), fact, key=True)


def _wider(one: When | None, other: When) -> bool:
    """Is `one` true of every call of which `other` is? Without a look at the hours behind the words."""
    if one is None:
        return False
    for key in one.model_fields_set:
        asked, wanted = getattr(one, key), getattr(other, key)
        if key in ("caller", "trunk", "language"):
            if not wanted or not set(wanted) <= set(asked):
                return False
        elif key == "header":
            if not asked.items() <= wanted.items():
                return False
        elif key == "load":
            if wanted is None or load_share(asked) > load_share(wanted):
                return False
        elif asked != wanted:
            return False
    return bool(one.model_fields_set)


def _boundaries(hours: Hours) -> set[int]:
    spans = [one for day in hours.week for one in day]
    spans += [one for day, _ in hours.special.values() for one in day]
    return {minute % (24 * 60) for one in spans for minute in one}
