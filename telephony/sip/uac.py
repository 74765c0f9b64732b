"""The half of the stack that asks: our requests, their responses, the dialogs and ACKs that follow (RFC 3261
§8.1, §13.2).

Pure. Driven by stack.py and, through it, by the calls."""

from __future__ import annotations

from dataclasses import dataclass, field

from telephony.errors import SipSyntaxError
from telephony.sip.client_transaction import ClientState, ClientTransaction, InviteClient, RequestClient
from telephony.sip.dialog import Dialog
from telephony.sip.digest import MAX_TRIES, Login
from telephony.sip.endpoint import Endpoint, Headers
from telephony.sip.events import Replied, Unanswered
from telephony.sip.message import Request, Response
from telephony.sip.provisional import TAG, SeenResponses, number_of
from telephony.sip.screening import ALLOW, MIN_SESSION_S
from telephony.sip.transaction import (
    Action,
    Done,
    Flow,
    FlowBroke,
    ResponseCame,
    Send,
    TimedOut,
    Up,
    client_key,
)

MAX_STRETCHES = 3  # how often one request is sent anew because its session is too short for somebody
LONGEST_SESSION_S = 86400  # of what a 422 may ask for

_REFRESHING = ("INVITE", "UPDATE")  # their 2xx may move the remote target (RFC 3261 §12.2.1.2, RFC 3311 §5.1)


@dataclass(slots=True)
class _Asking:
    """A request of ours in progress.

    dialog: the one it was sent in, None for a new call. forks: dialogs that responses gave birth to, by To
    tag. acks: what each 2xx was acknowledged with, by To tag. udp: where it goes if TCP, which it took for
    its size, is not spoken there. resent: its connection was lost once. login: answers their challenges. first:
    the transaction that was asked for, when this is its repeat. answered: challenges answered. stretched: how
    often they wanted a longer session. seen: their reliable 18x.
    """

    transaction: ClientTransaction
    dialog: Dialog | None = None
    login: Login | None = None
    first: ClientTransaction | None = None
    tries: int = 1
    answered: set[tuple[int, str]] = field(default_factory=set)
    forks: dict[str, Dialog] = field(default_factory=dict)
    acks: dict[str, Send] = field(default_factory=dict)
    udp: Flow | None = None
    resent: bool = False
    stretched: int = 0
    seen: SeenResponses = field(default_factory=SeenResponses)


class UserAgentClient:
    """Requests of ours out; what became of them as events."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._asking: dict[str, _Asking] = {}
        self._repeated: dict[str, ClientTransaction] = {}  # key of the first try → the latest one

    @property
    def pending(self) -> int:
        """Requests of ours that have no final response yet."""
        waiting = (ClientState.CALLING, ClientState.PROCEEDING)
        return sum(asking.transaction.state in waiting for asking in self._asking.values())

    # ---- asking

    def invite(
        self,
        uri: str,
        caller: str,
        flow: Flow,
        now: float,
        headers: Headers = (),
        body: bytes = b"",
        login: Login | None = None,
    ) -> tuple[InviteClient, list[Action]]:
        """Begin a call. caller: our From line, without tag. The new From tag and the Call-ID name the leg."""
        endpoint = self._endpoint
        request = Request("INVITE", uri)
        request.add("Max-Forwards", "70").add("From", f"{caller};tag={endpoint.token()}").add(
            "To", f"<{uri}>"
        )
        request.add("Call-ID", endpoint.token()).add("CSeq", "1 INVITE")
        request.add("Contact", endpoint.contact_on(flow, uri))
        request.add("Allow", ALLOW).add("User-Agent", endpoint.product)
        for name, value in headers:
            request.add(name, value)
        if TAG in endpoint.supported:
            request.add("Supported", TAG)
        if body:
            request.add("Content-Type", "application/sdp")
            request.body = body
        transaction = InviteClient(request, endpoint.sign(request, flow))
        asking = _Asking(transaction, login=login, udp=_fallback(transaction, flow))
        return transaction, self._start(asking, now)

    def request(
        self, request: Request, flow: Flow, now: float, login: Login | None = None
    ) -> tuple[ClientTransaction, list[Action]]:
        """Send a request that belongs to no dialog and is complete but for its Via: REGISTER, OPTIONS."""
        if login is not None:
            login.authorize(request)
        transaction = RequestClient(request, self._endpoint.sign(request, flow))
        return transaction, self._start(_Asking(transaction, login=login), now)

    def ask(
        self,
        dialog: Dialog,
        method: str,
        now: float,
        headers: Headers = (),
        body: bytes = b"",
        content_type: str = "application/sdp",
    ) -> tuple[ClientTransaction, list[Action]]:
        """Send a request within a dialog. After a BYE the dialog lives on only to answer theirs (RFC 3261
        §15)."""
        flow = dialog.next_flow()
        request = dialog.request(method, headers, body, content_type)
        request.add("User-Agent", self._endpoint.product)
        if dialog.login is not None:
            dialog.login.authorize(request)
        signed = self._endpoint.sign(request, flow)
        transaction = (InviteClient if method == "INVITE" else RequestClient)(request, signed)
        if method == "INVITE":
            dialog.our_invite = transaction.key
        elif method == "BYE":
            dialog.ending = True
        asking = _Asking(transaction, dialog, dialog.login, udp=_fallback(transaction, flow))
        return transaction, self._start(asking, now)

    def ack(self, transaction: ClientTransaction, dialog: Dialog, body: bytes = b"") -> list[Action]:
        """Acknowledge a 2xx; the same ACK answers each repeat of it from then on (RFC 3261 §13.2.2.4)."""
        transaction = self._repeated.get(transaction.key, transaction)
        request = dialog.ack(transaction.request.cseq.number, body, "application/sdp")
        send = Send(request, self._endpoint.sign(request, dialog.next_flow()))
        if asking := self._asking.get(transaction.key):
            asking.acks[dialog.remote_tag] = send
        return [send]

    def prack(
        self, response: Response, dialog: Dialog, now: float, body: bytes = b""
    ) -> tuple[ClientTransaction, list[Action]]:
        """Acknowledge a reliable 18x (RFC 3262 §4). body: the answer to the offer that it carried."""
        return self.ask(dialog, "PRACK", now, (("RAck", f"{number_of(response)} {response.cseq}"),), body)

    def cancel(self, transaction: InviteClient, now: float, headers: Headers = ()) -> list[Action]:
        """Give up an INVITE of ours; before its first 1xx the CANCEL is held back (RFC 3261 §9.1)."""
        latest = self._repeated.get(transaction.key, transaction)
        assert isinstance(latest, InviteClient)
        transaction, request = latest, latest.cancel(now)
        self._endpoint.agenda.note(transaction)
        if request is None:
            return []
        for name, value in headers:
            request.add(name, value)
        return self._start(_Asking(RequestClient(request, transaction.flow)), now)

    def broken(self, request: Request, reason: str, now: float) -> list[Action]:
        """The transport could not send this request of ours."""
        asking = self._asking.get(client_key(request))
        if asking is None or request.method == "ACK":
            return []
        transaction = asking.transaction
        if asking.udp is not None and self._endpoint.tcp and transaction.state is ClientState.CALLING:
            self._endpoint.readdress(
                request, asking.udp
            )  # RFC 3261 §18.1.1: better in fragments than not at all
            transaction.flow, asking.udp = asking.udp, None
            return self.run(transaction, transaction.start(now))
        return self.run(transaction, transaction.receive(FlowBroke(reason), now))

    def lost(self, request: Request, reason: str, now: float) -> list[Action]:
        """The connection that carried this request is gone. Sent once more on another if nothing has answered
        it: a peer may close an idle connection in the very moment that we use it."""
        asking = self._asking.get(client_key(request))
        if asking is None or request.method == "ACK" or asking.transaction.state is not ClientState.CALLING:
            return []
        if asking.resent:
            return self.broken(request, reason, now)
        asking.resent = True
        return [Send(request, asking.transaction.flow)]

    # ---- hearing

    def response(self, response: Response, now: float) -> list[Action]:
        """One response from the network. Raises SipSyntaxError if it cannot be read."""
        asking = self._asking.get(client_key(response))
        if asking is None:
            self._endpoint.counters.stray += 1
            return self._stray(response)
        accepted = 200 <= response.status < 300
        if accepted and (ack := asking.acks.get(response.to_tag)):
            self._endpoint.counters.retransmitted += 1
            return [ack]
        dialog = self._dialog_of(asking, response)
        if dialog is not None and accepted and response.cseq.method in _REFRESHING:
            dialog.confirm(response)
        if response.status >= 200:
            self._invite_done(asking)
        transaction = asking.transaction
        if (
            response.status in (401, 407, 422)
            and (repeat := self._try_again(asking, response, now)) is not None
        ):
            return repeat
        actions: list[Action] = []
        if dialog is not None and (number := number_of(response)) is not None and _waiting(transaction):
            if not asking.seen.take(response, number):
                self._endpoint.counters.retransmitted += 1
                return []
            if transaction.request.body or not response.body:  # else it offers, and whoever asked answers
                actions += self.prack(response, dialog, now)[1]
        actions += self.run(transaction, transaction.receive(response, now))
        if isinstance(transaction, InviteClient) and transaction.cancel_due:
            actions += self.cancel(transaction, now)
        if response.status >= 300:
            self._forget_forks(asking)
        return actions

    def _stray(self, response: Response) -> list[Action]:
        """A 2xx to a re-INVITE of a process before us: without an ACK they would end the call (RFC 3261 §14.2)."""
        if response.cseq.method != "INVITE" or not 200 <= response.status < 300:
            return []
        dialog = self._endpoint.dialogs.get((response.call_id, response.from_tag, response.to_tag))
        if dialog is None or dialog.early or dialog.ending:
            return []
        request = dialog.ack(response.cseq.number)
        return [Send(request, self._endpoint.sign(request, dialog.next_flow()))]

    def run(self, machine: ClientTransaction, actions: list[Action]) -> list[Action]:
        """Carry out what a machine said: sends pass, news is translated, an ended machine is forgotten."""
        out: list[Action] = []
        for action in actions:
            if isinstance(action, Send):
                out.append(action)
            elif isinstance(action, Done):
                self._drop(machine)
            else:
                out += self._translate(machine, action.event)
        self._endpoint.agenda.note(machine)
        return out

    def _try_again(self, asking: _Asking, response: Response, now: float) -> list[Action] | None:
        """The same request with what was missing, the next CSeq and a new branch: credentials (RFC 3261 §22.2),
        or a session that is long enough for them (RFC 4028 §7.3). None if it was not the first final response,
        or if that would not help."""
        before, login = asking.transaction, asking.login
        given_up = isinstance(before, InviteClient) and before.given_up
        if not _waiting(before) or given_up or before.request.method in ("CANCEL", "ACK"):
            return None
        tries, stretched, longer = asking.tries, asking.stretched, None
        if response.status == 422:
            longer, stretched = _longer(before.request, response), stretched + 1
            if longer is None or stretched > MAX_STRETCHES:
                return None
        elif login is None or tries >= MAX_TRIES or not login.challenged(response, asking.answered):
            return None
        else:
            tries += 1
        actions = [action for action in before.receive(response, now) if isinstance(action, Send)]
        self._endpoint.agenda.note(before)
        again = self._again(before.request, asking.dialog)
        for name, value in longer or ():
            again.set(name, value)
        if login is not None:
            login.authorize(again)
        transaction = type(before)(again, self._endpoint.sign(again, before.flow))
        first = asking.first or before
        self._repeated[first.key] = transaction
        if asking.dialog is not None and again.method == "INVITE":
            asking.dialog.our_invite = transaction.key
        repeat = _Asking(transaction, asking.dialog, login, first, tries, asking.answered)
        repeat.stretched = stretched
        repeat.udp = asking.udp or _fallback(transaction, before.flow)
        self._forget_forks(asking)
        asking.dialog = None  # it lives on in the repeat
        if before.state is ClientState.OVER:
            self._drop(before)
        return [*actions, *self._start(repeat, now)]

    def _again(self, request: Request, dialog: Dialog | None) -> Request:
        """A copy without its top Via, with the next sequence number."""
        again = request.copy()
        again.set("Via", *request.all("Via")[1:])
        number = request.cseq.number + 1
        if dialog is not None:
            dialog.local_seq = number = dialog.local_seq + 1
        return again.set("CSeq", f"{number} {request.method}")

    def _start(self, asking: _Asking, now: float) -> list[Action]:
        self._asking[asking.transaction.key] = asking
        return self.run(asking.transaction, asking.transaction.start(now))

    def _translate(self, machine: ClientTransaction, event: object) -> list[Action]:
        asking = self._asking.get(machine.key)
        if asking is None or machine.request.method == "CANCEL":
            return []  # what becomes of a CANCEL shows in its INVITE
        if machine.request.method == "PRACK" and not machine.request.body:
            return []  # of a PRACK of our own accord too
        leg = (machine.request.call_id, machine.request.from_tag)
        machine = asking.first or machine  # the one that whoever asked was given
        if isinstance(event, ResponseCame):
            return [Up(Replied(leg, machine, event.response, self._dialog_of(asking, event.response)))]
        self._invite_done(asking)
        self._forget_forks(asking)
        if isinstance(event, FlowBroke):
            return [Up(Unanswered(leg, machine, 503, event.reason))]
        return [Up(Unanswered(leg, machine, 408, "No answer"))] if isinstance(event, TimedOut) else []

    def _dialog_of(self, asking: _Asking, response: Response) -> Dialog | None:
        """The dialog of a response, born now if it is the first with that To tag (RFC 3261 §12.1.2,
        §13.2.2)."""
        request, tag = asking.transaction.request, response.to_tag
        refused = asking.transaction.state is ClientState.COMPLETED
        if (
            asking.dialog is not None
            or request.method != "INVITE"
            or refused
            or not 100 < response.status < 300
        ):
            return asking.dialog
        dialog = asking.forks.get(tag)
        if dialog is None and tag:
            contact = request.get("Contact") or self._endpoint.contact
            dialog = Dialog.as_uac(request, response, contact, asking.transaction.flow)
            dialog.login = asking.login
            asking.forks[tag] = self._endpoint.dialogs[dialog.id] = dialog
        return dialog

    def _invite_done(self, asking: _Asking) -> None:
        if asking.dialog is not None and asking.dialog.our_invite == asking.transaction.key:
            asking.dialog.our_invite = ""

    def _forget_forks(self, asking: _Asking) -> None:
        """Early dialogs end with the INVITE that made them (RFC 3261 §13.2.2.3)."""
        for dialog in asking.forks.values():
            if dialog.early:
                self._endpoint.forget(dialog)

    def _drop(self, machine: ClientTransaction) -> None:
        asking = self._asking.pop(machine.key, None)
        if asking is None:
            return
        self._forget_forks(asking)
        if asking.first is not None and self._repeated.get(asking.first.key) is machine:
            del self._repeated[asking.first.key]
        if asking.dialog is not None and machine.request.method == "BYE":
            self._endpoint.forget(asking.dialog)


def _waiting(transaction: ClientTransaction) -> bool:
    """No final response has come."""
    return transaction.state in (ClientState.CALLING, ClientState.PROCEEDING)


def _longer(request: Request, refusal: Response) -> Headers | None:
    """Session-Expires and Min-SE that satisfy a 422; None if it asks for nothing that we had not given, or for
    more than a day."""
    try:
        ours, before = request.seconds("Session-Expires"), request.seconds("Min-SE") or MIN_SESSION_S
        theirs = refusal.seconds("Min-SE")
    except SipSyntaxError:
        return None
    if ours is None or theirs is None or not max(before, MIN_SESSION_S) < theirs <= LONGEST_SESSION_S:
        return None
    _, mark, params = (request.get("Session-Expires") or "").partition(";")
    return ("Session-Expires", f"{max(ours, theirs)}{mark}{params}"), ("Min-SE", str(theirs))


def _fallback(transaction: ClientTransaction, flow: Flow) -> Flow | None:
    """The UDP flow that the request would have taken, had it been smaller."""
    return flow if flow.transport == "udp" and transaction.flow.reliable else None
