"""What a call's media has counted so far, as plain numbers: another worker counts on from them.

Pure. Kept in shared memory once a second (vitals.py), so a worker that dies loses the counts of its last second, and
one that lets a call go none. Not the counting (receiving.py, jitter.py, losses.py) and not what is told at the end
(report.py), but the way from one to the other. Driven by stream.py, and by the switch for calls that no worker ends."""

from __future__ import annotations

from dataclasses import fields
from math import isnan, nan
from operator import add
from typing import Final, NamedTuple

from telephony.media.losses import LossCounts
from telephony.media.quality import HeardQuality
from telephony.media.report import MediaReport
from telephony.sdp.plan import MediaPlan


class Counts(NamedTuple):
    """All numbers of a call; what they mean says MediaReport. expected: packets that should have come. concealed:
    samples. delay_s: the buffer's delay at all ticks together, ticks: how many. From `jitter_ms` on it is the latest
    value that counts, NaN if there is none."""

    received: float = 0
    expected: float = 0
    late: float = 0
    stretched: float = 0
    duplicates: float = 0
    reordered: float = 0
    trimmed: float = 0
    concealed: float = 0
    left_out: float = 0
    malformed: float = 0
    unauthenticated: float = 0
    replayed: float = 0
    not_rtp: float = 0
    comfort_noise: float = 0
    unknown_type: float = 0
    empty: float = 0
    foreign: float = 0
    sources: float = 0
    moves: float = 0
    digits: float = 0
    tones: float = 0
    held: float = 0
    send_errors: float = 0
    receive_errors: float = 0
    skipped_ticks: float = 0
    delay_s: float = 0.0
    ticks: float = 0
    judged: float = 0
    missing: float = 0
    runs: float = 0
    bursts: float = 0
    in_bursts: float = 0
    missing_in_bursts: float = 0
    jitter_ms: float = nan
    packet_ms: float = nan
    round_trip_ms: float = nan
    remote_loss: float = nan
    remote_jitter_ms: float = nan
    remote_r_factor: float = nan
    remote_mos: float = nan

    def and_then(self, later: Counts) -> Counts:
        """Both one after the other."""
        added = map(add, self[:LATEST], later[:LATEST])
        latest = (old if isnan(new) else new for old, new in zip(self[LATEST:], later[LATEST:], strict=True))
        return Counts(*added, *latest)

    @property
    def delay_ms(self) -> float:
        """Mean of what the jitter buffer held, the frame being played included."""
        return 1000 * self.delay_s / self.ticks if self.ticks else 0.0

    def quality(self, codec: str) -> HeardQuality:
        """How the caller sounded to us."""
        first = Counts._fields.index("judged")
        losses = LossCounts(*map(int, self[first : first + len(LossCounts._fields)]))
        return HeardQuality(
            codec=codec,
            losses=losses.summary(),
            lost=int(max(0, self.expected - self.received)),
            late=int(self.late),
            packet_ms=0 if isnan(self.packet_ms) else int(self.packet_ms),
            buffer_ms=self.delay_ms,
            round_trip_ms=0.0 if isnan(self.round_trip_ms) else self.round_trip_ms,
        )

    def report(self, plan: MediaPlan, rate_hz: int, sent: int) -> MediaReport:
        """plan: what was agreed on last. rate_hz: of the PCM. sent: packets."""
        remote_r = _known(self.remote_r_factor)
        whole = {name: int(getattr(self, name)) for name in COUNTED}
        return MediaReport(
            codec=plan.codec,
            srtp=plan.srtp.suite if plan.srtp else "",
            sent=sent,
            lost=int(max(0, self.expected - self.received)),
            jitter_ms=round(self.jitter_ms, 2) if not isnan(self.jitter_ms) else 0.0,
            concealed_ms=int(self.concealed) * 1000 // rate_hz,
            left_out_ms=int(self.left_out) * 20,
            delay_ms=round(self.delay_ms, 1),
            round_trip_ms=_known(self.round_trip_ms, 1),
            remote_loss=_known(self.remote_loss),
            remote_jitter_ms=_known(self.remote_jitter_ms, 2),
            remote_r_factor=None if remote_r is None else int(remote_r),
            remote_mos=_known(self.remote_mos),
            **whole,
            **self.quality(plan.codec).facts(),
        )


def value(known: float | None) -> float:
    """NaN for None."""
    return nan if known is None else known


def _known(number: float, digits: int | None = None) -> float | None:
    if isnan(number):
        return None
    return number if digits is None else round(number, digits)


LATEST: Final = Counts._fields.index("jitter_ms")
COUNTED: Final = tuple(
    name
    for name in Counts._fields[:LATEST]
    if name in {field.name for field in fields(MediaReport)} and name != "missing"
)  # under the same name in the report
