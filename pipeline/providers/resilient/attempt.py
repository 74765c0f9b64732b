"""One request to one provider, read by a task of its own, so that another can be asked beside it.

Made by llm.py, tts.py and stt.py, waited for by team.py. Knows no kind of provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from pipeline.errors import ProviderError
from pipeline.providers.resilient.member import Member, P, blamed

ROOM = 8  # items that may wait; a voice that runs far ahead is paid for in vain when the caller interrupts

T = TypeVar("T")
_ENDING: set[asyncio.Task[None]] = set()  # so that nobody collects them before they are over


class End:
    """The stream is over."""


END = End()


class Attempt(Generic[P, T]):
    """What a provider delivers to one request, in order.

    counts(item): is this something a caller would notice? began: done as soon as there is such an item, or the stream
    is over, or has failed (then `error` says why). delivered: there was such an item.
    """

    def __init__(
        self, member: Member[P], stream: AsyncGenerator[T, None], counts: Callable[[T], bool]
    ) -> None:
        self.member = member
        self.error: ProviderError | None = None
        self.delivered = self._closed = False
        loop = asyncio.get_running_loop()
        self.asked_at = loop.time()
        self.began: asyncio.Future[None] = loop.create_future()
        self._stream, self._counts = stream, counts
        self._items: asyncio.Queue[T | ProviderError | End] = asyncio.Queue(ROOM)
        self._task = asyncio.create_task(self._read(), name=f"ask {member.name}")

    async def next(self) -> T | End:
        """The next item, END behind the last one. Raises ProviderError where the stream failed."""
        item = await self._items.get()
        if isinstance(item, ProviderError):
            raise item
        return item

    def left(self) -> list[T]:
        """What was delivered and nobody has taken."""
        items: list[T] = []
        while not self._items.empty():
            item = self._items.get_nowait()
            if not isinstance(item, ProviderError | End):
                items.append(item)
        return items

    def close(self) -> None:
        """End the request, now and without waiting: a dead provider may take seconds to say goodbye."""
        self._closed = True
        if not self._task.done():
            self._task.cancel()
            _ENDING.add(self._task)
            self._task.add_done_callback(_ENDING.discard)

    async def _read(self) -> None:
        try:
            with blamed(self.member.name):
                async with aclosing(self._stream) as stream:
                    async for item in stream:
                        if self._counts(item):
                            self.delivered = True
                            self._begin()
                        await self._items.put(item)
        except ProviderError as error:
            self.error = error
            await self._end(error)
        else:
            await self._end(END)

    async def _end(self, last: ProviderError | End) -> None:
        self._begin()
        if not self._closed:
            await self._items.put(last)

    def _begin(self) -> None:
        if not self.began.done():
            self.began.set_result(None)
