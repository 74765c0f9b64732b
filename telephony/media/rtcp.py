"""RTCP: our reports out, theirs in (RFC 3550 §6.4).

Pure. A sender report with one reception block, the CNAME and, once there is something to rate, an extended
report (xr.py) every five seconds; of theirs we read what they say of us and when they sent it. BYE is ignored: a
call ends by SIP. Not the counters (report.py). Driven by stream.py.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from telephony.errors import MediaError
from telephony.media.packet import Buffer
from telephony.media.report import SourceStats
from telephony.media.xr import XR, VoipMetrics, read, write

INTERVAL_S: Final = 5.0

_SENDER, _RECEIVER, _DESCRIPTION, _CNAME = 200, 201, 202, 1
_HEAD = Struct("!BBHI")  # flags and count, type, length in words less one, SSRC
_SENDER_INFO = Struct("!IIIII")
_BLOCK = Struct("!IIIIII")


class Block(NamedTuple):
    """What somebody reports about one source (RFC 3550 §6.4.1)."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_report: int
    delay: int


class Reports(NamedTuple):
    """One compound packet. sent_at: middle 32 bits of the sender report's NTP time, 0 if there was none."""

    ssrc: int
    sent_at: int
    blocks: tuple[Block, ...]
    voip: tuple[VoipMetrics, ...] = ()


def parse(buffer: Buffer, size: int) -> Reports:
    """Read a compound RTCP packet; types that say nothing of sound are stepped over.

    size: bytes valid. Raises MediaError if the lengths do not add up. Source: RFC 3550 §6.4, A.2."""
    at, source, sent_at = 0, 0, 0
    blocks: list[Block] = []
    voip: list[VoipMetrics] = []
    while at + _HEAD.size <= size:
        flags, kind, words, ssrc = _HEAD.unpack_from(buffer, at)
        end = at + 4 * (words + 1)
        if flags & 0xC0 != 0x80 or end > size:
            raise MediaError(f"RTCP packet of {size} bytes: broken at byte {at} (RFC 3550 A.2). Dropped.")
        body = at + _HEAD.size
        if kind == _SENDER and body + _SENDER_INFO.size <= end:
            seconds, fraction, *_ = _SENDER_INFO.unpack_from(buffer, body)
            sent_at = (seconds & 0xFFFF) << 16 | fraction >> 16
            body += _SENDER_INFO.size
        if kind in (_SENDER, _RECEIVER):
            source = ssrc
            blocks.extend(_blocks(buffer, body, end, flags & 0x1F))
        elif kind == XR:
            voip.extend(read(buffer, body, end))
        at = end
    if at == 0:
        raise MediaError(f"RTCP packet of {size} bytes: a header takes 8. Dropped.")
    return Reports(source, sent_at, tuple(blocks), tuple(voip))


def _blocks(buffer: Buffer, at: int, end: int, count: int) -> list[Block]:
    found: list[Block] = []
    while count and at + _BLOCK.size <= end:
        ssrc, loss, highest, jitter, last_report, delay = _BLOCK.unpack_from(buffer, at)
        lost = ((loss & 0xFFFFFF) ^ 0x800000) - 0x800000  # signed, 24 bits
        found.append(Block(ssrc, loss >> 24, lost, highest, jitter, last_report, delay))
        at += _BLOCK.size
        count -= 1
    return found


class Control:
    """The RTCP side of one call. Loop time stands in for wall time, as RFC 3550 §4 allows: only its
    differences are used, by whoever sends it back to us."""

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._due: float | None = None
        self.sent = 0  # reports, those of a worker before us included
        self._theirs = 0  # their last sender report,
        self._theirs_at = 0.0  # and when it came
        self.round_trip_s: float | None = None
        self.remote_loss: float | None = None
        self.remote_jitter_units: int | None = None
        self.remote_quality: VoipMetrics | None = None  # how they hear us, by their last extended report

    def due(self, now: float) -> bool:
        """Is it time for a report? The first is due half an interval into the call (RFC 3550 §6.2)."""
        if self._due is None:
            self._due = now + INTERVAL_S / 2
        if now < self._due:
            return False
        self._due += INTERVAL_S
        if self._due <= now:  # the clock stood still
            self._due = now + INTERVAL_S
        return True

    def receive(self, reports: Reports, now: float) -> None:
        if reports.sent_at:
            self._theirs, self._theirs_at = reports.sent_at, now
        for metrics in reports.voip:
            if metrics.ssrc == self._ssrc:
                self.remote_quality = metrics
        for block in reports.blocks:
            if block.ssrc != self._ssrc:
                continue
            self.remote_loss = block.fraction_lost / 256
            self.remote_jitter_units = block.jitter
            if block.last_report:
                trip = (_middle(now) - block.last_report - block.delay) & 0xFFFFFFFF
                if trip < 0x80000000:  # a negative one is their rounding
                    self.round_trip_s = trip / 65536

    def compose(
        self,
        now: float,
        timestamp: int,
        sent: int,
        sent_bytes: int,
        source: int | None,
        stats: SourceStats,
        quality: VoipMetrics | None = None,
    ) -> bytes:
        """Our report. timestamp: RTP time of now; source: the SSRC we hear, None if nobody was heard.
        quality: how we hear it, None if there is nothing to say."""
        block = b""
        if source is not None:
            loss = stats.fraction_lost() << 24 | max(-0x800000, min(0x7FFFFF, stats.lost_now)) & 0xFFFFFF
            since = int((now - self._theirs_at) * 65536) & 0xFFFFFFFF if self._theirs else 0
            highest, jitter = stats.highest & 0xFFFFFFFF, int(stats.jitter)
            block = _BLOCK.pack(source, loss, highest, jitter, self._theirs, since)
        if sent:
            seconds = int(now)
            info = _SENDER_INFO.pack(
                seconds & 0xFFFFFFFF,
                int((now - seconds) * 4294967296),
                timestamp & 0xFFFFFFFF,
                sent & 0xFFFFFFFF,
                sent_bytes & 0xFFFFFFFF,
            )
            report = self._packet(_SENDER, bool(block), info + block) + self._description()
        else:
            report = self._packet(_RECEIVER, bool(block), block) + self._description()
        return report if quality is None else report + self._packet(XR, 0, write(quality))

    def _packet(self, kind: int, count: int, body: bytes) -> bytes:
        return _HEAD.pack(0x80 | count, kind, 1 + len(body) // 4, self._ssrc) + body

    def _description(self) -> bytes:
        name = b"%08x@offhook" % self._ssrc  # short-lived, as RFC 7022 §4.2 asks
        item = bytes((_CNAME, len(name))) + name
        return self._packet(_DESCRIPTION, 1, item + bytes(4 - len(item) % 4))


def _middle(now: float) -> int:
    return int(now * 65536) & 0xFFFFFFFF
