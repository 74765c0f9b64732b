"""G.711 mu-law and A-law by table lookup: the codec of the telephone network.

Pure; the tables are built from the segment definition when this module is imported. Opened through codecs/.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError

Frame: TypeAlias = NDArray[np.int16]


def decode_ulaw(payload: bytes) -> Frame:
    """Expand one G.711 mu-law payload to linear PCM.

    payload: one byte per sample, 8000 Hz mono; 160 bytes is 20 ms.
    Returns int16, shape (len(payload),), peak 32124. Raises MediaError if empty.
    Source: ITU-T G.711 table 2; RFC 3551 §4.5.14."""
    return _expand(_FROM_ULAW, payload)


def decode_alaw(payload: bytes) -> Frame:
    """Expand one G.711 A-law payload to linear PCM.

    As decode_ulaw, peak 32256. Source: ITU-T G.711 table 1; RFC 3551 §4.5.14."""
    return _expand(_FROM_ALAW, payload)


def encode_ulaw(pcm: Frame) -> bytes:
    """Compress int16 PCM to mu-law, one byte per sample. Source: ITU-T G.711 table 2."""
    return _TO_ULAW.take(pcm.view(np.uint16)).tobytes()


def encode_alaw(pcm: Frame) -> bytes:
    """Compress int16 PCM to A-law, one byte per sample. Source: ITU-T G.711 table 1."""
    return _TO_ALAW.take(pcm.view(np.uint16)).tobytes()


class Pcmu:
    """PCMU, payload type 0 (RFC 3551 §6)."""

    name = "PCMU"
    rate_hz = 8000
    clock_hz = 8000
    stateless = True
    decode = staticmethod(decode_ulaw)
    encode = staticmethod(encode_ulaw)
    units = staticmethod(len)


class Pcma:
    """PCMA, payload type 8 (RFC 3551 §6)."""

    name = "PCMA"
    rate_hz = 8000
    clock_hz = 8000
    stateless = True
    decode = staticmethod(decode_alaw)
    encode = staticmethod(encode_alaw)
    units = staticmethod(len)


def _expand(table: Frame, payload: bytes) -> Frame:
    if not payload:
        raise MediaError("G.711 payload of 0 bytes: there is nothing to decode. Dropped.")
    return table.take(np.frombuffer(payload, np.uint8))


def _ulaw_expansion() -> Frame:
    """G.711 table 2: sent inverted; 8 segments that double, a bias of 33 on the 14-bit scale."""
    code = ~np.arange(256, dtype=np.uint8)
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = ((2 * step + 33 << segment) - 33) << 2  # 14 bits to 16
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_expansion() -> Frame:
    """G.711 table 1: even bits sent inverted; segments 0 and 1 share a step, the others double."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = np.where(segment > 0, 2 * step + 33 << np.maximum(segment - 1, 0), 2 * step + 1)
    return np.where(code & 0x80, magnitude << 3, -(magnitude << 3)).astype(np.int16)  # 13 bits to 16


def _ulaw_compression() -> NDArray[np.uint8]:
    """Every int16, indexed by its bits as uint16, to its mu-law code."""
    pcm = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum((_magnitude(pcm) >> 2) + 33, 8191)  # 14 bits; clipped at the last decision value
    segment = _highest_bit(biased) - 5
    code = segment << 4 | (biased >> segment + 1) & 15
    codes: NDArray[np.uint8] = (~(code | np.where(pcm < 0, 0x80, 0)) & 0xFF).astype(np.uint8)
    return codes


def _alaw_compression() -> NDArray[np.uint8]:
    """Every int16, indexed by its bits as uint16, to its A-law code."""
    pcm = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = _magnitude(pcm) >> 3  # 13 bits with the sign
    high = _highest_bit(np.maximum(magnitude, 1))
    segment = np.maximum(high - 4, 0)
    code = segment << 4 | (magnitude >> np.maximum(segment, 1)) & 15
    return ((code | np.where(pcm < 0, 0, 0x80)) ^ 0x55).astype(np.uint8)


def _magnitude(pcm: NDArray[np.int32]) -> NDArray[np.int32]:
    """One's complement, as in the ITU's own software (G.191): on a decision value both signs go inwards."""
    return np.where(pcm < 0, ~pcm, pcm)


def _highest_bit(values: NDArray[np.int32]) -> NDArray[np.int32]:
    high: NDArray[np.int32] = np.floor(np.log2(values)).astype(np.int32)
    return high


_FROM_ULAW = _ulaw_expansion()
_FROM_ALAW = _alaw_expansion()
_TO_ULAW = _ulaw_compression()
_TO_ALAW = _alaw_compression()
