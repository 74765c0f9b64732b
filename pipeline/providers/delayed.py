"""Providers that answer later than they could: for a delay that is modelled, and for what would be if they were slower.

Wrappers around any Stt, Llm or Tts; what they say is unchanged. Under a virtual clock the embedded providers take no
time at all, and this gives them the time that they took on a live call; for those beyond the loop (`beyond`: a network,
a thread) the clock waits as a real one does. Driven by replay (offhook/replay)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, nullcontext
from typing import Literal

from pipeline.agent.history import Message
from pipeline.ports import (
    FRAME_MS,
    Final,
    Frame,
    Hints,
    Llm,
    LlmDelta,
    Metered,
    SpeechChunk,
    Stt,
    SttEvent,
    SttStream,
    ToolSpec,
    Tts,
    TtsStream,
    Voice,
)
from pipeline.virtual_clock import outside


class DelayedStt:
    """The last word of each turn comes delay_s later."""

    def __init__(self, stt: Stt, delay_s: float, *, beyond: bool = False) -> None:
        self.name, self.providers = stt.name, getattr(stt, "providers", (stt,))
        self._stt, self._delay_s, self._beyond = stt, delay_s, beyond

    async def open(self, *, rate_hz: int, hints: Hints) -> DelayedSttStream:
        with ExitStack() as waiting:
            if self._beyond:
                waiting.enter_context(outside())
            stream = await self._stt.open(rate_hz=rate_hz, hints=hints)
            return DelayedSttStream(stream, self._delay_s, self.name, waiting.pop_all())


class DelayedSttStream:
    """One call's recogniser."""

    def __init__(self, stream: SttStream, delay_s: float, name: str, waiting: ExitStack) -> None:
        self._stream, self._delay_s, self._name, self._waiting = stream, delay_s, name, waiting
        self._pushed = 0

    def push(self, frame: Frame) -> None:
        self._pushed += 1
        self._stream.push(frame)

    def used(self) -> Mapping[str, float]:
        """As the recogniser tells it."""
        pushed, self._pushed = self._pushed, 0
        return (
            self._stream.used()
            if isinstance(self._stream, Metered)
            else {self._name: pushed * FRAME_MS / 1000}
        )

    def start_turn(self) -> None:
        self._stream.start_turn()

    def end_turn(self) -> None:
        self._stream.end_turn()

    def expect(self, hints: Hints) -> None:
        self._stream.expect(hints)

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        async for event in self._stream:
            if isinstance(event, Final) and event.ends_turn:
                await asyncio.sleep(self._delay_s)
            yield event

    async def aclose(self) -> None:
        with self._waiting:
            await self._stream.aclose()


class DelayedLlm:
    """The first token of each answer comes delay_s later, and with it all the others."""

    def __init__(self, llm: Llm, delay_s: float, *, beyond: bool = False) -> None:
        self.name, self.providers = llm.name, getattr(llm, "providers", (llm,))
        self.improvises = getattr(llm, "improvises", True)
        self._llm, self._delay_s, self._beyond = llm, delay_s, beyond

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        await asyncio.sleep(self._delay_s)
        with outside() if self._beyond else nullcontext():
            async with aclosing(self._llm.chat(messages, tools, tool_choice=tool_choice)) as answer:
                async for delta in answer:
                    yield delta


class DelayedTts:
    """The first sound of each reply comes delay_s later."""

    def __init__(self, tts: Tts, delay_s: float, *, beyond: bool = False) -> None:
        self.name, self.rate_hz = tts.name, tts.rate_hz
        self.providers = getattr(tts, "providers", (tts,))
        self._tts, self._delay_s, self._beyond = tts, delay_s, beyond

    async def open(self, voice: Voice) -> DelayedTtsStream:
        with ExitStack() as waiting:
            if self._beyond:
                waiting.enter_context(outside())
            stream = await self._tts.open(voice)
            return DelayedTtsStream(stream, self._delay_s, self.name, waiting.pop_all())


class DelayedTtsStream:
    """One reply being spoken."""

    def __init__(self, stream: TtsStream, delay_s: float, name: str, waiting: ExitStack) -> None:
        self._stream, self._delay_s, self._name, self._waiting = stream, delay_s, name, waiting
        self._characters = 0

    def say(self, text: str) -> None:
        self._characters += len(text)
        self._stream.say(text)

    def finish(self) -> None:
        self._stream.finish()

    def used(self) -> Mapping[str, float]:
        """As the voice tells it."""
        return self._stream.used() if isinstance(self._stream, Metered) else {self._name: self._characters}

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        late = False
        async for chunk in self._stream:
            if not late:
                await asyncio.sleep(self._delay_s)
                late = True
            yield chunk

    async def aclose(self) -> None:
        with self._waiting:
            await self._stream.aclose()
