"""What plugins find around them in LiveKit's worker, for those who live outside it: an HTTP session and manners.

LiveKit keeps the session in a context variable, which `http_context.open()` sets for the task that enters it. Ours
must last longer than any task, so the plugin's code runs in a context of its own. One per plugin object."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from livekit.agents import APIConnectOptions
from livekit.agents.utils import http_context
from openai import AsyncClient

T = TypeVar("T")

OPTIONS = APIConnectOptions(
    max_retry=0, timeout=3.0
)  # trying again is pipeline.providers.resilient's business
LEAVING_S = 0.04  # how long a caller who interrupts waits for a plugin to close its request


class Backstage:
    """Where one plugin's code runs. `begin` and `spawn` after `ready`."""

    def __init__(self) -> None:
        self._context = contextvars.copy_context()
        self._session: AbstractAsyncContextManager[Any] | None = None
        self._opening = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def ready(self) -> None:
        """Have the HTTP session, in the loop that runs now."""
        async with self._opening:
            if self._session is None:
                session = http_context.open()
                await self.spawn(_enter(session))
                self._session = session

    def begin(self, plugin_code: Callable[[], T]) -> T:
        """Run it where the session can be found; so do the tasks that it starts."""
        return self._context.run(plugin_code)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that sees the session."""
        return asyncio.get_running_loop().create_task(work, context=self._context)

    async def dismiss(self, close: Coroutine[Any, Any, None]) -> None:
        """Close something of the plugin's: for LEAVING_S here, what takes longer behind the scenes."""
        task = self.spawn(close)
        self._leaving.add(task)
        task.add_done_callback(self._left)
        await asyncio.wait([task], timeout=LEAVING_S)

    async def end(self, plugin: Any) -> None:
        """Close a plugin, and the client that some of them forget (openai's STT)."""
        await self.spawn(plugin.aclose())
        for client in vars(plugin).values():
            if isinstance(client, AsyncClient) and not client.is_closed():
                await client.close()

    async def aclose(self) -> None:
        """Wait for what is still leaving, then close the session."""
        if self._leaving:
            await asyncio.wait(self._leaving)
        session, self._session = self._session, None
        if session is not None:
            await self.spawn(_exit(session))

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # a stream that failed says so a second time when it is closed


async def _enter(session: AbstractAsyncContextManager[Any]) -> None:
    await session.__aenter__()


async def _exit(session: AbstractAsyncContextManager[Any]) -> None:
    await session.__aexit__(None, None, None)
