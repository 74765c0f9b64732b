"""Groq's and OpenAI's language models through the real SDKs, against a server in all its moods."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from pipeline.agent.history import Message, ToolRequest
from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import LlmDelta, TextDelta, ToolCall, ToolSpec, Usage
from pipeline.providers import registry
from pipeline.providers.chat_llm import ChatLlm
from pipeline.providers.fake import FakeLlm
from pipeline.providers.groq.llm import GroqLlm
from pipeline.providers.keys import MissingKey
from pipeline.providers.openai.llm import AzureLlm, LlamaCppLlm, OllamaLlm, OpenAiLlm, OpenRouterLlm, VllmLlm
from pipeline.providers.resilient import FallbackLlm
from tests.pipeline.providers.servers.openai_like import OpenAiLike, Refusal, Reply
from tests.pipeline.providers.servers.patient_virtual_clock import on_patient_clock

ASKED = [Message("system", "Be brief."), Message("user", "Is there a table for two?")]
BOOK = ToolSpec("book", "Book a table.", {"type": "object", "properties": {"people": {"type": "integer"}}})


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(name, "sk-test-0123456789")
    for name in ("GROQ_BASE_URL", "OPENAI_BASE_URL", "VLLM_API_KEY", "OLLAMA_API_KEY", "LLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def groq(server: OpenAiLike, **options: Any) -> GroqLlm:
    return GroqLlm(base_url=server.url, **options)


def openai(server: OpenAiLike, **options: Any) -> OpenAiLlm:
    return OpenAiLlm(base_url=f"{server.url}/v1", **options)


both = pytest.mark.parametrize("make", [groq, openai])


async def said(
    llm: ChatLlm, tools: Sequence[ToolSpec] = (), messages: Sequence[Message] = ASKED, **options: Any
) -> list[LlmDelta]:
    async with aclosing(llm.chat(messages, tools, **options)) as deltas:
        return [delta async for delta in deltas]


def text_of(deltas: Sequence[LlmDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


@both
@on_patient_clock
async def test_a_reply_comes_token_by_token_with_its_cost(make: Any) -> None:
    async with OpenAiLike().running() as server:
        llm = make(server)
        server.replies.append(Reply("Ja, für zwei – gern 🙂 um 8 Uhr."))
        deltas = await said(llm)
        assert text_of(deltas) == "Ja, für zwei – gern 🙂 um 8 Uhr."
        assert sum(isinstance(delta, TextDelta) for delta in deltas) == 9
        assert deltas[-1] == Usage(input_tokens=8, output_tokens=9, cached_tokens=3)
        assert sum(isinstance(delta, Usage) for delta in deltas) == 1
        request = server.requests[0]
        assert request.headers["authorization"] == "Bearer sk-test-0123456789"
        assert request.body["messages"][1] == {"role": "user", "content": "Is there a table for two?"}
        assert "tools" not in request.body
        await llm.aclose()


@both
@on_patient_clock
async def test_several_tools_asked_for_at_once_come_whole_and_in_order(make: Any) -> None:
    async with OpenAiLike().running() as server:
        llm = make(server, parallel_tool_calls=True)
        calls = [("book", '{"people": 2}'), ("note", '{"text": "größer"}')]
        server.replies.append(Reply("One moment.", tools=calls))
        deltas = await said(llm, [BOOK], tool_choice="required")
        assert [(d.name, d.arguments) for d in deltas if isinstance(d, ToolCall)] == calls
        body = server.requests[0].body
        assert body["tool_choice"] == "required"
        assert body["parallel_tool_calls"] is True
        assert body["tools"][0]["function"]["parameters"] == BOOK.parameters
        await llm.aclose()


@both
@on_patient_clock
async def test_what_a_tool_answered_is_told_as_the_server_wants_it(make: Any) -> None:
    told = [
        *ASKED,
        Message("assistant", "", tool_calls=(ToolRequest("call_1", "book", '{"people": 2}'),)),
        Message("tool", "booked", tool_call_id="call_1"),
    ]
    async with OpenAiLike().running() as server:
        llm = make(server)
        await said(llm, [BOOK], told, tool_choice="none")
        asked, answer = server.requests[0].body["messages"][2:]
        assert asked["content"] is None
        assert asked["tool_calls"][0]["function"] == {"name": "book", "arguments": '{"people": 2}'}
        assert answer == {"role": "tool", "tool_call_id": "call_1", "content": "booked"}
        assert server.requests[0].body["tool_choice"] == "none"
        await llm.aclose()


@on_patient_clock
async def test_options_reach_the_server_by_its_own_names() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    async with OpenAiLike().running() as server:
        llm = groq(server, temperature=0.0, max_tokens=50, seed=7, reasoning_effort="medium", top_p=0.9)
        await said(llm)
        body = server.requests[-1].body
        assert (body["temperature"], body["max_completion_tokens"], body["seed"]) == (0.0, 50, 7)
        assert (body["reasoning_effort"], body["top_p"], body["stream"]) == ("medium", 0.9, True)
        await llm.aclose()
        server.replies.append(Reply('{"ok": true}'))
        llm = groq(server, response_format=schema)
        deltas = await said(llm)
        assert text_of(deltas) == '{"ok": true}'
        assert isinstance(deltas[-1], Usage)
        assert server.requests[-1].body["response_format"] == schema
        assert "stream" not in server.requests[-1].body  # Groq does not stream answers by a schema
        await llm.aclose()
        streaming = openai(server, response_format=schema, max_tokens=9, extra={"top_k": 3})
        await said(streaming)
        body = server.requests[-1].body
        assert (body["stream"], body["max_completion_tokens"], body["top_k"]) == (True, 9, 3)
        await streaming.aclose()


@on_patient_clock
async def test_models_that_reason_think_as_little_as_they_can() -> None:
    async with OpenAiLike().running() as server:
        for model, effort in (("openai/gpt-oss-20b", "low"), ("qwen/qwen3.6-27b", "none"), ("llama", None)):
            llm = groq(server, model=model)
            await said(llm)
            assert server.requests[-1].body.get("reasoning_effort") == effort
            await llm.aclose()


@both
@on_patient_clock
async def test_a_caller_who_interrupts_ends_the_request_at_once(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.tokens_per_s = 5
        llm = make(server)
        await llm.warm()
        loop = asyncio.get_running_loop()
        deltas = llm.chat(ASKED)
        assert isinstance(await anext(deltas), TextDelta)
        before = loop.time()
        await deltas.aclose()
        assert loop.time() - before < 0.05
        await asyncio.sleep(0.5)
        assert server.requests[0].over == "gone"
        server.tokens_per_s = 0
        assert text_of(await said(llm))  # and the client is as good as new
        await llm.aclose()


@both
@on_patient_clock
async def test_a_request_given_up_before_the_first_byte_leaves_nothing_behind(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["chat"] = 5.0
        llm = make(server)
        await llm.warm()
        asking = asyncio.create_task(said(llm))
        await asyncio.sleep(0.2)
        before = asyncio.get_running_loop().time()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert asyncio.get_running_loop().time() - before < 0.05
        await asyncio.sleep(0.1)
        assert server.requests[0].over == "gone"
        await llm.aclose()


@both
@pytest.mark.parametrize(
    ("refusal", "cause"),
    [
        (Refusal(401, "Invalid API Key sk-test-0123456789"), "auth"),
        (Refusal(429, "slow down", "rate_limit_exceeded"), "rate_limit"),
        (Refusal(429, "pay first", "insufficient_quota"), "quota"),
        (Refusal(404, "no such model", "model_not_found"), "bad_request"),
        (Refusal(503, "overloaded"), "server"),
        (Refusal(200, "slow down", "rate_limit_exceeded", in_stream=True), "rate_limit"),
        (Refusal(200, "we have a bad day", in_stream=True, more={"type": "internal"}), "server"),
    ],
)
@on_patient_clock
async def test_a_refusal_names_its_cause_and_no_key(make: Any, refusal: Refusal, cause: str) -> None:
    async with OpenAiLike().running() as server:
        server.fates["chat"].append(refusal)
        llm = make(server)
        with pytest.raises(ProviderError) as failed:
            await said(llm)
        assert failed.value.cause == cause
        assert "sk-test" not in str(failed.value)
        assert len(server.requests) == 1  # the SDK does not try again by itself
        await llm.aclose()


@both
@pytest.mark.parametrize(
    ("fate", "causes"),
    [
        ("drop", ("connectivity", "server")),
        ("truncate", ("connectivity", "server")),
        ("garbage", ("server",)),
        ("nonsense", ("server",)),
        ("no_end", ("connectivity",)),
    ],
)
@on_patient_clock
async def test_an_answer_that_breaks_fails_after_what_came(
    make: Any, fate: Any, causes: tuple[str, ...]
) -> None:
    async with OpenAiLike().running() as server:
        server.fates["chat"].append(fate)
        llm = make(server)
        came: list[LlmDelta] = []
        with pytest.raises(ProviderError) as failed:
            async for delta in llm.chat(ASKED):
                came.append(delta)
        assert text_of(came) == "Certainly."
        assert failed.value.cause in causes
        assert failed.value.retry
        await llm.aclose()


@both
@on_patient_clock
async def test_a_server_that_says_nothing_is_a_timeout_and_one_that_is_away_connectivity(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.fates["chat"].append("hang")
        llm = make(server, timeout_s=2.0)
        await llm.warm()
        with pytest.raises(ProviderError) as failed:
            await said(llm)
        assert failed.value.cause == "timeout"
        await llm.aclose()
    away = make(server)
    await away.warm()  # says nothing: the first request finds out
    with pytest.raises(ProviderError) as failed:
        await said(away)
    assert failed.value.cause == "connectivity"
    await away.aclose()


@on_patient_clock
async def test_a_garbled_tool_call_is_asked_for_once_more() -> None:
    garbled = Refusal(
        400,
        f"tool call validation failed: {'parameters did not match schema, ' * 20}",
        "tool_use_failed",
        more={"failed_generation": "<function=book{}"},
    )
    async with OpenAiLike().running() as server:
        server.fates["chat"] += [
            garbled,
            Refusal(200, "Failed", "tool_use_failed", in_stream=True),
            garbled,
            garbled,
        ]
        llm = groq(server, temperature=0.0, seed=1)
        server.replies.append(Reply(tools=[("book", "{}")]))
        with pytest.raises(ProviderError):  # both times: it is the prompt's or the model's fault
            await said(llm, [BOOK])
        assert len(server.requests) == 2
        assert (server.requests[1].body["temperature"], "seed" in server.requests[1].body) == (0.2, False)
        server.fates["chat"].popleft()
        deltas = await said(llm, [BOOK])
        assert [delta.name for delta in deltas if isinstance(delta, ToolCall)] == ["book"]
        assert len(server.requests) == 4
        server.fates["chat"] += [garbled, garbled]
        with pytest.raises(ProviderError) as failed:
            await said(llm, [BOOK])
        assert failed.value.cause == "bad_request"
        await llm.aclose()


@both
@on_patient_clock
async def test_a_used_up_limit_is_known_before_the_server_is_asked(make: Any) -> None:
    async with OpenAiLike().running() as server:
        llm = make(server)
        server.headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}
        await said(llm)
        server.headers = {}
        with pytest.raises(ProviderError, match="its limit is used up") as failed:
            await said(llm)
        assert failed.value.cause == "rate_limit"
        assert failed.value.retry_after == pytest.approx(62.5, abs=1.0)
        assert len(server.requests) == 1
        await asyncio.sleep(63)
        assert text_of(await said(llm))
        await llm.aclose()


@on_patient_clock
async def test_the_caller_does_not_notice_that_the_first_server_wants_a_rest() -> None:
    """429 with retry-after: the next provider answers at once, and this one is left alone for so long."""
    async with OpenAiLike().running() as server:
        server.fates["chat"].append(Refusal(429, "slow down", "rate_limit_exceeded", {"retry-after": "7"}))
        first = groq(server)
        await first.warm()
        team = FallbackLlm([first, FakeLlm("From the other one.")])
        loop = asyncio.get_running_loop()
        for _ in range(2):
            before = loop.time()
            assert text_of([delta async for delta in team.chat(ASKED)]) == "From the other one."
            assert loop.time() - before < 0.1
        assert len(server.requests) == 1
        with pytest.raises(ProviderError, match="used up") as failed:
            await said(first)
        assert 5 < (failed.value.retry_after or 0) <= 7
        await first.aclose()


def delta(finish: str | None = None, **parts: Any) -> list[dict[str, Any]]:
    """The `choices` of one chunk."""
    return [{"index": 0, "delta": parts, "finish_reason": finish}]


def call(index: int, arguments: str, **parts: Any) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments, **parts.pop("named", {})}, **parts}


@pytest.mark.parametrize(
    ("chunks", "text", "tools"),
    [
        # what a model thinks aloud, cut at unlucky places
        ([delta(content="\n<th"), delta(content="ink>Hm, <b"), delta(content="ad></think>\n\nYes."), delta("stop")],
         "Yes.", []),
        ([delta(content="<"), delta(content="3 is a heart."), delta("stop")], "<3 is a heart.", []),
        ([delta(content="<thi"), delta("stop")], "<thi", []),
        # servers that give every call the same index, or no id
        ([delta(tool_calls=[call(0, "{}", id="a", named={"name": "book"})]),
          delta(tool_calls=[call(0, '{"n":1}', id="b", named={"name": "note"})]), delta("tool_calls")],
         "", [("a", "book", "{}"), ("b", "note", '{"n":1}')]),
        ([delta(tool_calls=[call(0, "", named={"name": "book"})]), delta("stop")],
         "", [("chatcmpl-1_0", "book", "{}")]),
        # calls whose parts come mixed
        ([delta(tool_calls=[call(1, '{"x"', id="b", named={"name": "note"}),
                            call(0, "{", id="a", named={"name": "book"})]),
          delta(tool_calls=[call(0, "}"), call(1, ":2}")]), delta("tool_calls")],
         "", [("a", "book", "{}"), ("b", "note", '{"x":2}')]),
        ([delta(refusal="I cannot help with that."), delta("stop")], "I cannot help with that.", []),
        ([delta(content="This goes on and"), delta("length")], "This goes on and", []),
        ([delta(content="Well"), delta("content_filter")], "Well", []),
        ([[], delta(content=None), delta(content="Hi", reasoning="Let me see."), delta("stop")], "Hi", []),
    ],
)  # fmt: skip
@both
@on_patient_clock
async def test_whatever_shape_a_server_gives_its_chunks_the_answer_is_whole(
    make: Any, chunks: Any, text: str, tools: list[tuple[str, str, str]]
) -> None:
    async with OpenAiLike().running() as server:
        llm = make(server)
        server.replies.append(Reply(raw=chunks))
        deltas = await said(llm, [BOOK])
        assert text_of(deltas) == text
        assert [(d.id, d.name, d.arguments) for d in deltas if isinstance(d, ToolCall)] == tools
        await llm.aclose()


@pytest.mark.parametrize(
    ("chunks", "cause", "why"),
    [
        ([delta(tool_calls=[call(0, '{"peo', id="a", named={"name": "book"})]), delta("length")],
         "bad_request", "max_tokens is too small"),
        ([delta("content_filter")], "bad_request", "content filter"),
        ([delta(tool_calls=[call(0, "{}", id="a")]), delta("tool_calls")], "server", "without a name"),
        ([[{"index": 0, "delta": {"content": 5}, "finish_reason": None}], delta("stop")], "server", "no sense"),
    ],
)  # fmt: skip
@both
@on_patient_clock
async def test_an_answer_nobody_can_use_says_why(make: Any, chunks: Any, cause: str, why: str) -> None:
    async with OpenAiLike().running() as server:
        llm = make(server)
        server.replies.append(Reply(raw=chunks))
        with pytest.raises(ProviderError, match=why) as failed:
            await said(llm, [BOOK])
        assert failed.value.cause == cause
        await llm.aclose()


async def test_a_server_that_is_killed_in_the_middle_of_a_reply_is_noticed() -> None:
    """A process of its own, on the real clock."""
    module = "tests.pipeline.providers.servers.openai_like"
    arguments = ["-m", module, "--tokens-per-s", "20", "--reply", "word " * 200]
    server = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    url = (await server.stdout.readline()).decode().strip()
    llm = GroqLlm(base_url=url)
    came = []
    with pytest.raises(ProviderError) as failed:
        async for piece in llm.chat(ASKED):
            came.append(piece)
            if len(came) == 1:
                server.kill()
                await server.wait()
    assert failed.value.cause in ("connectivity", "server")
    assert 1 <= len(came) < 200
    await llm.aclose()


@on_patient_clock
async def test_all_turns_and_calls_share_a_connection_that_was_opened_ahead() -> None:
    async with OpenAiLike().running() as server:
        llm = groq(server)
        await llm.warm()
        assert len(server.connections) == 1
        await said(llm)
        await said(llm)
        assert len(server.connections) == 1
        await llm.aclose()


def test_without_its_key_a_provider_is_not_made_but_a_local_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name)
    for kind in (GroqLlm, OpenAiLlm):
        with pytest.raises(MissingKey):
            kind()
    assert OllamaLlm(model="llama3.2").name == "ollama"
    assert VllmLlm(model="m").name == "vllm"
    assert LlamaCppLlm().name == "llamacpp"
    with pytest.raises(ConfigError, match="option 'model' is missing"):
        OllamaLlm()


@on_patient_clock
async def test_azure_is_asked_at_its_deployment_and_a_local_server_without_a_key() -> None:
    async with OpenAiLike().running() as server:
        azure = AzureLlm(base_url=server.url, api_version="2024-10-21", deployment="front-desk")
        assert text_of(await said(azure))
        assert server.requests[-1].path == "/openai/deployments/front-desk/chat/completions"
        assert server.requests[-1].query == {"api-version": "2024-10-21"}
        assert server.requests[-1].headers["api-key"] == "sk-test-0123456789"
        await azure.aclose()
        for kind, model in (
            (OllamaLlm, "llama3.2"),
            (VllmLlm, "m"),
            (LlamaCppLlm, ""),
            (OpenRouterLlm, "a/b"),
        ):
            llm = kind(base_url=f"{server.url}/v1", model=model, max_tokens=5)
            assert text_of(await said(llm))
            assert server.requests[-1].body["max_tokens"] == 5
            assert server.requests[-1].path == "/v1/chat/completions"
            await llm.aclose()
    with pytest.raises(ConfigError, match="azure needs base_url"):
        AzureLlm(deployment="front-desk")


@pytest.mark.parametrize("name", ["groq", "openai", "openrouter", "ollama", "vllm", "llamacpp"])
def test_the_registry_makes_it_with_options_from_yaml(name: str) -> None:
    llm = registry.create_llm(name, {"model": "m", "temperature": "0.3"})
    assert llm.name == name
    with pytest.raises(ConfigError, match="no option 'temprature'"):
        registry.create_llm(name, {"temprature": 0.3})
