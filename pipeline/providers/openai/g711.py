"""G.711 by table, for a server that speaks it: the bytes of the call are those that are sent.

Pure. A provider has tables of its own, since it may not import the telephone's. What was decoded from one law and
is coded in the same comes out as it was (mu-law's two zeros become one)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.ports import Frame

Law = Literal["ulaw", "alaw"]


def encode(pcm: Frame, law: Law) -> bytes:
    """pcm: int16 at 8000 Hz. One byte a sample. Called on the clock."""
    return _CODES[law][pcm.view(np.uint16)].tobytes()


def decode(payload: bytes, law: Law) -> Frame:
    """One byte a sample to int16."""
    return _SAMPLES[law][np.frombuffer(payload, np.uint8)]


def _ulaw() -> NDArray[np.int16]:
    """Every mu-law byte as a sample. Source: ITU-T G.711 table 2; bits are sent inverted (§3.2)."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 0x07)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw() -> NDArray[np.int16]:
    """Every A-law byte as a sample. Source: ITU-T G.711 table 1; even bits are sent inverted (§3.2)."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = (code >> 4) & 0x07, (code & 0x0F) << 4
    magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _codes(samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    """For every int16, as its bits, the code whose sample is nearest."""
    order = np.argsort(samples, kind="stable")
    levels = samples[order].astype(np.int32)
    values = np.arange(-32768, 32768, dtype=np.int32)
    right = np.clip(np.searchsorted(levels, values, side="right"), 1, 255)
    nearer = np.where(values - levels[right - 1] <= levels[right] - values, right - 1, right)
    codes = order[nearer].astype(np.uint8)
    return codes[np.argsort(values.astype(np.int16).view(np.uint16), kind="stable")]


_SAMPLES: Mapping[Law, NDArray[np.int16]] = {"ulaw": _ulaw(), "alaw": _alaw()}
_CODES: Mapping[Law, NDArray[np.uint8]] = {law: _codes(samples) for law, samples in _SAMPLES.items()}
