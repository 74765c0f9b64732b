"""Opus for speech: 16 kHz PCM inside the call on an RTP clock of 48 kHz, whatever the encoder chose (RFC 7587).

Pure. libopus does the work: about 100 µs to encode 20 ms, 30 µs to decode. Opened through codecs/. Not
forward error correction: a hole is filled by conceal.py as for every codec.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from av import AudioCodecContext

from telephony.errors import MediaError
from telephony.media.codecs import ffmpeg
from telephony.media.codecs.ffmpeg import Frame
from telephony.media.codecs.rate import Converter

PACKET_MS: Final = (10, 20, 40, 60)  # what one Opus packet can last, of the packet lengths we send
MOST_UNITS: Final = 5760  # RFC 6716 §3.2.5: a packet holds 120 ms at most
_DECODER_HZ: Final = 48000
_OPTIONS: Final = {"application": "voip", "b": "24000", "compression_level": "5"}
_SILK_UNITS: Final = (480, 960, 1920, 2880)  # RFC 6716 table 2: 10, 20, 40, 60 ms
_CELT_UNITS: Final = (120, 240, 480, 960)  # 2.5, 5, 10, 20 ms


class Opus:
    """opus/48000/2, a dynamic payload type. What is sent is mono; stereo that comes is mixed down."""

    name = "OPUS"
    rate_hz = 16000
    clock_hz = 48000
    stateless = False

    def __init__(self) -> None:
        self._encoder: AudioCodecContext | None = None
        self._decoder: AudioCodecContext | None = None
        self._down = Converter(_DECODER_HZ, self.rate_hz)

    def units(self, payload: bytes) -> int:
        """How long a packet lasts, by its first bytes (RFC 6716 §3.1). Raises MediaError if it is damaged."""
        if not payload:
            raise MediaError("Opus payload of 0 bytes: there is nothing to decode. Dropped.")
        config, frames = payload[0] >> 3, (1, 2, 2, 0)[payload[0] & 3]
        if not frames:
            frames = payload[1] & 0x3F if len(payload) > 1 else 0
        units = frames * (_SILK_UNITS[config & 3] if config < 12 else _short_units(config))
        if not 0 < units <= MOST_UNITS:
            raise MediaError(
                f"Opus payload of {len(payload)} bytes: {frames} frames (RFC 6716 §3.2). Dropped."
            )
        return units

    def decode(self, payload: bytes) -> Frame:
        """One packet to int16 PCM of exactly its length, 1 ms late. Raises MediaError if it is damaged."""
        if self._decoder is None:
            self._decoder = ffmpeg.decoder("libopus", _DECODER_HZ)
        pcm, units = ffmpeg.decode(self._decoder, payload), self.units(payload)
        if len(pcm) != units:
            pcm = np.concatenate((pcm, np.zeros(max(0, units - len(pcm)), np.int16)))[:units]
        return self._down.feed(pcm)

    def encode(self, pcm: Frame) -> bytes:
        """10, 20, 40 or 60 ms of int16 PCM to one packet. Raises MediaError for another length."""
        if self._encoder is None or self._encoder.frame_size != len(pcm):
            duration_ms = len(pcm) * 1000 // self.rate_hz
            if duration_ms not in PACKET_MS:
                raise MediaError(f"{duration_ms} ms of Opus: a packet lasts {PACKET_MS} ms. Agree on one.")
            options = {**_OPTIONS, "frame_duration": str(duration_ms)}
            self._encoder = ffmpeg.encoder("libopus", self.rate_hz, options)
        return ffmpeg.encode(self._encoder, pcm)


def _short_units(config: int) -> int:
    """Hybrid packets last 10 or 20 ms, CELT ones 2.5 to 20."""
    return (480, 960)[config & 1] if config < 16 else _CELT_UNITS[config & 3]
