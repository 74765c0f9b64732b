"""The life of one leg, as its table tells it."""

from __future__ import annotations

import pytest

from telephony.call.state import (
    NEXT,
    Answered,
    Confirmed,
    Failed,
    HungUp,
    Leg,
    LegEvent,
    LegState,
    PeerGone,
    Rang,
    Refused,
)
from telephony.errors import OutOfOrder


def walk(start: Leg, *events: LegEvent) -> Leg:
    leg = LegState(start, now=0.0)
    for event in events:
        leg.receive(event, now=1.0)
    return leg.leg


def test_an_inbound_call_rings_is_answered_and_ends() -> None:
    """RFC 3261 §13.3, §15."""
    assert walk(Leg.OFFERED, Rang(), Rang(), Answered(), Confirmed()) is Leg.TALKING
    assert walk(Leg.OFFERED, Answered(), Confirmed(), PeerGone()) is Leg.OVER


def test_answering_after_the_caller_gave_up_is_refused() -> None:
    """RFC 3261 §9.2: once CANCEL has drawn a 487, a 200 may not follow."""
    leg = LegState(Leg.RINGING, now=0.0)
    leg.receive(PeerGone(), now=1.0)
    with pytest.raises(OutOfOrder, match="Answered while the leg is OVER"):
        leg.receive(Answered(), now=1.2)
    assert (leg.leg, leg.since) == (Leg.OVER, 1.0)


def test_hanging_up_before_the_ack_waits_for_it() -> None:
    """RFC 3261 §15: the called side sends no BYE before the ACK has come or never will."""
    assert walk(Leg.OFFERED, Answered(), HungUp()) is Leg.LEAVING
    assert walk(Leg.OFFERED, Answered(), HungUp(), Confirmed()) is Leg.OVER
    assert walk(Leg.OFFERED, Answered(), HungUp(), Failed()) is Leg.OVER


def test_giving_up_a_call_of_ours_waits_for_the_far_sides_word() -> None:
    """RFC 3261 §9.1: 487 is the rule; a 200 that crosses the CANCEL is acknowledged and hung up."""
    assert walk(Leg.DIALING, Rang(), HungUp()) is Leg.LEAVING
    assert walk(Leg.DIALING, HungUp(), Refused()) is Leg.OVER
    assert walk(Leg.DIALING, HungUp(), Confirmed()) is Leg.OVER


def test_ringing_again_keeps_the_time_of_the_first_ring() -> None:
    """`since` says how long the leg has been where it is."""
    leg = LegState(Leg.OFFERED, now=0.0)
    leg.receive(Rang(), now=2.0)
    leg.receive(Rang(), now=5.0)
    assert leg.since == 2.0


@pytest.mark.parametrize("leg", [leg for leg in Leg if leg is not Leg.OVER])
def test_every_leg_can_fail_and_nothing_follows_the_end(leg: Leg) -> None:
    """No state is a trap, and OVER is one."""
    assert NEXT[leg, Failed] is Leg.OVER
    assert not [start for start, _ in NEXT if start is Leg.OVER]
