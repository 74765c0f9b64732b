"""What the caller says: voice activity and the recogniser, joined to one text a turn.

`hear` runs on the clock and stays plain; one task reads the recogniser. It reports to the session through three
callbacks and decides nothing: who has the floor is turn.py's business."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pipeline.errors import ConfigError, ProviderError
from pipeline.hearing.echo import EchoGuard
from pipeline.hearing.vad import VoiceActivity, VoiceEvent, VoiceStopped
from pipeline.ports import FRAME_MS, Final, Frame, Hints, Metered, Partial, Stt, SttStream, Vad

Opener: TypeAlias = Callable[[Stt, int], Awaitable[SttStream]]

REOPEN_AFTER_S = 0.5
CLOSE_AFTER_S = 3.0  # a hold this long closes the recogniser, which costs money or drops a silent line itself
UNANSWERED = 2  # turns in a row: the recogniser hangs
GUESSED = 0.5  # confidence in words that were never confirmed
MAX_FAILURES = 3  # in a row; then the session is told that nobody listens any more
MISSED_FRAMES = 15_000 // FRAME_MS  # kept of a turn for a recogniser that is being opened
BEFORE_FRAMES = 500 // FRAME_MS  # kept of what comes before one


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the caller said in one turn. overlap: it was said over the agent and did not interrupt it. lost: the
    recogniser did not hear all of it, or never told; text is what is known."""

    text: str
    understood: bool
    confidence: float
    overlap: bool = False
    lost: bool = False


@dataclass(slots=True)
class _Owed:
    """An end_turn() that waits for its Final."""

    due: float
    overlap: bool
    expired: bool = False


class Listening:
    """One call's ears.

    on_partial(text, complete), on_utterance(utterance) and on_failed(error, gave_up) are called on the loop.
    """

    def __init__(
        self,
        vad: Vad,
        *,
        rate_hz: int,
        transcript_timeout_s: float,
        on_partial: Callable[[Partial], None],
        on_utterance: Callable[[Utterance], None],
        on_failed: Callable[[ProviderError, bool], None],
        echo: EchoGuard | None = None,
    ) -> None:
        if vad.rate_hz != rate_hz:
            raise ConfigError(
                f"the voice activity detector takes {vad.rate_hz} Hz, the call has {rate_hz} Hz."
                " Make it for the call's rate."
            )
        self._activity = VoiceActivity(vad, echo=echo)
        self._rate_hz = rate_hz
        self._timeout_s = transcript_timeout_s
        self._on_partial, self._on_utterance, self._on_failed = on_partial, on_utterance, on_failed
        self._stream: SttStream | None = None
        self._hints = Hints()
        self._texts: list[Final] = []
        self._guess = ""  # the newest partial, until a final says it better
        self._torn = False  # the recogniser did not hear all of this turn
        self._deaf = False  # it failed too often
        self._missed = deque[Frame | Literal["start", "end"]](maxlen=MISSED_FRAMES)  # while there is none
        self._unanswered = 0
        self._owed: list[_Owed] = []
        self._next_due = float("inf")
        self._failures = 0
        self._swapped = False
        self._in_turn = False
        self._resting_since: float | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        self._reading: asyncio.Timeout | None = None
        self._pushed = 0  # frames, to this stream since `used`
        self._used: dict[str, float] = {}

    def hear(self, frame: Frame, now: float) -> VoiceEvent | None:
        """20 ms of the caller. Returns a change of voice activity, if there is one."""
        if self._stream is not None:
            self._stream.push(frame)
            self._pushed += 1
        else:
            self._miss(frame)
        if now >= self._next_due:
            self._expire(now)
        return self._activity.heard(frame, now)

    def rest(self, now: float) -> VoiceStopped | None:
        """20 ms of a call on hold, instead of `hear`: nothing is listened to. What was said before is still
        delivered. Returns the end of speech that the hold cut short."""
        if self._resting_since is None:
            self._resting_since = now
            return self._activity.break_off(now)
        if now >= self._next_due:
            self._expire(now)
        if now - self._resting_since >= CLOSE_AFTER_S and not self._owed and self._awake.is_set():
            self._awake.clear()
            if self._reading is not None:
                self._reading.reschedule(now)
                self._reading = None
        return None

    def wake(self) -> None:
        """The hold is over; a recogniser that was closed is opened again."""
        self._resting_since = None
        self._awake.set()

    @property
    def voiced(self) -> bool:
        """Is there speech in the newest 20 ms?"""
        return self._activity.voiced

    @property
    def stirs(self) -> bool:
        """May the newest sound turn out to be speech?"""
        return self._activity.stirs

    def start_turn(self) -> None:
        """The caller began to speak. A last word that is overdue is not waited for any longer."""
        self._in_turn = True
        self._guess = ""
        self._owed = [owed for owed in self._owed if not owed.expired]
        if self._stream is not None:
            self._stream.start_turn()
        else:
            self._missed.append("start")

    def end_turn(self, now: float, *, overlap: bool = False) -> None:
        """The caller is done; on_utterance follows, at the latest when the transcript timeout is over."""
        self._in_turn = False
        self._owed.append(_Owed(now + self._timeout_s, overlap))
        self._next_due = min(self._next_due, now + self._timeout_s)
        if self._stream is not None:
            self._stream.end_turn()
        elif self._deaf:
            self._drop_stream()
        else:
            self._missed.append("end")

    def expect(self, hints: Hints) -> None:
        """Another agent listens, or something else was asked."""
        self._hints = hints
        if self._stream is not None:
            self._stream.expect(hints)

    def used(self) -> dict[str, float]:
        """Seconds of sound that were recognised since this was last asked, by provider."""
        self._count()
        used, self._used = self._used, {}
        return {name: round(seconds, 2) for name, seconds in used.items() if seconds}

    def _count(self) -> None:
        pushed, self._pushed = self._pushed, 0
        stream = self._stream
        given = stream.used() if isinstance(stream, Metered) else {self._stt.name: pushed * FRAME_MS / 1000}
        for name, seconds in given.items():
            self._used[name] = self._used.get(name, 0.0) + seconds

    async def open(self, stt: Stt, opener: Opener) -> None:
        """Have the recogniser ready. opener: opens a stream of it. Raises ProviderError."""
        self._stt, self._opener = stt, opener
        self._stream = await opener(stt, self._rate_hz)

    async def use(self, stt: Stt, opener: Opener) -> None:
        """From now on another recogniser listens; the same one keeps its stream."""
        self._opener = opener
        if stt is self._stt:
            return
        self._count()
        self._stt, self._swapped = stt, True
        self._drop_stream()
        if self._stream is not None:
            await self._stream.aclose()

    async def run(self) -> None:
        """Read the recogniser until cancelled. A failed stream is opened again after half a second."""
        while True:
            await self._awake.wait()
            try:
                await self._read_while_awake()
            except ProviderError as error:
                self._failures += 1
                gave_up = self._failures >= MAX_FAILURES
                self._torn = self._in_turn
                self._settle_guess()
                self._drop_stream()
                self._on_failed(error, gave_up)
                if gave_up:
                    self._deaf = True
                    return
            if not self._swapped:
                await asyncio.sleep(REOPEN_AFTER_S)
            self._swapped = False

    async def _read_while_awake(self) -> None:
        """Read until the stream ends, or a long hold closes it. Raises ProviderError, also when it hangs."""
        reading = self._reading = asyncio.timeout(None)
        try:
            async with reading:
                await self._read()
        except TimeoutError:
            if not reading.expired():
                raise
            if self._unanswered >= UNANSWERED:
                self._unanswered = 0
                fact = f"no answer to {UNANSWERED} turns in a row. It is opened anew."
                raise ProviderError(self._stt.name, "timeout", fact) from None
        finally:
            self._reading = None

    async def _read(self) -> None:
        if self._stream is None:
            await self.open(self._stt, self._opener)
            self.expect(self._hints)
            self._catch_up()
        stream = self._stream
        assert stream is not None
        try:
            async for event in stream:
                self._failures = self._unanswered = 0
                if isinstance(event, Partial):
                    self._guess = event.text
                    self._on_partial(event)
                else:
                    self._take(event)
        finally:
            self._count()
            self._stream = None
            await stream.aclose()

    def _miss(self, frame: Frame) -> None:
        """Nobody listens just now: keep a turn for the recogniser that is being opened, as far as it goes."""
        missed = self._missed
        if len(missed) == MISSED_FRAMES:
            self._torn = self._in_turn
        missed.append(frame)
        if not self._in_turn and not self._owed and len(missed) > BEFORE_FRAMES:
            missed.popleft()

    def _catch_up(self) -> None:
        """Tell the new recogniser what was said since there was none."""
        stream, missed = self._stream, self._missed
        assert stream is not None
        first = next((step for step in missed if isinstance(step, str)), "end" if self._in_turn else "start")
        if first == "end":
            stream.start_turn()  # it began with the recogniser before, or too long ago
        for step in missed:
            if not isinstance(step, str):
                stream.push(step)
            elif step == "start":
                stream.start_turn()
            else:
                stream.end_turn()
        missed.clear()

    def _take(self, final: Final) -> None:
        self._guess = ""
        if final.text:
            self._texts.append(final)
        if not final.ends_turn:
            return
        owed = self._owed.pop(0) if self._owed else None
        if owed is not None and not owed.expired:
            self._deliver(owed)
        self._texts.clear()  # those of a last word that came too late as well

    def _deliver(self, owed: _Owed, *, lost: bool = False) -> None:
        if lost:
            self._settle_guess()
        lost, self._torn = lost or self._torn, False
        finals, self._texts = self._texts, []
        text = " ".join(final.text for final in finals)
        understood = bool(finals) and all(final.understood for final in finals)
        confidence = min((final.confidence for final in finals), default=0.0)
        self._on_utterance(Utterance(text, understood, confidence, owed.overlap, lost))

    def _settle_guess(self) -> None:
        """The recogniser will not say it better: what it seemed to hear is what was heard."""
        guess, self._guess = self._guess, ""
        if guess:
            self._texts.append(Final(guess, GUESSED))

    def _expire(self, now: float) -> None:
        """The recogniser owes its last word for too long: go on with what there is, ignore it when it comes."""
        for owed in self._owed:
            if not owed.expired and now >= owed.due:
                owed.expired = True
                self._unanswered += self._stream is not None
                self._deliver(owed, lost=True)
        if self._stream is None and not self._in_turn:
            self._missed.clear()
            self._owed = [owed for owed in self._owed if not owed.expired]
        if self._unanswered >= UNANSWERED and self._reading is not None:
            self._reading.reschedule(now)
        self._next_due = min((owed.due for owed in self._owed if not owed.expired), default=float("inf"))

    def _drop_stream(self) -> None:
        """Nobody will answer for what is owed: say so now instead of at the timeout."""
        owed, self._owed = self._owed, []
        for debt in owed:
            if not debt.expired:
                self._deliver(debt, lost=True)
