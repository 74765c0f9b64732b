"""Wounded traffic on every port, bounded and seeded: each parser by itself, then whole sessions.

`make fuzz` runs the same targets for as long as one likes. SIP and RTP alone: test_sip_fuzz.py, test_rtp_fuzz.py."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.fuzz.targets import LOUD, Target, call, digest_lines, sound_packets, targets
from tests.fuzz.wounds import POISON, packed, unpacked
from tests.telephony.test_sip_fuzz import devour

SEED = 20261121
INPUTS = {"message": 1000, "stack": 500, "stream": 200}
QUICK_S = 0.010
LARGEST_BYTES = 65_535
TARGETS = targets()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_good_traffic_is_taken(target: Target) -> None:
    """Else the wounds would only scratch the surface."""
    for seed in target.seeds:
        target.eat(seed)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_wounded_traffic_is_read_or_refused(target: Target) -> None:
    """RTCP of all kinds, key events, Digest lines, sipfrags and multiparts, TCP in pieces, calls and their media."""
    dice = random.Random(SEED)
    for _ in range(INPUTS.get(target.name, 3000)):
        target.eat(target.worse(dice))


def test_stun_dtls_and_chance_on_both_ports_cost_no_call() -> None:
    """RFC 7983 §7: three hundred datagrams of every first byte, then the caller is heard (`call` looks)."""
    dice = random.Random(SEED)
    for _ in range(10):
        call(
            packed(
                [
                    bytes([n & 0xFF]) + dice.randbytes(dice.choice((0, 1, 7, 11, 12, 40, 1400)))
                    for n in range(300)
                ]
            )
        )


def test_a_session_goes_into_a_file_and_comes_back() -> None:
    """So that an input that fails can be kept."""
    assert unpacked(packed(sound_packets())) == sound_packets()
    assert unpacked(b"\xff\xffcut off") == [b"cut off"]
    assert LOUD in unpacked(packed([LOUD]))


# ------------------------------------------------------------------ no input costs more than its length


def busy_s(eat: Callable[[bytes], None], data: bytes) -> float:
    """CPU time of the quickest of three tries: what other processes do to this machine does not count."""
    tries = []
    for _ in range(3):
        began = time.process_time()
        eat(data)
        tries.append(time.process_time() - began)
        if tries[-1] < QUICK_S:
            break
    return min(tries)


def repeated(piece: bytes, size: int, around: bytes = b"%s") -> bytes:
    return around.replace(b"%s", piece * (size // len(piece)))


PIECES = sorted(
    {
        *POISON,
        b"a",
        b" a",
        b"a=b,",
        b"a=b;",
        b'"a",',
        b"Digest a=b, ",
        b"<sip:a@b>,",
        b"a=x\r\n",
        b"a: b\r\n",
        b"\r\n\r\n--b1",
    }
)
AROUND = {
    "digest": [b"%s", b"Digest nonce=1, %s", b'Digest nonce="%s"', b"Digest nonce=%s"],
    "headers": [b"%s", b"<sip:a@b>;%s", b"a@b;to-tag=%s"],
    "bodies": [
        b"multipart/mixed;boundary=b1\r\n%s",
        b"multipart/mixed;%s\r\n--b1",
        b"message/sipfrag\r\nSIP/2.0 200 %s",
        b"application/dtmf-relay\r\nSignal=%s",
    ],
    "sdp": [
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 4 RTP/AVP 0\r\n%s"
    ],
    "message": [b"INVITE sip:%s SIP/2.0\r\n\r\n"]
    + [b"OPTIONS sip:a SIP/2.0\r\n%s\r\n\r\n", b"OPTIONS sip:a SIP/2.0\r\nVia: %s\r\n\r\n"],
    "connection": [b"%s", b"OPTIONS sip:a SIP/2.0\r\n%s\r\n\r\n"],
    "rtcp": [b"\x81\xc9\0\1ssrc%s"],
}


@pytest.mark.parametrize("name", AROUND)
def test_64_kib_of_anything_are_read_in_time_that_grows_with_their_length(name: str) -> None:
    """One datagram must not stop the clock. An input that takes longer than 10 ms of CPU is looked at more closely:
    eight times the length may cost three times eight times the work, where a square would cost sixty-four times."""
    eat = next(target.eat for target in TARGETS if target.name == name)
    slow = []
    for around in AROUND[name]:
        for piece in PIECES:
            large = busy_s(eat, repeated(piece, LARGEST_BYTES - 100, around))
            if large < QUICK_S:
                continue
            small = busy_s(eat, repeated(piece, LARGEST_BYTES // 8, around))
            if large > 24 * small + QUICK_S:
                slow.append(
                    f"{around!r} of {piece!r}: {large * 1000:.0f} ms, an eighth of it {small * 1000:.1f} ms"
                )
    assert slow == []


HEAD = (
    b"INVITE sip:100@pbx SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:1@pbx>;tag=1\r\n"
    b"To: <sip:100@pbx>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
)
SPOILT = (
    "Via",
    "Contact",
    "Route",
    "Diversion",
    "P-Asserted-Identity",
    "Authorization",
    "Refer-To",
    "Reason",
)


@pytest.mark.parametrize("lines", [1, 7])
def test_64_kib_of_headers_are_refused_before_anything_reads_them(lines: int) -> None:
    """RFC 3261 §21.5.7: neither one endless header line nor several long ones cost more than 10 ms."""
    slow = []
    for name in SPOILT:
        for piece in PIECES:
            if b"\n" in piece or not piece:
                continue
            line = name.encode() + b": " + piece * (60_000 // lines // len(piece)) + b"\r\n"
            took = busy_s(devour_whole, HEAD + line * lines + b"\r\n")
            if took > QUICK_S:
                slow.append(f"{lines} {name} of {piece[:20]!r}: {took * 1000:.0f} ms")
    assert slow == []


def devour_whole(data: bytes) -> None:
    """All that reads a datagram."""
    assert devour(data) == "refused"


def test_a_password_is_never_guessed_by_a_line_that_repeats_itself() -> None:
    """Parameters that come twice, and a response that is empty, open nothing (digest_lines looks)."""
    for line in (
        'Digest realm="offhook", realm="offhook", username=ann, username=bob, response=""',
        "Digest x=y",
        "",
    ):
        digest_lines(line.encode())
