"""When nobody listens: a call on hold, by the agent or by the caller, and an announcement that must be heard.

Also what else the agent does to its phone line without a word: keys, and the recording. Base of session.py, which
drives it; what listening means is listening.py's, what the phone does CallControl's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.events import (
    CallHeld,
    CallResumed,
    DigitsSent,
    Event,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
)
from pipeline.listening import Listening
from pipeline.ports import CallControl
from pipeline.replying import Reply


class Waiting:
    """One call's pauses. Any of them makes the agent deaf; it hears again when the last one is over."""

    _listening: Listening
    _reply: Reply | None

    def __init__(self, control: CallControl, emit: Callable[[Event], None], announcement: str) -> None:
        """announcement: said first, in full, before the recording begins and anybody listens; "" for none."""
        self._control, self._emit = control, emit
        self._loop = asyncio.get_running_loop()
        self._announcement = announcement
        self._deaf: set[str] = set()  # why: "agent" or "caller" on hold, "announcement"
        self._back_after: Reply | None = None  # hold ends with this reply

    def say(self, text: str) -> Reply:
        """Say this, after what is being said now."""
        raise NotImplementedError

    # ------------------------------------------------------------ hold

    def caller_held(self, held: bool, now: float) -> None:
        """The caller's phone asks us to wait, or is back."""
        if held and "caller" not in self._deaf:
            self._listen_no_more("caller", now)
        elif not held and "caller" in self._deaf:
            self._listen_again("caller", now)

    async def hold(self, *, until_answered: bool = False) -> None:
        """Let the caller wait with music, once what is being said was heard."""
        if self._reply is not None:
            await self._reply.wait_until_quiet()
        if until_answered:
            self._back_after = self._reply
        if "agent" not in self._deaf:
            self._listen_no_more("agent", self._loop.time())
            await self._control.hold()

    async def resume(self) -> bool:
        """Back to the caller. False if their phone would not agree."""
        self._back_after = None
        if "agent" not in self._deaf:
            return True
        if not await self._control.resume():
            return False
        self._listen_again("agent", self._loop.time())
        return True

    def _holds_for(self, reply: Reply) -> bool:
        """Is the caller still on hold that was to last for this reply only? The model forgot to resume."""
        return self._back_after is reply

    def _listen_no_more(self, by: str, now: float) -> None:
        self._deaf.add(by)
        self._emit(CallHeld(now, by))

    def _listen_again(self, by: str, now: float) -> None:
        self._hear_again(by)
        self._emit(CallResumed(now, by))

    def _hear_again(self, reason: str) -> None:
        self._deaf.discard(reason)
        if not self._deaf:
            self._listening.wake()

    # ------------------------------------------------------------ keys and recording

    def send_digits(self, digits: str) -> None:
        """Press keys."""
        self._control.send_digits(digits)
        self._emit(DigitsSent(self._loop.time(), digits))

    def pause_recording(self) -> bool:
        """Keep what is said out of the recording."""
        recorded = not self._announcement and self._control.pause_recording()
        if recorded:
            self._emit(RecordingPaused(self._loop.time()))
        return recorded

    def resume_recording(self) -> bool:
        """Record again; not before the announcement was heard."""
        recorded = not self._announcement and self._control.resume_recording()
        if recorded:
            self._emit(RecordingResumed(self._loop.time()))
        return recorded

    async def _announce(self) -> None:
        """Say that the call is recorded, and record once that was heard to its last word."""
        self._deaf.add("announcement")
        saying = self.say(self._announcement)
        await saying.wait_for_playout()
        if saying.audible and saying.written and not saying.interrupted:
            self._announcement = ""
            if self._control.resume_recording():
                self._emit(RecordingStarted(self._loop.time()))
        self._hear_again("announcement")
