"""Putting recorded sound into a bundle: its file and its moments. Live calls have theirs written by telephony."""

from __future__ import annotations

import wave
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from offhook.errors import RecordingError
from offhook.replay.formats.material import Pcm


def write_audio(path: Path, channels: tuple[Pcm, Pcm], rate_hz: int) -> None:
    """A bundle's sound: caller left, agent right."""
    try:
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, rate_hz, 0, "NONE", ""))
            for start in range(0, len(channels[0]), rate_hz * 60):
                part = [channel[start : start + rate_hz * 60] for channel in channels]
                file.writeframes(np.stack(part, axis=1).astype("<i2").tobytes())
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {error.strerror}. Check the disk.") from error


def moment(value: object) -> datetime:
    """An ISO moment of a bundle; the beginning of 1970 for what is none."""
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
