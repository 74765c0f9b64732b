"""The providers of a replayed call: from the recording's tape, or real ones given the time they took then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from offhook.replay.options import ReplayOptions
from offhook.replay.recording import Recording
from pipeline.events import Event
from pipeline.ports import Llm, Stt, Tts
from pipeline.providers.cassette.deck import Deck
from pipeline.providers.delayed import DelayedLlm, DelayedStt, DelayedTts


class ReplayDeck(Deck):
    """One call's."""

    def __init__(
        self,
        recording: Recording,
        options: ReplayOptions,
        folder: Path,
        latencies_s: Mapping[str, float],
        emit: Callable[[Event], None],
        position: Callable[[], int],
    ) -> None:
        self._delays_s = {
            kind: latencies_s.get(kind, 0.0) + options.delays_s.get(kind, 0.0)
            for kind in ("stt", "llm", "tts")
        }

    def stt(self, identity: str, make: Callable[[], Stt]) -> Stt:
        stt, delay_s = make(), self._delays_s["stt"]
        return DelayedStt(stt, delay_s) if delay_s else stt

    def llm(self, identity: str, make: Callable[[], Llm]) -> Llm:
        llm, delay_s = make(), self._delays_s["llm"]
        return DelayedLlm(llm, delay_s) if delay_s else llm

    def tts(self, identity: str, make: Callable[[], Tts]) -> Tts:
        tts, delay_s = make(), self._delays_s["tts"]
        return DelayedTts(tts, delay_s) if delay_s else tts

    def report(self) -> dict[str, Any]:
        """For call.json."""
        return {}
