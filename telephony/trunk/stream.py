"""SIP over TCP and TLS: connections that peers opened and those that we did (RFC 3261 §18, RFC 5626).

Driven by the event loop and by transport.py. A connection is only a way to a peer: calls live on when it closes,
and the next message opens another. Not the cutting of the stream: that is lexer.Framer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Literal, cast

import structlog

from telephony.dscp import SIGNALLING, mark
from telephony.errors import SipSyntaxError
from telephony.sip.lexer import Framer, Ping
from telephony.sip.message import Request
from telephony.sip.transaction import Flow, Send
from telephony.trunk.hops import hop_again
from telephony.trunk.tls import Fresh, names_in
from telephony.trunk.transport import Transport

CONNECT_S = 5.0  # then the next target may be tried; a SYN was repeated twice
HANDSHAKE_S = 5.0
STRANGER_S = 15.0  # whoever opens a connection says something readable within it
IDLE_S = 1800.0  # longer than most session timers: a peer behind a NAT can be reached by its connection only
KEEPALIVE_S = 60.0  # between our pings on connections that we opened (RFC 5626 §4.4.1 wants less than 120)
SWEEP_S = 5.0
MAX_CONNECTIONS = 1000
MAX_UNSENT_BYTES = 1 << 20  # a peer that does not read for so much is gone
RECENT = 64  # requests that may have been lost with a connection

PING, PONG = b"\r\n\r\n", b"\r\n"

log = structlog.get_logger(__name__)


class StreamLink:
    """All connections over TCP, or all over TLS.

    dialling: what TLS connections of ours are secured with. hosts: local addresses that ours come from, one a
    family, a wildcard for any. dscp: what every connection is marked with."""

    def __init__(
        self,
        transport: Transport,
        name: Literal["tcp", "tls"],
        *,
        dialling: Fresh[ssl.SSLContext] | None = None,
        hosts: Sequence[str] = (),
        dscp: int = SIGNALLING,
    ) -> None:
        self.name = name
        self.dscp = dscp
        self.transport = transport
        self.closing = False
        self._dialling = dialling
        self._from = {":" in host: (host, 0) for host in hosts if host not in ("0.0.0.0", "::")}
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        self._open: dict[int, Connection] = {}  # by number, once they stand
        self._ours: dict[tuple[tuple[str, int], str], Connection] = {}  # by whom we dialled, from the start
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """How many stand."""
        return len(self._open)

    async def listen(self, sock: socket.socket, answering: ssl.SSLContext | None = None) -> None:
        """Take connections on a bound socket from now on; answering: with TLS."""
        server = await self._loop.create_server(
            lambda: Connection(self),
            sock=sock,
            ssl=answering,
            backlog=512,
            ssl_handshake_timeout=HANDSHAKE_S if answering else None,
        )
        self._servers.append(server)

    def send(self, send: Send) -> None:
        """By the connection that the flow names, else by one to where the message wants to go, opened now if
        need be. Raises OSError."""
        connection = self._open.get(send.flow.connection)
        if connection is None:
            connection = self._towards(hop_again(send.message, send.flow))
        connection.send(send)

    async def close(self) -> None:
        """Let what is written go out for a moment, then close every connection."""
        self.closing = True
        for server in self._servers:
            server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        standing = tuple(self._open.values())
        for connection in standing:
            connection.close()
        if standing:
            _, slow = await asyncio.wait([connection.gone for connection in standing], timeout=0.5)
            for connection in standing:
                connection.abort()
            await asyncio.gather(*slow)

    def sweep(self, now: float) -> None:
        """Close what is idle or never said anything, ping along what we opened. now: loop time, s."""
        for connection in tuple(self._open.values()):
            quiet = now - connection.used_at
            if quiet > IDLE_S or (connection.stranger and quiet > STRANGER_S):
                log.debug("sip.idle_connection_closed", remote=connection.flow.remote)
                connection.close()
            elif connection.ours and now - connection.pinged_at >= KEEPALIVE_S:
                connection.ping(now)

    # ---- for the connections

    def opened(self, connection: Connection) -> int:
        """A connection stands. Returns its number. Above the limit the one that was quiet longest goes."""
        self._count += 1
        self._open[self._count] = connection
        if len(self._open) > MAX_CONNECTIONS:
            stalest = min(self._open.values(), key=lambda known: (not known.stranger, known.used_at))
            log.warning("sip.too_many_connections", limit=MAX_CONNECTIONS, closed=stalest.flow.remote)
            stalest.close()
        self._rest()
        return self._count

    def forget(self, connection: Connection) -> None:
        """It takes no more messages."""
        self._open.pop(connection.flow.connection, None)
        key = (connection.flow.remote, connection.flow.name)
        if self._ours.get(key) is connection:
            del self._ours[key]

    # ---- inside

    def _towards(self, hop: Flow) -> Connection:
        if self.closing:
            raise OSError("the phone is closing")
        name = (hop.name or hop.remote[0]) if self.name == "tls" else ""
        connection = self._ours.get((hop.remote, name))
        if connection is None:
            connection = Connection(self, Flow(self.name, hop.remote, 0, name))
            self._ours[hop.remote, name] = connection
            task = self._loop.create_task(self._dial(connection), name=f"connect {hop.remote}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return connection

    async def _dial(self, connection: Connection) -> None:
        (host, port), name = connection.flow.remote, connection.flow.name
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._loop.create_connection(
                    lambda: connection,
                    host,
                    port,
                    local_addr=self._from.get(connection.flow.v6),
                    ssl=self._dialling.get() if self._dialling else None,
                    server_hostname=name if self._dialling else None,
                )
        except ssl.SSLCertVerificationError as error:
            connection.failed(
                f"{self.name} {host}:{port}: certificate not believed for {name!r}: {error.verify_message}. "
                "Check the name, sip.tls.trust or sip.tls.verify."
            )
        except (OSError, UnicodeError) as error:
            why = "no connection" if isinstance(error, TimeoutError) else str(error)
            connection.failed(f"{self.name} {host}:{port}: {why}")

    def _rest(self) -> None:
        if self._sweeper is None and self._open and not self.closing:
            self._sweeper = self._loop.call_later(SWEEP_S, self._swept)

    def _swept(self) -> None:
        self._sweeper = None
        self.sweep(self._loop.time())
        self._rest()


class Connection(asyncio.Protocol):
    """One connection, from the wish for it to its loss.

    flow: its handle; connection is 0 until it stands. dialled: whom we called, None if they called us. used_at:
    loop time of the last message or of their last ping. stranger: they opened it and have said nothing yet."""

    def __init__(self, link: StreamLink, wanted: Flow | None = None) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._framer = Framer()
        self._wire: asyncio.Transport | None = None
        self._waiting: list[Send] = []  # while it is being opened
        self._recent: deque[Request] = deque(maxlen=RECENT)
        self.flow = wanted or Flow(link.name, ("", 0))
        self.dialled = wanted.remote if wanted else None
        self.stranger = wanted is None
        self.used_at = self.pinged_at = self._loop.time()
        self.gone: asyncio.Future[None] = self._loop.create_future()

    @property
    def ours(self) -> bool:
        """We opened it."""
        return self.dialled is not None

    def send(self, send: Send) -> None:
        """Write it, or keep it until the connection stands. Raises OSError if the peer has stopped reading."""
        if self._wire is None:
            self._waiting.append(send)
            return
        if self._wire.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.abort()
            raise OSError(f"{self._link.name} {self.flow.remote}: the peer has stopped reading")
        self.used_at = self._loop.time()
        self._wire.write(send.message.encode())
        if isinstance(send.message, Request):
            self._recent.append(send.message)

    def ping(self, now: float) -> None:
        """Keep the way through a NAT open; the pong is skipped as every CRLF between messages is."""
        self.pinged_at = now
        if self._wire is not None:
            self._wire.write(PING)

    def close(self) -> None:
        """Take no more, write what is due, then end it."""
        self._link.forget(self)
        if self._wire is not None:
            self._wire.close()

    def abort(self) -> None:
        """End it at once."""
        self._link.forget(self)
        if self._wire is not None:
            self._wire.abort()

    def failed(self, reason: str) -> None:
        """It could not be opened: whoever waits for it hears that."""
        self._link.forget(self)
        waiting, self._waiting = self._waiting, []
        for send in waiting:
            self._link.transport.failed(send.message, send.flow, reason)

    # ---- what the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands, TLS included."""
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        remote = self.dialled or tuple((transport.get_extra_info("peername") or ("", 0))[:2])
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        mark(sock, self._link.dscp)  # TLS has handed over its certificates by now, unmarked
        self.used_at = self.pinged_at = self._loop.time()
        names = names_in(transport.get_extra_info("peercert"))
        self.flow = Flow(self._link.name, remote, self._link.opened(self), self.flow.name, names)
        waiting, self._waiting = self._waiting, []
        for send in waiting:
            self.send(send)

    def data_received(self, data: bytes) -> None:
        """Some bytes: part of a message, or several."""
        try:
            while items := self._framer.feed(data):
                data = b""
                self.used_at = self._loop.time()
                for item in items:
                    if isinstance(item, Ping):
                        self._pong()
                    else:
                        self.stranger = False
                        self._link.transport.message(item, self.flow)
        except SipSyntaxError as error:  # nobody knows where the next message begins
            self._link.transport.garbled(bytes(self._framer.buffer), self.flow, error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over. Requests that nothing has answered go out once more, by another connection."""
        self._link.forget(self)
        self.gone.set_result(None)
        if not self._link.closing:
            for request in self._recent:
                self._link.transport.lost(request, f"connection lost: {exc or 'closed by the peer'}")

    def _pong(self) -> None:
        if self._wire is not None:
            self._wire.write(PONG)
