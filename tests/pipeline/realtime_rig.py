"""A call on a speech-to-speech model: the real session, SDK and wire, and the double of the vendor's server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.agent.agent import Agent
from pipeline.ports import Frame
from pipeline.providers.openai.realtime import OpenAiRealtime
from pipeline.realtime.call import RealtimeCall
from pipeline.realtime.ears import RealtimeStt
from pipeline.realtime.mind import RealtimeLlm
from pipeline.realtime.mouth import RealtimeTts
from tests.pipeline.providers.servers.openai_realtime import OpenAiRealtimeServer
from tests.pipeline.rig import Rig


class RealtimeRig(Rig):
    """sent: what the caller's phone sent; got: what it was given, in frames."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.sent: list[Frame] = []
        self.got: list[Frame] = []

    def sends(self, frame: Frame, now: float) -> Frame:
        self.sent.append(frame.copy())
        return frame

    def gets(self, frame: Frame | None) -> None:
        if frame is not None:
            self.got.append(frame.copy())


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
    law: str = "ulaw",
    **how: Any,
) -> RealtimeRig:
    """Everybody of the call shares its connection."""
    ears = RealtimeStt(RealtimeCall(model or model_of(server), rate_hz=8000, voice=agent.voice, law=law))
    for one in (agent, *colleagues):
        one.stt, one.llm = ears, RealtimeLlm(ears.call, one.voice)
        one.tts = RealtimeTts(ears.call, **(tts or {}))
    return RealtimeRig(agent, speech=speech, stt=ears, llm=agent.llm, tts=agent.tts, **how)
