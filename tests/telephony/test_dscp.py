"""What our packets ask of routers (RFC 2474): EF for sound, CS3 for SIP, on every kind of socket."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from telephony.dscp import EXPEDITED, SIGNALLING, mark
from telephony.media.ports import PortPool
from telephony.trunk.sockets import Sockets
from telephony.trunk.tls import Tls
from tests.telephony.trunk.test_trunk_tls import Authority
from tests.telephony.trunk.wire import a_phone


def marked(sock: socket.socket) -> int:
    """The DSCP that this socket's packets bear."""
    if sock.family == socket.AF_INET6:
        return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) >> 2
    return sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) >> 2


def marks(*ports: int, kinds: tuple[int, ...] = (socket.SOCK_STREAM, socket.SOCK_DGRAM)) -> list[int]:
    """Of all sockets of this process with one of these ports, here or at the peer's end."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            sock = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue  # a file, or closed meanwhile
        with sock:
            internet = sock.family in (socket.AF_INET, socket.AF_INET6)
            if internet and sock.type in kinds and _ports(sock) & set(ports):
                found.append(marked(sock))
    return found


def _ports(sock: socket.socket) -> set[int]:
    ports = {sock.getsockname()[1]}
    try:
        return ports | {sock.getpeername()[1]}
    except OSError:
        return ports


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_sound_asks_to_be_forwarded_at_once(host: str) -> None:
    """RFC 4594 §4.1: EF, 46, on RTP and RTCP, over IPv4 and IPv6; another mark where the operator says so."""
    with PortPool(host, 34000, 34400).lend() as pair:
        assert (marked(pair.rtp), marked(pair.rtcp)) == (EXPEDITED, EXPEDITED)
    with PortPool(host, 34000, 34400, dscp=34).lend() as pair:
        assert (marked(pair.rtp), marked(pair.rtcp)) == (34, 34)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_signalling_sockets_are_marked_before_anything_leaves(host: str, tmp_path: Path) -> None:
    """CS3, 24, on UDP, TCP and TLS."""
    identity = Authority(tmp_path).identity("localhost")
    sockets = Sockets([host], 0, tcp=True, tls=identity)
    try:
        assert marks(sockets.port, sockets.tls_port) == [SIGNALLING] * 3
    finally:
        sockets.close()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_connections_are_marked_on_either_side(transport: str, tmp_path: Path) -> None:
    """Those that peers opened as well as those that we did."""
    authority = Authority(tmp_path)
    tls: Tls = authority.identity("localhost")
    async with asyncio.timeout(10), a_phone(tls=tls) as bob, a_phone(tls=tls) as alice:
        port = bob.tls_port if transport == "tls" else bob.address[1]
        dialing = asyncio.create_task(alice.dial(f"sip:100@localhost:{port};transport={transport}"))
        theirs = await anext(bob.calls())
        # listening, answered, dialled
        assert marks(port, kinds=(socket.SOCK_STREAM,)) == [SIGNALLING] * 3
        theirs.answer()
        await dialing
        theirs.hang_up()


class Forbidding:
    """A socket in a container that may not mark."""

    family = socket.AF_INET

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        raise PermissionError(1, "Operation not permitted")


def test_where_marking_is_forbidden_calls_go_unmarked() -> None:
    """It is a wish; no call may fail by it."""
    mark(Forbidding(), EXPEDITED)
