"""The recogniser, the model and the voice of a call, made of one speech-to-speech model."""

from __future__ import annotations

from pipeline.ports import Tts, Voice
from pipeline.realtime.call import RealtimeCall
from pipeline.realtime.ears import RealtimeStt
from pipeline.realtime.mind import RealtimeLlm
from pipeline.realtime.model import RealtimeModel
from pipeline.realtime.mouth import RealtimeTts


class RealtimeParts:
    """One call's. law: ulaw or alaw, which G.711 it speaks. The agents of a call share its connection and its `stt`;
    `llm` and `tts` are made for each."""

    def __init__(
        self, model: RealtimeModel, *, rate_hz: int = 8000, law: str = "ulaw", voice: Voice | None = None
    ) -> None:
        self._call = RealtimeCall(model, rate_hz=rate_hz, law=law, voice=voice)
        self.stt = RealtimeStt(self._call)

    def llm(self, voice: Voice) -> RealtimeLlm:
        """voice: the agent's."""
        return RealtimeLlm(self._call, voice)

    def tts(self, *, lines: Tts | None = None, standby: Tts | None = None) -> RealtimeTts:
        """lines: says fixed texts instead of the model. standby: says them when the model does not begin in time."""
        return RealtimeTts(self._call, lines=lines, standby=standby)
