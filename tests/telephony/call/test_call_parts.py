"""The pure neighbours of a call: agreement, transfer, keys by INFO."""

from __future__ import annotations

import pytest

from telephony.call.agreement import Agreement
from telephony.call.events import DigitsByInfo, TransferProgress
from telephony.call.keypad import pressed
from telephony.call.transfer import Transfer, TransferOutcome
from telephony.errors import SdpError
from telephony.sdp.negotiate import LocalMedia
from telephony.sip.message import Request, Response

OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


def an_agreement() -> Agreement:
    return Agreement(LocalMedia("198.51.100.1", 30000, session_id=77))


def origin(description: bytes) -> bytes:
    return next(line for line in description.splitlines() if line.startswith(b"o="))


def test_our_version_grows_only_when_our_description_changes() -> None:
    """Row 45, RFC 3264 §8: a refresh repeats it, hold adds one, the session id stays."""
    agreed = an_agreement()
    first, same = origin(agreed.answer(OFFER)), origin(agreed.answer(OFFER))
    held = origin(agreed.answer(OFFER + b"a=sendonly\r\n"))
    assert first == same == b"o=- 77 0 IN IP4 198.51.100.1"
    assert held == b"o=- 77 1 IN IP4 198.51.100.1"


def test_an_offer_that_cannot_be_met_changes_nothing() -> None:
    """Row 21, RFC 3261 §14.2: plan and version stay as they were."""
    agreed = an_agreement()
    agreed.answer(OFFER)
    plan = agreed.plan
    with pytest.raises(SdpError):
        agreed.answer(OFFER.replace(b"audio", b"image"))
    assert agreed.plan == plan
    assert origin(agreed.answer(OFFER)).startswith(b"o=- 77 0 ")


def test_early_media_leaves_our_offer_open_for_the_200() -> None:
    """RFC 3960: a 183 may answer first, and the 200 may say it again or otherwise."""
    agreed = an_agreement()
    agreed.offer()
    early = agreed.preview(OFFER)
    assert agreed.waiting and agreed.plan == early
    final = agreed.accept(OFFER.replace(b"4000", b"4002"))
    assert final.remote == ("192.0.2.1", 4002) and not agreed.waiting


def test_a_refused_hold_is_not_remembered_as_held() -> None:
    """RFC 3264 §8: the next answer of ours is sendrecv again."""
    agreed = an_agreement()
    agreed.answer(OFFER)
    agreed.offer(hold=True)
    agreed.withdraw()
    assert not agreed.held and b"a=sendrecv" in agreed.answer(OFFER)


def test_an_answer_without_an_offer_is_refused() -> None:
    """An ACK that brings SDP which nobody asked for."""
    with pytest.raises(SdpError, match="without an offer"):
        an_agreement().accept(OFFER)


def a_notify(
    body: str, state: str = "active;expires=60", kind: str = "message/sipfrag;version=2.0"
) -> Request:
    lines = [("Content-Type", kind), ("Subscription-State", state)]
    return Request("NOTIFY", "sip:us", lines, body.encode())


def test_a_transfer_is_told_step_by_step() -> None:
    """Row 33, RFC 3515 §2.4.5."""
    transfer = Transfer()
    transfer.replied(Response(202))
    assert transfer.outcome is None
    assert transfer.notified(a_notify("SIP/2.0 100 Trying\r\n")) == TransferProgress(100, "Trying")
    assert transfer.notified(a_notify("SIP/2.0 180 Ringing")) == TransferProgress(180, "Ringing")
    transfer.notified(a_notify("SIP/2.0 200 OK", "terminated;reason=noresource"))
    assert transfer.outcome == TransferOutcome(True, 200, "OK")


@pytest.mark.parametrize(
    ("body", "state", "code"),
    [
        ("SIP/2.0 486 Busy Here", "terminated", 486),
        ("SIP/2.0 603", "active", 603),
        ("SIP/2.0 100 Trying", "terminated;reason=giveup", 100),
        ("what", "terminated", 500),
    ],
)
def test_a_transfer_that_came_to_nothing_says_why(body: str, state: str, code: int) -> None:
    """Row 33: a final status, or a subscription that ends without one."""
    transfer = Transfer()
    transfer.notified(a_notify(body, state))
    assert transfer.outcome is not None and (transfer.outcome.ok, transfer.outcome.code) == (False, code)


def test_a_notify_that_is_no_status_line_is_passed_over() -> None:
    """Not every NOTIFY is about us, and none may end the transfer by being unreadable."""
    transfer = Transfer()
    assert transfer.notified(a_notify("<xml/>", kind="application/xml")) is None
    assert transfer.outcome is None


def test_refer_sub_false_is_settled_by_the_202() -> None:
    """Row 33, RFC 4488 §4: no NOTIFY will come."""
    transfer = Transfer()
    transfer.replied(Response(202, "", [("Refer-Sub", "false")]))
    assert transfer.outcome == TransferOutcome(True, 202, "Accepted")


def test_hanging_up_counts_as_success_only_after_the_refer_was_taken() -> None:
    """Row 33: BYE before NOTIFY."""
    taken, untaken = Transfer(), Transfer()
    taken.replied(Response(202))
    taken.gone()
    untaken.gone()
    assert taken.outcome is not None and taken.outcome.ok
    assert untaken.outcome is not None and not untaken.outcome.ok


def test_the_first_outcome_stands() -> None:
    """A BYE after the 486 does not turn the failure into a success."""
    transfer = Transfer()
    transfer.replied(Response(486))
    transfer.gone()
    assert transfer.outcome == TransferOutcome(False, 486, "Busy Here")


@pytest.mark.parametrize(
    ("kind", "body", "digits"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", DigitsByInfo("5", 160)),
        ("application/dtmf-relay", "Signal= *\nDuration= 250", DigitsByInfo("*", 250)),
        ("application/dtmf-relay", "signal=11\r\n", DigitsByInfo("#", 0)),
        ("application/dtmf-relay", "Signal=a\r\nDuration=x", DigitsByInfo("A", 0)),
        ("application/dtmf", "#", DigitsByInfo("#", 0)),
        ("application/dtmf", "10", DigitsByInfo("*", 0)),
        ("application/dtmf", "hello", None),
        ("application/dtmf-relay", "Signal=\r\n", None),
        ("text/plain", "5", None),
    ],
)
def test_keys_by_info(kind: str, body: str, digits: DigitsByInfo | None) -> None:
    """RFC 6086 practice: Cisco's dtmf-relay and the bare application/dtmf, numbers 10-15 for * # A-D."""
    assert pressed(Request("INFO", "sip:us", [("Content-Type", kind)], body.encode())) == digits
