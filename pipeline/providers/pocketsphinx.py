"""Speech to text with no key and no network: pocketsphinx decoding against the agent's own phrases.

It hears closed lists as an IVR does, and refuses what does not sound like any of them. English only; it is not for
free speech. `Recogniser` is one call's engine, plain and synchronous, and is driven in slices by `PocketsphinxStt`
in this process (tests, replay) or by the model host for many calls (offhook/models).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TypeAlias

from pipeline.errors import ConfigError, ProviderError
from pipeline.hearing.mailbox import SttMailbox
from pipeline.hearing.preroll import Preroll
from pipeline.ports import Final, Frame, Hints, Partial, SttEvent
from pipeline.providers.pocketsphinx_engine import MODEL_HZ, NAME, Decoders, Line, Turn

FIRST_WORDS_MS = 700  # of a call's first turn, heard before decoding sets in and catches up
SLICE_MS = 20  # of sound decoded before others get their turn on the loop; costs about 0.5 ms

# Log likelihood per frame of 10 ms at which a result is as likely foreign as meant: on a clean line, and what noise
# takes from it (Line.noise). Flite's rms, kal16 and slt through mu-law, grammars of some 20 phrases, 111 phrases and 75
# foreign sentences: 106 heard right on the first turn of a call, 1 % of them refused, 91 % of the foreign ones; with
# 20 dB of noise 106, none, 79 %.
_DOUBTFUL, _NOISE_TAKES = -0.0025, 0.00035
_STEEPNESS = 5000.0
_MIN_ADAPT_FRAMES = 30  # a click says nothing about a voice

_Mark: TypeAlias = Hints | bool  # True begins a turn, False ends it


class Recogniser:
    """One call's ears. Everything but `step` only takes note; `step` does the work, in slices, in order.

    Sound outside a turn is not wanted here: see Preroll. `step` raises ProviderError when the decoder fails; then
    this recogniser is of no more use.
    """

    def __init__(
        self, decoders: Decoders, *, rate_hz: int, hints: Hints, min_confidence: float = 0.5
    ) -> None:
        check(rate_hz, hints)
        self._decoders, self._rate_hz, self._min_confidence = decoders, rate_hz, min_confidence
        self._todo: deque[bytes | _Mark] = deque()
        self._next = decoders.grammar(hints.phrases)
        self._grammar = self._next
        self._line: Line | None = None  # known once somebody spoke
        self._first: bytearray | None = None  # of the turn that is going on, until the line is known
        self._cepstral_mean = ""  # adapts to this caller from turn to turn
        self._turn: Turn | None = None

    @property
    def busy(self) -> bool:
        """Is there something for `step` to do?"""
        return bool(self._todo)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Phrases that could not be compiled, and why."""
        return self._next.warnings

    def push(self, pcm: bytes) -> None:
        """Sound of the current turn, int16 at the call's rate, any length."""
        self._todo.append(pcm)

    def start(self, before: bytes = b"") -> None:
        """The caller began to speak. before: the sound just before now, some 400 ms."""
        self._todo += [True, before]

    def end(self) -> None:
        self._todo.append(False)

    def expect(self, hints: Hints) -> None:
        self._todo.append(hints)

    def step(self, slice_ms: int = SLICE_MS) -> list[SttEvent]:
        """Work on up to `slice_ms` of sound, or on what stands before or behind it."""
        room = self._rate_hz * slice_ms // 1000 * 2
        events: list[SttEvent] = []
        try:
            while self._todo and room > 0 and not events:
                item = self._todo.popleft()
                if isinstance(item, bytes):
                    now, later = item[:room], item[room:]
                    if later:
                        self._todo.appendleft(later)
                    room -= len(now)
                    events += self._hear(now)
                elif isinstance(item, Hints):
                    self._next = self._decoders.grammar(item.phrases)
                elif item:
                    self._begin()
                elif self._first is not None:  # shorter than what we wanted to hear first
                    self._todo.appendleft(item)
                    self._judge_line()
                else:
                    events.append(self._finish())
        except RuntimeError as error:  # what the library raises, whatever went wrong
            self._turn = None
            raise ProviderError(NAME, "server", f"decoding failed: {error}. Open a new stream.") from error
        return events

    def close(self) -> None:
        """Give the decoder back in the middle of a turn."""
        self._todo.clear()
        self._first = None
        turn, self._turn = self._turn, None
        if turn is not None:
            with suppress(RuntimeError):  # a decoder that cannot stop is not used again
                turn.finish()
                self._decoders.give_back(turn.decoder)

    def _begin(self) -> None:
        if self._turn is not None or self._first is not None:
            return
        self._grammar = self._next
        if self._line is None:
            self._first = bytearray()
        else:
            self._open_turn()

    def _judge_line(self) -> None:
        """Enough was heard of the call's first words: decode them from their beginning."""
        assert self._first is not None
        first, self._first = bytes(self._first), None
        self._line = Line.heard(first, self._rate_hz)
        self._cepstral_mean = (self._line or Line()).cepstral_mean()
        self._open_turn()
        self._todo.appendleft(first)

    def _open_turn(self) -> None:
        decoder = self._decoders.take()
        decoder.start(self._grammar, self._cepstral_mean)
        self._turn = Turn(decoder, self._rate_hz, self._line)

    def _hear(self, pcm: bytes) -> list[SttEvent]:
        if self._first is not None:
            self._first += pcm
            if len(self._first) >= FIRST_WORDS_MS * self._rate_hz // 1000 * 2:
                self._judge_line()
            return []
        if self._turn is None or not self._turn.hear(pcm):
            return []
        text = self._turn.text
        return [Partial(text, self._grammar.complete(text))]

    def _finish(self) -> Final:
        turn, self._turn = self._turn, None
        if turn is None:
            return Final("", 0.0, ends_turn=True)
        text, score = turn.finish()
        self._decoders.give_back(turn.decoder)
        if not turn.spoken:
            return Final("", 0.0, ends_turn=True)
        if turn.decoder.frames >= _MIN_ADAPT_FRAMES:
            self._cepstral_mean = turn.decoder.cepstral_mean()
        if not text:  # no path through the grammar ends here
            return Final(turn.text, 0.0, understood=False, ends_turn=True)
        doubtful = _DOUBTFUL - _NOISE_TAKES * (self._line or Line()).noise
        confidence = 1.0 / (1.0 + math.exp(_STEEPNESS * (doubtful - score)))
        return Final(text, confidence, understood=confidence >= self._min_confidence, ends_turn=True)


class PocketsphinxStt:
    """pipeline.ports.Stt in this process, decoding on the loop in slices of about 0.5 ms.

    For tests and replay. Live calls go through offhook.models.client.HostedStt, which leaves the clock in peace.
    min_confidence: 0.0 to 1.0; below it a turn counts as not understood.
    """

    name = NAME

    def __init__(self, min_confidence: float = 0.5) -> None:
        self._min_confidence = min_confidence
        self.decoders = Decoders()

    async def open(self, *, rate_hz: int, hints: Hints) -> PocketsphinxStream:
        """Raises ConfigError for a rate or language it cannot do, ProviderError if the model cannot be loaded."""
        check(rate_hz, hints)
        await asyncio.to_thread(self.decoders.warm, 1)
        recogniser = Recogniser(
            self.decoders, rate_hz=rate_hz, hints=hints, min_confidence=self._min_confidence
        )
        return PocketsphinxStream(recogniser)


class PocketsphinxStream:
    """pipeline.ports.SttStream over a Recogniser of this process."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._preroll = Preroll()
        self._mailbox = SttMailbox()
        self._loop = asyncio.get_running_loop()
        self._scheduled: asyncio.Handle | None = None

    @property
    def busy(self) -> bool:
        """Is sound waiting to be decoded?"""
        return self._scheduled is not None

    def push(self, frame: Frame) -> None:
        if (pcm := self._preroll.push(frame)) is not None:
            self._recogniser.push(pcm)
            self._schedule()

    def start_turn(self) -> None:
        if (before := self._preroll.start()) is not None:
            self._recogniser.start(before)
            self._schedule()

    def end_turn(self) -> None:
        self._preroll.end()
        self._recogniser.end()
        self._schedule()

    def expect(self, hints: Hints) -> None:
        self._recogniser.expect(hints)
        self._schedule()

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        self._stop()
        self._mailbox.close()

    def _schedule(self) -> None:
        if self._scheduled is None and not self._mailbox.closed:
            self._scheduled = self._loop.call_soon(self._work)

    def _work(self) -> None:
        self._scheduled = None
        try:
            for event in self._recogniser.step():
                self._mailbox.put(event)
        except ProviderError as error:
            self._mailbox.fail(error)
            return
        if self._recogniser.busy:
            self._schedule()

    def _stop(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        self._recogniser.close()


def check(rate_hz: int, hints: Hints) -> None:
    """Raises ConfigError for a rate or a language that the model does not know."""
    if rate_hz not in (8_000, MODEL_HZ):
        raise ConfigError(f"{NAME}: cannot hear sound at {rate_hz} Hz. Give it 8000 or 16000 Hz.")
    if hints.language.partition("-")[0].casefold() != "en":
        raise ConfigError(
            f"{NAME}: knows English, not {hints.language!r}. Choose another stt for this agent."
        )
