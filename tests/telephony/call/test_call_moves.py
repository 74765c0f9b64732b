"""The pure neighbours of a call that moves: a REFER that came, a leg that is to be replaced."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.call.referred import Referral, plain_uri
from telephony.call.referring import replacing
from telephony.call.replaces import REMEMBERED, Past, asked, refusal
from telephony.call.state import Leg
from telephony.errors import SipSyntaxError
from telephony.sip.dialog import Dialog
from telephony.sip.headers import ReferTo, Replaces
from telephony.sip.message import Request
from telephony.sip.transaction import Flow

TARGET = "<sip:200@192.0.2.7>"


def a_refer(*lines: tuple[str, str], number: int = 7) -> Request:
    return Request("REFER", "sip:bot@192.0.2.1", [("CSeq", f"{number} REFER"), *lines])


def a_dialog(call_id: str = "c1", theirs: str = "them") -> Dialog:
    return Dialog(
        call_id=call_id,
        local_tag="us",
        remote_tag=theirs,
        local="<sip:bot@192.0.2.1>;tag=us",
        remote="<sip:anna@192.0.2.2>;tag=them",
        target="sip:anna@192.0.2.2:5070;transport=tcp",
        routes=(),
        contact="<sip:bot@192.0.2.1>",
        flow=Flow("udp", ("192.0.2.2", 5060)),
        local_seq=0,
        remote_seq=1,
        initiator=False,
    )


# ---- REFER


def test_news_of_a_referral_count_down_and_end_with_the_final_status() -> None:
    """Row 33 from the other side; RFC 3515 §2.4.4-5, RFC 6665 §4.1.3."""
    referral = Referral(a_refer(("Refer-To", TARGET)), now=10.0)
    headers, body = referral.news(100, 10.0) or ((), b"")
    assert body == b"SIP/2.0 100 Trying\r\n"
    assert headers == (("Event", "refer"), ("Subscription-State", "active;expires=180"))
    headers, body = referral.news(180, 40.0) or ((), b"")
    assert dict(headers)["Subscription-State"] == "active;expires=150"
    headers, body = referral.news(486, 41.0) or ((), b"")
    assert (dict(headers)["Subscription-State"], body) == (
        "terminated;reason=noresource",
        b"SIP/2.0 486 Busy Here\r\n",
    )
    assert referral.news(200, 42.0) is None, "nothing after the last word"


def test_a_second_referral_of_a_dialog_is_named_in_its_news() -> None:
    """RFC 3515 §2.4.6: the CSeq of its REFER tells it from the first."""
    referral = Referral(a_refer(("Refer-To", TARGET), number=12), now=0.0, again=True)
    headers, _ = referral.news(100, 0.0) or ((), b"")
    assert dict(headers)["Event"] == "refer;id=12"


def test_who_wants_no_news_gets_none() -> None:
    """RFC 4488 §4: the 202 says so, and no NOTIFY follows."""
    referral = Referral(a_refer(("Refer-To", TARGET), ("Refer-Sub", "false")), now=0.0)
    assert ("Refer-Sub", "false") in referral.accepted
    assert referral.news(100, 0.0) is None and referral.news(200, 1.0) is None


def test_who_refuses_news_is_not_told_any_more() -> None:
    """RFC 6665 §4.2.2."""
    referral = Referral(a_refer(("Refer-To", TARGET)), now=0.0)
    referral.unheard()
    assert referral.news(200, 1.0) is None


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (("Refer-To", TARGET), ("Refer-To", "<sip:201@192.0.2.7>")),
        (("Refer-To", f"{TARGET}, <sip:201@192.0.2.7>"),),
        (("Refer-To", "two hundred"),),
        (("Refer-To", "<sip:200@192.0.2.7?Replaces=c1%3Bto-tag%3Da>"),),
        (("Refer-To", "<sip:200@h?Replaces=c1%0D%0AX%3A1%3Bto-tag%3Da%3Bfrom-tag%3Db>"),),
    ],
)
def test_a_refer_that_does_not_say_where_to_is_400(lines: tuple[tuple[str, str], ...]) -> None:
    """RFC 3515 §2.4.2: exactly one Refer-To, and one that can be read; nothing smuggled in by escapes."""
    with pytest.raises(SipSyntaxError) as refused:
        Referral(a_refer(*lines), now=0.0)
    assert refused.value.code == 400


def test_whom_to_replace_and_who_sent_us_go_into_the_invite() -> None:
    """RFC 5589 §7.3, RFC 3892 §3: Replaces leaves the URI and becomes a header; other headers stay behind."""
    to = (
        "<sip:200@192.0.2.7;method=INVITE;x=1?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2"
        "&Require=replaces&Subject=evil>"
    )
    referral = Referral(a_refer(("Refer-To", to), ("Referred-By", "<sip:anna@192.0.2.2>")), now=0.0)
    assert plain_uri(referral.target) == "sip:200@192.0.2.7;x=1"
    assert referral.goes_on == (
        ("Referred-By", "<sip:anna@192.0.2.2>"),
        ("Replaces", "a@b;to-tag=1;from-tag=2"),
        ("Require", "replaces"),
    )


@pytest.mark.parametrize("call_id", ["c1@host", "a;b=c&d?e", '100%/+[x]"<>', "ü"])
def test_a_refer_to_for_an_attended_transfer_survives_any_call_id(call_id: str) -> None:
    """RFC 3261 §25.1, RFC 3891 §4: escaped in the URI, read back as it was, tags as the target sees them."""
    uri = str(replacing(a_dialog(call_id)))
    address, _, escaped = uri.partition("?Replaces=")
    assert address == "sip:anna@192.0.2.2:5070;transport=tcp"
    assert not set(escaped) & set(';=&?<>" @,')
    if ";" not in call_id:  # no Call-ID holds one, but it must not break the URI
        assert ReferTo.parse(f"<{uri}>").replaces == Replaces(call_id, "them", "us")


WIRE = st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape"))


@given(WIRE.map(lambda text: text.replace("\r", "").replace("\n", "")), st.booleans())
def test_whatever_a_refer_says_it_is_read_or_refused(text: str, in_uri: bool) -> None:
    """Bad input from a peer is a 400 and nothing else."""
    to = f"<sip:200@h?Replaces={text}>" if in_uri else text
    with suppress(SipSyntaxError):
        referral = Referral(a_refer(("Refer-To", to)), now=0.0)
        plain_uri(referral.target)
        invite = Request("INVITE", "sip:200@h")
        for name, value in referral.goes_on:
            invite.add(name, value)
        assert invite.encode().count(b"\r\n") == 2 + len(invite.headers) + 1


# ---- Replaces


def judge(wanted: Replaces, leg: Leg, *, ours: bool = False, past: Past | None = None) -> int:
    return refusal(wanted, a_dialog(), leg, ours=ours, past=past or Past())


RIGHT = Replaces("c1", "us", "them")


@pytest.mark.parametrize(
    ("leg", "ours", "early_only", "code"),
    [
        (Leg.TALKING, False, False, 0),
        (Leg.TALKING, True, False, 0),
        (Leg.TALKING, False, True, 486),
        (Leg.RINGING, True, True, 0),
        (Leg.DIALING, True, False, 0),
        (Leg.RINGING, False, False, 481),  # theirs: it is answered here or not at all
        (Leg.OFFERED, False, True, 481),
        (Leg.ANSWERED, False, False, 491),
        (Leg.ANSWERED, False, True, 486),
        (Leg.LEAVING, True, False, 603),
        (Leg.OVER, False, False, 603),
    ],
)
def test_which_legs_may_be_replaced(leg: Leg, ours: bool, early_only: bool, code: int) -> None:
    """RFC 3891 §3."""
    assert judge(Replaces("c1", "us", "them", early_only), leg, ours=ours) == code


def test_a_dialog_that_we_do_not_have_cannot_be_replaced() -> None:
    """RFC 3891 §3: 481; one tag of two is not enough."""
    assert judge(Replaces("c1", "us", "other"), Leg.TALKING) == 481
    assert refusal(RIGHT, None, Leg.TALKING, ours=False, past=Past()) == 481


def test_a_dialog_that_has_just_ended_is_declined() -> None:
    """RFC 3891 §3: 603, so that nobody rings a phone that was hung up; memory has an end."""
    past = Past()
    past.note(a_dialog())
    assert refusal(RIGHT, None, Leg.OVER, ours=False, past=past) == 603
    for number in range(REMEMBERED):
        past.note(a_dialog(f"n{number}"))
    assert refusal(RIGHT, None, Leg.OVER, ours=False, past=past) == 481


def test_a_phone_without_a_tag_is_named_by_a_zero() -> None:
    """RFC 3891 §3: RFC 2543 phones have no tag, and `from-tag=0` stands for it."""
    nameless = a_dialog(theirs="")
    assert refusal(Replaces("c1", "us", "0"), nameless, Leg.TALKING, ours=False, past=Past()) == 0


def test_an_invite_replaces_one_dialog_or_none() -> None:
    """RFC 3891 §3: two Replaces are 400."""
    one = ("Replaces", "c1;to-tag=us;from-tag=them;early-only")
    assert asked(Request("INVITE", "sip:bot@h")) is None
    assert asked(Request("INVITE", "sip:bot@h", [one])) == Replaces("c1", "us", "them", early_only=True)
    with pytest.raises(SipSyntaxError):
        asked(Request("INVITE", "sip:bot@h", [one, one]))
    with pytest.raises(SipSyntaxError):
        asked(Request("INVITE", "sip:bot@h", [("Replaces", "c1;to-tag=us")]))
