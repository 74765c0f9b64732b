"""The SIP endpoint without a socket: datagrams and time in, actions out (RFC 3261).

Pure. Driven by trunk/transport.py (bytes and time) and by the calls (responses and requests). Reads the
datagram and hands it to the half it concerns: uas.py or uac.py. Not the call: what to answer to an INVITE is
decided above."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telephony.errors import SipSyntaxError
from telephony.sip import lexer
from telephony.sip.client_transaction import ClientTransaction, InviteClient
from telephony.sip.dialog import Dialog
from telephony.sip.digest import Login
from telephony.sip.endpoint import Counters, Endpoint, Headers
from telephony.sip.message import Request, Response
from telephony.sip.provisional import ReliableResponses, wanted
from telephony.sip.server_transaction import AwaitAck, InviteServer, ServerTransaction
from telephony.sip.transaction import Action, Flow
from telephony.sip.uac import UserAgentClient
from telephony.sip.uas import UserAgentServer


class Stack:
    """One SIP endpoint. Every method that can cause messages returns the actions to carry out, in order."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._uas = UserAgentServer(endpoint)
        self._uac = UserAgentClient(endpoint)

    @property
    def counters(self) -> Counters:
        """What has been seen so far."""
        return self.endpoint.counters

    @property
    def pending(self) -> int:
        """Requests of ours that have no final response yet."""
        return self._uac.pending

    # ---- the wire

    def datagram(self, data: bytes, flow: Flow, now: float) -> list[Action]:
        """One datagram from the network. Raises nothing, whatever the peer sends."""
        if lexer.is_keepalive(data):
            return []
        try:
            message = lexer.lex(data)
        except SipSyntaxError as error:
            return self.garbled(data, flow, error, now)
        return self.receive(message, flow, now)

    def garbled(self, data: bytes, flow: Flow, error: SipSyntaxError, now: float) -> list[Action]:
        """Bytes that are no message: refused if enough of a request is left to answer it."""
        self.counters.received += 1
        self.counters.malformed += 1
        wreck = lexer.salvage(data)
        return [] if wreck is None else self._uas.refuse_stateless(wreck, flow, error, now)

    def receive(self, message: Request | Response, flow: Flow, now: float) -> list[Action]:
        """One message from the network. Raises nothing, whatever the peer sends."""
        self.counters.received += 1
        try:
            if isinstance(message, Response):
                return self._uac.response(message, now)
            return self._uas.request(message, flow, now)
        except SipSyntaxError as error:
            self.counters.malformed += 1
            return (
                [] if isinstance(message, Response) else self._uas.refuse_stateless(message, flow, error, now)
            )

    def broken(self, request: Request, reason: str, now: float) -> list[Action]:
        """The transport could not send this request of ours."""
        return self._uac.broken(request, reason, now)

    def lost(self, request: Request, reason: str, now: float) -> list[Action]:
        """The connection that this request of ours went out on is gone."""
        return self._uac.lost(request, reason, now)

    def next_deadline(self) -> float | None:
        """Loop time at which `expire` wants to be called, None if nothing is pending."""
        return self.endpoint.agenda.next_deadline()

    def expire(self, now: float) -> list[Action]:
        """Fire every timer that is due."""
        actions: list[Action] = []
        for machine in self.endpoint.agenda.due(now):
            if isinstance(machine, ClientTransaction):
                actions += self._uac.run(machine, machine.expire(now))
            elif isinstance(machine, ServerTransaction | AwaitAck | ReliableResponses):
                actions += self._uas.expire(machine, now)
        return actions

    # ---- the calls

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str = "",
        headers: Headers = (),
        body: bytes = b"",
        content_type: str = "application/sdp",
    ) -> list[Action]:
        """Answer a request; ignored if it has its final response already. A 2xx to INVITE repeats until its
        ACK."""
        return self._uas.respond(
            transaction, status, now, reason=reason, headers=headers, body=body, content_type=content_type
        )

    def arrives(self, invite: InviteServer, *, described: bool) -> bool:
        """A 18x to that INVITE, with a description or without, is repeated until its PRACK comes."""
        return self._uas.reliable and wanted(invite.request, described=described)

    def agreed_early(self, invite: InviteServer) -> bool:
        """A reliable 18x has carried our description, and its PRACK is here: either side may offer anew."""
        return self._uas.agreed_early(invite)

    def snapshot(self, invite: InviteServer) -> dict[str, Any]:
        """An INVITE of theirs as plain values, for another process."""
        return self._uas.snapshot(invite)

    def adopt(self, dialog: Dialog, invite: Mapping[str, Any] | None, now: float) -> InviteServer | None:
        """A dialog of a process before this one goes on here, and with it the INVITE that `snapshot` described."""
        self.endpoint.dialogs[dialog.id] = dialog
        return self._uas.restore(invite, dialog, now) if invite is not None else None

    def invite(
        self,
        uri: str,
        caller: str,
        flow: Flow,
        now: float,
        *,
        headers: Headers = (),
        body: bytes = b"",
        login: Login | None = None,
    ) -> tuple[InviteClient, list[Action]]:
        """Begin a call. caller: our From line, without tag. The new From tag and the Call-ID name the leg.

        login: answers challenges, to the INVITE and to all that follows in its dialog."""
        return self._uac.invite(uri, caller, flow, now, headers, body, login)

    def request(
        self, request: Request, flow: Flow, now: float, login: Login | None = None
    ) -> tuple[ClientTransaction, list[Action]]:
        """Send a request that belongs to no dialog and is complete but for its Via: REGISTER, OPTIONS."""
        return self._uac.request(request, flow, now, login)

    def ask(
        self,
        dialog: Dialog,
        method: str,
        now: float,
        *,
        headers: Headers = (),
        body: bytes = b"",
        content_type: str = "application/sdp",
    ) -> tuple[ClientTransaction, list[Action]]:
        """Send a request within a dialog. A BYE ends it: from then on it only answers theirs."""
        if method == "BYE":
            self._uas.stop_waiting(dialog)
        return self._uac.ask(dialog, method, now, headers, body, content_type)

    def ack(self, transaction: ClientTransaction, dialog: Dialog, body: bytes = b"") -> list[Action]:
        """Acknowledge a 2xx to our INVITE; every repeat of it is then acknowledged without asking."""
        return self._uac.ack(transaction, dialog, body)

    def prack(
        self, response: Response, dialog: Dialog, now: float, body: bytes = b""
    ) -> tuple[ClientTransaction, list[Action]]:
        """Acknowledge a reliable 18x that carried their offer, with our answer. Any other has its PRACK
        already."""
        return self._uac.prack(response, dialog, now, body)

    def cancel(self, transaction: InviteClient, now: float, headers: Headers = ()) -> list[Action]:
        """Give up an INVITE of ours; before its first 1xx the CANCEL is held back (RFC 3261 §9.1)."""
        return self._uac.cancel(transaction, now, headers)
