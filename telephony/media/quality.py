"""How good a call was, as one number: the E-model (ITU-T G.107) from loss, its bursts and delay.

Pure. Everything that a packet network does not tell (echo, noise, loudness) stands at G.107's default. A planner's
estimate, good for comparing calls with each other, not what a caller would say. Not the measurement (report.py,
losses.py) and not its transport to the peer (xr.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Any, Final, NamedTuple

from telephony.media.jitter import MOST_MS
from telephony.media.losses import LossSummary
from telephony.media.xr import VoipMetrics

BEST_R: Final = 93.2  # G.107: all parameters at their defaults
ENOUGH_PACKETS: Final = 50  # a second; of less nothing can be said


class CodecQuality(NamedTuple):
    """G.113 appendix I. impairment: Ie, without loss. robustness: Bpl, the higher the less a loss harms."""

    impairment: float
    robustness: float


# G.113 appendix I for G.711 in packets of 10 ms, lost at random, with the concealment of G.711 appendix I (without any,
# Bpl is 4.3). Our packets have 20 ms and our concealment is another, so this is the nearest row, not ours.
G711_CONCEALED: Final = CodecQuality(0.0, 25.1)
# G.722 at 64 kbit/s is rated a little better than G.711, which this scale, that of narrowband, has no room for. For
# Opus, and for loss in either on this scale, G.113 has no row: that they do no worse than G.711 is our assumption.
OURS: Final = dict.fromkeys(("PCMU", "PCMA", "G722", "OPUS"), G711_CONCEALED)


class Rating(NamedTuple):
    """r: transmission rating, 0 to 93.2. mos: conversational quality, 1.0 to 4.41. mos_listening: without delay."""

    r: float
    mos: float
    mos_listening: float


def rate(codec: str, *, missing: float, burst_ratio: float, delay_ms: float) -> Rating:
    """Rate what is heard at one end.

    codec: SDP name. missing: share of packets, 0.0 to 1.0. burst_ratio: 1.0 at random. delay_ms: mouth to ear.
    Source: ITU-T G.107 §7.1; the narrowband scale also for wideband codecs."""
    quality = OURS.get(codec.upper(), G711_CONCEALED)
    heard = BEST_R - effective_impairment(quality, missing, burst_ratio)
    r = max(0.0, heard - delay_impairment(delay_ms))
    return Rating(round(r, 1), round(mos(r), 2), round(mos(max(0.0, heard)), 2))


def effective_impairment(quality: CodecQuality, missing: float, burst_ratio: float = 1.0) -> float:
    """Ie,eff of G.107 §7.5 (7-29). missing: 0.0 to 1.0."""
    ie, bpl = quality
    percent = 100 * missing
    return ie + (95 - ie) * percent / (percent / max(1.0, burst_ratio) + bpl)


def delay_impairment(delay_ms: float) -> float:
    """Idd of G.107 §7.4 (7-27): nothing up to 100 ms mouth to ear, then ever more."""
    if delay_ms <= 100:
        return 0.0
    x = log2(delay_ms / 100)
    return float(25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2))


def mos(r: float) -> float:
    """Mean opinion score of a rating (G.107 annex B), 1.0 to 4.5."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)  # the curve dips below 1 for r under 6.5


@dataclass(frozen=True, slots=True)
class HeardQuality:
    """What is known of how a caller sounds to us, and what follows from it.

    lost, late: packets, for the whole call. Delay is half the way there and back, the buffer and one packet: what
    the caller's own phone adds is not known here."""

    codec: str
    losses: LossSummary
    lost: int
    late: int
    packet_ms: int
    buffer_ms: float
    round_trip_ms: float  # 0.0 if the peer sends no reports

    @property
    def rating(self) -> Rating | None:
        """None while there were too few packets."""
        losses = self.losses
        if losses.packets < ENOUGH_PACKETS:
            return None
        delay_ms = self.round_trip_ms / 2 + self.buffer_ms + self.packet_ms
        return rate(self.codec, missing=losses.missing, burst_ratio=losses.burst_ratio, delay_ms=delay_ms)

    def facts(self) -> dict[str, Any]:
        """The part of a MediaReport that is about quality."""
        losses, rating = self.losses, self.rating
        return {
            "r_factor": None if rating is None else rating.r,
            "mos": None if rating is None else rating.mos,
            "mos_listening": None if rating is None else rating.mos_listening,
            "missing": round(losses.missing, 4),
            "burst_ratio": round(losses.burst_ratio, 2),
            "burst_density": round(losses.burst_density, 4),
            "gap_density": round(losses.gap_density, 4),
            "burst_ms": round(losses.burst_packets * self.packet_ms),
            "gap_ms": round(losses.gap_packets * self.packet_ms),
        }

    def metrics(self, ssrc: int) -> VoipMetrics | None:
        """The same for the peer, about the stream `ssrc` that we hear; None while there is nothing to say."""
        rating, losses = self.rating, self.losses
        if rating is None:
            return None
        return VoipMetrics(
            ssrc,
            missing=self.lost / losses.packets,
            discarded=self.late / losses.packets,
            burst_density=losses.burst_density,
            gap_density=losses.gap_density,
            burst_ms=round(losses.burst_packets * self.packet_ms),
            gap_ms=round(losses.gap_packets * self.packet_ms),
            round_trip_ms=round(self.round_trip_ms),
            end_system_ms=round(self.buffer_ms) + self.packet_ms,
            r_factor=round(rating.r),
            mos_listening=rating.mos_listening,
            mos=rating.mos,
            buffer_ms=round(self.buffer_ms),
            buffer_most_ms=MOST_MS,
        )
