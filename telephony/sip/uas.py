"""The half of the stack that is asked: every request finds its transaction and dialog, or its refusal (RFC
3261 §8.2).

Pure. Driven by stack.py. Answers by itself what needs no call: OPTIONS, BYE, CANCEL, repeats, unknown and
misplaced requests. What to answer to an INVITE is decided by the call, through `respond`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from telephony.errors import SipSyntaxError
from telephony.sip.dialog import Dialog, DialogId
from telephony.sip.endpoint import Endpoint, Headers
from telephony.sip.events import (
    AckNeverCame,
    Acknowledged,
    Asked,
    CallCame,
    CallerCancelled,
    PeerHungUp,
    PrackNeverCame,
)
from telephony.sip.headers import RAck
from telephony.sip.lexer import lex
from telephony.sip.message import Request, Response, as_bytes
from telephony.sip.provisional import TAG, ReliableResponses, first_number, wanted
from telephony.sip.screening import ACCEPT, ALLOW, IN_DIALOG_ONLY, Refusal, Vouched, check_headers, refusal
from telephony.sip.server_transaction import (
    AwaitAck,
    InviteServer,
    RequestServer,
    ServerState,
    ServerTransaction,
)
from telephony.sip.transaction import (
    AckMissing,
    Action,
    Done,
    Flow,
    PrackMissing,
    Send,
    Up,
    reply_flow,
    server_key,
)


class UserAgentServer:
    """Requests in; responses, repeats of our 2xx, and events out."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._transactions: dict[str, ServerTransaction] = {}
        self._waiting: dict[tuple[DialogId, int], AwaitAck] = {}
        self._reliable: dict[tuple[DialogId, int], ReliableResponses] = {}
        self._callers: dict[tuple[str, str, int], str] = {}  # new INVITEs, to find merged ones (§8.2.2.2)

    def request(self, request: Request, flow: Flow, now: float) -> list[Action]:
        """One request from the network. Raises SipSyntaxError if it cannot even have a transaction."""
        request = request.arrived_from(*flow.remote)
        known = self._transactions.get(server_key(request))
        if known is not None and not (request.method == "ACK" and known.state is ServerState.ACCEPTED):
            return self._again(known, request, now)
        if request.method == "ACK":
            return self._acknowledged(request)
        sender = self._sender(request, flow, now)
        if sender is None:
            return []
        check_headers(request)
        kind = InviteServer if request.method == "INVITE" else RequestServer
        transaction = kind(request, flow, self._endpoint.token())
        self._transactions[transaction.key] = transaction
        try:
            if isinstance(sender, Refusal):
                return self._refuse(transaction, sender.status, now, sender.headers)
            return self._first_time(transaction, request, flow, sender, now)
        except SipSyntaxError as error:
            self._endpoint.counters.malformed += 1
            return self._refuse(transaction, error.code, now)

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
        """Answer a request; ignored if it has its final response already."""
        if transaction.answered:
            return []
        request = transaction.request
        response = Response.answering(request, status, reason, transaction.to_tag)
        if request.method in ("INVITE", "UPDATE") and 100 < status < 300:
            response.add("Contact", self._contact(transaction)).add("Allow", ALLOW)
        response.add("Server", self._endpoint.product)
        for name, value in headers:
            response.add(name, value)
        if body:
            response.add("Content-Type", content_type)
            response.body = body
        if isinstance(transaction, InviteServer):
            return self._respond_to_invite(transaction, response, now)
        actions = self.run(transaction, transaction.receive(response, now))
        return [*actions, *self._after_prack(request, now)] if request.method == "PRACK" else actions

    def expire(self, machine: ServerTransaction | AwaitAck | ReliableResponses, now: float) -> list[Action]:
        """Fire what is due in a machine."""
        if isinstance(machine, ReliableResponses):
            return self._repeat_reliable(machine, now)
        return self.run(machine, machine.expire(now))

    def run(self, machine: ServerTransaction | AwaitAck, actions: list[Action]) -> list[Action]:
        """Carry out what a machine said: sends pass, news is translated, an ended machine is forgotten."""
        out: list[Action] = []
        for action in actions:
            if isinstance(action, Send):
                out.append(action)
            elif isinstance(action, Done):
                self._drop(machine)
            elif isinstance(machine, AwaitAck) and isinstance(action.event, AckMissing):
                dialog = self._endpoint.dialogs.get(_answer_key(machine.response)[0])
                out += [Up(AckNeverCame(dialog.leg, dialog))] if dialog else []
        self._endpoint.agenda.note(machine)
        return out

    def refuse_stateless(
        self, request: Request, flow: Flow, error: SipSyntaxError, now: float
    ) -> list[Action]:
        """Refuse once what cannot have a transaction, if its Via says where to (RFC 3261 §8.2.7)."""
        if request.method == "ACK":
            return []
        try:
            if self._sender(request, flow, now) is None:
                return []
            noted = request.arrived_from(*flow.remote)
            response = Response.answering(noted, error.code, "", self._endpoint.token())
            return [Send(response, reply_flow(noted, flow))]
        except SipSyntaxError:
            return []

    def stop_waiting(self, dialog: Dialog) -> None:
        """The dialog ends: no 2xx of ours is repeated any more."""
        for key in [key for key in self._waiting if key[0] == dialog.id]:
            self._waiting.pop(key).stop()

    # ---- in another process

    def snapshot(self, invite: InviteServer) -> dict[str, Any]:
        """Plain values from which `restore` goes on with an INVITE that has no refusal."""
        last, reliable = invite.last, self._reliable.get(_invite_key(invite))
        return {
            "request": invite.request.text,
            "flow": invite.flow.dump(),
            "to_tag": invite.to_tag,
            "last": last.text if last is not None else "",
            "unheard": last is not None and _answer_key(last) in self._waiting,
            "reliable": reliable.snapshot() if reliable is not None else None,
        }

    def restore(self, saved: Mapping[str, Any], dialog: Dialog, now: float) -> InviteServer:
        """The INVITE that `snapshot` described, and its dialog: repeats of it are known, and our 2xx is repeated until
        its ACK is here. If a 18x that had to arrive was on its way nobody knows its PRACK: refuse the INVITE then."""
        request, last = (
            lex(as_bytes(saved["request"])),
            lex(as_bytes(saved["last"])) if saved["last"] else None,
        )
        assert isinstance(request, Request) and not isinstance(last, Request)
        invite = InviteServer.restored(request, Flow.load(saved["flow"]), saved["to_tag"], last, now)
        if (reliable := saved["reliable"]) is not None and not reliable["waits"]:
            self._reliable[_invite_key(invite)] = ReliableResponses.restored(invite.flow, reliable)
        self._transactions[invite.key] = invite
        self._callers[_caller_key(request)] = invite.key
        self._endpoint.agenda.note(invite)
        if not invite.answered:
            dialog.their_invite = invite.key
        elif last is not None and saved["unheard"]:
            self._waiting[_answer_key(last)] = waiting = AwaitAck(last, invite.flow, now)
            self._endpoint.agenda.note(waiting)
        return invite

    # ---- a repeat, an ACK

    def _again(self, transaction: ServerTransaction, request: Request, now: float) -> list[Action]:
        if request.method == transaction.request.method:
            self._endpoint.counters.retransmitted += 1
        if transaction.state is ServerState.ACCEPTED and transaction.last is not None:
            waiting = self._waiting.get(_answer_key(transaction.last))
            return [Send(waiting.response, waiting.flow)] if waiting else []
        return self.run(transaction, transaction.receive(request, now))

    def _acknowledged(self, request: Request) -> list[Action]:
        """An ACK to a 2xx: found by its dialog and number, never by its branch (RFC 3261 §13.3.1.4)."""
        dialog = self._endpoint.dialogs.get((request.call_id, request.to_tag, request.from_tag))
        waiting = self._waiting.pop((dialog.id, request.cseq.number), None) if dialog else None
        if dialog is None or waiting is None:
            self._endpoint.counters.stray += 1
            return []
        waiting.stop()
        return [Up(Acknowledged(dialog.leg, dialog, request))]

    # ---- a new request

    def _sender(self, request: Request, flow: Flow, now: float) -> Vouched | Refusal | None:
        """What the gate says. Within a dialog nobody is asked: only its two sides know the tags."""
        gate = self._endpoint.gate
        if gate is None or self._belongs(request):
            return Vouched()
        verdict = gate(request, flow, now)
        if verdict is None:
            self._endpoint.counters.ignored += 1
        return verdict

    def _belongs(self, request: Request) -> bool:
        """To a dialog, or to an INVITE that was let in."""
        try:
            if request.method == "CANCEL":
                return server_key(request, "INVITE") in self._transactions
            return (request.call_id, request.to_tag, request.from_tag) in self._endpoint.dialogs
        except SipSyntaxError:
            return False

    def _first_time(
        self, transaction: ServerTransaction, request: Request, flow: Flow, sender: Vouched, now: float
    ) -> list[Action]:
        if request.method == "CANCEL":
            return self._cancelled(transaction, now)
        if refused := refusal(request, self._endpoint.supported):
            return self._refuse(transaction, refused.status, now, refused.headers)
        if request.method == "OPTIONS":
            supported = ", ".join(sorted(self._endpoint.supported))
            headers = (("Allow", ALLOW), ("Accept", ACCEPT), ("Supported", supported))
            return self.respond(transaction, self._endpoint.options_status(), now, headers=headers)
        if request.to_tag:
            return self._within(transaction, request, now)
        if isinstance(transaction, InviteServer):
            return self._new_call(transaction, request, flow, sender, now)
        assert request.method in IN_DIALOG_ONLY
        # A REFER may come from outside (RFC 3515 §2.4.1), but nobody whom we do not talk to may make us dial.
        return self._refuse(transaction, 403 if request.method == "REFER" else 481, now)

    def _new_call(
        self, transaction: InviteServer, request: Request, flow: Flow, sender: Vouched, now: float
    ) -> list[Action]:
        """100 at once, before anybody thinks about the call (RFC 3261 §17.2.1), and a dialog that waits for
        its 18x."""
        caller = _caller_key(request)
        if caller in self._callers:
            return self._refuse(transaction, 482, now)
        endpoint = self._endpoint
        contact = endpoint.contact_on(transaction.flow, request.uri)
        dialog = Dialog.as_uas(request, transaction.to_tag, contact, transaction.flow)
        dialog.their_invite = transaction.key
        endpoint.dialogs[dialog.id] = dialog
        self._callers[caller] = transaction.key
        return [*self._trying(transaction, now), Up(CallCame(dialog.leg, transaction, dialog, flow, sender))]

    def _within(self, transaction: ServerTransaction, request: Request, now: float) -> list[Action]:
        """A request with a To tag: it belongs to a dialog, or it is refused and never a new call (RFC 3261
        §12.2.2)."""
        dialog = self._endpoint.dialogs.get((request.call_id, request.to_tag, request.from_tag))
        if dialog is None:
            return self._refuse(transaction, 481, now)
        if code := dialog.accept(request):
            return self._refuse(transaction, code, now)
        if transaction.flow.reliable:
            dialog.flow = transaction.flow  # a connection that they have opened anew reaches them
        if request.method == "BYE":
            return self._bye(transaction, dialog, now)
        if request.method == "PRACK" and not self._acknowledged_early(request, dialog):
            return self._refuse(transaction, 481, now)
        if dialog.ending:
            return self._refuse(transaction, 481, now)
        if isinstance(transaction, InviteServer):
            if dialog.their_invite:  # RFC 3261 §14.2: come back after any of 0-10 s
                wait = crc32(transaction.key.encode("utf-8", "replace")) % 11
                return self._refuse(transaction, 500, now, (("Retry-After", str(wait)),))
            if dialog.our_invite:
                return self._refuse(transaction, 491, now)
            dialog.their_invite = transaction.key
            return [*self._trying(transaction, now), Up(Asked(dialog.leg, dialog, transaction))]
        return [Up(Asked(dialog.leg, dialog, transaction))]

    def _bye(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> list[Action]:
        actions = self.respond(transaction, 200, now)
        if pending := self._transactions.get(dialog.their_invite):
            actions += self.respond(pending, 487, now)  # RFC 3261 §15.1.2
        self._endpoint.forget(dialog)
        self.stop_waiting(dialog)
        return actions if dialog.ending else [*actions, Up(PeerHungUp(dialog.leg, transaction.request))]

    def _cancelled(self, transaction: ServerTransaction, now: float) -> list[Action]:
        request = transaction.request
        invite = self._transactions.get(server_key(request, "INVITE"))
        if invite is None:
            return self._refuse(transaction, 481, now)
        transaction.to_tag = invite.to_tag  # the same in both answers (RFC 3261 §9.2)
        actions = self.respond(transaction, 200, now)
        if invite.answered:
            return actions
        actions += self.respond(invite, 487, now)
        if invite.request.to_tag:
            return actions  # a re-INVITE was cancelled: the call goes on
        return [*actions, Up(CallerCancelled((request.call_id, invite.to_tag), request))]

    def _trying(self, invite: InviteServer, now: float) -> list[Action]:
        return self.run(invite, invite.receive(Response.answering(invite.request, 100), now))

    def _refuse(
        self, transaction: ServerTransaction, status: int, now: float, headers: Headers = ()
    ) -> list[Action]:
        self._endpoint.counters.rejected += 1
        return self.respond(transaction, status, now, headers=headers)

    # ---- 18x that must arrive (RFC 3262)

    @property
    def reliable(self) -> bool:
        """We do 100rel."""
        return TAG in self._endpoint.supported

    def agreed_early(self, invite: InviteServer) -> bool:
        """A reliable 18x has carried our description, and its PRACK is here."""
        reliable = self._reliable.get(_invite_key(invite))
        return reliable is not None and reliable.described and reliable.settled

    def _respond_to_invite(self, invite: InviteServer, response: Response, now: float) -> list[Action]:
        """A 18x may have to arrive; a 2xx waits until a description in one has, and then brings none itself."""
        reliable = self._reliable.get(_invite_key(invite))
        if response.status < 200:
            if reliable is not None and reliable.final is not None:
                return []
            if self.reliable and wanted(invite.request, described=bool(response.body)):
                return self._send_reliable(invite, response, now)
            return self.run(invite, invite.receive(response, now))
        if reliable is not None and response.status < 300:
            if reliable.described:
                response.remove("Content-Type").body = b""
            if not reliable.settled:
                reliable.final = reliable.final or response
                return []
        if reliable is not None:
            reliable.end()
        self._invite_answered(invite, response, now)
        return self.run(invite, invite.receive(response, now))

    def _send_reliable(self, invite: InviteServer, response: Response, now: float) -> list[Action]:
        key = _invite_key(invite)
        reliable = self._reliable.get(key)
        if reliable is None:
            reliable = ReliableResponses(invite.flow, first_number(self._endpoint.token()))
            self._reliable[key] = reliable
        if not reliable.number(response):
            return []
        reliable.sent(now)
        self._endpoint.agenda.note(reliable)
        return self.run(invite, invite.receive(response, now))

    def _acknowledged_early(self, prack: Request, dialog: Dialog) -> bool:
        """Is it for an 18x of ours that waits for it?"""
        reliable = self._reliable.get((dialog.id, RAck.parse(prack.get("RAck") or "").cseq.number))
        return reliable is not None and reliable.acknowledge(prack)

    def _after_prack(self, prack: Request, now: float) -> list[Action]:
        """A PRACK has its answer: what waited for it may go."""
        dialog = self._endpoint.dialogs.get((prack.call_id, prack.to_tag, prack.from_tag))
        invite = self._transactions.get(dialog.their_invite) if dialog else None
        if not isinstance(invite, InviteServer):
            return []
        reliable = self._reliable.get(_invite_key(invite))
        if reliable is None or not reliable.settled:
            return []
        if reliable.final is not None:
            return self._respond_to_invite(invite, reliable.final, now)
        queued = reliable.next_queued()
        return self._send_reliable(invite, queued, now) if queued is not None else []

    def _repeat_reliable(self, reliable: ReliableResponses, now: float) -> list[Action]:
        out: list[Action] = []
        for action in reliable.expire(now):
            if isinstance(action, Up) and isinstance(action.event, PrackMissing):
                dialog = self._endpoint.dialogs.get(_answer_key(action.event.response)[0])
                invite = self._transactions.get(dialog.their_invite) if dialog else None
                if dialog is not None and invite is not None:
                    out += [*self.respond(invite, 504, now), Up(PrackNeverCame(dialog.leg))]
            else:
                out.append(action)
        self._endpoint.agenda.note(reliable)
        return out

    # ---- keeping the books

    def _contact(self, transaction: ServerTransaction) -> str:
        """The same all through a dialog, and on the socket that the request came to."""
        request = transaction.request
        dialog = self._endpoint.dialogs.get((request.call_id, transaction.to_tag, request.from_tag))
        return dialog.contact if dialog else self._endpoint.contact_on(transaction.flow, request.uri)

    def _invite_answered(self, transaction: InviteServer, response: Response, now: float) -> None:
        request = transaction.request
        dialog = self._endpoint.dialogs.get((request.call_id, transaction.to_tag, request.from_tag))
        if dialog is None or dialog.their_invite != transaction.key:
            return  # refused before it touched a dialog
        dialog.their_invite = ""
        if response.status < 300:
            dialog.early = False
            dialog.refresh(request)
            self._waiting[_answer_key(response)] = waiting = AwaitAck(response, transaction.flow, now)
            self._endpoint.agenda.note(waiting)
        elif dialog.early:
            self._endpoint.forget(dialog)

    def _drop(self, machine: ServerTransaction | AwaitAck) -> None:
        if isinstance(machine, AwaitAck):
            self._waiting.pop(_answer_key(machine.response), None)
            return
        self._transactions.pop(machine.key, None)
        if isinstance(machine, InviteServer):
            self._reliable.pop(_invite_key(machine), None)
        caller = _caller_key(machine.request)
        if self._callers.get(caller) == machine.key:
            del self._callers[caller]


def _answer_key(response: Response) -> tuple[DialogId, int]:
    """The dialog (we are its UAS) and the INVITE that a 2xx of ours belongs to."""
    return (response.call_id, response.to_tag, response.from_tag), response.cseq.number


def _invite_key(invite: InviteServer) -> tuple[DialogId, int]:
    """As `_answer_key` of its responses."""
    request = invite.request
    return (request.call_id, invite.to_tag, request.from_tag), request.cseq.number


def _caller_key(request: Request) -> tuple[str, str, int]:
    return request.call_id, request.from_tag, request.cseq.number
