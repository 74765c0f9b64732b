"""RTP port pairs on the loopback address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from telephony.errors import Overloaded, TransportError
from telephony.media.ports import PortPair, PortPool

HOST = "127.0.0.1"


def free_range(pairs: int) -> tuple[int, int]:
    """An even start above which this many pairs can be bound right now."""
    for first in range(30000, 60000, 2 * pairs):
        socks = []
        try:
            for port in range(first, first + 2 * pairs):
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                socks.append(sock)
                sock.bind((HOST, port))
        except OSError:
            continue
        else:
            return first, first + 2 * pairs - 2
        finally:
            for sock in socks:
                sock.close()
    raise AssertionError("no free ports on this machine")


def test_rtp_is_even_and_rtcp_is_the_port_above() -> None:
    """RFC 3550 §11; both sockets are bound, non-blocking, and hold some seconds of speech."""
    first, last = free_range(1)
    with PortPool(HOST, first - 1, last + 1).lend() as pair:
        assert pair.port == first
        assert pair.rtp.getsockname() == (HOST, first)
        assert pair.rtcp.getsockname() == (HOST, first + 1)
        assert not pair.rtp.getblocking()
        assert pair.rtp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 212_992
        assert pair.rtp.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0xB8


def test_ports_are_lent_in_turn_so_that_a_closed_one_rests() -> None:
    """A packet in flight for the last call must not be heard by the next one."""
    first, last = free_range(4)
    pool = PortPool(HOST, first, last)
    seen = []
    for _ in range(8):
        with pool.lend() as pair:
            seen.append(pair.port)
    assert seen == [first, first + 2, first + 4, first + 6] * 2


def test_a_port_is_lent_to_nobody_for_a_while_after_its_call() -> None:
    """Row "RTP port quarantined after a call": 30 s outlast what a far side sends after its BYE."""
    first, last = free_range(2)
    now = [100.0]
    pool = PortPool(HOST, first, last, rest_s=30.0, clock=lambda: now[0])
    with pool.lend() as pair:
        assert pair.port == first
    assert (pool.lent, pool.free) == (0, 2)
    with pool.lend() as other, pytest.raises(Overloaded, match="1 by calls, 1 rest after one"):
        assert other.port == first + 2
        pool.lend()
    now[0] = 130.0
    with pool.lend() as pair:
        assert pair.port == first


@pytest.mark.parametrize("taken", [0, 1])
def test_a_port_held_by_another_program_is_passed_over(taken: int) -> None:
    """Row: bind failure means the next port, whether RTP or RTCP is in the way; nothing stays half bound."""
    first, last = free_range(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, first + taken))
        pool = PortPool(HOST, first, last)
        with pool.lend() as pair:
            assert pair.port == first + 2
            assert (pool.lent, pool.free) == (1, 1)
    with pool.lend() as pair:
        assert pair.port == first


def test_an_empty_pool_says_so_and_what_to_do() -> None:
    """503 with Retry-After is the answer to the caller; the operator needs the range."""
    first, last = free_range(2)
    pool = PortPool(HOST, first, last)
    pairs: list[PortPair] = [pool.lend(), pool.lend()]
    with pytest.raises(
        Overloaded, match=rf"RTP ports {first}-{last} .* all 2 pairs .* Widen the range"
    ) as raised:
        pool.lend()
    assert raised.value.code == 503
    pairs[0].close()
    pairs[0].close()  # a second close must not give the port back twice
    assert pool.free == 1
    with pool.lend() as pair:
        assert pair.port == first
    pairs[1].close()
    assert pool.lent == 0


def test_an_address_of_another_machine_is_refused_at_once() -> None:
    """A configuration mistake is no overload."""
    with pytest.raises(TransportError, match=r"192\.0\.2\.1.*address of this machine"):
        PortPool("192.0.2.1").lend()


def test_a_range_without_an_even_port_is_refused() -> None:
    """RTP ports are even (RFC 3550 §11)."""
    with pytest.raises(TransportError, match="no even port"):
        PortPool(HOST, 20001, 20001)


def test_lending_ports_needs_no_numpy() -> None:
    """DESIGN §2: the switch is small; it owns the sockets and never touches sound."""
    check = "import sys, telephony.media.ports; assert not {'numpy', 'asyncio'} & set(sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", check], env=env, check=True)
