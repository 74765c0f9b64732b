"""What both halves of the SIP stack share: our name on the wire, the living dialogs, the agenda, the
counters.

Pure. Made by stack.py, used by uas.py and uac.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from telephony.sip.agenda import Agenda
from telephony.sip.dialog import Dialog, DialogId
from telephony.sip.headers import Via
from telephony.sip.message import Request
from telephony.sip.screening import Gate
from telephony.sip.transaction import COOKIE, Flow
from telephony.sip.uri import join_host_port

Headers = Sequence[tuple[str, str]]

UDP_LIMIT_BYTES = 1300  # a larger request may be cut on the way: it takes TCP (RFC 3261 §18.1.1)


@dataclass(slots=True)
class Counters:
    """What the stack has seen since it began."""

    received: int = 0  # datagrams, less keep-alives
    malformed: int = 0  # could not be read
    retransmitted: int = 0  # repeats absorbed
    rejected: int = 0  # requests refused before or instead of becoming a call
    stray: int = 0  # responses and ACKs that belong to nothing
    ignored: int = 0  # requests that got no answer: the gate is closed to their sender


@dataclass(frozen=True, slots=True)
class Home:
    """Where peers reach us over one transport. sent_by: host:port for Via. contact: a Contact header value."""

    sent_by: str
    contact: str


def homes_at(shown: Mapping[bool, str], port: int, tls_port: int, user: str) -> dict[str, Home]:
    """Where we are by transport, and by "udp6" and the like. shown: what peers are told, by whether it is IPv6.
    tls_port: 0 without a certificate."""
    homes: dict[str, Home] = {}
    for v6, host in sorted(shown.items(), reverse=True):  # IPv4 is meant where no family is
        here, there = join_host_port(host, port), join_host_port(host, tls_port or port)
        family = {
            "udp": Home(here, f"<sip:{user}@{here}>"),
            "tcp": Home(here, f"<sip:{user}@{here};transport=tcp>"),
            "tls": Home(there, f"<sip:{user}@{there};transport=tls>"),
        }
        homes |= family
        if v6:
            homes |= {f"{transport}6": home for transport, home in family.items()}
    return homes


@dataclass(slots=True)
class Endpoint:
    """Our side of every dialog.

    sent_by: host:port for our Via. contact: our Contact header value. product: for User-Agent and Server.
    token: gives a fresh random word each time, for branches, tags and Call-IDs. options_status: what OPTIONS
    is answered with. supported: option tags, in lower case, that callers may Require. homes: by transport,
    for those where sent_by and contact are not true, and by "udp6" and the like towards IPv6 peers, if they
    reach us elsewhere. tcp: requests may go over TCP. gate: asked about every
    request outside a dialog, before anything is said; None lets everybody in."""

    sent_by: str
    contact: str
    product: str
    token: Callable[[], str]
    options_status: Callable[[], int] = lambda: 200
    supported: frozenset[str] = frozenset()
    homes: dict[str, Home] = field(default_factory=dict)
    tcp: bool = True
    gate: Gate | None = None
    counters: Counters = field(default_factory=Counters)
    dialogs: dict[DialogId, Dialog] = field(default_factory=dict)
    agenda: Agenda = field(default_factory=Agenda)

    def sign(self, request: Request, flow: Flow) -> Flow:
        """Put our Via on top: a new branch, and `rport` so that answers cross a NAT (RFC 3581).

        Returns the flow to send it on: TCP instead of UDP if it is above 1300 bytes (RFC 3261 §18.1.1)."""
        branch = f"{COOKIE}{self.token()}"
        request.prepend("Via", self._via(flow, branch))
        if flow.transport != "udp" or len(request.encode()) <= UDP_LIMIT_BYTES:
            return flow
        larger = Flow("tcp", flow.remote)
        self.readdress(request, larger)
        return larger

    def readdress(self, request: Request, flow: Flow) -> None:
        """Make a request that was signed already say that it goes over another transport."""
        request.replace_top_via(Via.parse(self._via(flow, request.via.branch)))

    def home(self, flow: Flow) -> Home:
        """Where a peer on that flow reaches us: over the same transport and family."""
        own = self.homes.get(f"{flow.transport}6") if flow.v6 else None
        return own or self.homes.get(flow.transport) or Home(self.sent_by, self.contact)

    def contact_on(self, flow: Flow, uri: str) -> str:
        """Our Contact towards a peer on that flow; uri: what was dialled, for sips wants sips (§12.1.1)."""
        contact = self.home(flow).contact
        if uri.lower().startswith("sips:"):
            contact = contact.replace("<sip:", "<sips:").replace(";transport=tls", "")
        return contact

    def _via(self, flow: Flow, branch: str) -> str:
        return f"SIP/2.0/{flow.transport.upper()} {self.home(flow).sent_by};branch={branch};rport"

    def forget(self, dialog: Dialog) -> None:
        """The dialog is over; what still comes for it gets 481."""
        self.dialogs.pop(dialog.id, None)
