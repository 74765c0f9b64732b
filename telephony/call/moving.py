"""A call that goes on in another leg: the far side refers us elsewhere, or somebody takes its place.

Base of call.py. What a REFER means is in referred.py, who may replace a leg in replaces.py; moves.py places and
takes the new legs. The call keeps its id, listeners and RTP sockets; dialog, media agreement and session timer
are those of the new leg from then on."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from telephony.call import events, state
from telephony.call.core import reason_of, why
from telephony.call.events import By, Ended, Moved
from telephony.call.line import Line
from telephony.call.referred import SIPFRAG, Referral
from telephony.call.referring import ReferringCall
from telephony.call.state import Leg
from telephony.call.upkeep import SessionTimer
from telephony.errors import SipSyntaxError
from telephony.sip.client_transaction import InviteClient
from telephony.sip.dialog import Dialog, LegKey
from telephony.sip.headers import Address
from telephony.sip.message import Request, Response
from telephony.sip.server_transaction import InviteServer, ServerTransaction


class MovingCall(ReferringCall):
    """A call whose leg can be replaced.

    referred: the far side has sent us elsewhere and we are on our way."""

    _invite: InviteServer | None  # what began the leg, as call.py knows it
    _dialing: InviteClient | None

    def __init__(self, line: Line, key: LegKey, request: Request, source: tuple[str, int], leg: Leg) -> None:
        super().__init__(line, key, request, source, leg)
        self._referral: Referral | None = None
        self._referrer: Dialog | None = None  # who hears how it goes
        self._referrals = 0
        self._left_by: tuple[By, str] | None = None  # they hung up meanwhile, and why

    @property
    def referred(self) -> bool:
        """On the way to where the far side has sent us."""
        return self._referral is not None

    # ---- REFER

    def _refer_came(self, transaction: ServerTransaction) -> None:
        """Answer a REFER: 202 and off we go, or why not."""
        try:
            referral = Referral(transaction.request, self._line.now(), again=self._referrals > 0)
        except SipSyntaxError:
            self._decline(transaction, 400)
            return
        if self._referral is not None:
            self._decline(transaction, 491)
            return
        if self.leg is not Leg.TALKING or self._dialog is None or referral.target.method != "INVITE":
            self._decline(transaction, 603)
            return
        detour = self._line.moves.detour(self.key, referral.target)
        if isinstance(detour, int):
            self._decline(transaction, detour)
            return
        self._referral, self._referrer = referral, self._dialog
        self._referrals += 1
        headers = (("Contact", self._dialog.contact), *referral.accepted)
        self._perform(self._line.stack.respond(transaction, 202, self._line.now(), headers=headers))
        self._report(100)
        us = detour.caller or str(Address.parse(self._dialog.local).uri)
        lines = (*detour.headers, *referral.goes_on)
        self._line.moves.follow(self.key, replace(detour, caller=us, headers=lines))

    def _decline(self, transaction: ServerTransaction, code: int) -> None:
        self._perform(self._line.stack.respond(transaction, code, self._line.now()))

    def _report(self, code: int) -> None:
        """Tell whoever referred us how far we are."""
        if self._referral is None or self._referrer is None:
            return
        if (news := self._referral.news(code, self._line.now())) is None:
            return
        headers, body = news
        stack, now = self._line.stack, self._line.now()
        _, actions = stack.ask(
            self._referrer, "NOTIFY", now, headers=headers, body=body, content_type=SIPFRAG
        )
        self._perform(actions)

    def _reported(self, response: Response) -> None:
        """Their answer to a NOTIFY. A refusal ends the news, not the call (RFC 6665 §4.2.2)."""
        if response.status >= 300 and self._referral is not None:
            self._referral.unheard()

    def heard_on_the_way(self, event: events.CallEvent) -> None:
        """The leg that we were sent to says something. Called by moves.py."""
        if isinstance(event, events.Ringing):
            self._report(event.code)

    def arrived_nowhere(self, code: int) -> None:
        """The leg that we were sent to did not come about: the old one goes on, if it still stands."""
        self._report(code)
        self._referral = self._referrer = None
        if self._left_by is not None:
            self._step(state.PeerGone())
            by, reason = self._left_by
            self._over(Ended(by, 200, reason or f"transfer failed: {code}"))

    def _left_on_the_way(self, request: Request) -> None:
        """They refer us and hang up without waiting for news (RFC 5589 §6.1). We go on; nobody is on the line."""
        self._left_by = ("caller" if self.direction == "inbound" else "callee", reason_of(request))
        self._dialog = None
        self._session = SessionTimer()
        self._keep_up()
        if self.plan is not None:
            self._tell(events.MediaChanged(replace(self.plan, direction="inactive")))

    # ---- the new leg

    def move_to(self, new: Self, by: events.MovedBy) -> None:
        """Go on in that leg, which was answered with our sockets; the leg so far is ended. Called by moves.py.

        `new` is not used any more."""
        self._report(200 if by == "refer" else 487)
        old, key, settled = self._dialog, self.key, self._settled.done()
        if self._dialing is not None and self.leg in (Leg.DIALING, Leg.RINGING):
            self._perform(self._line.stack.cancel(self._dialing, self._line.now(), why("answered elsewhere")))
            old = None
        self._forget_leg()
        self._take(new)
        self._line.moves.moved(key, self.key, old, by)
        if not settled:
            self._tell(events.Answered())
        self._tell(Moved(by, self.key[0]))
        if self.plan is not None:
            self._tell(events.MediaChanged(self.plan))

    def _forget_leg(self) -> None:
        """Whoever waits for an answer within the old leg waits no more."""
        for answer in self._asking.values():
            if not answer.done():
                answer.set_result(Response(487, "The call went on in another leg"))
        if self._transfer is not None:
            self._transfer.unanswered(487, "the call went on in another leg")
            self._note_transfer()
        self._referral = self._referrer = self._left_by = None
        self._referrals = 0

    def _take(self, new: Self) -> None:
        self.key, self.source, self.sender = new.key, new.source, new.sender
        self._state, self._dialog, self._agreement = new._state, new._dialog, new._agreement
        self._invite, self._dialing = new._invite, new._dialing
        self._session, self._takes_update = new._session, new._takes_update
        if self._upkeep is not None:
            self._upkeep.cancel()
        self._upkeep = new._upkeep
        self._keep_up()  # the timer that it had set rings for nobody any more

    def _over(self, ended: Ended) -> None:
        self._report(487)
        self._referral = self._referrer = None
        super()._over(ended)
