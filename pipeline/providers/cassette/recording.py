"""Providers that pass everything on and write it to a call's tape, with its timing. Wrappers around any others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.events import Event, NothingHeard, UserTurnCommitted
from pipeline.ports import (
    FRAME_MS,
    Expecting,
    Final,
    Frame,
    Hints,
    Llm,
    LlmDelta,
    Metered,
    SpeechChunk,
    SpokenDelta,
    Stt,
    SttEvent,
    SttStream,
    TextDelta,
    ToolCall,
    ToolSpec,
    Tts,
    TtsStream,
    Usage,
    Voice,
)
from pipeline.providers.cassette import keys
from pipeline.providers.cassette.deck import Deck
from pipeline.providers.cassette.tape import Row, TapeWriter

HIDDEN = "•"  # stands for a secret, in the journal too (pipeline/answering.py)


class RecordingDeck(Deck):
    """A call's tape, recording. position: how much of the call's recording there is, in samples per channel. under:
    another deck that makes the providers."""

    def __init__(self, tape: TapeWriter, position: Callable[[], int], under: Deck | None = None) -> None:
        self._tape, self._position, self._under = tape, position, under or Deck()
        self._known: set[tuple[str, str]] = set()
        self._ears: list[RecordingStt] = []
        self._mask = keys.masked if tape.masked else keys.plain

    def stt(self, identity: str, make: Callable[[], Stt]) -> Stt:
        stt = self._under.stt(identity, make)
        self._introduce("stt", identity, {"name": stt.name})
        self._ears.append(
            RecordingStt(stt, keys.identity_key(identity), self._tape, self._position, self._mask)
        )
        return self._ears[-1]

    def llm(self, identity: str, make: Callable[[], Llm]) -> Llm:
        llm = self._under.llm(identity, make)
        improvises = bool(getattr(llm, "improvises", True))
        self._introduce("llm", identity, {"name": llm.name, "improvises": improvises})
        return RecordingLlm(llm, identity, self._tape, self._mask)

    def tts(self, identity: str, make: Callable[[], Tts]) -> Tts:
        tts = self._under.tts(identity, make)
        first = getattr(tts, "providers", (tts,))
        speaks = str(getattr(first[0] if first else tts, "name", tts.name))
        self._introduce("tts", identity, {"name": tts.name, "rate_hz": tts.rate_hz, "speaks": speaks})
        return RecordingTts(tts, identity, self._tape, self._mask)

    def speaks(self, identity: str) -> str:
        return self._under.speaks(identity)

    def noticed(self, event: Event) -> None:
        """What was said is kept once it is known whether it is a secret."""
        self._under.noticed(event)
        if isinstance(event, UserTurnCommitted | NothingHeard):
            secret = isinstance(event, UserTurnCommitted) and event.text == HIDDEN
            for ear in self._ears:
                ear.settle(secret=secret)

    def close(self) -> None:
        for ear in self._ears:
            ear.settle()
        self._under.close()
        self._tape.close()

    def _introduce(self, kind: str, identity: str, facts: Mapping[str, Any]) -> None:
        known = kind, keys.identity_key(identity)
        if known not in self._known:
            self._known.add(known)
            self._tape.write({"type": "provider", "kind": kind, "identity": known[1], **facts})


# ---------------------------------------------------------------- language models


class RecordingLlm:
    """A model whose answers are kept."""

    def __init__(self, llm: Llm, identity: str, tape: TapeWriter, mask: keys.Mask) -> None:
        self.name, self.providers = llm.name, getattr(llm, "providers", (llm,))
        self.improvises = getattr(llm, "improvises", True)
        self._llm, self._identity, self._tape, self._mask = llm, identity, tape, mask

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        now = asyncio.get_running_loop().time
        began, parts = now(), keys.llm_parts(self._identity, messages, tools, tool_choice, self._mask)
        deltas: list[list[Any]] = []
        row: Row = {
            "type": "llm",
            "key": keys.key(parts),
            "parts": parts,
            "deltas": deltas,
            "end": None,
            "error": None,
        }
        try:
            async with aclosing(self._llm.chat(messages, tools, tool_choice=tool_choice)) as answer:
                async for delta in answer:
                    deltas.append([_s(now() - began), *_delta(delta, self._mask)])
                    yield delta
            row["end"] = _s(now() - began)
        except ProviderError as error:
            row["error"] = [error.cause, str(error)]
            raise
        finally:
            self._tape.write(row)


def _delta(delta: LlmDelta, mask: keys.Mask) -> list[Any]:
    match delta:
        case TextDelta() | SpokenDelta():
            return ["text", mask(delta.text)]
        case ToolCall():
            return ["tool", delta.id, delta.name, mask(delta.arguments)]
        case Expecting():
            return ["expecting", delta.line]
        case Usage():
            return ["usage", delta.input_tokens, delta.output_tokens, delta.cached_tokens, delta.provider]


# ---------------------------------------------------------------- voices


class RecordingTts:
    """A voice whose sound is kept."""

    def __init__(self, tts: Tts, identity: str, tape: TapeWriter, mask: keys.Mask) -> None:
        self.name, self.rate_hz = tts.name, tts.rate_hz
        self.providers = getattr(tts, "providers", (tts,))
        self._tts, self._identity, self._tape, self._mask = tts, identity, tape, mask

    async def open(self, voice: Voice) -> RecordingTtsStream:
        stream = await self._tts.open(voice)
        return RecordingTtsStream(stream, self.name, self._tape, self._mask, self._identity, voice)


@dataclass(slots=True)
class _Piece:
    """A piece that the voice was given. said: loop time, s."""

    text: str
    said: float
    chunks: list[Row] = field(default_factory=list)
    whole: bool = False


class RecordingTtsStream:
    """One reply being spoken. What a chunk took is the time for which somebody waited for it."""

    def __init__(
        self, stream: TtsStream, name: str, tape: TapeWriter, mask: keys.Mask, identity: str, voice: Voice
    ) -> None:
        self._stream, self._name, self._tape, self._mask = stream, name, tape, mask
        self._identity, self._voice = identity, voice
        self._now = asyncio.get_running_loop().time
        self._pieces: list[_Piece] = []
        self._written = 0

    def say(self, text: str) -> None:
        self._pieces.append(_Piece(text, self._now()))
        self._stream.say(text)

    def finish(self) -> None:
        self._stream.finish()

    def used(self) -> Mapping[str, float]:
        """As the voice tells it."""
        if isinstance(self._stream, Metered):
            return self._stream.used()
        return {self._name: sum(len(piece.text) for piece in self._pieces)}

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        asked = self._now()
        async for chunk in self._stream:
            self._keep(chunk, asked)
            yield chunk
            asked = self._now()

    async def aclose(self) -> None:
        await self._stream.aclose()
        while self._written < len(self._pieces):
            self._write()

    def _keep(self, chunk: SpeechChunk, asked: float) -> None:
        piece = self._pieces[chunk.piece]
        secret = self._mask(piece.text) != piece.text
        sound = chunk.pcm * 0 if secret else chunk.pcm
        piece.chunks.append(
            {
                "wait": _s(self._now() - max(asked, piece.said)),
                "from": self._tape.sound(sound),
                "samples": len(sound),
                "words": [[self._mask(word.text), word.start_s, word.end_s] for word in chunk.words],
                "last": chunk.last,
            }
        )
        if chunk.last:
            piece.whole = True
            while self._written <= chunk.piece:
                self._write()

    def _write(self) -> None:
        piece, self._written = self._pieces[self._written], self._written + 1
        if not piece.chunks:
            return
        parts = keys.tts_parts(self._identity, self._voice, piece.text, self._mask)
        text, end = self._mask(piece.text), 0.0 if piece.whole else None
        row = {
            "type": "tts",
            "key": keys.key(parts),
            "parts": parts,
            "pii_text": text,
            "chunks": piece.chunks,
        }
        self._tape.write({**row, "end": end})


# ---------------------------------------------------------------- recognisers


class RecordingStt:
    """A recogniser whose words are kept."""

    def __init__(
        self, stt: Stt, identity: str, tape: TapeWriter, position: Callable[[], int], mask: keys.Mask
    ) -> None:
        self.name, self.providers = stt.name, getattr(stt, "providers", (stt,))
        self._stt, self._identity, self._tape = stt, identity, tape
        self._position, self._mask = position, mask
        self._over: list[_Turn] = []

    async def open(self, *, rate_hz: int, hints: Hints) -> RecordingSttStream:
        stream = await self._stt.open(rate_hz=rate_hz, hints=hints)
        return RecordingSttStream(stream, self.name, self._position, self._mask, self._over.append)

    def settle(self, *, secret: bool = False) -> None:
        """Write the turns that are over. secret: without what was said."""
        over = list(self._over)
        self._over.clear()
        for turn in over:
            heard = [{**row, "text": HIDDEN if secret and row["text"] else row["text"]} for row in turn.heard]
            row = {"type": "stt", "identity": self._identity, "from": turn.begins, "to": turn.until}
            self._tape.write({**row, "heard": heard})


@dataclass(slots=True)
class _Turn:
    """From start_turn() to its last word. ended: loop time, s."""

    begins: int
    until: int = 0
    ended: float | None = None
    heard: list[Row] = field(default_factory=list)


class RecordingSttStream:
    """One call's recogniser. over: takes a turn whose last word has come."""

    def __init__(
        self,
        stream: SttStream,
        name: str,
        position: Callable[[], int],
        mask: keys.Mask,
        over: Callable[[_Turn], None],
    ) -> None:
        self._stream, self._name, self._over = stream, name, over
        self._position, self._mask = position, mask
        self._now = asyncio.get_running_loop().time
        self._turn: _Turn | None = None
        self._owed: deque[_Turn] = deque()
        self._pushed = 0

    def push(self, frame: Frame) -> None:
        self._pushed += 1
        self._stream.push(frame)

    def start_turn(self) -> None:
        self._turn = self._turn or _Turn(self._position())
        self._stream.start_turn()

    def end_turn(self) -> None:
        turn, self._turn = self._turn or _Turn(self._position()), None
        turn.until, turn.ended = self._position(), self._now()
        self._owed.append(turn)
        self._stream.end_turn()

    def expect(self, hints: Hints) -> None:
        self._stream.expect(hints)

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        async for event in self._stream:
            self._keep(event)
            yield event

    async def aclose(self) -> None:
        await self._stream.aclose()
        while self._owed:
            self._over(self._owed.popleft())

    def used(self) -> Mapping[str, float]:
        """As the recogniser tells it."""
        pushed, self._pushed = self._pushed, 0
        return (
            self._stream.used()
            if isinstance(self._stream, Metered)
            else {self._name: pushed * FRAME_MS / 1000}
        )

    def _keep(self, event: SttEvent) -> None:
        self._turn = self._turn or (None if self._owed else _Turn(self._position()))
        turn = self._owed[0] if self._owed else self._turn
        assert turn is not None
        row: Row = {"at": self._position(), "text": self._mask(event.text)}
        if turn.ended is not None:
            row["after"] = _s(self._now() - turn.ended)
        if isinstance(event, Final):
            row |= {"final": True, "confidence": event.confidence, "understood": event.understood}
        elif event.complete is not None:
            row["complete"] = event.complete
        turn.heard.append(row)
        if isinstance(event, Final) and event.ends_turn and self._owed:
            self._over(self._owed.popleft())


def _s(seconds: float) -> float:
    return round(max(0.0, seconds), 6)
