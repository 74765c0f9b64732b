"""Which machine wants to be woken when: one heap for thousands of transactions.

Pure. Owned by stack.py. Entries are never searched for: one whose machine has changed its mind is skipped
when it surfaces, so that rescheduling costs one push."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from telephony.sip.transaction import Machine


class Agenda:
    """Deadlines of machines, earliest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Machine]] = []
        self._count = 0  # breaks ties, so that machines are never compared

    def note(self, machine: Machine) -> None:
        """Call after every touch of a machine: remembers its present deadline, if it has one."""
        deadline = machine.next_deadline()
        if deadline is not None:
            self._count += 1
            heappush(self._heap, (deadline, self._count, machine))

    def next_deadline(self) -> float | None:
        """The earliest deadline that still holds, None if nothing is pending."""
        while self._heap:
            deadline, _, machine = self._heap[0]
            if machine.next_deadline() == deadline:
                return deadline
            heappop(self._heap)
        return None

    def due(self, now: float) -> Iterator[Machine]:
        """Take out the machines whose deadline has come. They must be noted again after `expire`."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            yield heappop(self._heap)[2]
