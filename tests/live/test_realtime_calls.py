"""A phone call over SIP on a speech-to-speech model: the server that we ship, the vendor's SDK, a double of its API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.live.peers import PjsipPhone
from tests.live.server import running_server
from tests.pipeline.providers.servers.openai_realtime import OpenAiRealtimeServer, Says

pytestmark = pytest.mark.timeout(120)

PLAN = """
version: 1
name: One model
agents:
  desk:
    instructions: You are the front desk.
    greeting: Hello, this is the front desk.
    realtime: {{provider: openai, model: gpt-realtime, voice: cedar, base_url: "{url}/v1"}}
    handoff: [bills]
  bills:
    instructions: You know bills.
    realtime: {{provider: openai, model: gpt-realtime, voice: cedar, base_url: "{url}/v1"}}
    greeting: Bills, hello.
numbers:
  - number: "100"
    agent: desk
"""


async def test_a_caller_talks_to_one_model_and_to_its_colleague(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greeting, an answer, a connection that dies, a handoff: over RTP in G.711, nothing resampled on the way."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    model = OpenAiRealtimeServer(first_s=0.3, words_s=0.3)
    model.said.extend(["what are your opening hours", "a question about my bill"])
    model.replies.extend([Says("From nine to five."), Says(tools=[("hand_over", '{"agent": "bills"}')])])
    plan = tmp_path / "plan.yaml"
    async with model.serve():
        await asyncio.to_thread(plan.write_text, PLAN.format(url=model.url))
        async with (
            running_server(tmp_path, spares=0, dialplan=plan, workers=1) as server,
            PjsipPhone() as phone,
        ):
            await phone.call(server.uri())
            await phone.event("confirmed", timeout=20)
            await phone.event("media")
            await phone.listen()  # the greeting
            await phone.say(recordings / "opening_hours.wav")
            await phone.listen()
            call = await server.last_call()
            model.drop()
            await server.until(lambda: bool(call.of("ProviderFailed")), "the loss", 10)
            await phone.say(recordings / "bill.wav")
            await phone.listen()  # the colleague
            await server.until(lambda: len(call.of("AgentSpoke")) == 3, "the colleague's words", 10)
            await phone.hang_up()
            await phone.event("disconnected")
            facts = await server.finished(call)
        line = model.line
        assert line.session["instructions"] == "You know bills."
        assert line.session["audio"]["output"]["format"]["type"] in ("audio/pcmu", "audio/pcma")
        assert line.conversation()[:2] == [
            ("assistant", "Hello, this is the front desk."),
            ("user", "what are your opening hours"),
        ]
        assert not model.errors
    story = call.story()
    assert [event["text"] for event in call.of("AgentSpoke")] == [
        "Hello, this is the front desk.",
        "From nine to five.",
        "Bills, hello.",
    ], story
    assert [event["text"] for event in call.of("UserTurnCommitted")] == [
        "what are your opening hours",
        "a question about my bill",
    ], story
    assert [(event["kind"], event["cause"]) for event in call.of("ProviderFailed")] == [
        ("realtime", "connectivity")
    ]
    assert facts["ended_by"] == "caller", story
    assert call.of("ModelUsed")[0]["output_audio_tokens"] == 30, story
