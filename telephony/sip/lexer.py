"""From a datagram or a TCP stream to a message: start line, header lines, body; values stay unread.

Pure. Not the meaning of a header (headers.py). Driven by trunk/transport.py and sip/stack.py.
Tolerant where phones are sloppy (folding, bare LF, compact names, Latin-1, no reason phrase), strict where
a guess would let two parsers see two messages: conflicting lengths, stray CR (RFC 3261 §7, §18.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from telephony.errors import SipSyntaxError
from telephony.sip.headers import canonical
from telephony.sip.message import Message, Request, Response

MAX_BYTES = 65536  # no UDP datagram is larger, and no honest message on TCP either
MAX_HEAD_BYTES = (
    16384  # start line and headers; an INVITE of an IMS core with its signed identity has a third of it
)
MAX_LINE = (
    8192  # characters of one header line, unfolded: reading a longer one takes time that other calls need
)
MAX_HEADERS = 256

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]+")
_LINE_END = re.compile(r"\r?\n")
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)
_STATUS = re.compile(r"(SIP/[0-9]+\.[0-9]+)[ \t]+([1-6][0-9][0-9])(?:[ \t]+(.*))?", re.IGNORECASE)
_NAME = re.compile(r"[!-9;-~]+")
_LENGTH = re.compile(r"[0-9]{1,9}")


def is_keepalive(data: bytes) -> bool:
    """A datagram that only keeps a NAT binding open: empty, line ends or NULs (RFC 5626 §3.5.1)."""
    return not data.strip(b"\r\n\0")


def lex(data: bytes) -> Request | Response:
    """Read one datagram.

    Without Content-Length the rest is the body; bytes past it are cut (RFC 3261 §18.3).
    Raises SipSyntaxError: 400 unreadable or body incomplete, 505 other SIP version, 513 too large: the
    whole, its headers, or one of them."""
    if len(data) > MAX_BYTES:
        raise SipSyntaxError(f"message of {len(data)} bytes is above {MAX_BYTES}. Send less.", code=513)
    data = data.lstrip(b"\r\n")
    head, body = _split(data)
    message = _read_head(head)
    length = content_length(message)
    if length is not None and length > len(body):
        raise SipSyntaxError(f"Content-Length is {length} but {len(body)} bytes follow. Send the whole body.")
    message.body = body if length is None else body[:length]
    return message


def content_length(message: Message) -> int | None:
    """The announced body length in bytes, None if there is none. Raises SipSyntaxError if unreadable."""
    values = {value.strip() for value in message.all("Content-Length")}
    if not values:
        return None
    value = values.pop()
    if values or not _LENGTH.fullmatch(value):
        raise SipSyntaxError(f"Content-Length {value[:40]!r} is not one number. Send it once, in digits.")
    return int(value)


def salvage(data: bytes) -> Request | None:
    """What is left of a request that `lex` refused, good enough to send the refusal to; None if nothing.

    Keeps the header lines that can be read, no body. An ACK, a response or a request without Via, From, To,
    Call-ID and CSeq gives None: it gets no answer (RFC 3261 §8.2.6.2, §17.2.1)."""
    head, _ = _split(data[:MAX_BYTES].lstrip(b"\r\n"))
    text = _FOLD.sub(" ", head.decode("utf-8", "surrogateescape"))
    first, *lines = _LINE_END.split(text)
    words = first.split()
    if len(words) < 2 or not _TOKEN.fullmatch(words[0]) or words[0] == "ACK" or _VERSION.match(first):
        return None
    request = Request(words[0], words[1])
    room = MAX_HEAD_BYTES - 1024  # for what a refusal adds to the lines that it echoes
    for line in lines[:MAX_HEADERS]:
        if len(line) > MAX_LINE or (size := len(line.encode("utf-8", "surrogateescape"))) > room:
            continue
        room -= size
        name, colon, value = line.partition(":")
        if colon and _NAME.fullmatch(name.strip(" \t")) and "\r" not in value.strip(" \t\r"):
            request.headers.append((canonical(name.strip(" \t")), value.strip(" \t\r")))
    if not all(request.get(name) for name in ("Via", "From", "To", "Call-ID", "CSeq")):
        return None
    return request


def _split(data: bytes) -> tuple[bytes, bytes]:
    end = _END_OF_HEAD.search(data)
    return (data, b"") if end is None else (data[: end.start()], data[end.end() :])


def _read_head(head: bytes) -> Request | Response:
    """Start line and header lines; a value keeps its bytes, less the white space around it."""
    if len(head) > MAX_HEAD_BYTES:
        raise SipSyntaxError(
            f"headers of {len(head)} bytes are above {MAX_HEAD_BYTES}. Send fewer.", code=513
        )
    text = _FOLD.sub(" ", head.decode("utf-8", "surrogateescape"))
    first, *lines = _LINE_END.split(text)
    if max(map(len, (first, *lines))) > MAX_LINE:
        raise SipSyntaxError(f"a header line is above {MAX_LINE} characters. Send less in it.", code=513)
    message = _start_line(first.strip(" \t\r"))
    while lines and not lines[-1].strip(" \t\r"):
        lines.pop()
    if len(lines) > MAX_HEADERS:
        raise SipSyntaxError(f"{len(lines)} header lines are above {MAX_HEADERS}. Send fewer.", code=513)
    headers = message.headers
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.strip(" \t"), value.strip(" \t\r")
        if not colon or not _NAME.fullmatch(name):
            raise SipSyntaxError(f"header line {line[:80]!r} is not `Name: value`.")
        if "\r" in value:
            raise SipSyntaxError(f"header {name} holds a CR without LF. End lines with CRLF.")
        headers.append((canonical(name), value))
    return message


def _start_line(line: str) -> Request | Response:
    if (status := _STATUS.fullmatch(line)) and "\r" not in line:
        _want_version(status[1])
        return Response(int(status[2]), status[3] or "")
    words = re.split(r"[ \t]+", line)
    if "\r" in line or len(words) != 3 or not _TOKEN.fullmatch(words[0]) or not _VERSION.fullmatch(words[2]):
        raise SipSyntaxError(f"{line[:80]!r} is neither `METHOD uri SIP/2.0` nor `SIP/2.0 status reason`.")
    _want_version(words[2])
    return Request(words[0], words[1])


def _want_version(version: str) -> None:
    if version.upper() != "SIP/2.0":
        raise SipSyntaxError(f"version {version[:20]} is not SIP/2.0. Speak SIP/2.0.", code=505)


@dataclass(frozen=True, slots=True)
class Ping:
    """A double CRLF on a stream: the peer wants one CRLF back (RFC 5626 §4.4.1)."""


@dataclass(slots=True)
class Framer:
    """Cuts a TCP or TLS stream into messages (RFC 3261 §18.3: Content-Length frames, absent means no body).

    One per connection. After it raised SipSyntaxError the stream has lost its beat: close the connection."""

    buffer: bytearray = field(default_factory=bytearray)
    searched: int = (
        0  # bytes of the buffer known to hold no end of headers, so a slow sender costs no rescans
    )

    def feed(self, data: bytes) -> list[Request | Response | Ping]:
        """Take what the socket gave; return the messages and pings that are complete now.

        Call it again with b"" until it returns nothing: what is wrong behind a good message is raised then."""
        self.buffer += data
        found: list[Request | Response | Ping] = []
        try:
            while (item := self._next()) is not None:
                found.append(item)
        except SipSyntaxError:
            if not found:
                raise
        return found

    def _next(self) -> Request | Response | Ping | None:
        buffer = self.buffer
        if buffer.startswith(b"\r\n\r\n"):
            del buffer[:4]
            return Ping()
        if b"\r\n\r\n".startswith(bytes(buffer[:4])):
            return None  # nothing, or a ping that may still grow
        while buffer.startswith((b"\r", b"\n")):
            del buffer[:1]
        end = _END_OF_HEAD.search(buffer, max(0, self.searched - 3))
        if end is None:
            self.searched = len(buffer)
            if len(buffer) > MAX_HEAD_BYTES + 4:
                raise SipSyntaxError(f"no end of headers within {MAX_HEAD_BYTES} bytes. Send less.", code=513)
            return None
        message = _read_head(bytes(buffer[: end.start()]))
        length = content_length(message) or 0
        if end.end() + length > MAX_BYTES:
            raise SipSyntaxError(f"message with a body of {length} bytes is too large. Send less.", code=513)
        if len(buffer) < end.end() + length:
            return None
        message.body = bytes(buffer[end.end() : end.end() + length])
        del buffer[: end.end() + length]
        self.searched = 0
        return message
