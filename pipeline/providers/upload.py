"""A turn's sound as a file that recognisers take: 16 kHz mono, WAV or FLAC.

16 kHz because that is what Whisper and its relatives hear, and all that some local servers take. In slices, so that the
loop is not held for more than 1 ms."""

from __future__ import annotations

import asyncio
import io
import wave
from typing import Literal

import av
import numpy as np

from pipeline.ports import Frame
from pipeline.speaking.resample import Resampler

UPLOAD_HZ = 16000
SLICE_S = 1

Format = Literal["wav", "flac"]


async def as_file(pcm: bytes, rate_hz: int, kind: Format) -> tuple[str, bytes, str]:
    """The sound as the SDKs take a file: name, content, media type. pcm: int16 mono. FLAC is half as long, and costs
    some 2 ms a second of sound."""
    sound: Frame = np.frombuffer(pcm, np.int16)
    resampler, parts = Resampler(rate_hz, UPLOAD_HZ), []
    for start in range(0, len(sound), rate_hz * SLICE_S):
        parts.append(resampler.feed(sound[start : start + rate_hz * SLICE_S]))
        await asyncio.sleep(0)
    parts.append(resampler.finish())
    if kind == "flac":
        return "turn.flac", await _flac(parts), "audio/flac"
    return "turn.wav", _wav(parts), "audio/wav"


def _wav(parts: list[Frame]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(UPLOAD_HZ)
        out.writeframes(b"".join(part.tobytes() for part in parts))
    return file.getvalue()


async def _flac(parts: list[Frame]) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=UPLOAD_HZ)
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16"
        for part in parts:
            if len(part):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part).reshape(1, -1), "s16", "mono")
                frame.sample_rate = UPLOAD_HZ
                container.mux(stream.encode(frame))
                await asyncio.sleep(0)
        container.mux(stream.encode(None))
    return file.getvalue()
