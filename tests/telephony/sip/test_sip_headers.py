"""Header values in every shape that peers give them."""

from __future__ import annotations

import pytest

from telephony.errors import SipSyntaxError
from telephony.sip.headers import (
    Address,
    AuthParams,
    CSeq,
    RAck,
    Reason,
    ReferTo,
    Replaces,
    RetryAfter,
    SessionExpires,
    Via,
    parse_params,
    split_list,
)
from telephony.sip.message import Request
from telephony.sip.parties import Caller, called, caller, diverted_from


@pytest.mark.parametrize(
    ("text", "display", "user", "host", "tag"),
    [
        ("<sip:a@b>;tag=1", "", "a", "b", "1"),
        ("sip:a@b;tag=1", "", "a", "b", "1"),
        ("John Doe<sip:a@b>;tag=1", "John Doe", "a", "b", "1"),
        ('"Doe, \\"J\\" <x>" <sip:a@b:5060;user=phone>;x=y;TAG=1', 'Doe, "J" <x>', "a", "b", "1"),
        ("Müller & Söhne (Büro) <sip:a@b>;tag=1", "Müller & Söhne (Büro)", "a", "b", "1"),
        ('"unbalanced <sip:a@b>;tag=1', "unbalanced", "a", "b", "1"),
        ('"Anonymous" <sip:anonymous@anonymous.invalid>', "Anonymous", "anonymous", "anonymous.invalid", ""),
        ("<tel:+49301234;phone-context=x>;tag=1", "", "+49301234", "", "1"),
        ("tel:+49301234;tag=1", "", "+49301234", "", "1"),
        ("sip:+49;npdi;rn=30@b;tag=1", "", "+49;npdi;rn=30", "b", "1"),
        ("<sip:b>", "", "", "b", ""),
        ("< SIP:a@node1 > ; tag = 1", "", "a", "node1", "1"),
        ("<sip:a@[2001:db8::1]:5060>;tag=1", "", "a", "2001:db8::1", "1"),
    ],
)
def test_addresses_in_every_form(text: str, display: str, user: str, host: str, tag: str) -> None:
    """Row 41: RFC 3261 §20.10, §25.1; RFC 4475 §3.1.1.1."""
    address = Address.parse(text)
    assert (address.display, address.uri.user, address.uri.host, address.tag) == (display, user, host, tag)


@pytest.mark.parametrize(
    "text", ["", "<>", "Bob", "<sip:a@b", "<sip:>", '"Bob"', "sip:a@b:99999", "<sip:a@b:x>"]
)
def test_an_address_without_a_uri_is_refused(text: str) -> None:
    """RFC 4475 §3.1.2: what cannot be routed cannot be guessed."""
    with pytest.raises(SipSyntaxError):
        Address.parse(text)


def test_an_address_is_written_so_that_it_reads_back_equal() -> None:
    """Display name quoted and escaped, URI in <>, parameters after it."""
    address = Address.parse('"a\\\\b\\"c" <sip:u%2B@h;lr?X=y>;tag=1;+sip.instance="<urn:uuid:1>"')
    assert Address.parse(str(address)) == address
    assert str(address.with_tag("2").with_tag("")) == str(Address.parse(str(address).replace(";tag=1", "")))


def test_latin_1_in_a_display_name_is_readable_and_leaves_unchanged() -> None:
    """Row 41: Old PBXs send ISO 8859-1."""
    address = Address.parse(b"J\xf6rg <sip:a@b>".decode("utf-8", "surrogateescape"))
    assert address.name == "Jörg"
    assert b"J\xf6rg" in str(address).encode("utf-8", "surrogateescape")


def test_a_list_is_split_at_commas_outside_quotes_and_brackets() -> None:
    """Row 35: RFC 3261 §7.3.1."""
    text = '"Doe, J" <sip:a,b@h;x=1>;q=1, <sip:c@d>,, "a\\",b" <sip:e@f>'
    assert split_list(text) == ['"Doe, J" <sip:a,b@h;x=1>;q=1', "<sip:c@d>", '"a\\",b" <sip:e@f>']
    assert [address.uri.user for address in Address.parse_many(text)] == ["a,b", "c", "e"]


def test_parameters_keep_their_value_and_lose_the_case_of_their_name() -> None:
    """RFC 3261 §7.3.1."""
    assert parse_params(';LR;Branch="a;b"; c = D ;') == {"lr": None, "branch": '"a;b"', "c": "D"}


@pytest.mark.parametrize(
    ("text", "transport", "host", "port", "branch"),
    [
        ("SIP/2.0/UDP node1:5060;branch=z9hG4bK+0df+%2B!*'", "UDP", "node1", 5060, "z9hG4bK+0df+%2B!*'"),
        ("SIP / 2.0 / tcp  first_host.k8s : 4000 ; ttl=16", "TCP", "first_host.k8s", 4000, ""),
        ("SIP/2.0/TLS [2001:db8::9:1]:5061;branch=x", "TLS", "2001:db8::9:1", 5061, "x"),
        ("SIP/2.0/UDP [::1]", "UDP", "::1", None, ""),
        ("SIP/2.0/UDP 2001:db8::1;branch=y", "UDP", "2001:db8::1", None, "y"),
    ],
)
def test_via_in_every_form(text: str, transport: str, host: str, port: int | None, branch: str) -> None:
    """RFC 3261 §20.42, RFC 4475 §3.1.1.1, RFC 5118 §4."""
    via = Via.parse(text)
    assert (via.transport, via.host, via.port, via.branch) == (transport, host, port, branch)
    assert Via.parse(str(via)) == via


@pytest.mark.parametrize(
    "text", ["", "UDP host", "SIP/2.0/UDP", "SIP/2.0/UDP ;branch=x", "SIP/2.0/UDP h:70000"]
)
def test_a_via_without_a_sender_is_refused(text: str) -> None:
    """RFC 3261 §20.42."""
    with pytest.raises(SipSyntaxError):
        Via.parse(text)


def test_a_response_goes_where_the_via_says() -> None:
    """Row 22: RFC 3261 §18.2.2, RFC 3581 §4: received and rport, else sent-by and its default port; no maddr."""
    assert Via.parse("SIP/2.0/UDP h:5070;maddr=1.1.1.1").reply_to == ("h", 5070)
    assert Via.parse("SIP/2.0/UDP h;received=192.0.2.9;rport=77").reply_to == ("192.0.2.9", 77)
    assert Via.parse("SIP/2.0/TLS h;rport").reply_to == ("h", 5061)
    assert Via.parse("SIP/2.0/UDP h;received=[::1];rport=999999").reply_to == ("::1", 5060)


def test_received_is_noted_only_where_it_differs_or_rport_asks() -> None:
    """Row 22: RFC 3261 §18.2.1, RFC 3581 §4."""
    assert Via.parse("SIP/2.0/UDP 192.0.2.1").seen_from("192.0.2.1", 5060).received is None
    assert Via.parse("SIP/2.0/UDP pc33").seen_from("192.0.2.1", 5060).received == "192.0.2.1"
    asked = Via.parse("SIP/2.0/UDP 192.0.2.1;rport").seen_from("192.0.2.1", 5062)
    assert (asked.received, asked.rport) == ("192.0.2.1", 5062)


def test_cseq_is_bounded() -> None:
    """RFC 3261 §8.1.1.5: below 2**31."""
    assert CSeq.parse("2147483647   INVITE") == CSeq(2**31 - 1, "INVITE")
    assert str(CSeq(1, "BYE")) == "1 BYE"
    for text in ("2147483648 INVITE", "-1 BYE", "1", "INVITE 1", "², BYE", "9" * 5000 + " BYE", ""):
        with pytest.raises(SipSyntaxError):
            CSeq.parse(text)


def test_an_attended_transfer_names_the_call_it_replaces() -> None:
    """RFC 5589 §7: Replaces escaped inside Refer-To; also raw, as some PBXs send it."""
    wanted = Replaces("12@192.0.2.1", "7", "x+1", False)
    escaped = "<sip:200@pbx?Replaces=12%40192.0.2.1%3Bto-tag%3D7%3Bfrom-tag%3Dx%2B1&Require=replaces>"
    assert ReferTo.parse(escaped).replaces == wanted
    assert ReferTo.parse("<sip:200@pbx?replaces=12@192.0.2.1;to-tag=7;from-tag=x+1>").replaces == wanted
    blind = ReferTo.parse("Bob <sip:200@pbx;method=INVITE>")
    assert (blind.replaces, blind.method, blind.address.uri.user) == (None, "INVITE", "200")


def test_replaces_needs_all_three_names() -> None:
    """RFC 3891 §6.1."""
    text = "a@b;to-tag=1;from-tag=2;early-only"
    assert str(Replaces.parse(text)) == text
    for broken in ("a@b", "a@b;to-tag=1", ";to-tag=1;from-tag=2", "a;to-tag;from-tag=2"):
        with pytest.raises(SipSyntaxError):
            Replaces.parse(broken)


def test_the_small_headers_of_timers_prack_and_causes() -> None:
    """Row 32: RFC 4028 §4, RFC 3262 §7.2, RFC 3261 §20.33, RFC 3326."""
    assert SessionExpires.parse("1800 ; Refresher=UAS") == SessionExpires(1800, "uas")
    assert str(SessionExpires(90, "uac")) == "90;refresher=uac"
    assert RAck.parse("776656 1 INVITE") == RAck(776656, CSeq(1, "INVITE"))
    assert RetryAfter.parse("120 (I'm in a meeting);duration=3") == RetryAfter(120)
    reasons = Reason.parse_many('Q.850;cause=16;text="Normal, clearing", SIP ;cause=200')
    assert reasons == [Reason("Q.850", 16, "Normal, clearing"), Reason("SIP", 200)]
    assert Reason.parse(str(reasons[0])) == reasons[0]


@pytest.mark.parametrize("text", ["", "x", "²", "-5", "9" * 5000])
def test_small_headers_that_are_no_number_are_refused(text: str) -> None:
    """Digits only, and not so many that they stop being a number."""
    for read in (SessionExpires.parse, RetryAfter.parse, RAck.parse):
        with pytest.raises(SipSyntaxError):
            read(text)


def test_a_challenge_is_read_and_written() -> None:
    """RFC 7616 §3.3, RFC 8760: several challenges on one line, commas inside quotes."""
    line = 'Digest realm="a, \\"b\\"", nonce="n==", qop="auth,auth-int",algorithm=SHA-256'
    line += ", Digest realm=x , nonce=y"
    first, second = AuthParams.parse_many(line)
    assert first.params == {"realm": 'a, "b"', "nonce": "n==", "qop": "auth,auth-int", "algorithm": "SHA-256"}
    assert second.params == {"realm": "x", "nonce": "y"}
    assert AuthParams.parse(str(first)) == first
    assert 'qop="auth,auth-int", algorithm=SHA-256' in str(first)


def test_credentials_leave_nc_and_qop_unquoted() -> None:
    """RFC 7616 §3.4: peers refuse a quoted nc or qop."""
    login = AuthParams("Digest", {"username": 'a"b', "nc": "00000001", "qop": "auth", "algorithm": "MD5"})
    assert str(login) == 'Digest username="a\\"b", nc=00000001, qop=auth, algorithm=MD5'
    assert AuthParams.parse(str(login)) == login


@pytest.mark.parametrize("text", ["", "Digest", "realm=x", "Digest realm", ","])
def test_a_login_that_cannot_be_read_is_refused(text: str) -> None:
    """RFC 7616 §3.3."""
    with pytest.raises(SipSyntaxError):
        AuthParams.parse(text)


# ---- who calls whom


def incoming(
    *headers: tuple[str, str], uri: str = "sip:100@pbx", sender: str = "<sip:200@pbx>;tag=1"
) -> Request:
    return Request("INVITE", uri, [("From", sender), ("To", "<sip:+4930123@pbx>"), *headers])


def test_the_asserted_identity_is_believed_from_a_trusted_trunk_only() -> None:
    """Row 42: RFC 3325 §6: PAI, then Remote-Party-ID, then From."""
    invite = incoming(
        ("Remote-Party-ID", '"R" <sip:300@pbx>;privacy=off'),
        ("P-Asserted-Identity", "garbage, <tel:+49-30-999>"),
        sender='"F" <sip:200@pbx>',
    )
    assert caller(invite, trusted=True) == Caller("+4930999", "", hidden=False)
    assert caller(invite, trusted=False) == Caller("200", "F", hidden=False)
    assert caller(invite.remove("P-Asserted-Identity"), trusted=True) == Caller("300", "R", hidden=False)


def test_privacy_hides_the_number_but_routing_may_use_it() -> None:
    """Row 42: RFC 3323 §4.2, RFC 3325 §9.3: an anonymous From with an asserted identity."""
    invite = incoming(
        ("P-Asserted-Identity", "<sip:+49301@carrier>"),
        ("Privacy", "id;critical"),
        sender='"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1',
    )
    assert caller(invite, trusted=True) == Caller("+49301", "", hidden=True)
    assert caller(invite, trusted=False) == Caller("", "", hidden=True)
    assert not caller(incoming(("Privacy", "none")), trusted=True).hidden
    assert caller(incoming(("Remote-Party-ID", "<sip:3@h>;privacy=full")), trusted=True).hidden


def test_the_called_number_is_the_request_uri_else_to_else_p_called_party_id() -> None:
    """Row 42: RFC 3261 §8.1.1.1; RFC 7315 §4.2."""
    assert called(incoming()) == "100"
    assert called(incoming(uri="sip:203.0.113.5")) == "+4930123"
    bare = incoming(("P-Called-Party-ID", "<sip:777@ims>"), uri="sip:203.0.113.5").set("To", "<sip:pbx>")
    assert called(bare) == "777"
    assert called(bare.remove("P-Called-Party-ID")) == ""


def test_the_number_behind_our_registered_contact_is_what_was_called() -> None:
    """Row 42: a registrar sends the call to the contact that we gave it; the number is in To, or where the
    registrar keeps the Request-URI that it replaced (RFC 7315 §4.2)."""
    to_us = incoming(uri="sip:bot-7@203.0.113.5:5060")
    assert called(to_us) == "bot-7"
    assert called(to_us, "bot-7") == "+4930123"
    assert called(to_us.add("P-Called-Party-ID", "<sip:+4940@carrier>"), "bot-7") == "+4940"
    assert called(incoming(uri="sip:100@203.0.113.5"), "bot-7") == "100"
    alone = incoming(uri="sip:bot-7@203.0.113.5").set("To", "<sip:bot-7@carrier>")
    assert called(alone, "bot-7") == "bot-7", "nothing better is known"


def test_the_number_that_forwarded_the_call_is_known() -> None:
    """Row 42: RFC 5806 §4, RFC 7044 §9.1: latest first; the last History-Info entry is the present target."""
    diverted = incoming(("Diversion", "<sip:500@pbx>;reason=no-answer, <sip:501@pbx>;reason=busy"))
    assert diverted_from(diverted) == ["500", "501"]
    history = incoming(
        ("History-Info", "<sip:501@pbx>;index=1, <sip:500@pbx>;index=1.1, <sip:100@us>;index=1.2")
    )
    assert diverted_from(history) == ["500", "501"]
    assert diverted_from(incoming()) == []
