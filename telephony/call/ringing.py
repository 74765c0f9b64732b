"""Everything before the answer: ring, early media, PRACK, refuse, send elsewhere (RFC 3261 §13, RFC 3262, RFC
3960).

Base of call.py. Driven by whoever serves the call, and by the wire. Which 18x must arrive, and their repeats, are
the stack's business; here is what they carry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

from telephony.call import events, state
from telephony.call.agreement import Agreement
from telephony.call.core import ABLE, SDP
from telephony.call.events import Ended
from telephony.call.hold import warning
from telephony.call.line import Line
from telephony.call.moving import MovingCall
from telephony.call.state import Leg
from telephony.call.upkeep import SessionTimer
from telephony.errors import OutOfOrder, SdpError, SipSyntaxError
from telephony.media.ports import PortPair
from telephony.sdp.plan import MediaPlan
from telephony.sip import events as sip
from telephony.sip.added import check_added
from telephony.sip.body import find_part
from telephony.sip.client_transaction import ClientState, InviteClient
from telephony.sip.dialog import LegKey
from telephony.sip.digest import Login
from telephony.sip.endpoint import Headers
from telephony.sip.lexer import lex
from telephony.sip.message import Request, Response, as_bytes
from telephony.sip.provisional import number_of
from telephony.sip.screening import Vouched
from telephony.sip.server_transaction import InviteServer, ServerTransaction
from telephony.sip.transaction import Action, Flow
from telephony.sip.uri import Uri


class RingingCall(MovingCall):
    """A call that is not answered yet, inbound or outbound."""

    def __init__(self, line: Line, key: LegKey, request: Request, source: tuple[str, int], leg: Leg) -> None:
        super().__init__(line, key, request, source, leg)
        self._invite: InviteServer | None = None
        self._dialing: InviteClient | None = None
        self._description = b""  # of our first answer or offer to an inbound call
        self._said_early = False  # it has left in a 18x that will arrive
        self._early: dict[str, bytes] = {}  # their answers in 18x, by To tag
        self._early_agreed: set[str] = set()  # of those, the ones that are final, for they came reliably
        self._early_changed: set[str] = set()  # and those that an UPDATE has changed since

    @classmethod
    def incoming(
        cls, line: Line, came: sip.CallCame, source: tuple[str, int], rtp: PortPair | None = None
    ) -> Self:
        """The call that an INVITE asks for; nothing but 100 has been said. rtp: of the call that it replaces."""
        call = cls(line, came.leg, came.invite.request, source, Leg.OFFERED)
        call.rtp, call.keep_rtp = rtp, rtp is not None
        call._begin_with(came)
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
        theirs: MovingCall | None = None,
    ) -> tuple[Self, list[Action]]:
        """Offer our media to `uri`, over a trunk if it is named. Returns the call, and the actions that place it.
        Raises Overloaded.

        theirs: the call that goes on in this one if it is answered, and whose sockets it uses."""
        lent = theirs.rtp if theirs is not None else None
        sender = theirs.sender if theirs is not None else Vouched(trunk)
        peer = flow.remote[0]
        rtp = lent or line.lend(peer)
        try:
            agreement = Agreement(line.media(rtp.port, sender.trunk, peer))
            dialing, actions = line.stack.invite(
                uri,
                caller,
                flow,
                line.now(),
                headers=(*headers, *SessionTimer().offer(), ABLE),
                body=agreement.offer(),
                login=login,
            )
            request = dialing.request
            call = cls(line, (request.call_id, request.from_tag), request, flow.remote, Leg.DIALING)
        except BaseException:
            if lent is None:
                rtp.close()
            raise
        call.rtp, call._agreement, call._dialing = rtp, agreement, dialing
        call.keep_rtp = lent is not None
        call.sender = sender
        return call, actions

    def snapshot(self) -> dict[str, Any]:
        """As core.py says; with the INVITE while its transaction may still be needed."""
        invite = self._invite
        return {
            **super().snapshot(),
            "description": self._description.decode("latin-1"),
            "said_early": self._said_early,
            "invite": self._line.stack.snapshot(invite) if invite is not None else None,
        }

    @classmethod
    def restore(cls, line: Line, saved: Mapping[str, Any], rtp: PortPair | None) -> Self:
        """The call that `snapshot` described, in a process after the one that had it. Known to the stack again, unless
        it is over. rtp: its sockets. One whose 18x waited for a PRACK is refused: nobody here knows its number."""
        request = lex(as_bytes(saved["request"]))
        assert isinstance(request, Request)
        source, key = (saved["source"][0], saved["source"][1]), (saved["key"][0], saved["key"][1])
        call = cls(line, key, request, source, Leg[saved["leg"]])
        call._go_on(saved, rtp)
        return call

    def _go_on(self, saved: Mapping[str, Any], rtp: PortPair | None) -> None:
        super()._go_on(saved, rtp)
        self._description, self._said_early = as_bytes(saved["description"]), saved["said_early"]
        if self._dialog is not None and self.leg is not Leg.OVER:
            self._invite = self._line.stack.adopt(self._dialog, saved["invite"], self._line.now())
            reliable = saved["invite"]["reliable"] if saved["invite"] is not None else None
            if reliable is not None and reliable["waits"] and self.leg in (Leg.OFFERED, Leg.RINGING):
                self.reject(500, "Restarted")

    @property
    def has_word(self) -> bool:
        """Has the far side said anything yet, or is the try over? A 100 will do."""
        return self._dialing is None or self._dialing.state is not ClientState.CALLING

    # ---- inbound

    def _begin_with(self, came: sip.CallCame) -> None:
        self._invite, self._dialog, self.sender = came.invite, came.dialog, came.sender
        self._await_expiry()

    def ring(self) -> None:
        """Send 180, or send it again. Raises OutOfOrder if the caller is not waiting any more."""
        self._announce(180, described=False)

    def progress(self) -> None:
        """Send 183 with our description: the caller hears what we send from now on, before the answer.

        Negotiates first if nobody has, and raises as `negotiate` does. A caller that made no offer and does not
        do 100rel gets a 183 without: our offer would not be sure to arrive (RFC 3261 §13.2.1)."""
        self._require(state.Rang)
        self.negotiate()
        self._announce(183, described=True)

    def negotiate(self) -> MediaPlan | None:
        """Lend a port pair and settle our answer to the offer, without sending it.

        Returns None for an INVITE without offer: then our 200 (or a 183 that is sure to arrive) offers, and
        MediaChanged tells the plan that their ACK or PRACK brings. Raises SdpError (reject with its code) and
        Overloaded (reject with 503)."""
        if self._agreement is None:
            offer = find_part(self.request, SDP)
            rtp = self.rtp or self._line.lend(self.source[0])
            agreement = Agreement(self._line.media(rtp.port, self.sender.trunk, self.source[0]))
            try:
                self._description = agreement.offer() if offer is None else agreement.answer(offer)
            except SdpError:
                if self.rtp is None:
                    rtp.close()
                raise
            self.rtp, self._agreement = rtp, agreement
        return self.plan

    def answer(self) -> None:
        """Send 200 with our description; negotiates first if nobody has. Repeated until their ACK comes."""
        self._require(state.Answered)
        self.negotiate()
        session = self._session.answer(self.request, self._line.now())
        self._respond(state.Answered(), 200, headers=(*session, ABLE), body=self._description)
        self._keep_up()
        self._tell(events.Answered())

    def reject(self, code: int, reason: str = "", headers: Headers = ()) -> None:
        """Refuse the call. code: 300-699. Raises OutOfOrder once it is answered or over."""
        self._respond(state.Refused(), code, reason, headers)
        self._over(Ended("us", code, reason))

    def redirect(self, targets: Sequence[str], code: int = 302, headers: Headers = ()) -> None:
        """Send the caller elsewhere: to these URIs, best first. code: 300, 301, 302 or 305 (RFC 3261 §21.3).

        Raises OutOfOrder once it is answered or over, SipSyntaxError for a target that is no URI."""
        if not targets:
            raise SipSyntaxError("a redirect without target. Name at least one URI.", code=500)
        check_added(headers)
        uris = [Uri.parse(target) for target in targets]
        contacts = [("Contact", f"<{uri}>;q={max(0.1, 1 - at / 10):.1f}") for at, uri in enumerate(uris)]
        self._respond(state.Refused(), code, "", (*contacts, *headers))
        self._over(Ended("us", code, "redirected", targets=tuple(str(uri) for uri in uris)))

    def expire(self) -> None:
        """The caller's INVITE has waited as long as its Expires allows (RFC 3261 §13.3.1): 487."""
        if self.leg in (Leg.OFFERED, Leg.RINGING):
            self._respond(state.Refused(), 487)
            self._over(Ended("caller", 487, "INVITE expired"))

    def _await_expiry(self) -> None:
        with contextlib.suppress(SipSyntaxError):  # one that cannot be read limits nothing
            if (patience_s := self.request.expires) is not None:
                self._upkeep = asyncio.get_running_loop().call_later(patience_s, self.expire)

    def _announce(self, code: int, *, described: bool) -> None:
        """A 18x. The first that must arrive has to carry the offer that they left to us (RFC 3262 §5)."""
        self._require(state.Rang)
        stack, invite = self._line.stack, self._invite
        arrives = invite is not None and stack.arrives(invite, described=described)
        late = find_part(self.request, SDP) is None
        if late and arrives:
            self.negotiate()
        wanted = arrives if late else described
        body = self._description if wanted and not self._said_early else b""
        self._respond(state.Rang(), code, body=body)
        self._said_early = self._said_early or (arrives and bool(body))

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

    def _pracked(self, transaction: ServerTransaction) -> None:
        """A PRACK for a 18x of ours: it brings the answer to our offer, an offer, or nothing (RFC 3262 §5)."""
        stack, now, agreement = self._line.stack, self._line.now(), self._agreement
        theirs, ours = find_part(transaction.request, SDP), b""
        agreed = self._invite is not None and stack.agreed_early(self._invite)
        try:
            if agreement is not None and agreement.waiting and agreed:
                self._accept(theirs)
            elif theirs is not None:
                if agreement is None or not agreed:
                    raise SdpError("an offer in PRACK before the first one is answered. Wait for our answer.")
                before = agreement.plan
                ours = agreement.answer(theirs)
                self._changed(before, agreement.plan)
        except SdpError as error:
            if agreement is not None and agreement.waiting and agreed and self._invite is not None:
                self._perform(stack.respond(self._invite, error.code, now, headers=warning(error)))
                self._perform(stack.respond(transaction, 200, now))
                self._step(state.Failed())
                self._over(Ended("network", error.code, str(error)))
                return
            self._perform(stack.respond(transaction, error.code, now, headers=warning(error)))
            return
        self._perform(stack.respond(transaction, 200, now, body=ours))

    # ---- outbound

    def _early_media(self, response: Response) -> None:
        """A 18x with their answer: it may be heard. It stays our offer's last answer only if it came reliably,
        and if that branch picks up."""
        answer = find_part(response, SDP)
        if answer is None or self._agreement is None:
            return
        before = self._agreement.plan
        try:
            plan = self._agreement.preview(answer)
        except SdpError:
            return  # the 200 decides
        self._early[response.to_tag] = answer
        if number_of(response) is not None:
            self._early_agreed.add(response.to_tag)
        self._changed(before, plan)

    def _picked_up_with(self, response: Response) -> None:
        """What their 200 agrees to: its own description, else the one of the same branch's 18x. Raises SdpError."""
        tag = response.to_tag
        if self._agreement is not None and tag in self._early_changed:
            self._agreement.settle()  # the 200 may repeat what their UPDATE has replaced since
        else:
            self._accept(find_part(response, SDP) or self._early.get(tag) or self._early.get(""))

    # ---- both

    def _not_now(self, request: Request) -> int:
        """An offer before the answer needs an offer and answer that are both sure to have arrived (RFC 3311
        §5.2)."""
        if self.leg in (Leg.OFFERED, Leg.RINGING) and self._invite is not None:
            return 0 if self._line.stack.agreed_early(self._invite) else 500
        if self.leg in (Leg.DIALING, Leg.RINGING):
            if request.from_tag not in self._early_agreed:
                return 491
            self._early_changed.add(request.from_tag)
            return 0
        return super()._not_now(request)
