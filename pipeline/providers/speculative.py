"""When a recogniser that answers one request at a time is asked: before the turn is over, so that the answer is there.

Pure: frames in, requests out. Driven by request_stt.py for Groq's and OpenAI's recognisers and any other that takes a
whole sound at once. A request leaves while the caller speaks (for partials) and whenever silence begins; if nothing was
said since, its answer is the turn's, and end_turn() costs nothing more. Not voice activity detection: hearing/vad.py
decides when a turn begins and ends, this only finds pauses, cheaply."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.ports import FRAME_MS, Final, Frame, Partial, SttEvent

FLOOR_DB = -65.0  # of full scale: the quietest line we believe in
RISE_DB_PER_S = 1.5  # how fast a line's noise may grow
# Noise varies by 3 dB from frame to frame. Noise that is taken for speech costs a request, the other mistake a word.
ABOVE_NOISE_DB = 5.0
TAIL_MS = 160  # behind the last loud frame: the end of a word is quiet
SLOWER = 0.25  # of what was said so far: a request sends all of it, so long turns are asked for less often

_FULL = 32768.0**2


class Loudness:
    """Is there more in these 20 ms than the line's own noise? One a call. 5 µs a frame."""

    def __init__(self) -> None:
        self._floor = _FULL * 10 ** (-20 / 10)  # so that the first frames set it
        self._least = _FULL * 10 ** (FLOOR_DB / 10)
        self._rise = 10 ** (RISE_DB_PER_S * FRAME_MS / 1000 / 10)
        self._above = 10 ** (ABOVE_NOISE_DB / 10)

    def loud(self, frame: Frame) -> bool:
        """The next 20 ms. A sudden fall counts as well: what we took for the line's noise was a voice until here."""
        samples = frame.astype(np.float32)
        power = max(self._least, float(samples @ samples) / max(1, len(samples)))
        fell = power * self._above < self._floor
        self._floor = min(power, self._floor * self._rise)
        return fell or power > self._floor * self._above


@dataclass(frozen=True, slots=True)
class Policy:
    """When to ask. silence_ms: so much silence may be the end of the turn. every_ms: of speech, between two requests
    for partials; 0 asks for none. Both 0: only end_turn() asks."""

    silence_ms: int = 200
    every_ms: int = 1000


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that should leave now. pcm: int16 at the call's rate. owed: the turn is over and waits for it."""

    pcm: bytes
    owed: bool


class SpeculativeTurn:
    """One turn of the caller, from start_turn() to its Final.

    before: sound just before it was noticed, which is speech. Every Ask that is returned replaces the one before, whose
    answer is of no more use; for each, `answered` or `failed` is called, or `skipped` if it is not sent.
    """

    def __init__(self, before: bytes, rate_hz: int, policy: Policy) -> None:
        self._bytes_per_ms = rate_hz * 2 // 1000
        self._policy = policy
        self._sound = bytearray(before)
        self._spoken = len(before)  # end of the newest loud frame
        self._loud = False  # there was one; otherwise we cannot tell words from noise, and nothing is cut off
        self._asked_at = self._asked_spoken = 0  # how much there was when it was last asked for, sent or not
        self._live: Ask | None = None  # sent, and its answer may serve
        self._answer: Final | None = None  # to it
        self._text = ""  # told so far
        self.over = False
        self.final: Final | None = None  # what the turn comes to, once that is known
        self.reused = False  # the answer was asked for before the turn was over

    def hear(self, pcm: bytes, loud: bool) -> Ask | None:
        """The next frame. Returns a request if one is worth making."""
        self._sound += pcm
        if loud:
            self._spoken, self._loud = len(self._sound), True
        if self._spoken <= self._asked_spoken:
            return None  # nothing new was said
        silence = len(self._sound) - self._spoken
        if self._policy.silence_ms and silence >= self._bytes(self._policy.silence_ms):
            return None if self._covered() else self._ask(owed=False)
        if self._policy.every_ms and (self._live is None or self._answer is not None):
            new = len(self._sound) - self._asked_at
            if new >= max(self._bytes(self._policy.every_ms), SLOWER * len(self._sound)):
                return self._ask(owed=False)
        return None

    def end(self) -> Ask | None:
        """The turn is over. Returns a request if no answer is there or on its way."""
        self.over = True
        if not self._loud:
            self._spoken = len(self._sound)
        if not self._covered():
            return self._ask(owed=True)
        self.reused = True
        if self._answer is not None:
            self._settle(self._answer)
        return None

    def answered(self, ask: Ask, event: SttEvent) -> Partial | None:
        """What the recogniser says to it, piece by piece. Returns what the session should know; `final` may be set."""
        if ask is not self._live:
            return None
        if isinstance(event, Final):
            self._answer = event
            if self.over:
                self._settle(event)
                return None
            if not event.understood:
                return None
        if not event.text or event.text == self._text:
            return None
        self._text = event.text
        return Partial(event.text)

    def failed(self, ask: Ask) -> Ask | None:
        """It got no answer. Returns another request if the turn waits for it and this one was only a guess."""
        if ask is not self._live:
            return None
        self._live = self._answer = None
        if not self.over or ask.owed:
            return None
        self.reused = False
        return self._ask(owed=True)

    def skipped(self, ask: Ask) -> None:
        """It was not sent. There will be another one when more was said."""
        if ask is self._live:
            self._live = None

    def _ask(self, *, owed: bool) -> Ask:
        end = min(len(self._sound), self._spoken + self._bytes(max(TAIL_MS, self._policy.silence_ms)))
        self._asked_at, self._asked_spoken = len(self._sound), self._spoken
        self._live, self._answer = Ask(bytes(self._sound[:end]), owed), None
        return self._live

    def _covered(self) -> bool:
        """Does the request that was sent have all that was said?"""
        if self._live is None:
            return False
        return len(self._live.pcm) >= min(len(self._sound), self._spoken + self._bytes(TAIL_MS))

    def _settle(self, answer: Final) -> None:
        self.final = Final(answer.text, answer.confidence, answer.understood, ends_turn=True)

    def _bytes(self, ms: float) -> int:
        return math.ceil(ms * self._bytes_per_ms)
