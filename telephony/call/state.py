"""Life of one leg, from INVITE to the last word: one table.

Pure. Driven by call.py. Not a transaction or dialog (sip/): it knows nothing of repeats, tags and timers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from telephony.errors import OutOfOrder


class Leg(Enum):
    """Where a leg stands."""

    OFFERED = auto()  # their INVITE is here and has its 100
    DIALING = auto()  # our INVITE is out
    RINGING = auto()  # a 18x was given or heard
    ANSWERED = auto()  # 200 given or heard, ACK not yet
    TALKING = auto()  # acknowledged: the session stands
    LEAVING = auto()  # we hung up, and must wait before we may say so or until they agree
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Rang:
    """A 18x was given or heard."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A 2xx to the INVITE was given or heard."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK to the 2xx came or was sent."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The INVITE got a final response other than 2xx, from us or from them."""


@dataclass(frozen=True, slots=True)
class PeerGone:
    """The far side cancelled or hung up."""


@dataclass(frozen=True, slots=True)
class HungUp:
    """We want out."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The network broke it: no answer, no ACK, no flow."""


LegEvent = Rang | Answered | Confirmed | Refused | PeerGone | HungUp | Failed

NEXT: dict[tuple[Leg, type[LegEvent]], Leg] = {
    (Leg.OFFERED, Rang): Leg.RINGING,
    (Leg.OFFERED, Answered): Leg.ANSWERED,
    (Leg.OFFERED, Refused): Leg.OVER,
    (Leg.OFFERED, PeerGone): Leg.OVER,
    (Leg.OFFERED, Failed): Leg.OVER,
    (Leg.DIALING, Rang): Leg.RINGING,
    (Leg.DIALING, Answered): Leg.ANSWERED,
    (Leg.DIALING, Refused): Leg.OVER,
    (Leg.DIALING, HungUp): Leg.LEAVING,
    (Leg.DIALING, Failed): Leg.OVER,
    (Leg.RINGING, Rang): Leg.RINGING,
    (Leg.RINGING, Answered): Leg.ANSWERED,
    (Leg.RINGING, Refused): Leg.OVER,
    (Leg.RINGING, PeerGone): Leg.OVER,
    (Leg.RINGING, HungUp): Leg.LEAVING,
    (Leg.RINGING, Failed): Leg.OVER,
    (Leg.ANSWERED, Confirmed): Leg.TALKING,
    (Leg.ANSWERED, PeerGone): Leg.OVER,
    (Leg.ANSWERED, HungUp): Leg.LEAVING,  # no BYE before the ACK (RFC 3261 §15)
    (Leg.ANSWERED, Failed): Leg.OVER,
    (Leg.TALKING, PeerGone): Leg.OVER,
    (Leg.TALKING, HungUp): Leg.OVER,
    (Leg.TALKING, Failed): Leg.OVER,
    (
        Leg.LEAVING,
        Confirmed,
    ): Leg.OVER,  # the ACK we waited for, or a 200 that crossed our CANCEL: BYE goes now
    (Leg.LEAVING, Refused): Leg.OVER,  # 487 to what we cancelled
    (Leg.LEAVING, PeerGone): Leg.OVER,
    (Leg.LEAVING, Failed): Leg.OVER,
}


class LegState:
    """Life of one leg (RFC 3261 §9, §13, §15). Only `receive` assigns `leg`. since: loop time, s."""

    __slots__ = ("leg", "since")

    def __init__(self, leg: Leg, now: float) -> None:
        self.leg = leg
        self.since = now

    def receive(self, event: LegEvent, now: float) -> None:
        """Take the step that the table gives. Raises OutOfOrder if it gives none."""
        step = NEXT.get((self.leg, type(event)))
        if step is None:
            raise OutOfOrder(f"{type(event).__name__} while the leg is {self.leg.name}")
        if step is not self.leg:
            self.leg, self.since = step, now

    def allows(self, event: type[LegEvent]) -> bool:
        """The table has a step for that event now."""
        return (self.leg, event) in NEXT
