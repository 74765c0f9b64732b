"""Running the tools a model asked for: beside the conversation, with a time limit, each exactly once.

A tool runs in a task of its own that an interruption does not touch; its result goes into the history the moment
it is there, so that it is never lost and never asked for twice. Driven by replying.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.agent.agent import Agent
from pipeline.agent.conversation import Conversation
from pipeline.agent.history import History, Message
from pipeline.agent.tools import RunContext, StopResponse
from pipeline.errors import ToolError
from pipeline.events import Event, ToolCalled, ToolFinished
from pipeline.ports import ToolCall


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some tool calls. stop: the model need not be asked what to say about it."""

    stop: bool = False


@dataclass(slots=True)
class ToolRunner:
    """The tools of one call. hand_over: called with the agent that a tool returned."""

    conversation: Conversation
    history: History
    tasks: asyncio.TaskGroup
    emit: Callable[[Event], None]
    hand_over: Callable[[Agent], None]
    running: int = 0  # tools at work now

    async def run(self, agent: Agent, calls: Sequence[ToolCall]) -> Outcome:
        """Run all at once and wait. Cancelling the wait stops no tool."""
        running = [self.tasks.create_task(self._one(agent, call), name=f"tool {call.name}") for call in calls]
        stops = await asyncio.shield(asyncio.gather(*running))
        return Outcome(stop=any(stops))

    async def _one(self, agent: Agent, call: ToolCall) -> bool:
        now = asyncio.get_running_loop().time
        began = now()
        self.emit(ToolCalled(began, call.id, call.name, call.arguments))
        stop, ok = False, True
        self.running += 1
        try:
            result, stop = self._told(await self._call(agent, call))
        except StopResponse:
            result, stop = "done", True
        except ToolError as error:
            result, ok = str(error), False
        finally:
            self.running -= 1
        self.history.add(Message("tool", result, now(), tool_call_id=call.id))
        self.emit(ToolFinished(now(), call.id, call.name, result, ok, round((now() - began) * 1000, 1)))
        return stop

    async def _call(self, agent: Agent, call: ToolCall) -> Any:
        tool = agent.tools.get(call.name)
        if tool is None:
            raise ToolError(f"There is no tool {call.name!r}. Known: {', '.join(agent.tools)}.")
        try:
            async with asyncio.timeout(tool.timeout_s):
                return await tool.call(RunContext(self.conversation, call.id), call.arguments)
        except TimeoutError as error:
            raise ToolError(f"{call.name} did not answer within {tool.timeout_s:g} s.") from error
        except (ToolError, StopResponse):
            raise
        except Exception as error:  # user code: whatever it raises costs this tool, not the call
            raise ToolError(f"{call.name} failed: {type(error).__name__}: {error}") from error

    def _told(self, result: Any) -> tuple[str, bool]:
        """The result in the model's words. An agent takes over instead, with or without a word to say."""
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Agent):
            result = result[0]
        if isinstance(result, Agent):
            self.hand_over(result)
            return f"{result.name} takes over.", True
        if isinstance(result, str):
            return result, False
        return json.dumps(result, ensure_ascii=False, default=str), False
