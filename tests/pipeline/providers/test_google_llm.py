"""Gemini through Google's SDK, against a double."""

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
from tests.pipeline.providers.servers.google import SIGNATURE, Google

pytest.importorskip("google.genai", reason="pip install offhook[google]")

KEY = "AIzaDummyDummyDummyDummyDummy0123456789"
ORDER = ToolSpec("order", "Order a pizza.", {"type": "object", "properties": {"size": {"type": "string"}}})


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)


@asynccontextmanager
async def thinking(server: Google, **options: Any) -> AsyncIterator[Any]:
    async with server.serve():
        llm: Any = registry.create_llm("google", {"base_url": server.url, **options})
        try:
            yield llm
        finally:
            await llm.aclose()


async def answered(llm: Any, *messages: Message, **more: Any) -> list[LlmDelta]:
    return [delta async for delta in llm.chat(messages or [Message("user", "Hello?")], **more)]


async def test_a_reply_streams_without_the_models_thoughts() -> None:
    server = Google(replies=deque(["Grüß Gott, was darf es sein?"]))
    async with thinking(server, temperature=0.2) as llm:
        deltas = await answered(llm, Message("system", "Be kind."), Message("user", "Servus!"), tools=[ORDER])
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert "".join(texts) == "Grüß Gott, was darf es sein?" and len(texts) == 6
    assert deltas[-1] == Usage(30, 11, 20)
    asked = server.asked[0]
    assert asked["key"] == KEY and asked["model"].endswith(":streamGenerateContent")
    assert asked["systemInstruction"]["parts"][0]["text"] == "Be kind."
    declared = asked["tools"][0]["functionDeclarations"][0]
    assert (declared["name"], declared["parameters_json_schema"]) == ("order", ORDER.parameters)
    assert asked["toolConfig"]["functionCallingConfig"]["mode"] == "AUTO"


@pytest.mark.parametrize(
    ("model", "thinking_option", "config"),
    [
        ("gemini-2.5-flash", "off", {"thinking_budget": 0}),
        ("gemini-2.5-pro", "off", {"thinking_budget": 128}),
        ("gemini-3.8-flash", "off", {"thinking_level": "MINIMAL"}),
        ("gemini-3.5-pro", "off", {"thinking_level": "LOW"}),
        ("gemini-2.5-flash", "auto", None),
        ("gemini-2.0-flash", "off", None),
    ],
)
async def test_a_model_thinks_as_little_as_it_can(model: str, thinking_option: str, config: Any) -> None:
    server = Google()
    async with thinking(server, model=model, thinking=thinking_option) as llm:
        await answered(llm)
    assert server.asked[0]["generationConfig"].get("thinkingConfig") == config


async def test_tools_are_called_and_answered_with_the_signature_of_the_thought() -> None:
    server = Google(replies=deque([[("order", {"size": "große"}), ("order", {})], "Done."]))
    async with thinking(server) as llm:
        deltas = await answered(llm, tools=[ORDER], tool_choice="required")
        calls = [delta for delta in deltas if isinstance(delta, ToolCall)]
        assert [(call.name, call.arguments) for call in calls] == [
            ("order", '{"size": "große"}'),
            ("order", "{}"),
        ]
        assert len({call.id for call in calls}) == 2
        await answered(
            llm,
            Message("assistant", "Pizza place, hello."),
            Message("user", "A large one"),
            Message("user", "and another."),
            Message("assistant", "", tool_calls=tuple(ToolRequest(c.id, c.name, c.arguments) for c in calls)),
            Message("tool", "ordered", tool_call_id=calls[0].id),
            Message("tool", "sold out", tool_call_id=calls[1].id, ok=False),
            tools=[ORDER],
        )
    first, second = server.asked
    assert first["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"
    turns = second["contents"]
    assert [turn["role"] for turn in turns] == ["user", "model", "user", "model", "user"]
    assert turns[3]["parts"][0]["thoughtSignature"] == SIGNATURE
    assert "thoughtSignature" not in turns[3]["parts"][1]
    answers = [part["functionResponse"] for part in turns[4]["parts"]]
    assert [answer["response"] for answer in answers] == [{"output": "ordered"}, {"error": "sold out"}]
    assert {answer["name"] for answer in answers} == {"order"}


def refusal(code: int, words: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": words, "status": "X", "details": list(details)}}


@pytest.mark.parametrize(
    ("knobs", "cause"),
    [
        (
            {"status": 400, "error": refusal(400, f"API key not valid {KEY}", {"reason": "API_KEY_INVALID"})},
            "auth",
        ),
        ({"status": 403, "error": refusal(403, "no")}, "auth"),
        ({"status": 404, "error": refusal(404, "no such model")}, "bad_request"),
        ({"status": 429, "error": refusal(429, "You exceeded your current quota")}, "quota"),
        ({"status": 503, "error": refusal(503, "overloaded")}, "server"),
        ({"drop_after": 3}, "connectivity"),
        ({"silent": True}, "timeout"),
        ({"garbage": True}, "server"),
    ],
)
async def test_a_failing_model_says_why(knobs: dict[str, Any], cause: str) -> None:
    """And is asked once. No key in the words."""
    server = Google(replies=deque(["One two three four five."]))
    for knob, value in knobs.items():
        setattr(server.knobs, knob, value)
    async with thinking(server, timeout_s=0.5) as llm:
        with pytest.raises(ProviderError) as failure:
            await answered(llm)
    assert failure.value.cause == cause
    assert KEY not in str(failure.value)
    assert len(server.asked) == 1


async def test_haste_is_told_from_an_empty_purse_by_when_to_come_again() -> None:
    server = Google()
    server.knobs.status = 429
    server.knobs.error = refusal(429, "You exceeded your current quota", {"retryDelay": "7.5s"})
    async with thinking(server) as llm:
        with pytest.raises(ProviderError) as failure:
            await answered(llm)
    assert (failure.value.cause, failure.value.retry_after) == ("rate_limit", 7.5)


@pytest.mark.parametrize(
    ("how", "cause", "says"),
    [
        ({"block": "PROHIBITED_CONTENT"}, "bad_request", "declined this conversation .PROHIBITED_CONTENT"),
        ({"finish": "SAFETY"}, "bad_request", "declined this conversation .SAFETY"),
        ({"finish": "MALFORMED_FUNCTION_CALL"}, "server", "broke off"),
        ({"finish": ""}, "connectivity", "cut off"),
    ],
)
async def test_a_reply_that_is_none_says_why(how: dict[str, Any], cause: str, says: str) -> None:
    async with thinking(Google(**how)) as llm:
        with pytest.raises(ProviderError, match=says) as failure:
            await answered(llm)
    assert failure.value.cause == cause


async def test_nobody_there_is_a_matter_of_connectivity() -> None:
    llm: Any = registry.create_llm("google", {"base_url": "http://127.0.0.1:9"})
    with pytest.raises(ProviderError) as failure:
        await answered(llm)
    assert failure.value.cause == "connectivity"
    await llm.aclose()


async def test_a_reply_that_is_not_wanted_any_more_ends_within_50_ms() -> None:
    server = Google(replies=deque(["word " * 200]), token_pause_s=0.02)
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
    """The second name of the variable does as well."""
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(MissingKey, match="google needs GEMINI_API_KEY"):
        registry.create_llm("google")
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    registry.create_llm("google")
