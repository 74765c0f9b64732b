"""Gemini, through Google's own SDK: generateContent, streamed, as a pipeline.ports.Llm. Extra `google`.

Sources: Google's documentation of the Gemini API: text generation, function calling, thinking, safety, errors."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Literal

import aiohttp
from google import genai
from google.genai import errors, types

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.ports import LlmDelta, TextDelta, ToolCall, ToolSpec, Usage
from pipeline.providers import blame, keys
from pipeline.providers.transport import HTTP_ERRORS, transport_error

SERVER = "https://generativelanguage.googleapis.com"  # as the SDK has it
NOBODY_SPOKE = "(The call begins.)"
NOTHING_SAID = "(The caller says nothing.)"
REMEMBERED_CALLS = 1000  # of tools, for all calls of the worker
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_FINE = {"STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED"}
_AGAIN = {
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "UNEXPECTED_TOOL_CALL",
    "OTHER",
}  # may go well next time


class GoogleLlm:
    """model: its name at Google. max_tokens: longest reply, in tokens. temperature: 0.0 to 2.0, empty: the model's.
    thinking: `off` as far as the model allows (a caller waits for it), or `auto`. timeout_s: longest whole answer.
    base_url: another server; empty: the vendor's. Key: GEMINI_API_KEY or GOOGLE_API_KEY."""

    name = "google"

    def __init__(
        self,
        model: str = "gemini-3.8-flash",
        max_tokens: int = 1024,
        temperature: float | None = None,
        thinking: Literal["off", "auto"] = "off",
        timeout_s: float = 30.0,
        base_url: str = "",
    ) -> None:
        self._key = keys.api_key(self.name, "GEMINI_API_KEY", "GOOGLE_API_KEY")
        self._model, self._timeout_s, self._base_url = model, timeout_s, base_url
        self._fixed: dict[str, Any] = {"max_output_tokens": max_tokens, "temperature": temperature}
        self._fixed["automatic_function_calling"] = types.AutomaticFunctionCallingConfig(disable=True)
        if thinking == "off" and (least := _least_thinking(model)) is not None:
            self._fixed["thinking_config"] = least
        self._client: genai.Client | None = None
        self._session: aiohttp.ClientSession | None = None
        self._ids = count(1)
        self._signatures: OrderedDict[str, bytes] = OrderedDict()  # Gemini 3 wants them back with the answer

    async def warm(self) -> None:
        """Open a connection ahead of the first request. A server that is away is found out by that request."""
        self._connected()
        assert self._session is not None
        with suppress(aiohttp.ClientError, OSError):
            async with self._session.get(self._base_url or SERVER):
                pass

    async def aclose(self) -> None:
        """Close the connections. The next request opens new ones."""
        client, self._client = self._client, None
        session, self._session = self._session, None
        if client is not None:
            await client.aio.aclose()
            client.close()
        if session is not None:
            await session.close()

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        reply = _Reply(self.name)
        request = {
            "model": self._model,
            "contents": self._contents(messages),
            "config": types.GenerateContentConfig(**self._fixed, **_about(messages, tools, tool_choice)),
        }
        chunks: asyncio.Queue[types.GenerateContentResponse | None] = asyncio.Queue()
        asking = asyncio.create_task(self._ask(request, chunks), name="ask google")
        try:
            while (chunk := await chunks.get()) is not None:
                for part in reply.take(chunk):
                    yield part if isinstance(part, TextDelta) else self._call(part)
            await asking
        finally:
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.exception()  # nobody wants to know any more, if it was not raised above
        reply.check()
        yield reply.usage

    async def _ask(
        self, request: dict[str, Any], chunks: asyncio.Queue[types.GenerateContentResponse | None]
    ) -> None:
        """One request, in a task of its own: the SDK's nested generators let go of a connection only if cancelled."""
        try:
            async for chunk in await self._connected().aio.models.generate_content_stream(**request):
                chunks.put_nowait(chunk)
        except errors.APIError as error:
            raise _blamed(self.name, error) from blame.origin(error)
        except HTTP_ERRORS as error:
            raise transport_error(self.name, error) from error
        except (errors.UnknownApiResponseError, ValueError) as error:
            raise blame.failed(self.name, "server", f"its answer makes no sense ({error})") from error
        finally:
            chunks.put_nowait(None)

    def _connected(self) -> genai.Client:
        if self._client is None:
            self._session = aiohttp.ClientSession()  # the SDK's own is a subclass, of which aiohttp warns
            options = types.HttpOptions(
                aiohttp_client=self._session,
                base_url=self._base_url or None,
                timeout=round(self._timeout_s * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),
            )
            self._client = genai.Client(api_key=self._key, vertexai=False, http_options=options)
        return self._client

    def _call(self, part: types.Part) -> ToolCall:
        """A tool that the model wants. It need not give the call an id."""
        wanted = part.function_call
        assert wanted is not None
        call_id = wanted.id or f"gemini_{next(self._ids)}"
        if part.thought_signature:
            self._signatures[call_id] = part.thought_signature
            if len(self._signatures) > REMEMBERED_CALLS:
                self._signatures.popitem(last=False)
        return ToolCall(call_id, wanted.name or "", json.dumps(wanted.args or {}, ensure_ascii=False))

    def _contents(self, messages: Sequence[Message]) -> list[types.Content]:
        """Alternating turns: what follows in one role is one turn; answers of tools are the user's."""
        names = {call.id: call.name for message in messages for call in message.tool_calls}
        turns: list[types.Content] = []
        for message in messages:
            role = "model" if message.role == "assistant" else "user"
            if parts := self._parts(message, names):
                if turns and turns[-1].role == role:
                    turns[-1] = types.Content(role=role, parts=[*(turns[-1].parts or []), *parts])
                else:
                    turns.append(types.Content(role=role, parts=parts))
        if not turns or turns[0].role != "user":
            turns.insert(0, types.Content(role="user", parts=[types.Part(text=NOBODY_SPOKE)]))
        if turns[-1].role != "user":
            turns.append(types.Content(role="user", parts=[types.Part(text=NOTHING_SAID)]))
        return turns

    def _parts(self, message: Message, names: dict[str, str]) -> list[types.Part]:
        if message.role == "system":
            return []
        if message.role == "tool":
            answer = {"output" if message.ok else "error": message.text}
            name = names.get(message.tool_call_id, message.tool_call_id)
            return [types.Part(function_response=types.FunctionResponse(name=name, response=answer))]
        parts = [types.Part(text=message.text)] if message.text.strip() else []
        for call in message.tool_calls:
            wanted = types.FunctionCall(name=call.name, args=_object(call.arguments))
            parts.append(types.Part(function_call=wanted, thought_signature=self._signatures.get(call.id)))
        return parts


class _Reply:
    """One streamed answer."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._reason = ""
        self.usage = Usage()

    def take(self, chunk: types.GenerateContentResponse) -> list[TextDelta | types.Part]:
        """The next chunk: its text, and its parts that call a tool."""
        if (used := chunk.usage_metadata) is not None:
            spent = (used.candidates_token_count or 0) + (used.thoughts_token_count or 0)
            self.usage = Usage(used.prompt_token_count or 0, spent, used.cached_content_token_count or 0)
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            raise self._declined(feedback.block_reason.value)
        if not chunk.candidates:
            return []
        candidate = chunk.candidates[0]
        if candidate.finish_reason is not None:
            self._reason = candidate.finish_reason.value
        found: list[TextDelta | types.Part] = []
        for part in (candidate.content.parts if candidate.content else None) or []:
            if part.function_call is not None:
                found.append(part)
            elif part.text and not part.thought:
                found.append(TextDelta(part.text))
        return found

    def check(self) -> None:
        """Raises ProviderError if the answer stopped in its middle, or is none."""
        if not self._reason:
            raise blame.failed(self._provider, "connectivity", "the answer was cut off")
        if self._reason in _AGAIN:
            raise blame.failed(self._provider, "server", f"the model broke off ({self._reason})")
        if self._reason not in _FINE:
            raise self._declined(self._reason)

    def _declined(self, reason: str) -> ProviderError:
        return blame.failed(self._provider, "bad_request", f"the model declined this conversation ({reason})")


def _about(messages: Sequence[Message], tools: Sequence[ToolSpec], tool_choice: str) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if system := [message.text for message in messages if message.role == "system"]:
        about["system_instruction"] = "\n\n".join(system)
    if tools:
        offered = [
            types.FunctionDeclaration(
                name=tool.name, description=tool.description, parameters_json_schema=tool.parameters
            )
            for tool in tools
        ]
        about["tools"] = [types.Tool(function_declarations=offered)]
        mode = types.FunctionCallingConfigMode(_MODES[tool_choice])
        about["tool_config"] = types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(mode=mode)
        )
    return about


def _least_thinking(model: str) -> types.ThinkingConfig | None:
    """As little as the family can do: 2.5 Flash may be told 0 tokens, 2.5 Pro 128, Gemini 3 knows levels."""
    if "gemini-3" in model:
        level = types.ThinkingLevel.LOW if "pro" in model else types.ThinkingLevel.MINIMAL
        return types.ThinkingConfig(thinking_level=level)
    if "gemini-2.5" in model:
        return types.ThinkingConfig(thinking_budget=128 if "pro" in model else 0)
    return None


def _object(arguments: str) -> dict[str, Any]:
    try:
        found = json.loads(arguments or "{}")
    except ValueError:  # another model's mistake, which its tool has complained about
        return {}
    return found if isinstance(found, dict) else {}


def _blamed(provider: str, error: errors.APIError) -> ProviderError:
    """Google says 400 for a wrong key, and "quota" for haste as well, where it adds when to come again."""
    words = error.message or str(error)
    details = error.details.get("error", error.details) if isinstance(error.details, dict) else {}
    facts = [fact for fact in details.get("details") or [] if isinstance(fact, dict)]
    if error.code == 400 and any(fact.get("reason") == "API_KEY_INVALID" for fact in facts):
        return blame.refused(provider, 401, words)
    for fact in facts:
        delay = str(fact.get("retryDelay", "")).removesuffix("s")
        if error.code == 429 and delay.replace(".", "", 1).isdigit():
            return blame.refused(provider, 429, "too many requests", {"retry-after": delay})
    return blame.refused(provider, error.code or 500, words)
