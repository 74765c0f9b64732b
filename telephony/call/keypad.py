"""Keys pressed on a phone that reports them by INFO instead of RTP (RFC 6086 and what PBXs made of it).

Pure. Driven by call.py. Keys in RTP (RFC 4733) are media's."""

from __future__ import annotations

import re

from telephony.call.events import DigitsByInfo
from telephony.sip.message import Request

_BY_NUMBER = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}  # RFC 4733 event codes
_KEY = re.compile(r"[0-9*#A-D]", re.IGNORECASE)
_LINE = re.compile(
    r"^[ \t]*(signal|duration)[ \t]*=[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


def pressed(request: Request) -> DigitsByInfo | None:
    """The key that an INFO reports: `application/dtmf-relay` (Signal=, Duration=) or `application/dtmf` (the
    bare key).

    None if it is about something else or names no key."""
    text = request.body[:256].decode("latin-1")
    if request.content_type == "application/dtmf":
        signal, duration = text.strip(), ""
    elif request.content_type == "application/dtmf-relay":
        fields = {name.lower(): value for name, value in _LINE.findall(text)}
        signal, duration = fields.get("signal", ""), fields.get("duration", "")
    else:
        return None
    key = _BY_NUMBER.get(signal, signal).upper()
    if not _KEY.fullmatch(key):
        return None
    lasted = int(duration) if duration.isascii() and duration.isdigit() and len(duration) < 6 else 0
    return DigitsByInfo(key, lasted)
