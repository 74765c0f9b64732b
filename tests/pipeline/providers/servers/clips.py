"""Ears that know a few recordings: which of them a sound is, and how much of it, by how its loudness runs.

For servers that must understand a caller who plays tests/recordings over a phone line. Not a recogniser: what it was
not given is taken for what it resembles most, or for nothing."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.02
FLOOR_DB = 30.0  # silence; quieter makes no difference
LOUD_DB = 50.0  # of int16: where speech begins and ends
SHIFT = 8  # frames that two beginnings may lie apart
STRANGE_DB = 9.0  # so far from every recording it is none of them; packets lost on the way make it 5 and more
WHOLE = 0.9  # of a recording's length, from which on all its words were said

Sound = NDArray[np.int16]
Levels = NDArray[np.float64]


class ClipEars:
    """recordings: words → its sound."""

    def __init__(self, recordings: Mapping[str, tuple[Sound, int]]) -> None:
        self._known = {
            words: _trimmed(_levels(sound, rate_hz)) for words, (sound, rate_hz) in recordings.items()
        }

    @classmethod
    def of_files(cls, recordings: Mapping[str, Path]) -> ClipEars:
        """recordings: words → WAV, mono, 16 bit."""
        return cls({words: _read(path) for words, path in recordings.items()})

    def heard(self, sound: Sound, rate_hz: int) -> str:
        """The words of the recording that this is, or as many of them as there was time for; "" if it is none."""
        levels = _trimmed(_levels(sound, rate_hz))
        if not len(levels):
            return ""
        distances = {words: _distance(levels, known) for words, known in self._known.items()}
        words = min(distances, key=distances.__getitem__)
        if distances[words] > STRANGE_DB:
            return ""
        share = len(levels) / len(self._known[words])
        said = words.split()
        return words if share >= WHOLE else " ".join(said[: max(1, int(len(said) * share))])


def _read(path: Path) -> tuple[Sound, int]:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2), path
        return np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()


def _levels(sound: Sound, rate_hz: int) -> Levels:
    """Loudness of each 20 ms, in dB over 1."""
    size = round(rate_hz * FRAME_S)
    frames = sound[: len(sound) // size * size].reshape(-1, size).astype(np.float64)
    levels: Levels = np.maximum(10 * np.log10((frames**2).mean(axis=1) + 1.0), FLOOR_DB)
    return levels


def _trimmed(levels: Levels) -> Levels:
    """Without the silence around it."""
    loud = np.flatnonzero(levels > LOUD_DB)
    return levels[loud[0] : loud[-1] + 1] if len(loud) else levels[:0]


def _distance(heard: Levels, known: Levels) -> float:
    """Mean difference in dB where they lie over each other best; what is beyond the recording's end counts full."""
    apart = []
    for shift in range(-SHIFT, SHIFT + 1):
        one, other = heard[max(0, shift) :], known[max(0, -shift) :]
        length = min(len(one), len(other))
        beyond = max(0, len(one) - len(other) - SHIFT)
        if length:
            difference = np.abs(one[:length] - other[:length]).sum() + beyond * FLOOR_DB
            apart.append(float(difference) / (length + beyond))
    return min(apart, default=float("inf"))
