"""A caller who does what a test says, when it says so: speaks, presses keys, makes noise, puts us on hold, hangs up.

Driven by call.py, once every 20 ms. What is said is also what the recogniser `CallerStt` understands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from pipeline.ports import FRAME_MS, Final, Frame, Hints, Partial, SttEvent

WORD_S = 0.35  # how long a caller takes for one
EPSILON_S = 1e-6  # sums of 20 ms steps miss the sum of the numbers by less
VOICE_HZ, VOICE_PEAK = 200, 3000


# ---------------------------------------------------------------- when


@dataclass(slots=True)
class Heard:
    """What the caller has noticed so far: loop times in s, from the beginning of the call."""

    agent_begins: list[float] = field(default_factory=list)
    agent_stops: list[float] = field(default_factory=list)
    caller_stops: list[float] = field(default_factory=list)
    sentences: list[tuple[str, float]] = field(default_factory=list)  # words, beginning


@dataclass(frozen=True, slots=True)
class Moment:
    """A time that is known when it comes. Add seconds to it: `agent_begins() + 2.0`."""

    what: Literal["agent_begins", "agent_stops", "caller_stops", "sentence"]
    number: int = 1
    words: str = ""
    plus_s: float = 0.0

    def __add__(self, seconds: float) -> Moment:
        return replace(self, plus_s=self.plus_s + seconds)

    def __str__(self) -> str:
        which = repr(self.words) if self.words else f"no. {self.number}"
        return f"{self.what} {which} + {self.plus_s:g} s"

    def time(self, heard: Heard) -> float | None:
        """Seconds from the beginning of the call, None if it has not come yet."""
        match self.what:
            case "agent_begins":
                times = heard.agent_begins
            case "agent_stops":
                times = heard.agent_stops
            case "caller_stops":
                times = heard.caller_stops
            case "sentence":
                wanted = self.words.casefold()
                times = [at for words, at in heard.sentences if wanted in words.casefold()]
        return times[self.number - 1] + self.plus_s if len(times) >= self.number else None


def agent_begins(number: int = 1) -> Moment:
    """The first packet of what the agent says for the nth time; the first is its greeting."""
    return Moment("agent_begins", number)


def agent_stops(number: int = 1) -> Moment:
    """The agent's nth speech is over, heard to its end or cut off."""
    return Moment("agent_stops", number)


def caller_stops(number: int = 1) -> Moment:
    """The caller's own nth utterance is over."""
    return Moment("caller_stops", number)


def sentence(words: str, number: int = 1) -> Moment:
    """The agent begins a sentence with these words in it, as they go to the voice ("five dollars", not "$5")."""
    return Moment("sentence", number, words)


When: TypeAlias = float | Moment
"""Seconds from the beginning of the call, or a moment of it."""


# ---------------------------------------------------------------- what


class Act:
    """Something that the caller does."""

    __slots__ = ()
    at: When


@dataclass(frozen=True, slots=True)
class Says(Act):
    """The caller speaks. seconds: None for as long as the words take. heard_as: what the recogniser makes of it, None
    for the words themselves."""

    words: str
    at: When
    seconds: float | None = None
    heard_as: str | None = None

    @property
    def lasts_s(self) -> float:
        return self.seconds if self.seconds is not None else max(0.6, WORD_S * len(self.words.split()))


@dataclass(frozen=True, slots=True)
class Presses(Act):
    """The caller presses keys, one every gap_s."""

    keys: str
    at: When
    gap_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Signals(Act):
    """The caller's line gives a signal: busy, reorder, sit, beep, fax_cng or fax_ced."""

    kind: str
    at: When


@dataclass(frozen=True, slots=True)
class Noise(Act):
    """Sound without words: a door, a lorry. level_db: to full scale; the detector takes -40 and more for a voice."""

    at: When
    seconds: float
    level_db: float = -20.0


@dataclass(frozen=True, slots=True)
class Holds(Act):
    """The caller's phone asks us to wait."""

    at: When
    seconds: float


@dataclass(frozen=True, slots=True)
class HangsUp(Act):
    """The caller has had enough."""

    at: When


# ---------------------------------------------------------------- doing it


@dataclass(frozen=True, slots=True)
class Deeds:
    """What an act does to the call, besides sound."""

    key: Callable[[str], None]
    hang_up: Callable[[], None]
    words: Callable[[str], None]  # the recogniser can hear so much more of what is said
    tone: Callable[[str], None]


class Caller:
    """Plays the acts. Times in s from the beginning of the call."""

    def __init__(self, acts: Sequence[Act], deeds: Deeds, rate_hz: int) -> None:
        self.heard = Heard()
        self._waiting = list(acts)
        self._deeds, self._rate_hz = deeds, rate_hz
        self._samples = rate_hz * FRAME_MS // 1000
        wave = np.sin(2 * np.pi * VOICE_HZ * np.arange(self._samples) / rate_hz)
        self._voice: Frame = (VOICE_PEAK * wave).astype(np.int16)
        self._dice = np.random.default_rng(1)  # the same noise in every run
        self._speech: list[float] = []  # ends of what is being said
        self._noise: list[tuple[float, float]] = []  # end, level
        self._held: list[float] = []
        self._later: list[tuple[float, Callable[[], None]]] = []

    def add(self, act: Act) -> None:
        """One thing more to do."""
        self._waiting.append(act)

    @property
    def held(self) -> bool:
        """Does the caller's phone hold us?"""
        return bool(self._held)

    @property
    def done(self) -> bool:
        """Is there nothing left to do?"""
        return not (self._waiting or self._speech or self._noise or self._held or self._later)

    @property
    def never_came(self) -> list[Act]:
        """Acts that wait for a moment of the call."""
        return [act for act in self._waiting if isinstance(act.at, Moment)]

    def frame(self, now: float) -> Frame:
        """20 ms of the caller; acts begin and end here."""
        self._stop(now)
        for act in list(self._waiting):
            at = act.at.time(self.heard) if isinstance(act.at, Moment) else act.at
            if at is not None and now >= at - EPSILON_S:
                self._waiting.remove(act)
                self._begin(act, max(at, 0.0) if isinstance(act.at, float | int) else now)
        self._do_what_is_due(now)
        return self._sound()

    def _begin(self, act: Act, at: float) -> None:
        match act:
            case Says():
                self._speech.append(at + act.lasts_s)
                self._say(act, at)
            case Presses():
                for number, key in enumerate(act.keys):
                    self._later.append((at + number * act.gap_s, lambda key=key: self._deeds.key(key)))  # type: ignore[misc]
            case Signals():
                self._deeds.tone(act.kind)
            case Noise():
                self._noise.append((at + act.seconds, act.level_db))
            case Holds():
                self._held.append(at + act.seconds)
            case HangsUp():
                self._deeds.hang_up()

    def _say(self, act: Says, at: float) -> None:
        words = (act.words if act.heard_as is None else act.heard_as).split()
        for number, word in enumerate(words, start=1):
            said = at + act.lasts_s * number / len(words) - FRAME_MS / 1000
            self._later.append((said, lambda word=word: self._deeds.words(word)))  # type: ignore[misc]

    def _stop(self, now: float) -> None:
        over = [end for end in self._speech if now >= end - EPSILON_S]
        self.heard.caller_stops += over
        self._speech = [end for end in self._speech if end not in over]
        self._noise = [(end, level) for end, level in self._noise if now < end - EPSILON_S]
        self._held = [end for end in self._held if now < end - EPSILON_S]

    def _do_what_is_due(self, now: float) -> None:
        due = [deed for at, deed in self._later if now >= at - EPSILON_S]
        self._later = [(at, deed) for at, deed in self._later if now < at - EPSILON_S]
        for deed in due:
            deed()

    def _sound(self) -> Frame:
        sound: Frame = self._voice if self._speech else np.zeros(self._samples, np.int16)
        for _, level_db in self._noise:
            noise = self._dice.normal(0.0, 32768 * 10 ** (level_db / 20), self._samples)
            sound = np.clip(sound + noise, -32768, 32767).astype(np.int16)
        return sound


# ---------------------------------------------------------------- what the recogniser makes of it


class CallerStt:
    """A recogniser that understands what the caller of a VirtualCall says, word by word as it is said.

    partials: off for one that says nothing before the end of a turn. lag_s: from a word to its partial. delay_s: from
    end_turn() to the Final. confidence: of every Final.
    """

    name = "caller"

    def __init__(
        self, *, partials: bool = True, lag_s: float = 0.1, delay_s: float = 0.0, confidence: float = 1.0
    ) -> None:
        self.partials, self.lag_s, self.delay_s, self.confidence = partials, lag_s, delay_s, confidence
        self._stream: CallerSttStream | None = None

    async def open(self, *, rate_hz: int, hints: Hints) -> CallerSttStream:
        self._stream = CallerSttStream(self)
        return self._stream

    def hears(self, word: str) -> None:
        """The caller has just said this."""
        if self._stream is not None:
            self._stream.hears(word)


class CallerSttStream:
    """One call's recogniser (ports.SttStream)."""

    def __init__(self, stt: CallerStt) -> None:
        self._stt = stt
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[SttEvent | None] = asyncio.Queue()
        self._words: list[str] = []
        self._coming: list[asyncio.TimerHandle] = []

    def hears(self, word: str) -> None:
        """One word more."""
        self._words.append(word)
        if self._stt.partials:
            partial = Partial(" ".join(self._words))
            self._coming.append(self._loop.call_later(self._stt.lag_s, self._events.put_nowait, partial))

    def push(self, frame: Frame) -> None:
        """Sound does not matter."""

    def start_turn(self) -> None:
        """It listens always."""

    def end_turn(self) -> None:
        while self._coming:
            self._coming.pop().cancel()
        final = Final(" ".join(self._words), self._stt.confidence, ends_turn=True)
        self._words = []
        self._loop.call_later(self._stt.delay_s, self._events.put_nowait, final)

    def expect(self, hints: Hints) -> None:
        """It understands everything."""

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        self._events.put_nowait(None)
