"""Calendars that contradict themselves, and hours of the week that no route takes. Pure.

Routes that ask for nothing but the time are tried at every half hour and boundary of an ordinary week, and on every
special day of the calendars they name: exact enough for hours that people write, and one look instead of a proof."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from telephony.dialplan.compile import UTC, FilesRead, compiled_calendars
from telephony.dialplan.condition import Condition, condition
from telephony.dialplan.document import Loc, nearest
from telephony.dialplan.finding import Finding
from telephony.dialplan.hours import DAYS, Hours, dates, days, overlapping, shown, span
from telephony.dialplan.model import Branch, Calendar, DialPlan

SPECIAL_DAYS = 400  # looked at, of each plan
MONDAY = date(2001, 1, 1)


def check_calendars(plan: DialPlan, files: FilesRead, unread: Collection[str]) -> Iterator[Finding]:
    """Everything about times."""
    for name, calendar in plan.calendars.items():
        yield from _calendar(plan, ("calendars", name), name, calendar)
    yield from _zone_missing(plan)
    if any(rule.routes for rule in plan.numbers):
        yield from _Routes(plan, files).findings(unread)


def _calendar(plan: DialPlan, loc: Loc, name: str, calendar: Calendar) -> Iterator[Finding]:
    if calendar.timezone is None and plan.timezone is None:
        fact = f"calendar {name!r} has no time zone. Add `timezone: Europe/Berlin` here or to the plan."
        yield Finding(loc, fact, key=True)
    if not calendar.open and not calendar.open_also:
        yield Finding(
            loc, f"calendar {name!r} is never open. Add `open: {{mon-fri: 08:00-17:00}}`.", key=True
        )
    by_day: dict[int, list[tuple[tuple[int, int], str]]] = {}
    for written, texts in calendar.open.items():
        for day in days(written):
            by_day.setdefault(day, []).extend((span(text), written) for text in texts)
    told: set[str] = set()
    for day, spans in by_day.items():
        if (both := overlapping([one for one, _ in spans])) is not None:
            written = next(key for one, key in reversed(spans) if one in both)
            if written not in told:
                told.add(written)
                fact = f"{shown(both[0])} and {shown(both[1])} overlap on {DAYS[day]}. Make them one."
                yield Finding((*loc, "open", written), fact, key=True)
    exceptions: dict[date, str] = {day: text for text in calendar.open_also for day in _each(text)}
    for text in calendar.closed:
        if clash := next((day for day in _each(text) if day in exceptions), None):
            fact = f"{clash} is both closed and in `open_also` ({exceptions[clash]}). Keep one."
            yield Finding((*loc, "closed", text), fact, key=True)
    for text, texts in calendar.open_also.items():
        if (both := overlapping([span(one) for one in texts])) is not None:
            fact = f"{shown(both[0])} and {shown(both[1])} overlap. Make them one."
            yield Finding((*loc, "open_also", text), fact, key=True)


def _zone_missing(plan: DialPlan) -> Iterator[Finding]:
    """Days and times of routes are those of the plan's time zone."""
    if plan.timezone is not None:
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

    def findings(self, unread: Collection[str]) -> Iterator[Finding]:
        for position, rule in enumerate(self._plan.numbers):
            if not rule.routes:
                continue
            loc: Loc = ("numbers", position)
            missing = [
                Finding((*loc, "routes", at, "when", "calendar"), self._no_calendar(branch.when.calendar))
                for at, branch in enumerate(rule.routes)
                if branch.when and branch.when.calendar and branch.when.calendar not in self._calendars
            ]
            if missing or "calendars" in unread:
                yield from () if "calendars" in unread else missing
                continue
            key = repr([branch.when for branch in rule.routes])
            if key not in self._known:
                self._known[key] = list(self._number(rule.routes))
            yield from (Finding((*loc, *found.loc), found.text, found.key) for found in self._known[key])

    def _no_calendar(self, name: str) -> str:
        return f"no calendar {name!r}.{nearest(name, self._calendars)} Describe it under `calendars:`."

    def _number(self, routes: Sequence[Branch]) -> Iterator[Finding]:
        """What is wrong with the order and the hours of one number's routes."""
        last = next((at for at, branch in enumerate(routes) if branch.when is None), None)
        if last is not None and last + 1 < len(routes):
            fact = "this route is never reached: the one before it has no `when`. Move it up, or remove it."
            yield Finding(("routes", last + 1), fact)
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
        """An ordinary week, and the special days, each at every half hour and at every boundary."""
        minutes = set(range(0, 24 * 60, 30))
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


def _boundaries(hours: Hours) -> set[int]:
    spans = [one for day in hours.week for one in day]
    spans += [one for day, _ in hours.special.values() for one in day]
    return {minute % (24 * 60) for one in spans for minute in one}
