"""Where our RTP stream stands. Pure, and of no numpy: the switch draws it and reads it.

Moved on by sending.py; kept across processes by vitals.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class StreamState:
    """How our stream goes on: what a worker that takes a call over needs to know. Plain, restorable.

    seq and timestamp are those of the next packet; they are moved on before a packet is sent, so that a
    number is never used twice."""

    ssrc: int
    seq: int
    timestamp: int
    wraps: int = 0  # times the sequence numbers have begun again: SRTP's rollover counter (RFC 3711 §3.3.1)

    @classmethod
    def drawn(cls, randbits: Callable[[int], int]) -> StreamState:
        """A new stream (RFC 3550 §5.1). randbits: bits wanted to a random number, like `secrets.randbits`.

        seq begins in the lower half, so that it does not wrap soon (RFC 3711 §3.3.1)."""
        return cls(randbits(32), randbits(15), randbits(32))
