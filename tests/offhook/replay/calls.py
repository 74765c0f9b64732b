"""Calls as bundles: a dentist's appointment by phone, whose agent can be made worse in one way at a time."""

from __future__ import annotations

import wave
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from offhook.bundle import Bundle
from pipeline.agent.agent import Agent
from pipeline.agent.tools import RunContext, function_tool
from pipeline.errors import ToolError
from pipeline.events import Event, dump
from pipeline.options import TurnHandling
from pipeline.providers.fake import FakeLlm
from pipeline.testing import Says, VirtualCall

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
RATE_HZ = 8000
HAPPY = (
    {"text": "Which day?"},
    {
        "text": "One moment.",
        "tools": [{"name": "book_appointment", "arguments": {"day": "friday", "hour": 9}}],
    },
    "Friday at nine it is.",
    {"text": "Billing can tell.", "tools": [{"name": "hand_over", "arguments": {"agent": "billing"}}]},
    "It is eighty dollars.",
)
CALLER = (
    Says("i need an appointment", at=4.0),
    Says("on friday", at=8.5),
    Says("please", at=9.65),
    Says("what does it cost", at=14.0),
    Says("how much", at=20.0),
)


class Dentist(Agent):
    """Books appointments; money is the other agent's."""

    def __init__(self, broken: bool = False) -> None:
        billing = Agent(name="billing", greeting="Billing speaking.")
        super().__init__(name="dentist", greeting="Dentist, hello.", handoffs={"billing": lambda: billing})
        self._broken = broken

    @function_tool
    async def book_appointment(self, context: RunContext, day: str, hour: int) -> str:
        """Book an appointment."""
        if self._broken:
            raise ToolError("the calendar is closed")
        return f"booked {day} at {hour}"


def dentist(
    script: Sequence[str | dict[str, Any]] = HAPPY,
    *,
    llm_s: float = 0.2,
    broken: bool = False,
    patience_ms: int = 700,
) -> list[Event]:
    """The events of one call. The caller, who pauses for half a second in "on friday, please", never changes."""
    call = VirtualCall(
        Dentist(broken),
        CALLER,
        llm=FakeLlm(script=script, delay_s=llm_s),
        options=TurnHandling(
            min_delay_ms=patience_ms, preemptive=False, preemptive_tts=False, filler_after_ms=0
        ),
    )
    return call.play(26.0).events


def write_call(
    root: Path,
    events: Sequence[Event | Mapping[str, Any]],
    name: str = "c1",
    *,
    facts: Mapping[str, Any] | None = None,
    audio: bool = False,
) -> Path:
    """A bundle as the switch would have written it. events: of a virtual call, or journal rows with `at` and `type`."""
    rows = [dump(event) if isinstance(event, Event) else dict(event) for event in events]
    given = {"caller": "+15550100", "called": "100", "agent": "dentist", **(facts or {})}
    bundle = Bundle.create(root, name, NOON, given)
    for row in rows:
        bundle.append(row, row["at"], NOON + timedelta(seconds=row["at"]))
    bundle.close(
        {"ended": "2026-03-04T12:01:00.000Z", "ended_by": "us", "cause": "agent_hung_up", **(facts or {})}
    )
    if audio:
        write_audio(bundle.audio_path, rows)
    return bundle.path


def write_audio(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Tones where the journal says that somebody spoke: the caller left, the agent right."""
    zero, end = rows[0]["at"], rows[-1]["at"]
    sides = np.zeros((int((end - zero) * RATE_HZ) + RATE_HZ, 2), np.int16)
    since: dict[int, float] = {}
    for row in rows:
        match row["type"]:
            case "CallerStartedSpeaking":
                since[0] = row["since"]
            case "CallerStoppedSpeaking":
                _tone(sides[:, 0], since.pop(0, row["until"]) - zero, row["until"] - zero, 220)
            case "AgentStartedSpeaking":
                since[1] = row["at"]
            case "AgentSpoke":
                _tone(sides[:, 1], since.pop(1, row["at"]) - zero, row["at"] - zero, 330)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(sides.tobytes())


def _tone(side: np.ndarray[Any, np.dtype[np.int16]], start_s: float, end_s: float, hz: int) -> None:
    """Louder and softer four times a second, as syllables are."""
    first, last = max(0, int(start_s * RATE_HZ)), int(end_s * RATE_HZ)
    time = np.arange(last - first) / RATE_HZ
    sound = 9000 * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)) * np.sin(2 * np.pi * hz * time)
    side[first:last] = sound[: len(side[first:last])].astype(np.int16)
