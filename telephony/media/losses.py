"""In which pattern packets went missing: bursts and gaps (RFC 3611 §4.7.2), and how bursty (ITU-T G.107 §3.5).

Pure. A packet is missing if it never came or came too late to be played. Order on the wire does not matter: a number
is judged once it is 64 packets old. Not the totals (report.py). Driven by receiving.py, once a packet.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Final, NamedTuple

from telephony.media.jitter import DROPOUT, MISORDER

GMIN: Final = 16  # RFC 3611 §4.7.2: so many packets in a row end a burst
_DEPTH = 64
_MASK = (1 << _DEPTH) - 1


@dataclass(frozen=True, slots=True)
class LossSummary:
    """missing: share of all packets, 0.0 to 1.0. density: share missing within bursts and within gaps.

    burst_packets, gap_packets: mean lengths, 0.0 if there were none. burst_ratio: BurstR of G.107, 1.0 if packets
    are missing at random."""

    packets: int = 0
    missing: float = 0.0
    burst_density: float = 0.0
    gap_density: float = 0.0
    burst_packets: float = 0.0
    gap_packets: float = 0.0
    burst_ratio: float = 1.0


class LossCounts(NamedTuple):
    """What a pattern is summed up from; counts of two parts of a call add up.

    judged: packets. runs: of missing ones, however long. in_bursts: packets in them, missing or not."""

    judged: int = 0
    missing: int = 0
    runs: int = 0
    bursts: int = 0
    in_bursts: int = 0
    missing_in_bursts: int = 0

    def summary(self) -> LossSummary:
        packets, missing = self.judged, self.missing
        if not packets:
            return LossSummary()
        share = missing / packets
        in_gaps = packets - self.in_bursts
        random_run = 1 / (1 - share) if share < 1 else 1.0
        return LossSummary(
            packets=packets,
            missing=share,
            burst_density=self.missing_in_bursts / self.in_bursts if self.in_bursts else 0.0,
            gap_density=(missing - self.missing_in_bursts) / in_gaps if in_gaps else 0.0,
            burst_packets=self.in_bursts / self.bursts if self.bursts else 0.0,
            gap_packets=in_gaps / (self.bursts + 1),
            burst_ratio=max(1.0, missing / self.runs / random_run) if self.runs else 1.0,
        )


class LossPattern:
    """The packets of one call, whatever sources they came from."""

    def __init__(self) -> None:
        self._high = -1  # the newest sequence number, 16 bits; -1: none of this source yet
        self._came = 0  # bit n: number high - n came in time
        self._open = 0  # how many bits of it are this source's
        self._packets = self._missing = self._runs = 0
        self._good_run = GMIN  # since the last missing one; a call begins in a gap
        self._burst_length = self._burst_missing = (
            0  # from the first to the last missing one of what may be a burst
        )
        self._bursts = self._in_bursts = self._missing_in_bursts = 0

    def begin(self) -> None:
        """Another source: its numbers are unrelated to those before."""
        self._flush()
        self._high, self._came, self._open = -1, 0, 0

    def packet(self, sequence: int) -> None:
        """One packet of the present source, sound or not."""
        if self._high < 0:
            self._high, self._came, self._open = sequence, 1, 1
            return
        ahead = (sequence - self._high) & 0xFFFF
        if ahead == 1 and self._open == _DEPTH:  # nearly always
            self._judge(self._came >> (_DEPTH - 1))
            self._came = (self._came << 1 | 1) & _MASK
            self._high = sequence
        elif ahead < DROPOUT:
            for _ in range(ahead):
                if self._open == _DEPTH:
                    self._judge(self._came >> (_DEPTH - 1))
                else:
                    self._open += 1
                self._came = self._came << 1 & _MASK
            self._came |= 1
            self._high = sequence
        elif 0x10000 - ahead < MISORDER:
            self._mark(0x10000 - ahead, True)
        else:  # it started anew
            self.begin()
            self.packet(sequence)

    def discarded(self, sequence: int) -> None:
        """That packet was of no use: it came too late."""
        if self._high >= 0:
            self._mark((self._high - sequence) & 0xFFFF, False)

    def summary(self) -> LossSummary:
        """The call so far, the newest packets included."""
        return self.counts().summary()

    def counts(self) -> LossCounts:
        """The same before it is summed up."""
        whole = copy.copy(self)
        whole.begin()
        whole._close_burst()
        return LossCounts(
            whole._packets,
            whole._missing,
            whole._runs,
            whole._bursts,
            whole._in_bursts,
            whole._missing_in_bursts,
        )

    def _mark(self, back: int, came: bool) -> None:
        if back < self._open:
            self._came = self._came | 1 << back if came else self._came & ~(1 << back)

    def _flush(self) -> None:
        for back in range(self._open - 1, -1, -1):
            self._judge(self._came >> back & 1)
        self._open = 0

    def _judge(self, came: int) -> None:
        """The next packet in order."""
        self._packets += 1
        if came:
            self._good_run += 1
            return
        self._missing += 1
        if self._good_run:
            self._runs += 1
        if self._good_run >= GMIN:
            self._close_burst()
            self._burst_length = self._burst_missing = 1
        else:
            self._burst_length += self._good_run + 1
            self._burst_missing += 1
        self._good_run = 0

    def _close_burst(self) -> None:
        if self._burst_missing > 1:  # a single one belongs to the gap
            self._bursts += 1
            self._in_bursts += self._burst_length
            self._missing_in_bursts += self._burst_missing
        self._burst_length = self._burst_missing = 0
