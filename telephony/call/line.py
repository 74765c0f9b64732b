"""What a call needs of the phone it hangs on: the stack, the clock, the wire and a port pair.

Only the shape; phone.py is it. So the call knows neither sockets nor its sister calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from telephony.call.events import MovedBy
from telephony.call.referred import Detour
from telephony.media.ports import PortPair
from telephony.sdp.negotiate import LocalMedia
from telephony.sip.dialog import Dialog, LegKey
from telephony.sip.headers import ReferTo
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action


class Moves(Protocol):
    """How a call gets another leg; moves.py is it."""

    def detour(self, leg: LegKey, to: ReferTo) -> Detour | int:
        """The far side of that call refers it elsewhere: the way to go, or the status to refuse with."""

    def follow(self, leg: LegKey, detour: Detour) -> None:
        """Place that call's next leg; the call hears what becomes of it, until it is over itself."""

    def moved(self, before: LegKey, now: LegKey, old: Dialog | None, by: MovedBy) -> None:
        """That call has another leg now. The old one is ended; who referred us may hang up first."""


class Line(Protocol):
    """The phone, as one call sees it."""

    @property
    def moves(self) -> Moves:
        """How a call gets another leg."""

    @property
    def stack(self) -> Stack:
        """The SIP endpoint; its actions go to `perform`."""

    def now(self) -> float:
        """Loop time, s."""

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the stack said."""

    def lend(self, peer: str = "") -> PortPair:
        """A port pair for a call with a peer at that address. Raises Overloaded if none is free."""

    def media(self, port: int, trunk: str = "", peer: str = "") -> LocalMedia:
        """Our side of a new session with that RTP port, with the codecs and keys that the trunk wants, on the
        address that a peer at `peer` reaches."""

    def changed(self, leg: LegKey) -> None:
        """The call of that leg is about to say something: its snapshot of before is out of date."""

    def between(self, low: float, high: float) -> float:
        """A random wait, s (RFC 3261 §14.1 wants one after glare)."""

    def hung_up(self, leg: LegKey) -> None:
        """The call of that leg is over; forget it."""
