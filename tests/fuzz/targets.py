"""What is fuzzed: each parser of the wire by itself, and whole sessions through Stack and Stream.

A target eats one input. Reading it or refusing it with this package's own error is fine; anything else is a finding.
Driven by tests/telephony/test_wire_fuzz.py (bounded) and by `make fuzz` (tests/fuzz/__main__.py, as long as one
likes). The seeds are good traffic, so that wounds reach every layer."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from telephony.call.keypad import pressed
from telephony.call.transfer import Transfer
from telephony.errors import MediaError, SipSyntaxError, TelephonyError
from telephony.media import rtcp
from telephony.media.codecs.g711 import encode_ulaw
from telephony.media.packet import kind_of
from telephony.media.packet import parse as parse_rtp
from telephony.media.report import SourceStats
from telephony.media.stream import Stream, StreamState
from telephony.media.tones import DIGITS, DigitListener
from telephony.sdp.description import Sdp
from telephony.sdp.plan import MediaPlan
from telephony.sip.body import find_part
from telephony.sip.digest import Credentials, Doorkeeper, Login, Proof
from telephony.sip.headers import AuthParams
from telephony.sip.lexer import Framer, lex
from telephony.sip.message import Request, Response
from tests.fuzz.dialogue import Endpoints, conversations
from tests.fuzz.wounds import packed, unpacked, wounded, wounded_session
from tests.telephony.test_sip_fuzz import CORPUS, HEADER_READERS, SDP, devour, negotiate, outcome, reread

Eat = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """seeds: good input. session: an input is several datagrams (wounds.packed). readings: how often `eat` reads it."""

    name: str
    eat: Eat
    seeds: Sequence[bytes]
    session: bool = False
    readings: int = 2

    def worse(self, dice: random.Random, *, large: bool = False) -> bytes:
        """One of the seeds, wounded."""
        wound = wounded_session if self.session else wounded
        return wound(dice.choice(self.seeds), self.seeds, dice, large=large)


# ------------------------------------------------------------------ SIP and SDP


def message(data: bytes) -> None:
    """A datagram on the SIP port, read to the last header and the last media line."""
    devour(data)


def connection(data: bytes) -> None:
    """A TCP connection: the same messages come out however the bytes are cut into pieces."""
    dice, framer = random.Random(crc32(data)), Framer()
    at, whole = 0, _framed([data])
    pieces = []
    while at < len(data):
        size = dice.choice((1, 3, 40, 1460, 16_000))
        pieces.append(data[at : at + size])
        at += size
    assert framer.feed(b"") == []
    assert _framed(pieces) == whole, "what a message is depends on how its bytes arrived"


def _framed(pieces: Sequence[bytes]) -> list[str]:
    framer, found = Framer(), list[str]()
    with suppress(SipSyntaxError):
        for piece in pieces:
            items = framer.feed(piece)
            while items:
                found += [getattr(item, "first_line", "ping") for item in items]
                items = framer.feed(b"")
    return found


def description(data: bytes) -> None:
    """A body that says it is SDP: read, and answered as an offer and as an answer."""
    if (sdp := outcome(Sdp.parse, data)) is not None:
        negotiate(sdp)


def header_lines(data: bytes) -> None:
    """The same text as every header that has a reader of its own."""
    text = data.decode("utf-8", "surrogateescape")
    for _, read in HEADER_READERS:
        outcome(reread, read, text)


DOORKEEPER = Doorkeeper("offhook", b"secret")
GIVEN = DOORKEEPER.challenge("192.0.2.1", 100.0)
GOOD_LOGIN = (
    'Digest username="ann", realm="offhook", nonce="%s", uri="sip:100@pbx", qop=auth, nc=00000001, '
    'cnonce="0a", response="%s", algorithm=MD5'
)


def digest_lines(data: bytes) -> None:
    """Somebody's credentials at our door, and somebody's challenge to our login: only right ones open."""
    text = data.decode("utf-8", "surrogateescape").replace("\r", " ").replace("\n", " ")
    asking = Request("INVITE", "sip:100@pbx", [("Authorization", text)])
    proof, user = DOORKEEPER.check(asking, "192.0.2.1", 110.0, {"ann": "a password that no input knows"})
    assert proof in (Proof.NONE, Proof.WRONG)
    assert user == ""
    login = Login(Credentials("bot", "s3cret"), lambda: "cnonce")
    for status, name in ((401, "WWW-Authenticate"), (407, "Proxy-Authenticate")):
        refusal = Response(status, "", [(name, text)])
        if login.challenged(refusal, set()):
            again = Request("INVITE", "sip:100@pbx", [("CSeq", "2 INVITE")])
            outcome(login.authorize, again)
            with suppress(SipSyntaxError):  # larger than a message may be
                assert len(lex(again.encode()).all("CSeq")) == 1, "a challenge wrote a line of its own"
            for line in [*again.all("Authorization"), *again.all("Proxy-Authorization")]:
                assert AuthParams.parse(line).params["username"] == "bot"


def bodies(data: bytes) -> None:
    """A Content-Type line, and a body of that type: what is found in it is a part of it."""
    kind, _, body = data.partition(b"\r\n")
    text = kind.decode("utf-8", "surrogateescape")
    for method in ("INVITE", "NOTIFY", "INFO"):
        request = Request(method, "sip:100@pbx", [("Content-Type", text)], body)
        for wanted in ("application/sdp", "message/sipfrag"):
            with suppress(TelephonyError):
                part = find_part(request, wanted)
                assert part is None or part in body
        with suppress(TelephonyError):
            key = pressed(request)
            assert key is None or key.pii_digits in DIGITS
        with suppress(TelephonyError):
            Transfer().notified(request)


# ------------------------------------------------------------------ media


def rtp(data: bytes) -> None:
    """One datagram on an RTP port: its payload lies within it."""
    assert kind_of(data, len(data)) in ("rtp", "rtcp", "stun", "dtls", "other")
    with suppress(MediaError):
        header = parse_rtp(data, len(data))
        assert 12 <= header.start <= header.end <= len(data)


def reports(data: bytes) -> None:
    """One compound RTCP packet: what it says of us is a share, a jitter, a time."""
    with suppress(MediaError):
        found = rtcp.parse(data, len(data))
        assert len(found.blocks) * 24 <= len(data)
        control = rtcp.Control(0x0FF0)
        control.receive(found, 100.0)
        assert control.remote_loss is None or 0 <= control.remote_loss < 1
        assert control.round_trip_s is None or control.round_trip_s >= 0


def keys(data: bytes) -> None:
    """A session of telephone events, 20 ms apart: four bytes of when and how, then the payload."""
    listener, now = DigitListener(), 1.0
    for datagram in unpacked(data):
        now += 0.02
        stamp = int.from_bytes(datagram[:4], "big")
        with suppress(MediaError):
            digit = listener.packet(stamp, bool(stamp & 1), datagram[4:], now)
            assert digit is None or digit in DIGITS
        listener.sounding(now)


def call(data: bytes) -> None:
    """A call whose caller sends this on both ports, a datagram a tick, and then speaks: he is heard."""
    with ExitStack() as sockets:
        phone, rtp_socket, control = (
            sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(3)
        )
        for sock in (phone, rtp_socket, control):
            sock.bind(("127.0.0.1", 0))
        levels: list[int] = []
        stream = Stream(
            rtp_socket,
            control,
            MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU", 8: "PCMA"}, phone.getsockname(), 101, 101),
            state=StreamState(0x0FF0, 1, 1),
            ear=lambda frame, _: levels.append(int(np.abs(frame).max()) if len(frame) == 160 else -1),
            mouth=lambda _: None,
            on_digit=lambda digit, _: levels.append(0 if digit in DIGITS else -1),
        )
        now, datagrams = 100.0, unpacked(data)
        for datagram in datagrams:
            with suppress(OSError):  # larger than UDP can carry
                phone.sendto(datagram, rtp_socket.getsockname())
                phone.sendto(datagram, control.getsockname())
            now += 0.02
            stream.tick(now)
            stream.silent_for(now)
        strange = len(levels)
        for n in range(30):
            head = struct.pack("!BBHII", 0x80, 0, 60_000 + n, 160 * n, 0x900D_F00D)
            phone.sendto(head + LOUD, rtp_socket.getsockname())
            now += 0.02
            stream.tick(now)
        report = stream.report()
        stream.close()
    assert -1 not in levels, "a frame of a wrong length, or a key that is none"
    assert report.sent == len(datagrams) + 30
    assert max(levels[strange + 20 :]) > 7000, "the caller is no longer heard"
    assert report.delay_ms <= 240


LOUD = encode_ulaw(np.full(160, 8000, np.int16))
STUN = struct.pack("!HHI", 0x0001, 8, 0x2112A442) + b"transaction1" + struct.pack("!HH", 0x8022, 4) + b"soft"
DTLS = b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", 40) + b"\x01" + bytes(39)


def report_packets() -> list[bytes]:
    """RTCP of every kind (RFC 3550 §6.4-§6.7, RFC 4585): reports, items, BYE with a reason, APP, feedback."""
    block = struct.pack("!IIIIII", 0x0FF0, 0x40_000003, 70_000, 33, 0x12345678, 0x8000)
    sender = struct.pack("!BBHI", 0x82, 200, 18, 0xCA11) + struct.pack("!IIIII", 1, 2, 3, 4, 5) + block * 2
    receiver = struct.pack("!BBHI", 0x81, 201, 7, 0xCA11) + block
    items = b"\x01\x05ann@x" + b"\x02\x03Ann" + b"\x08\x04\x02x=1" + b"\0"
    items += bytes(-len(items) % 4)
    names = struct.pack("!BBHI", 0x81, 202, 1 + len(items) // 4, 0xCA11) + items
    bye = struct.pack("!BBHI", 0x82, 203, 3, 0xCA11) + struct.pack("!I", 0xCA12) + b"\x03bye"
    app = struct.pack("!BBHI", 0x80, 204, 3, 0xCA11) + b"NAMEdata"
    nack = struct.pack("!BBHI", 0x81, 205, 3, 0xCA11) + struct.pack("!IHH", 0x0FF0, 7, 0xFFFF)
    stats = SourceStats()
    stats.begin(1)
    stats.packet(1)
    ours = rtcp.Control(0xCA11).compose(5.0, 1, 2, 3, 0x0FF0, stats)
    return [sender, receiver, sender + names, receiver + names + bye, app, nack, receiver + app, ours]


def sound_packets() -> list[bytes]:
    """RTP of every kind, and what else comes on its port."""
    head = struct.pack("!HII", 7, 1600, 0xCA11)
    return [
        b"\x80\x00" + head + LOUD,
        b"\x80\x88" + head + LOUD[:80],
        b"\x80\xe5" + head + struct.pack("!BBH", 5, 10, 160),
        b"\x80\x0d" + head + b"\x40",
        b"\x90\x00" + head + b"\xbe\xde\0\2\x10\x7f\x21\1\2\0\0\0" + LOUD,
        b"\xb2\x00" + head + b"csrccsrc" + b"\xbe\xde\0\2extended" + LOUD + b"\0\0\0\4",
        b"\xa0\x00" + head + b"\xff" * 200,
        b"\x80\x00" + head,
        STUN,
        DTLS,
    ]


def a_call_of_packets(seed: int) -> bytes:
    """Half a second of a call: speech, a key, a report, with the odd stranger between."""
    dice, found = random.Random(seed), list[bytes]()
    for n in range(25):
        kind, payload = 0, LOUD
        if 8 <= n < 14:
            kind, payload = 101, struct.pack("!BBH", 3, 10 | (0x80 if n > 10 else 0), 160 * (n - 7))
        stamp = 160 * (8 if kind else n)
        found.append(struct.pack("!BBHII", 0x80, kind, (65_530 + n) & 0xFFFF, stamp, 0xCA11) + payload)
        if dice.random() < 0.2:
            found.append(dice.choice([*report_packets(), STUN, DTLS]))
    return packed(found)


def key_sessions() -> list[bytes]:
    """Keys as they should be, then held too long, and of no keypad."""
    pressed_once = [struct.pack("!IBBH", 1600, 5, 10 | (0x80 if n > 4 else 0), 160 * n) for n in range(1, 8)]
    long = [
        struct.pack("!IBBH", 1600 + 0xFFFF * (n // 40), 9, 10, min(1600 * (n % 40), 0xFFFF))
        for n in range(80)
    ]
    flash = [struct.pack("!IBBH", 9600, 16, 10, 160 * n) for n in range(5)]
    return [packed(pressed_once), packed(long), packed(flash + pressed_once)]


def content() -> list[bytes]:
    """Bodies behind their Content-Type."""
    sdp = SDP.replace(b"\n", b"\r\n")
    parts = (
        b"--b1\r\nContent-Type: application/isup\r\n\r\n\1\2\r\n--b1\r\nC: application/sdp\r\n\r\n"
        + sdp
        + b"--b1--\r\n"
    )
    return [
        b"application/sdp\r\n" + sdp,
        b'multipart/mixed;boundary="b1"\r\n' + parts,
        b"multipart/mixed ; x=y; boundary=b1\r\n" + parts.replace(b"application/sdp", b"message/sipfrag"),
        b"message/sipfrag;version=2.0\r\nSIP/2.0 183 Session Progress\r\nContact: <sip:1@2>\r\n",
        b"message/sipfrag\r\nSIP/2.0 603 Declined",
        b"application/dtmf-relay\r\nSignal=5\r\nDuration=160\r\n",
        b"application/dtmf\r\n*",
    ]


def login_lines() -> list[bytes]:
    nonce = AuthParams.parse(GIVEN[0][1]).params["nonce"]
    return [
        (GOOD_LOGIN % (nonce, "0" * 32)).encode(),
        (GOOD_LOGIN % ("x.y", "f" * 64)).replace("MD5", "SHA-256").encode(),
        *(line.encode() for _, line in GIVEN),
        b'Digest realm="a, b", nonce="n==", qop="auth,auth-int", opaque="", stale=TRUE, Digest realm=x, nonce=y',
        b'Digest realm="\\"q\\"", nonce="1", algorithm=SHA-256-sess, qop="auth", domain="sip:a sip:b"',
        b'Bearer abc="d", Digest nonce=1',
    ]


def targets() -> list[Target]:
    """All of them, the quick ones first."""
    headers = sorted(
        {value.encode("utf-8", "surrogateescape") for data in CORPUS for _, value in lex(data).headers}
    )
    return [
        Target("rtp", rtp, sound_packets()),
        Target("rtcp", reports, report_packets()),
        Target("keys", keys, key_sessions(), session=True),
        Target("digest", digest_lines, login_lines(), readings=7),
        Target("bodies", bodies, content(), readings=9),
        Target("headers", header_lines, headers, readings=2 * len(HEADER_READERS)),
        Target("sdp", description, [SDP.replace(b"\n", b"\r\n"), SDP], readings=4),
        Target("connection", connection, [*CORPUS, b"".join(CORPUS), b"\r\n\r\n" + CORPUS[1] + b"\r\n\r\n"]),
        Target("message", message, CORPUS),
        Target("stack", Endpoints.eat, conversations(), session=True),
        Target("stream", call, [a_call_of_packets(seed) for seed in range(4)], session=True),
    ]
