"""A LiveKit LLM plugin as pipeline.ports.Llm. Our messages become its chat context, its chunks our deltas.

Keeps nothing of a call but what a vendor wants back with a tool's answer (Gemini's thought signatures)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from livekit.agents import llm

from pipeline.agent.history import Message
from pipeline.ports import LlmDelta, TextDelta, ToolCall, ToolSpec, Usage
from pipeline.providers.livekit.backstage import OPTIONS, Backstage
from pipeline.providers.livekit.faults import translated
from pipeline.providers.livekit.loading import Blueprint

REMEMBERED_CALLS = 1000  # of tools, for all calls of the worker


def adapt(blueprint: Blueprint) -> LivekitLlm:
    """The provider around a plugin."""
    return LivekitLlm(blueprint)


class LivekitLlm:
    """One plugin object for all calls: it holds the connections."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.name = blueprint.name
        self._plugin: llm.LLM[Any] = blueprint.build()
        self._backstage = Backstage()
        self._extras: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def warm(self) -> None:
        """Connect ahead of the first request, where the plugin can."""
        await self._backstage.ready()
        self._backstage.begin(self._plugin.prewarm)

    async def aclose(self) -> None:
        await self._backstage.end(self._plugin)
        await self._backstage.aclose()

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        await self._backstage.ready()
        request: dict[str, Any] = {"chat_ctx": self._context(messages), "conn_options": OPTIONS}
        if tools:
            request |= {"tools": [_tool(spec) for spec in tools], "tool_choice": tool_choice}
        with translated(self.name):
            stream = self._backstage.begin(lambda: self._plugin.chat(**request))
        try:
            while True:
                with translated(self.name):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                for delta in self._deltas(chunk):
                    yield delta
        finally:
            await self._backstage.dismiss(stream.aclose())

    def _deltas(self, chunk: llm.ChatChunk) -> list[LlmDelta]:
        deltas: list[LlmDelta] = []
        if chunk.delta is not None:
            if chunk.delta.content:
                deltas.append(TextDelta(chunk.delta.content))
            for call in chunk.delta.tool_calls:
                if call.extra:
                    self._remember(call.call_id, call.extra)
                deltas.append(ToolCall(call.call_id, call.name, call.arguments or "{}"))
        if (used := chunk.usage) is not None:
            deltas.append(Usage(used.prompt_tokens, used.completion_tokens, used.prompt_cached_tokens))
        return deltas

    def _remember(self, call_id: str, extra: dict[str, Any]) -> None:
        self._extras[call_id] = extra
        if len(self._extras) > REMEMBERED_CALLS:
            self._extras.popitem(last=False)

    def _context(self, messages: Sequence[Message]) -> llm.ChatContext:
        items: list[llm.ChatItem] = []
        names: dict[str, str] = {}
        for message in messages:
            if message.role == "tool":
                items.append(_answer(message, names.get(message.tool_call_id, "")))
                continue
            group = f"said_{len(items)}"  # words and calls of one message belong together
            if message.text:
                items.append(_said(message, group))
            for call in message.tool_calls:
                names[call.id] = call.name
                items.append(
                    llm.FunctionCall(
                        call_id=call.id,
                        name=call.name,
                        arguments=call.arguments,
                        extra=self._extras.get(call.id, {}),
                        group_id=group,
                    )
                )
        return llm.ChatContext(items)


def _said(message: Message, group: str) -> llm.ChatMessage:
    assert message.role != "tool"
    return llm.ChatMessage(
        id=group, role=message.role, content=[message.text], interrupted=message.interrupted
    )


def _answer(message: Message, name: str) -> llm.FunctionCallOutput:
    return llm.FunctionCallOutput(
        call_id=message.tool_call_id, name=name, output=message.text, is_error=not message.ok
    )


def _tool(spec: ToolSpec) -> llm.Tool:
    """LiveKit wants a function; ours is never called, because the session runs the tools."""

    async def elsewhere(raw_arguments: dict[str, object]) -> None:
        raise NotImplementedError(f"{spec.name} is run by the conversation, not by the plugin.")

    schema = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return llm.function_tool(elsewhere, raw_schema=schema)
