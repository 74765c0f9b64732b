"""What day and time it is on a call: the wall clock, but in a replay that of the recorded call.

For whatever depends on the date: "today" of date tasks, an agent's own tools. `datetime.now()` would make another
call of a replay on each day. Not loop time: that counts seconds, from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, tzinfo

_told: ContextVar[Callable[[], datetime] | None] = ContextVar("told", default=None)


def now(tz: tzinfo | None = None) -> datetime:
    """The time it is for the caller, aware. tz: the zone it is told in, the machine's own if None."""
    told = _told.get()
    return told().astimezone(tz) if told is not None else datetime.now(tz).astimezone(tz)


def today(tz: tzinfo | None = None) -> date:
    """The day it is for the caller."""
    return now(tz).date()


@contextmanager
def telling(clock: Callable[[], datetime]) -> Iterator[None]:
    """Here, and in tasks that are begun here, it is what this clock says. clock: returns an aware time."""
    token = _told.set(clock)
    try:
        yield
    finally:
        _told.reset(token)
