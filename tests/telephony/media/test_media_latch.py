"""Symmetric RTP: who is believed to be the caller."""

from __future__ import annotations

from telephony.media.latch import Latch

SIGNALLED = ("192.0.2.1", 4000)
REAL = ("198.51.100.7", 61000)
STRAY = ("203.0.113.66", 9)


def test_the_signalled_address_is_heard_from_its_first_packet() -> None:
    """No NAT, no waiting."""
    latch = Latch(SIGNALLED)
    assert latch.admit(SIGNALLED, 1, 10, 0.0, 0.0)
    assert (latch.source, latch.target, latch.moves) == (SIGNALLED, SIGNALLED, 0)


def test_behind_nat_the_fourth_packet_in_a_row_is_believed() -> None:
    """RFC 7362 §3: SDP said a private address; three packets are not yet proof."""
    latch = Latch(SIGNALLED)
    admitted = [latch.admit(REAL, 1, sequence, 0.02 * sequence, 0.0) for sequence in range(1, 6)]
    assert admitted == [False, False, False, True, True]
    assert (latch.target, latch.moves) == (REAL, 1)


def test_packets_that_do_not_follow_each_other_prove_nothing() -> None:
    """A scanner's packets: same source, no stream."""
    latch = Latch(SIGNALLED)
    assert not any(latch.admit(STRAY, 1, sequence * 999, 0.0, 0.0) for sequence in range(1, 20))
    assert not any(latch.admit(STRAY, ssrc, ssrc, 0.0, 0.0) for ssrc in range(1, 20))
    assert not any(latch.admit(STRAY, 1, 5, 0.0, 0.0) for _ in range(20))


def test_single_strays_from_the_old_address_do_not_bounce_the_call() -> None:
    """Never back and forth: the old address has to prove itself like any other."""
    latch = Latch(SIGNALLED)
    for sequence in range(4):
        latch.admit(REAL, 1, sequence, 0.0, 0.0)
    for n in range(50):
        now = 1 + n * 0.02
        assert latch.admit(REAL, 1, 4 + n, now, now - 0.02)
        if n % 10 == 0:
            assert not latch.admit(SIGNALLED, 1, 4 + n, now, now)
    assert (latch.target, latch.moves) == (REAL, 1)


def test_an_injected_stream_is_not_believed_while_the_caller_is_heard() -> None:
    """Four good packets in a row, between two packets of the caller."""
    latch = Latch(SIGNALLED)
    latch.admit(SIGNALLED, 1, 1, 0.0, 0.0)
    assert not any(latch.admit(STRAY, 2, sequence, 0.021, 0.02) for sequence in range(100))
    assert latch.target == SIGNALLED


def test_a_caller_who_moves_in_mid_call_is_followed() -> None:
    """A NAT binding expired: the old source has been silent for 200 ms."""
    latch = Latch(SIGNALLED)
    latch.admit(SIGNALLED, 1, 1, 0.0, 0.0)
    admitted = [latch.admit(REAL, 1, 2 + n, 0.02 * (n + 1), 0.0) for n in range(12)]
    assert admitted == [False] * 9 + [True] * 3
    assert latch.target == REAL


def test_a_new_description_is_followed_and_a_repeated_one_changes_nothing() -> None:
    """RFC 3264 §8.3.1; session refreshes repeat the private address of a caller behind NAT."""
    latch = Latch(SIGNALLED)
    for sequence in range(4):
        latch.admit(REAL, 1, sequence, 0.0, 0.0)
    latch.retarget(SIGNALLED)
    assert latch.target == REAL
    latch.retarget(("192.0.2.9", 5000))
    assert latch.target == ("192.0.2.9", 5000)
    assert latch.admit(("192.0.2.9", 5000), 3, 1, 1.0, 1.0)


def test_an_ipv6_address_is_known_in_any_spelling() -> None:
    """Row 39: SDP and socket write it differently; the socket adds flow and scope."""
    latch = Latch(("2001:DB8:0:0:0:0:0:1", 4000))
    assert latch.admit(("2001:db8::1", 4000, 0, 0), 1, 1, 0.0, 0.0)
