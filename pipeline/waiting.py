"""When nobody listens: a call on hold, by the agent or by the caller, and an announcement that must be heard.

Also what else the agent does to its phone line without a word: keys, and the recording. Driven by session.py; what
listening means is listening.py's, what the phone does CallControl's."""

from __future__ import annotations

import asyncio

from pipeline.events import (
    CallHeld,
    CallResumed,
    DigitsSent,
    MessageTaken,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
)
from pipeline.message import END_KEY, LeavingMessage
from pipeline.ports import CallControl, Frame
from pipeline.replying import Reply
from pipeline.speaking.clip import Clip
from pipeline.stage import Stage


class Waiting:
    """One call's pauses. Any of them makes the agent deaf; it hears again when the last one is over."""

    def __init__(self, stage: Stage, control: CallControl, announcement: str | Clip) -> None:
        """announcement: said first, in full, before the recording begins and anybody listens; "" for none."""
        self._stage, self._control = stage, control
        self._announcement = announcement
        self.deaf: set[str] = set()  # why: "agent" or "caller" on hold, "announcement"
        self._back_after: Reply | None = None  # hold ends with this reply
        self._message: LeavingMessage | None = None
        self._message_over: asyncio.Future[str] | None = None

    @property
    def keys_are_lost(self) -> bool:
        """The announcement must be heard to its end, and of the agent's hold nobody knows when it ends."""
        return bool(self.deaf & {"announcement", "agent"})

    # ------------------------------------------------------------ hold

    def caller_held(self, held: bool, now: float) -> None:
        """The caller's phone asks us to wait, or is back."""
        if held and "caller" not in self.deaf:
            self._listen_no_more("caller", now)
        elif not held and "caller" in self.deaf:
            self._listen_again("caller", now)

    async def hold(self, *, until_answered: bool = False) -> None:
        """Let the caller wait with music, once what is being said was heard."""
        current = self._stage.speeches.current if self._stage.speeches is not None else None
        if current is not None:
            await current.wait_until_quiet()
        if until_answered:
            self._back_after = current
        if "agent" not in self.deaf:
            self._listen_no_more("agent", self._stage.now())
            self._stage.save()
            await self._control.hold()

    def go_on_holding(self) -> None:
        """Another process has let the caller wait."""
        self.deaf.add("agent")

    async def resume(self) -> bool:
        """Back to the caller. False if their phone would not agree."""
        self._back_after = None
        if "agent" not in self.deaf:
            return True
        if not await self._control.resume():
            return False
        self._listen_again("agent", self._stage.now())
        self._stage.save()
        return True

    def performed(self, reply: Reply) -> None:
        """A reply is over. Is the caller still on hold that was to last for it only? The model forgot to resume."""
        if self._back_after is reply and self._stage.tasks is not None:
            self._stage.tasks.create_task(self.resume(), name="resume")

    def _listen_no_more(self, by: str, now: float) -> None:
        self.deaf.add(by)
        self._stage.emit(CallHeld(now, by))

    def _listen_again(self, by: str, now: float) -> None:
        self._hear_again(by)
        self._stage.emit(CallResumed(now, by))

    def _hear_again(self, reason: str) -> None:
        self.deaf.discard(reason)
        if not self.deaf:
            self._stage.listening.wake()

    # ------------------------------------------------------------ a message after the beep

    async def take_message(self, max_s: float, silence_s: float) -> MessageTaken | None:
        """Let the caller leave a message. None: it could not be recorded."""
        stage = self._stage
        current = stage.speeches.current if stage.speeches is not None else None
        if current is not None:
            await current.wait_until_quiet()
        name = self._control.start_message() if self._message is None else ""
        if not name:
            return None
        message = self._message = LeavingMessage(max_s, silence_s, stage.now())
        over = self._message_over = stage.loop.create_future()
        self.deaf.add("message")
        why = "hang_up"
        try:
            why = await over
        finally:
            self._message = self._message_over = None
            taken = MessageTaken(
                stage.now(), name, round(self._control.end_message(), 1), message.spoken, why
            )
            stage.emit(taken)
            self._hear_again("message")
        return taken

    def hear(self, frame: Frame, now: float) -> None:
        """20 ms of a caller whom nobody answers."""
        if self._message is not None:
            self._end_message(self._message.over(self._stage.services.vad.probability(frame), now))

    def key(self, digit: str) -> bool:
        """A key ends the message. True: it is dealt with."""
        if self._message is not None and digit == END_KEY:
            self._end_message("key")
        return self._message is not None

    def call_over(self) -> None:
        """The caller has hung up: what was said so far is the message."""
        self._end_message("hang_up")

    def _end_message(self, why: str) -> None:
        if why and self._message_over is not None and not self._message_over.done():
            self._message_over.set_result(why)

    # ------------------------------------------------------------ keys and recording

    def send_digits(self, digits: str) -> None:
        """Press keys."""
        self._control.send_digits(digits)
        self._stage.emit(DigitsSent(self._stage.now(), digits))

    def pause_recording(self) -> bool:
        """Keep what is said out of the recording."""
        recorded = not self._announcement and self._control.pause_recording()
        if recorded:
            self._stage.emit(RecordingPaused(self._stage.now()))
        return recorded

    def resume_recording(self) -> bool:
        """Record again; not before the announcement was heard."""
        recorded = not self._announcement and self._control.resume_recording()
        if recorded:
            self._stage.emit(RecordingResumed(self._stage.now()))
        return recorded

    async def announce(self) -> None:
        """Say that the call is recorded, and record once that was heard to its last word."""
        if not self._announcement:
            return
        self.deaf.add("announcement")
        saying = self._stage.queue(self._stage.reply(text=self._announcement, allow_interruptions=False))
        await saying.wait_for_playout()
        if saying.audible and saying.written and not saying.interrupted:
            self._announcement = ""
            if self._control.resume_recording():
                self._stage.emit(RecordingStarted(self._stage.now()))
        self._hear_again("announcement")
