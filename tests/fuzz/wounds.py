"""How good input is made bad: seeded mutations of packets, messages and whole sessions of them.

A session is one input that holds several datagrams, each behind its length, so that an input that fails is one file
whether or not it takes state to fail. Pure. Driven by targets.py and whoever runs them."""

from __future__ import annotations

import random
from collections.abc import Sequence

LARGEST_BYTES = 20_000  # a message may have three times that, and some is written again, and longer
POISON = [
    *(bytes([byte]) for byte in b'\0\r\n\t "\\<>;,:@%=[]?/*()-\x7f\x80\xff'),
    *(b"\r\n", b"\r\n ", b"\r\n\r\n", b"--b1", b"--b1--", b"-1", b"4294967296", b"65536", b"%zz", b"[::1]"),
    *(
        b"Digest ",
        b"SIP/2.0 200 OK",
        b"sip:",
        b"tag=",
        b"c=IN IP4 0.0.0.0\r\n",
        b"l: 7\r\n",
        b"a=ptime:",
        b"m=audio ",
    ),
    *(
        b"\xc2\xb2",
        b"\xed\xa0\x80",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\x80\0\0\0",
        b"\x80\xc8",
        b"\x21\x12\xa4\x42",
    ),
]


def wounded(data: bytes, others: Sequence[bytes], dice: random.Random, *, large: bool = False) -> bytes:
    """One to four wounds. others: what a part may be taken from. large: one of them may blow it up to LARGEST_BYTES."""
    body = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 3, 4))):
        at = dice.randrange(len(body) + 1)
        length = min(dice.choice((1, 2, 4, 8, 24, 200)), len(body) - at)
        match dice.randrange(10):
            case 0 if at < len(body):
                body[at] ^= 1 << dice.randrange(8)
            case 1:
                body[at : at + 1] = dice.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xff"))
            case 2:
                del body[at:]
            case 3:
                del body[at : at + length]
            case 4:
                body[at:at] = dice.randbytes(dice.randint(1, 40))
            case 5:
                body[at:at] = dice.choice(POISON)
            case 6:
                body[at : at + length] = dice.choice(POISON)
            case 7:
                body[at:at] = body[at : at + length] * dice.randint(1, 3)
            case 8:
                other = dice.choice(others)
                body[at:] = other[dice.randrange(len(other) + 1) :]
            case _:
                lines = bytes(body).split(b"\r\n")
                dice.shuffle(lines)
                body = bytearray(b"\r\n".join(lines))
    if large and dice.random() < 0.02:
        at = dice.randrange(len(body) + 1)
        piece = dice.choice((dice.choice(POISON), bytes(body[at : at + dice.randint(1, 60)]) or b"x"))
        body[at:at] = piece * (dice.choice((1000, 10_000, LARGEST_BYTES)) // len(piece))
    return bytes(body[:LARGEST_BYTES])


def packed(datagrams: Sequence[bytes]) -> bytes:
    """A session as one input."""
    return b"".join(len(datagram).to_bytes(2, "big") + datagram for datagram in datagrams)


def unpacked(session: bytes) -> list[bytes]:
    """The datagrams of a session; a length that is too large is cut, for any bytes are a session."""
    found, at = [], 0
    while at + 2 <= len(session):
        length = int.from_bytes(session[at : at + 2], "big")
        found.append(session[at + 2 : at + 2 + length])
        at += 2 + length
    return found


def wounded_session(
    session: bytes, others: Sequence[bytes], dice: random.Random, *, large: bool = False
) -> bytes:
    """Datagrams lost, doubled, swapped, taken from another session, and some of them wounded."""
    datagrams = unpacked(session)
    spare = [datagram for other in others for datagram in unpacked(other)]
    for _ in range(dice.randint(0, 3)):
        at = dice.randrange(len(datagrams) + 1)
        match dice.randrange(4):
            case 0:
                del datagrams[at : at + dice.randint(1, 3)]
            case 1:
                datagrams[at:at] = datagrams[at : at + dice.randint(1, 3)]
            case 2:
                datagrams.insert(at, dice.choice(spare))
            case _:
                other = dice.randrange(len(datagrams) + 1)
                datagrams[at : at + 1], datagrams[other : other + 1] = (
                    datagrams[other : other + 1],
                    datagrams[at : at + 1],
                )
    share = dice.choice((0.0, 0.1, 0.3, 1.0))
    return packed(
        [
            wounded(datagram, spare, dice, large=large) if dice.random() < share else datagram
            for datagram in datagrams[:400]
        ]
    )
