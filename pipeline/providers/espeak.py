"""The embedded voice: espeak-ng. Plain but instant, in some 130 languages, with word times, no network, no key.

Calls share the library piece by piece: each has at most one piece in its queue. Sound reaches the loop as it is
made, about a thousand times faster than it is spoken. Not resampled here: the session does that."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import Frame, SpeechChunk, Voice, WordTiming
from pipeline.providers.espeak_engine import PITCHES, SPEEDS, WORDS_PER_MIN, Engine, Mark, Sound, engine
from pipeline.virtual_clock import keep_step

LEAD_MS = 10  # silence left before the first sound of a piece, and behind its last
PAUSE_MS = {".": 280, "!": 280, "?": 280, "…": 280, ":": 200, ";": 200, ",": 140}  # between two pieces
WAITING_CHUNKS = 3  # a piece is begun when no more than these wait: half a second of speech
AUDIBLE = 60  # of 32768
GAIN, KNEE, CEILING = 1.2, 16000, 23000  # speech at -20 dB, peaks bent to stay under -3 dB of full scale


class EspeakTts:
    """voice: an espeak name such as `en-us`, `en-gb`, `de`, `en-us+f3`; empty: by the agent's language.

    speed: 0.5 to 2.0. pitch: 0 to 99. Raises ConfigError for what espeak does not have.
    """

    name = "espeak"

    def __init__(self, voice: str = "", speed: float = 1.0, pitch: int = 50) -> None:
        self._engine = engine()
        self._voice, self._speed, self._pitch = voice, speed, pitch
        self.rate_hz = self._engine.rate_hz
        self._sound(Voice(name=voice))

    async def open(self, voice: Voice) -> EspeakStream:
        """One reply. A name in `voice` wins over the one in the configuration. Raises ConfigError."""
        return EspeakStream(self._engine, self._sound(voice))

    def _sound(self, voice: Voice) -> Sound:
        unknown = set(voice.options) - {"pitch"}
        if unknown:
            raise ConfigError(f"tts espeak: voice has no option {min(unknown)!r}. Known: pitch.")
        pitch = voice.options.get("pitch", self._pitch)
        speed = voice.speed * self._speed
        if not isinstance(pitch, int) or not PITCHES[0] <= pitch <= PITCHES[1]:
            raise ConfigError(f"tts espeak: pitch is {pitch!r}. Choose {PITCHES[0]} to {PITCHES[1]}.")
        if not SPEEDS[0] <= speed <= SPEEDS[1]:
            raise ConfigError(f"tts espeak: speed is {speed:g}. Choose {SPEEDS[0]} to {SPEEDS[1]}.")
        return Sound(self._engine.find_voice(self._name(voice)), round(WORDS_PER_MIN * speed), pitch)

    def _name(self, voice: Voice) -> str:
        language = voice.language.lower()
        if voice.name:
            return voice.name
        if self._voice and self._voice[:2].lower() == language[:2]:
            return self._voice
        return language if language in self._engine.voices else language.partition("-")[0]


class EspeakStream:
    """One reply being spoken."""

    def __init__(self, library: Engine, sound: Sound) -> None:
        self._engine, self._sound = library, sound
        self._loop = asyncio.get_running_loop()
        self._texts: deque[str] = deque()
        self._chunks: deque[SpeechChunk] = deque()
        self._pieces = 0  # begun so far
        self._pause_ms = 0
        self._busy = self._finished = self._closed = False
        self._error: ProviderError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def say(self, text: str) -> None:
        """The next piece. Ignored once closed."""
        if not self._closed:
            self._texts.append(text)
            self._begin_piece()

    def finish(self) -> None:
        self._finished = True
        self._wake()

    def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        return self

    async def __anext__(self) -> SpeechChunk:
        while not self._closed:
            if self._chunks:
                chunk = self._chunks.popleft()
                self._begin_piece()
                return chunk
            if self._error is not None:
                raise self._error
            if self._finished and not self._texts and not self._busy:
                break
            self._waiter = self._loop.create_future()
            await self._waiter
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed = True  # read by the library's thread, which stops within 200 ms of speech: 0.3 ms
        self._texts.clear()
        self._chunks.clear()
        self._wake()

    def _begin_piece(self) -> None:
        if self._busy or not self._texts or len(self._chunks) > WAITING_CHUNKS:
            return
        self._busy = True
        text = self._texts.popleft()
        shape = PieceShape(text, self._engine.rate_hz, self._pause_ms if self._pieces else 0)
        self._pause_ms = PAUSE_MS.get(text.rstrip("\"'”’»)* ")[-1:], 40)
        piece, self._pieces = self._pieces, self._pieces + 1
        keep_step(self._loop, self._engine.submit(lambda: self._synthesise(piece, text, shape)))

    # ------------------------------------------------------------ in the library's thread

    def _synthesise(self, piece: int, text: str, shape: PieceShape) -> None:
        def sink(pcm: bytes, marks: list[Mark]) -> bool:
            for sound, words in shape.feed(pcm, marks):
                self._post(self._arrived, SpeechChunk(sound, piece, words))
            return not self._closed

        error: ProviderError | None = None
        if not self._closed:
            try:
                self._engine.speak(text, self._sound, sink)
            except ProviderError as failure:
                error = failure
        sound, words = shape.finish()
        self._post(self._piece_over, SpeechChunk(sound, piece, words, last=True), error)

    def _post(self, method: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(method, *arguments)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self._closed = True

    # ------------------------------------------------------------ in the loop

    def _arrived(self, chunk: SpeechChunk) -> None:
        if not self._closed:
            self._chunks.append(chunk)
            self._wake()

    def _piece_over(self, chunk: SpeechChunk, error: ProviderError | None) -> None:
        self._busy = False
        self._error = self._error or error
        if error is None:
            self._arrived(chunk)
        self._begin_piece()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


Part = tuple[Frame, tuple[WordTiming, ...]]


class PieceShape:
    """Raw espeak sound of one piece made fit for a call: level set, silence at both ends cut, words timed.

    A chunk waits until the last word that begins in it has ended: mostly one callback, 0.3 ms.
    """

    def __init__(self, text: str, rate_hz: int, pause_ms: int) -> None:
        self._tokens = [token for token in re.finditer(r"\S+", text) if any(map(str.isalnum, token.group()))]
        self._starts = [token.start() for token in self._tokens]
        self._rate_hz = rate_hz
        self._lead = rate_hz * LEAD_MS // 1000
        self._pause = rate_hz * pause_ms // 1000
        self._audible = False
        self._dropped = 0  # raw samples cut off in front
        self._made = 0  # samples that became chunks, the pause included
        self._quiet: Frame = np.zeros(0, np.int16)  # at the end so far: it may be the end of the piece
        self._chunks: deque[tuple[int, Frame]] = deque()  # where it ends, sound
        self._words: deque[WordTiming] = deque()
        self._open: tuple[int, int] | None = None  # the word that sounds: token, raw sample

    def feed(self, pcm: bytes, marks: list[Mark]) -> list[Part]:
        """The next callback's sound; returns what is ready."""
        if pcm:
            self._add(np.frombuffer(pcm, np.int16))
        for mark in marks:
            self._mark(mark)
        return self._ready()

    def finish(self) -> Part:
        """All that is left, as one chunk, perhaps an empty one."""
        if self._audible:
            self._append(self._quiet[: self._lead])
        self._close(self._made - self._pause + self._dropped)
        sounds = [sound for _, sound in self._chunks]
        return (np.concatenate(sounds) if sounds else np.zeros(0, np.int16)), tuple(self._words)

    def _add(self, raw: Frame) -> None:
        loud = np.flatnonzero(np.abs(raw.astype(np.int32)) > AUDIBLE)
        if not self._audible:
            keep_from = max(0, int(loud[0]) - self._lead) if len(loud) else len(raw)
            self._dropped += keep_from
            raw, loud = raw[keep_from:], loud - keep_from
            if len(loud):
                self._audible = True
                self._append(np.zeros(self._pause, np.int16))
        if len(loud):
            end = int(loud[-1]) + 1
            self._append(np.concatenate([self._quiet, _level()[raw[:end].view(np.uint16)]]))
            self._quiet = raw[end:]
        elif self._audible:
            self._quiet = np.concatenate([self._quiet, raw])

    def _append(self, sound: Frame) -> None:
        if len(sound):
            self._made += len(sound)
            self._chunks.append((self._made, sound))

    def _mark(self, mark: Mark) -> None:
        token = self._token(mark.word)
        if token is not None and self._open is not None and token <= self._open[0]:
            return  # one written word, several spoken ones: a number
        self._close(mark.sample)
        if token is not None:
            self._open = token, mark.sample

    def _token(self, character: int) -> int | None:
        """The written word at or behind this character; espeak counts one too few or too many now and then."""
        if character < 0 or not self._tokens:
            return None
        token = max(0, bisect_right(self._starts, character) - 1)
        return min(token + (character >= self._tokens[token].end()), len(self._tokens) - 1)

    def _close(self, sample: int) -> None:
        if self._open is not None:
            token, began = self._open
            text = self._tokens[token].group()
            self._words.append(WordTiming(text, self._seconds(began), self._seconds(sample)))
            self._open = None

    def _seconds(self, raw_sample: int) -> float:
        return self._position(raw_sample) / self._rate_hz

    def _position(self, raw_sample: int) -> int:
        return max(0, raw_sample - self._dropped) + self._pause

    def _ready(self) -> list[Part]:
        if not self._audible:
            return []
        limit = self._position(self._open[1]) if self._open is not None else self._made
        parts: list[Part] = []
        while self._chunks and self._chunks[0][0] <= limit:
            end, sound = self._chunks.popleft()
            words: list[WordTiming] = []
            while self._words and self._words[0].start_s * self._rate_hz < end:
                words.append(self._words.popleft())
            parts.append((sound, tuple(words)))
        return parts


@cache
def _level() -> NDArray[np.int16]:
    """Output for each of the 65536 inputs, taken as uint16: straight up to the knee, then bent."""
    raw = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.float64) * GAIN
    over = np.maximum(np.abs(raw) - KNEE, 0)
    bent = np.minimum(np.abs(raw), KNEE) + (CEILING - KNEE) * np.tanh(over / (CEILING - KNEE))
    level: NDArray[np.int16] = (np.sign(raw) * bent).astype(np.int16)
    return level
