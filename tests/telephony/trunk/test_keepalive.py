"""A trunk's pulse: what counts as a sign of life."""

from __future__ import annotations

import pytest

from telephony.sip.message import Response
from telephony.trunk.keepalive import Pulse


def a_pulse() -> Pulse:
    return Pulse("sip:carrier.example:5080", "sip:bot@198.51.100.1", "call-1", "tag-1")


def up(pulse: Pulse) -> bool | None:
    """Asked anew each time: it changes behind the type checker's back."""
    return pulse.up


def test_a_trunk_is_asked_with_a_growing_number_in_one_conversation() -> None:
    """RFC 3261 §11.1: OPTIONS with the trunk as Request-URI; same Call-ID, so that traces read as one."""
    pulse = a_pulse()
    first, second = pulse.request(), pulse.request()
    assert first.first_line == "OPTIONS sip:carrier.example:5080 SIP/2.0"
    assert first.get("From") == "<sip:bot@198.51.100.1>;tag=tag-1" and first.to_tag == ""
    assert first.call_id == second.call_id and (first.cseq.number, second.cseq.number) == (1, 2)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 405, 408, 481, 500, 503, 603])
def test_any_answer_is_a_sign_of_life(status: int) -> None:
    """Many trunks do not know OPTIONS, or not for strangers: they are there all the same."""
    pulse = a_pulse()
    assert up(pulse) is None
    assert pulse.receive(Response.answering(pulse.request(), status))
    assert up(pulse) is True


def test_a_trunk_that_is_silent_is_down_until_it_speaks_again() -> None:
    """Each change is told once, and why."""
    pulse = a_pulse()
    assert pulse.receive(Response(408, "No answer")) and up(pulse) is False and pulse.why == "408 No answer"
    assert not pulse.receive(Response(503, "Network is unreachable")) and up(pulse) is False
    assert pulse.receive(Response.answering(pulse.request(), 404)) and up(pulse) is True and pulse.why == ""
    assert not pulse.receive(Response.answering(pulse.request(), 200))


def test_a_number_that_a_login_has_used_is_not_used_again() -> None:
    """RFC 3261 §22.2: the repeat with credentials took the next CSeq."""
    pulse = a_pulse()
    repeat = pulse.request().set("CSeq", "2 OPTIONS")
    pulse.receive(Response.answering(repeat, 200))
    assert pulse.request().cseq.number == 3
