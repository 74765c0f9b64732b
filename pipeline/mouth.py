"""One voice at a time: replies, handovers and hang-ups wait here in the order of their priority.

Owned by session.py. Not the queue of sound (AudioOut): who may put sound into that queue is decided here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush

LOW, NORMAL, HIGH = 0, 5, 10


class Mouth:
    """Lends the right to speak. Equal priorities are served in the order in which they came."""

    def __init__(self) -> None:
        self._taken = False
        self._count = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, priority: int = NORMAL) -> AsyncIterator[None]:
        """Wait for the right to speak, and have it within the block."""
        await self.take(priority)
        try:
            yield
        finally:
            self.give()

    async def take(self, priority: int = NORMAL) -> None:
        """Wait for the right to speak; `give` must follow."""
        if not self._taken:
            self._taken = True
            return
        self._count += 1
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (-priority, self._count, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Pass the right to speak on."""
        while self._waiting:
            granted = heappop(self._waiting)[2]
            if not granted.done():
                granted.set_result(None)
                return
        self._taken = False
