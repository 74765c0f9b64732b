"""How a call sounded: packets, loss, jitter and delay, as counters that cost nothing to keep.

Pure. Not RTCP on the wire (rtcp.py). `SourceStats` is driven by receiving.py, once a packet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from telephony.media.jitter import DROPOUT, MISORDER


@dataclass(frozen=True, slots=True)
class MediaReport:
    """One call's media so far; plain values only."""

    codec: str = ""  # what we sent last
    srtp: str = ""  # the suite it is encrypted with, "" for plain RTP
    sent: int = 0  # RTP packets
    received: int = 0  # RTP packets of the caller, whatever became of them
    lost: int = 0  # by sequence number (RFC 3550 A.3); duplicates count against it
    jitter_ms: float = 0.0  # interarrival jitter (RFC 3550 A.8), as fine as the tick
    late: int = 0  # dropped: their time was over
    stretched: int = 0  # late, and played all the same
    duplicates: int = 0
    reordered: int = 0
    concealed_ms: int = 0  # sound made up for what was missing
    left_out_ms: int = 0  # sound left out to lower the delay, mostly silence
    trimmed: int = 0  # dropped: more than 200 ms were waiting
    delay_ms: float = 0.0  # mean of what the jitter buffer holds, the frame being played included
    malformed: int = 0  # no RTP packet, or not decodable
    unauthenticated: int = 0  # SRTP: altered, forged, or not encrypted at all
    replayed: int = 0  # SRTP: here already; duplicates of the network among them
    not_rtp: int = 0  # STUN, DTLS and the like
    comfort_noise: int = 0
    unknown_type: int = 0  # payload types that were not agreed on
    empty: int = 0
    foreign: int = 0  # from a source that is not the caller
    sources: int = 0  # SSRCs heard one after the other
    moves: int = 0  # times the source address changed
    digits: int = 0
    tones: int = 0  # busy, fax and the like; the journal says which
    held: int = 0  # packets that came though the call was on hold
    send_errors: int = 0
    receive_errors: int = 0
    skipped_ticks: int = 0
    round_trip_ms: float | None = None  # by RTCP, None if the peer sends none
    remote_loss: float | None = None  # 0.0 to 1.0: what the peer lost of ours lately
    remote_jitter_ms: float | None = None
    r_factor: float | None = (
        None  # how the caller sounds to us: E-model (ITU-T G.107), None after too few packets
    )
    mos: float | None = None  # the same as a mean opinion score, 1.0 to 4.41, delay included
    mos_listening: float | None = None  # delay left out
    missing: float = 0.0  # 0.0 to 1.0: packets lost or too late
    burst_ratio: float = 1.0  # how much losses come together (G.107 BurstR); 1.0: at random
    burst_density: float = 0.0  # share missing within bursts (RFC 3611 §4.7.2)
    gap_density: float = 0.0  # and between them
    burst_ms: int = 0  # mean length of a burst
    gap_ms: int = 0
    remote_r_factor: int | None = None  # how we sound to the peer, if it says so by RTCP XR
    remote_mos: float | None = None

    def dump(self) -> dict[str, int | float | str | None]:
        """Plain values for records."""
        return asdict(self)


class SourceStats:
    """Sequence numbers and arrival times of what one call receives (RFC 3550 A.1, A.3, A.8).

    Sources may follow each other; `begin` closes one account and opens the next, totals go on."""

    __slots__ = (
        "_base",
        "_before_expected",
        "_before_received",
        "_interval_expected",
        "_interval_received",
        "_transit",
        "current",
        "highest",
        "jitter",
        "received",
    )

    def __init__(self) -> None:
        self.received = 0  # all sources together
        self.current = 0  # of the present source
        self.highest = 0  # extended highest sequence number: wraps in the upper 16 bits
        self.jitter = 0.0  # RTP clock units
        self._base = -1
        self._transit: int | None = None
        self._before_expected = self._before_received = 0
        self._interval_expected = self._interval_received = 0

    @property
    def expected(self) -> int:
        """Packets that all sources together must have sent."""
        return self._before_expected + self._expected_now

    @property
    def lost(self) -> int:
        return max(0, self.expected - self.received)

    @property
    def lost_now(self) -> int:
        """Lost of the present source; negative after duplicates, as RTCP wants it."""
        return self._expected_now - self.current

    @property
    def _expected_now(self) -> int:
        return self.highest - self._base + 1 if self._base >= 0 else 0

    def begin(self, sequence: int) -> None:
        """A source's first packet is about to be counted."""
        self._before_expected += self._expected_now
        self.current = self._interval_expected = self._interval_received = 0
        self._base = sequence
        self.highest = sequence - 1
        self._transit = None

    def go_on(self, highest: int) -> None:
        """Count on where another has counted. highest: extended; what is between it and the next packet is lost."""
        self._base, self.highest = highest + 1, highest

    def packet(self, sequence: int) -> None:
        """One packet of the present source."""
        ahead = ((sequence - self.highest + 0x8000) & 0xFFFF) - 0x8000
        if 0 < ahead < DROPOUT:
            self.highest += ahead
        elif not -MISORDER < ahead <= 0:
            self.begin(sequence)  # it started anew
            self.highest = sequence
        self.received += 1
        self.current += 1

    def arrival(self, timestamp: int, arrived: int) -> None:
        """When a packet of sound came. arrived: loop time in RTP clock units."""
        transit = arrived - timestamp
        if self._transit is not None:
            difference = abs(((transit - self._transit + 0x80000000) & 0xFFFFFFFF) - 0x80000000)
            if difference < 0x10000:  # else the timestamps broke off; that is no jitter
                self.jitter += (difference - self.jitter) / 16
        self._transit = transit

    def fraction_lost(self) -> int:
        """Loss since the last call of this method, in 256ths (RFC 3550 A.3)."""
        expected = self._expected_now - self._interval_expected
        received = self.current - self._interval_received
        self._interval_expected, self._interval_received = self._expected_now, self.current
        lost = expected - received
        return min(255, (lost << 8) // expected) if expected > 0 and lost > 0 else 0
