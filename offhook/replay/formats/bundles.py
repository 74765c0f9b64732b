"""Offhook's own record of a call: its sound, and what its journal says of who spoke when.

The journal counts loop time, the recording counts samples from the first tick of its media. Both meet where the agent's
first word is heard in the one and told in the other. Written by switch and worker (offhook/bundle.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from offhook.bundle import FACTS, Record, number
from offhook.errors import BundleError, RecordingError
from offhook.replay.formats import wav
from offhook.replay.formats.material import KeyPress, Material, Pcm, Stretch, Utterance

AUDIBLE = 60  # of 32768: a voice's first sound
NEAR_S = 0.3  # from the answer to the first sample at most; else the sound is not what the journal means
_KEYS = frozenset("0123456789ABCD*#")


def is_bundle(path: Path) -> bool:
    return (path / FACTS).is_file()


def read(path: Path) -> Material:
    """The bundle in folder `path`. Raises RecordingError."""
    try:
        record = Record.read(path)
    except BundleError as error:
        raise RecordingError(str(error)) from error
    audio = record.audio_path
    if audio is None:
        raise RecordingError(
            f"{path}: has no audio.wav: the call was not recorded. Replay needs the caller's sound."
        )
    try:
        with audio.open("rb") as file:
            material = wav.read(file, str(audio))
    except OSError as error:
        raise RecordingError(
            f"{audio}: cannot be read: {error.strerror}. Check its owner and disk."
        ) from error
    except wav.OtherCodec as error:
        raise RecordingError(
            f"{audio}: {error}: a bundle's sound is PCM. It was replaced; restore it."
        ) from error
    if len(material.channels) != 2:
        raise RecordingError(f"{audio}: one channel; a bundle has two. It was replaced; restore it.")
    material.name, material.facts = record.id, facts_of(record.facts)
    material.notes += record.damage
    if not record.events:
        material.notes.append("no journal: who spoke when was found by listening")
        material.sides = ("caller", "agent")
        return material
    material.sides = ("caller", "agent")
    zero, note = beginning(record.events, material.channels[1], material.rate_hz)
    material.notes += [note] if note else []
    material.keys = [
        KeyPress(round(max(0.0, at - zero), 3), digit)
        for at, event in _ours(record.events, "KeyPressed")
        if (digit := str(event.get("digit"))) in _KEYS
    ]
    length_s = len(material.channels[0]) / material.rate_hz
    material.agent_speech = _within(agent_speech(record.events, zero), length_s)
    heard = (one for one in said(record.events, zero) if one.start_s < length_s)
    material.utterances = [replace(one, end_s=min(one.end_s, round(length_s, 3))) for one in heard]
    return material


def facts_of(facts: dict[str, Any]) -> dict[str, Any]:
    """call.json with what every Recording has: caller, called, headers, started, agent."""
    out = {"caller": "", "called": "", "started": "", "agent": "", **facts}
    headers = facts.get("headers")
    pairs = headers.items() if isinstance(headers, dict) else headers if isinstance(headers, list) else []
    out["headers"] = {
        str(pair[0]).lower(): str(pair[1])
        for pair in pairs
        if isinstance(pair, list | tuple) and len(pair) == 2
    }
    return out


def beginning(events: tuple[dict[str, Any], ...], agent: Pcm, rate_hz: int) -> tuple[float, str]:
    """The loop time of the recording's first sample, and what is to be said of it."""
    answered = next((at for at, _ in _ours(events, "CallAnswered")), None)
    guess = answered if answered is not None else float(events[0]["at"])
    spoke = next((at for at, _ in _ours(events, "AgentStartedSpeaking")), None)
    loud = np.flatnonzero(np.abs(agent[: 60 * rate_hz].astype(np.int32)) > AUDIBLE)
    if spoke is not None and len(loud):
        zero = spoke - float(loud[0]) / rate_hz
        if abs(zero - guess) <= NEAR_S:
            return zero, ""
    return guess, "journal and sound were matched by the time of answer only (±0.1 s)"


def said(events: tuple[dict[str, Any], ...], zero: float) -> Iterator[Utterance]:
    """What the caller said, turn by turn; also what nobody understood."""
    start: float | None = None
    end = text = None
    for event in events:
        at = number(event.get("at"))
        if at is None or event.get("line") == "consultation":
            continue
        match event["type"]:
            case "CallerStartedSpeaking" if start is None:
                start, end, text = number(event.get("since")) or at, None, None
            case "CallerStoppedSpeaking":
                end = number(event.get("until")) or at
            case "UserTurnCommitted" | "NothingHeard" if start is not None:
                if event.get("by", "voice") != "voice":
                    continue
                end = number(event.get("spoke_until")) or end or at
                text = str(event.get("text", "")) if event["type"] == "UserTurnCommitted" else ""
                yield _utterance(start - zero, end - zero, text)
                start = None
            case "AgentStartedSpeaking" if start is not None and end is not None:
                yield _utterance(start - zero, end - zero, "")  # what became of it is not in the journal
                start = None
    if start is not None:
        yield _utterance(start - zero, (end or float(events[-1]["at"])) - zero, "")


def agent_speech(events: tuple[dict[str, Any], ...], zero: float) -> list[Stretch]:
    """When the agent was heard by the caller."""
    found: list[Stretch] = []
    began: float | None = None
    for event in events:
        at = number(event.get("at"))
        if at is None or event.get("line") == "consultation":
            continue
        if event["type"] == "AgentStartedSpeaking":
            began = at if began is None else began
        elif event["type"] in ("AgentSpoke", "SessionClosed") and began is not None:
            found.append(Stretch(round(max(0.0, began - zero), 3), round(max(0.0, at - zero), 3)))
            began = None
    return found


def _utterance(start_s: float, end_s: float, text: str) -> Utterance:
    start_s = max(0.0, start_s)
    return Utterance(round(start_s, 3), round(max(start_s, end_s), 3), text)


def _within(parts: list[Stretch], length_s: float) -> list[Stretch]:
    return [Stretch(part.start_s, min(part.end_s, length_s)) for part in parts if part.start_s < length_s]


def _ours(events: tuple[dict[str, Any], ...], kind: str) -> Iterator[tuple[float, dict[str, Any]]]:
    """Events of one type on the caller's own line, with their times."""
    for event in events:
        at = number(event.get("at"))
        if event["type"] == kind and at is not None and event.get("line") != "consultation":
            yield at, event
