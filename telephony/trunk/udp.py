"""SIP over UDP: one bound socket.

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
    """Carries datagrams between a bound socket and the transport."""

    def __init__(self, transport: Transport, sock: socket.socket) -> None:
        self._transport = transport
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._readable)

    def send(self, send: Send) -> None:
        """One datagram. Raises OSError if it is too large or cannot be routed."""
        data = send.message.encode()
        if len(data) > MAX_DATAGRAM:
            raise OSError(f"{len(data)} bytes do not fit one datagram of {MAX_DATAGRAM}")
        try:
            self._sock.sendto(data, send.flow.remote)
        except (BlockingIOError, InterruptedError):
            self._transport.unsendable += 1  # the kernel is full: as good as lost on the way, and repeated

    async def close(self) -> None:
        """Give the socket back."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _readable(self) -> None:
        for _ in range(DRAIN):
            try:
                data, source = self._sock.recvfrom(65536)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # an ICMP error of an earlier datagram; the socket lives on
                log.debug("sip.icmp", error=str(error))
                continue
            self._transport.datagram(data, Flow("udp", (source[0], source[1])))
