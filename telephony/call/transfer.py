"""One blind transfer that we asked for: REFER out, its progress back in NOTIFY (RFC 3515, RFC 6665).

Pure. Driven by call.py. Not the new call: the far side places it, and tells us by message/sipfrag how it
goes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.call.events import TransferProgress
from telephony.sip.body import find_part
from telephony.sip.message import Request, Response

_STATUS = re.compile(rb"\s*SIP/2\.0[ \t]+([1-6][0-9][0-9])(?:[ \t]+([^\r\n]*))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """How a transfer ended. ok: the far side reached the target, or has left to do so. code: SIP status."""

    ok: bool
    code: int
    reason: str


class Transfer:
    """What is known of one REFER. outcome: None until it is settled."""

    def __init__(self) -> None:
        self.outcome: TransferOutcome | None = None
        self.accepted = False

    def replied(self, response: Response) -> None:
        """The response to our REFER: 202 or 200 means that NOTIFYs follow, unless it says `Refer-Sub:
        false`."""
        if response.status < 200:
            return
        if response.status >= 300:
            self._settle(False, response.status, response.reason)
            return
        self.accepted = True
        if (response.get("Refer-Sub") or "").strip().lower().startswith("false"):  # RFC 4488 §4
            self._settle(True, response.status, response.reason)

    def notified(self, request: Request) -> TransferProgress | None:
        """A NOTIFY with a status line as body. A final status settles it, and so does a terminated
        subscription."""
        self.accepted = True  # some send it before the 202
        found = _STATUS.match(find_part(request, "message/sipfrag") or b"")
        over = (request.get("Subscription-State") or "").strip().lower().startswith("terminated")
        if found is None:
            if over:
                self._settle(False, 500, "subscription ended without a result")
            return None
        code, reason = int(found[1]), (found[2] or b"").decode("utf-8", "replace").strip()
        if code >= 200 or over:
            self._settle(200 <= code < 300, code, reason)
        return TransferProgress(code, reason)

    def gone(self) -> None:
        """The call ended: success if they had taken the transfer on, for many leave without a last NOTIFY."""
        if self.accepted:
            self._settle(True, 200, "far side left to transfer")
        else:
            self._settle(False, 487, "call ended first")

    def unanswered(self, code: int, reason: str) -> None:
        """No response to REFER, or no NOTIFY in time."""
        self._settle(False, code, reason)

    def _settle(self, ok: bool, code: int, reason: str) -> None:
        if self.outcome is None:
            self.outcome = TransferOutcome(ok, code, reason)


def is_of_refer(request: Request) -> bool:
    """A NOTIFY about a REFER and not, say, about voicemail. Some SBCs strip Event: then it may be."""
    package = (request.get("Event") or "refer").partition(";")[0]
    return package.strip().lower() == "refer"
