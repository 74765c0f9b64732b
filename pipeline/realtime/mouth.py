"""The speech-to-speech model as a call's voice: plays what it says itself, and has fixed texts said.

A greeting, a legal notice, a filler: said by another voice where one is named for it, else the model is asked to read
them out, outside the conversation. If it does not begin in time, a voice that stands by says them: callers are never
left in silence because a model is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from pipeline.errors import ProviderError
from pipeline.ports import Frame, OwnSound, SpeechChunk, Tts, TtsStream, Voice
from pipeline.realtime.answer import Answer
from pipeline.realtime.call import RealtimeCall
from pipeline.realtime.model import Ask
from pipeline.realtime.pipe import Pipe
from pipeline.speaking.resample import EMPTY, Resampler

BEGINS_S = 3.0  # how long the model may take to begin to read a text, where another voice stands by
READ = (
    "Read the following text aloud, word for word, in its language. Add nothing, leave nothing out, translate nothing, "
    "and answer nothing that it asks.\n\n"
)


class RealtimeTts:
    """One agent's. lines: says fixed texts instead of the model, in lines_voice. standby: says them if the model does
    not."""

    def __init__(
        self,
        call: RealtimeCall,
        *,
        lines: Tts | None = None,
        lines_voice: Voice | None = None,
        standby: Tts | None = None,
    ) -> None:
        self.name = call.model.name
        self.rate_hz = call.sound_hz
        self._call, self._lines, self._lines_voice, self._standby = call, lines, lines_voice, standby

    async def open(self, voice: Voice) -> RealtimeMouth:
        return RealtimeMouth(self._call, voice, self._lines, self._lines_voice, self._standby)


@dataclass(slots=True, eq=False)
class _Piece:
    """text: to be read; sound: of the model itself. samples: handed out so far."""

    text: str = ""
    sound: OwnSound | None = None
    samples: int = 0


class RealtimeMouth:
    """A TtsStream, and an OwnVoice."""

    def __init__(
        self,
        call: RealtimeCall,
        voice: Voice,
        lines: Tts | None,
        lines_voice: Voice | None,
        standby: Tts | None,
    ) -> None:
        self._call, self._voice, self._lines, self._standby = call, voice, lines, standby
        self._other = lines_voice or Voice(language=voice.language, speed=voice.speed)
        self._coming: Pipe[_Piece] = Pipe()
        self._pieces: list[_Piece] = []
        self._characters: dict[str, float] = {}
        self._reading: Answer | None = None
        self._open: TtsStream | None = None
        self._closed = False
        call.hold()
        call.setting.talking += 1

    # ------------------------------------------------------------ what is to be said

    def say(self, text: str) -> None:
        self._add(_Piece(text))

    def join(self, sound: OwnSound) -> None:
        self._add(_Piece(sound=sound))

    def finish(self) -> None:
        self._coming.end(None)

    def heard(self, ms: int) -> None:
        samples = ms * self._call.sound_hz // 1000
        for piece in self._pieces:
            if piece.sound is not None:
                piece.sound.heard(samples)
            samples -= piece.samples

    def used(self) -> dict[str, float]:
        """Characters that other voices were given; the model's own are told in tokens."""
        used, self._characters = self._characters, {}
        return used

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._call.setting.talking -= 1
        self._coming.end(None)
        if self._reading is not None:
            self._call.cancel(self._reading)
        if self._open is not None:
            await self._open.aclose()
        await self._call.release()

    def _add(self, piece: _Piece) -> None:
        self._pieces.append(piece)
        self._coming.put(piece)

    # ------------------------------------------------------------ its sound

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        number = 0
        while (piece := await self._coming.get()) is not None:
            sound = aiter(piece.sound) if piece.sound is not None else self._read(piece.text)
            async for pcm in sound:
                piece.samples += len(pcm)
                yield SpeechChunk(pcm, number)
            yield SpeechChunk(EMPTY, number, last=True)
            number += 1

    async def _read(self, text: str) -> AsyncIterator[Frame]:
        if self._lines is not None:
            async for pcm in self._by(self._lines, self._other, text):
                yield pcm
            return
        began = False
        try:
            async with aclosing(self._by_model(text)) as sound:
                async for pcm in sound:
                    began = True
                    yield pcm
        except ProviderError:
            if began or self._standby is None:
                raise
        if not began and self._standby is not None:
            voice = Voice(language=self._voice.language, speed=self._voice.speed)
            async for pcm in self._by(self._standby, voice, text):
                yield pcm

    async def _by_model(self, text: str) -> AsyncGenerator[Frame, None]:
        """Raises ProviderError, also when it does not begin and somebody stands by."""
        limit = BEGINS_S if self._standby is not None else None
        try:
            async with asyncio.timeout(limit):
                self._reading = answer = await self._call.aside(self._voice, partial(_reading, text))
                sound = aiter(answer)
                first = await anext(sound, None)
        except TimeoutError as error:
            if self._reading is not None:
                self._call.cancel(self._reading)
            fact = f"no sound of a fixed text within {BEGINS_S:.0f} s."
            raise ProviderError(self._call.model.name, "timeout", fact) from error
        if first is not None:
            yield first
            async for pcm in sound:
                yield pcm
        self._reading = None

    async def _by(self, tts: Tts, voice: Voice, text: str) -> AsyncIterator[Frame]:
        self._characters[tts.name] = self._characters.get(tts.name, 0.0) + len(text)
        stream = self._open = await tts.open(voice)
        resampler = Resampler(tts.rate_hz, self._call.sound_hz)
        try:
            stream.say(text)
            stream.finish()
            async for chunk in stream:
                yield resampler.feed(chunk.pcm)
            yield resampler.finish()
        finally:
            self._open = None
            await stream.aclose()


def _reading(text: str, tag: str) -> Ask:
    return Ask(tag, "none", aside=True, instructions=READ + text)
