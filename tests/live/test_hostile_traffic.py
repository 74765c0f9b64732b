"""Ten thousand broken SIP datagrams and ten thousand broken RTP packets, thrown at a server with a call on it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.server import REPOSITORY, Server, running_server
from tests.telephony.test_rtp_fuzz import damaged as damaged_packets
from tests.telephony.test_sip_fuzz import damaged as damaged_datagram

PLAN = REPOSITORY / "tests" / "bench" / "plan.yaml"
HOW_MANY = 10_000
A_BURST = 25  # then a breath: a loopback that drops packets would prove nothing


@asynccontextmanager
async def _phone() -> AsyncIterator[Phone]:
    async with Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 31000, 31998)) as phone:
        yield phone


async def _throw(datagrams: Iterable[bytes], target: tuple[str, int], source: socket.socket) -> None:
    for number, datagram in enumerate(datagrams):
        source.sendto(datagram[:60_000], target)
        if number % A_BURST == 0:
            await asyncio.sleep(0.002)


async def _hears_something(call_rtp: socket.socket) -> bool:
    """Packets go on coming."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        for _ in range(25):
            await loop.sock_recv(call_rtp, 2048)
    return True


@pytest.mark.timeout(180)
async def test_a_server_under_broken_traffic_keeps_its_call_and_answers_the_next(tmp_path: Path) -> None:
    """RFC 4475 in spirit: what cannot be read is refused or dropped, and no other call notices."""
    rng = random.Random(20261120)
    async with running_server(tmp_path, dialplan=PLAN, workers=1) as server, _phone() as phone:
        call = await phone.dial(server.uri())
        assert call.rtp is not None
        assert call.plan is not None
        workers = server.children()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            sip = (damaged_datagram(rng) for _ in range(HOW_MANY))
            await _throw(sip, ("127.0.0.1", server.sip_port), stranger)
        await _throw(damaged_packets(seed=3550)[:HOW_MANY], call.plan.remote, call.rtp.rtp)
        assert await _hears_something(call.rtp.rtp)
        assert phone.live == (call,), "the call is still on"
        assert server.children() == workers, "no process died"
        await _answers_the_next(server, phone)
        assert (await server.metrics())["offhook_sip_malformed"] > HOW_MANY / 20, "the damage got there"
        call.hang_up()
        await call.ended()


async def _answers_the_next(server: Server, phone: Phone) -> None:
    another = await phone.dial(server.uri())
    assert another.rtp is not None
    assert await _hears_something(another.rtp.rtp)
    another.hang_up()
    await another.ended()
