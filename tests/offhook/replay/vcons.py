"""vCons and bundles for the tests, written by hand as the draft and the switch write them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.offhook.replay.makers import (
    AGENT_AGAIN_S,
    AGENT_AT_S,
    CALLER_AT_S,
    INTERRUPTS_AT_S,
    clip,
    stereo,
    wav_of,
)

STARTED = "2026-03-01T10:00:00.000Z"


def inline(data: bytes) -> dict[str, Any]:
    return {"body": base64.urlsafe_b64encode(data).rstrip(b"=").decode(), "encoding": "base64url"}


def vcon(data: bytes, **more: Any) -> dict[str, Any]:
    """One stereo recording: party 0 phoned and is on the left. more: of the dialog."""
    return {
        "vcon": "0.4.0",
        "uuid": "01928e10-193e-8231-b9a2-279e0d16bc46",
        "created_at": STARTED,
        "parties": [
            {"tel": "+4930123456", "name": "Jo Doe"},
            {"tel": "100", "role": "agent", "name": "reception"},
        ],
        "dialog": [
            {
                "type": "recording",
                "start": STARTED,
                "duration": 12.0,
                "parties": [0, 1],
                "mediatype": "audio/x-wav",
                **inline(data),
                **more,
            }
        ],
        "analysis": [],
        "attachments": [],
    }


def event(at_s: float, type: str, **fields: Any) -> dict[str, Any]:
    """A journal line; loop time runs 500 s ahead of the recording."""
    return {"at": 500.0 + at_s, "wall": f"2026-03-01T10:00:{at_s:06.3f}Z", "type": type, **fields}


def turn(start_s: float, end_s: float, text: str, **more: Any) -> list[dict[str, Any]]:
    """A turn of the caller: guesses on the way to it, and it."""
    words = text.split()
    guesses = [
        event(start_s + 0.1 * count, "CallerPartlyHeard", text=" ".join(words[:count]))
        for count in range(1, len(words))
    ]
    return [
        event(start_s + 0.1, "CallerStartedSpeaking", since=500.0 + start_s),
        *guesses,
        event(end_s + 0.2, "CallerStoppedSpeaking", until=500.0 + end_s),
        event(
            end_s + 0.4, "UserTurnCommitted", text=text, understood=True, spoke_until=500.0 + end_s, **more
        ),
    ]


def bundle(
    folder: Path,
    asked: str = "i need an appointment",
    said: str = "goodbye",
    answer: str = "For which day?",
    **facts: Any,
) -> Path:
    """The conversation of makers.sides as the switch and a worker record it."""
    path = folder / "2026-03-01" / "c0ffee"
    path.mkdir(parents=True)
    call = {
        "direction": "inbound", "caller": "+493012345678", "caller_name": "Jo Doe", "called": "100", "headers": [],
        "source": ["203.0.113.9", 5060], "agent": "reception", "id": "c0ffee", "started": STARTED, "code": 200,
        "ended": "2026-03-01T10:00:12.000Z", "duration_s": 12.0, **facts,
    }  # fmt: skip
    (path / "call.json").write_text(json.dumps(call))
    asked_until = CALLER_AT_S + len(clip("appointment")) / 8000
    said_until = INTERRUPTS_AT_S + len(clip("goodbye")) / 8000
    greeted = AGENT_AT_S + len(clip("opening_hours_kal")) / 8000
    answered = INTERRUPTS_AT_S + 0.2
    rows = [
        event(0.0, "CallArrived", caller=call["caller"], called="100"),
        event(0.0, "CallAnswered", setup_ms=20.0),
        event(AGENT_AT_S, "AgentStartedSpeaking", agent="reception"),
        event(
            greeted,
            "AgentSpoke",
            agent="reception",
            text="We are open.",
            heard_ms=2000,
            interrupted=False,
            planned="",
        ),
        *turn(CALLER_AT_S, asked_until, asked),
        event(AGENT_AGAIN_S, "AgentStartedSpeaking", agent="reception"),
        event(
            answered,
            "AgentSpoke",
            agent="reception",
            text=answer,
            heard_ms=1200,
            interrupted=True,
            planned=answer,
        ),
        *turn(INTERRUPTS_AT_S, said_until, said),
        *[event(10.0 + n / 10, "KeyPressed", digit=digit) for n, digit in enumerate(facts.get("keys", "1"))],
        event(
            11.0, "ToolCalled", id="t1", name="book", arguments=json.dumps({"phone": "0301234567", "day": 3})
        ),
        event(11.5, "DigitsSent", pii_digits="4711"),
        event(12.0, "SessionClosed", reason="caller_hung_up"),
    ]
    rows.sort(key=lambda row: row["at"])
    (path / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "audio.wav").write_bytes(wav_of("pcm16", stereo()))
    return path
