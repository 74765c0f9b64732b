"""Damaged traffic: whatever arrives is read, or refused with this package's own error, and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telephony.errors import TelephonyError
from telephony.sdp.description import Sdp
from telephony.sdp.negotiate import LocalMedia, accept, answer, offer
from telephony.sip.body import find_part
from telephony.sip.headers import (
    Address,
    AuthParams,
    RAck,
    Reason,
    ReferTo,
    Replaces,
    RetryAfter,
    SessionExpires,
)
from telephony.sip.lexer import Framer, is_keepalive, lex, salvage
from telephony.sip.message import Message, Request, Response
from telephony.sip.parties import called, caller, diverted_from

T = TypeVar("T")

SEED = 20260107
DATAGRAMS = 10_000

SDP = b"""v=0
o=root 1821 1821 IN IP4 203.0.113.5
s=Asterisk PBX 20.5
c=IN IP4 203.0.113.5
b=AS:84
t=0 0
m=audio 14420 RTP/AVP 0 8 111 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:111 opus/48000/2
a=fmtp:111 useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32
a=ptime:20
a=maxptime:150
a=rtcp:14421 IN IP4 203.0.113.5
a=sendrecv
m=video 0 RTP/AVP 96
c=IN IP6 2001:db8::1
"""

INVITE = b"""INVITE sip:+4930123456;npdi@198.51.100.1:5060;transport=udp;user=phone SIP/2.0
Record-Route: <sip:10.0.0.1;r2=on;lr=on;ftag=as58f4>,<sip:203.0.113.1;r2=on;lr>
Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bK+0df+sip+1+!*', SIP/2.0/TCP [2001:db8::9];rport;received=::1
v: SIP / 2.0 / UDP pbx_2.k8s;branch=z9hG4bK77ef
Max-Forwards: 69
From: "M\xfcller, \\"J\\" & Co" <sip:%2B49170123@carrier.example;user=phone>;tag=as58f4
To: <sip:+4930123456@198.51.100.1>
Contact: <sip:asterisk@203.0.113.5:5060;ob>;expires=3600;+sip.instance="<urn:uuid:1-2>"
Call-ID: 3c26701a-7@203.0.113.5
CSeq: 102 INVITE
Supported: replaces, timer,
 100rel
x: 1800;refresher=uac
P-Asserted-Identity: <tel:+49-170-123>, "J" <sip:1@c>
Privacy: id;critical
Diversion: <sip:500@pbx>;reason=no-answer;counter=1
History-Info: <sip:1@a?Reason=SIP%3Bcause%3D302>;index=1, <sip:2@b>;index=1.1
Remote-Party-ID: "A" <sip:170@c>;privacy=off;screen=yes
Authorization: Digest username="bot", realm="pbx", nonce="8f=,", uri="sip:p", nc=01, qop=auth
Content-Type: application/sdp

"""

REFER = b"""REFER sip:bot@198.51.100.1 SIP/2.0
VIA: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK3;rport
FROM: sip:200@pbx;tag=1
t: Bob<sip:100@pbx>;tag=ours
i: abc
CSEQ: 7 REFER
r: <sip:300@pbx?Replaces=12%40pbx%3Bto-tag%3D7%3Bfrom-tag%3Dx&Require=replaces>
Referred-By: <sip:200@pbx>
Content-Length: 0

"""

PRACK = b"""PRACK sip:bot@198.51.100.1 SIP/2.0
Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK4
From: <sip:200@pbx>;tag=1
To: <sip:100@pbx>;tag=2
Call-ID: abc
CSeq: 8 PRACK
RAck: 776656 1 INVITE
Replaces: 12@pbx;to-tag=7;from-tag=x;early-only
Retry-After: 120 (meeting);duration=3
Reason: Q.850;cause=16;text="Normal, clearing", SIP;cause=200
Content-Type: multipart/mixed;boundary="b1"

--b1
Content-Type: application/isup

\x01\x11\x00
--b1
Content-Type: application/sdp

"""

OK = b"""SIP/2.0 200 OK
Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKours;rport=5060;received=198.51.100.1
Record-Route: <sip:203.0.113.1;lr>
From: <sip:bot@198.51.100.1>;tag=ours
To: "Agent" <sip:200@pbx>;tag=theirs
Call-ID: ours@198.51.100.1
CSeq: 1 INVITE
Contact: *
WWW-Authenticate: Digest realm="a, b", nonce="n==", qop="auth,auth-int", Digest realm=x, nonce=y
Expires: 3600
l: 0

"""


def _wire(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


CORPUS = [
    _wire(INVITE + SDP),
    _wire(REFER),
    _wire(PRACK + SDP + b"--b1--\n"),
    _wire(OK),
    _wire(OK.replace(b"l: 0\n", b"") + SDP),
]

POISON = [
    *(
        b"",
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n ",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b'"',
        b"\\",
        b"<",
        b">",
        b";",
        b",",
        b":",
    ),
    *(
        b"@",
        b"%",
        b"%zz",
        b"=",
        b"[",
        b"]",
        b"[::1]",
        b"?",
        b"/",
        b"*",
        b"-1",
        b"\xc2\xb2",
        b"\xff\xfe",
        b"\xed\xa0\x80",
    ),
    *(
        b"9" * 5000,
        b"4294967296",
        b"65536",
        b";" * 300,
        b"<" * 300,
        b'"' * 301,
        b"(" * 300,
        b"a=ptime:",
        b"m=audio ",
    ),
    *(
        b"c=IN IP4 0.0.0.0\r\n",
        b"Content-Length: 7\r\n",
        b"l: x\r\n",
        b"tag=",
        b"SIP/2.0",
        b"sip:",
        b"tel:",
        b"Digest ",
    ),
]

LOCAL = LocalMedia("198.51.100.1", 10000)
OUR_OFFER = offer(LOCAL)

HEADER_READERS: list[tuple[str, Callable[[str], object]]] = [
    ("Session-Expires", SessionExpires.parse),
    ("Retry-After", RetryAfter.parse),
    ("RAck", RAck.parse),
    ("Replaces", Replaces.parse),
    ("Refer-To", ReferTo.parse),
    ("Reason", Reason.parse_many),
    ("Authorization", AuthParams.parse),
    ("WWW-Authenticate", AuthParams.parse_many),
    ("P-Asserted-Identity", Address.parse_many),
    ("Diversion", Address.parse_many),
]
VIEWS = [
    *("vias", "via", "from_", "to", "from_tag", "to_tag", "call_id", "cseq", "contacts", "contact"),
    *("contact_is_star", "max_forwards", "expires", "routes", "record_routes", "content_type"),
]


def damaged(rng: random.Random) -> bytes:
    """One datagram of the corpus with one to four wounds."""
    data = bytearray(rng.choice(CORPUS))
    for _ in range(rng.choice((1, 1, 2, 3, 4))):
        at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        match rng.randrange(8):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randrange(1, 24)]
            case 2:
                data[at:at] = rng.choice(POISON)
            case 3:
                data[at : at + rng.randrange(1, 12)] = rng.choice(POISON)
            case 4:
                data[at:at] = data[at : min(end, at + 400)] * rng.randrange(1, 4)
            case 5:
                other = rng.choice(CORPUS)
                data[at:] = other[rng.randrange(len(other)) :]
            case 6:
                del data[at:]
            case _:
                lines = bytes(data).split(b"\r\n")
                rng.shuffle(lines)
                data[:] = b"\r\n".join(lines)
    return bytes(data)


def outcome(read: Callable[..., T], *given: object) -> T | None:
    """What reading gives, None where it is refused as it should be. Any other exception fails the test."""
    try:
        return read(*given)
    except TelephonyError as error:
        assert str(error), "an error says what is wrong"
        return None


def shown(message: Message, view: str) -> str:
    """A typed view, parsed and written again."""
    return str(getattr(message, view))


def reread(read: Callable[[str], object], value: str) -> str:
    """A header value, parsed and written again."""
    return str(read(value))


def devour(data: bytes) -> str:
    """Read everything that can be read in a datagram; the deepest point reached."""
    is_keepalive(data)
    outcome(Framer().feed, data)
    message = outcome(lex, data)
    if message is None:
        if (wreck := salvage(data)) is not None:
            lex(Response.answering(wreck, 400, to_tag="ours").encode())
        return "refused"
    assert lex(message.encode()).headers[:-1] == [
        line for line in message.headers if line[0] != "Content-Length"
    ]
    readable = [outcome(shown, message, view) for view in VIEWS]
    for name, read in HEADER_READERS:
        for value in message.all(name):
            outcome(reread, read, value)
    if isinstance(message, Request):
        outcome(question, message)
    body = find_part(message, "application/sdp")
    sdp = outcome(Sdp.parse, body) if body is not None else None
    if sdp is None:
        return "unreadable headers" if None in readable else "message"
    return negotiate(sdp)


def question(request: Request) -> None:
    """Ask a request what reception asks; each answer may be refused by itself."""
    outcome(lambda: request.target.number)
    outcome(called, request)
    outcome(lambda: caller(request, trusted=True))
    diverted_from(request)
    lex(Response.answering(request.arrived_from("::1", 5), 200, to_tag="ours").encode())


def negotiate(sdp: Sdp) -> str:
    """Answer a description as an offer, and take it as an answer; "answer" or "description"."""
    Sdp.parse(sdp.encode().encode())
    for media in sdp.media:
        for view in ("payloads", "cryptos", "ptime_ms", "maxptime_ms", "rtcp_port", "direction"):
            getattr(media, view)
    outcome(accept, LOCAL, OUR_OFFER, sdp)
    agreed = outcome(answer, LOCAL, sdp)
    if agreed is None:
        return "description"
    ours, plan = agreed
    assert [media.kind for media in Sdp.parse(ours.encode().encode()).media] == [
        media.kind for media in sdp.media
    ]
    assert plan.send_pt in range(128)
    return "answer"


def test_the_undamaged_corpus_is_read_to_the_end() -> None:
    """Else the wounds below would only scratch the surface."""
    assert [devour(data) for data in CORPUS] == ["answer", "message", "answer", "message", "answer"]


def test_ten_thousand_damaged_datagrams_are_read_or_refused() -> None:
    """Seeded, so that a failure comes back; the spread shows that the damage reaches every layer."""
    rng = random.Random(SEED)
    reached = Counter(devour(damaged(rng)) for _ in range(DATAGRAMS))
    assert sum(reached.values()) == DATAGRAMS
    assert (
        min(reached[depth] for depth in ("refused", "unreadable headers", "message", "description", "answer"))
        > 100
    )


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=400))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    """Scanners and strayed RTP send anything."""
    devour(noise)
    if (sdp := outcome(Sdp.parse, noise)) is not None:
        negotiate(sdp)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(CORPUS), st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=8)), max_size=6))
def test_overwritten_bytes_are_read_or_refused(data: bytes, wounds: list[tuple[int, bytes]]) -> None:
    """Like the seeded wounds, but shrunk to the smallest datagram that fails."""
    torn = bytearray(data)
    for at, patch in wounds:
        torn[at : at + len(patch)] = patch
    devour(bytes(torn))


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=120))
def test_any_text_in_a_header_is_read_or_refused(text: str) -> None:
    """Every header reader by itself, with text that no mutation would find."""
    for _, read in HEADER_READERS:
        outcome(reread, read, text)
    for name in ("Via", "From", "To", "Contact", "CSeq", "Max-Forwards", "Route"):
        message = Request("INVITE", text, [(name, text)])
        for view in [*VIEWS, "target"]:
            outcome(shown, message, view)
