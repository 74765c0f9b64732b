"""The consultation call of a call, in its worker: a second line to somebody who may take the caller over.

`Consulting` belongs to one call and has one `Line` at a time; the switch dials (switch/consulting.py) and lends the
sockets. First a conversation has the line, later the caller does: then the two streams tell each other what they hear
(telephony/media/bridge.py), on the clock and without a queue. Not the caller's own stream (bridge.py)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from offhook.link import (
    CallEvent,
    Consult,
    ConsultAnswered,
    ConsultEnded,
    ConsultJoined,
    ConsultMediaChanged,
    ConsultRinging,
    EndConsult,
    HandOver,
    HandOverDone,
    Message,
    SendDigits,
)
from pipeline.events import Event, ToneHeard, dump
from pipeline.options import ThinkingSound
from pipeline.ports import AudioOut, Consultation, Frame, Talk, TransferResult, Vad
from telephony import dialstring
from telephony.errors import MediaError
from telephony.media.address import is_numeric, looked_up
from telephony.media.bridge import Bridge as Joint
from telephony.media.bridge import Side
from telephony.media.clock import Clock
from telephony.media.playout import Playout
from telephony.media.recorder import reopened
from telephony.media.signals import ToneKind
from telephony.media.stream import Stream, StreamState
from telephony.media.vitals import Vitals
from telephony.sdp.plan import MediaPlan

log = structlog.get_logger()

MACHINES: dict[str, TransferResult] = {
    "beep": TransferResult(False, 480, "an answering machine picked up"),
    "fax_ced": TransferResult(False, 480, "a fax machine picked up"),
    "fax_cng": TransferResult(False, 480, "a fax machine picked up"),
    "busy": TransferResult(False, 486, "the line is busy"),
    "reorder": TransferResult(False, 503, "the network could not connect the call"),
    "sit": TransferResult(False, 404, "the network plays an announcement"),
}
"""What a signal on the line says before anybody has agreed."""


class Line:
    """One consultation call that was answered. Satisfies pipeline.ports.Consultation.

    join: takes the caller from hold; False if their phone does not come back."""

    def __init__(
        self,
        answered: ConsultAnswered,
        fds: Sequence[int],
        plan: MediaPlan,
        *,
        clock: Clock,
        send: Callable[[Message], None],
        vad: Vad,
        join: Callable[[Line], Awaitable[bool]],
    ) -> None:
        self.number = answered.consult
        self.rate_hz = answered.rate_hz
        self.side: Side | None = None  # while the caller has the line
        self._call_id, self._dtmf = answered.call_id, answered.dtmf
        self._clock, self._send, self._join = clock, send, join
        self._out, self._vad = Playout(answered.rate_hz), vad
        self._talk: Talk | None = None
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[TransferResult] = loop.create_future()
        self._handed: asyncio.Future[TransferResult] | None = None
        self._vitals = Vitals(fds[2])
        self.recorder = (
            reopened(answered.recording, answered.rate_hz, self._vitals) if answered.recording else None
        )
        rtp, rtcp = (socket.socket(fileno=fd) for fd in fds[:2])
        self.stream = Stream(
            rtp,
            rtcp,
            plan,
            state=StreamState(**answered.stream),
            rate_hz=answered.rate_hz,
            ear=self._hear,
            mouth=self._speak,
            on_digit=self._key_pressed,
            on_tone=self._tone_heard,
            recorder=self.recorder,
            vitals=self._vitals,
        )
        clock.add(self.stream)
        self.on_key: Callable[[str], None] = lambda digit: None  # a key pressed for the caller

    # ------------------------------------------------------------ for the conversation (Consultation)

    @property
    def out(self) -> AudioOut:
        return self._out

    @property
    def vad(self) -> Vad:
        return self._vad

    @property
    def emit(self) -> Callable[[Event], None]:
        return self._emit

    def carry(self, talk: Talk) -> None:
        """Let this conversation have the line."""
        self._talk = talk

    async def ended(self) -> TransferResult:
        """Wait until it is over, or a machine has answered."""
        return await asyncio.shield(self._over)

    async def connect(self, release: bool) -> TransferResult:
        """Let caller and colleague hear each other, or have their phones do it without us."""
        if release and (await self._hand_over()).ok:
            return TransferResult(True, 200)
        if self._over.done():
            return self._over.result()
        if not await self._join(self):
            return TransferResult(False, 480, "the caller's phone did not come back from hold")
        if self._over.done():
            return self._over.result()
        self._send(ConsultJoined(call_id=self._call_id, consult=self.number))
        return TransferResult(True, 200)

    async def _hand_over(self) -> TransferResult:
        self._handed = asyncio.get_running_loop().create_future()
        self._send(HandOver(call_id=self._call_id, consult=self.number))
        result = await self._handed
        if not result.ok:
            log.warning("hand_over_refused", call_id=self._call_id, code=result.code, reason=result.reason)
        return result

    def hang_up(self, reason: str) -> None:
        """End this call; the caller's goes on."""
        self._send(EndConsult(call_id=self._call_id, consult=self.number, reason=reason))
        self.close(TransferResult(False, 480, reason))

    # the rest of CallControl: a colleague is neither held nor sent elsewhere

    async def transfer(self, target: str) -> TransferResult:
        return TransferResult(False, 403, "a colleague is not transferred")

    async def consult(self, target: str, ring_s: float) -> Consultation | TransferResult:
        return TransferResult(False, 403, "one consultation at a time")

    def send_digits(self, digits: str) -> None:
        """Keys in a menu on the way to them, or later, as their trunk wants them. Raises MediaError for others."""
        if self._dtmf == "info":
            keys = dialstring.read(digits)
            self._send(SendDigits(call_id=self._call_id, pii_digits=keys, consult=self.number))
        else:
            self.stream.send_digits(digits, self._dtmf)

    def start_message(self) -> str:
        return ""

    def end_message(self) -> float:
        return 0.0

    async def hold(self) -> bool:
        return False

    async def resume(self) -> bool:
        return True

    def think(self, sound: ThinkingSound | None) -> None:
        """A briefing is too short for that."""

    def pause_recording(self) -> bool:
        if self.recorder is not None:
            self.recorder.pause()
        return self.recorder is not None

    def resume_recording(self) -> bool:
        if self.recorder is not None:
            self.recorder.go_on()
        return self.recorder is not None

    # ------------------------------------------------------------ on the clock

    def _hear(self, frame: Frame, now: float) -> None:
        if self.side is not None:
            self.side.ear(frame, now)
        elif self._talk is not None:
            self._talk.hear(frame, now)

    def _speak(self, now: float) -> Frame | None:
        if self.side is not None:
            return self.side.mouth(now)
        return self._talk.speak(now) if self._talk is not None else None

    def _key_pressed(self, digit: str, now: float) -> None:
        if self.side is not None:
            with suppress(MediaError):  # the caller's trunk takes no keys
                self.on_key(digit)
        elif self._talk is not None:
            self._talk.key(digit, now)

    def _tone_heard(self, kind: ToneKind, now: float) -> None:
        self._emit(ToneHeard(now, kind))
        if self.side is None and kind in MACHINES and not self._over.done():
            self._over.set_result(MACHINES[kind])

    # ------------------------------------------------------------ what the switch says

    def handed_over(self, message: HandOverDone) -> None:
        """The far sides have, or have not, connected the calls."""
        if self._handed is not None and not self._handed.done():
            self._handed.set_result(TransferResult(message.ok, message.code, message.reason))

    def close(self, why: TransferResult) -> None:
        """The call is over: nobody is heard there any more."""
        if not self._over.done():
            self._over.set_result(why)
        if self._handed is not None and not self._handed.done():
            self._handed.set_result(why)
        self._clock.remove(self.stream)
        self.stream.close()
        self._vitals.close()

    def _emit(self, event: Event) -> None:
        """The same journal, and it says whose line it was."""
        self._send(CallEvent(call_id=self._call_id, event={**dump(event), "line": "consultation"}))


class Consulting:
    """The consultations of one call, one after the other. vad: makes one for a rate. join: see Line. called: how
    many there were in a worker before us."""

    def __init__(
        self,
        call_id: str,
        *,
        clock: Clock,
        send: Callable[[Message], None],
        vad: Callable[[int], Vad],
        join: Callable[[Line], Awaitable[bool]],
        called: int = 0,
    ) -> None:
        self.line: Line | None = None
        self.rejoined: Callable[[Line], None] = lambda line: None  # it was joined in another worker
        self._call_id = call_id
        self._clock, self._send, self._vad, self._join = clock, send, vad, join
        self._number = called
        self._answer: asyncio.Future[Line | TransferResult] | None = None
        self._looking_up: set[asyncio.Task[None]] = set()
        self._closed = False

    async def call(self, target: str, ring_s: float) -> Consultation | TransferResult:
        """Have somebody called. Returns when they answer, or why they do not."""
        if self._closed:
            return TransferResult(False, 487, "the call is over")
        self._number += 1
        self._answer = asyncio.get_running_loop().create_future()
        self._send(Consult(call_id=self._call_id, consult=self._number, target=target, ring_s=ring_s))
        try:
            return await self._answer
        except asyncio.CancelledError:
            self._send(EndConsult(call_id=self._call_id, consult=self._number, reason="cancelled"))
            raise

    def heard(self, message: Message, fds: Sequence[int]) -> None:
        """The switch says something of a consultation. fds: ours from now on."""
        if isinstance(message, ConsultAnswered) and message.joined and self._answer is None:
            self._number = message.consult
            self._answer = asyncio.get_running_loop().create_future()
        if getattr(message, "consult", 0) != self._number or self._closed:
            for fd in fds:
                os.close(fd)
            return
        match message:
            case ConsultRinging():
                log.info("consultation_rings", call_id=self._call_id, code=message.code)
            case ConsultAnswered():
                self._spawn(self._answered(message, fds))
            case ConsultMediaChanged() if self.line is not None:
                self._spawn(self._changed(self.line, MediaPlan.load(message.media)))
            case HandOverDone() if self.line is not None:
                self.line.handed_over(message)
            case ConsultEnded():
                self._ended(TransferResult(False, message.code, message.reason))

    @property
    def idle(self) -> bool:
        """Nobody is on the line, or called."""
        return self.line is None and (self._answer is None or self._answer.done())

    def silent_for(self, now: float) -> float:
        """Seconds without a packet from the colleague's phone."""
        return self.line.stream.silent_for(now) if self.line is not None else 0.0

    def plays(self, stream: object) -> bool:
        """Is this stream the consultation's?"""
        return self.line is not None and self.line.stream is stream

    def lost(self, reason: str) -> None:
        """The line is dead: as if they had hung up."""
        if self.line is not None:
            self.line.hang_up(reason)

    def close(self) -> None:
        """The caller's call is over; the switch ends the other one."""
        self._closed = True
        for task in self._looking_up:
            task.cancel()
        self._ended(TransferResult(False, 487, "the caller has left"))

    async def _answered(self, message: ConsultAnswered, fds: Sequence[int]) -> None:
        line = None
        try:
            plan = MediaPlan.load(message.media)
            plan = plan if is_numeric(plan) else await looked_up(plan)
            vad = self._vad(message.rate_hz)
            line = Line(message, fds, plan, clock=self._clock, send=self._send, vad=vad, join=self._join)
        except MediaError as error:
            self._send(EndConsult(call_id=self._call_id, consult=message.consult, reason=str(error)))
            return
        finally:
            if line is None:
                for fd in fds:
                    os.close(fd)
        if self._answer is not None and not self._answer.done():
            self.line = line
            self._answer.set_result(line)
            if message.joined:
                self.rejoined(line)
        else:
            line.hang_up("nobody waits for it")

    async def _changed(self, line: Line, plan: MediaPlan) -> None:
        with suppress(MediaError):  # what was agreed on before goes on
            line.stream.update(plan if is_numeric(plan) else await looked_up(plan))

    def _ended(self, why: TransferResult) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(why)
        line, self.line = self.line, None
        if line is not None:
            line.close(why)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"consultation of {self._call_id}")
        self._looking_up.add(task)
        task.add_done_callback(self._looking_up.discard)


def joint(caller_hz: int, line: Line) -> Side:
    """Let a caller and a line hear each other; returns the caller's side. Raises MediaError for impossible rates."""
    both = Joint(caller_hz, line.rate_hz)
    line.side = both.other
    return both.one
