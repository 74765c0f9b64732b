"""What every chapter of a call stands on: who it is, where it stands, who listens, how it asks and how it
ends.

Base of hold.py (media that changes) and call.py (the whole). Driven by them; makes no decision of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal
from uuid import uuid4

import structlog

from telephony.call import state
from telephony.call.agreement import Agreement
from telephony.call.events import CallEvent, Ended
from telephony.call.line import Line
from telephony.call.state import Leg, LegState
from telephony.call.upkeep import Due, SessionTimer
from telephony.errors import OutOfOrder, SipSyntaxError
from telephony.media.ports import PortPair
from telephony.sdp.plan import MediaPlan
from telephony.sip.dialog import Dialog, LegKey
from telephony.sip.endpoint import Headers
from telephony.sip.headers import Address, Reason
from telephony.sip.message import Request, Response
from telephony.sip.parties import Parties, parties
from telephony.sip.screening import Vouched
from telephony.sip.transaction import Action
from telephony.sip.uri import Uri

SDP = "application/sdp"
ABLE = ("Supported", "replaces, norefersub")  # beside what the session timer says
BEFORE_THE_ANSWER = (Leg.OFFERED, Leg.DIALING, Leg.RINGING, Leg.ANSWERED)
NORMAL_CLEARING = 16  # Q.850 cause

log = structlog.get_logger(__name__)


class CallCore:
    """One leg.

    id: ours, for records. key: (Call-ID, our tag). caller, called: From address and dialled URI as received.
    request: the INVITE. source: where it came from or goes to. sender: the trunk that vouches for it. rtp:
    lent when media is described first, closed when the call is over unless `keep_rtp`."""

    def __init__(self, line: Line, key: LegKey, request: Request, source: tuple[str, int], leg: Leg) -> None:
        self.id = uuid4().hex
        self.key = key
        self.request = request
        self.source = source
        self.sender = Vouched()
        self.direction: Literal["inbound", "outbound"] = "outbound" if leg is Leg.DIALING else "inbound"
        self.caller: Address = request.from_
        self.called: Uri = request.target
        self.rtp: PortPair | None = None
        self.keep_rtp = False
        self._line = line
        self._state = LegState(leg, line.now())
        self._dialog: Dialog | None = None
        self._agreement: Agreement | None = None
        self._leaving_because: str | None = None  # we want out; the words we gave
        self._parting: Headers = ()  # header lines of our goodbye
        self._listeners: list[Callable[[CallEvent], None]] = []
        self._session = SessionTimer()
        self._takes_update = "UPDATE" in request.values("Allow")  # of an inbound call: theirs
        self._upkeep: asyncio.TimerHandle | None = None
        self._asking: dict[str, asyncio.Future[Response]] = {}
        loop = asyncio.get_running_loop()
        self._settled: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[Ended] = loop.create_future()

    @property
    def sip_call_id(self) -> str:
        """Call-ID on the wire."""
        return self.key[0]

    @property
    def leg(self) -> Leg:
        """Where it stands."""
        return self._state.leg

    @property
    def plan(self) -> MediaPlan | None:
        """What is sent and heard now, None before both sides have spoken."""
        return self._agreement.plan if self._agreement else None

    @property
    def dialog(self) -> Dialog | None:
        """The dialog, once there is one; for snapshots."""
        return self._dialog

    @property
    def parties(self) -> Parties:
        """Who calls whom, and through whom, as far as the sender is believed."""
        sender = self.sender
        return parties(self.request, trusted=sender.trusted, contact_user=sender.contact_user)

    def snapshot(self) -> dict[str, Any]:
        """Plain values from which another process goes on with this leg (`Call.restore`). Keys are among them; what we
        have asked within the dialog and wait for is not."""
        ended = asdict(self._ended.result()) if self._ended.done() else None
        return {
            "id": self.id,
            "key": self.key,
            "request": self.request.text,
            "source": self.source,
            "sender": asdict(self.sender),
            "direction": self.direction,
            "leg": self.leg.name,
            "dialog": self._dialog.snapshot() if self._dialog is not None else None,
            "agreement": self._agreement.snapshot() if self._agreement is not None else None,
            "session": self._session.snapshot(),
            "takes_update": self._takes_update,
            "leaving": self._leaving_because,
            "parting": [*self._parting],
            "ended": ended,
        }

    def _go_on(self, saved: Mapping[str, Any], rtp: PortPair | None) -> None:
        """Be what `snapshot` described."""
        self.id, self.direction, self.sender = saved["id"], saved["direction"], Vouched(**saved["sender"])
        self.rtp, self._takes_update = rtp, saved["takes_update"]
        self._leaving_because = saved["leaving"]
        self._parting = [(name, value) for name, value in saved["parting"]]
        if saved["agreement"] is not None:
            self._agreement = Agreement.restore(saved["agreement"])
            if self.leg is Leg.TALKING:
                self._agreement.withdraw()  # what they say to a re-INVITE of before is heard by nobody
        if self.leg not in BEFORE_THE_ANSWER:
            self._settle()
        if (ended := saved["ended"]) is not None:
            headers = tuple((name, value) for name, value in ended["headers"])
            self._ended.set_result(Ended(**{**ended, "targets": tuple(ended["targets"]), "headers": headers}))
        elif saved["dialog"] is not None:
            self._dialog = Dialog.restore(saved["dialog"])
            self._dialog.outlived()
            self._session = SessionTimer.restore(saved["session"])
            self._keep_up()

    def listen(self, callback: Callable[[CallEvent], None]) -> None:
        """Be told everything that happens from now on: at once and in order, so it must not block."""
        self._listeners.append(callback)

    async def settled(self) -> None:
        """Wait until the call is answered and acknowledged, or over."""
        await asyncio.shield(self._settled)

    async def ended(self) -> Ended:
        """Wait for the end."""
        return await asyncio.shield(self._ended)

    def abandon(self) -> None:
        """The phone is gone and nothing more can be said: end without a word."""
        if self._state.allows(state.Failed):
            self._step(state.Failed())
        self._over(Ended("us", 503, "phone closed"))

    # ---- for the chapters

    def _perform(self, actions: Sequence[Action]) -> None:
        self._line.changed(self.key)
        self._line.perform(actions)

    def _require(self, step: type[state.LegEvent]) -> None:
        if not self._state.allows(step):
            raise OutOfOrder(f"call {self.id}: {step.__name__} while the leg is {self.leg.name}")

    def _step(self, step: state.LegEvent) -> Leg:
        """Where the leg stands then."""
        self._state.receive(step, self._line.now())
        return self._state.leg

    def _tell(self, event: CallEvent) -> None:
        for callback in tuple(self._listeners):
            try:
                callback(event)
            except Exception:  # a listener's fault must not stop the call from being answered or ended
                log.exception("call.listener_failed", call=self.id, what=type(event).__name__)

    def _standing(self) -> Dialog:
        """The dialog of a call that both sides are in."""
        if self._dialog is None or self.leg is not Leg.TALKING:
            raise OutOfOrder(f"call {self.id}: the leg is {self.leg.name}, not TALKING")
        return self._dialog

    async def _ask(
        self, method: str, *, headers: Headers = (), body: bytes = b"", content_type: str = SDP
    ) -> Response:
        """Send a request within the dialog and wait for its final response; 408 or 503 of our own if none
        comes."""
        line = self._line
        transaction, actions = line.stack.ask(
            self._standing(), method, line.now(), headers=headers, body=body, content_type=content_type
        )
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._asking[transaction.key] = answer
        try:
            self._perform(actions)
            return await answer
        finally:
            self._asking.pop(transaction.key, None)

    def _bye(self, reason: str) -> None:
        """Send BYE. The call need not wait for the answer (RFC 3261 §15.1.1)."""
        if self._dialog is not None:
            _, actions = self._line.stack.ask(
                self._dialog, "BYE", self._line.now(), headers=(*why(reason), *self._parting)
            )
            self._perform(actions)

    def _over(self, ended: Ended) -> None:
        """Everybody who waits for this call hears that it is over; its ports go back. The leg is OVER
        already."""
        if self._ended.done():
            return
        self._ended.set_result(ended)
        self._settle()
        for answer in self._asking.values():
            if not answer.done():
                answer.set_result(Response(487, "Call ended first"))
        if self._upkeep is not None:
            self._upkeep.cancel()
        self._line.hung_up(self.key)
        self._tell(ended)
        if self.rtp is not None and not self.keep_rtp:
            self.rtp.close()

    def _keep_up(self) -> None:
        """The session timer has changed: ring when it is due."""
        if self._upkeep is not None:
            self._upkeep.cancel()
        deadline = self._session.next_deadline()
        loop = asyncio.get_running_loop()
        self._upkeep = loop.call_at(deadline, self.check_session) if deadline is not None else None

    def check_session(self, now: float | None = None) -> None:
        """Refresh the session, or end it, if it is time. now: loop time, s."""
        due = self._session.due(self._line.now() if now is None else now)
        if due is Due.REFRESH and self.leg is Leg.TALKING:
            self._refresh()
        elif due is Due.END and self.leg is Leg.TALKING:
            self._break("nobody refreshed the session", 408)
        self._keep_up()

    def _refresh(self) -> None:
        raise NotImplementedError

    def _break(self, reason: str, code: int) -> None:
        raise NotImplementedError

    def _settle(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)


def why(reason: str) -> Headers:
    """The Reason line of our BYE or CANCEL (RFC 3326): normal clearing, in these words."""
    words = " ".join(reason.split()) or "Normal call clearing"
    return (("Reason", str(Reason("Q.850", NORMAL_CLEARING, words))),)


def reason_of(request: Request) -> str:
    """Their Reason in words, else as `Q.850 16`; "" if they gave none that can be read."""
    reasons: list[Reason] = []
    with contextlib.suppress(SipSyntaxError):
        reasons = [found for line in request.all("Reason") for found in Reason.parse_many(line)]
    if not reasons:
        return ""
    return reasons[0].text or f"{reasons[0].protocol} {reasons[0].cause}"
