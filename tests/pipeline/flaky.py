"""Providers that die, hang or say nothing at given points, built around the fakes. For the virtual clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Literal

import numpy as np

from pipeline.agent.history import Message
from pipeline.errors import Cause, ProviderError
from pipeline.ports import (
    Final,
    Frame,
    Hints,
    LlmDelta,
    SpeechChunk,
    SttEvent,
    TextDelta,
    ToolSpec,
    TtsStream,
    Usage,
    Voice,
)
from pipeline.providers.fake import FakeLlm, FakeTts

Fate = Literal["well", "refused", "dies", "hangs", "ends", "raises"]
"""refused: fails at once. dies, hangs, ends: after some items. raises: an error that is no ProviderError."""


def gone(name: str, cause: Cause = "connectivity") -> ProviderError:
    return ProviderError(name, cause, "connection reset")


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


class Fates:
    """What becomes of the first request, the second, ...; the last fate goes on for ever."""

    def __init__(self, fates: Sequence[Fate]) -> None:
        self._fates = deque(fates)
        self.requests = 0

    def next(self) -> Fate:
        self.requests += 1
        return self._fates.popleft() if len(self._fates) > 1 else self._fates[0]


class FlakyLlm:
    """A model that meets its fate after so many tokens. cause: of its errors."""

    def __init__(
        self,
        name: str,
        reply: str,
        *fates: Fate,
        after: int = 0,
        delay_s: float = 0.2,
        cause: Cause = "connectivity",
        usage: Usage | None = None,
    ) -> None:
        self.name, self.fates = name, Fates(fates or ("well",))
        self.open = 0  # requests that run
        self._fake = FakeLlm(reply, delay_s=delay_s, tokens_per_s=20)
        self._after, self._cause, self._usage = after, cause, usage

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        fate = self.fates.next()
        self.open += 1
        try:
            if self._usage is not None:
                yield self._usage
            number = 0
            async for delta in self._fake.chat(messages, tools, tool_choice=tool_choice):
                if fate != "well" and number == self._after:
                    break
                yield delta
                number += 1
            match fate:
                case "refused" | "dies":
                    raise gone(self.name, self._cause)
                case "raises":
                    raise KeyError("choices")
                case "hangs":
                    await for_ever()
        finally:
            self.open -= 1


class FlakyTts:
    """A voice that meets its fate after so many chunks of 0.2 s. timed: does it tell when words sound?"""

    def __init__(
        self, name: str, *fates: Fate, after: int = 0, rate_hz: int = 8000, timed: bool = True
    ) -> None:
        self.name, self.rate_hz, self.fates = name, rate_hz, Fates(fates or ("well",))
        self.said: list[str] = []
        self.voices: list[Voice] = []
        self.open_streams = 0
        self.made_s = 0.0  # of sound
        self.after, self.timed = after, timed
        self._fake = FakeTts(rate_hz, 50.0, delay_s=0.1)

    async def open(self, voice: Voice) -> TtsStream:
        fate = self.fates.next()
        if fate == "refused":
            raise gone(self.name)
        self.voices.append(voice)
        self.open_streams += 1
        return _FlakyVoice(self, await self._fake.open(voice), fate)


class _FlakyVoice:
    def __init__(self, tts: FlakyTts, stream: TtsStream, fate: Fate) -> None:
        self._tts, self._stream, self._fate = tts, stream, fate
        self._closed = False

    def say(self, text: str) -> None:
        self._tts.said.append(text)
        self._stream.say(text)

    def finish(self) -> None:
        self._stream.finish()

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        number, chunks = 0, aiter(self._stream)
        while self._fate == "well" or number < self._tts.after:
            if (chunk := await anext(chunks, None)) is None:
                return
            number += 1
            self._tts.made_s += len(chunk.pcm) / self._tts.rate_hz
            words = chunk.words if self._tts.timed else ()
            yield SpeechChunk(chunk.pcm, chunk.piece, words, chunk.last)
        match self._fate:
            case "dies":
                raise gone(self._tts.name)
            case "raises":
                raise KeyError("audio")
            case "hangs":
                await for_ever()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._tts.open_streams -= 1
        await self._stream.aclose()


class FlakyStt:
    """A recogniser that understands loudness: each turn's text is how many loud frames it was given in it.

    after: frames until it meets its fate; a fate of "hangs" is one that takes sound and answers nothing.
    segments: says a Final for every so many loud frames, as recognisers that always listen do.
    """

    def __init__(
        self, name: str, *fates: Fate, after: int = 0, delay_s: float = 0.1, segments: int = 0
    ) -> None:
        self.name, self.fates = name, Fates(fates or ("well",))
        self.after, self.delay_s, self.segments = after, delay_s, segments
        self.hints: list[Hints] = []

    async def open(self, *, rate_hz: int, hints: Hints) -> _FlakyEar:
        fate = self.fates.next()
        if fate == "refused":
            raise gone(self.name)
        self.hints.append(hints)
        return _FlakyEar(self, fate)


class _FlakyEar:
    def __init__(self, stt: FlakyStt, fate: Fate) -> None:
        self._stt, self._fate = stt, fate
        self._frames = self._loud = 0
        self._before: deque[bool] = deque(maxlen=20)
        self._in_turn = False
        self._events: asyncio.Queue[SttEvent | Exception | None] = asyncio.Queue()

    def push(self, frame: Frame) -> None:
        self._frames += 1
        if self._fate in ("dies", "ends", "raises") and self._frames > self._stt.after:
            reasons = {"dies": gone(self._stt.name), "raises": KeyError("results")}
            self._events.put_nowait(reasons.get(self._fate))
        loud = bool(np.abs(frame.astype(np.int32)).max() > 500)
        if not self._in_turn:
            self._before.append(loud)
            return
        self._loud += loud
        if self._stt.segments and self._loud >= self._stt.segments:
            self._events.put_nowait(Final(f"{self._loud}"))
            self._loud = 0

    def start_turn(self) -> None:
        self._in_turn, self._loud = True, sum(self._before)
        self._before.clear()

    def end_turn(self) -> None:
        text, self._in_turn = f"{self._loud}" if self._loud else "", False
        if self._fate != "hangs":
            final = Final(text, ends_turn=True)
            asyncio.get_running_loop().call_later(self._stt.delay_s, self._events.put_nowait, final)

    def expect(self, hints: Hints) -> None:
        self._stt.hints.append(hints)

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def aclose(self) -> None:
        self._events.put_nowait(None)


def text_of(deltas: Sequence[LlmDelta]) -> str:
    """The reply in one."""
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
