"""A bad line: RTP packets with times in, the packets that come out at the other end and when.

Pure and seeded, so that a line that hurt once hurts the same way again. It loses (at random and in bursts), delays,
reorders, duplicates, lets the sender's clock run wrong, and lets the sender start anew with another SSRC. Not a
socket: tests/live/bad_line.py puts it between two of them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass

Timed = tuple[float, bytes]  # when, s; the packet

_NUMBERS = struct.Struct("!HII")  # sequence, timestamp, SSRC: bytes 2 to 12 (RFC 3550 §5.1)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a line does to packets. Shares are 0.0 to 1.0.

    burst_begins, burst_ends: chances a packet that a burst begins or ends; in a burst everything is lost (Gilbert and
    Elliott's model). jitter_s: each packet is delayed evenly between 0 and this. in_order: a delayed packet holds up
    those behind it, as one queue does; False: it is overtaken. detour: share of packets that come `detour_s` later.
    skew_ppm: how much slower than ours the sender's clock runs. restarts_at: packets sent before the source starts
    anew with another SSRC, sequence and timestamp.
    """

    loss: float = 0.0
    burst_begins: float = 0.0
    burst_ends: float = 0.25
    jitter_s: float = 0.0
    in_order: bool = True
    detour: float = 0.0
    detour_s: float = 0.05
    duplicated: float = 0.0
    skew_ppm: float = 0.0
    restarts_at: tuple[int, ...] = ()


class Impairment:
    """One direction of one line. lost, duplicated: packets, so far."""

    def __init__(self, conditions: Conditions, seed: int) -> None:
        self._conditions, self._dice = conditions, random.Random(seed)
        self._in_burst = False
        self._began_at: float | None = None
        self._latest = 0.0
        self._carried = 0
        self._shift = (0, 0, 0)  # sequence, timestamp, SSRC
        self.lost = self.duplicated = 0

    def carry(self, at: float, packet: bytes) -> list[Timed]:
        """One packet that is sent now. Returns its copies that will arrive, with their times; none if it is lost."""
        line, dice = self._conditions, self._dice
        if self._began_at is None:
            self._began_at = at
        if self._carried in line.restarts_at:
            self._shift = (dice.getrandbits(16), dice.getrandbits(32), dice.getrandbits(32))
        self._carried += 1
        at = self._began_at + (at - self._began_at) * (1 + line.skew_ppm / 1e6)
        # every packet takes the same dice, so that one condition more leaves the fate of the others as it was
        loss, burst, delay, detour, copy, copy_delay = (dice.random() for _ in range(6))
        self._in_burst = burst >= line.burst_ends if self._in_burst else burst < line.burst_begins
        if self._in_burst or loss < line.loss:
            self.lost += 1
            return []
        arrives = at + delay * line.jitter_s
        if line.in_order:
            self._latest = arrives = max(arrives, self._latest)
        if detour < line.detour:
            arrives += line.detour_s
        packet = self._renumbered(packet)
        if copy >= line.duplicated:
            return [(arrives, packet)]
        self.duplicated += 1
        return [(arrives, packet), (arrives + copy_delay * 0.1, packet)]

    def _renumbered(self, packet: bytes) -> bytes:
        if self._shift == (0, 0, 0) or len(packet) < 12:
            return packet
        sequence, timestamp, ssrc = _NUMBERS.unpack_from(packet, 2)
        by = self._shift
        numbers = _NUMBERS.pack(
            (sequence + by[0]) & 0xFFFF, (timestamp + by[1]) & 0xFFFFFFFF, (ssrc + by[2]) & 0xFFFFFFFF
        )
        return packet[:2] + numbers + packet[12:]


def carried(packets: Iterable[Timed], conditions: Conditions, seed: int) -> list[Timed]:
    """A whole stream through a line: what arrives, in the order in which it does."""
    line = Impairment(conditions, seed)
    arrivals = [arrival for at, packet in packets for arrival in line.carry(at, packet)]
    return sorted(arrivals, key=lambda arrival: arrival[0])
