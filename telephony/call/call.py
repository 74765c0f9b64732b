"""One leg and its user, from INVITE to BYE: sequence only.

Driven by phone.py (what the wire says) and by whoever serves or places the call (answer, hang up, transfer).
The rules live in its pure neighbours: state.py says what may happen now, agreement.py what is sent,
transfer.py what a NOTIFY means. Not media: `rtp` and `plan` are all that the media side gets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from telephony.call import events, keypad, state
from telephony.call.agreement import Agreement
from telephony.call.core import SDP, reason_of, why
from telephony.call.events import By, Ended
from telephony.call.hold import MediaCall
from telephony.call.line import Line
from telephony.call.state import Leg
from telephony.call.transfer import Transfer, TransferOutcome
from telephony.call.upkeep import SessionTimer
from telephony.errors import OutOfOrder, SdpError, SipSyntaxError
from telephony.sdp.plan import MediaPlan
from telephony.sip import events as sip
from telephony.sip.body import find_part
from telephony.sip.client_transaction import ClientState, ClientTransaction, InviteClient
from telephony.sip.dialog import Dialog, LegKey
from telephony.sip.digest import Login
from telephony.sip.endpoint import Headers
from telephony.sip.message import Request, Response
from telephony.sip.screening import ACCEPT, Vouched
from telephony.sip.server_transaction import InviteServer, ServerTransaction
from telephony.sip.transaction import Action, Flow
from telephony.sip.uri import Uri


class Call(MediaCall):
    """One leg, inbound or outbound. Its facts are in core.py, hold and resume in hold.py."""

    def __init__(self, line: Line, key: LegKey, request: Request, source: tuple[str, int], leg: Leg) -> None:
        super().__init__(line, key, request, source, leg)
        self._invite: InviteServer | None = None
        self._dialing: InviteClient | None = None
        self._description = b""
        self._transfer: Transfer | None = None
        self._transferred: asyncio.Future[TransferOutcome] | None = None

    @classmethod
    def incoming(cls, line: Line, came: sip.CallCame, source: tuple[str, int]) -> Self:
        """The call that an INVITE asks for; nothing but 100 has been said."""
        call = cls(line, came.leg, came.invite.request, source, Leg.OFFERED)
        call._invite, call._dialog = came.invite, came.dialog
        call._await_expiry()
        call.sender = came.sender
        return call

    @classmethod
    def outgoing(
        cls,
        line: Line,
        uri: str,
        caller: str,
        flow: Flow,
        headers: Headers = (),
        login: Login | None = None,
        trunk: str = "",
    ) -> tuple[Self, list[Action]]:
        """Offer our media to `uri`, over a trunk if it is named. Returns the call, and the actions that place
        it. Raises Overloaded."""
        rtp = line.lend(flow.remote[0])
        try:
            agreement = Agreement(line.media(rtp.port, trunk, flow.remote[0]))
            dialing, actions = line.stack.invite(
                uri,
                caller,
                flow,
                line.now(),
                headers=(*headers, *SessionTimer().offer()),
                body=agreement.offer(),
                login=login,
            )
            request = dialing.request
            call = cls(line, (request.call_id, request.from_tag), request, flow.remote, Leg.DIALING)
        except BaseException:
            rtp.close()
            raise
        call.rtp, call._agreement, call._dialing = rtp, agreement, dialing
        call.sender = Vouched(trunk)
        return call, actions

    @property
    def has_word(self) -> bool:
        """Has the far side said anything yet, or is the try over? A 100 will do."""
        return self._dialing is None or self._dialing.state is not ClientState.CALLING

    # ---- what its user does with an inbound call

    def ring(self) -> None:
        """Send 180, or send it again. Raises OutOfOrder if the caller is not waiting any more."""
        self._respond(state.Rang(), 180)

    def negotiate(self) -> MediaPlan | None:
        """Lend a port pair and settle our answer to the offer, without sending it.

        Returns None for an INVITE without offer: then our 200 offers, and MediaChanged tells the plan that
        their ACK brings. Raises SdpError (reject with its code) and Overloaded (reject with 503)."""
        if self._agreement is None:
            offer = find_part(self.request, SDP)
            rtp = self._line.lend(self.source[0])
            agreement = Agreement(self._line.media(rtp.port, self.sender.trunk, self.source[0]))
            try:
                self._description = agreement.offer() if offer is None else agreement.answer(offer)
            except SdpError:
                rtp.close()
                raise
            self.rtp, self._agreement = rtp, agreement
        return self.plan

    def answer(self) -> None:
        """Send 200 with our description; negotiates first if nobody has. Repeated until their ACK comes."""
        self._require(state.Answered)
        self.negotiate()
        session = self._session.answer(self.request, self._line.now())
        self._respond(state.Answered(), 200, headers=session, body=self._description)
        self._keep_up()
        self._tell(events.Answered())

    def reject(self, code: int, reason: str = "", headers: Headers = ()) -> None:
        """Refuse the call. code: 300-699. Raises OutOfOrder once it is answered or over."""
        self._respond(state.Refused(), code, reason, headers)
        self._over(Ended("us", code, reason))

    def _respond(
        self, step: state.LegEvent, code: int, reason: str = "", headers: Headers = (), body: bytes = b""
    ) -> None:
        self._require(type(step))
        if self._invite is None:
            raise OutOfOrder(f"call {self.id} is ours: only an inbound call is answered or rejected")
        actions = self._line.stack.respond(
            self._invite, code, self._line.now(), reason=reason, headers=headers, body=body
        )
        self._step(step)
        self._perform(actions)

    # ---- what its user does with any call

    def expire(self) -> None:
        """The caller's INVITE has waited as long as its Expires allows (RFC 3261 §13.3.1): 487."""
        if self.leg in (Leg.OFFERED, Leg.RINGING):
            self._respond(state.Refused(), 487)
            self._over(Ended("caller", 487, "INVITE expired"))

    def _await_expiry(self) -> None:
        with contextlib.suppress(SipSyntaxError):  # one that cannot be read limits nothing
            if (patience_s := self.request.expires) is not None:
                self._upkeep = asyncio.get_running_loop().call_later(patience_s, self.expire)

    def hang_up(self, reason: str = "") -> None:
        """End it in the way its state wants: BYE, CANCEL or 480. A call that is ending already is left alone.

        Answered but not acknowledged, it ends when the ACK comes: no BYE may go before (RFC 3261 §15)."""
        if self.leg in (Leg.OVER, Leg.LEAVING):
            return
        if self._invite is not None and self.leg in (Leg.OFFERED, Leg.RINGING):
            self.reject(480, headers=why(reason) if reason else ())
            return
        self._leaving_because = reason
        if self._step(state.HungUp()) is Leg.OVER:
            self._bye(reason)
            self._over(Ended("us", 200, reason))
        elif self._dialing is not None:
            self._perform(self._line.stack.cancel(self._dialing, self._line.now(), why(reason)))

    async def transfer(self, target: str, *, patience_s: float = 60.0) -> TransferOutcome:
        """Ask the far side to call `target` (URI or bare number) instead of us, and hang up once it does (RFC
        3515).

        Returns how it went; a refusal leaves the call standing. patience_s: how long to wait for the news."""
        dialog = self._standing()
        if self._transfer is not None:
            raise OutOfOrder(f"call {self.id} is being transferred already")
        uri = Uri.parse(target if ":" in target else f"sip:{target}@{Uri.parse(dialog.target).host}")
        self._transfer = Transfer()
        self._transferred = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(patience_s):
                us = self.caller.uri if self.direction == "outbound" else self.request.to.uri
                headers = (("Refer-To", f"<{uri}>"), ("Referred-By", f"<{us}>"))
                await self._ask("REFER", headers=headers)
                outcome = await self._transferred
        except TimeoutError:
            outcome = TransferOutcome(False, 408, "no news of the transfer")
        finally:
            self._transfer = self._transferred = None
        if outcome.ok:
            self.hang_up("transferred")  # carriers wait in silence for our BYE, some for 32 s
        return outcome

    def _note_transfer(self) -> None:
        if self._transfer is None or self._transfer.outcome is None or self._transferred is None:
            return
        if not self._transferred.done():
            self._transferred.set_result(self._transfer.outcome)

    def _over(self, ended: Ended) -> None:
        if self._transfer is not None:
            self._transfer.gone()
            self._note_transfer()
        super()._over(ended)

    # ---- what the wire says

    def hear(self, event: sip.LegEvent) -> None:
        """Something happened on this leg. Called by the phone only."""
        match event:
            case sip.CallerCancelled():
                self._step(state.PeerGone())
                self._over(Ended("caller", 487, reason_of(event.request) or "cancelled"))
            case sip.PeerHungUp():
                self._step(state.PeerGone())
                by: By = "caller" if self.direction == "inbound" else "callee"
                self._over(Ended(by, 200, reason_of(event.request)))
            case sip.Acknowledged():
                self._acknowledged(event.request)
            case sip.AckNeverCame():
                self._break("no ACK to our answer", 408)
            case sip.Asked():
                self._asked(event.transaction)
            case sip.Replied() if event.transaction is self._dialing:
                self._dialed(event.response, event.dialog)
            case sip.Unanswered() if event.transaction is self._dialing:
                self._refused(state.Failed(), "network", event.code, event.reason)
            case sip.Replied():
                self._replied(event.transaction, event.response)
            case sip.Unanswered():
                self._replied(event.transaction, Response(event.code, event.reason))
            case sip.CallCame():
                raise OutOfOrder(f"call {self.id} came twice")

    def _acknowledged(self, request: Request) -> None:
        """ACK to our 200 of the INVITE or of a re-INVITE."""
        leaving, first = self.leg is Leg.LEAVING, self.leg is Leg.ANSWERED
        if leaving or first:
            self._step(state.Confirmed())
        if leaving:
            self._bye(self._leaving_because or "")
            self._over(Ended("us", 200, self._leaving_because or ""))
            return
        try:
            self._answered_by_ack(request)
        except SdpError as error:
            if first:
                self._break(str(error), error.code)
            return  # a re-INVITE that came to nothing: the old session goes on
        if first:
            self._tell(events.Confirmed())
            self._settle()

    def _asked(self, transaction: ServerTransaction) -> None:
        """A request within the dialog, which must have an answer whatever it is."""
        stack, now, request = self._line.stack, self._line.now(), transaction.request
        if request.method in ("INVITE", "UPDATE"):
            self._reoffered(transaction)
        elif request.method == "INFO":
            digits = keypad.pressed(request)
            unknown = digits is None and bool(request.body)
            headers = (("Accept", ACCEPT),) if unknown else ()
            self._perform(stack.respond(transaction, 415 if unknown else 200, now, headers=headers))
            if digits is not None:
                self._tell(digits)
        elif request.method == "NOTIFY" and self._transfer is not None:
            self._perform(stack.respond(transaction, 200, now))
            if progress := self._transfer.notified(request):
                self._tell(progress)
            self._note_transfer()
        elif request.method == "NOTIFY":  # nothing that we subscribed to (RFC 6665 §4.1.3)
            self._perform(stack.respond(transaction, 481, now))
        else:  # REFER: being transferred ourselves is not offered yet
            self._perform(stack.respond(transaction, 603, now))

    def _replied(self, transaction: ClientTransaction, response: Response) -> None:
        """A response to something that we asked within the dialog."""
        if response.status < 200:
            return
        if transaction.request.method in ("INVITE", "UPDATE"):
            self._session_answered(transaction.request.method, response)
        if transaction.request.method == "INVITE":
            if response.status < 300 and self._dialog is not None:
                self._perform(self._line.stack.ack(transaction, self._dialog))
            self._reoffer_answered(response)
        elif transaction.request.method == "REFER" and self._transfer is not None:
            self._transfer.replied(response)  # now, not when the waiting task wakes: their BYE may be next
            self._note_transfer()
        answer = self._asking.get(transaction.key)
        if answer is not None and not answer.done():
            answer.set_result(response)
        if response.status in (408, 481) and self.leg is Leg.TALKING:
            self._break("the far side lost the call", response.status)  # RFC 3261 §12.2.1.2

    # ---- our own INVITE

    def _dialed(self, response: Response, dialog: Dialog | None) -> None:
        if response.status >= 300:
            self._refused(state.Refused(), "callee", response.status, response.reason)
        elif response.status >= 200:
            self._picked_up(response, dialog)
        elif response.status > 100 and response.status != 199 and self._state.allows(state.Rang):
            self._step(state.Rang())
            self._dialog = dialog or self._dialog
            self._tell(events.Ringing(response.status))
            self._early_media(response)

    def _early_media(self, response: Response) -> None:
        answer = find_part(response, SDP)
        if answer is None or self._agreement is None:
            return
        before = self._agreement.plan
        try:
            plan = self._agreement.preview(answer)
        except SdpError:
            return  # the 200 decides
        self._changed(before, plan)

    def _picked_up(self, response: Response, dialog: Dialog | None) -> None:
        """A 2xx: acknowledged at once; the second of a fork, or one that crossed our CANCEL, is hung up as
        well."""
        if dialog is None or self._dialing is None:
            self._break("a 200 without To tag", 400)
            return
        stack = self._line.stack
        self._perform(stack.ack(self._dialing, dialog))
        if self.leg not in (Leg.DIALING, Leg.RINGING, Leg.LEAVING):  # RFC 3261 §13.2.2.4
            hang_up(self._line, dialog, "answered elsewhere")
            return
        self._dialog = dialog
        if self.leg is Leg.LEAVING:
            self._step(state.Confirmed())
            self._bye(self._leaving_because or "")
            self._over(Ended("us", 487, self._leaving_because or ""))
            return
        self._step(state.Answered())
        self._step(state.Confirmed())
        self._takes_update = "UPDATE" in response.values("Allow")
        self._session_answered("INVITE", response)
        answer = find_part(response, SDP)
        try:
            if answer is not None or self.plan is None:
                self._accept(answer)
        except SdpError as error:
            self._break(str(error), error.code)
            return
        self._tell(events.Answered())
        self._tell(events.Confirmed())
        self._settle()

    def _refused(self, step: state.LegEvent, by: By, code: int, reason: str) -> None:
        ours = self.leg is Leg.LEAVING
        self._step(step)
        self._over(Ended("us" if ours else by, code, (self._leaving_because if ours else "") or reason))

    def _break(self, reason: str, code: int) -> None:
        """The session cannot go on: BYE, for the far side may think otherwise."""
        self._step(state.Failed())
        self._bye(reason)
        self._over(Ended("network", code, reason))


def hang_up(line: Line, dialog: Dialog, reason: str) -> None:
    """End a dialog that no call owns."""
    _, actions = line.stack.ask(dialog, "BYE", line.now(), headers=why(reason))
    line.perform(actions)
