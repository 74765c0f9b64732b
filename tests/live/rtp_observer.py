"""What arrives at the callers' RTP ports, counted by us because sipp only plays and never checks.

sipp sends its speech through a raw socket, so it does not bind the ports its SDP announces; this observer
does, one socket a call. The server therefore hears sipp and is heard here. Not an RTP stack: it counts
packets, gaps and voices (RFC 3550 §5.1) and says nothing back."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.live.sound import ULAW_TO_LINEAR

PORT_STEP = 4  # sipp's [auto_media_port] counts on by four a call
VOICE_LEVEL = 400  # mean absolute linear sample; comfort silence stays below 100
_HEADER_BYTES = 12


@dataclass(slots=True)
class Heard:
    """What one call's port received."""

    port: int
    packets: int = 0
    voiced: int = 0  # packets that carry audible PCMU
    gaps: int = 0  # packets missing by sequence number
    repeats: int = 0  # packets that came behind their successor, or twice
    strays: int = 0  # datagrams that are no RTP of one stream
    sources: set[tuple[str, int]] = field(default_factory=set)
    ssrcs: set[int] = field(default_factory=set)
    _next_sequence: int = -1

    def count(self, packet: bytes, source: tuple[str, int]) -> None:
        """Add one datagram. Anything but RTP version 2 with a payload is a stray."""
        if len(packet) <= _HEADER_BYTES or packet[0] >> 6 != 2:
            self.strays += 1
            return
        self.packets += 1
        self.sources.add(source)
        self.ssrcs.add(int.from_bytes(packet[8:12], "big"))
        sequence = int.from_bytes(packet[2:4], "big")
        ahead = (sequence - self._next_sequence) & 0xFFFF
        if self._next_sequence >= 0 and ahead >= 0x8000:  # late, or twice: nothing is missing
            self.repeats += 1
        else:
            self.gaps += ahead if self._next_sequence >= 0 else 0
            self._next_sequence = sequence + 1 & 0xFFFF
        if packet[1] & 0x7F == 0 and _is_voice(packet[_HEADER_BYTES:]):
            self.voiced += 1


class RtpObserver:
    """The media ports of `calls` sipp calls, open while `watch` runs. Driven by the running event loop."""

    def __init__(self, sipp_port: int, sockets: list[socket.socket]) -> None:
        self.sipp_port = sipp_port  # for sipp's -mp
        self.heard = [Heard(sock.getsockname()[1]) for sock in sockets]
        self._sockets = sockets

    @classmethod
    @contextmanager
    def watch(cls, calls: int) -> Iterator[RtpObserver]:
        """Bind one port a call and count until the block ends. Raises OSError when no range is free."""
        sipp_port, sockets = _bind_range(calls)
        observer = cls(sipp_port, sockets)
        loop = asyncio.get_running_loop()
        for sock, heard in zip(sockets, observer.heard, strict=True):
            loop.add_reader(sock, _drain, sock, heard)
        try:
            yield observer
        finally:
            for sock in sockets:
                loop.remove_reader(sock)
                sock.close()


def _drain(sock: socket.socket, heard: Heard) -> None:
    while True:
        try:
            packet, source = sock.recvfrom(2048)
        except BlockingIOError:
            return
        except ConnectionRefusedError:  # an ICMP error of the peer's port, not of ours
            continue
        heard.count(packet, source)


def _is_voice(payload: bytes) -> bool:
    thinned = payload[::4]
    return sum(abs(ULAW_TO_LINEAR[code]) for code in thinned) > VOICE_LEVEL * len(thinned)


def _bind_range(calls: int) -> tuple[int, list[socket.socket]]:
    """Find a base port whose first two even ports are free for sipp and whose call ports we can hold."""
    for _ in range(50):
        base = random.randrange(20_000, 31_000 - PORT_STEP * calls, 2)
        held: list[socket.socket] = []
        try:
            for own in (base, base + 2):
                _bound(own).close()
            for call in range(1, calls + 1):
                held.append(_bound(base + PORT_STEP * call))
        except OSError:
            for sock in held:
                sock.close()
            continue
        return base, held
    raise OSError(f"No range of {calls} free UDP ports between 20000 and 31000; close what holds them.")


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock
