"""A language model behind the chat format: one request, read as it streams. Base of groq's and openai's.

Not a fallback and no retry, but for one case: a model that garbles its tool call so that the server refuses it
(`tool_use_failed`) is asked once more, because the same question mostly succeeds then."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.ports import LlmDelta, ToolSpec
from pipeline.providers.chat import ChatReader, as_chat_messages, as_chat_tools
from pipeline.providers.sdk_client import SdkClient, SdkProvider, error_body

WARMER = 0.2  # of temperature, for the second try: at the same one the model may do the same again
HOTTEST = 1.0
GARBLED = ("tool_use_failed", "json_validate_failed")  # what Groq calls it


class ChatLlm(SdkProvider):
    """options: parameters of every request, by the API's names. structured: an answer by `response_format` can be
    streamed."""

    name: str = "chat"

    def __init__(self, sdk: SdkClient[Any], options: dict[str, Any], *, structured: bool = True) -> None:
        super().__init__(sdk)
        self._options = {key: value for key, value in options.items() if value not in (None, "", {})}
        self._streams = structured or "response_format" not in self._options

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        request = {**self._options, "messages": as_chat_messages(messages)}
        if tools:
            request |= {"tools": as_chat_tools(tools), "tool_choice": tool_choice}
        else:
            request.pop("parallel_tool_calls", None)
        delivered = tried = False
        while True:
            try:
                async with aclosing(self._answer(request)) as deltas:
                    async for delta in deltas:
                        delivered = True
                        yield delta
                return
            except ProviderError as error:
                if delivered or tried or error_body(error.__cause__).get("code") not in GARBLED:
                    raise
                tried, request = True, _varied(request)

    async def _answer(self, request: dict[str, Any]) -> AsyncGenerator[LlmDelta, None]:
        self._sdk.check()
        reader = ChatReader(self.name)
        with self._sdk.blamed():
            if not self._streams:
                for delta in reader.whole(await self._whole(request)):
                    yield delta
            else:
                stream = await self._sdk.client.chat.completions.create(**request, stream=True)
                try:
                    self._sdk.note(stream.response.headers)
                    async for chunk in stream:
                        for delta in reader.feed(chunk):
                            yield delta
                finally:
                    await stream.close()
            for delta in reader.finish():
                yield delta

    async def _whole(self, request: dict[str, Any]) -> Any:
        raw = await self._sdk.client.chat.completions.with_raw_response.create(
            **{key: value for key, value in request.items() if key != "stream_options"}
        )
        return await self._sdk.parsed(raw)


def _varied(request: dict[str, Any]) -> dict[str, Any]:
    """The same question with a little more chance in the answer."""
    varied = {key: value for key, value in request.items() if key != "seed"}
    if "temperature" in varied:
        varied["temperature"] = min(HOTTEST, varied["temperature"] + WARMER)
    return varied
