"""The ports that a phone listens on: bound first, so that a port that is taken is an error before anything began.

Driven by phone.py. What runs over them is udp.py's and stream.py's."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal, Protocol

from telephony.dscp import SIGNALLING, mark
from telephony.errors import TransportError
from telephony.trunk.stream import StreamLink
from telephony.trunk.tls import Fresh, Tls, answering, dialling
from telephony.trunk.transport import Transport
from telephony.trunk.udp import UdpLink

RECEIVE_BUFFER_BYTES = 1 << 20  # UDP, some 1,500 INVITEs: a burst must survive a busy moment
TRIES = 50  # for a number that is free for both UDP and TCP


class Shelf(Protocol):
    """Where bound sockets outlive this process, by name."""

    def take(self, name: str) -> socket.socket | None:
        """The one that a process before us left, ours now."""

    def keep(self, name: str, sock: socket.socket) -> None:
        """For a process after us."""


class Sockets:
    """UDP, TCP on the same port number, and TLS, of one local address or of one IPv4 and one IPv6 address.

    port, tls_port: where they are, the same for both; tls_port is 0 if TLS only dials. dscp: what all that leaves is
    marked with. shelf: where they outlive us. Raises TransportError."""

    def __init__(
        self,
        hosts: Sequence[str],
        port: int,
        *,
        tcp: bool,
        tls: Tls | None,
        dscp: int = SIGNALLING,
        shelf: Shelf | None = None,
    ) -> None:
        if len({":" in host for host in hosts}) < len(hosts) or not hosts:
            raise TransportError(
                f"SIP on {', '.join(hosts)}: give one IPv4 address, one IPv6 address or one of each."
            )
        self._hosts = hosts
        self._dscp = dscp
        self._shelf = shelf
        self._speaks_tcp, self._secures = tcp, tls is not None
        self._answering = answering(tls) if tls else None
        self._dialling = dialling(tls) if tls else None
        self._streams: dict[str, StreamLink] = {}
        self._udp: list[socket.socket] = []
        self._tcp: list[socket.socket] = []
        self._tls: list[socket.socket] = []
        self.port, self.tls_port = port, tls.port if tls else 0
        with ExitStack() as undo:
            undo.callback(self.close)
            for host in hosts:
                self._bind(host)
            undo.pop_all()
        for sock in (*self._udp, *self._tcp, *self._tls):
            mark(sock, dscp)
        if self._answering is None:
            self.tls_port = 0

    def _bind(self, host: str) -> None:
        udp = self._left(f"sip-udp-{host}", self.port)
        if self._speaks_tcp:
            tcp = self._left(f"sip-tcp-{host}", self.port)
            if udp is not None and tcp is None:
                tcp = bind(socket.SOCK_STREAM, host, udp.getsockname()[1])
            elif udp is None or tcp is None:
                udp, tcp = _both(host, self.port)
            self._tcp.append(tcp)
            self._outlives(f"sip-tcp-{host}", tcp)
        else:
            udp = udp or bind(socket.SOCK_DGRAM, host, self.port)
        self._udp.append(udp)
        self._outlives(f"sip-udp-{host}", udp)
        self.port = udp.getsockname()[1]
        if self._answering is not None:
            tls = self._left(f"sip-tls-{host}", self.tls_port)
            tls = tls or bind(socket.SOCK_STREAM, host, self.tls_port)
            self._tls.append(tls)
            self._outlives(f"sip-tls-{host}", tls)
            self.tls_port = tls.getsockname()[1]

    def _left(self, name: str, port: int) -> socket.socket | None:
        """What a process before us listened on, unless we are to listen elsewhere."""
        sock = self._shelf.take(name) if self._shelf is not None else None
        if sock is not None and port and sock.getsockname()[1] != port:
            sock.close()
            return None
        return sock

    def _outlives(self, name: str, sock: socket.socket) -> None:
        if self._shelf is not None:
            self._shelf.keep(name, sock)

    @property
    def transports(self) -> list[str]:
        """What is spoken, in order of preference."""
        return ["udp", *(["tcp"] if self._tcp else []), *(["tls"] if self._secures else [])]

    def speak(self, transport: Transport) -> None:
        """Give the sockets to the transport: it can send, and closes them."""
        self._udp_link = UdpLink(transport, *self._udp)
        transport.add("udp", self._udp_link)
        ways: tuple[tuple[Literal["tcp", "tls"], Fresh[ssl.SSLContext] | None], ...]
        ways = (("tcp", None), ("tls", self._dialling))
        for name, secured in ways:
            if name in self.transports:
                link = StreamLink(transport, name, dialling=secured, hosts=self._hosts, dscp=self._dscp)
                transport.add(name, link)
                self._streams[name] = link

    async def listen(self) -> None:
        """From now on it hears what arrives, and what has arrived."""
        self._udp_link.listen()
        for sock in self._tcp:
            await self._streams["tcp"].listen(sock)
        for sock in self._tls:
            await self._streams["tls"].listen(sock, self._answering)

    def close(self) -> None:
        """Give the ports back if nobody carries them."""
        for sock in (*self._udp, *self._tcp, *self._tls):
            sock.close()


def bind(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    """A non-blocking socket of that kind (SOCK_DGRAM or SOCK_STREAM). port 0: any free one.

    Raises TransportError naming what holds it."""
    name = "UDP" if kind is socket.SOCK_DGRAM else "TCP"
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:  # IPv4 peers would see an IPv6 address as our Contact
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
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


def shown_address(host: str, public: Sequence[str]) -> str:
    """What peers of its family are told to reach a socket bound to `host` at: the public address of that family,
    else a public name, else its own; a wildcard stands for the default interface.

    No packet is sent: connecting a UDP socket only asks the routing table."""
    names = [name for name in public if not _is_address(name)]
    fitting = [name for name in public if _is_address(name) and (":" in name) == (":" in host)]
    if fitting or names:
        return (fitting or names)[0]
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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
