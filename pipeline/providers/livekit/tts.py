"""A LiveKit TTS plugin as pipeline.ports.Tts: each piece is a stream of the plugin's own.

That is how a piece's sound is known from the next one's, without which nobody could say what the caller has heard;
plugins keep their connections in a pool, so it costs no new one. The next piece is begun while one is still coming."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import tts
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from pipeline.errors import ProviderError
from pipeline.ports import Frame, SpeechChunk, Voice, WordTiming
from pipeline.providers.livekit.backstage import OPTIONS, Backstage
from pipeline.providers.livekit.faults import translated
from pipeline.providers.livekit.loading import Blueprint

AT_ONCE = 2  # pieces of one reply that are made at the same time
_Arrived = SpeechChunk | ProviderError


def adapt(blueprint: Blueprint, rate_hz: int = 8000) -> LivekitTts:
    """The provider around a plugin. rate_hz: the call's; the plugin may have its own."""
    return LivekitTts(blueprint, rate_hz)


class LivekitTts:
    """One plugin object for each voice: plugins take it when they are made."""

    def __init__(self, blueprint: Blueprint, rate_hz: int = 8000) -> None:
        self.name = blueprint.name
        self._blueprint = blueprint
        rate = blueprint.takes("sample_rate")
        self._rate: dict[str, Any] = {rate: rate_hz} if rate else {}
        first: tts.TTS[Any] = blueprint.build(self._rate)
        if self._rate and first.sample_rate != rate_hz:  # it would not have it
            self._rate = {}
        self.rate_hz = first.sample_rate
        self._plugins: dict[tuple[Any, ...], tts.TTS[Any]] = {(): first}
        self._backstage = Backstage()

    async def open(self, voice: Voice) -> LivekitReply:
        """One reply in that voice, as far as the plugin has options for name, language and speed."""
        await self._backstage.ready()
        return LivekitReply(self.name, self._plugin(voice), self._backstage, self.rate_hz)

    async def warm(self) -> None:
        """Connect ahead of the first reply, where the plugin can."""
        await self._backstage.ready()
        self._backstage.begin(self._plugins[()].prewarm)

    async def aclose(self) -> None:
        for plugin in self._plugins.values():
            await self._backstage.end(plugin)
        await self._backstage.aclose()

    def _plugin(self, voice: Voice) -> tts.TTS[Any]:
        wishes = dict(self._rate)
        if voice.name and (name := self._blueprint.takes("voice", "voice_id")):
            wishes[name] = voice.name
        if voice.speed != 1.0 and (name := self._blueprint.takes("speed")):
            wishes[name] = voice.speed
        if name := self._blueprint.takes("language"):
            wishes[name] = voice.language
        key = tuple(sorted(wishes.items()))
        if key not in self._plugins:
            made: tts.TTS[Any] = self._blueprint.build(wishes)
            self._plugins[key] = made if made.sample_rate == self.rate_hz else self._plugins[()]
        return self._plugins[key]


class LivekitReply:
    """One reply being spoken."""

    def __init__(self, name: str, plugin: tts.TTS[Any], backstage: Backstage, rate_hz: int) -> None:
        self._name, self._plugin, self._backstage, self._rate_hz = name, plugin, backstage, rate_hz
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[str] = deque()  # pieces not begun
        self._coming: deque[asyncio.Queue[_Arrived]] = deque()  # pieces begun, in order
        self._tasks: set[asyncio.Task[None]] = set()
        self._pieces = 0
        self._finished = self._closed = False
        self._news = asyncio.Event()

    def say(self, text: str) -> None:
        """The next piece. Ignored once closed."""
        if not self._closed:
            self._waiting.append(text)
            self._begin()

    def finish(self) -> None:
        self._finished = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        return self

    async def __anext__(self) -> SpeechChunk:
        while not self._closed:
            if self._coming:
                if (arrived := await self._next()) is not None:
                    return arrived
            elif self._finished and not self._waiting:
                self._closed = True
            else:
                self._news.clear()
                await self._news.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._news.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for queue in self._coming:  # a reader that waits for this piece finds the end
            queue.put_nowait(SpeechChunk(np.zeros(0, np.int16), 0, last=True))

    async def _next(self) -> SpeechChunk | None:
        arrived = await self._coming[0].get()
        if self._closed:
            return None
        if isinstance(arrived, ProviderError):
            await self.aclose()
            raise arrived
        if arrived.last:
            self._coming.popleft()
            self._begin()
        return arrived

    def _begin(self) -> None:
        while self._waiting and len(self._coming) < AT_ONCE:
            queue: asyncio.Queue[_Arrived] = asyncio.Queue()
            self._coming.append(queue)
            making = self._make(self._pieces, self._waiting.popleft(), queue)
            task = self._loop.create_task(making, name=f"speak {self._name} {self._pieces}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._pieces += 1
        self._news.set()

    async def _make(self, piece: int, text: str, queue: asyncio.Queue[_Arrived]) -> None:
        stream: tts.SynthesizeStream | tts.ChunkedStream | None = None
        try:
            if any(map(str.isalnum, text)):  # plugins count a piece without sound as a failure
                with translated(self._name):
                    stream = self._backstage.begin(lambda: self._stream(text))
                    async for made in stream:
                        queue.put_nowait(self._chunk(made.frame, piece))
            queue.put_nowait(SpeechChunk(np.zeros(0, np.int16), piece, last=True))
        except ProviderError as error:
            queue.put_nowait(error)
        finally:
            if stream is not None:
                await self._backstage.dismiss(stream.aclose())

    def _stream(self, text: str) -> tts.SynthesizeStream | tts.ChunkedStream:
        if not self._plugin.capabilities.streaming:
            return self._plugin.synthesize(text, conn_options=OPTIONS)
        stream = self._plugin.stream(conn_options=OPTIONS)
        stream.push_text(text)
        stream.end_input()
        return stream

    def _chunk(self, frame: rtc.AudioFrame, piece: int) -> SpeechChunk:
        pcm: Frame = np.frombuffer(bytes(frame.data), np.int16)
        if frame.num_channels > 1:
            pcm = pcm.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
        words = []
        for word in frame.userdata.get(USERDATA_TIMED_TRANSCRIPT) or ():
            if word.strip() and isinstance(word.start_time, int | float):
                end = word.end_time if isinstance(word.end_time, int | float) else word.start_time
                words.append(WordTiming(word.strip(), float(word.start_time), float(end)))
        return SpeechChunk(pcm, piece, tuple(words))
