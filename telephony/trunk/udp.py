"""SIP over UDP: one bound socket a family.

Driven by the event loop (arrivals) and by transport.py (sends). One wake-up drains the socket, so that a burst
of calls costs one pass through the loop."""

from __future__ import annotations

import asyncio
import socket

import structlog

from telephony.sip.transaction import Flow, Send
from telephony.trunk.transport import Transport

DRAIN = 64  # datagrams a wake-up may take before others get their turn
MAX_DATAGRAM = 65507  # UDP over IPv4

log = structlog.get_logger(__name__)


class UdpLink:
    """Carries datagrams between bound sockets, IPv4, IPv6 or one of each, and the transport."""

    def __init__(self, transport: Transport, *socks: socket.socket) -> None:
        self._transport = transport
        self._socks = socks
        self._by_v6 = {sock.family == socket.AF_INET6: sock for sock in socks}
        self._loop = asyncio.get_running_loop()

    def listen(self) -> None:
        """Hear what has arrived, and what will."""
        for sock in self._socks:
            self._loop.add_reader(sock, self._readable, sock)

    def send(self, send: Send) -> None:
        """One datagram. Raises OSError if it is too large or cannot be routed."""
        data = send.message.encode()
        if len(data) > MAX_DATAGRAM:
            raise OSError(f"{len(data)} bytes do not fit one datagram of {MAX_DATAGRAM}")
        try:
            self._by_v6.get(send.flow.v6, self._socks[0]).sendto(data, send.flow.remote)
        except (BlockingIOError, InterruptedError):
            self._transport.unsendable += 1  # the kernel is full: as good as lost on the way, and repeated

    async def close(self) -> None:
        """Give the sockets back."""
        for sock in self._socks:
            if sock.fileno() >= 0:
                self._loop.remove_reader(sock)
                sock.close()

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(DRAIN):
            try:
                data, source = sock.recvfrom(65536)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # an ICMP error of an earlier datagram; the socket lives on
                log.debug("sip.icmp", error=str(error))
                continue
            self._transport.datagram(data, Flow("udp", (source[0], source[1])))
