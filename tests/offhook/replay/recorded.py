"""Recorded calls for the tests of replay: the shipped clips on a line, and runs of them with the embedded providers."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from offhook.bundle import Bundle, Record, transcript
from offhook.replay.engine import replay
from offhook.replay.options import ReplayOptions
from offhook.replay.recording import Reading, read
from offhook.settings import Providers
from offhook.softphone import read_clip

ROOT = Path(__file__).parents[3]
CLIPS = ROOT / "tests" / "recordings"
DEMO = ROOT / "dialplans" / "demo.yaml"
EMBEDDED = Providers.model_validate({"stt": "pocketsphinx", "llm": "scripted", "tts": "espeak"})
RATE_HZ = 8000

# What a caller says to the demo's plan, and when: the agent's greeting takes 5.6 s.
STORY = (
    (6.5, "opening_hours"),
    (11.8, "bill"),
    (19.6, "invoice_number"),
    (29.0, "no_thank_you"),
    (36.4, "goodbye"),
)


def caller_wav(path: Path, said: Sequence[tuple[float, str]] = STORY, tail_s: float = 1.0) -> Path:
    """One channel: the caller alone. said: when each clip begins, s."""
    sound = np.zeros(0, np.int16)
    for at_s, name in said:
        clip = read_clip(CLIPS / f"{name}.wav")
        begins = round(at_s * RATE_HZ)
        grown = np.zeros(max(len(sound), begins + len(clip)), np.int16)
        grown[: len(sound)] = sound
        grown[begins : begins + len(clip)] += clip
        sound = grown
    return write_wav(path, np.concatenate([sound, np.zeros(round(tail_s * RATE_HZ), np.int16)]))


def write_wav(path: Path, sound: Any) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(sound.astype("<i2").tobytes())
    return path


def two_channels(path: Path, alone: Path, *, caller: str) -> Path:
    """A recording of both sides, of which the other one was silent. alone: of the caller. caller: left or right."""
    said = read_clip(alone)
    pair = np.zeros((len(said), 2), np.int16)
    pair[:, int(caller == "right")] = said
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pair.astype("<i2").tobytes())
    return path


def options(out: Path, **how: Any) -> ReplayOptions:
    """The demo's main line with the embedded providers."""
    alone = Reading(mono="caller")
    return ReplayOptions(
        **{"out": out, "plan": DEMO, "providers": EMBEDDED, "to": "100", "reading": alone, **how}
    )


def replayed(source: Path, out: Path, **how: Any) -> Record:
    """Replay one recording."""
    asked = options(out, **how)
    return Bundle.open(replay(read(source, asked.reading), asked))


def turns(record: Record) -> list[tuple[str, str, bool]]:
    """Who said what, and was cut off."""
    return [(line.speaker, line.text, line.interrupted) for line in transcript(record)]


def digest(record: Record) -> str:
    """Of everything that a bundle holds: journal, facts and sound."""
    files = [record.path / name for name in ("journal.jsonl", "call.json", "audio.wav")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def kinds(record: Record, kind: str) -> list[dict[str, Any]]:
    return [event for event in record.events if event["type"] == kind]
