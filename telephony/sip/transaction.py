"""What every SIP state machine here speaks: actions out, named timers, and the keys that match messages to
it.

Pure. Driven by stack.py; the four machines are in client_transaction.py and server_transaction.py.
Not a dialog: a transaction is one request and its responses (RFC 3261 §17), and knows nothing of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from telephony.sip.message import Message, Request, Response

T1 = 0.5  # s, estimate of the round trip (RFC 3261 §17.1.1.1, table 4)
T2 = 4.0  # s, longest wait between repeats of a non-INVITE request and of a final INVITE response
T4 = 5.0  # s, longest time that a message lives in the network
PATIENCE = 64 * T1  # s, timers B, F, H, J, L and M
COOKIE = "z9hG4bK"  # a branch that starts so is unique by itself (RFC 3261 §8.1.1.7)


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a message came from and where its answer goes: an opaque handle to everyone but the transport.

    transport: "udp", "tcp" or "tls". remote: the peer's address. connection: the transport's own number of a
    connection that exists; 0 on UDP, and for one to `remote` that is opened when needed. name: whom the
    certificate there must name, "" for the address itself. proven: whom the peer's verified certificate names.
    """

    transport: str
    remote: tuple[str, int]
    connection: int = 0
    name: str = field(default="", compare=False)
    proven: tuple[str, ...] = field(default=(), compare=False)

    def dump(self) -> list[Any]:
        """Plain values for `load`; a connection is its process's own and is not among them."""
        return [self.transport, list(self.remote), self.name]

    @classmethod
    def load(cls, row: Sequence[Any]) -> Self:
        """The flow that `dump` wrote."""
        transport, (host, port), name = row
        return cls(transport, (host, port), name=name)

    @property
    def v6(self) -> bool:
        """The peer is reached over IPv6."""
        return ":" in self.remote[0]

    @property
    def reliable(self) -> bool:
        """Nothing is lost on it, so requests are not repeated (RFC 3261 §17.1.1.2)."""
        return self.transport != "udp"


@dataclass(frozen=True, slots=True)
class Send:
    """Put this message on that flow, now."""

    message: Message
    flow: Flow


@dataclass(frozen=True, slots=True)
class Up:
    """Something happened that the layer above must hear."""

    event: object


@dataclass(frozen=True, slots=True)
class Done:
    """The machine has ended; forget it."""


Action = Send | Up | Done


@dataclass(frozen=True, slots=True)
class ResponseCame:
    """A response that is not a repeat arrived for our request."""

    response: Response


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody answered our request in time; treat it as 408 (RFC 3261 §8.1.3.1)."""


@dataclass(frozen=True, slots=True)
class FlowBroke:
    """The flow cannot carry the message; treat it as 503 (RFC 3261 §8.1.3.1)."""

    reason: str


@dataclass(frozen=True, slots=True)
class AckMissing:
    """Our final response to an INVITE was never acknowledged (Timer H, or 64·T1 after a 2xx)."""

    response: Response


@dataclass(frozen=True, slots=True)
class PrackMissing:
    """Our reliable 18x was not acknowledged for 64·T1 (RFC 3262 §3)."""

    response: Response


class Machine(Protocol):
    """One piece of protocol with a life of its own: input and `now` in, actions out."""

    def next_deadline(self) -> float | None:
        """Loop time at which `expire` wants to be called, None if nothing is pending."""

    def expire(self, now: float) -> list[Action]:
        """Fire every timer that is due at `now`."""


class Timers:
    """The running timers of one machine, by their RFC letter. They leave through `next`, come back through
    `due`."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def set(self, name: str, at: float) -> None:
        """Start or restart a timer that fires at loop time `at`."""
        self._at[name] = at

    def stop(self, *names: str) -> None:
        """Stop these timers; those not running are left alone."""
        for name in names:
            self._at.pop(name, None)

    def clear(self) -> None:
        """Stop all."""
        self._at.clear()

    def next(self) -> float | None:
        """The earliest deadline, None if no timer runs."""
        return min(self._at.values()) if self._at else None

    def due(self, now: float) -> list[str]:
        """Take out the timers that have fired, earliest first."""
        fired = sorted((at, name) for name, at in self._at.items() if at <= now)
        self.stop(*(name for _, name in fired))
        return [name for _, name in fired]


def client_key(message: Message) -> str:
    """Name of the client transaction that sent this request or gets this response (RFC 3261 §17.1.3)."""
    return f"{message.via.branch}|{message.cseq.method}"


def server_key(request: Request, method: str = "") -> str:
    """Name of the server transaction that this request belongs to (RFC 3261 §17.2.3).

    method: look for that one instead, as CANCEL looks for its INVITE; an ACK always does.
    Without the magic cookie, or with nothing behind it, the RFC 2543 tuple decides. Raises SipSyntaxError."""
    via = request.via
    method = method or ("INVITE" if request.method == "ACK" else request.method)
    sent_by = f"{via.host.lower()}:{via.port}"
    if via.branch.startswith(COOKIE) and len(via.branch) > len(COOKIE):
        return f"{via.branch}|{sent_by}|{method}"
    number = request.cseq.number
    return f"{request.uri}|{request.from_tag}|{request.call_id}|{number}|{sent_by}|{via.branch}|{method}"


def reply_flow(request: Request, flow: Flow) -> Flow:
    """Where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4).

    Reliable: the connection it came by. UDP: the source address, at the source port if `rport` was asked for,
    else at the port of the Via. `maddr` is ignored: it would let a stranger aim our responses at anyone."""
    via = request.via
    if flow.reliable or via.wants_rport:
        return flow
    port = via.port or 5060
    return flow if port == flow.remote[1] else replace(flow, remote=(flow.remote[0], port))
