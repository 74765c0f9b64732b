"""RTCP XR, the VoIP metrics block: how a call is for who receives it (RFC 3611 §4.7).

Pure. Bytes only: ratings are quality.py's, patterns losses.py's, the packet around it rtcp.py's. Other block types
are stepped over.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from telephony.media.packet import Buffer

XR: Final = 207
_VOIP = 7
_HEAD = Struct("!BBH")  # type, type specific, length in words less one
_METRICS = Struct("!I4B4H4B4BBBHHH")
_UNKNOWN = 127  # RFC 3611 §4.7.5
_GMIN = 16
_CONCEALS = 0xC0 | 0x30 | 0x05  # enhanced concealment, adaptive jitter buffer, its rate (§4.7.6)


class VoipMetrics(NamedTuple):
    """One block. Shares are 0.0 to 1.0, times in ms; None: the sender does not know.

    ssrc: of the stream that it is about. missing: lost on the way; discarded: came too late. mos_listening leaves
    delay out, mos does not."""

    ssrc: int
    missing: float = 0.0
    discarded: float = 0.0
    burst_density: float = 0.0
    gap_density: float = 0.0
    burst_ms: int = 0
    gap_ms: int = 0
    round_trip_ms: int = 0
    end_system_ms: int = 0
    r_factor: int | None = None
    mos_listening: float | None = None
    mos: float | None = None
    buffer_ms: int = 0
    buffer_most_ms: int = 0


def write(metrics: VoipMetrics) -> bytes:
    """One block, 36 bytes. What does not fit its field stands at the field's end."""
    body = _METRICS.pack(
        metrics.ssrc & 0xFFFFFFFF,
        *(
            _clamped(256 * share, 255)
            for share in (metrics.missing, metrics.discarded, metrics.burst_density, metrics.gap_density)
        ),
        *(
            _clamped(ms, 0xFFFF)
            for ms in (metrics.burst_ms, metrics.gap_ms, metrics.round_trip_ms, metrics.end_system_ms)
        ),
        *(_UNKNOWN, _UNKNOWN, _UNKNOWN, _GMIN),  # signal and noise level, echo return loss: not measured
        _UNKNOWN if metrics.r_factor is None else _clamped(metrics.r_factor, 100),
        _UNKNOWN,  # external R factor
        _tenths(metrics.mos_listening),
        _tenths(metrics.mos),
        _CONCEALS,
        0,
        _clamped(metrics.buffer_ms, 0xFFFF),
        _clamped(metrics.buffer_most_ms, 0xFFFF),
        _clamped(metrics.buffer_most_ms, 0xFFFF),
    )
    return _HEAD.pack(_VOIP, 0, len(body) // 4) + body


def read(buffer: Buffer, at: int, end: int) -> Iterator[VoipMetrics]:
    """The VoIP metrics among the blocks from `at` to `end`; a block that does not fit ends them."""
    while at + _HEAD.size <= end:
        kind, _, words = _HEAD.unpack_from(buffer, at)
        body = at + _HEAD.size
        at = body + 4 * words
        if at > end:
            return
        if kind == _VOIP and 4 * words >= _METRICS.size:
            yield _metrics(_METRICS.unpack_from(buffer, body))


def _metrics(values: tuple[int, ...]) -> VoipMetrics:
    ssrc, missing, discarded, burst, gap, burst_ms, gap_ms, round_trip_ms, end_system_ms = values[:9]
    r, _, listening, conversation, _, _, nominal, most, _ = values[13:]
    return VoipMetrics(
        ssrc,
        missing / 256,
        discarded / 256,
        burst / 256,
        gap / 256,
        burst_ms,
        gap_ms,
        round_trip_ms,
        end_system_ms,
        r_factor=r if r <= 100 else None,
        mos_listening=_score(listening),
        mos=_score(conversation),
        buffer_ms=nominal,
        buffer_most_ms=most,
    )


def _clamped(value: float, most: int) -> int:
    return max(0, min(most, int(value)))


def _tenths(score: float | None) -> int:
    return _UNKNOWN if score is None else max(10, min(50, round(score * 10)))


def _score(tenths: int) -> float | None:
    return tenths / 10 if 10 <= tenths <= 50 else None
