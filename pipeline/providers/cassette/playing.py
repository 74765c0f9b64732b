"""Providers that answer from a call's tape, with the timing that they had then. Wrappers around any others.

A request that is not on tape is told (`CassetteMissed`) and either put to the provider itself or left unanswered. An
answer that was cut off on the recorded call ends where it was cut off."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal

from pipeline.agent.history import Message
from pipeline.errors import Cause, ProviderError
from pipeline.events import CassetteMissed, Event
from pipeline.ports import (
    Expecting,
    Llm,
    LlmDelta,
    SpeechChunk,
    Stt,
    TextDelta,
    ToolCall,
    ToolSpec,
    Tts,
    TtsStream,
    Usage,
    Voice,
    WordTiming,
)
from pipeline.providers.cassette import keys
from pipeline.providers.cassette.deck import Deck
from pipeline.providers.cassette.hearing import PlayingStt
from pipeline.providers.cassette.tape import Row, Tape


class PlayingDeck(Deck):
    """A call's tape, playing. position: of the newest frame of the caller in the recorded call, in samples, negative
    for none. under: makes the real providers; None: what is not on tape is missing."""

    def __init__(
        self,
        tape: Tape,
        position: Callable[[], int],
        emit: Callable[[Event], None],
        under: Deck | None = None,
    ) -> None:
        self.tape, self.position = tape, position
        self.mask = keys.masked if tape.masked else keys.plain
        self.played: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self._emit, self._under = emit, under

    @property
    def live(self) -> bool:
        """Are providers asked for what is not on tape?"""
        return self._under is not None

    def stt(self, identity: str, make: Callable[[], Stt]) -> Stt:
        under = self._under
        known = self._facts("stt", identity)
        if known is None and under is not None:
            self.miss("stt", identity.partition(" ")[0], ["provider"])
            return under.stt(identity, make)
        real = (lambda: under.stt(identity, make)) if under is not None else None
        return PlayingStt(self, identity, _named(known, identity), real)

    def llm(self, identity: str, make: Callable[[], Llm]) -> Llm:
        under = self._under
        return PlayingLlm(
            self,
            identity,
            self._facts("llm", identity) or {},
            (lambda: under.llm(identity, make)) if under is not None else None,
        )

    def tts(self, identity: str, make: Callable[[], Tts]) -> Tts:
        under, known = self._under, self._facts("tts", identity)
        real = (lambda: under.tts(identity, make)) if under is not None else None
        return PlayingTts(self, identity, known or {}, real)

    def speaks(self, identity: str) -> str:
        return str((self._facts("tts", identity) or {}).get("speaks", ""))

    def noticed(self, event: Event) -> None:
        if self._under is not None:
            self._under.noticed(event)

    def close(self) -> None:
        if self._under is not None:
            self._under.close()

    def miss(self, kind: str, provider: str, changed: Sequence[str]) -> None:
        """A request is not on tape."""
        self.missed[kind] += 1
        now = asyncio.get_running_loop().time()
        self._emit(CassetteMissed(now, kind, provider, ", ".join(changed), self.live))

    def missing(self, kind: str, provider: str) -> ProviderError:
        """What a provider fails with whose answer is not on tape, and that may not be asked."""
        fact = f"no answer to this {kind} request on tape. Replay with --cassette replay-or-live, or record again."
        return ProviderError(provider, "bad_request", fact)

    def _facts(self, kind: str, identity: str) -> Row | None:
        return self.tape.providers.get((kind, keys.identity_key(identity)))


def _named(known: Row | None, identity: str) -> str:
    return str((known or {}).get("name") or identity.partition(" ")[0])


# ---------------------------------------------------------------- language models


class PlayingLlm:
    """A model whose answers are on tape."""

    def __init__(self, deck: PlayingDeck, identity: str, known: Row, make: Callable[[], Llm] | None) -> None:
        self._deck, self._identity, self._make = deck, identity, make
        self._real: Llm | None = None
        if not known and make is not None:
            self._real = make()
        self.name = self._real.name if self._real is not None else _named(known, identity)
        default = identity.partition(" ")[0] != "scripted"
        self.improvises = bool(known.get("improvises", getattr(self._real, "improvises", default)))
        self.providers = getattr(self._real, "providers", (self._real,)) if self._real is not None else ()

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        deck, loop = self._deck, asyncio.get_running_loop()
        parts = keys.llm_parts(self._identity, messages, tools, tool_choice, deck.mask)
        row = deck.tape.take(keys.key(parts))
        if row is None:
            deck.miss("llm", self.name, deck.tape.changed("llm", parts))
            async with aclosing(self._ask(messages, tools, tool_choice)) as answer:
                async for delta in answer:
                    yield delta
            return
        deck.played["llm"] += 1
        began = loop.time()
        for at_s, *what in row["deltas"]:
            await _until(began + at_s)
            yield _delta(what)
        if error := row.get("error"):
            raise _failure(self.name, error)
        if row.get("end") is None:
            raise ProviderError(
                self.name, "server", "the answer on tape was cut off here. Record the call again."
            )
        await _until(began + row["end"])

    def _ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        tool_choice: Literal["auto", "none", "required"],
    ) -> AsyncGenerator[LlmDelta, None]:
        if self._make is None:
            raise self._deck.missing("llm", self.name)
        self._real = self._real or self._make()
        return self._real.chat(messages, tools, tool_choice=tool_choice)


def _delta(what: Sequence[Any]) -> LlmDelta:
    match what:
        case ["tool", call_id, name, arguments]:
            return ToolCall(call_id, name, arguments)
        case ["expecting", line]:
            return Expecting(line)
        case ["usage", given, made, cached, provider]:
            return Usage(given, made, cached, provider)
    return TextDelta(str(what[1]))


def _failure(name: str, error: Sequence[str]) -> ProviderError:
    cause: Any = error[0]
    known: Cause = cause
    return ProviderError(name, known, str(error[1]).removeprefix(f"{name}: "))


async def _until(when: float) -> None:
    wait_s = when - asyncio.get_running_loop().time()
    if wait_s > 0:
        await asyncio.sleep(wait_s)


# ---------------------------------------------------------------- voices


class PlayingTts:
    """A voice whose sound is on tape, piece by piece."""

    def __init__(self, deck: PlayingDeck, identity: str, known: Row, make: Callable[[], Tts] | None) -> None:
        self._deck, self._identity, self._make = deck, identity, make
        self.real: Tts | None = None
        if not known and make is not None:
            self.real = make()
        self.name = self.real.name if self.real is not None else _named(known, identity)
        self.rate_hz = self.real.rate_hz if self.real is not None else int(known.get("rate_hz", 8000))
        self.providers = getattr(self.real, "providers", (self.real,)) if self.real is not None else ()

    async def open(self, voice: Voice) -> PlayingTtsStream:
        return PlayingTtsStream(self, voice)

    def find(self, voice: Voice, text: str) -> Row | None:
        """The piece on tape. A miss is told."""
        parts = keys.tts_parts(self._identity, voice, text, self._deck.mask)
        row = self._deck.tape.take(keys.key(parts))
        if row is None:
            self._deck.miss("tts", self.name, self._deck.tape.changed("tts", parts))
        else:
            self._deck.played["tts"] += 1
        return row

    async def ask(self, voice: Voice) -> TtsStream:
        """The voice itself. Raises ProviderError if it may not be asked."""
        if self._make is None:
            raise self._deck.missing("tts", self.name)
        self.real = self.real or self._make()
        return await self.real.open(voice)

    def sound(self, chunk: Row, piece: int) -> SpeechChunk:
        """A chunk as it was."""
        words = tuple(WordTiming(*word) for word in chunk["words"])
        pcm = self._deck.tape.pcm(chunk["from"], chunk["samples"])
        return SpeechChunk(pcm, piece, words, bool(chunk["last"]))


class PlayingTtsStream:
    """One reply being spoken. Pieces that are not on tape are said by the voice itself, in their place."""

    def __init__(self, tts: PlayingTts, voice: Voice) -> None:
        self._tts, self._voice = tts, voice
        self._loop = asyncio.get_running_loop()
        self._texts: deque[tuple[str, float]] = deque()
        self._said, self._characters = 0, 0
        self._finished = self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._real: TtsStream | None = None
        self._asked = 0  # pieces that the voice itself was given

    def say(self, text: str) -> None:
        self._characters += len(text)
        self._texts.append((text, self._loop.time()))
        self._wake()

    def finish(self) -> None:
        self._finished = True
        self._wake()

    def used(self) -> Mapping[str, float]:
        """What the voice would have been given."""
        return {self._tts.name: self._characters}

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        while not self._closed:
            if not self._texts:
                if self._finished:
                    return
                self._waiter = self._loop.create_future()
                await self._waiter
                continue
            text, said = self._texts.popleft()
            piece, self._said = self._said, self._said + 1
            row = self._tts.find(self._voice, text)
            chunks = self._live(text, piece) if row is None else self._taped(row, piece, said)
            async with aclosing(chunks):
                async for chunk in chunks:
                    if self._closed:
                        return
                    yield chunk

    async def aclose(self) -> None:
        self._closed = True
        self._wake()
        real, self._real = self._real, None
        if real is not None:
            await real.aclose()

    async def _taped(self, row: Row, piece: int, said: float) -> AsyncGenerator[SpeechChunk, None]:
        asked = max(said, self._loop.time() if piece == 0 else said)
        for chunk in row["chunks"]:
            await _until(asked + chunk["wait"])
            yield self._tts.sound(chunk, piece)
            asked = self._loop.time()
        if row.get("end") is None:
            raise ProviderError(
                self._tts.name, "server", "the sound on tape was cut off here. Record the call again."
            )

    async def _live(self, text: str, piece: int) -> AsyncGenerator[SpeechChunk, None]:
        if self._real is None:
            self._real = await self._tts.ask(self._voice)
            self._sounds = aiter(self._real)
        self._real.say(text)
        self._asked += 1
        while (chunk := await anext(self._sounds, None)) is not None:
            yield SpeechChunk(chunk.pcm, piece, chunk.words, chunk.last)
            if chunk.last:
                return

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None
