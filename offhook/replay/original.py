"""What the recorded call tells beside its sound: how long providers took, what came of transfers, when it was.

Reads the journal of a bundle; of other recordings nothing is known and everything has a default."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from offhook.bundle import FACTS, Bundle, number
from offhook.errors import BundleError
from offhook.replay.recording import Recording
from pipeline.ports import TransferResult

STAGES = {"stt": "stt_ms", "llm": "llm_ms", "tts": "tts_ms"}


@dataclass(frozen=True, slots=True)
class Original:
    """latencies_s: kind → how long that provider took on the recorded call, the middle of all answers."""

    started: datetime | None = None
    latencies_s: dict[str, float] = field(default_factory=dict)
    transfers: tuple[TransferResult, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, recording: Recording) -> Original:
        """As far as it is known."""
        started = _moment(recording.facts.get("started"))
        if not (recording.source / FACTS).is_file():
            return cls(started)
        try:
            events = Bundle.open(recording.source).events
        except BundleError as error:
            return cls(started, notes=(str(error),))
        return cls(started, _latencies(events), tuple(_transfers(events)))


def _latencies(events: Iterable[dict[str, Any]]) -> dict[str, float]:
    answers = [
        event
        for event in events
        if event["type"] == "AgentStartedSpeaking" and number(event.get("response_delay_ms")) is not None
    ]
    if not answers:
        return {}
    middles = {
        kind: median(number(event.get(stage)) or 0.0 for event in answers) for kind, stage in STAGES.items()
    }
    return {kind: round(ms / 1000, 4) for kind, ms in middles.items() if ms > 0}


def _transfers(events: Iterable[dict[str, Any]]) -> Iterable[TransferResult]:
    for event in events:
        if event["type"] == "TransferFinished":
            code = int(number(event.get("code")) or 0)
            yield TransferResult(bool(event.get("ok")), code, str(event.get("reason", "")))


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
