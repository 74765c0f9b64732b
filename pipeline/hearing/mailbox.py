"""Where a recogniser leaves its events for the one task that reads them.

For providers that produce events by plain calls and owe the session an async iteration that raises when they fail
and ends when they are closed. Not a fan-out: one reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pipeline.errors import ProviderError
from pipeline.ports import SttEvent


class SttMailbox:
    """One stream's events, in order. After `fail` or `close` nothing more is taken."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[SttEvent | ProviderError | None] = asyncio.Queue()
        self.closed = False

    def put(self, event: SttEvent) -> None:
        if not self.closed:
            self._events.put_nowait(event)

    def fail(self, error: ProviderError) -> None:
        """The reader gets what is waiting, then this error."""
        self._end(error)

    def close(self) -> None:
        self._end(None)

    def _end(self, last: ProviderError | None) -> None:
        if not self.closed:
            self.closed = True
            self._events.put_nowait(last)

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, ProviderError):
                self._events.put_nowait(None)  # whoever iterates again finds the end, not a wait
                raise event
            yield event
        self._events.put_nowait(None)
