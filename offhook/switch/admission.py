"""May one more call come in? Caps first, then how busy the workers are, how late their clocks, and memory.

Pure: told what was measured, asked for an answer. Calls that are on are never touched: whoever would spoil them is
sent away with 503 and Retry-After. A limit must be exceeded for a while before it counts, and be well kept for a while
before it counts no more, or calls would come and go in bursts. Not access.py's business, who may ring at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from offhook.settings import Settings

TOO_MUCH: Final = 3  # measurements in a row above a limit: three seconds
ENOUGH: Final = 3  # in a row below its lower edge
LOWER_EDGE: Final = 0.85  # of a limit
COUNTS_FROM: Final = (
    0.4  # of a core: below, a worker with fewer calls is the freer one, whatever was measured
)
A_CALL_CPU: Final = 0.003  # of a core: what one that is not in the measurement yet is taken for


@dataclass(frozen=True, slots=True)
class Limits:
    """0 is no limit. cpu: share of a core that a worker may use. late_ms: 99 of 100 packets of a worker are less late.
    free_memory_mb: must be left on this machine."""

    max_calls: int = 0
    per_trunk: Mapping[str, int] = field(default_factory=dict)
    cpu: float = 0.9
    late_ms: float = 40.0
    free_memory_mb: int = 64


def limits_of(settings: Settings) -> Limits:
    """What the operator allows."""
    overload = settings.overload
    return Limits(
        max_calls=settings.max_calls,
        per_trunk={trunk.name: trunk.max_calls for trunk in settings.trunks if trunk.max_calls},
        cpu=overload.cpu,
        late_ms=overload.late_ms,
        free_memory_mb=overload.free_memory_mb,
    )


class Gauge:
    """One measured value against its limit, with the memory that keeps it from flickering."""

    def __init__(self, limit: float, *, least: bool = False) -> None:
        """least: the value must not fall below the limit, instead of not rise above it."""
        self._limit, self._least = limit, least
        self._above = self._below = 0
        self.exceeded = False

    def measure(self, value: float) -> None:
        """The next value, about once a second."""
        if not self._limit:
            return
        if self._least:
            beyond, well_within = value < self._limit, value > self._limit / LOWER_EDGE
        else:
            beyond, well_within = value > self._limit, value < self._limit * LOWER_EDGE
        self._above = self._above + 1 if beyond else 0
        self._below = self._below + 1 if well_within else 0
        if self._above >= TOO_MUCH:
            self.exceeded = True
        elif self._below >= ENOUGH:
            self.exceeded = False


class Busy:
    """One worker's load. calls: in its last measurement."""

    def __init__(self, limits: Limits) -> None:
        self.cpu, self.late = Gauge(limits.cpu), Gauge(limits.late_ms)
        self.used, self.calls = 0.0, 0

    @property
    def why(self) -> str:
        """What it has too much of, "" if nothing."""
        if self.cpu.exceeded:
            return "cpu"
        return "lateness" if self.late.exceeded else ""


class Admission:
    """Of one switch."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._workers: dict[int, Busy] = {}
        self._memory = Gauge(self.limits.free_memory_mb, least=True)

    def capped(self, calls: int, trunk: str, on_trunk: int) -> bool:
        """Is a hard cap reached? calls: on this machine; on_trunk: of the trunk that this one comes over, if any."""
        most, of_trunk = self.limits.max_calls, self.limits.per_trunk.get(trunk, 0)
        return bool(most and calls >= most) or bool(of_trunk and on_trunk >= of_trunk)

    def measured(self, worker: int, cpu: float, late_p99_ms: float, calls: int) -> None:
        """What a worker says of itself, once a second."""
        busy = self._workers.setdefault(worker, Busy(self.limits))
        busy.used, busy.calls = cpu if calls else 0.0, calls  # without calls it is starting, or clearing up
        busy.cpu.measure(busy.used)
        busy.late.measure(late_p99_ms if calls else 0.0)

    def memory_left(self, megabytes: float) -> None:
        """What the machine has left, once a second."""
        self._memory.measure(megabytes)

    def forget(self, worker: int) -> None:
        """It is gone."""
        self._workers.pop(worker, None)

    def may_take(self, worker: int) -> bool:
        """May this worker have one more call?"""
        if self._memory.exceeded:
            return False
        busy = self._workers.get(worker)
        return busy is None or not busy.why

    def burden(self, worker: int, calls: int) -> float:
        """How much a worker has to do, in cores, 0.0 below COUNTS_FROM. calls: it has now, some of them since the last
        measurement."""
        busy = self._workers.get(worker)
        if busy is None:
            return 0.0
        each = max(A_CALL_CPU, busy.used / busy.calls) if busy.calls else A_CALL_CPU
        used = busy.used + (calls - busy.calls) * each
        return used if used >= COUNTS_FROM else 0.0

    @property
    def why(self) -> str:
        """What there is too much of: memory, cpu, lateness, or "" if any worker has room."""
        if self._memory.exceeded:
            return "memory"
        reasons = [busy.why for busy in self._workers.values()]
        return reasons[0] if reasons and all(reasons) else ""
