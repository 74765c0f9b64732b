"""The moments at which a dial plan may change its mind, and so all that need be asked of it. Pure.

Between two of them every condition on time has one answer: hours and dates change at whole minutes of some wall clock,
and clocks themselves when they are put forward or back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from telephony.dialplan.hours import DAY_MINUTES, Hours
from telephony.dialplan.match import Plan, Rule

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
MOST_WEEKS = 60
HORIZON = timedelta(days=800)


@dataclass(slots=True)
class Moments:
    """What rules ask of the time. minutes: of a day, at which something begins or ends; days: that are special."""

    zones: set[ZoneInfo] = field(default_factory=set)
    minutes: set[int] = field(default_factory=lambda: {0})
    days: set[date] = field(default_factory=set)

    def add(self, plan: Plan, rule: Rule | None) -> None:
        """And what this rule asks."""
        if rule is None:
            return
        if rule.action.open in plan.calendars:
            self._hours(plan.calendars[rule.action.open])
        for branch in rule.branches:
            asked = branch.condition
            if asked is None:
                continue
            self.zones.add(asked.zone)
            if asked.hours is not None:
                self._hours(asked.hours)
            if asked.time is not None:
                self.minutes |= {minute % DAY_MINUTES for minute in asked.time}
            if asked.dates is not None:
                first, last = asked.dates
                week = [first + DAY * step for step in range(min((last - first).days, 6) + 1)]
                self.days |= {*week, last, first - DAY, last + DAY}

    def _hours(self, hours: Hours) -> None:
        self.zones.add(hours.zone)
        spans = [*(span for day in hours.week for span in day)]
        spans += [span for special, _ in hours.special.values() for span in special]
        self.minutes |= {minute % DAY_MINUTES for span in spans for minute in span}
        self.days |= set(hours.special)

    def typical_week(self, today: date) -> date:
        """The Monday of the next week without a special day and without a change of clocks, if there is one."""
        monday = today + DAY * (-today.weekday() % 7)
        for step in range(MOST_WEEKS):
            first = monday + WEEK * step
            near = {first + DAY * step for step in range(-1, 9)}
            if not near & self.days and not any(
                list(_shifts(zone, first, first + WEEK)) for zone in self.zones
            ):
                return first
        return monday

    def special(self, today: date) -> list[date]:
        """The special days to come, each with the day after: nights belong to the day on which they begin."""
        soon = {day for day in self.days if today <= day <= today + HORIZON}
        return sorted(soon | {day + DAY for day in soon})

    def within(self, first: date, last: date, zone: ZoneInfo) -> list[datetime]:
        """Every moment from the first day's midnight to that before `last`, in UTC, in order. zone: of the days."""
        start, end = _instant(first, 0, zone, 0), _instant(last, 0, zone, 0)
        found = {start}
        for there in self.zones | {zone}:
            for step in range(-1, (last - first).days + 2):
                day = first + DAY * step
                found |= {_instant(day, minute, there, fold) for minute in self.minutes for fold in (0, 1)}
            found |= set(_shifts(there, first - DAY, last + DAY))
        return sorted(moment for moment in found if start <= moment < end)


def _instant(day: date, minute: int, zone: ZoneInfo, fold: int) -> datetime:
    local = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone, fold=fold)
    return local.astimezone(UTC)


def _shifts(zone: ZoneInfo, first: date, last: date) -> Iterator[datetime]:
    """When the clocks of a zone are put forward or back."""
    at = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = datetime(last.year, last.month, last.day, tzinfo=UTC)
    while at < end:
        then = at + DAY
        if _offset(at, zone) != _offset(then, zone):
            low, high = at, then
            while high - low > timedelta(minutes=1):
                middle = low + timedelta(minutes=int((high - low).total_seconds() // 120))
                low, high = (middle, high) if _offset(middle, zone) == _offset(at, zone) else (low, middle)
            yield high
        at = then


def _offset(at: datetime, zone: ZoneInfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def moments(asked: Iterable[tuple[Plan, Rule | None]]) -> Moments:
    """What these rules ask of the time, together."""
    found = Moments()
    for plan, rule in asked:
        found.add(plan, rule)
    return found
