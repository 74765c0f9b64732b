"""Connections of providers: opened ahead of the first word, closed with the worker.

A provider that has something to open brings `async def warm(self)`, one that has something to close
`async def aclose(self)`. Neither may cost a call: what goes wrong is logged. Driven by providing.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from functools import partial

import structlog

from pipeline.errors import ProviderError
from pipeline.providers.resilient.member import blamed

log = structlog.get_logger()

PATIENCE_S = 3.0  # of a worker's start, and of its end, for one provider


class Warmer:
    """Warms and closes the providers of a worker."""

    def __init__(self) -> None:
        self._running: dict[int, asyncio.Task[None]] = {}  # by id of the provider

    def begin(self, *providers: object) -> None:
        """Warm these beside whatever happens; one that is being warmed is left alone. Needs a running loop."""
        for provider in _each(providers):
            if hasattr(provider, "warm") and id(provider) not in self._running:
                task = asyncio.create_task(_supervised(provider, "warm"), name=f"warm {_name(provider)}")
                self._running[id(provider)] = task
                task.add_done_callback(partial(self._warmed, id(provider)))

    def _warmed(self, key: int, _: asyncio.Task[None]) -> None:
        del self._running[key]

    async def warm(self, *providers: object) -> None:
        """Warm these, and come back when they are or have had their time."""
        self.begin(*providers)
        await asyncio.gather(*self._running.values())

    async def aclose(self, *providers: object) -> None:
        """Stop warming, and close these."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*[_supervised(provider, "aclose") for provider in _each(providers)])


def _each(providers: Iterable[object]) -> Iterator[object]:
    """Providers one by one; a team stands for its members."""
    for provider in providers:
        yield from getattr(provider, "providers", (provider,))


async def _supervised(provider: object, do: str) -> None:
    if (method := getattr(provider, do, None)) is None:
        return
    try:
        with blamed(_name(provider)):
            async with asyncio.timeout(PATIENCE_S):
                await method()
    except ProviderError as error:
        log.warning("provider_not_ready", do=do, provider=_name(provider), error=str(error))


def _name(provider: object) -> str:
    return str(getattr(provider, "name", type(provider).__name__))
