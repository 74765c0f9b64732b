"""The chat format that OpenAI made and Groq, vLLM, Ollama, llama.cpp and others speak: messages there, deltas back.

Pure. Driven by chat_llm.py with the chunks of whichever SDK; groq's and openai's have the same attributes. What a
server may get wrong (a missing id, a stream cut short, thoughts in the text) is mended or named here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.agent.history import Message
from pipeline.ports import LlmDelta, TextDelta, ToolCall, ToolSpec, Usage
from pipeline.providers.blame import failed

THINKS, THOUGHT = "<think>", "</think>"


def as_chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """What has been said, as the server takes it."""
    return [_message(message) for message in messages]


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    if not message.tool_calls:
        return {"role": message.role, "content": message.text}
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for call in message.tool_calls
    ]
    return {"role": message.role, "content": message.text or None, "tool_calls": calls}


def as_chat_tools(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools, as the server takes them."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ]


@dataclass(slots=True)
class _Call:
    """A request for a tool, as far as it has come."""

    id: str
    name: str = ""
    arguments: str = ""


class ChatReader:
    """One answer, chunk by chunk. Raises ProviderError for what makes no sense."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._thoughts = Thoughts()
        self._calls: dict[int, list[_Call]] = {}  # by index; some servers give every call index 0
        self._answer_id = "answer"
        self._usage: Usage | None = None
        self._spoke = False
        self._over = ""  # why it ended

    def feed(self, chunk: Any) -> list[LlmDelta]:
        """The next chunk of a stream."""
        try:
            return self._fed(chunk)
        except (AttributeError, TypeError, ValueError) as error:  # the SDKs do not check what comes in
            raise failed(self._provider, "server", f"a chunk that makes no sense ({error})") from error

    def whole(self, completion: Any) -> list[LlmDelta]:
        """An answer that was not streamed."""
        try:
            choice = completion.choices[0]
            message = choice.message
            for index, call in enumerate(message.tool_calls or ()):
                function = call.function
                self._calls[index] = [_Call(call.id or "", function.name, function.arguments or "")]
            self._note_usage(completion)
            deltas = self._text(message.content or getattr(message, "refusal", None) or "")
            return deltas + self._end(choice.finish_reason or "stop")
        except (AttributeError, TypeError, ValueError, LookupError) as error:
            raise failed(self._provider, "server", f"an answer that makes no sense ({error})") from error

    def finish(self) -> list[LlmDelta]:
        """The stream is over. Raises ProviderError if the answer is not."""
        if not self._over:
            raise failed(self._provider, "connectivity", "the answer broke off in the middle")
        return [self._usage] if self._usage is not None else []

    def _fed(self, chunk: Any) -> list[LlmDelta]:
        self._note_usage(chunk)
        self._answer_id = chunk.id or self._answer_id
        deltas: list[LlmDelta] = []
        for choice in chunk.choices or ():
            delta = choice.delta
            if delta is not None:
                deltas += self._text(delta.content or getattr(delta, "refusal", None) or "")
                for part in delta.tool_calls or ():
                    self._tool(part)
            if choice.finish_reason:
                deltas += self._end(choice.finish_reason)
        return deltas

    def _text(self, text: str) -> list[LlmDelta]:
        words = self._thoughts.feed(text)
        self._spoke = self._spoke or bool(words)
        return [TextDelta(words)] if words else []

    def _tool(self, part: Any) -> None:
        index = part.index or 0
        calls = self._calls.setdefault(index, [])
        if not calls or (part.id and calls[-1].id and part.id != calls[-1].id):
            calls.append(_Call(part.id or ""))
        call = calls[-1]
        call.id = call.id or part.id or ""
        if part.function is not None:
            call.name = call.name or part.function.name or ""
            call.arguments += part.function.arguments or ""

    def _end(self, reason: str) -> list[LlmDelta]:
        self._over = reason
        rest = self._thoughts.finish()
        deltas: list[LlmDelta] = [TextDelta(rest)] if rest else []
        calls, self._calls = [call for index in sorted(self._calls) for call in self._calls[index]], {}
        for number, call in enumerate(calls):
            if reason == "length" and not _is_object(call.arguments):
                fact = f"the call of {call.name} was cut off: max_tokens is too small"
                raise failed(self._provider, "bad_request", fact)
            if not call.name:
                raise failed(self._provider, "server", "a tool call without a name")
            deltas.append(
                ToolCall(call.id or f"{self._answer_id}_{number}", call.name, call.arguments or "{}")
            )
        if reason == "content_filter" and not deltas and not self._spoke:
            raise failed(self._provider, "bad_request", "the server's content filter took the whole answer")
        return deltas

    def _note_usage(self, chunk: Any) -> None:
        """OpenAI's last chunk has `usage` and no choices; Groq's last one has it in `x_groq`."""
        usage = getattr(chunk, "usage", None) or getattr(getattr(chunk, "x_groq", None), "usage", None)
        if usage is not None:
            details = getattr(usage, "prompt_tokens_details", None)
            self._usage = Usage(
                int(usage.prompt_tokens or 0),
                int(usage.completion_tokens or 0),
                int(getattr(details, "cached_tokens", 0) or 0),
            )


class Thoughts:
    """Takes out what a reasoning model thinks aloud before it answers, `<think>…</think>`: nobody should hear that."""

    def __init__(self) -> None:
        self._held = ""
        self._over = False

    def feed(self, text: str) -> str:
        """The next piece; returns what may be said."""
        if self._over or not text:
            return text
        self._held += text
        start = self._held.lstrip()
        if not start.startswith(THINKS):
            return "" if THINKS.startswith(start) else self._release(self._held)
        _, closed, rest = start.partition(THOUGHT)
        return self._release(rest.lstrip()) if closed else ""

    def finish(self) -> str:
        """The text is over: what waited because it looked like the beginning of a thought."""
        thinks = self._held.lstrip().startswith(THINKS)
        return "" if self._over or thinks else self._release(self._held)

    def _release(self, text: str) -> str:
        self._over, self._held = True, ""
        return text


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
