"""A call on a speech-to-speech model: the real session, SDK and wire, and the double of the vendor's server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.agent.agent import Agent
from pipeline.ports import Voice
from pipeline.providers.openai.realtime import OpenAiRealtime
from pipeline.realtime.parts import RealtimeParts
from tests.pipeline.providers.servers.openai_realtime import OpenAiRealtimeServer
from tests.pipeline.rig import Rig


def model_of(server: OpenAiRealtimeServer, **options: Any) -> OpenAiRealtime:
    return OpenAiRealtime(base_url=f"{server.url}/v1", **options)


def rig_on(
    server: OpenAiRealtimeServer,
    agent: Agent,
    speech: Sequence[tuple[float, float]] = (),
    *,
    model: OpenAiRealtime | None = None,
    colleagues: Sequence[Agent] = (),
    tts: dict[str, Any] | None = None,
    **how: Any,
) -> Rig:
    """Everybody of the call shares its connection."""
    parts = RealtimeParts(model or model_of(server), voice=agent.voice)
    for one in (agent, *colleagues):
        one.stt, one.llm, one.tts = parts.stt, parts.llm(one.voice), parts.tts(**(tts or {}))
    return Rig(agent, speech=speech, stt=parts.stt, llm=agent.llm, tts=agent.tts, **how)


VOICE = Voice("marin")
