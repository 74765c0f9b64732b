"""Session timers (RFC 4028) in virtual time, both roles."""

from __future__ import annotations

import pytest

from telephony.call.upkeep import AGAIN_S, Due, SessionTimer
from telephony.sip.message import Request, Response
from telephony.sip.screening import refusal


def asked(*lines: tuple[str, str]) -> Request:
    request = Request("INVITE", "sip:100@198.51.100.1")
    for name, value in lines:
        request.add(name, value)
    return request


ABLE = ("Supported", "timer, 100rel")


@pytest.mark.parametrize(
    ("lines", "answer", "ours"),
    [
        ((ABLE, ("Session-Expires", "1800")), "1800;refresher=uac", False),
        ((ABLE, ("x", "600;refresher=uas")), "600;refresher=uas", True),
        ((ABLE, ("Session-Expires", "600 ; Refresher=UAC")), "600;refresher=uac", False),
        ((("Session-Expires", "600"),), "600;refresher=uas", True),
        ((("Session-Expires", "30"),), "90;refresher=uas", True),
    ],
)
def test_the_answer_names_the_refresher(lines: tuple[tuple[str, str], ...], answer: str, ours: bool) -> None:
    """Row 28, §9: the caller if it can and did not ask us; Require only where it is understood."""
    timer = SessionTimer()
    headers = dict(timer.answer(asked(*lines), now=0.0))
    assert (headers["Session-Expires"], timer.ours) == (answer, ours)
    assert ("Require" in headers) is (ABLE in lines)


def test_a_call_without_session_timer_has_none() -> None:
    """A peer that never heard of RFC 4028 is not hung up on."""
    timer = SessionTimer()
    assert timer.answer(asked(ABLE), now=0.0) == ()
    timer.answered(Response(200), now=0.0)
    assert timer.next_deadline() is None and timer.due(1e9) is None


def test_an_interval_too_small_is_refused_with_the_least_we_take() -> None:
    """Row 28, §9: 422 with Min-SE, only to those who can read it."""
    refused = refusal(asked(ABLE, ("Session-Expires", "89")), {"timer"})
    assert refused is not None and (refused.status, refused.headers) == (422, (("Min-SE", "90"),))
    assert refusal(asked(ABLE, ("Session-Expires", "90")), {"timer"}) is None
    assert refusal(asked(("Session-Expires", "30")), {"timer"}) is None


def test_as_refresher_we_refresh_at_half_time_and_again_from_then_on() -> None:
    """Row 29, §10."""
    timer = SessionTimer()
    timer.answered(Response(200, headers=[("Session-Expires", "600;refresher=uac")]), now=100.0)
    assert timer.next_deadline() == 400.0
    assert timer.due(399.9) is None
    assert timer.due(400.0) is Due.REFRESH
    assert timer.due(400.1) is None
    assert dict(timer.offer())["Session-Expires"] == "600;refresher=uac"
    timer.answered(Response(200, headers=[("Session-Expires", "600;refresher=uac")]), now=401.0)
    assert timer.next_deadline() == 701.0


@pytest.mark.parametrize(("interval", "last"), [("600", 568.0), ("90", 60.0)])
def test_a_session_that_nobody_refreshes_is_ended(interval: str, last: float) -> None:
    """Row 29, §10: BYE at SE - min(32, SE/3), whoever should have refreshed."""
    theirs = SessionTimer()
    theirs.answer(asked(ABLE, ("Session-Expires", f"{interval};refresher=uac")), now=0.0)
    assert theirs.next_deadline() == last
    assert theirs.due(last) is Due.END
    assert theirs.next_deadline() is None
    ours = SessionTimer()
    ours.answer(asked(ABLE, ("Session-Expires", f"{interval};refresher=uas")), now=0.0)
    assert ours.due(float(interval) / 2) is Due.REFRESH
    assert ours.due(last) is Due.END


def test_a_refresh_that_crossed_theirs_is_tried_again() -> None:
    """491, or 500 with Retry-After: the session is not lost by bad luck."""
    timer = SessionTimer()
    timer.answered(Response(200, headers=[("Session-Expires", "600")]), now=0.0)
    assert timer.due(300.0) is Due.REFRESH
    timer.refused(now=300.1)
    assert timer.next_deadline() == 300.1 + AGAIN_S
    assert timer.due(305.0) is Due.REFRESH


@pytest.mark.parametrize(("theirs", "taken"), [("1", 90), ("soon", 0), ("", 0)])
def test_an_answer_with_a_silly_interval_does_no_harm(theirs: str, taken: int) -> None:
    """We said Min-SE: 90; what cannot be read is no timer, and no reason to lose a call that was answered."""
    timer = SessionTimer()
    timer.answered(Response(200, headers=[("Session-Expires", theirs)]), now=0.0)
    assert timer.interval_s == taken
