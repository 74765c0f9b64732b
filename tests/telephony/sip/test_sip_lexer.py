"""Datagrams and streams as phones, PBXs and scanners really send them."""

from __future__ import annotations

import pytest

from telephony.errors import SipSyntaxError
from telephony.sip.body import find_part
from telephony.sip.lexer import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINE,
    Framer,
    Ping,
    is_keepalive,
    lex,
    salvage,
)
from telephony.sip.message import Request, Response

INVITE = (
    b"INVITE sip:100@203.0.113.5 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK+0df+sip+1;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b"From: <sip:alice@example.com>;tag=a1\r\n"
    b"To: <sip:100@203.0.113.5>\r\n"
    b"Call-ID: 77@192.0.2.1\r\n"
    b"CSeq: 4711 INVITE\r\n"
    b"Contact: <sip:alice@192.0.2.1:5070>\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 5\r\n"
    b"\r\n"
    b"v=0\r\n"
)


def with_line(line: bytes, message: bytes = INVITE) -> bytes:
    return message.replace(b"Max-Forwards: 70\r\n", line, 1)


def request(data: bytes) -> Request:
    message = lex(data)
    assert isinstance(message, Request)
    return message


def test_a_plain_invite_is_read() -> None:
    """RFC 3261 §7.1."""
    invite = request(INVITE)
    assert (invite.method, invite.uri, invite.body) == ("INVITE", "sip:100@203.0.113.5", b"v=0\r\n")
    assert invite.via.branch == "z9hG4bK+0df+sip+1"
    assert (invite.via.host, invite.via.port, invite.via.wants_rport) == ("192.0.2.1", 5070, True)
    assert (invite.from_tag, invite.to_tag, invite.call_id) == ("a1", "", "77@192.0.2.1")
    assert (invite.cseq.number, invite.cseq.method, invite.max_forwards) == (4711, "INVITE", 70)
    assert invite.contact is not None
    assert invite.contact.uri.user == "alice"


def test_a_message_that_was_read_is_sent_on_byte_for_byte() -> None:
    """Row 43: Proxies and peers match by bytes: branch characters, spaces inside values and Latin-1 survive."""
    odd = with_line(
        b'Subject: "J\xf6rg"  x=%2B,  y\r\nX-Odd: \xff\xfe <>;;,\r\nIdentity: ' + b"e" * 1800 + b"\r\n"
    )
    assert lex(odd).encode() == odd


def test_folded_lines_become_one() -> None:
    """Row 35: RFC 3261 §7.3.1: a line that starts with white space continues the one above."""
    invite = request(with_line(b"Subject: I know\r\n  you're there,\r\n\tpick up\r\n"))
    assert invite.get("Subject") == "I know you're there, pick up"


def test_compact_names_any_case_and_a_space_before_the_colon_are_the_long_name() -> None:
    """Row 35: RFC 3261 §7.3.3, §7.3.1; Teams sends capitals."""
    data = with_line(b"k: timer, 100rel\r\nX: 1800;refresher=uas\r\nMAX-FORWARDS : 69\r\nSUPPORTED:path\r\n")
    invite = request(data.replace(b"\r\nVia:", b"\r\nv:").replace(b"Call-ID:", b"I  :"))
    assert invite.values("supported") == ["timer", "100rel", "path"]
    assert invite.get("Session-Expires") == "1800;refresher=uas"
    assert invite.max_forwards == 69
    assert invite.call_id == "77@192.0.2.1"
    assert ("Via", "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK+0df+sip+1;rport") in invite.headers


def test_bare_line_feeds_and_leading_line_ends_are_accepted() -> None:
    """RFC 3261 §7.5 for the leading ones; the bare LF is what scripts and some gateways send."""
    data = b"\r\n\r\n" + INVITE.replace(b"\r\n", b"\n").replace(b"Content-Length: 5", b"Content-Length: 4")
    assert request(data).body == b"v=0\n"


@pytest.mark.parametrize("line", [b"SIP/2.0 200", b"SIP/2.0 200 ", b"sip/2.0  200 OK"])
def test_a_status_line_may_lack_its_reason(line: bytes) -> None:
    """RFC 3261 §7.2 wants the space and allows an empty phrase; some send neither."""
    response = lex(line + b"\r\nCSeq: 1 INVITE\r\n\r\n")
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (200, "OK")


def test_without_content_length_the_rest_of_the_datagram_is_the_body() -> None:
    """Row 36: RFC 3261 §18.3."""
    assert request(INVITE.replace(b"Content-Length: 5\r\n", b"") + b"o=x\r\n").body == b"v=0\r\no=x\r\n"


def test_bytes_past_content_length_are_cut_and_missing_ones_refused() -> None:
    """Row 36: RFC 3261 §18.3."""
    assert request(INVITE + b"garbage").body == b"v=0\r\n"
    with pytest.raises(SipSyntaxError, match="Content-Length is 5 but 4 bytes") as caught:
        lex(INVITE[:-1])
    assert caught.value.code == 400


@pytest.mark.parametrize(
    "lines",
    [
        b"l: 5\r\nContent-Length: 4\r\n",
        b"l: -1\r\n",
        b"l: \xc2\xb2\r\n",
        b"l: " + b"9" * 5000 + b"\r\n",
        b"l:\r\n",
    ],
)
def test_a_content_length_that_can_be_read_two_ways_is_refused(lines: bytes) -> None:
    """Two parsers must not see two messages (RFC 4475 §3.1.2.2)."""
    with pytest.raises(SipSyntaxError, match="Content-Length"):
        lex(INVITE.replace(b"Content-Length: 5\r\n", lines))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 400),
        (b"\x00\x01\x00\x00!\x12\xa4B", 400),  # STUN on the SIP port
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"INVITE sip:a@b\r\n\r\n", 400),
        (b"INVITE sip:a@b; lr SIP/2.0\r\n\r\n", 400),
        (b"INVITE sip:a@b SIP/3.0\r\n\r\n", 505),
        (b"SIP/2.0 999 Bad\r\n\r\n", 400),
        (b"SIP/7.0 200 OK\r\n\r\n", 505),
        (with_line(b"no colon here\r\n"), 400),
        (with_line(b"X-Split: a\rVia: SIP/2.0/UDP evil\r\n"), 400),
        (with_line(b"X: y\r\n" * (MAX_HEADERS + 1)), 513),
        (INVITE + b"x" * 65536, 513),
        (with_line(b"X: " + b"y" * MAX_LINE + b"\r\n"), 513),
        (
            with_line(b"X: " + b"y\r\n " * (MAX_LINE // 2) + b"\r\n"),
            513,
        ),  # folded, it is one line all the same
        (with_line((b"X: " + b"y" * (MAX_LINE - 3) + b"\r\n") * 2), 513),
    ],
)
def test_what_is_no_sip_message_is_refused_with_the_right_status(data: bytes, code: int) -> None:
    """RFC 3261 §21.4.1, §21.5.6, §21.5.7; RFC 4475 §3.1.2."""
    with pytest.raises(SipSyntaxError) as caught:
        lex(data)
    assert caught.value.code == code


def test_a_line_as_long_as_may_be_is_read() -> None:
    """A chain of signed identities (RFC 8946) is long; a body may be longer than all headers."""
    message = lex(with_line(b"Identity: " + b"y" * (MAX_LINE - 10) + b"\r\n") + b"v" * 40_000)
    assert len(message.get("Identity") or "") == MAX_LINE - 10


def test_a_request_with_an_endless_line_is_still_told_so() -> None:
    """RFC 3261 §8.2.6.2: 513 goes where Via says; a response, or a request without any other Via, is dropped."""
    long = b"X: " + b"y" * 60_000 + b"\r\n"
    wreck = salvage(with_line(long))
    assert wreck is not None and wreck.get("X") is None
    assert Response.answering(wreck, 513, to_tag="t9").get("Via") == wreck.get("Via")
    assert (
        salvage(with_line(long).replace(b"INVITE sip:100@203.0.113.5 SIP/2.0", b"SIP/2.0 200 OK", 1)) is None
    )
    assert (
        salvage(b"INVITE sip:a@b SIP/2.0\r\nVia: " + b"y" * 60_000 + b"\r\nFrom: <sip:a@b>\r\n\r\n") is None
    )


def test_a_stream_whose_headers_do_not_end_is_given_up_early() -> None:
    """RFC 3261 §18.3: the connection has no beat any more; nobody may fill our memory first."""
    framer = Framer()
    with pytest.raises(SipSyntaxError, match="no end of headers"):
        framer.feed(INVITE.partition(b"\r\n\r\n")[0] + b"\r\nX: " + b"y" * MAX_HEAD_BYTES)


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0", b"\0\0\0\0", b"\n"])
def test_a_keepalive_is_no_message(data: bytes) -> None:
    """RFC 5626 §3.5.1, and the NULs that some phones send."""
    assert is_keepalive(data)
    assert not is_keepalive(INVITE)


def test_a_broken_request_still_says_where_to_send_the_400() -> None:
    """RFC 3261 §8.2.6.2: the refusal echoes Via, From, To, Call-ID and CSeq."""
    broken = with_line(b"no colon here\r\n")[:-3]
    with pytest.raises(SipSyntaxError):
        lex(broken)
    wreck = salvage(broken)
    assert wreck is not None
    refusal = Response.answering(wreck, 400, to_tag="t9")
    assert b"Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK+0df+sip+1;rport\r\n" in refusal.encode()
    assert refusal.to_tag == "t9"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n",
        b"SIP/2.0 200",
        INVITE.replace(b"INVITE sip", b"ACK sip"),
        INVITE.replace(b"Call-ID", b"X-ID"),
    ],
)
def test_wrecks_that_get_no_answer(data: bytes) -> None:
    """RFC 3261 §17.1.1.3: nothing answers an ACK, nor a response; without Call-ID no peer can match it."""
    assert salvage(data) is None


# ---- answers


def test_an_answer_echoes_what_identifies_the_transaction_byte_for_byte() -> None:
    """Row 23: RFC 3261 §8.2.6.2 and §12.1.1: every Via in order, From, To plus our tag, Record-Route unchanged."""
    routes = (
        b"Record-Route: <sip:p2;lr;r2=on>,<sip:p1;transport=TCP;lr;r2=on>\r\nRecord-Route: <sip:p0;lr>\r\n"
    )
    data = with_line(b"v: SIP / 2.0/UDP p0 : 5060;branch=z9hG4bK%2B!*'\r\n" + routes)
    ringing = Response.answering(request(data), 180, to_tag="ours")
    assert ringing.all("Via") == [
        "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK+0df+sip+1;rport",
        "SIP / 2.0/UDP p0 : 5060;branch=z9hG4bK%2B!*'",
    ]
    assert ringing.get("To") == "<sip:100@203.0.113.5>;tag=ours"
    assert ringing.record_routes == ["<sip:p2;lr;r2=on>", "<sip:p1;transport=TCP;lr;r2=on>", "<sip:p0;lr>"]
    assert ringing.first_line == "SIP/2.0 180 Ringing"


def test_a_trying_has_no_tag_and_a_refusal_no_record_route() -> None:
    """RFC 3261 §8.2.6.1, §12.1.1."""
    invite = request(with_line(b"Record-Route: <sip:p;lr>\r\nTimestamp: 54\r\n"))
    trying = Response.answering(invite, 100, to_tag="ours")
    assert (trying.to_tag, trying.get("Timestamp"), trying.record_routes) == ("", "54", [])
    assert Response.answering(invite, 486, to_tag="ours").record_routes == []


@pytest.mark.parametrize(
    "to", ["<sip:100@h>;tag=theirs", "sip:100@h;TAG=theirs", '"a;tag=x" <sip:100@h> ; tag = theirs']
)
def test_the_tag_of_a_dialog_is_never_replaced(to: str) -> None:
    """Row 17: RFC 3261 §8.2.6.2: a To that has a tag is echoed as it is."""
    invite = request(INVITE).set("To", to)
    assert Response.answering(invite, 200, to_tag="ours").get("To") == to


def test_the_source_is_noted_in_the_top_via_only() -> None:
    """RFC 3581 §4: rport is filled and received added; a received that the sender wrote does not stand."""
    two = (
        b"v: SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK+0;received=198.51.100.9, SIP/2.0/UDP  below\r\n"
    )
    invite = request(INVITE.replace(INVITE.splitlines(keepends=True)[1], two)).arrived_from(
        "203.0.113.77", 40123
    )
    assert invite.get("Via") == (
        "SIP/2.0/UDP 192.0.2.1:5070;rport=40123;branch=z9hG4bK+0;received=203.0.113.77, SIP/2.0/UDP  below"
    )
    assert invite.via.reply_to == ("203.0.113.77", 40123)


def test_the_first_via_is_readable_when_one_below_is_not() -> None:
    """The Vias below belong to others; they are echoed whatever they say."""
    invite = request(with_line(b"Via: nonsense\r\n"))
    assert invite.via.branch == "z9hG4bK+0df+sip+1"
    with pytest.raises(SipSyntaxError, match="nonsense"):
        _ = invite.vias


# ---- changing a message


def test_changing_a_header_changes_the_typed_view() -> None:
    """The views are cached; a change may not leave a stale one."""
    invite = request(INVITE)
    assert invite.cseq.number == 4711
    invite.set("CSeq", "4712 INVITE").prepend("Route", "<sip:p1;lr>").add("Route", "<sip:p2;lr>")
    assert invite.cseq.number == 4712
    assert [route.uri.host for route in invite.routes] == ["p1", "p2"]
    assert invite.headers[0] == ("Route", "<sip:p1;lr>")
    assert invite.remove("route").routes == []
    assert [name for name, _ in invite.headers] == [name for name, _ in request(INVITE).headers]


def test_a_copy_is_independent() -> None:
    """Retransmissions keep their bytes while the next request is built from the same headers."""
    invite = request(INVITE)
    again = invite.copy().set("CSeq", "4712 INVITE")
    assert (invite.cseq.number, again.cseq.number) == (4711, 4712)
    assert invite.encode() == INVITE


def test_a_line_break_cannot_be_smuggled_into_a_message_of_ours() -> None:
    """A dialled number or display name with CRLF must not become a header."""
    with pytest.raises(SipSyntaxError, match="line break"):
        request(INVITE).add("Subject", "a\r\nRoute: <sip:evil>")
    for smuggled in ("sip:1@h\r\nRoute: <sip:evil>", "sip:1@h\nX: y", "sip:1@h\r"):
        with pytest.raises(SipSyntaxError, match="line break"):
            Request("INVITE", smuggled, [("To", "x")]).encode()
    with pytest.raises(SipSyntaxError, match="line break"):
        Request("INVITE", "sip:1@h", [("To", "x\r\nX: y")]).encode()


def test_missing_and_unreadable_headers_raise_our_own_error() -> None:
    """RFC 3261 §8.1.1: the mandatory ones; the message says which."""
    bare = Request("INVITE", "sip:1@h", [("CSeq", "x INVITE"), ("Max-Forwards", "²")])
    for read in ("via", "from_", "to", "call_id", "cseq", "max_forwards"):
        with pytest.raises(SipSyntaxError):
            getattr(bare, read)
    assert bare.contact is None
    assert bare.vias == []


def test_contact_star_is_no_address() -> None:
    """RFC 3261 §10.2.2."""
    star = request(INVITE).set("Contact", "*")
    assert (star.contact, star.contact_is_star) == (None, True)


# ---- bodies


def test_the_sdp_is_found_inside_a_multipart() -> None:
    """Row 43: RFC 5621: SIP-I gateways and emergency calls wrap the SDP; the boundary owns the line end before it."""
    body = (
        b"--b1\r\nContent-Type: application/isup;version=itu-t92+\r\n\r\n\x01\x11\x00\r\n"
        b"--b1\r\nCONTENT-TYPE : application/SDP\r\nContent-Disposition: session\r\n\r\n"
        b"v=0\r\ns=-\r\n\r\n--b1--\r\n"
    )
    invite = request(INVITE).set("Content-Type", 'multipart/mixed;boundary="b1"')
    invite.body = body
    assert find_part(invite, "application/sdp") == b"v=0\r\ns=-\r\n"
    assert find_part(invite, "message/sipfrag") is None
    assert find_part(request(INVITE), "application/sdp") == b"v=0\r\n"


# ---- streams


def test_a_stream_is_cut_at_content_length() -> None:
    """RFC 3261 §18.3: two messages in one segment."""
    found = Framer().feed(INVITE + INVITE.replace(b"INVITE", b"UPDATE"))
    assert [item.method for item in found if isinstance(item, Request)] == ["INVITE", "UPDATE"]
    assert all(isinstance(item, Request) and item.body == b"v=0\r\n" for item in found)


@pytest.mark.parametrize("step", [1, 3, 7, 64])
def test_a_message_in_many_segments_is_one_message(step: int) -> None:
    """Row 36: TCP gives any pieces, even between CR and LF."""
    framer, found = Framer(), []
    stream = INVITE + b"\r\n" + INVITE
    for start in range(0, len(stream), step):
        found += framer.feed(stream[start : start + step])
    assert [item.encode() for item in found if isinstance(item, Request)] == [INVITE, INVITE]
    assert len(found) == 2


def test_a_double_line_end_on_a_stream_is_a_ping() -> None:
    """Row 37: RFC 5626 §4.4.1: answered with one line end; a single one before a message is only skipped."""
    framer = Framer()
    assert framer.feed(b"\r\n\r") == []
    assert framer.feed(b"\n\r\n") == [Ping()]
    assert [type(item) for item in framer.feed(INVITE)] == [Request]


def test_a_stream_without_content_length_has_no_body() -> None:
    """RFC 3261 §18.3 wants the header on streams; what follows then is the next message."""
    bye = b"BYE sip:a@b SIP/2.0\r\nCSeq: 2 BYE\r\n\r\n"
    found = [item for item in Framer().feed(bye + INVITE) if isinstance(item, Request)]
    assert [(item.method, item.body) for item in found] == [("BYE", b""), ("INVITE", b"v=0\r\n")]


def test_a_stream_that_lost_its_beat_is_refused() -> None:
    """A body that never fits and a head that never ends must not fill the memory."""
    with pytest.raises(SipSyntaxError, match="too large"):
        Framer().feed(INVITE.replace(b"Content-Length: 5", b"Content-Length: 70000"))
    framer = Framer()
    with pytest.raises(SipSyntaxError, match="no end of headers"):
        for _ in range(20):
            framer.feed(b"X: " + b"a" * 4096)
