"""Which requests are refused before anybody looks at their meaning, and with which words (RFC 3261 §8.2).

Pure. Asked by uas.py. Who may ring is decided by trunk/access.py, in the words of this page (Refusal,
Vouched); what to say to an INVITE that may, by the call."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from telephony.errors import SipSyntaxError
from telephony.sip.message import Message, Request
from telephony.sip.transaction import Flow

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY")
ALLOW = ", ".join(METHODS)
ACCEPT = "application/sdp, application/dtmf-relay, application/dtmf, message/sipfrag"
IN_DIALOG_ONLY = frozenset({"BYE", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY"})
REPLACING = frozenset(
    {"INVITE", "BYE"}
)  # Replaces means something in INVITE only (RFC 3891 §3); a BYE is taken
SCHEMES = frozenset({"sip", "sips", "tel"})
OFFERING = frozenset({"INVITE", "UPDATE", "PRACK"})  # their body, if any, must be a session description


MIN_SESSION_S = 90  # a shorter session timer is refused (RFC 4028 §4)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final response that needs no call: status and the headers that explain it."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Vouched:
    """Who a new request comes from. trunk: its name, "" for a stranger who is welcome.

    trusted: what it says about callers is believed (RFC 3325 §5). contact_user: as whom we are registered
    there, "" if we are not."""

    trunk: str = ""
    trusted: bool = False
    contact_user: str = ""


Gate = Callable[[Request, Flow, float], Vouched | Refusal | None]  # with loop time; None: no word in answer


def check_headers(request: Request) -> None:
    """Read every header that each later step relies on; raises SipSyntaxError (400) for the first unreadable
    one."""
    _ = request.via, request.from_.uri, request.to.uri, request.call_id
    if request.cseq.method != request.method:
        raise SipSyntaxError(f"CSeq method {request.cseq.method} of a {request.method}. Send the same twice.")


def refusal(request: Request, supported: Collection[str]) -> Refusal | None:
    """Inspect a request in the order of RFC 3261 §8.2: method, scheme, extensions, body. None: it may pass.

    supported: the option tags we understand in Require. A wrong Request-URI raises SipSyntaxError."""
    if request.method not in METHODS:
        return Refusal(405, (("Allow", ALLOW),))
    if request.target.scheme not in SCHEMES:
        return Refusal(416)
    if unknown := [tag for tag in request.values("Require") if tag.lower() not in supported]:
        return Refusal(420, (("Unsupported", ", ".join(unknown)),))
    if request.method not in REPLACING and request.get("Replaces") is not None:
        return Refusal(400)
    if request.body and request.method in OFFERING and not _readable_body(request.content_type):
        return Refusal(415, (("Accept", "application/sdp"),))
    interval = session_expires(request) if request.method in ("INVITE", "UPDATE") else None
    if interval is not None and interval < MIN_SESSION_S and _has(request, "Supported", "timer"):
        return Refusal(422, (("Min-SE", str(MIN_SESSION_S)),))  # others could make nothing of a 422
    return None


def session_expires(message: Message) -> int | None:
    """Session-Expires in s, None if there is none (RFC 4028 §4). Raises SipSyntaxError (400)."""
    return message.seconds("Session-Expires")


def _has(request: Request, name: str, tag: str) -> bool:
    return any(value.lower() == tag for value in request.values(name))


def _readable_body(content_type: str) -> bool:
    return content_type in ("", "application/sdp") or content_type.startswith("multipart/")
