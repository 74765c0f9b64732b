"""The peer's requests: each heard once, its last response given again when it is repeated (RFC 3261 §17.2,
RFC 6026).

Pure. Driven by stack.py, which makes one per new request and feeds it repeats, the ACK of a refusal, and our
own responses. The 2xx to an INVITE is repeated by `AwaitAck`, which outlives nothing but the ACK
(§13.3.1.4)."""

from __future__ import annotations

from enum import Enum, auto
from typing import Self

from telephony.sip.message import Request, Response
from telephony.sip.transaction import (
    PATIENCE,
    T1,
    T2,
    T4,
    AckMissing,
    Action,
    Done,
    Flow,
    Send,
    Timers,
    Up,
    reply_flow,
    server_key,
)


class ServerState(Enum):
    """Where a request of the peer's stands."""

    PROCEEDING = auto()  # no final response yet ("Trying" in the RFC while there is none at all)
    COMPLETED = auto()  # refused, or finally answered if it is not an INVITE
    CONFIRMED = auto()  # INVITE only: the refusal was acknowledged
    ACCEPTED = auto()  # INVITE only: 2xx sent; repeats of the INVITE are absorbed (RFC 6026 §7.1)
    OVER = auto()


class ServerTransaction:
    """What INVITE and other server transactions share.

    to_tag: ours in every response that needs one, chosen once (RFC 3261 §8.2.6.2)."""

    def __init__(self, request: Request, flow: Flow, to_tag: str) -> None:
        self.request = request
        self.flow = reply_flow(request, flow)
        self.key = server_key(request)
        self.to_tag = request.to.tag or to_tag
        self.state = ServerState.PROCEEDING
        self.last: Response | None = None
        self._timers = Timers()

    @property
    def answered(self) -> bool:
        """A final response has been given."""
        return self.state is not ServerState.PROCEEDING

    def receive(self, event: Request | Response, now: float) -> list[Action]:
        """A repeat or ACK from the wire, or the response that the layer above gives."""
        return self._answer(event, now) if isinstance(event, Response) else self._hear(event, now)

    def next_deadline(self) -> float | None:
        """When `expire` must be called."""
        return self._timers.next()

    def expire(self, now: float) -> list[Action]:
        """Fire what is due."""
        return [action for name in self._timers.due(now) for action in self._fire(name, now)]

    def _hear(self, request: Request, now: float) -> list[Action]:
        raise NotImplementedError

    def _answer(self, response: Response, now: float) -> list[Action]:
        raise NotImplementedError

    def _fire(self, name: str, now: float) -> list[Action]:
        return self._end()

    def _repeat(self) -> list[Action]:
        return [Send(self.last, self.flow)] if self.last is not None else []

    def _end(self) -> list[Action]:
        self.state = ServerState.OVER
        self._timers.clear()
        return [Done()]


class InviteServer(ServerTransaction):
    """INVITE from the peer: timers G (repeat a refusal), H (no ACK), I (linger), L (accepted, RFC 6026
    §8.7)."""

    def __init__(self, request: Request, flow: Flow, to_tag: str) -> None:
        super().__init__(request, flow, to_tag)
        self._wait = T1

    @classmethod
    def restored(cls, request: Request, flow: Flow, to_tag: str, last: Response | None, now: float) -> Self:
        """As another process left it. last: our last response; a refusal leaves nothing to go on with."""
        invite = cls(request, flow, to_tag)
        invite.last = last
        if last is not None and last.status >= 200:
            invite.state = ServerState.ACCEPTED
            invite._timers.set("L", now + PATIENCE)
        return invite

    def _hear(self, request: Request, now: float) -> list[Action]:
        if request.method == "ACK":
            return self._acknowledged(now) if self.state is ServerState.COMPLETED else []
        if self.state in (ServerState.PROCEEDING, ServerState.COMPLETED):
            return self._repeat()
        return []

    def _acknowledged(self, now: float) -> list[Action]:
        self.state = ServerState.CONFIRMED
        self._timers.clear()
        if self.flow.reliable:
            return self._end()
        self._timers.set("I", now + T4)
        return []

    def _answer(self, response: Response, now: float) -> list[Action]:
        if self.state is not ServerState.PROCEEDING:
            return []
        self.last = response
        if 200 <= response.status < 300:
            self.state = ServerState.ACCEPTED
            self._timers.set("L", now + PATIENCE)
        elif response.status >= 300:
            self.state = ServerState.COMPLETED
            self._timers.set("H", now + PATIENCE)
            if not self.flow.reliable:
                self._timers.set("G", now + T1)
        return self._repeat()

    def _fire(self, name: str, now: float) -> list[Action]:
        if name == "G":
            self._wait = min(self._wait * 2, T2)
            self._timers.set("G", now + self._wait)
            return self._repeat()
        if name == "H" and self.last is not None:
            return [Up(AckMissing(self.last)), *self._end()]
        return self._end()


class RequestServer(ServerTransaction):
    """Any other request from the peer: timer J keeps the final response ready for repeats."""

    def _hear(self, request: Request, now: float) -> list[Action]:
        return self._repeat()

    def _answer(self, response: Response, now: float) -> list[Action]:
        if self.state is not ServerState.PROCEEDING:
            return []
        self.last = response
        if response.status >= 200:
            self.state = ServerState.COMPLETED
            if self.flow.reliable:
                return [*self._repeat(), *self._end()]
            self._timers.set("J", now + PATIENCE)
        return self._repeat()


class AwaitAck:
    """Repeats our 2xx at T1, 2·T1 … T2 until its ACK comes, on every transport (RFC 3261 §13.3.1.4).

    After 64·T1 without one it says AckMissing, once; the layer above must then send BYE."""

    def __init__(self, response: Response, flow: Flow, now: float) -> None:
        self.response = response
        self.flow = flow
        self._wait = T1
        self._timers = Timers()
        self._timers.set("repeat", now + T1)
        self._timers.set("give up", now + PATIENCE)

    def next_deadline(self) -> float | None:
        """When `expire` must be called."""
        return self._timers.next()

    def stop(self) -> None:
        """The ACK came, or the dialog is over."""
        self._timers.clear()

    def expire(self, now: float) -> list[Action]:
        """Repeat the 2xx, or give up."""
        fired = self._timers.due(now)
        if "give up" in fired:
            self.stop()
            return [Up(AckMissing(self.response)), Done()]
        if not fired:
            return []
        self._wait = min(self._wait * 2, T2)
        self._timers.set("repeat", now + self._wait)
        return [Send(self.response, self.flow)]
