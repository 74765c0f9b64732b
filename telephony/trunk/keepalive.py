"""Is the trunk still there? OPTIONS now and then, and what its answer or silence means (RFC 3261 §11).

Pure: responses in, requests out. Driven by the switch, one task a trunk. Not the CRLF that keeps a connection
open (stream.py), and not the login (registration.py): a trunk can forget us and still be up."""

from __future__ import annotations

from contextlib import suppress

from telephony.errors import SipSyntaxError
from telephony.sip.message import Request, Response


class Pulse:
    """What we know of one trunk. up: None before the first answer or silence.

    target: URI asked, "sip:carrier.example". us: URI for From. call_id, tag: fresh ones."""

    def __init__(self, target: str, us: str, call_id: str, tag: str) -> None:
        self.target = target
        self.up: bool | None = None
        self.why = ""  # it is down
        self._us, self._call_id, self._tag = us, call_id, tag
        self._number = 0

    def request(self) -> Request:
        """The OPTIONS to send now, complete but for Via."""
        self._number += 1
        request = Request("OPTIONS", self.target)
        request.add("Max-Forwards", "70").add("From", f"<{self._us}>;tag={self._tag}")
        request.add("To", f"<{self.target}>").add("Call-ID", self._call_id)
        request.add("CSeq", f"{self._number} OPTIONS").add("Accept", "application/sdp")
        return request

    def receive(self, response: Response) -> bool:
        """The final response, or the 408 or 503 that the phone makes up when none came. True if `up` changed.

        Whatever the trunk says, it has heard us: 404, 405 and 503 are signs of life too."""
        before = self.up
        self.up = response.get("CSeq") is not None  # what is made up has no headers
        with suppress(SipSyntaxError):
            self._number = max(self._number, response.cseq.number)  # a challenge took one more
        self.why = "" if self.up else f"{response.status} {response.reason}".strip()
        return self.up is not before
