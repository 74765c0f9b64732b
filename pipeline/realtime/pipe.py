"""A queue with an end: what one side puts in from plain code, another one waits for. No size limit, no task."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from pipeline.errors import ProviderError

T = TypeVar("T")


class Pipe(Generic[T]):
    """What comes, until the end, which stays the end."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._error: ProviderError | None = None

    def put(self, item: T) -> None:
        if not self._over:
            self._waiting.append(item)
            self._news.set()

    def end(self, error: ProviderError | None) -> None:
        if not self._over:
            self._over, self._error = True, error
            self._news.set()

    async def get(self) -> T | None:
        """The next one, None at the end. Raises ProviderError if it was a bad one."""
        while not self._waiting:
            if self._over:
                if self._error is not None:
                    raise self._error
                return None
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()
