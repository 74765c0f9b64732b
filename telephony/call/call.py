"""One leg and its user, from INVITE to BYE: sequence only.

Driven by phone.py (what the wire says) and by whoever serves or places the call (answer, hang up, transfer).
The rules live in its pure neighbours: state.py says what may happen now, agreement.py what is sent,
transfer.py what a NOTIFY means. Its other chapters are hold.py, referring.py and moving.py. Not media: `rtp` and
`plan` are all that the media side gets."""

from __future__ import annotations

from telephony.call import events, keypad, state
from telephony.call.core import reason_of, why
from telephony.call.events import By, Ended
from telephony.call.line import Line
from telephony.call.ringing import RingingCall
from telephony.call.state import Leg
from telephony.call.transfer import is_of_refer
from telephony.errors import OutOfOrder, SdpError
from telephony.sip import events as sip
from telephony.sip.added import added_by_them, check_added
from telephony.sip.client_transaction import ClientTransaction
from telephony.sip.dialog import Dialog, LegKey
from telephony.sip.endpoint import Headers
from telephony.sip.message import Request, Response
from telephony.sip.redirect import redirect_targets
from telephony.sip.screening import ACCEPT
from telephony.sip.server_transaction import ServerTransaction


class Call(RingingCall):
    """One leg, inbound or outbound. Its facts are in core.py, hold and resume in hold.py, what comes before the
    answer in ringing.py."""

    def __init__(self, line: Line, key: LegKey, request: Request, source: tuple[str, int], leg: Leg) -> None:
        super().__init__(line, key, request, source, leg)
        self._info_keys = keypad.InfoKeys(self._inform)

    # ---- what its user does with any call

    def hang_up(self, reason: str = "", headers: Headers = ()) -> None:
        """End it in the way its state wants: BYE, CANCEL or 480. A call that is ending already is left alone.
        headers: lines that go with it. Raises SipSyntaxError for one that may not (sip/added.py).

        Answered but not acknowledged, it ends when the ACK comes: no BYE may go before (RFC 3261 §15)."""
        if self.leg in (Leg.OVER, Leg.LEAVING):
            return
        check_added(headers)
        self._parting = tuple(headers)
        if self._invite is not None and self.leg in (Leg.OFFERED, Leg.RINGING):
            self.reject(480, headers=(*(why(reason) if reason else ()), *headers))
            return
        self._leaving_because = reason
        if self._step(state.HungUp()) is Leg.OVER:
            self._bye(reason)
            self._over(Ended("us", 200, reason))
        elif self._dialing is not None:
            actions = self._line.stack.cancel(self._dialing, self._line.now(), (*why(reason), *headers))
            self._perform(actions)

    async def send_digits(self, digits: str) -> None:
        """Press keys by INFO, for far sides that take them no other way (keys in sound are media's).

        digits: 0-9 A-D * #; `w`, `W` and `,` wait (dialstring.py). Returns when all are pressed. Raises MediaError
        for anything else, or a refusal, and OutOfOrder if the call is not answered or is over meanwhile."""
        await self._info_keys.send(digits)

    async def _inform(self, body: bytes) -> Response:
        return await self._ask("INFO", body=body, content_type="application/dtmf-relay")

    # ---- what the wire says

    def hear(self, event: sip.LegEvent) -> None:
        """Something happened on this leg. Called by the phone only."""
        match event:
            case sip.CallerCancelled():
                self._step(state.PeerGone())
                self._over(Ended("caller", 487, reason_of(event.request) or "cancelled"))
            case sip.PeerHungUp() if self.referred:
                self._left_on_the_way(event.request)
            case sip.PeerHungUp():
                self._step(state.PeerGone())
                by: By = "caller" if self.direction == "inbound" else "callee"
                said = added_by_them(event.request)
                self._over(Ended(by, 200, reason_of(event.request), headers=said))
            case sip.Acknowledged():
                self._acknowledged(event.request)
            case sip.AckNeverCame():
                self._break("no ACK to our answer", 408)
            case sip.PrackNeverCame():
                self._step(state.Failed())
                self._over(Ended("network", 504, "no PRACK to our 18x"))
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
            if not self._settled.done():  # else the call goes on in another leg, and nothing begins
                self._tell(events.Confirmed())
            self._settle()

    def _asked(self, transaction: ServerTransaction) -> None:
        """A request within the dialog, which must have an answer whatever it is."""
        stack, now, request = self._line.stack, self._line.now(), transaction.request
        if request.method in ("INVITE", "UPDATE"):
            self._reoffered(transaction)
        elif request.method == "PRACK":
            self._pracked(transaction)
        elif request.method == "INFO":
            digits = keypad.pressed(request)
            unknown = digits is None and bool(request.body)
            headers = (("Accept", ACCEPT),) if unknown else ()
            self._perform(stack.respond(transaction, 415 if unknown else 200, now, headers=headers))
            if digits is not None:
                self._tell(digits)
        elif request.method == "NOTIFY" and not is_of_refer(request):
            self._perform(stack.respond(transaction, 489, now, headers=(("Allow-Events", "refer"),)))
        elif request.method == "NOTIFY" and self._transfer is not None:
            self._perform(stack.respond(transaction, 200, now))
            if progress := self._transfer.notified(request):
                self._tell(progress)
            self._note_transfer()
        elif request.method == "NOTIFY":  # nothing that we subscribed to (RFC 6665 §4.1.3)
            self._perform(stack.respond(transaction, 481, now))
        else:
            self._refer_came(transaction)

    def _replied(self, transaction: ClientTransaction, response: Response) -> None:
        """A response to something that we asked within the dialog."""
        if response.status < 200:
            return
        if transaction.request.method == "NOTIFY":
            self._reported(response)
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
            targets = redirect_targets(response) if response.status < 400 else ()
            self._refused(state.Refused(), "callee", response.status, response.reason, targets)
        elif response.status >= 200:
            self._picked_up(response, dialog)
        elif response.status > 100 and response.status != 199 and self._state.allows(state.Rang):
            self._step(state.Rang())
            self._dialog = dialog or self._dialog
            self._tell(events.Ringing(response.status))
            self._early_media(response)

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
        try:
            self._picked_up_with(response)
        except SdpError as error:
            self._break(str(error), error.code)
            return
        self._tell(events.Answered())
        self._tell(events.Confirmed())
        self._settle()

    def _refused(
        self, step: state.LegEvent, by: By, code: int, reason: str, targets: tuple[str, ...] = ()
    ) -> None:
        ours = self.leg is Leg.LEAVING
        self._step(step)
        words = (self._leaving_because if ours else "") or reason
        self._over(Ended("us" if ours else by, code, words, targets=targets))

    def _break(self, reason: str, code: int) -> None:
        """The session cannot go on: BYE, for the far side may think otherwise."""
        self._step(state.Failed())
        self._bye(reason)
        self._over(Ended("network", code, reason))


def hang_up(line: Line, dialog: Dialog, reason: str) -> None:
    """End a dialog that no call owns."""
    _, actions = line.stack.ask(dialog, "BYE", line.now(), headers=why(reason))
    line.perform(actions)
