"""What the SIP stack tells the phone: one event per thing that happened on a leg, repeats already taken out.

Pure. Made by stack.py, heard by phone.py and the call of that leg. `leg` is (Call-ID, our tag)."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.sip.client_transaction import ClientTransaction
from telephony.sip.dialog import Dialog, LegKey
from telephony.sip.message import Request, Response
from telephony.sip.screening import Vouched
from telephony.sip.server_transaction import InviteServer, ServerTransaction
from telephony.sip.transaction import Flow


@dataclass(frozen=True, slots=True)
class CallCame:
    """An INVITE outside any dialog arrived and has been given its 100."""

    leg: LegKey
    invite: InviteServer
    dialog: Dialog
    source: Flow
    sender: Vouched = Vouched()


@dataclass(frozen=True, slots=True)
class CallerCancelled:
    """The caller cancelled an unanswered INVITE. CANCEL has its 200, the INVITE its 487."""

    leg: LegKey
    request: Request


@dataclass(frozen=True, slots=True)
class Asked:
    """A request within the dialog arrived and waits for the call's response."""

    leg: LegKey
    dialog: Dialog
    transaction: ServerTransaction


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The first ACK to a 2xx of ours arrived."""

    leg: LegKey
    dialog: Dialog
    request: Request


@dataclass(frozen=True, slots=True)
class AckNeverCame:
    """64·T1 after our 2xx there is still no ACK: the session must be ended with BYE (RFC 3261 §13.3.1.4)."""

    leg: LegKey
    dialog: Dialog


@dataclass(frozen=True, slots=True)
class PrackNeverCame:
    """64·T1 after our reliable 18x there is still no PRACK: the INVITE has been refused with 504 (RFC 3262
    §3)."""

    leg: LegKey


@dataclass(frozen=True, slots=True)
class PeerHungUp:
    """A BYE arrived and has been answered; the dialog is gone."""

    leg: LegKey
    request: Request


@dataclass(frozen=True, slots=True)
class Replied:
    """A response to a request of ours. dialog: the one it belongs to, None for a refusal outside any."""

    leg: LegKey
    transaction: ClientTransaction
    response: Response
    dialog: Dialog | None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request of ours got no final response. code: 408 after a timeout, 503 if the flow broke."""

    leg: LegKey
    transaction: ClientTransaction
    code: int
    reason: str


LegEvent = (
    CallCame
    | CallerCancelled
    | Asked
    | Acknowledged
    | AckNeverCame
    | PrackNeverCame
    | PeerHungUp
    | Replied
    | Unanswered
)
