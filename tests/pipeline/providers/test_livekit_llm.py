"""LiveKit's LLM plugins as providers, and how the bridge checks names and options."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pipeline.agent.history import Message, ToolRequest
from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import LlmDelta, TextDelta, ToolCall, ToolSpec, Usage
from pipeline.providers import registry
from pipeline.providers.keys import MissingKey
from tests.pipeline.providers.servers.openai_for_livekit import OpenAi

pytest.importorskip("livekit.agents", reason="pip install offhook[livekit]")

KEY = "dummy-key-0123456789"
ORDER = ToolSpec("order", "Order a pizza.", {"type": "object", "properties": {"size": {"type": "string"}}})


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("DEEPGRAM_API_KEY", KEY)
    monkeypatch.delenv("CARTESIA_API_KEY", raising=False)


@asynccontextmanager
async def thinking(server: OpenAi, **options: Any) -> AsyncIterator[Any]:
    async with server.serve():
        llm: Any = registry.create_llm("livekit/openai", {"base_url": server.url, **options})
        try:
            yield llm
        finally:
            await llm.aclose()


async def answered(llm: Any, *messages: Message, **more: Any) -> list[LlmDelta]:
    return [delta async for delta in llm.chat(messages or [Message("user", "Hello?")], **more)]


async def test_a_reply_streams_with_its_usage() -> None:
    server = OpenAi(replies=deque(["Grüß Gott, was darf es sein?"]))
    async with thinking(server, temperature=0.3, model="gpt-4.1-mini") as llm:
        deltas = await answered(llm, Message("system", "Be kind."), Message("user", "Servus!"))
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert "".join(texts) == "Grüß Gott, was darf es sein?" and len(texts) > 3
    assert deltas[-1] == Usage(20, 7, 16)
    asked = server.asked[0]
    assert (asked["temperature"], asked["model"]) == (0.3, "gpt-4.1-mini")
    assert [row["role"] for row in asked["messages"]] == ["system", "user"]


async def test_tools_are_called_and_their_answers_go_back() -> None:
    """Two at once; our schema goes out as it is."""
    server = OpenAi(replies=deque([[("c1", "order", '{"size":"L"}'), ("c2", "order", "{}")], "Done."]))
    async with thinking(server) as llm:
        deltas = await answered(llm, tools=[ORDER], tool_choice="required")
        calls = [delta for delta in deltas if isinstance(delta, ToolCall)]
        assert calls == [ToolCall("c1", "order", '{"size":"L"}'), ToolCall("c2", "order", "{}")]
        requests = tuple(ToolRequest(call.id, call.name, call.arguments) for call in calls)
        await answered(
            llm,
            Message("user", "A large one and another."),
            Message("assistant", "One moment.", tool_calls=requests),
            Message("tool", "ordered", tool_call_id="c1"),
            Message("tool", "sold out", tool_call_id="c2", ok=False),
            tools=[ORDER],
        )
    first, second = server.asked
    assert first["tool_choice"] == "required"
    assert first["tools"][0]["function"]["parameters"]["properties"] == {"size": {"type": "string"}}
    told = second["messages"]
    assert [row["role"] for row in told] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in told[1]["tool_calls"]] == ["c1", "c2"]
    assert [(row["tool_call_id"], row["content"]) for row in told[2:]] == [
        ("c1", "ordered"),
        ("c2", "sold out"),
    ]


@pytest.mark.parametrize(
    ("knobs", "cause"),
    [
        ({"status": 401, "error": {"error": {"message": f"bad key {KEY}"}}}, "auth"),
        ({"status": 429, "error": {"error": {"message": "slow down"}}}, "rate_limit"),
        ({"status": 400, "error": {"error": {"message": "no such model"}}}, "bad_request"),
        ({"status": 500, "error": {}}, "server"),
        ({"drop_after": 3}, "connectivity"),
    ],
)
async def test_a_failing_model_says_why(knobs: dict[str, Any], cause: str) -> None:
    """And is asked once: trying again is not the plugin's business. No key in the words."""
    server = OpenAi(replies=deque(["One two three four five."]))
    for knob, value in knobs.items():
        setattr(server.knobs, knob, value)
    async with thinking(server) as llm:
        with pytest.raises(ProviderError) as failure:
            await answered(llm)
    assert failure.value.cause == cause
    assert KEY not in str(failure.value)
    assert len(server.asked) == 1


async def test_a_reply_that_is_not_wanted_any_more_ends_within_50_ms() -> None:
    server = OpenAi(replies=deque(["word " * 200]), token_pause_s=0.02)
    async with thinking(server) as llm:
        reply = llm.chat([Message("user", "Tell me a story.")])
        await anext(reply)
        began = time.perf_counter()
        await reply.aclose()
        assert time.perf_counter() - began < 0.05
        async with asyncio.timeout(2):
            while server.open:  # noqa: ASYNC110 - a server's count rings no bell here
                await asyncio.sleep(0)


# ---------------------------------------------------------------- names and options


@pytest.mark.parametrize(
    ("kind", "name", "options", "says"),
    [
        (
            "stt",
            "livekit/nobody",
            {},
            "no LiveKit plugin 'nobody'.*Install the package livekit-plugins-nobody",
        ),
        ("llm", "livekit/deepgram", {}, "has no class LLM for this"),
        ("stt", "livekit/deepgram", {"modle": "x"}, r"no option 'modle'.*Did you mean 'model'\?"),
        ("stt", "livekit/deepgram", {"endpointing_ms": "soon"}, "'endpointing_ms' is 'soon'.*integer"),
        ("stt", "livekit/assemblyai", {"voice_focus": "near"}, "'near-field' or 'far-field'"),
        ("stt", "livekit/deepgram", {"http_session": 1}, "no option 'http_session'"),
        ("stt", "livekit/deepgram", {"model": "nova-2", "keyterm": "x"}, "livekit/deepgram: cannot be made"),
        ("stt", "livekit/deepgram", {"turn_end_wait_ms": -1}, "Choose 0 or more"),
    ],
)
def test_a_wrong_name_or_option_is_answered_with_a_remedy(
    kind: Any, name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        registry.create(kind, name, options)


def test_a_secret_in_the_plan_is_refused_without_being_repeated() -> None:
    with pytest.raises(ConfigError, match="'api_key' is a secret. Put it into the environment") as refusal:
        registry.create("stt", "livekit/deepgram", {"api_key": "hush-hush"})
    assert "hush-hush" not in str(refusal.value)


def test_a_missing_key_is_named_and_one_in_the_env_file_is_found(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plugins know the environment only; ours includes `.env`, for as long as a plugin is made."""
    from pipeline.providers import keys

    with pytest.raises(MissingKey, match="livekit/cartesia needs CARTESIA_API_KEY"):
        registry.create("tts", "livekit/cartesia")
    monkeypatch.setattr(keys, "environment", lambda: {**os.environ, "CARTESIA_API_KEY": KEY})
    registry.create("tts", "livekit/cartesia")
    assert "CARTESIA_API_KEY" not in os.environ


def test_other_classes_of_a_plugin_are_reached_by_name() -> None:
    assert registry.create("stt", "livekit/deepgram/STTv2", {"eot_threshold": 0.6})


def test_livekit_is_not_loaded_until_it_is_asked_for() -> None:
    """A second and 80 MB that nobody pays for who has no `livekit/…` in his plan."""
    code = (
        "import sys, offhook.worker.casting; from pipeline.providers import registry; registry.describe(); "
    )
    code += "sys.exit(any(name.startswith('livekit.agents') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_importing_livekit_talks_to_nobody() -> None:
    """No connection, no thread and no log handler of its own."""
    code = """
import logging, socket, sys, threading
def refuse(*_):
    sys.exit("connected")
socket.socket.connect = socket.socket.connect_ex = refuse
from pipeline.providers.livekit import loading
loading.find("stt", "livekit/deepgram")
assert threading.active_count() == 1, threading.enumerate()
assert logging.getLogger().handlers == [] and logging.getLogger("livekit").handlers == []
"""
    run = subprocess.run(
        [sys.executable, "-c", code], timeout=60, check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
