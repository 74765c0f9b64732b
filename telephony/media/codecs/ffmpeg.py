"""The codecs that FFmpeg brings, one packet at a time: what PyAV needs to be told, in one place.

Pure: no files, no containers. Not the meaning of a payload (g722.py, opus.py, which drive it).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from av import AudioCodecContext, AudioFrame, CodecContext, Packet
from av.error import FFmpegError
from numpy.typing import NDArray

from telephony.errors import MediaError

Frame: TypeAlias = NDArray[np.int16]


def encoder(name: str, rate_hz: int, options: dict[str, str]) -> AudioCodecContext:
    """A mono int16 encoder. options: FFmpeg's own, as text."""
    codec = CodecContext.create(name, "w")
    assert isinstance(codec, AudioCodecContext)
    codec.format, codec.layout, codec.sample_rate = "s16", "mono", rate_hz
    codec.options = options
    codec.open()
    return codec


def decoder(name: str, rate_hz: int) -> AudioCodecContext:
    """A mono decoder. rate_hz: what it gives."""
    codec = CodecContext.create(name, "r")
    assert isinstance(codec, AudioCodecContext)
    codec.layout, codec.sample_rate = "mono", rate_hz
    codec.open()
    return codec


def encode(codec: AudioCodecContext, pcm: Frame) -> bytes:
    """One packet's PCM to its payload. Raises MediaError if the codec refuses it."""
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = codec.sample_rate
    try:
        return b"".join(bytes(packet) for packet in codec.encode(frame))
    except FFmpegError as error:
        raise MediaError(f"{codec.name} cannot encode {len(pcm)} samples: {error.strerror}.") from error


def decode(codec: AudioCodecContext, payload: bytes) -> Frame:
    """One payload to PCM. Raises MediaError if it is empty or damaged."""
    if not payload:
        raise MediaError(f"{codec.name} payload of 0 bytes: there is nothing to decode. Dropped.")
    try:
        parts: list[Frame] = [frame.to_ndarray()[0] for frame in codec.decode(Packet(payload))]
    except FFmpegError as error:
        raise MediaError(
            f"{codec.name} payload of {len(payload)} bytes: {error.strerror}. Dropped."
        ) from error
    if not parts:
        raise MediaError(f"{codec.name} payload of {len(payload)} bytes: no sound in it. Dropped.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
