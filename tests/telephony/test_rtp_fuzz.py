"""Ten thousand damaged RTP and RTCP packets: every parser answers or refuses, and the call goes on."""

from __future__ import annotations

import random
import socket
import struct

import numpy as np

from telephony.errors import MediaError
from telephony.media import rtcp
from telephony.media.codecs.g711 import encode_ulaw
from telephony.media.packet import kind_of, parse
from telephony.media.report import SourceStats
from telephony.media.stream import Stream, StreamState
from telephony.sdp.plan import MediaPlan

PACKETS = 10_000
SEED = 3550


def good_packets(dice: random.Random) -> list[bytes]:
    """One of everything that arrives on a media port."""
    head = struct.pack("!HII", dice.getrandbits(16), dice.getrandbits(32), 0xCA11)
    sound = dice.randbytes(160)
    return [
        b"\x80\x00" + head + sound,
        b"\x80\x88" + head + sound[:80],
        b"\x80\xe5"
        + head
        + struct.pack("!BBH", dice.randrange(20), dice.getrandbits(8), dice.getrandbits(16)),
        b"\x80\x0d" + head + b"\x40",
        b"\xb2\x00" + head + b"csrccsrc" + b"\xbe\xde\0\2extended" + sound + b"\0\0\0\4",
        b"\xa0\x00" + head + b"\xff" * 200,
        rtcp.Control(0xCA11).compose(5.0, 1, 2, 3, 0x0FF0, SourceStats()),
    ]


def mutated(packet: bytes, dice: random.Random) -> bytes:
    """Flip, cut, grow, shuffle: one to four times."""
    data = bytearray(packet)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            case 1 if at < len(data):
                data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[at:]
            case 3:
                data[at:at] = dice.randbytes(dice.randint(1, 40))
            case 4:
                del data[at : at + dice.randint(1, 20)]
            case _:
                data[: min(4, len(data))] = dice.randbytes(min(4, len(data)))
    return bytes(data)


def damaged(seed: int) -> list[bytes]:
    dice = random.Random(seed)
    return [mutated(dice.choice(good_packets(dice)), dice) for _ in range(PACKETS)]


def test_the_parsers_answer_or_refuse() -> None:
    """No IndexError, no struct.error, and a payload that lies within the packet."""
    read = refused = 0
    for packet in damaged(SEED):
        assert kind_of(packet, len(packet)) in ("rtp", "rtcp", "stun", "dtls", "other")
        try:
            header = parse(packet, len(packet))
        except MediaError:
            refused += 1
        else:
            read += 1
            assert 12 <= header.start <= header.end <= len(packet)
        try:
            rtcp.parse(packet, len(packet))
        except MediaError:
            refused += 1
    assert read > 1000
    assert refused > 1000


def test_a_call_fed_with_damaged_packets_goes_on_and_then_hears_its_caller() -> None:
    """Through real sockets, from the caller's own address, so that nothing is filtered before the parsers."""
    phone, control = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    rtp, reports = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (phone, control, rtp, reports):
        sock.bind(("127.0.0.1", 0))
    frames: list[int] = []
    digits: list[str] = []
    plan = MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU", 8: "PCMA"}, phone.getsockname(), 101, 101)
    stream = Stream(
        rtp,
        reports,
        plan,
        state=StreamState(0x0FF0, 1, 1),
        ear=lambda frame, _: frames.append(int(np.abs(frame.astype(int)).max()) if len(frame) == 160 else -1),
        mouth=lambda _: None,
        on_digit=lambda digit, _: digits.append(digit),
    )
    now, ticks = 100.0, 0
    for n, packet in enumerate(damaged(SEED + 1)):
        phone.sendto(packet, rtp.getsockname())
        control.sendto(packet, reports.getsockname())
        if n % 5 == 4:
            now, ticks = now + 0.02, ticks + 1
            stream.tick(now)
    after = stream.report()
    assert after.received > 1000
    assert after.malformed > 100
    assert (len(frames), after.sent, -1 in frames) == (ticks, ticks, False)
    sound = encode_ulaw(np.full(160, 16000, np.int16))
    frames.clear()
    for n in range(100):
        phone.sendto(
            struct.pack("!BBHII", 0x80, 0, 60000 + n & 0xFFFF, n * 160, 0x900D) + sound, rtp.getsockname()
        )
        now += 0.02
        stream.tick(now)
    assert min(frames[3:]) > 15000
    stream.close()
    phone.close()
    control.close()
