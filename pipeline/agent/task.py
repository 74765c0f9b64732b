"""A sub-dialogue with a result: somebody who talks to the caller until one thing is known.

A task is an agent that ends. `await task.run(context)` in a tool, or `await task.run(self.session)` in on_enter,
pauses whoever asked; what was said stays in the history. Ready-made ones are in pipeline/agent/tasks/."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar, cast

from pipeline.agent.agent import Agent
from pipeline.agent.conversation import Conversation
from pipeline.agent.tools import RunContext
from pipeline.errors import ToolError
from pipeline.hearing.expectation import Expectation

T = TypeVar("T")


class TaskFailed(ToolError):
    """The caller would not or could not say it. In a tool, the model is told so."""


class AgentTask(Agent, Generic[T]):
    """Derive it, ask in `on_enter`, and call `complete` in a tool. It runs once.

    expectation: what its question asks for (see Session.expect). masked: keys pressed meanwhile are secret."""

    expectation: Expectation | None = None
    masked = False

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

    def fail(self, reason: str) -> None:
        """It cannot be had. Whoever asked gets TaskFailed(reason)."""
        if not self._result.done():
            self._result.set_exception(TaskFailed(reason))

    async def run(self, where: RunContext | Conversation) -> T:
        """Talk to the caller until the result is there. Raises TaskFailed. where: a tool's context, or a session."""
        session = where.session if isinstance(where, RunContext) else where
        return cast("T", await session.run_task(self))
