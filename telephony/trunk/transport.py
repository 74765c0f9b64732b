"""The UDP edge of SIP: datagrams to the stack, its actions to the socket, one timer for all its deadlines.

Driven by the event loop. Knows no SIP beyond sending what it is given: who answers what is sip/stack.py's and
the calls'. One wake-up drains the socket, so that a burst of calls costs one pass through the loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

import structlog

from telephony.errors import TransportError
from telephony.sip.message import Request
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow, Send, Up

RECEIVE_BUFFER_BYTES = 1 << 20  # some 1,500 INVITEs: a burst must survive a busy moment
DRAIN = 64  # datagrams a wake-up may take before others get their turn
MAX_DATAGRAM = 65507  # UDP over IPv4

log = structlog.get_logger(__name__)


class UdpTransport:
    """One bound UDP socket and the stack behind it.

    hear: gets every event that the stack sends up, in order. An exception in it is logged and ends nothing
    else."""

    def __init__(self, stack: Stack, hear: Callable[[object], None], sock: socket.socket) -> None:
        self._stack = stack
        self._hear = hear
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.unsendable = 0  # messages that the socket would not take
        self._loop.add_reader(sock, self._readable)

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the stack said, in order, and rearm the timer."""
        for action in actions:
            if isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Up):
                self._supervise(self._hear, action.event)
        self._arm()

    def close(self) -> None:
        """Give the socket back; what is still due is forgotten."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
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
            self._supervise(self._take, data, Flow("udp", (source[0], source[1])))

    def _take(self, data: bytes, flow: Flow) -> None:
        self.perform(self._stack.datagram(data, flow, self._loop.time()))

    def _send(self, send: Send) -> None:
        try:
            data = send.message.encode()
            if len(data) > MAX_DATAGRAM:
                raise OSError(f"{len(data)} bytes do not fit one datagram of {MAX_DATAGRAM}")
            self._sock.sendto(data, send.flow.remote)
        except (BlockingIOError, InterruptedError):
            self.unsendable += 1  # the kernel is full: as good as lost on the way, and repeated like that
        except OSError as error:
            self.unsendable += 1
            log.warning(
                "sip.unsendable", to=send.flow.remote, pii_line=send.message.first_line, error=str(error)
            )
            if isinstance(send.message, Request):  # not now: the call that sent it has not returned yet
                self._loop.call_soon(self._supervise, self._break, send.message, str(error))

    def _break(self, request: Request, reason: str) -> None:
        self.perform(self._stack.broken(request, reason, self._loop.time()))

    def _arm(self) -> None:
        deadline = self._stack.next_deadline()
        if self._timer is not None:
            if deadline is not None and self._timer.when() <= deadline:
                return  # it rings earlier, finds nothing due and arms again: cheaper than moving it each time
            self._timer.cancel()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._supervise(self._expire)

    def _expire(self) -> None:
        self.perform(self._stack.expire(self._loop.time()))

    def _supervise(self, step: Callable[..., None], *args: object) -> None:
        """One datagram, timer or event; whatever goes wrong in it, the next one is served."""
        try:
            step(*args)
        except Exception:
            log.exception("sip.step_failed", step=getattr(step, "__name__", repr(step)))
            self._loop.call_soon(self._arm)


def bind_udp(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket. port 0: any free one. Raises TransportError naming what holds it."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise TransportError(
            f"SIP on UDP {host}:{port}: {error.strerror or error}. Free the port or choose another."
        ) from error
    return sock


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
