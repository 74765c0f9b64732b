"""The ports that a phone listens on: bound first, so that a port that is taken is an error before anything began.

Driven by phone.py. What runs over them is udp.py's and stream.py's."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from telephony.dscp import SIGNALLING, mark
from telephony.errors import TransportError
from telephony.trunk.stream import StreamLink
from telephony.trunk.tls import Tls, answering, dialling
from telephony.trunk.transport import Transport
from telephony.trunk.udp import UdpLink

RECEIVE_BUFFER_BYTES = 1 << 20  # UDP, some 1,500 INVITEs: a burst must survive a busy moment
TRIES = 50  # for a number that is free for both UDP and TCP


class Sockets:
    """UDP, TCP on the same port number, and TLS, of one local address.

    port, tls_port: where they are; tls_port is 0 if TLS only dials. dscp: what all that leaves is marked with.
    Raises TransportError."""

    def __init__(self, host: str, port: int, *, tcp: bool, tls: Tls | None, dscp: int = SIGNALLING) -> None:
        self._host = host
        self._dscp = dscp
        self._secures = tls is not None
        self._answering = answering(tls) if tls else None
        self._dialling = dialling(tls) if tls else None
        with ExitStack() as undo:
            self._tcp: socket.socket | None = None
            if tcp:
                self._udp, self._tcp = _both(host, port)
            else:
                self._udp = bind(socket.SOCK_DGRAM, host, port)
            undo.callback(self.close)
            self._tls: socket.socket | None = None
            if tls is not None and self._answering is not None:
                self._tls = bind(socket.SOCK_STREAM, host, tls.port)
            undo.pop_all()
        for sock in (self._udp, self._tcp, self._tls):
            if sock is not None:
                mark(sock, dscp)
        self.port: int = self._udp.getsockname()[1]
        self.tls_port: int = self._tls.getsockname()[1] if self._tls else 0

    @property
    def transports(self) -> list[str]:
        """What is spoken, in order of preference."""
        return ["udp", *(["tcp"] if self._tcp else []), *(["tls"] if self._secures else [])]

    async def carry(self, transport: Transport) -> None:
        """Give the sockets to the transport: it hears what arrives, and closes them."""
        transport.add("udp", UdpLink(transport, self._udp))
        if self._tcp is not None:
            stream = StreamLink(transport, "tcp", host=self._host, dscp=self._dscp)
            transport.add("tcp", stream)
            await stream.listen(self._tcp)
        if self._secures:
            stream = StreamLink(transport, "tls", dialling=self._dialling, host=self._host, dscp=self._dscp)
            transport.add("tls", stream)
            if self._tls is not None:
                await stream.listen(self._tls, self._answering)

    def close(self) -> None:
        """Give the ports back if nobody carries them."""
        for sock in (self._udp, self._tcp, self._tls):
            if sock is not None:
                sock.close()


def bind(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    """A non-blocking socket of that kind (SOCK_DGRAM or SOCK_STREAM). port 0: any free one.

    Raises TransportError naming what holds it."""
    name = "UDP" if kind is socket.SOCK_DGRAM else "TCP"
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        if kind is socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of our last run linger
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise TransportError(
            f"SIP on {name} {host}:{port}: {error.strerror or error}. Free the port or choose another."
        ) from error
    return sock


def _both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP on one port number, as peers expect. port 0: any that is free for both."""
    tries = TRIES
    while True:
        udp = bind(socket.SOCK_DGRAM, host, port)
        try:
            return udp, bind(socket.SOCK_STREAM, host, udp.getsockname()[1])
        except TransportError:
            udp.close()
            tries -= 1
            if port or not tries:
                raise


def public_address(host: str) -> str:
    """The address that peers should use for a socket bound to `host`: a wildcard stands for the default
    interface.

    No packet is sent: connecting a UDP socket only asks the routing table."""
    if host not in ("0.0.0.0", "::", ""):
        return host
    family, anywhere, home = (
        (socket.AF_INET6, "2001:db8::1", "::1")
        if host == "::"
        else (socket.AF_INET, "192.0.2.1", "127.0.0.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((anywhere, 9))
        except OSError:
            return home
        return str(probe.getsockname()[0])
