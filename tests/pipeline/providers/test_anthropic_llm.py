"""Claude through Anthropic's SDK, against a double that is as strict about turns as the real one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pipeline.agent.history import Message, ToolRequest
from pipeline.errors import ProviderError
from pipeline.ports import LlmDelta, TextDelta, ToolCall, ToolSpec, Usage
from pipeline.providers import registry
from pipeline.providers.keys import MissingKey
from tests.pipeline.providers.servers.anthropic import Anthropic

pytest.importorskip("anthropic", reason="pip install offhook[anthropic]")

KEY = "sk-ant-dummy-0123456789"
ORDER = ToolSpec("order", "Order a pizza.", {"type": "object", "properties": {"size": {"type": "string"}}})


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


@asynccontextmanager
async def thinking(server: Anthropic, **options: Any) -> AsyncIterator[Any]:
    async with server.serve():
        llm: Any = registry.create_llm("anthropic", {"base_url": server.url, **options})
        try:
            yield llm
        finally:
            await llm.aclose()


async def answered(llm: Any, *messages: Message, **more: Any) -> list[LlmDelta]:
    return [delta async for delta in llm.chat(messages or [Message("user", "Hello?")], **more)]


async def test_a_reply_streams_and_its_instructions_are_cached() -> None:
    server = Anthropic(replies=deque(["Grüß Gott, was darf es sein?"]))
    async with thinking(server, temperature=0.2) as llm:
        deltas = await answered(llm, Message("system", "Be kind."), Message("user", "Servus!"), tools=[ORDER])
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert "".join(texts) == "Grüß Gott, was darf es sein?" and len(texts) == 6
    assert deltas[-1] == Usage(105, 12, 90)
    asked = server.asked[0]
    assert (asked["temperature"], asked["key"], asked["max_tokens"]) == (0.2, KEY, 1024)
    assert (
        asked["system"][-1]["cache_control"] == asked["tools"][-1]["cache_control"] == {"type": "ephemeral"}
    )
    assert asked["tools"][0]["input_schema"] == ORDER.parameters


async def test_tools_are_called_and_their_answers_come_before_the_callers_words() -> None:
    """Two calls at once, one failed; then the caller speaks, twice. Ids of another vendor's model are made fit."""
    calls: list[tuple[str, str, str]] = [("toolu_1", "order", '{"size": "L"}'), ("toolu_2", "order", "")]
    server = Anthropic(replies=deque([calls, "Done."]))
    async with thinking(server) as llm:
        deltas = await answered(llm, tools=[ORDER], tool_choice="required")
        assert deltas[:-1] == [
            ToolCall("toolu_1", "order", '{"size": "L"}'),
            ToolCall("toolu_2", "order", "{}"),
        ]
        requests = (ToolRequest("call:1.a", "order", '{"size": "L"}'), ToolRequest("c2", "order", "no JSON"))
        await answered(
            llm,
            Message("assistant", "Pizza place, hello."),
            Message("user", "A large one"),
            Message("user", "and another."),
            Message("assistant", " ", tool_calls=requests),
            Message("tool", "ordered", tool_call_id="call:1.a"),
            Message("tool", "sold out", tool_call_id="c2", ok=False),
            Message("user", "Are you there?"),
        )
    first, second = server.asked
    assert first["tool_choice"] == {"type": "any"}
    assert second["tool_choice"] == {"type": "none"} and second["tools"][0]["name"] == "order"
    turns = second["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert [block["text"] for block in turns[2]["content"]] == ["A large one", "and another."]
    assert [block["input"] for block in turns[3]["content"]] == [{"size": "L"}, {}]
    assert [block["type"] for block in turns[4]["content"]] == ["tool_result", "tool_result", "text"]
    assert [block["tool_use_id"] for block in turns[4]["content"][:2]] == ["call_1_a", "c2"]
    assert turns[4]["content"][1]["is_error"] is True


async def test_a_conversation_that_ends_with_the_agent_can_be_continued() -> None:
    server = Anthropic()
    async with thinking(server) as llm:
        assert await answered(llm, Message("user", "Hm."), Message("assistant", "Still there?"))
        assert await answered(llm, Message("system", "Greet."))


def refusal(kind: str, words: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": words}}


@pytest.mark.parametrize(
    ("knobs", "cause"),
    [
        ({"status": 401, "error": refusal("authentication_error", f"invalid x-api-key {KEY}")}, "auth"),
        (
            {"status": 400, "error": refusal("invalid_request_error", "Your credit balance is too low")},
            "bad_request",
        ),
        ({"status": 402, "error": refusal("billing_error")}, "quota"),
        ({"status": 429, "error": refusal("rate_limit_error")}, "rate_limit"),
        ({"status": 404, "error": refusal("not_found_error", "model: x")}, "bad_request"),
        ({"status": 529, "error": refusal("overloaded_error")}, "server"),
        ({"status": 503, "error": "gone"}, "server"),
        ({"drop_after": 5}, "connectivity"),
        ({"silent": True}, "timeout"),
        ({"garbage": True}, "connectivity"),
    ],
)
async def test_a_failing_model_says_why(knobs: dict[str, Any], cause: str) -> None:
    """And is asked once. No key in the words."""
    server = Anthropic(replies=deque(["One two three four five."]))
    for knob, value in knobs.items():
        setattr(server.knobs, knob, value)
    async with thinking(server, timeout_s=0.3) as llm:
        with pytest.raises(ProviderError) as failure:
            await answered(llm)
    assert failure.value.cause == cause
    assert KEY not in str(failure.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("kind", "cause"), [("overloaded_error", "server"), ("rate_limit_error", "rate_limit")]
)
async def test_an_error_in_the_middle_of_a_reply_is_told_by_its_type(kind: str, cause: str) -> None:
    """The status was 200 by then."""
    server = Anthropic(replies=deque(["One two three."]), midway={"type": kind, "message": "Overloaded"})
    async with thinking(server) as llm:
        reply = llm.chat([Message("user", "Hello?")])
        assert await anext(reply) == TextDelta("One ")
        with pytest.raises(ProviderError, match="Overloaded") as failure:
            async for _ in reply:
                pass
    assert failure.value.cause == cause


async def test_a_refusal_and_arguments_cut_short_are_no_replies() -> None:
    server = Anthropic(replies=deque(["No.", [("t1", "order", '{"size": "la')]]), stop_reason="refusal")
    async with thinking(server) as llm:
        with pytest.raises(ProviderError, match="declined") as failure:
            await answered(llm)
        assert failure.value.cause == "bad_request"
        with pytest.raises(ProviderError, match="arguments of order are no JSON"):
            await answered(llm, tools=[ORDER])


async def test_nobody_there_is_a_matter_of_connectivity() -> None:
    llm: Any = registry.create_llm("anthropic", {"base_url": "http://127.0.0.1:9"})
    with pytest.raises(ProviderError) as failure:
        await answered(llm)
    assert failure.value.cause == "connectivity"
    await llm.aclose()


async def test_a_reply_that_is_not_wanted_any_more_ends_within_50_ms() -> None:
    server = Anthropic(replies=deque(["word " * 200]), token_pause_s=0.02)
    async with thinking(server) as llm:
        reply = llm.chat([Message("user", "Tell me a story.")])
        await anext(reply)
        began = time.perf_counter()
        await reply.aclose()
        assert time.perf_counter() - began < 0.05
        async with asyncio.timeout(2):
            while server.open:  # noqa: ASYNC110 - a server's count rings no bell here
                await asyncio.sleep(0)


def test_without_a_key_there_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(MissingKey, match="anthropic needs ANTHROPIC_API_KEY"):
        registry.create_llm("anthropic")
