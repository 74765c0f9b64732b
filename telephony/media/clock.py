"""The 20 ms clock of a worker: one timer for all its calls.

Calls are spread over four phases 5 ms apart, so that their packets do not leave in one burst. Deadlines are
counted from a fixed base and do not drift. After a stall each call gets one tick that says how many were
skipped; nothing is replayed. Not what a tick does (stream.py). Driven by the event loop, started by whoever
owns the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

TICK_S: Final = 0.02
PHASES: Final = 4
EARLY_S: Final = 0.0006  # loops with millisecond timers call a little before their time

_BUCKETS_PER_S = 4000  # quarters of a millisecond
_BUCKETS = 2000  # up to half a second


class Ticking(Protocol):
    """What the clock drives: a Stream, or anything else that wants 20 ms."""

    def tick(self, now: float, skipped: int = 0) -> None: ...


class Timers(Protocol):
    """What the clock needs of an event loop."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], None], /) -> asyncio.TimerHandle: ...
    def call_exception_handler(self, context: dict[str, Any], /) -> None: ...


class Lateness(NamedTuple):
    """How late ticks began since the last reset. p50_ms, p99_ms: rounded up to a quarter of a millisecond."""

    ticks: int
    skipped: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Clock:
    """One worker's clock. A stream whose tick raises is removed and reported; the others never notice."""

    def __init__(
        self,
        loop: Timers,
        on_error: Callable[[Ticking, Exception], None] | None = None,
        *,
        time: Callable[[], float] | None = None,
    ) -> None:
        """on_error(stream, exception): default is the loop's exception handler.

        time: what lateness is measured and ticks are told with, default `loop.time`. uvloop's is read once a
        turn of the loop, in whole milliseconds; a worker that runs on it gives `time.monotonic`, the same
        timeline."""
        self._loop = loop
        self._time = time or loop.time
        self._on_error = on_error
        self._phases: tuple[dict[Ticking, None], ...] = tuple({} for _ in range(PHASES))
        self._deadlines = [0] * PHASES  # of each phase, in periods from the base
        self._base = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self.reset()

    def __len__(self) -> int:
        return sum(len(phase) for phase in self._phases)

    def add(self, stream: Ticking, *, soon: bool = False) -> None:
        """Put a stream into the emptiest phase; soon: into the one that is due next, for its packets are waited for.
        Adding it twice changes nothing."""
        if any(stream in phase for phase in self._phases):
            return
        if soon and self._timer is not None:
            self._phases[min(range(PHASES), key=self._due)][stream] = None
        else:
            min(self._phases, key=len)[stream] = None
        self._arm()

    def remove(self, stream: Ticking) -> None:
        """No more ticks, not even one that is due now. Removing a stranger changes nothing."""
        for phase in self._phases:
            phase.pop(stream, None)

    def start(self) -> None:
        if not self._running:
            self._running = True
            self._arm()

    def stop(self) -> None:
        """Stand still. Streams stay, and go on after the next start; the pause does not count as skipped."""
        self._running = False
        self._disarm()

    def reset(self) -> None:
        """Begin a new measurement of lateness."""
        self._late = [0] * _BUCKETS
        self._latest = 0.0
        self.ticks = 0
        self.skipped = 0

    def lateness(self) -> Lateness:
        return Lateness(
            self.ticks, self.skipped, self._percentile(0.50), self._percentile(0.99), self._latest * 1000
        )

    def _percentile(self, share: float) -> float:
        wanted, seen = share * self.ticks, 0
        for bucket, count in enumerate(self._late):
            seen += count
            if count and seen >= wanted:
                return min((bucket + 1) * 1000 / _BUCKETS_PER_S, self._latest * 1000)
        return 0.0

    def _arm(self) -> None:
        """Begin to count, unless the clock already runs or there is nobody to tick for."""
        if self._running and self._timer is None and len(self):
            self._base = self._time()
            self._deadlines = [0] * PHASES
            self._schedule()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self, phase: int) -> float:
        return self._base + (self._deadlines[phase] + phase / PHASES) * TICK_S

    def _schedule(self) -> None:
        self._timer = self._loop.call_at(min(map(self._due, range(PHASES))), self._fire)

    def _fire(self) -> None:
        self._timer = None
        for phase in range(PHASES):
            due = self._due(phase)
            late = self._time() - due
            if late < -EARLY_S:
                continue
            skipped = max(0, int(late / TICK_S))
            self._deadlines[phase] += 1 + skipped
            self._tick(self._phases[phase], due, skipped)
        if self._running and len(self):  # else rest until somebody is added
            self._schedule()

    def _tick(self, streams: dict[Ticking, None], due: float, skipped: int) -> None:
        for stream in list(streams):
            if stream not in streams:  # removed by a tick before this one
                continue
            now = self._time()
            late = max(0.0, now - due)
            self._late[min(int(late * _BUCKETS_PER_S), _BUCKETS - 1)] += 1
            self._latest = max(self._latest, late)
            self.ticks += 1
            self.skipped += skipped
            try:
                stream.tick(now, skipped)
            except Exception as error:  # one call's mistake must not silence the others
                streams.pop(stream, None)
                self._report(stream, error)

    def _report(self, stream: Ticking, error: Exception) -> None:
        try:
            if self._on_error is not None:
                self._on_error(stream, error)
                return
        except Exception as second:  # the reporter itself failed
            error = second
        self._loop.call_exception_handler(
            {"message": f"Media of {stream!r} failed in its tick and was stopped", "exception": error}
        )
