"""The edge of SIP: what arrives goes to the stack, its actions go to the sockets, one timer for its deadlines.

Driven by the event loop. Knows no SIP beyond sending what it is given: who answers what is sip/stack.py's and
the calls'. The sockets themselves are links: udp.py for datagrams, stream.py for TCP and TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from telephony.errors import SipSyntaxError
from telephony.sip.message import Message, Request, Response
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow, Send, Up

log = structlog.get_logger(__name__)


class Link(Protocol):
    """What carries messages of one transport. It tells the Transport what it hears."""

    def send(self, send: Send) -> None:
        """Put it on the wire, or queue it for a connection. Raises OSError if that cannot be."""

    async def close(self) -> None:
        """Give all sockets back; what is still due is forgotten."""


class Transport:
    """The stack and the links below it.

    hear: gets every event that the stack sends up, in order. An exception in it is logged and ends nothing
    else."""

    def __init__(self, stack: Stack, hear: Callable[[object], None]) -> None:
        self._stack = stack
        self._hear = hear
        self._links: dict[str, Link] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._closed = False
        self.unsendable = 0  # messages that no socket would take

    def add(self, name: str, link: Link) -> None:
        """From now on `link` carries what goes by "udp", "tcp" or "tls"."""
        self._links[name] = link

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the stack said, in order, and rearm the timer."""
        for action in actions:
            if isinstance(action, Send):
                self._send(action)
            elif isinstance(action, Up):
                self._supervise(self._hear, action.event)
        self._arm()

    async def close(self) -> None:
        """Close every link; no timer rings any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for link in self._links.values():
            await link.close()

    # ---- what the links hear

    def datagram(self, data: bytes, flow: Flow) -> None:
        """One UDP datagram arrived."""
        self._supervise(self._do, self._stack.datagram, data, flow)

    def message(self, message: Request | Response, flow: Flow) -> None:
        """One message was cut out of a stream."""
        self._supervise(self._do, self._stack.receive, message, flow)

    def garbled(self, data: bytes, flow: Flow, error: SipSyntaxError) -> None:
        """A stream has brought what is no message."""
        log.info("sip.stream_garbled", source=flow.remote, error=str(error))
        self._supervise(self._do, self._stack.garbled, data, flow, error)

    def failed(self, message: Message, flow: Flow, reason: str) -> None:
        """This message could not be sent at all."""
        self.unsendable += 1
        log.warning("sip.unsendable", to=flow.remote, pii_line=message.first_line, error=reason)
        if isinstance(message, Request):  # not now: the call that sent it has not returned yet
            self._loop.call_soon(self._supervise, self._do, self._stack.broken, message, reason)

    def lost(self, request: Request, reason: str) -> None:
        """The connection that this request went out on is gone."""
        self._loop.call_soon(self._supervise, self._do, self._stack.lost, request, reason)

    # ---- inside

    def _send(self, send: Send) -> None:
        try:
            self._link(send).send(send)
        except OSError as error:
            self.failed(send.message, send.flow, str(error))

    def _link(self, send: Send) -> Link:
        link = self._links.get(send.flow.transport)
        if link is None:
            name = send.flow.transport.upper()
            remedy = f"Turn sip.{send.flow.transport} on"
            if send.flow.transport == "tcp":
                remedy += ", which requests above 1300 bytes need as well (RFC 3261 §18.1.1)"
            raise OSError(f"{name} is not spoken here. {remedy}.")
        return link

    def _do(self, step: Callable[..., list[Action]], *facts: object) -> None:
        if not self._closed:
            self.perform(step(*facts, self._loop.time()))

    def _arm(self) -> None:
        deadline = self._stack.next_deadline()
        if self._timer is not None:
            if deadline is not None and self._rings_at <= deadline:
                return  # it rings earlier, finds nothing due and arms again: cheaper than moving it each time
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._closed:
            # not asked of the timer itself: for a time that has passed, uvloop gives one that cannot tell
            self._timer, self._rings_at = self._loop.call_at(deadline, self._ring), deadline

    def _ring(self) -> None:
        self._timer = None
        self._supervise(self._do, self._stack.expire)

    def _supervise(self, step: Callable[..., None], *facts: object) -> None:
        """One message, timer or event; whatever goes wrong in it, the next one is served."""
        try:
            step(*facts)
        except Exception:
            log.exception("sip.step_failed", step=getattr(step, "__name__", repr(step)))
            self._loop.call_soon(self._arm)
