"""One SIP message: the header lines as they came, and typed views of them that are parsed when asked for.

Pure. Made by lexer.py (from the wire), dialog.py and phone.py (our own). Not the grammar of a header
(headers.py), and no state: transactions and dialogs hold messages, messages know neither.
What was received is echoed byte for byte: peers match our answers by it (RFC 3261 §8.2.6, §17.1.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Self, TypeVar, cast

from telephony.errors import SipSyntaxError
from telephony.sip.headers import Address, CSeq, Via, canonical, split_list
from telephony.sip.uri import Uri

MAX_NUMBER = 2**31 - 1  # CSeq and friends stay below this (RFC 3261 §8.1.1.5)

DIALOG_FORMING = frozenset(
    {"INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY"}
)  # may carry Record-Route back

REASONS = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    429: "Provide Referrer Identity",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    606: "Not Acceptable",
}

_TAG = re.compile(r";\s*tag\s*=", re.IGNORECASE)

T = TypeVar("T")


class Message:
    """Header lines in wire order, and a body.

    headers: (long name, value text as received after unfolding). Bytes that are not UTF-8 live in the text as
    surrogate escapes and leave unchanged. Read it freely; change it only through the methods, which keep
    the typed views true. A view of a missing or unreadable mandatory header raises SipSyntaxError (400).
    """

    def __init__(self, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self.headers = list(headers)
        self.body = body
        self._views: dict[str, object] = {}

    @property
    def first_line(self) -> str:
        """Request line or status line, without its line end."""
        raise NotImplementedError

    # ---- header lines

    def get(self, name: str) -> str | None:
        """Value of the first line of that name (any case, compact or long), or None."""
        wanted = canonical(name).lower()
        return next((value for known, value in self.headers if known.lower() == wanted), None)

    def all(self, name: str) -> list[str]:
        """Values of every line of that name, top to bottom, one per line."""
        wanted = canonical(name).lower()
        return [value for known, value in self.headers if known.lower() == wanted]

    def values(self, name: str) -> list[str]:
        """Elements of a list header over all lines, split at commas outside quotes and <> (§7.3.1)."""
        return [item for line in self.all(name) for item in split_list(line)]

    def add(self, name: str, value: object) -> Self:
        """Append a line. value: text or a typed header. Raises SipSyntaxError if it holds a line break."""
        self.headers.append(self._line(name, value))
        return self

    def prepend(self, name: str, value: object) -> Self:
        """Insert a line above all others, as Via and Route want (RFC 3261 §8.1.1.7)."""
        self.headers.insert(0, self._line(name, value))
        return self

    def set(self, name: str, *values: object) -> Self:
        """Replace every line of that name by these values, where the first one stood; none removes them."""
        lines = [self._line(name, value) for value in values]
        wanted = canonical(name).lower()
        spots = [at for at, (known, _) in enumerate(self.headers) if known.lower() == wanted]
        at = spots[0] if spots else len(self.headers)
        kept = [line for line in self.headers if line[0].lower() != wanted]
        self.headers = kept[:at] + lines + kept[at:]
        self._views.clear()
        return self

    def remove(self, name: str) -> Self:
        """Drop every line of that name."""
        return self.set(name)

    def replace_top_via(self, via: Via) -> Self:
        """Put `via` where the topmost one stood, and leave those below it untouched (RFC 3261 §18.2.1)."""
        lines = self.all("Via")
        if not lines:
            raise SipSyntaxError(f"{self.first_line}: no Via to replace. Add one first.")
        below = split_list(lines[0])[1:]
        return self.set("Via", ", ".join([str(via), *below]), *lines[1:])

    def _line(self, name: str, value: object) -> tuple[str, str]:
        text = str(value)
        if any(mark in text or mark in name for mark in "\r\n"):
            raise SipSyntaxError(
                f"{name}: value {text!r} holds a line break. Strip it before sending.", code=500
            )
        self._views.clear()
        return canonical(name), text

    # ---- typed views

    def _view(self, key: str, read: Callable[[], T]) -> T:
        if key not in self._views:
            self._views[key] = read()
        return cast(T, self._views[key])

    def _must(self, name: str) -> str:
        value = self.get(name)
        if not value:
            raise SipSyntaxError(
                f"{self.first_line}: header {name} is missing. It is mandatory (RFC 3261 §8.1.1)."
            )
        return value

    @property
    def vias(self) -> list[Via]:
        """Every Via, topmost first. Empty if there is none."""
        return self._view("vias", lambda: [Via.parse(item) for item in self.values("Via")])

    @property
    def via(self) -> Via:
        """The topmost Via: who sent us this request, or whom of us this response answers.

        Only this one is parsed: the Vias below belong to others and are echoed whatever they say."""
        return self._view("via", lambda: Via.parse(next(iter(split_list(self._must("Via"))), "")))

    @property
    def from_(self) -> Address:
        """Who started the transaction."""
        return self._view("from", lambda: Address.parse(self._must("From")))

    @property
    def to(self) -> Address:
        """Whom the transaction was meant for."""
        return self._view("to", lambda: Address.parse(self._must("To")))

    @property
    def contacts(self) -> list[Address]:
        """Every Contact; `Contact: *` gives none (see `contact_is_star`)."""
        return self._view(
            "contacts", lambda: [Address.parse(item) for item in self.values("Contact") if item != "*"]
        )

    @property
    def contact(self) -> Address | None:
        """The first Contact: the remote target of a dialog (RFC 3261 §12.1)."""
        contacts = self.contacts
        return contacts[0] if contacts else None

    @property
    def contact_is_star(self) -> bool:
        """`Contact: *`, which unregisters everything (RFC 3261 §10.2.2)."""
        return self.values("Contact") == ["*"]

    @property
    def call_id(self) -> str:
        """The Call-ID as it stands; compared byte for byte (RFC 3261 §20.8)."""
        return self._must("Call-ID")

    @property
    def cseq(self) -> CSeq:
        """Sequence number and method."""
        return self._view("cseq", lambda: CSeq.parse(self._must("CSeq")))

    @property
    def max_forwards(self) -> int | None:
        """Hops left, None if the header is missing. Raises SipSyntaxError if it is not a number."""
        return self._number("Max-Forwards")

    @property
    def expires(self) -> int | None:
        """Expires in s, None if missing (RFC 3261 §20.19)."""
        return self._number("Expires")

    def seconds(self, name: str) -> int | None:
        """A header that is a number of s and perhaps parameters, None if missing. Raises SipSyntaxError."""
        return self._number(name)

    def _number(self, name: str) -> int | None:
        text = self.get(name)
        if text is None:
            return None
        digits = text.split(";")[0].split("(")[0].strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
            raise SipSyntaxError(f"{self.first_line}: {name} {text!r} is not a number. Send digits.")
        return min(int(digits), MAX_NUMBER)

    @property
    def routes(self) -> list[Address]:
        """The Route set, first hop first."""
        return self._view("routes", lambda: [Address.parse(item) for item in self.values("Route")])

    @property
    def record_routes(self) -> list[str]:
        """Record-Route elements as received: a UAS's route set, reversed a UAC's (RFC 3261 §12.1)."""
        return self.values("Record-Route")

    @property
    def from_tag(self) -> str:
        """Tag of From, "" if there is none (RFC 2543 peers)."""
        return self.from_.tag

    @property
    def to_tag(self) -> str:
        """Tag of To, "" outside a dialog."""
        return self.to.tag

    def identity(self) -> tuple[str, str, str]:
        """(Call-ID, From tag, To tag): what names a dialog, seen from the sender (RFC 3261 §12)."""
        return self.call_id, self.from_tag, self.to_tag

    @property
    def content_type(self) -> str:
        """Media type of the body in lower case without parameters, "" if none is named."""
        return (self.get("Content-Type") or "").split(";")[0].strip().lower()

    # ---- wire

    def encode(self) -> bytes:
        """The datagram. Content-Length is always ours and last, whatever the header list says."""
        lines = [
            self.first_line,
            *(f"{name}: {text}" for name, text in self.headers if name != "Content-Length"),
        ]
        head = "\n".join([*lines, f"Content-Length: {len(self.body)}"])
        if "\r" in head or head.count("\n") != len(lines):  # else a dialled number could smuggle in a header
            raise SipSyntaxError(
                f"{self.first_line!r}: a line break inside a line. Strip it first.", code=500
            )
        return head.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body

    @property
    def text(self) -> str:
        """The datagram as text that JSON can hold; `as_bytes` makes it one again."""
        return self.encode().decode("latin-1")

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind} {self.first_line!r}, {len(self.headers)} headers, {len(self.body)} bytes of body>"


class Request(Message):
    """A request: method, Request-URI as text, headers, body."""

    def __init__(
        self, method: str, uri: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    @property
    def first_line(self) -> str:
        """INVITE sip:100@example.com SIP/2.0"""
        return f"{self.method} {self.uri} SIP/2.0"

    @property
    def target(self) -> Uri:
        """The Request-URI, parsed. Any scheme passes; raises SipSyntaxError if it is no URI."""
        return Uri.parse(self.uri)

    def arrived_from(self, host: str, port: int) -> Self:
        """Note the real source in the top Via, where the response will go (RFC 3261 §18.2.1, RFC 3581 §4)."""
        seen = self.via.seen_from(host, port)
        return self if seen == self.via else self.replace_top_via(seen)

    def copy(self) -> Request:
        """An equal message that can be changed without touching this one."""
        return Request(self.method, self.uri, self.headers, self.body)


class Response(Message):
    """A response: status 100-699, reason phrase, headers, body."""

    def __init__(
        self, status: int, reason: str = "", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason or REASONS.get(status, "")

    @property
    def first_line(self) -> str:
        """SIP/2.0 200 OK"""
        return f"SIP/2.0 {self.status} {self.reason}"

    @classmethod
    def answering(cls, request: Request, status: int, reason: str = "", to_tag: str = "") -> Response:
        """A response that echoes Via, From, To, Call-ID and CSeq byte for byte (RFC 3261 §8.2.6.2).

        to_tag: ours, added to To if the request had no tag there; a 100 goes without.
        Record-Route is echoed in 101-299 to requests that form or refresh a dialog (§12.1.1)."""
        echoed = ["Via"]
        if 100 < status < 300 and request.method in DIALOG_FORMING:
            echoed.append("Record-Route")
        echoed += ["From", "To", "Call-ID", "CSeq"]
        if status == 100:
            echoed.append("Timestamp")
        response = cls(status, reason, [(name, line) for name in echoed for line in request.all(name)])
        to = request.get("To") or ""
        if to_tag and to and status > 100 and not _TAG.search(to.rpartition(">")[2]):
            response.set("To", f"{to};tag={to_tag}")
        return response

    def copy(self) -> Response:
        """An equal message that can be changed without touching this one."""
        return Response(self.status, self.reason, self.headers, self.body)


def as_bytes(text: str) -> bytes:
    """The datagram whose `text` this is."""
    return text.encode("latin-1")
