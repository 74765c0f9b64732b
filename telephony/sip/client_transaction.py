"""Our requests on the wire: repeated until answered, answered once (RFC 3261 §17.1, RFC 6026 §8.4).

Pure. Driven by stack.py, which makes one per request and feeds it the responses that match its branch.
Our ACK to a 2xx is not sent from here: it is a transaction of its own and belongs to the dialog."""

from __future__ import annotations

from enum import Enum, auto

from telephony.sip.message import Request, Response
from telephony.sip.transaction import (
    PATIENCE,
    T1,
    T2,
    T4,
    Action,
    Done,
    Flow,
    FlowBroke,
    ResponseCame,
    Send,
    TimedOut,
    Timers,
    Up,
    client_key,
)

TIMER_D = 32.0  # s; as long as the other side may repeat its refusal over UDP (RFC 3261 §17.1.1.2)


class ClientState(Enum):
    """Where a request of ours stands."""

    CALLING = auto()  # sent, nothing heard ("Trying" in the RFC if it is not an INVITE)
    PROCEEDING = auto()  # a 1xx came
    COMPLETED = auto()  # a final response came; repeats are absorbed
    ACCEPTED = auto()  # INVITE only: a 2xx came, more may follow from other branches of a fork
    OVER = auto()


class ClientTransaction:
    """What INVITE and other client transactions share."""

    def __init__(self, request: Request, flow: Flow) -> None:
        self.request = request
        self.flow = flow
        self.key = client_key(request)
        self.state = ClientState.CALLING
        self._timers = Timers()
        self._wait = T1

    def start(self, now: float) -> list[Action]:
        """Send the request for the first time."""
        raise NotImplementedError

    def receive(self, event: Response | FlowBroke, now: float) -> list[Action]:
        """A response that matches, or the news that the flow is broken."""
        if isinstance(event, FlowBroke):
            return self._give_up(event) if self.state in (ClientState.CALLING, ClientState.PROCEEDING) else []
        return self._answer(event, now)

    def next_deadline(self) -> float | None:
        """When `expire` must be called."""
        return self._timers.next()

    def expire(self, now: float) -> list[Action]:
        """Fire what is due."""
        return [action for name in self._timers.due(now) for action in self._fire(name, now)]

    def _answer(self, response: Response, now: float) -> list[Action]:
        raise NotImplementedError

    def _fire(self, name: str, now: float) -> list[Action]:
        raise NotImplementedError

    def _give_up(self, event: TimedOut | FlowBroke) -> list[Action]:
        return [Up(event), *self._end()]

    def _end(self) -> list[Action]:
        self.state = ClientState.OVER
        self._timers.clear()
        return [Done()]


class InviteClient(ClientTransaction):
    """INVITE from our side: timers A (repeat), B (give up), D (refused), M (accepted), and the ACK of a
    refusal."""

    def __init__(self, request: Request, flow: Flow) -> None:
        super().__init__(request, flow)
        self._ack: Request | None = None
        self._cancel_wanted = False
        self.given_up = False  # we have asked for its end

    def start(self, now: float) -> list[Action]:
        """Send the INVITE; over UDP repeat it after T1, 2·T1, 4·T1 …"""
        if not self.flow.reliable:
            self._timers.set("A", now + T1)
        self._timers.set("B", now + PATIENCE)
        return [Send(self.request, self.flow)]

    def cancel(self, now: float) -> Request | None:
        """Ask for the end of an unanswered INVITE (RFC 3261 §9.1). Returns the CANCEL to send, if it may go
        now.

        Before the first 1xx nothing may be sent: call again when one comes, `cancel_due` says so. If the 487
        never comes, the INVITE times out 64·T1 after the CANCEL."""
        self.given_up = True
        if self.state is ClientState.CALLING:
            self._cancel_wanted = True
            return None
        if self.state is not ClientState.PROCEEDING:
            return None
        self._cancel_wanted = False
        self._timers.set("B", now + PATIENCE)
        return following("CANCEL", self.request, self.request.get("To") or "")

    @property
    def cancel_due(self) -> bool:
        """A CANCEL was held back until a 1xx came, and one has come."""
        return self._cancel_wanted and self.state is ClientState.PROCEEDING

    def _answer(self, response: Response, now: float) -> list[Action]:
        if self.state in (ClientState.CALLING, ClientState.PROCEEDING):
            if response.status < 200:
                if (
                    self.state is ClientState.CALLING
                ):  # later B may run again: it then limits the wait for the 487
                    self._timers.stop("A", "B")
                self.state = ClientState.PROCEEDING
                return [Up(ResponseCame(response))]
            self._timers.clear()
            return self._accepted(response, now) if response.status < 300 else self._refused(response, now)
        if self.state is ClientState.ACCEPTED and 200 <= response.status < 300:
            return [Up(ResponseCame(response))]
        if self.state is ClientState.COMPLETED and response.status >= 300 and self._ack is not None:
            return [Send(self._ack, self.flow)]
        return []

    def _accepted(self, response: Response, now: float) -> list[Action]:
        self.state = ClientState.ACCEPTED
        self._timers.set("M", now + PATIENCE)
        return [Up(ResponseCame(response))]

    def _refused(self, response: Response, now: float) -> list[Action]:
        self.state = ClientState.COMPLETED
        self._ack = following("ACK", self.request, response.get("To") or "")
        actions: list[Action] = [Send(self._ack, self.flow), Up(ResponseCame(response))]
        if self.flow.reliable:
            return [*actions, *self._end()]
        self._timers.set("D", now + TIMER_D)
        return actions

    def _fire(self, name: str, now: float) -> list[Action]:
        if name == "A":
            self._wait *= 2
            self._timers.set("A", now + self._wait)
            return [Send(self.request, self.flow)]
        return self._give_up(TimedOut()) if name == "B" else self._end()


class RequestClient(ClientTransaction):
    """Any other request from our side: timers E (repeat), F (give up), K (linger for late repeats)."""

    def start(self, now: float) -> list[Action]:
        """Send the request; over UDP repeat it after T1, 2·T1 … at most every T2."""
        if not self.flow.reliable:
            self._timers.set("E", now + T1)
        self._timers.set("F", now + PATIENCE)
        return [Send(self.request, self.flow)]

    def _answer(self, response: Response, now: float) -> list[Action]:
        if self.state not in (ClientState.CALLING, ClientState.PROCEEDING):
            return []
        if response.status < 200:
            self.state = ClientState.PROCEEDING
            return [Up(ResponseCame(response))]
        self.state = ClientState.COMPLETED
        self._timers.clear()
        if self.flow.reliable:
            return [Up(ResponseCame(response)), *self._end()]
        self._timers.set("K", now + T4)
        return [Up(ResponseCame(response))]

    def _fire(self, name: str, now: float) -> list[Action]:
        if name == "E":
            self._wait = T2 if self.state is ClientState.PROCEEDING else min(self._wait * 2, T2)
            self._timers.set("E", now + self._wait)
            return [Send(self.request, self.flow)]
        return self._give_up(TimedOut()) if name == "F" else self._end()


def following(method: str, invite: Request, to: str) -> Request:
    """CANCEL of, or ACK to the refusal of, an INVITE of ours: same top Via, Request-URI and Route.

    to: the To line it carries: the response's for an ACK, the INVITE's for a CANCEL.
    Source: RFC 3261 §9.1, §17.1.1.3."""
    request = Request(method, invite.uri)
    request.add("Via", invite.all("Via")[0])
    for route in invite.all("Route"):
        request.add("Route", route)
    request.add("Max-Forwards", "70")
    request.add("From", invite.get("From") or "").add("To", to)
    request.add("Call-ID", invite.call_id).add("CSeq", f"{invite.cseq.number} {method}")
    return request
