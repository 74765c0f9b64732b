"""A recorded call as replay takes it: both sides' sound, who spoke when, which keys were pressed.

Reads our own bundles and 16-bit PCM WAV files at 8000 or 16000 Hz. Where nobody noted who spoke when, levels.py
finds it by level. Not what is done with a recording: that is engine.py."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from offhook.bundle import FACTS, Bundle, Record, number
from offhook.errors import BundleError, RecordingError
from offhook.replay.levels import Sound, Span, spans

Follows: TypeAlias = Literal["agent", "silence", "start"]

RATES_HZ = (8000, 16000)
PAUSE_S = 0.7  # within one utterance


@dataclass(frozen=True, slots=True)
class Utterance:
    """The caller spoke; times in s from the beginning of the recording. text: "" if unknown.

    offset_s: after the end of the agent's speech that it followed (negative: said over it), or of the caller's own
    words before it (silence), or after the beginning of the recording (start).
    """

    start_s: float
    end_s: float
    text: str = ""
    follows: Follows = "start"
    offset_s: float = 0.0
    into_s: float | None = None  # of the agent's speech, where it was said over it


@dataclass(frozen=True, slots=True)
class KeyPress:
    """The caller pressed a key."""

    at_s: float
    digit: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One call. rate_hz: of both sides. agent: None if only the caller is known. facts: of the call, as call.json
    names them. notes: what was guessed or repaired."""

    name: str
    rate_hz: int
    caller: Sound
    agent: Sound | None
    utterances: tuple[Utterance, ...]
    keys: tuple[KeyPress, ...]
    facts: dict[str, Any]
    source: Path
    notes: tuple[str, ...] = field(default=())

    @property
    def duration_s(self) -> float:
        return len(self.caller) / self.rate_hz


def read(path: Path) -> Recording:
    """The recording in a file or a bundle's folder. Raises RecordingError."""
    if path.is_dir():
        return _bundle(path)
    if path.suffix.lower() == ".wav":
        caller, agent, rate_hz = _wav(path)
        notes = () if agent is not None else ("one channel: taken for the caller alone",)
        return Recording(
            path.stem, rate_hz, caller, agent, _heard(caller, agent, rate_hz), (), {}, path, notes
        )
    raise RecordingError(f"{path}: neither a call's folder nor a WAV file. Give one of these.")


def read_all(path: Path) -> tuple[Recording, ...]:
    """Every call in a file or folder: here always one. Raises RecordingError."""
    return (read(path),)


def find(paths: Iterable[Path]) -> list[Path]:
    """Every recording in these files and folders, sorted by path. Raises RecordingError for what is not there."""
    found: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise RecordingError(f"{path}: there is no such file or folder.")
        if path.is_file() or (path / FACTS).is_file():
            found.add(path)
            continue
        calls = {facts.parent for facts in path.rglob(FACTS)}
        sounds = {file for file in path.rglob("*") if file.is_file() and file.suffix.lower() == ".wav"}
        found |= calls | {file for file in sounds if file.parent not in calls}
    return sorted(found)


# ---------------------------------------------------------------- formats


def _bundle(path: Path) -> Recording:
    try:
        record = Bundle.open(path)
    except BundleError as error:
        raise RecordingError(str(error)) from error
    if record.audio_path is None:
        raise RecordingError(f"{path}: the call was not recorded. Turn `recording` on in its dial plan.")
    caller, agent, rate_hz = _wav(record.audio_path)
    keys, notes = _keys(record)
    spoken = tuple(_texts(_heard(caller, agent, rate_hz), record))
    recording = Recording(path.name, rate_hz, caller, agent, spoken, keys, dict(record.facts), path)
    return replace(recording, notes=(*record.damage, *notes))


def began(record: Record) -> float:
    """Loop time in s at which a bundle's sound begins: when the call was answered."""
    for event in record.events:
        if event["type"] == "CallAnswered":
            return float(event["at"])
    return float(record.events[0]["at"]) if record.events else 0.0


def _keys(record: Record) -> tuple[tuple[KeyPress, ...], tuple[str, ...]]:
    since = began(record)
    pressed = [event for event in record.events if event["type"] == "KeyPressed"]
    known = [event for event in pressed if str(event.get("digit")) in "0123456789*#ABCD"]
    lost = len(pressed) - len(known)
    notes = (f"{lost} secret keys are not in the record and are not pressed",) if lost else ()
    return tuple(KeyPress(round(float(e["at"]) - since, 3), str(e["digit"])) for e in known), notes


def _texts(utterances: Iterable[Utterance], record: Record) -> Iterable[Utterance]:
    """Give each utterance the words of the turn that ended with or soon after it."""
    since = began(record)
    turns = [
        ((number(event.get("spoke_until")) or float(event["at"])) - since, str(event.get("text", "")))
        for event in record.events
        if event["type"] == "UserTurnCommitted" and event.get("by", "voice") == "voice"
    ]
    for utterance in utterances:
        near = [text for until, text in turns if abs(until - utterance.end_s) <= PAUSE_S]
        yield replace(utterance, text=near[0] if near else "")


def _heard(caller: Sound, agent: Sound | None, rate_hz: int) -> tuple[Utterance, ...]:
    """Who spoke when, by level."""
    theirs = spans(agent, rate_hz) if agent is not None else []
    found: list[Utterance] = []
    for span in spans(caller, rate_hz, PAUSE_S):
        found.append(_placed(span, theirs, found[-1].end_s if found else None))
    return tuple(found)


def _placed(span: Span, theirs: list[Span], before_s: float | None) -> Utterance:
    """What it followed. before_s: the end of the caller's words before it."""
    start_s = span.start_s
    over = [one for one in theirs if one.start_s <= start_s < one.end_s]
    past = [
        one.end_s for one in theirs if one.end_s <= start_s and (before_s is None or one.end_s > before_s)
    ]
    if over:
        return Utterance(start_s, span.end_s, "", "agent", round(start_s - over[-1].end_s, 3))
    if past:
        return Utterance(start_s, span.end_s, "", "agent", round(start_s - past[-1], 3))
    if before_s is None:
        return Utterance(start_s, span.end_s, "", "start", start_s)
    return Utterance(start_s, span.end_s, "", "silence", round(start_s - before_s, 3))


def _wav(path: Path) -> tuple[Sound, Sound | None, int]:
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate_hz = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise RecordingError(f"{path}: cannot be read as WAV ({error}). Is the file whole?") from error
    if width != 2 or channels not in (1, 2) or rate_hz not in RATES_HZ:
        fact = f"{channels} channels of {8 * width} bits at {rate_hz} Hz"
        raise RecordingError(f"{path}: {fact}. Give one or two of 16 bits at 8000 or 16000 Hz.")
    whole = data[: len(data) // (2 * channels) * (2 * channels)]
    sound = np.frombuffer(whole, "<i2").astype(np.int16, copy=False).reshape(-1, channels)
    if not len(sound):
        raise RecordingError(f"{path}: holds no sound. There is nothing to replay.")
    agent = np.ascontiguousarray(sound[:, 1]) if channels == 2 else None
    return np.ascontiguousarray(sound[:, 0]), agent, rate_hz
