"""What both halves of the SIP stack share: our name on the wire, the living dialogs, the agenda, the
counters.

Pure. Made by stack.py, used by uas.py and uac.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from telephony.sip.agenda import Agenda
from telephony.sip.dialog import Dialog, DialogId
from telephony.sip.message import Request
from telephony.sip.screening import Gate
from telephony.sip.transaction import COOKIE, Flow

Headers = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Counters:
    """What the stack has seen since it began."""

    received: int = 0  # datagrams, less keep-alives
    malformed: int = 0  # could not be read
    retransmitted: int = 0  # repeats absorbed
    rejected: int = 0  # requests refused before or instead of becoming a call
    stray: int = 0  # responses and ACKs that belong to nothing
    ignored: int = 0  # requests that got no answer: the gate is closed to their sender


@dataclass(slots=True)
class Endpoint:
    """Our side of every dialog.

    sent_by: host:port for our Via. contact: our Contact header value. product: for User-Agent and Server.
    token: gives a fresh random word each time, for branches, tags and Call-IDs. options_status: what OPTIONS
    is answered with. supported: option tags, in lower case, that callers may Require. gate: asked about every
    request outside a dialog, before anything is said; None lets everybody in."""

    sent_by: str
    contact: str
    product: str
    token: Callable[[], str]
    options_status: Callable[[], int] = lambda: 200
    supported: frozenset[str] = frozenset()
    gate: Gate | None = None
    counters: Counters = field(default_factory=Counters)
    dialogs: dict[DialogId, Dialog] = field(default_factory=dict)
    agenda: Agenda = field(default_factory=Agenda)

    def sign(self, request: Request, flow: Flow) -> None:
        """Put our Via on top: a new branch, and `rport` so that answers cross a NAT (RFC 3581)."""
        branch = f"{COOKIE}{self.token()}"
        request.prepend("Via", f"SIP/2.0/{flow.transport.upper()} {self.sent_by};branch={branch};rport")

    def forget(self, dialog: Dialog) -> None:
        """The dialog is over; what still comes for it gets 481."""
        self.dialogs.pop(dialog.id, None)
