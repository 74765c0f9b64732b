"""An agent for the live tests whose tools take its worker down in every way there is. The server runs it.

What a key says is what the caller says. It answers from the history alone: what it knows after a takeover, it was
told before. Each run of a tool leaves a line in the file that POISON_LOG names."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from pipeline.agent.agent import Agent
from pipeline.agent.history import Message
from pipeline.agent.tools import function_tool
from pipeline.ports import Llm, LlmDelta, TextDelta, ToolCall, ToolSpec

KEYS = {
    "0": "my name is Ada",
    "1": "segfault",
    "2": "leave",
    "3": "block",
    "4": "grow",
    "5": "storm",
    "6": "again",
    "7": "wait",
    "8": "message",
    "9": "elsewhere",
}
GROWTH_BYTES = 400 * 1024 * 1024


def _ran(name: str) -> None:
    with open(os.environ["POISON_LOG"], "a", encoding="utf-8") as log:
        log.write(f"{name}\n")


class Poison(Agent):
    """Says what it was told first."""

    def __init__(self) -> None:
        super().__init__(instructions="Answer.", greeting="Hello, what can I do for you today?", keys=KEYS)

    async def llm_node(
        self, llm: Llm, messages: Sequence[Message], tools: Sequence[ToolSpec], **_: Any
    ) -> AsyncGenerator[LlmDelta, None]:
        last = messages[-1]
        if last.role == "user" and last.text in self.tools:
            yield ToolCall(f"call_{len(messages)}", last.text, "{}")
            return
        told = [message.text for message in messages if message.role == "user"]
        yield TextDelta(f"You told me {told[0]}. That was thing {len(told)}.")

    @function_tool
    async def segfault(self) -> str:
        """Read where nobody may."""
        _ran("segfault")
        ctypes.string_at(0)
        return "never"

    @function_tool
    async def leave(self) -> str:
        """Be gone without a goodbye."""
        _ran("leave")
        getattr(os, "_exit")(3)  # noqa: B009 # what a library may do
        return "never"

    @function_tool
    async def block(self) -> str:
        """Hold the loop, as code that was not written for it does."""
        _ran("block")
        time.sleep(60)  # noqa: ASYNC251 # that is what is tested
        return "never"

    @function_tool
    async def grow(self) -> str:
        """Take more memory than a worker may have."""
        _ran("grow")
        self._much = b"x" * GROWTH_BYTES
        await asyncio.sleep(60)
        return "never"

    @function_tool
    async def storm(self) -> str:
        """Raise wherever one can."""
        _ran("storm")
        loop = asyncio.get_running_loop()
        for _ in range(500):
            loop.call_soon(int, "no number")
        raise RuntimeError("a storm")

    @function_tool(repeatable=True)
    async def again(self) -> str:
        """Take down every worker that it is run in."""
        _ran("again")
        ctypes.string_at(0)
        return "never"

    @function_tool(timeout_s=60)
    async def wait(self) -> str:
        """Let the caller wait."""
        _ran("wait")
        await self.session.hold()
        await asyncio.sleep(50)
        return "never"

    @function_tool(timeout_s=60)
    async def message(self) -> str:
        """Have the caller leave a message."""
        _ran("message")
        await self.session.take_message()
        return "taken"

    @function_tool
    async def elsewhere(self) -> str:
        """Send the caller to the desk."""
        _ran("elsewhere")
        await self.session.transfer(os.environ["POISON_DESK"])
        return "sent"
