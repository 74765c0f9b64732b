"""May this new INVITE take the place of a leg that we have? (RFC 3891 §3)

Pure. Asked by moves.py. Not who sent it: the gate and the trunk are checked elsewhere."""

from __future__ import annotations

from collections import OrderedDict

from telephony.call.state import Leg
from telephony.errors import SipSyntaxError
from telephony.sip.dialog import Dialog, DialogId
from telephony.sip.headers import Replaces
from telephony.sip.message import Request

REMEMBERED = 512  # dialogs that are over


def asked(request: Request) -> Replaces | None:
    """The dialog that an INVITE wants to replace, None if it does not. Raises SipSyntaxError (400) if it names
    two, or none that can be read."""
    lines = request.all("Replaces")
    if not lines:
        return None
    if len(lines) > 1:
        raise SipSyntaxError("INVITE with two Replaces. Send one (RFC 3891 §3).")
    return Replaces.parse(lines[0])


class Past:
    """Dialogs that ended not long ago: who would replace one learns that it came late."""

    def __init__(self) -> None:
        self._ended: OrderedDict[DialogId, None] = OrderedDict()

    def note(self, dialog: Dialog) -> None:
        """It is over."""
        self._ended[dialog.id] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def holds(self, wanted: Replaces) -> bool:
        """The dialog that is wanted is one of them."""
        return (wanted.call_id, wanted.to_tag, wanted.from_tag) in self._ended


def refusal(wanted: Replaces, dialog: Dialog | None, leg: Leg, *, ours: bool, past: Past) -> int:
    """0 if the leg may be replaced, else the status that says why not.

    dialog: of the call with that Call-ID and tag of ours, None if there is none. ours: we dialled it. Tags are
    from our point of view: to-tag is ours, from-tag theirs, `0` for a phone that has none (§3)."""
    if past.holds(wanted) or (dialog is not None and leg in (Leg.LEAVING, Leg.OVER)):
        return 603
    if dialog is None or wanted.from_tag != (dialog.remote_tag or "0"):
        return 481
    if leg is Leg.TALKING:
        return 486 if wanted.early_only else 0
    if leg is Leg.ANSWERED:  # their ACK is on its way
        return 486 if wanted.early_only else 491
    return 0 if ours else 481  # a call that rings here is answered or refused here, not taken away
