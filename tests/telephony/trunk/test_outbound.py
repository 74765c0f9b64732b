"""Which numbers may be dialled over a trunk, and what the call says of itself."""

from __future__ import annotations

import pytest

from telephony.dialplan.number import parse_pattern
from telephony.errors import NotAllowed
from telephony.sip.digest import Credentials
from telephony.sip.uri import Uri
from telephony.trunk.outbound import WayOut, dialling, require_allowed

CARRIER = WayOut(
    "carrier",
    "sip.carrier.example",
    5080,
    allowed=(parse_pattern("+49*"), parse_pattern("0ZX*")),
    credentials=Credentials("bot", "s3cret"),
    caller="+4930123456",
    asserted=True,
)


def test_only_allowed_numbers_are_dialled() -> None:
    """Toll fraud: a premium number costs money, and a caller can talk an agent into it."""
    assert dialling(CARRIER, "+49 (30) 987-65").target == "sip:+493098765@sip.carrier.example:5080"
    for number in ("+882123456", "00493012", "+4", "sip:+88212@elsewhere", "anna", "+49@evil.example"):
        with pytest.raises(NotAllowed, match="may not be dialled"):
            dialling(CARRIER, number)
    with pytest.raises(NotAllowed):
        dialling(WayOut("nothing allowed", "host"), "+4930")


def test_a_transfer_is_measured_by_the_number_in_its_uri() -> None:
    require_allowed(CARRIER, "sip:+493012@carrier.example;user=phone")
    require_allowed(CARRIER, "tel:+49-30-12")
    for target in ("tel:+882-12", "sip:+882@carrier.example", "sip:carrier.example"):
        with pytest.raises(NotAllowed):
            require_allowed(CARRIER, target)


def test_a_trunk_with_several_proxies_is_dialled_in_their_order() -> None:
    """Row 34: the next one when the first is dead or overloaded; the caller is who they are at the first."""
    both = WayOut("carrier", "a.example", allowed=CARRIER.allowed, more=(("192.0.2.1", 5070),), caller="+49")
    call = dialling(both, "+4930")
    assert call.targets == ("sip:+4930@a.example", "sip:+4930@192.0.2.1:5070") and call.trunk == "carrier"
    assert call.caller == "sip:+49@a.example"


def test_our_number_is_shown_and_asserted_or_hidden() -> None:
    """RFC 3325, RFC 3323: the carrier learns who pays; with `Privacy: id` nobody else does."""
    call = dialling(CARRIER, "+4930", name="Clinic")
    assert call.caller == "sip:+4930123456@sip.carrier.example"
    assert call.headers == (("P-Asserted-Identity", '"Clinic" <sip:+4930123456@sip.carrier.example>'),)
    hidden = dialling(CARRIER, "+4930", hide=True)
    assert hidden.caller == "sip:anonymous@anonymous.invalid"
    assert ("Privacy", "id") in hidden.headers and hidden.credentials == Credentials("bot", "s3cret")


@pytest.mark.parametrize(
    ("target", "follows"),
    [
        ("sip:+493012@sip.carrier.example:5080", True),
        ("sip:+88212@sip.carrier.example:5080", False),
        ("sip:+493012@sip.carrier.example", False),
        ("sip:+493012@evil.example:5080", False),
    ],
)
def test_a_redirect_costs_no_more_than_a_call_may(target: str, follows: bool) -> None:
    """RFC 3261 §8.1.3.4: only within the trunk, and only to numbers that it may dial."""
    call = dialling(CARRIER, "+4930")
    assert call.redirect(Uri.parse(call.target), Uri.parse(target)) is follows
