"""A bad line between two media sockets: a UDP relay that does to packets what tests/impairment.py says.

The caller sends to it instead of to the server; the server follows, because packets come from there (symmetric RTP).
Each direction has dice of its own. RTP only: RTCP finds its way without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from tests.impairment import Conditions, Impairment

Address = tuple[str, int]


class BadLine(asyncio.DatagramProtocol):
    """The relay. far: the server's media address. sent, lost: packets, both ways together."""

    def __init__(self, far: Address, conditions: Conditions, seed: int) -> None:
        self.far = far
        self.there, self.back = Impairment(conditions, seed), Impairment(conditions, seed + 1)
        self.near: Address | None = None  # the caller, known from its first packet
        self.sent = 0
        self._loop = asyncio.get_running_loop()
        self._socket: asyncio.DatagramTransport | None = None
        self._under_way: set[asyncio.TimerHandle] = set()

    @property
    def lost(self) -> int:
        return self.there.lost + self.back.lost

    @property
    def address(self) -> Address:
        """Where to send instead of to the server."""
        assert self._socket is not None
        host, port = self._socket.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        source = (str(addr[0]), int(addr[1]))
        if source == self.far:
            way, to = self.back, self.near
        else:
            self.near = source
            way, to = self.there, self.far
        if to is None:
            return
        self.sent += 1
        for at, packet in way.carry(self._loop.time(), data):
            self._later(at, packet, to)

    def error_received(self, exc: Exception) -> None:
        """Somebody has closed his port: the call is over."""

    def close(self) -> None:
        for timer in self._under_way:
            timer.cancel()
        if self._socket is not None:
            self._socket.close()

    def _later(self, at: float, packet: bytes, to: Address) -> None:
        def arrive() -> None:
            self._under_way.discard(timer)
            if self._socket is not None and not self._socket.is_closing():
                self._socket.sendto(packet, to)

        timer = self._loop.call_at(at, arrive)
        self._under_way.add(timer)


@asynccontextmanager
async def bad_line(far: Address, conditions: Conditions, seed: int = 1) -> AsyncIterator[BadLine]:
    """A line to that media address for the length of the block."""
    loop = asyncio.get_running_loop()
    _, line = await loop.create_datagram_endpoint(
        lambda: BadLine(far, conditions, seed), local_addr=("127.0.0.1", 0)
    )
    try:
        yield line
    finally:
        line.close()
