"""The demo call: what the caller says when, and how we know that the conversation went as it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offhook.softphone import Line, read_clip

NUMBER = "100"
INTERRUPT_AFTER_S = 3.0


@dataclass(frozen=True, slots=True)
class Clip:
    """One thing the caller says. expects: words the server must have understood."""

    file: str
    expects: str
    over_s: float | None = None


CLIPS = (
    Clip("opening_hours.wav", "what are your opening hours"),
    Clip("bill.wav", "i have a question about my bill", over_s=INTERRUPT_AFTER_S),
    Clip("invoice_number.wav", "four two seven one"),
    Clip("no_thank_you.wav", "no thank you"),
    Clip("goodbye.wav", "that is all goodbye"),
)


def caller_lines(clips_dir: Path) -> list[Line]:
    """The caller's part. Raises OffhookError if a clip cannot be read."""
    return [Line(clip.expects, read_clip(clips_dir / clip.file), over_s=clip.over_s) for clip in CLIPS]


def departures(events: Sequence[dict[str, Any]]) -> list[str]:
    """What did not go as the story says; empty if all did. events: the call's journal."""
    said = [str(event["text"]).lower() for event in _of(events, "UserTurnCommitted")]
    missing = [clip.expects for clip in CLIPS if clip.expects not in said]
    wrong = [f"the server did not understand {text!r}; it understood {said}" for text in missing]
    if not _of(events, "CallerInterrupted"):
        wrong.append("nobody was interrupted")
    elif not any(event["interrupted"] for event in _of(events, "AgentSpoke")):
        wrong.append("the interrupted answer is not marked as such")
    entered = [event["agent"] for event in _of(events, "AgentEntered")]
    if entered != ["reception", "billing"]:
        wrong.append(f"the agents were {entered}, not reception and then billing")
    if not any(event["name"] == "look_up_invoice" and event["ok"] for event in _of(events, "ToolFinished")):
        wrong.append("the invoice was not looked up")
    spoken = [event["text"] for event in _of(events, "AgentSpoke")]
    if not spoken or "goodbye" not in spoken[-1].lower():
        wrong.append(f"the last words were {spoken[-1:]}, not a goodbye")
    ends = _of(events, "CallEnded")
    if not ends or ends[-1]["reason"] != "agent_hung_up":
        wrong.append(
            f"the call ended by {ends[-1]['reason'] if ends else 'nothing'}, not by the agent hanging up"
        )
    return wrong


def _of(events: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event.get("type") == kind]
