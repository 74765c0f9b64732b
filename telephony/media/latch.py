"""Where a call's sound really comes from, and so where ours must go: symmetric RTP (RFC 4961, RFC 7362 §3).

Pure. SDP names an address that is wrong behind NAT. Another source is believed once it has sent a few good
packets in a row while the present one was silent, so neither a stray packet nor an injected one moves the
call. A packet that only the caller can have encrypted moves it at once. Driven by receiving.py.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final, TypeAlias

Address: TypeAlias = tuple[str, int]
Source: TypeAlias = tuple[Any, ...]  # as the socket gives it: (host, port), for IPv6 with two more

PROBATION_PACKETS: Final = 4
SILENT_S: Final = 0.2  # a source that was heard this recently still holds the call
_FURTHEST = 10  # sequence numbers that may be missing between two good packets


class Latch:
    """source: whom we hear, None before anybody was. target: where we send. moves: how often it changed."""

    def __init__(self, signalled: Address) -> None:
        """signalled: the address in their session description."""
        self.source: Source | None = None
        self.left: Source | None = None  # where they said they no longer are; stragglers may still come
        self.target = self._signalled = _canonical(signalled)
        self.moves = 0
        self._known: Address | None = None  # where another process heard them
        self._candidate: Source | None = None
        self._ssrc = self._sequence = self._good = 0

    def go_on(self, source: Address | None, target: Address) -> None:
        """From where another latch of this call stopped. source: whom it heard, target: where it sent."""
        self._known, self.target = source, target

    def retarget(self, signalled: Address) -> None:
        """A new description. The same address again keeps what was learned (session refreshes repeat it)."""
        signalled = _canonical(signalled)
        if signalled != self._signalled:
            self.left, self.source = self.source, None
            self.target = self._signalled = signalled
            self._forget_candidate()

    def admit(self, source: Source, ssrc: int, sequence: int, now: float, heard_at: float) -> bool:
        """May this good packet be heard? Moves the latch when its source has earned it.

        heard_at: loop time of the last packet from the present source."""
        if source == self.source:
            return True
        if self.source is None and source[:2] in (self._signalled, self._known):
            self.follow(source)
            return True
        follows = 0 < ((sequence - self._sequence) & 0xFFFF) < _FURTHEST
        if source == self._candidate and ssrc == self._ssrc and follows:
            self._good += 1
        else:
            self._candidate, self._ssrc, self._good = source, ssrc, 1
        self._sequence = sequence
        if self._good < PROBATION_PACKETS or (self.source is not None and now - heard_at < SILENT_S):
            return False
        self.follow(source)
        return True

    def follow(self, source: Source) -> None:
        """Hear and address this source from now on: it has proved itself, here or by its key (SRTP)."""
        self.source, self.left = source, None
        if source[:2] != self.target:
            self.target = (source[0], source[1])
            self.moves += 1
        self._forget_candidate()

    def _forget_candidate(self) -> None:
        self._candidate = None
        self._ssrc = self._sequence = self._good = 0


def _canonical(address: Address) -> Address:
    """The spelling that sockets use: SDP may write an IPv6 address in any of several ways."""
    try:
        return str(ip_address(address[0])), address[1]
    except ValueError:
        return address
