"""Calls over SIP on Groq and ElevenLabs, as processes that take their time and can be killed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from offhook.demo.story import caller_lines, departures
from offhook.softphone import Line
from tests.live.cloud import (
    RECORDINGS,
    Cloud,
    longest_pause_s,
    phone,
    running_clinic,
    running_cloud,
    says,
    silences_s,
    with_keys,
)
from tests.live.server import Server

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

USUAL_S = 0.7  # to an answer of the healthy stack, `python -m tests.bench.cloud`
UNUSUAL_S = 4.0  # far beyond any answer of a healthy stack, also on a busy machine
SWITCHING_S = 2.0  # of silence at most may a dead provider cost
HASTY_MS = 30  # a character: half as long as people take
PAUSES_S = 0.7  # between two words or sentences of a voice


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "ELEVENLABS_API_KEY", "GROQ_BASE_URL"):
        monkeypatch.setenv(name, "")
    with_keys(os.environ)


async def test_the_demo_conversation_runs_on_groq_and_elevenlabs_with_the_shipped_plan(
    tmp_path: Path,
) -> None:
    heard = tmp_path / "heard.wav"
    async with running_cloud(ms_per_char=HASTY_MS) as cloud, running_clinic(tmp_path, cloud) as server:
        await phone(server, caller_lines(RECORDINGS), heard)
        call = await server.last_call()
        facts = await server.finished(call)
    story = call.story()
    assert not departures(call.events), story
    assert not call.of("ProviderSwitched") and not call.of("ProviderFailed"), story
    usage = facts["usage"]
    assert set(usage["recognisers"]) == set(usage["models"]) == {"groq"}, usage
    assert set(usage["voices"]) == {"elevenlabs"}, usage
    answers = [event for event in call.of("AgentStartedSpeaking") if event["response_delay_ms"] is not None]
    assert len(answers) >= 4 and all(event["response_delay_ms"] < 1000 * UNUSUAL_S for event in answers), (
        story
    )
    assert max(silences_s(heard)) < UNUSUAL_S, story


async def test_recogniser_model_and_voice_die_in_mid_call_one_after_the_other_and_the_call_goes_on(
    tmp_path: Path,
) -> None:
    """Each is killed at the worst moment: the recogniser while the caller speaks, the model before it has answered, the
    voice in the middle of a sentence. Nobody hangs up, every turn is answered, and each costs less than 2 s."""
    heard = tmp_path / "heard.wav"
    words = [
        "i would like to make an appointment",
        "on friday",
        "what are your opening hours",
        "i have a question about my bill",
        "that is all goodbye",
    ]
    async with running_cloud(ms_per_char=HASTY_MS) as cloud, running_clinic(tmp_path, cloud) as server:
        killing = _Killing(cloud, server)
        await phone(server, [says(one) for one in words], heard, on_line=killing.begins)
        await killing.done()
        call = await server.last_call()
        facts = await server.finished(call)
    story = call.story()
    assert call.of("CallEnded")[-1]["reason"] == "agent_hung_up", story
    assert [event["text"].lower() for event in call.of("UserTurnCommitted")] == words, story
    assert [event["agent"] for event in call.of("AgentEntered")] == ["reception", "billing"], story
    switched = [(event["kind"], event["old"], event["new"]) for event in call.of("ProviderSwitched")]
    stand_ins = [
        ("stt", "groq", "pocketsphinx"),
        ("llm", "groq", "scripted"),
        ("tts", "elevenlabs", "espeak"),
    ]
    assert switched[:3] == stand_ins and set(switched) == set(stand_ins), story
    assert not call.of("ProviderFailed"), "nobody had to apologise"
    gaps = silences_s(heard)
    assert len(gaps) == len(words) and max(gaps) < SWITCHING_S + USUAL_S, f"{gaps}\n{story}"
    assert longest_pause_s(heard) < SWITCHING_S + PAUSES_S, story
    assert set(facts["usage"]["voices"]) == {"elevenlabs", "espeak"}, story


class _Killing:
    """Kills one server in each of three turns of the caller."""

    def __init__(self, cloud: Cloud, server: Server) -> None:
        self._cloud, self._server = cloud, server
        self._lines = 0
        self._tasks: list[asyncio.Task[None]] = []

    def begins(self, _: Line) -> None:
        """The caller begins to say the next line."""
        self._lines += 1
        kill = {1: self._cloud.stt.kill, 2: self._cloud.llm.kill, 3: self._voice}.get(self._lines)
        if kill is not None:
            self._tasks.append(asyncio.create_task(kill()))

    async def _voice(self) -> None:
        """Once it answers the third line: 0.3 s into its first sentence."""
        call = await self._server.last_call()
        answers = len(call.of("AgentStartedSpeaking"))
        await self._server.until(lambda: len(call.of("AgentStartedSpeaking")) > answers, "an answer", 20)
        await asyncio.sleep(0.3)
        await self._cloud.tts.kill()

    async def done(self) -> None:
        """All three are dead. Raises what went wrong with that."""
        await asyncio.gather(*self._tasks)
