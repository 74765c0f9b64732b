"""A sub-dialogue with a result: somebody who talks to the caller until one thing is known.

A task is an agent that ends. `await task.run(context)` in a tool, or `await task.run(self.session)` in on_enter,
pauses whoever asked; what was said stays in the history. Ready-made ones are in pipeline/agent/tasks/."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Literal, TypeVar, cast

from pipeline.agent.agent import Agent
from pipeline.agent.conversation import Conversation
from pipeline.agent.tools import RunContext
from pipeline.errors import ToolError
from pipeline.hearing.expectation import Expectation
from pipeline.ports import Hints, Llm

T = TypeVar("T")
Why = Literal["", "declined", "cancelled", "not_understood"]
"""Why a task failed: the caller would rather not, wants nothing of it any more, or could not be understood."""


class TaskFailed(ToolError):
    """The caller would not or could not say it. In a tool, the model is told so."""

    def __init__(self, reason: str, why: Why = "") -> None:
        super().__init__(reason)
        self.why = why


class AgentTask(Agent, Generic[T]):
    """Derive it, ask in `on_enter`, and call `complete` in a tool. It runs once. The options are those of Agent; ears,
    model, voice and manners are those of whoever asked, where it has none of its own.

    expectation: what its question asks for (see Session.expect). masked: what is keyed and said meanwhile is secret."""

    expectation: Expectation | None = None
    masked = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._own = {name for name, value in options.items() if value is not None}

    _asker: Agent | None = None

    def sent_by(self, asker: Agent, llm: Llm | None) -> None:
        """Whoever asked lends what the task has not. llm: the call's. Called by the session only."""
        self._asker = asker
        self.stt, self.tts = self.stt or asker.stt, self.tts or asker.tts
        self.llm = self.llm or asker.llm or llm
        if not self._own & {"voice", "language"}:
            self.voice = asker.voice
            self.hints = Hints(self.hints.phrases, asker.hints.language)
        if "pronounce" not in self._own:
            self.pronounce = asker.pronounce
        if "fillers" not in self._own:
            self.fillers = asker.fillers
        if "thinking_sound" not in self._own:
            self.thinking_sound = asker.thinking_sound
        self.turn_handling = {**asker.turn_handling, **self.turn_handling}
        self.silence = {**asker.silence, **self.silence}

    async def on_tone(self, kind: str) -> None:
        """Whoever sent it knows what to do."""
        if self._asker is not None:
            await self._asker.on_tone(kind)

    @property
    def result(self) -> asyncio.Future[T]:
        """Its outcome; made when the task enters the conversation."""
        return self._result

    def begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
        """It enters the conversation. Called by the session only."""
        self._result: asyncio.Future[T] = loop.create_future()
        return self._result

    def complete(self, value: T) -> None:
        """The result is there; whoever asked goes on. The first one counts."""
        if not self._result.done():
            self._result.set_result(value)

    def fail(self, reason: str | TaskFailed, why: Why = "") -> None:
        """It cannot be had. Whoever asked gets TaskFailed(reason)."""
        if not self._result.done():
            self._result.set_exception(reason if isinstance(reason, TaskFailed) else TaskFailed(reason, why))

    async def run(self, where: RunContext | Conversation) -> T:
        """Talk to the caller until the result is there. Raises TaskFailed. where: a tool's context, or a session."""
        session = where.session if isinstance(where, RunContext) else where
        return cast("T", await session.run_task(self))
