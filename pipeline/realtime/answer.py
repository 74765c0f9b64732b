"""One answer of the model as it comes: words and tool calls for whoever reads them, sound for the voice.

Filled by call.py from the connection; read by mind.py (words) and mouth.py (sound)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from pipeline.errors import ProviderError
from pipeline.ports import Frame, ToolCall, Usage
from pipeline.realtime.model import Done, Piece
from pipeline.realtime.pipe import Pipe


@dataclass(slots=True)
class _Stretch:
    """Sound of one item, in order. samples: how many there are so far."""

    item: str
    samples: int = 0


class Answer:
    """One answer. Its sound is an OwnSound: ends with the answer, and raises ProviderError if that breaks off.

    cut: called with this answer, the items that were not heard to their end, and how many samples of each were."""

    def __init__(self, tag: str, cut: Callable[[Answer, list[tuple[str, int]]], None]) -> None:
        self.tag = tag
        self.items: list[str] = []
        self.done = False
        self.over = asyncio.Event()
        self.usage = Usage()
        self._cut = cut
        self._stretches: list[_Stretch] = []
        self._words = Pipe[str | ToolCall]()
        self._sound = Pipe[Frame]()

    @property
    def began(self) -> bool:
        """Has anything of it come?"""
        return bool(self.items)

    def take(self, event: Piece | Done) -> None:
        """What the connection says of it."""
        if isinstance(event, Done):
            self.done, self.usage = True, event.usage
            self._end(event.error)
            return
        if event.item not in self.items:
            self.items.append(event.item)
        if event.text:
            self._words.put(event.text)
        if event.call is not None:
            self._words.put(event.call)
        if event.pcm is not None and len(event.pcm):
            if not self._stretches or self._stretches[-1].item != event.item:
                self._stretches.append(_Stretch(event.item))
            self._stretches[-1].samples += len(event.pcm)
            self._sound.put(event.pcm)

    def fail(self, error: ProviderError) -> None:
        """No more of it will come."""
        self.done = True
        self._end(error)

    def _end(self, error: ProviderError | None) -> None:
        self.over.set()
        self._words.end(error)
        self._sound.end(error)

    async def words(self) -> AsyncIterator[str | ToolCall]:
        """Its words and tool calls. Raises ProviderError."""
        while (item := await self._words.get()) is not None:
            yield item

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while (pcm := await self._sound.get()) is not None:
            yield pcm

    def heard(self, samples: int) -> None:
        """It was cut off after so many samples."""
        cut: list[tuple[str, int]] = []
        for stretch in self._stretches:
            if samples < stretch.samples or not self.done:
                cut.append((stretch.item, min(max(samples, 0), stretch.samples)))
            samples -= stretch.samples
        self._cut(self, cut)
