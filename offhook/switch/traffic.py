"""What is going on when a call comes: calls now and lately, for the limits and conditions of the dial plan. And queues.

No clock of its own; driven by reception.py."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from offhook.switch.worker import Worker
from telephony.dialplan.condition import Load

HOUR_S = 3600.0
MOST_CALLERS = 100_000  # remembered; a flood of invented callers must not fill the memory


class Traffic:
    """Calls by rule, and calls by rule and caller within the last hour."""

    def __init__(self) -> None:
        self._now: Counter[str] = Counter()
        self._lately: deque[tuple[float, tuple[str, str]]] = deque()
        self._recent: Counter[tuple[str, str]] = Counter()

    def began(self, number: str, caller: str, now: float) -> None:
        """A call was routed. number: the rule's; caller: "" if hidden; now: loop time."""
        self._now[number] += 1
        self._forget(now)
        if caller and len(self._lately) < MOST_CALLERS:
            self._lately.append((now, (number, caller)))
            self._recent[number, caller] += 1

    def ended(self, number: str) -> None:
        """It is over."""
        self._now[number] -= 1
        if self._now[number] <= 0:
            del self._now[number]

    def load(self, live: int, most: int, workers: Sequence[Worker], now: float) -> Load:
        """As the plan sees it. live: calls; most: that are allowed, 0 for any number; now: loop time."""
        self._forget(now)
        busy = [worker.load.cpu for worker in workers if worker.load is not None]
        share = max(live / most if most else 0.0, sum(busy) / len(busy) if busy else 0.0)
        return Load(min(share, 1.0), self._now, self._recent)

    def _forget(self, now: float) -> None:
        while self._lately and self._lately[0][0] <= now - HOUR_S:
            _, key = self._lately.popleft()
            self._recent[key] -= 1
            if self._recent[key] <= 0:
                del self._recent[key]


@dataclass(slots=True)
class _Line:
    """One queue: calls that are served, and calls that wait, the first one first."""

    served: set[str] = field(default_factory=set)
    waiting: dict[str, int] = field(default_factory=dict)  # call → places it was told of


class Queues:
    """Who talks to an agent, and who is next, over all workers."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    @property
    def waiting(self) -> Mapping[str, int]:
        """Queue → how many wait in it."""
        return {name: len(line.waiting) for name, line in self._lines.items() if line.waiting}

    def join(self, name: str, call_id: str, places: int) -> bool:
        """A call wants to be served. False: it waits. places: how many are served at once."""
        line = self._lines.setdefault(name, _Line())
        if call_id in line.served or (len(line.served) < places and not line.waiting):
            line.served.add(call_id)
            return True
        line.waiting[call_id] = places
        return False

    def leave(self, call_id: str, name: str = "") -> list[str]:
        """A call is over, or waits no longer. Returns the calls that are served now. name: "" for every queue."""
        moved = []
        for queue in [name] if name else list(self._lines):
            if (line := self._lines.get(queue)) is None:
                continue
            line.served.discard(call_id)
            line.waiting.pop(call_id, None)
            while line.waiting and len(line.served) < next(iter(line.waiting.values())):
                first = next(iter(line.waiting))
                del line.waiting[first]
                line.served.add(first)
                moved.append(first)
            if not line.served and not line.waiting:
                del self._lines[queue]
        return moved
