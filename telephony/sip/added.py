"""Header lines that users add to INVITE, BYE and REFER: which ones they may, for the rest is ours to say.

Pure. Asked by the calls and by the settings, so that a wrong line is refused before anybody dials."""

from __future__ import annotations

import re

from telephony.errors import SipSyntaxError
from telephony.sip.endpoint import Headers
from telephony.sip.headers import canonical
from telephony.sip.message import Message
from telephony.sip.uri import readable

OURS = frozenset(
    name.lower()
    for name in (
        *("Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "Route", "Record-Route"),
        *("Allow", "User-Agent", "Server", "Authorization", "Proxy-Authorization"),
        *("Session-Expires", "Min-SE", "RSeq", "RAck", "Refer-To", "Referred-By"),
    )
)

_NAME = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,100}")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]{0,1000}")


def check_added(headers: Headers) -> None:
    """Raises SipSyntaxError for a name that is none, for a header that we write ourselves, and for a value that
    could smuggle in another line."""
    for name, value in headers:
        long_name = canonical(name)
        if not _NAME.fullmatch(name):
            raise SipSyntaxError(f"{name[:40]!r} is no header name. Use letters, digits and '-'.", code=500)
        if long_name.lower() in OURS or long_name.lower().startswith("content-"):
            raise SipSyntaxError(f"header {long_name} is written by Offhook. Leave it out.", code=500)
        if not _VALUE.fullmatch(value):
            raise SipSyntaxError(
                f"header {name}: the value holds a line break or is above 1000 characters. Mend it.", code=500
            )


def added_by_them(message: Message) -> tuple[tuple[str, str], ...]:
    """The X- lines of a message of theirs."""
    return tuple((name, readable(value)) for name, value in message.headers if name[:2].lower() == "x-")
