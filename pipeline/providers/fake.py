"""Doubles that ship with the product: cheap, deterministic, no network. For the bench and for tests of agents.

Time passes only through the event loop, so they work under a virtual clock. They keep the contracts of ports.py
to the letter; what they say and hear is given as options."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from itertools import count
from json import dumps
from math import ceil
from typing import Any, Literal

import numpy as np

from pipeline.agent.history import Message
from pipeline.errors import ConfigError
from pipeline.ports import (
    Final,
    Frame,
    Hints,
    LlmDelta,
    SpeechChunk,
    SttEvent,
    TextDelta,
    ToolCall,
    ToolSpec,
    Voice,
    WordTiming,
)

CHUNK_S = 0.2
TONE_HZ, TONE_PEAK = 440, 4600  # -20 dB of full scale
STREAM_ENDS = object()


class FakeVad:
    """Speech is what is louder than `threshold_db` below full scale. 4 µs a frame."""

    def __init__(self, rate_hz: int = 8000, threshold_db: float = -45.0) -> None:
        if threshold_db > 0:
            raise ConfigError(
                f"vad fake: threshold_db is {threshold_db:g}. Choose a level below full scale, such as -45."
            )
        self.rate_hz = rate_hz
        self._power = 32768.0**2 * 10 ** (threshold_db / 10)

    def probability(self, frame: Frame) -> float:
        samples = frame.astype(np.float32)
        return 1.0 if len(samples) and float(samples @ samples) > self._power * len(samples) else 0.0

    def reset(self) -> None:
        """There is nothing to forget."""


class FakeStt:
    """Understands the next of `texts` at the end of each turn of speech, and `otherwise` when they run out.

    Every call begins with the first text. delay_s: from end_turn() to the Final.
    """

    name = "fake"

    def __init__(self, texts: Sequence[str] = (), otherwise: str = "hello", delay_s: float = 0.0) -> None:
        _not_negative("stt", delay_s=delay_s)
        self._texts, self._otherwise, self._delay_s = tuple(texts), otherwise, delay_s

    async def open(self, *, rate_hz: int, hints: Hints) -> FakeSttStream:
        return FakeSttStream(self._texts, self._otherwise, self._delay_s)


class FakeSttStream:
    """One call's recogniser. A turn without start_turn() was silent: its Final is empty."""

    def __init__(self, texts: Sequence[str], otherwise: str, delay_s: float) -> None:
        self._texts, self._otherwise, self._delay_s = deque(texts), otherwise, delay_s
        self._events: asyncio.Queue[SttEvent | object] = asyncio.Queue()
        self._spoken = False

    def push(self, frame: Frame) -> None:
        """Sound does not matter."""

    def start_turn(self) -> None:
        self._spoken = True

    def end_turn(self) -> None:
        text = ""
        if self._spoken:
            text = self._texts.popleft() if self._texts else self._otherwise
        self._spoken = False
        final = Final(text, ends_turn=True)
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._events.put_nowait, final)
        else:
            self._events.put_nowait(final)

    def expect(self, hints: Hints) -> None:
        """Whatever is expected, the next text comes."""

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        while (event := await self._events.get()) is not STREAM_ENDS:
            assert isinstance(event, Final)
            yield event

    async def aclose(self) -> None:
        self._events.put_nowait(STREAM_ENDS)


class FakeLlm:
    """Streams the next step of `script`, and `reply` when it is at its end.

    script: a step is a text, or {"text": str, "tools": [{"name": str, "arguments": {...}}]}, both optional. All
    calls that share the instance share the script. delay_s: before the first token. tokens_per_s: 0 is at once;
    a token is a word with the space before it.
    """

    name = "fake"

    def __init__(
        self,
        reply: str = "That is a good question. Let me think about it for a moment.",
        script: Sequence[str | dict[str, Any]] = (),
        delay_s: float = 0.0,
        tokens_per_s: float = 0.0,
    ) -> None:
        _not_negative("llm", delay_s=delay_s, tokens_per_s=tokens_per_s)
        self._reply = reply
        self._script = deque(_step(step) for step in script)
        self._delay_s, self._tokens_per_s = delay_s, tokens_per_s
        self._ids = count(1)

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        text, calls = self._script.popleft() if self._script else (self._reply, ())
        await asyncio.sleep(self._delay_s)
        for token in _tokens(text):
            yield TextDelta(token)
            if self._tokens_per_s:
                await asyncio.sleep(1 / self._tokens_per_s)
        for name, arguments in calls if tool_choice != "none" else ():
            yield ToolCall(f"call_{next(self._ids)}", name, arguments)


class FakeTts:
    """A tone as long as the text: ms_per_char for each character, with the times of its words.

    delay_s: before the first sound of a reply.
    """

    name = "fake"

    def __init__(self, rate_hz: int = 8000, ms_per_char: float = 60.0, delay_s: float = 0.0) -> None:
        _not_negative("tts", delay_s=delay_s)
        if rate_hz <= 0 or ms_per_char <= 0:
            raise ConfigError("tts fake: rate_hz and ms_per_char must be above 0. Change them.")
        self.rate_hz = rate_hz
        self._ms_per_char, self._delay_s = ms_per_char, delay_s
        samples = ceil(CHUNK_S * rate_hz)
        self._tone = (TONE_PEAK * np.sin(2 * np.pi * TONE_HZ * np.arange(samples) / rate_hz)).astype(np.int16)

    async def open(self, voice: Voice) -> FakeTtsStream:
        return FakeTtsStream(self._tone, self.rate_hz, self._ms_per_char / 1000 / voice.speed, self._delay_s)


class FakeTtsStream:
    """One reply being spoken: made chunk by chunk as it is asked for."""

    def __init__(self, tone: Frame, rate_hz: int, s_per_char: float, delay_s: float) -> None:
        self._tone, self._rate_hz, self._s_per_char, self._delay_s = tone, rate_hz, s_per_char, delay_s
        self._texts: asyncio.Queue[str | object] = asyncio.Queue()
        self._chunks: Iterator[SpeechChunk] = iter(())
        self._pieces = count()
        self._closed = False

    def say(self, text: str) -> None:
        self._texts.put_nowait(text)

    def finish(self) -> None:
        self._texts.put_nowait(STREAM_ENDS)

    def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        return self

    async def __anext__(self) -> SpeechChunk:
        while not self._closed:
            chunk = next(self._chunks, None)
            if chunk is not None:
                delay_s, self._delay_s = self._delay_s, 0.0
                if delay_s:
                    await asyncio.sleep(delay_s)
                return chunk
            text = await self._texts.get()
            if not isinstance(text, str):
                self._closed = True
            else:
                self._chunks = self._speak(text, next(self._pieces))
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed = True
        self._texts.put_nowait(STREAM_ENDS)

    def _speak(self, text: str, piece: int) -> Iterator[SpeechChunk]:
        total = round(len(text) * self._s_per_char * self._rate_hz)
        words = deque(self._words(text))
        for begins in range(0, max(total, 1), len(self._tone)):
            ends = min(begins + len(self._tone), total)
            begun: list[WordTiming] = []
            while words and words[0].start_s * self._rate_hz < ends:
                begun.append(words.popleft())
            yield SpeechChunk(self._tone[: ends - begins], piece, tuple(begun), last=ends == total)

    def _words(self, text: str) -> Iterator[WordTiming]:
        at = 0
        for word in text.split():
            at = text.index(word, at)
            yield WordTiming(word, at * self._s_per_char, (at + len(word)) * self._s_per_char)
            at += len(word)


def _tokens(text: str) -> Iterator[str]:
    for number, word in enumerate(text.split(" ")):
        yield word if number == 0 else f" {word}"


Step = tuple[str, tuple[tuple[str, str], ...]]
"""Text, and the tool calls behind it: name and arguments as JSON."""


def _step(step: str | dict[str, Any]) -> Step:
    if isinstance(step, str):
        return step, ()
    unknown = set(step) - {"text", "tools"}
    if unknown:
        raise ConfigError(f"llm fake: a step of the script has {min(unknown)!r}. Known: text, tools.")
    try:
        calls = tuple((call["name"], dumps(call.get("arguments", {}))) for call in step.get("tools", ()))
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            "llm fake: a tool of the script needs a name and an object of arguments."
        ) from error
    return step.get("text", ""), calls


def _not_negative(kind: str, **options: float) -> None:
    for name, value in options.items():
        if value < 0:
            raise ConfigError(f"{kind} fake: {name} is {value:g}. Choose 0 or more.")
