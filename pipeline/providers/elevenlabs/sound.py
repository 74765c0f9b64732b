"""The sound that ElevenLabs sends: its output formats by rate, and what came as samples.

Pure. G.711 has a table of its own here, since a provider may not import the telephone's. Not a resampler: the vendor
speaks at the call's rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.ports import Frame

Encoding = Literal["pcm", "ulaw"]
PCM: Mapping[int, str] = {hz: f"pcm_{hz}" for hz in (8000, 16000, 22050, 24000, 44100)}
WIDEST_HZ = 24000  # for calls at a rate that is not spoken; 44100 is for dearer accounts only


def spoken_rate(rate_hz: int) -> int:
    """The rate the voice is asked for: the call's, or the nearest that is as good (the session then resamples)."""
    return (
        rate_hz if rate_hz in PCM else min((hz for hz in PCM if rate_hz < hz <= WIDEST_HZ), default=WIDEST_HZ)
    )


def output_format(rate_hz: int, encoding: Encoding) -> str:
    """Its name for the API. Raises ConfigError for mu-law at any rate but 8000 Hz."""
    if encoding == "ulaw":
        if rate_hz != 8000:
            raise ConfigError(f"tts elevenlabs: encoding ulaw is for 8000 Hz, not {rate_hz} Hz. Choose pcm.")
        return "ulaw_8000"
    return PCM[rate_hz]


class Samples:
    """Turns the bytes of one piece into samples; a sample that a message cuts in two waits for its other half."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding, self._half = encoding, b""

    def feed(self, payload: bytes) -> Frame:
        """payload: little-endian int16, or one mu-law byte a sample. Returns int16, any length."""
        if self._encoding == "ulaw":
            return _ULAW[np.frombuffer(payload, np.uint8)]
        payload = self._half + payload
        whole = len(payload) & ~1
        self._half = payload[whole:]
        return np.frombuffer(payload[:whole], "<i2").astype(np.int16)


def _ulaw_table() -> NDArray[np.int16]:
    """Every mu-law byte as a sample. Source: ITU-T G.711 table 2; bits are sent inverted (§3.2)."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 0x07)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


_ULAW = _ulaw_table()
