"""What a call tells its user: facts in the past tense, plain values.

Pure. Made by call.py; heard by the switch and the softphone through `Call.listen`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from telephony.sdp.plan import MediaPlan

By = Literal["caller", "callee", "us", "network"]
MovedBy = Literal["refer", "replaces"]


@dataclass(frozen=True, slots=True)
class Ringing:
    """The far side rings or sends early sound. code: 180-199."""

    code: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The 200 was sent or heard."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The 200 was acknowledged: the session stands."""


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """Offer and answer agreed on something new: late offer, early media, hold, resume, other port or
    codec."""

    plan: MediaPlan


@dataclass(frozen=True, slots=True)
class DigitsByInfo:
    """Keys came by INFO instead of RTP. duration_ms: 0 if not said."""

    pii_digits: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """The far side said how the transfer goes. code: a SIP status, 100 while it tries."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The call goes on in another leg, with the same sockets; MediaChanged follows. by: "refer", the far side sent us
    there; "replaces", somebody took its place. sip_call_id: of the new leg."""

    by: MovedBy
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over. by: who ended it, "caller" or "callee" for the far side. code: the SIP status that
    says why (487 cancelled, 200 hung up normally, 408 nobody answered). reason: in words, "" if none were
    given. targets: where a 3xx sends the caller, best first. headers: the X- lines of their BYE."""

    by: By
    code: int
    reason: str = ""
    targets: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


CallEvent = Ringing | Answered | Confirmed | MediaChanged | DigitsByInfo | TransferProgress | Moved | Ended
