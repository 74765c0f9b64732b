"""The turn's deadline, noticed just before the tick it falls on, so that a quick answer still makes that tick.

One timer a conversation. When a deadline is, turn.py decides. Driven by session.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LEAD_S = (
    0.008  # deadlines lie on the 20 ms grid, as speech does; a quick answer needs this much to make the tick
)
TIMER_GRAIN_S = 0.001  # loops with millisecond timers call a little before their time


class Deadline:
    """due(): the deadline as it is now, loop time, None if there is none. reached(now): it is time."""

    def __init__(self, due: Callable[[], float | None], reached: Callable[[float], None]) -> None:
        self._due, self._reached = due, reached
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due: float | None = None

    def look(self, now: float) -> None:
        """Is it time?"""
        due = self._due()
        if due is not None and now >= due - LEAD_S:
            self._reached(now)

    def watch(self) -> None:
        """The deadline may have changed."""
        due = self._due()
        if due == self._timer_due:
            return
        self.forget()
        self._timer_due = due
        self._timer = None if due is None else self._loop.call_at(due - LEAD_S, self._near)

    def forget(self) -> None:
        """Nothing will be noticed any more, but for a new deadline."""
        if self._timer is not None:
            self._timer.cancel()

    def _near(self) -> None:
        self.look(self._loop.time() + TIMER_GRAIN_S)
