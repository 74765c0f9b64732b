"""Replays that need the world beyond the loop: providers and tools behind a network, on the virtual clock.

What they take is charged to the clock as it was, and neither more nor less; the rest of the call still jumps."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from offhook.bundle import Record
from offhook.errors import RecordingError
from offhook.settings import Providers
from tests.offhook.replay.reaching import PAGE
from tests.offhook.replay.recorded import ROOT, caller_wav, kinds, replayed, turns
from tests.pipeline.providers.servers.openai_like import OpenAiLike, Reply
from tests.pipeline.providers.servers.openai_realtime import OpenAiRealtimeServer, Says

SAID = ((2.5, "opening_hours"),)
PLAN = """
version: 1
name: Beyond
mcp:
  customers: {{command: ["{python}", "{desk}", stdio], connect_timeout: 20s}}
agents:
  desk:
    greeting: Hello.
    instructions: You are the front desk.
    tools: [{tools}]
    mcp: [customers]
    llm: {{provider: openai, model: gpt-x, base_url: "{url}/v1"}}
numbers:
  - {{number: "100", agent: desk}}
"""
DESK = ROOT / "tests" / "live" / "mcp_desk.py"


@pytest.fixture
async def model(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAiLike]:
    """A model behind a network; the replay runs in a thread beside it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    server = OpenAiLike()
    server.delay_s["chat"] = 0.3
    async with server.running():
        yield server


async def _call(tmp_path: Path, url: str, *tools: str, said: Any = SAID, **how: Any) -> Record:
    plan = tmp_path / "plan.yaml"
    text = PLAN.format(python=sys.executable, desk=DESK, tools=", ".join(tools), url=url)
    plan.write_text(text, encoding="utf-8")
    call = caller_wav(tmp_path / "call.wav", said, tail_s=6.0)
    return await asyncio.to_thread(replayed, call, tmp_path / "out", plan=plan, **how)


async def test_a_model_behind_a_network_takes_the_time_it_takes(tmp_path: Path, model: OpenAiLike) -> None:
    """It is asked when the caller has spoken, at the earliest; a clock that jumped meanwhile would give it up."""
    model.delay_s["chat"] = 2.5
    record = await _call(tmp_path, model.url)
    assert ("desk", "Certainly. How can I help you?", False) in turns(record)
    answer = kinds(record, "AgentStartedSpeaking")[1]
    assert answer["response_delay_ms"] >= 2400.0
    assert answer["llm_ms"] > 0.0
    assert kinds(record, "ProviderFailed") == []


async def test_recogniser_model_and_voice_may_all_be_behind_a_network(
    tmp_path: Path, model: OpenAiLike, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As fast as they are, so this takes as long as the call: eight seconds."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk-test-0123456789")
    model.sentences = ["what are your opening hours"]
    cloud = {
        "stt": {"provider": "groq", "base_url": model.url},
        "llm": {"provider": "openai", "base_url": f"{model.url}/v1"},
        "tts": {"provider": "openai", "base_url": f"{model.url}/v1"},
    }
    record = await _call(tmp_path, model.url, said=SAID, providers=Providers.model_validate(cloud))
    assert kinds(record, "ProviderFailed") == []
    assert turns(record)[:3] == [
        ("desk", "Hello.", False),
        ("caller", "what are your opening hours", False),
        ("desk", "Certainly. How can I help you?", False),
    ]
    assert {request.kind for request in model.requests} == {"chat", "transcriptions", "speech"}


async def test_an_mcp_server_is_asked_as_on_a_live_call(tmp_path: Path, model: OpenAiLike) -> None:
    """A process over stdio. Its answer would come minutes late if the clock jumped meanwhile."""
    model.replies.extend([Reply(tools=[("look_up", '{"number": "4711"}')]), Reply("Ann has two open bills.")])
    record = await _call(tmp_path, model.url)
    assert kinds(record, "ToolsetFailed") == []
    (looked,) = kinds(record, "ToolFinished")
    assert looked["ok"], looked
    assert "Ann" in looked["result"]
    assert looked["took_ms"] < 5000.0
    assert ("desk", "Ann has two open bills.", False) in turns(record)


async def test_a_tool_that_does_not_say_that_it_reaches_out_is_waited_for_all_the_same(
    tmp_path: Path, model: OpenAiLike, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response(text="we are open until six")

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv(PAGE, f"http://127.0.0.1:{runner.addresses[0][1]}/")
    asked = [(name, "{}") for name in ("look_up_page", "ask_program")]
    model.replies.extend([Reply(tools=asked), Reply("Until six.")])
    reaching = [f'"tests.offhook.replay.reaching:{name}"' for name, _ in asked]
    try:
        record = await _call(tmp_path, model.url, *reaching)
    finally:
        await runner.cleanup()
    done = {event["name"]: event for event in kinds(record, "ToolFinished")}
    assert {name: event["result"] for name, event in done.items()} == {
        "look_up_page": "we are open until six",
        "ask_program": "the program has spoken",
    }
    assert all(250.0 <= event["took_ms"] < 10_000.0 for event in done.values())


async def test_a_tool_is_told_the_day_of_the_recorded_call(tmp_path: Path, model: OpenAiLike) -> None:
    """A recording without a date begins in the year 2000, on any day that it is replayed."""
    model.replies.extend([Reply(tools=[("tell_day", "{}")]), Reply("Saturday.")])
    record = await _call(tmp_path, model.url, '"tests.offhook.replay.reaching:tell_day"')
    assert [event["result"] for event in kinds(record, "ToolFinished")] == ["2000-01-01"]


ONE_MODEL = """
version: 1
name: One model
agents:
  desk:
    instructions: You are the front desk.
    greeting: Hello.
    realtime: {{provider: openai, model: gpt-realtime, voice: cedar, base_url: "{url}/v1"}}
numbers:
  - {{number: "100", agent: desk}}
"""


def test_a_speech_to_speech_model_is_not_replayed_on_the_virtual_clock(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(ONE_MODEL.format(url="http://127.0.0.1:1"), encoding="utf-8")
    call = caller_wav(tmp_path / "call.wav", SAID)
    with pytest.raises(RecordingError, match="'desk' is played by a speech-to-speech model .* --realtime"):
        replayed(call, tmp_path / "out", plan=plan)


async def test_a_speech_to_speech_model_is_replayed_in_real_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a tape asked for, too: there is none of such a model, and it hears and speaks as without."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    server = OpenAiRealtimeServer(first_s=0.2, words_s=0.2)
    server.said.append("what are your opening hours")
    server.replies.append(Says("From nine to five."))
    plan, call = tmp_path / "plan.yaml", caller_wav(tmp_path / "call.wav", SAID, tail_s=5.0)
    async with server.serve():
        plan.write_text(ONE_MODEL.format(url=server.url), encoding="utf-8")
        how: dict[str, Any] = {"plan": plan, "realtime": True, "cassette": "record"}
        record = await asyncio.to_thread(replayed, call, tmp_path / "out", **how)
    assert [text for _, text, _ in turns(record)] == [
        "Hello.",
        "what are your opening hours",
        "From nine to five.",
    ]
    assert kinds(record, "ProviderFailed") == []
    assert server.errors == []
