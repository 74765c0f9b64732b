"""Claude, through Anthropic's own SDK: the Messages API as a pipeline.ports.Llm. Extra `anthropic`.

Sources: Anthropic's documentation of Messages, streaming, tool use, prompt caching and errors."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

import anthropic

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.ports import LlmDelta, TextDelta, ToolCall, ToolSpec, Usage
from pipeline.providers import blame, keys
from pipeline.providers.sdk_client import SdkClient, SdkProvider
from pipeline.providers.transport import HTTP_ERRORS, transport_error

NOBODY_SPOKE = "(The call begins.)"  # a conversation must begin and end with the user
NOTHING_SAID = "(The caller says nothing.)"
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")  # in the ids of tool calls that another model made
_CACHE = {"type": "ephemeral"}
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class AnthropicLlm(SdkProvider):
    """model: its name at Anthropic. max_tokens: longest reply, in tokens. temperature: 0.0 to 1.0, empty: the model's.
    cache: mark tools and instructions, which every turn repeats, for the vendor's cache (5 minutes). timeout_s: longest
    silence within an answer. base_url: another server; empty: the vendor's. Key: ANTHROPIC_API_KEY."""

    name = "anthropic"

    def __init__(
        self,
        model: str = "claude-haiku-5-5",
        max_tokens: int = 1024,
        temperature: float | None = None,
        cache: bool = True,
        timeout_s: float = 10.0,
        base_url: str = "",
    ) -> None:
        key = keys.api_key(self.name, "ANTHROPIC_API_KEY")
        self._fixed: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "stream": True}
        if temperature is not None:
            self._fixed["extra_body"] = {
                "temperature": temperature
            }  # newer models have none, so nor has the SDK
        self._cache = cache

        def make(http: Any) -> anthropic.AsyncAnthropic:
            return anthropic.AsyncAnthropic(
                api_key=key, base_url=base_url or None, max_retries=0, http_client=http
            )

        super().__init__(SdkClient(self.name, anthropic, anthropic.AnthropicError, make, timeout_s))

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        request = {**self._fixed, **_request(messages, tools, tool_choice, self._cache)}
        try:
            stream = await self._sdk.client.messages.create(**request)
            try:
                reply = _Reply(self.name)
                async for event in stream:
                    for delta in reply.take(event):
                        yield delta
                reply.check()
            finally:
                await stream.close()
        except anthropic.AnthropicError as error:
            raise _blamed(self.name, error) from blame.origin(error)
        except HTTP_ERRORS as error:
            raise transport_error(self.name, error) from error
        except ValueError as error:
            raise blame.failed(self.name, "server", f"its answer makes no sense ({error})") from error


class _Reply:
    """One streamed answer: its events, in order, become deltas."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._tool: tuple[str, str] | None = None
        self._arguments = ""
        self._usage = Usage()
        self._stop_reason = ""
        self._over = False

    def take(self, event: Any) -> list[LlmDelta]:
        """The next event of the stream."""
        match event.type:
            case "message_start":
                self._usage = _usage(event.message.usage)
            case "content_block_start" if event.content_block.type == "tool_use":
                self._tool, self._arguments = (event.content_block.id, event.content_block.name), ""
            case "content_block_delta" if event.delta.type == "text_delta" and event.delta.text:
                return [TextDelta(event.delta.text)]
            case "content_block_delta" if event.delta.type == "input_json_delta":
                self._arguments += event.delta.partial_json
            case "content_block_stop" if self._tool is not None:
                (call_id, name), self._tool = self._tool, None
                return [ToolCall(call_id, name, self._whole(name))]
            case "message_delta":
                self._stop_reason = event.delta.stop_reason or ""
                output = event.usage.output_tokens or 0
                return [Usage(self._usage.input_tokens, output, self._usage.cached_tokens)]
            case "message_stop":
                self._over = True
        return []

    def check(self) -> None:
        """Raises ProviderError if the answer stopped in its middle, or is none."""
        if not self._over:
            raise blame.failed(self._provider, "connectivity", "the answer was cut off")
        if self._stop_reason == "refusal":
            raise blame.failed(
                self._provider, "bad_request", "the model declined to go on with this conversation"
            )

    def _whole(self, name: str) -> str:
        arguments = self._arguments or "{}"
        try:
            json.loads(arguments)
        except ValueError as error:
            fact = f"the arguments of {name} are no JSON; is max_tokens too small?"
            raise blame.failed(self._provider, "bad_request", fact) from error
        return arguments


def _request(
    messages: Sequence[Message], tools: Sequence[ToolSpec], tool_choice: str, cache: bool
) -> dict[str, Any]:
    """What changes from request to request, as the Messages API wants it."""
    request: dict[str, Any] = {"messages": _turns(messages)}
    system: list[dict[str, Any]] = [
        {"type": "text", "text": message.text} for message in messages if message.role == "system"
    ]
    offered: list[dict[str, Any]] = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
        for tool in tools
    ]
    if not offered:  # tools that were used must be known, though they may not be used again
        used = dict.fromkeys(call.name for message in messages for call in message.tool_calls)
        offered = [{"name": name, "input_schema": {"type": "object"}} for name in used]
        tool_choice = "none"
    for repeated in (system, offered):
        if cache and repeated:
            repeated[-1] = {**repeated[-1], "cache_control": _CACHE}
    if system:
        request["system"] = system
    if offered:
        request |= {"tools": offered, "tool_choice": {"type": _CHOICES[tool_choice]}}
    return request


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Alternating turns: what follows in one role is one turn; answers of tools are the user's, and come first."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if blocks := _blocks(message):
            role = "assistant" if message.role == "assistant" else "user"
            if not turns or turns[-1]["role"] != role:
                turns.append({"role": role, "content": []})
            turns[-1]["content"] += blocks
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": NOBODY_SPOKE}]})
    if turns[-1]["role"] != "user":
        turns.append({"role": "user", "content": [{"type": "text", "text": NOTHING_SAID}]})
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "system":
        return []
    if message.role == "tool":
        answer: dict[str, Any] = {"type": "tool_result", "content": message.text, "is_error": not message.ok}
        return [{**answer, "tool_use_id": _FOREIGN.sub("_", message.tool_call_id)}]
    blocks: list[dict[str, Any]] = []
    if message.text.strip():
        blocks.append({"type": "text", "text": message.text})
    for call in message.tool_calls:
        about: dict[str, Any] = {"type": "tool_use", "name": call.name, "input": _object(call.arguments)}
        blocks.append({**about, "id": _FOREIGN.sub("_", call.id)})
    return blocks


def _object(arguments: str) -> dict[str, Any]:
    try:
        found = json.loads(arguments or "{}")
    except ValueError:  # another model's mistake, which its tool has complained about
        return {}
    return found if isinstance(found, dict) else {}


def _usage(used: Any) -> Usage:
    cached = used.cache_read_input_tokens or 0
    return Usage(used.input_tokens + cached + (used.cache_creation_input_tokens or 0), 0, cached)


def _blamed(provider: str, error: anthropic.AnthropicError) -> ProviderError:
    """An error event within a stream has the status 200 and says in its type what it is."""
    body: Any = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, dict) else None
    status = _STATUS.get(str(inner.get("type"))) if isinstance(inner, dict) else None
    if isinstance(inner, dict) and status is not None:
        headers = getattr(getattr(error, "response", None), "headers", {})
        return blame.refused(provider, status, str(inner.get("message", "")), dict(headers))
    return blame.from_sdk(provider, error)
