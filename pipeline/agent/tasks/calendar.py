"""A day, a time of day, or both. What was said is reckoned from the day it is where the call is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, tzinfo
from typing import Any, Generic, TypeVar

from pipeline import wall_clock
from pipeline.agent.tasks import when
from pipeline.agent.tasks.ask import Ask, More, Wrong
from pipeline.agent.tasks.wording import asked_back, day_worded, hour_worded, worded
from pipeline.agent.tools import function_tool
from pipeline.errors import ToolError
from pipeline.hearing.expectation import Expectation

T = TypeVar("T")
Now = Callable[[], datetime]


class _Dated(Ask[T], Generic[T]):
    """What the three have in common. tz: the time zone of the call, the machine's if None. now: called for the time it
    is. earliest, latest: days that may be had. past: a day that has been (a birthday); None: both."""

    def __init__(
        self,
        question: str,
        *,
        tz: tzinfo | None = None,
        now: Now | None = None,
        earliest: date | None = None,
        latest: date | None = None,
        past: bool | None = False,
        day_first: bool = False,
        **options: Any,
    ) -> None:
        self.tz, self.past, self.day_first = tz, past, day_first
        self._now = now or (lambda: wall_clock.now(tz))
        self._earliest, self._latest = earliest, latest
        super().__init__(question, **options)

    @property
    def today(self) -> date:
        return self._now().date()

    def _day(self, text: str) -> date | None:
        return when.day(text, self.today, past=bool(self.past), day_first=self.day_first)

    def _wrong_day(self, found: date) -> Wrong | None:
        if self.past is False and found < self.today:
            return Wrong("That day is over.")
        if self.past and found > self.today:
            return Wrong("That day is still to come.")
        if self._earliest is not None and found < self._earliest:
            day = spoken_day(self._earliest, self.today)
            return Wrong(worded("The first day possible is {day}.", day=day))
        if self._latest is not None and found > self._latest:
            day = spoken_day(self._latest, self.today)
            return Wrong(worded("The last day possible is {day}.", day=day))
        return None


class AskDate(_Dated[date]):
    """A day: "next Friday", "the third of March", "in two weeks"; by keys, month and day, or day and month.

    with_year: have the year said, as for dates of birth (`past=True, with_year=True`)."""

    label = "date"
    takes_keys = True

    def __init__(
        self,
        question: str = "Which day?",
        *,
        with_year: bool = False,
        again: Sequence[str] = ("Please name the day and the month.",),
        phrases: Sequence[str] = ("{date}", "on {date}"),
        **options: Any,
    ) -> None:
        self.with_year = with_year
        self.expectation = Expectation("full_date" if with_year else "date")
        self._begun = ""
        super().__init__(question, again=again, phrases=phrases, **options)
        self.instructions += f"Today is {self.today:%A, %Y-%m-%d}.\n"

    def forget(self) -> None:
        self._begun = ""

    def read(self, text: str) -> date | More | Wrong | None:
        whole = f"{self._begun} {text}".strip()
        found = self._day(whole) or self._day(text)
        if found is None:
            return None
        if self.with_year and when.year_missing(whole):
            self._begun = whole
            return More("And the year?", Expectation("number"))
        self._begun = ""
        return self._wrong_day(found) or found

    def read_keys(self, keys: str) -> date | More | Wrong | None:
        if len(keys) not in (4, 6, 8) or (self.with_year and len(keys) < 6):
            return None
        return self.read("/".join(part for part in (keys[:2], keys[2:4], keys[4:]) if part))

    def read_back(self, value: date) -> str:
        return asked_back(spoken_day(value, self.today, year=self.with_year))

    @function_tool
    def record(self, day: str) -> str:
        """Note the day.

        day: as YYYY-MM-DD."""
        found = when.day(day, self.today)
        return self.offer(None if found is None else self._wrong_day(found) or found)


class AskTime(_Dated[time]):
    """A time of day. opens, closes: the hours that may be had; they also tell whether "four" is in the morning."""

    label = "time"
    takes_keys = True
    expectation = Expectation("time")

    def __init__(
        self,
        question: str = "At what time?",
        *,
        opens: time | None = None,
        closes: time | None = None,
        again: Sequence[str] = ("Please say the hour, such as half past three in the afternoon.",),
        phrases: Sequence[str] = ("{time}", "at {time}"),
        **options: Any,
    ) -> None:
        self.opens, self.closes = opens, closes
        super().__init__(question, again=again, phrases=phrases, **options)

    def read(self, text: str) -> time | More | Wrong | None:
        found = when.hour(text, earliest=self.opens, latest=self.closes)
        return None if found is None else wrong_hour(found, self.opens, self.closes) or found

    def read_keys(self, keys: str) -> time | More | Wrong | None:
        return self.read(f"{keys[:-2]}:{keys[-2:]}") if len(keys) in (3, 4) else None

    def read_back(self, value: time) -> str:
        return worded("At {hour}. Is that right?", hour=hour_worded(value))

    @function_tool
    def record(self, hour: str) -> str:
        """Note the time of day.

        hour: as HH:MM, 24 hours."""
        found = _iso_hour(hour)
        return self.offer(wrong_hour(found, self.opens, self.closes) or found)


class AskMoment(_Dated[datetime]):
    """A day and a time of day, together or one after the other. The value is aware of the time zone if tz is given.

    opens, closes: the hours that may be had."""

    label = "date and time"
    what = "a day and a time of day"

    def __init__(
        self,
        question: str = "On which day, and at what time?",
        *,
        opens: time | None = None,
        closes: time | None = None,
        again: Sequence[str] = ("Please name a day and an hour, such as Friday at three.",),
        phrases: Sequence[str] = (
            "{date}",
            "on {date}",
            "{date} at {time}",
            "on {date} at {time}",
            "{time}",
            "at {time}",
        ),
        **options: Any,
    ) -> None:
        self.opens, self.closes = opens, closes
        self._date: date | None = None
        self._hour: time | None = None
        super().__init__(question, again=again, phrases=phrases, **options)
        self.instructions += f"It is {self._now():%A, %Y-%m-%d %H:%M}.\n"

    def forget(self) -> None:
        self._date = self._hour = None

    def read(self, text: str) -> datetime | More | Wrong | None:
        day = self._day(text)
        hour = when.hour(_hour_part(text, day is not None), earliest=self.opens, latest=self.closes)
        if day is None and hour is None:
            return None
        wrong = (self._wrong_day(day) if day is not None else None) or (
            wrong_hour(hour, self.opens, self.closes) if hour is not None else None
        )
        if wrong is not None:
            return wrong
        self._date, self._hour = day or self._date, hour or self._hour
        return self._both()

    def _both(self) -> datetime | More | Wrong:
        if self._date is None:
            return More("On which day?", Expectation("date"))
        if self._hour is None:
            return More("At what time?", Expectation("time"))
        found = datetime.combine(self._date, self._hour, self.tz)
        now = self._now()
        if self.past is False and found.replace(tzinfo=None) <= now.replace(tzinfo=None):
            self._hour = None
            return Wrong("That time is over.")
        return found

    def read_back(self, value: datetime) -> str:
        day, hour = spoken_day(value.date(), self.today), hour_worded(value.timetz())
        return worded("{day} at {hour}. Is that right?", day=day, hour=hour)

    @function_tool
    def record(self, day: str = "", hour: str = "") -> str:
        """Note the day and the time.

        day: as YYYY-MM-DD. hour: as HH:MM, 24 hours. Leave empty what you have not been told."""
        found = when.day(day, self.today) if day else self._date
        clock = _iso_hour(hour) if hour else self._hour
        wrong = (self._wrong_day(found) if found is not None else None) or (
            wrong_hour(clock, self.opens, self.closes) if clock is not None else None
        )
        if wrong is not None:
            return self.offer(wrong)
        self._date, self._hour = found, clock
        return self.offer(self._both())


def spoken_day(day: date, today: date, *, year: bool = False) -> str:
    """A day as one says it: with its year only if that is not clear."""
    return day_worded(day, year=year or abs((day - today).days) > 180)


def wrong_hour(hour: time, opens: time | None, closes: time | None) -> Wrong | None:
    """Why this hour cannot be had, None if it can."""
    if opens is not None and hour < opens:
        return Wrong(worded("The earliest time is {hour}.", hour=hour_worded(opens)))
    if closes is not None and hour > closes:
        return Wrong(worded("The latest time is {hour}.", hour=hour_worded(closes)))
    return None


def _iso_hour(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ToolError(f"{text!r} is no time. Write it as HH:MM, 24 hours.") from None


def _hour_part(text: str, has_day: bool) -> str:
    """The words that may hold the hour: those behind "at", or all if no day is among them."""
    head, at, tail = text.rpartition(" at ")
    if at and when.hour(tail) is not None:
        return tail
    if not has_day:
        return text
    marked = re.search(
        r"((?:half|quarter) (?:past|to) \w+|(?:\S+ )?\S+ ?(?:[ap]\.?\s?m\b|o'clock)|\d{1,2}:\d\d|noon)", text
    )
    return f"{marked[0]} {text[marked.end() :]}" if marked else ""
