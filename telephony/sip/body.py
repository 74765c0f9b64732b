"""The body part that matters: an SDP or sipfrag, alone or inside a multipart (RFC 5621, RFC 2046 §5.1).

Pure. Finds bytes, reads none of them: sdp/description.py does."""

from __future__ import annotations

import re

from telephony.sip.headers import dequote, parse_params
from telephony.sip.message import Message

MAX_PARTS = 32

_BLANK = re.compile(rb"\r?\n\r?\n")
_TYPE = re.compile(rb"^(?:content-type|c)[ \t]*:[ \t]*([^;\r\n]+)", re.IGNORECASE | re.MULTILINE)


def find_part(message: Message, media_type: str) -> bytes | None:
    """The body of that type, e.g. "application/sdp", or the first such part of a multipart; None if none is.

    A body without Content-Type counts as what is asked for: old phones leave it out."""
    if not message.body.strip():
        return None
    kind = message.content_type
    if kind in (media_type, ""):
        return message.body
    if not kind.startswith("multipart/"):
        return None
    params = parse_params((message.get("Content-Type") or "").partition(";")[2])
    boundary = dequote(params.get("boundary") or "").encode("utf-8", "surrogateescape")
    if not boundary:
        return None
    for part in message.body.split(b"--" + boundary, MAX_PARTS)[1:]:
        head, blank, body = _split(part)
        named = _TYPE.search(head)
        if blank and named and named[1].strip().lower() == media_type.encode():
            return body
    return None


def _split(part: bytes) -> tuple[bytes, bool, bytes]:
    end = _BLANK.search(part)
    if end is None:
        return part, False, b""
    body = part[end.end() :]
    return (
        part[: end.start()],
        True,
        body.removesuffix(b"\n").removesuffix(b"\r"),
    )  # the line end is the boundary's
