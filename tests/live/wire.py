"""A caller's ear at the wire: every packet of our stream with the time it came, and what is wrong with it.

Not an RTP stack: it hears one call's RTP socket, sends comfort noise back so that nobody takes the line for dead, and
knows the rules a stream must keep when its worker dies (RFC 3550 §5.1)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from telephony.call.call import Call
from telephony.call.events import CallEvent, Ended

_RTP = struct.Struct("!BBHII")
PACKET_MS = 20
UNITS = 160
SILENCE = b"\xff" * UNITS


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet that came. at: loop time."""

    at: float
    sequence: int
    timestamp: int
    ssrc: int
    kind: int
    payload: bytes


class Wire:
    """Packets of one G.711 call, in the order they came."""

    def __init__(self, call: Call) -> None:
        assert call.rtp is not None and call.plan is not None
        self.packets: list[Packet] = []
        self._sock, self._to = call.rtp.rtp, call.plan.remote
        self._loop = asyncio.get_running_loop()
        self._sent = 0
        self._came = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def tap(cls, call: Call) -> AsyncIterator[Wire]:
        """Listen until the block ends."""
        wire = cls(call)
        wire._loop.add_reader(wire._sock, wire._readable)
        call.listen(wire._signalled)
        talking = asyncio.create_task(wire._talk())
        try:
            yield wire
        finally:
            talking.cancel()
            if wire._sock.fileno() >= 0:  # the call may be over
                wire._loop.remove_reader(wire._sock)

    def gaps_ms(self, since: float = 0.0) -> list[float]:
        """Time between packets after that loop time."""
        times = [packet.at for packet in self.packets if packet.at >= since]
        return [1000 * (after - before) for before, after in zip(times, times[1:], strict=False)]

    def faults(self) -> list[str]:
        """Every rule that a packet breaks against the one before it."""
        found = []
        for before, after in zip(self.packets, self.packets[1:], strict=False):
            if after.ssrc != before.ssrc:
                found.append(f"another SSRC {after.ssrc:x} after {before.ssrc:x}")
            ahead = (after.sequence - before.sequence) & 0xFFFF
            if ahead != 1:
                found.append(f"sequence {after.sequence} after {before.sequence}")
            units = (after.timestamp - before.timestamp) & 0xFFFFFFFF
            if after.kind == before.kind == 0 and (units % UNITS or not units or units > 8000 * 30):
                found.append(f"timestamp goes on by {units}")
        return found

    async def until(self, packets: int) -> None:
        """Wait for so many packets from now on."""
        wanted = len(self.packets) + packets
        async with asyncio.timeout(30):
            while len(self.packets) < wanted:
                self._came.clear()
                await self._came.wait()

    def _signalled(self, event: CallEvent) -> None:
        if isinstance(event, Ended) and self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)

    def _readable(self) -> None:
        while True:
            try:
                data = self._sock.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if len(data) > _RTP.size and data[0] == 0x80:
                _, kind, sequence, timestamp, ssrc = _RTP.unpack_from(data)
                body = data[_RTP.size :]
                self._came.set()
                self.packets.append(Packet(self._loop.time(), sequence, timestamp, ssrc, kind & 0x7F, body))

    async def _talk(self) -> None:
        while True:
            number = self._sent
            self._sock.sendto(_RTP.pack(0x80, 0, number & 0xFFFF, number * UNITS, 77) + SILENCE, self._to)
            self._sent += 1
            await asyncio.sleep(PACKET_MS / 1000)
