"""A recording as a page can hold it: peaks for the eye, Opus for the ear.

Reads a bundle's stereo WAV in pieces, so that three hours cost no more memory than three minutes. Not the reader of
foreign recordings (replay/recording.py). Driven by data.py."""

from __future__ import annotations

import io
import wave
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

Pairs: TypeAlias = NDArray[np.int16]  # shape (samples, 2): caller, agent

MOST_PEAKS = 1800  # a little more than a screen is wide
LEAST_PEAK_S = 0.02
BIT_RATE = 20_000  # stereo speech on a phone's bandwidth; 130 kB a minute of a real call
PIECE_S = 10.0
OPUS_HZ = (8000, 12000, 16000, 24000, 48000)  # what Opus encodes as it is (RFC 6716 §2)
FLOOR_DB = -54.0  # the hiss of a line stays flat


class NoSound(Exception):
    """There is a recording, but it cannot be shown. The message says why."""


def peaks(path: Path) -> dict[str, Any]:
    """Loudness over time of both sides, for drawing. step_s: what one value stands for.

    caller, agent: base64 of one byte a value, 0 silence to 255 full scale, linear in dB. Raises NoSound."""
    with _opened(path) as file:
        samples, rate_hz = file.getnframes(), file.getframerate()
        size = max(ceil(samples / MOST_PEAKS), round(LEAST_PEAK_S * rate_hz), 1)
        found = [
            np.abs(piece.astype(np.int32)).max(axis=0)
            for whole in _pieces(file, size * max(1, round(PIECE_S * rate_hz / size)))
            for piece in np.split(whole, range(size, len(whole), size))
        ]
    loud = np.array(found or [[0, 0]], np.float64)
    level_db = 20 * np.log10(np.maximum(loud, 1) / 32768)
    drawn = np.clip((level_db - FLOOR_DB) / -FLOOR_DB * 255, 0, 255).astype(np.uint8)
    sides = {side: b64encode(drawn[:, at].tobytes()).decode() for at, side in enumerate(("caller", "agent"))}
    return {"step_s": size / rate_hz, **sides}


def opus(path: Path) -> bytes:
    """The recording as Ogg Opus, caller left, agent right. Raises NoSound."""
    out = io.BytesIO()
    try:
        with _opened(path) as file, av.open(out, "w", format="ogg") as container:
            rate_hz = file.getframerate()
            if rate_hz not in OPUS_HZ:
                raise NoSound(f"{path}: Opus takes no {rate_hz} Hz. Resample it to 8000 or 16000 Hz.")
            stream = container.add_stream("libopus", rate=rate_hz)
            assert isinstance(stream, AudioStream)
            stream.bit_rate, stream.layout = BIT_RATE, "stereo"
            stream.options = {
                "application": "voip",
                "compression_level": "2",
            }  # a phone's sound gains nothing by more
            for pairs in _pieces(file, round(PIECE_S * rate_hz)):
                frame = av.AudioFrame.from_ndarray(pairs.reshape(1, -1), format="s16", layout="stereo")
                frame.sample_rate = rate_hz
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise NoSound(f"{path}: cannot be compressed: {error}. Is the file whole?") from error
    return out.getvalue()


@contextmanager
def _opened(path: Path) -> Iterator[wave.Wave_read]:
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (2, 2) or not file.getframerate():
                raise NoSound(f"{path}: is not stereo PCM of 16 bit. Only a bundle's own recording is shown.")
            yield file
    except (wave.Error, EOFError, OSError) as error:
        raise NoSound(f"{path}: cannot be read: {error}. Is the file whole?") from error


def _pieces(file: wave.Wave_read, size: int) -> Iterator[Pairs]:
    while raw := file.readframes(size):
        yield np.frombuffer(raw[: len(raw) // 4 * 4], "<i2").reshape(-1, 2)
