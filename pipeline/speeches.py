"""What the agent has to say, one thing after the other: queued, performed, paused, cut, made ahead.

Owned by session.py, which says what the floor decided. A single reply is replying.py's business, who may speak first of
those who wait mouth.py's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.delays import ResponseClock
from pipeline.errors import PipelineError, ProviderError
from pipeline.events import (
    AgentPaused,
    AgentResumed,
    AnswerDiscarded,
    Event,
    FillerSaid,
    ProviderFailed,
)
from pipeline.mouth import Mouth
from pipeline.ports import FRAME_MS, AudioOut, Frame
from pipeline.replying import Reply
from pipeline.turn import ReplyAudible, ReplyOver, TurnEvent

MAX_FAILURES = 3  # replies in a row that could not be made; then the call ends


@dataclass(frozen=True, slots=True)
class Outside:
    """What speeches need of their session.

    gave_up(reason): replies have failed too often. stumbled(): one failed: apologise. over(reply): it was heard to its
    end. performed(reply): it is over, however it ended."""

    tasks: asyncio.TaskGroup
    emit: Callable[[Event], None]
    now: Callable[[], float]
    happened: Callable[[TurnEvent | None, float], None]
    gave_up: Callable[[str], None]
    stumbled: Callable[[], object]
    over: Callable[[Reply], None]
    performed: Callable[[Reply], None]


@dataclass(slots=True)
class _Ahead:
    """An answer to words that may not be the last ones."""

    words: str
    reply: Reply
    task: asyncio.Task[None]


class Speeches:
    """One call's speeches. current: the one that may be heard."""

    def __init__(self, out: AudioOut, outside: Outside) -> None:
        self.mouth = Mouth()
        self.current: Reply | None = None
        self.closed = False
        self._out, self._outside = out, outside
        self._tasks: dict[Reply, asyncio.Task[None]] = {}
        self._failures = 0
        self._paused_at: int | None = None
        self._ahead: _Ahead | None = None
        self._tries = 0
        self._quiet_ticks = 0
        self._fillers: tuple[str, ...] = ()
        self._filler_ticks = 0
        self._filled = 0

    @property
    def busy(self) -> bool:
        """Is anything being said or about to be?"""
        return bool(self._tasks)

    @property
    def talking(self) -> bool:
        """As busy, but for a reply that lets a task talk to the caller."""
        return any(not reply.aside for reply in self._tasks)

    @property
    def paused(self) -> bool:
        return self._paused_at is not None

    def dump(self) -> list[dict[str, Any]]:
        """What is being said and waits to be, in order, for another process. Plain values."""
        ahead = self._ahead.reply if self._ahead is not None else None
        first = [self.current] if self.current is not None else []
        waiting = [reply for reply in self._tasks if reply is not self.current and reply is not ahead]
        return [reply.dump() for reply in first + waiting if not reply.interrupted]

    def fill_with(self, fillers: tuple[str, ...], after_ms: int) -> None:
        """What to say when an answer takes longer than after_ms; 0 or no fillers: nothing."""
        self._fillers, self._filler_ticks = fillers, after_ms // FRAME_MS

    # ------------------------------------------------------------ on the clock

    def spoke(self, frame: Frame | None, now: float) -> None:
        """What has just been taken for the phone."""
        reply = self.current
        if reply is None or self._paused_at is not None:
            return
        if frame is not None:
            self._quiet_ticks = 0
            if not reply.audible and reply.sounded(now):
                self._outside.happened(ReplyAudible(not reply.allow_interruptions), now)
        elif reply.fell_silent():
            self._ended(reply, now)
        else:
            self._quiet_ticks += 1
            if self._filler_ticks and self._quiet_ticks >= self._filler_ticks:
                self._fill(reply, now)

    # ------------------------------------------------------------ saying

    def queue(self, reply: Reply) -> Reply:
        """Say it when its turn comes."""
        self._start(reply, None)
        return reply

    def _start(self, reply: Reply, ahead: _Ahead | None) -> None:
        task = self._outside.tasks.create_task(
            self._perform(reply, ahead), name=f"reply of {reply.agent.name}"
        )
        self._tasks[reply] = task
        # A task that is cancelled before its first step runs no line of its own.
        task.add_done_callback(lambda _: self._tasks.pop(reply, None))

    async def _perform(self, reply: Reply, ahead: _Ahead | None) -> None:
        try:
            async with self.mouth.turn(reply.priority):
                self._begin(reply)
                if ahead is None:
                    await reply.run()
                else:
                    await self._go_on(ahead)
                if not reply.canned:  # an apology that was heard mends nothing
                    self._failures = 0
                if self.current is reply:  # it made no sound, or the clock has not seen its end
                    self._ended(reply, self._outside.now())
        except PipelineError as error:
            self._failed(reply, error)
        finally:
            self._tasks.pop(reply, None)
            self._outside.performed(reply)

    def _begin(self, reply: Reply) -> None:
        self.current = reply
        self._quiet_ticks = self._filled = 0

    async def lend(self, reply: Reply) -> None:
        """A task talks in the middle of this reply: what was said so far is heard, then the mouth is free."""
        await reply.wait_until_quiet()
        reply.aside = True
        if self.current is reply:
            self.current = None
        self._outside.happened(ReplyOver(), self._outside.now())
        self.mouth.give()

    async def take_back(self, reply: Reply) -> None:
        """The task is over; the reply goes on."""
        await self.mouth.take(reply.priority)
        reply.aside = False
        self._begin(reply)

    # ------------------------------------------------------------ stopping

    def pause(self, now: float) -> None:
        """Fall silent; perhaps it was nothing."""
        self._paused_at = self._out.pause()
        self._outside.emit(AgentPaused(now))

    def resume(self, now: float) -> None:
        """It was nothing: go on from the word at which we stopped."""
        position, self._paused_at = self._paused_at, None
        if position is None:
            return
        if self.current is not None and self.current.audible:
            position = self.current.word_at(position)
        self._out.resume(position)
        self._outside.emit(AgentResumed(now))

    def cut(self, *, force: bool = False, told: Callable[[int], None] = lambda heard_ms: None) -> None:
        """Drop what is said and waits. What may not be interrupted stays, unless forced.

        told: hears first how much of the current reply was heard, in ms."""
        current = self.current
        if current is not None and not (current.allow_interruptions or force):
            current = None  # it is about to be heard, and will be
            position = self._out.played
            if self._paused_at is not None:
                self._out.resume(self._paused_at)
        else:
            position = self._out.flush()
            self.current = None
        self._paused_at = None
        self._out.duck(False)
        told(current.heard_ms(position) if current is not None else 0)
        for reply, task in list(self._tasks.items()):
            if reply.aside or not (reply.allow_interruptions or force):
                continue
            reply.cut(position)
            task.cancel()
        if current is not None and current.audible:
            current.report(position, self._outside.now())

    def stop(self, reply: Reply) -> None:
        """Its handle was told to interrupt."""
        if reply is self.current:
            self.cut(force=True)
            self._outside.happened(ReplyOver(), self._outside.now())
        elif task := self._tasks.get(reply):
            reply.cut(self._out.played)
            task.cancel()

    def close(self) -> None:
        """The call is over."""
        self.closed = True
        self.drop_ahead()
        self.cut(force=True)
        for reply, task in list(self._tasks.items()):
            reply.cut(self._out.played)
            task.cancel()

    def _ended(self, reply: Reply, now: float) -> None:
        self.current = None
        if reply.audible:
            reply.report(self._out.played, now)
        self._outside.happened(ReplyOver(), now)
        self._outside.over(reply)

    def _failed(self, reply: Reply, error: PipelineError) -> None:
        """The model or the voice failed: apologise, and after the third time in a row give up."""
        now = self._outside.now()
        provider, cause = "", "bad_request"
        if isinstance(error, ProviderError):
            provider, cause = error.provider, error.cause
        kind = "tts" if provider == reply.tts_name else "llm"
        self._outside.emit(ProviderFailed(now, provider, kind, cause, str(error)))
        if self.current is reply and reply.audible:
            reply.report(self._out.played, now)
        self.current = None
        self._outside.happened(ReplyOver(), now)
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._outside.gave_up(f"{kind}_failed")
        else:
            self._outside.stumbled()

    # ------------------------------------------------------------ while the answer takes its time

    def _fill(self, reply: Reply, now: float) -> None:
        self._quiet_ticks = 0
        if not self._fillers:
            return
        text = self._fillers[self._filled % len(self._fillers)]
        self._filled += 1
        self._outside.emit(FillerSaid(now, text))
        self._outside.tasks.create_task(self._say_filler(reply, text), name="filler")

    async def _say_filler(self, reply: Reply, text: str) -> None:
        try:
            await reply.fill(text)
        except ProviderError:  # the reply itself will meet it, and apologise
            return

    # ------------------------------------------------------------ ahead of time

    def new_turn(self) -> None:
        """The caller speaks again: what was made ahead is kept, its words may stand."""
        self._tries = 0

    def wants_ahead(self, words: str, tries: int) -> bool:
        """Is there anything to gain from an answer to these words now?"""
        if self.talking or not words.strip():
            return False
        if self._ahead is not None and same_words(self._ahead.words, words):
            return False
        return self._tries < tries

    def make_ahead(self, words: str, reply: Reply) -> None:
        """Have this reply made; it is heard only if `adopted` asks for it."""
        self.drop_ahead()
        self._tries += 1
        task = self._outside.tasks.create_task(self._made(reply), name="answer ahead")
        self._ahead = _Ahead(words, reply, task)

    def adopt(self, words: str, clock: ResponseClock) -> Reply | None:
        """The turn is over with these words: the answer made ahead, if it was for them."""
        ahead = self._ahead
        if ahead is None or not same_words(ahead.words, words) or ahead.reply.failure is not None:
            self.drop_ahead()
            return None
        self._ahead = None
        ahead.reply.clock = clock
        self._start(ahead.reply, ahead)
        return ahead.reply

    def drop_ahead(self) -> None:
        """More words came, or somebody else talks: it was made for nothing."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        ahead.task.cancel()
        if tokens := ahead.reply.tokens:
            self._outside.emit(AnswerDiscarded(self._outside.now(), tokens))

    async def _made(self, reply: Reply) -> None:
        try:
            await reply.run()
        except PipelineError as error:
            reply.failure = error  # told when it is adopted, if it is

    async def _go_on(self, ahead: _Ahead) -> None:
        reply = ahead.reply
        assert reply.clock is not None
        reply.adopt(reply.clock)
        await ahead.task
        if reply.failure is not None:
            raise reply.failure


def same_words(one: str, other: str) -> bool:
    """Equal but for case, punctuation and space?"""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
