"""The grammar of header values: Via, addresses, CSeq, and what transfers, timers and login need.

Pure. Not a message (message.py) and not the digest sum (digest.py). Every type has the same doors:
`parse(text)`, `parse_many(text)` where the header is a list, and `str()`. All parse tolerantly and raise
SipSyntaxError when the meaning is lost (RFC 3261 §20, §25)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from telephony.errors import SipSyntaxError
from telephony.sip.uri import Params, Uri, format_params, join_host_port, readable, split_host_port, unescape

MAX_CSEQ = 2**31 - 1  # RFC 3261 §8.1.1.5

# Compact forms (RFC 3261 §7.3.3 and the RFC of each extension).
COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
_LONG = """Accept Alert-Info Allow Authentication-Info Authorization CSeq Content-Disposition
Content-Language Date Diversion Expires History-Info MIME-Version Max-Forwards Min-Expires Min-SE
P-Asserted-Identity P-Called-Party-ID P-Preferred-Identity Path Privacy Proxy-Authenticate
Proxy-Authorization Proxy-Require RAck RSeq Reason Record-Route Refer-Sub Remote-Party-ID
Replaces Require Retry-After Route Server Service-Route SIP-ETag SIP-If-Match
Subscription-State Target-Dialog Timestamp Unsupported User-Agent Via WWW-Authenticate Warning"""
_CANONICAL = {name.lower(): name for name in (*COMPACT.values(), *_LONG.split())} | COMPACT

_TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PIECES = {
    mark: re.compile(rf'"(?:[^"\\]|\\.)*"?|<[^>]*>?|{mark}|[^"<{mark}]+', re.DOTALL) for mark in (",", ";")
}
_VIA = re.compile(rf"(SIP\s*/\s*[0-9.]+)\s*/\s*({_TOKEN})\s+([^;]+)(.*)", re.DOTALL | re.IGNORECASE)
_NAME_ADDR = re.compile(rf'((?:{_QUOTED}|[^"<])*)<([^>]*)>(.*)', re.DOTALL)
_CSEQ = re.compile(rf"([0-9]{{1,10}})[ \t]+({_TOKEN})")
_AUTH_START = re.compile(rf"({_TOKEN})[ \t]+(?=\S)(?!=)(.*)", re.DOTALL)
_UNQUOTED_AUTH = frozenset({"algorithm", "nc", "stale"})  # RFC 2617 §3.2, as every peer expects it


def canonical(name: str) -> str:
    """The long name in the RFC's spelling for any case or compact form; an unknown name as it came."""
    return _CANONICAL.get(name.lower(), name)


def split_list(text: str, mark: str = ",") -> list[str]:
    """Pieces between `mark` (',' or ';'), stripped, empty ones dropped; quotes and <> are left whole."""
    if '"' not in text and "<" not in text:
        return [piece for part in text.split(mark) if (piece := part.strip())]
    pieces = [""]
    for match in _PIECES[mark].finditer(text):
        if match[0] == mark:
            pieces.append("")
        else:
            pieces[-1] += match[0]
    return [stripped for piece in pieces if (stripped := piece.strip())]


def parse_params(text: str) -> Params:
    """`;a=b;flag` → {"a": "b", "flag": None}. Names in lower case, values as received, quotes included."""
    params: Params = {}
    for item in split_list(text, ";"):
        name, equals, value = item.partition("=")
        params[name.strip().lower()] = value.strip() if equals else None
    return params


def quote(text: str) -> str:
    """Text as a quoted-string (RFC 3261 §25.1)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def dequote(text: str) -> str:
    """A quoted-string's text; anything else as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _digits(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text.strip()):
        raise SipSyntaxError(f"{what} {text[:40]!r} is not a number. Send digits.")
    return int(text)


@dataclass(frozen=True, slots=True)
class Via:
    """One hop a request took (RFC 3261 §20.42). host has no brackets; params are as received."""

    transport: str
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict)
    protocol: str = "SIP/2.0"

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one Via element; spaces around '/' and ':' are fine (RFC 4475 §3.1.1.1)."""
        match = _VIA.fullmatch(text.strip())
        if match is None:
            raise SipSyntaxError(f"Via {text[:80]!r} is not `SIP/2.0/UDP host:port;params`.")
        host, port = split_host_port(match[3].strip())
        protocol = re.sub(r"\s", "", match[1]).upper()
        return cls(match[2].upper(), host, port, parse_params(match[4]), protocol)

    @classmethod
    def parse_many(cls, text: str) -> list[Via]:
        """Every element of one Via line."""
        return [cls.parse(item) for item in split_list(text)]

    def __str__(self) -> str:
        where = join_host_port(self.host, self.port)
        return f"{self.protocol}/{self.transport} {where}{format_params(self.params)}"

    @property
    def branch(self) -> str:
        """The transaction's name as received, "" if missing (RFC 2543 peers)."""
        return self.params.get("branch") or ""

    @property
    def received(self) -> str | None:
        """Source address noted by the receiver, without brackets (RFC 5118 §4.5)."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """Source port noted by the receiver (RFC 3581); None while only asked for, or unreadable."""
        value = self.params.get("rport") or ""
        return int(value) if re.fullmatch(r"[0-9]{1,5}", value) and int(value) <= 65535 else None

    @property
    def wants_rport(self) -> bool:
        """The sender wants responses at its source port (RFC 3581 §3)."""
        return "rport" in self.params

    @property
    def reply_to(self) -> tuple[str, int]:
        """Where a response goes when its flow is gone (RFC 3261 §18.2.2, RFC 3581 §4); maddr is ignored."""
        default = 5061 if self.transport == "TLS" else 5060
        return self.received or self.host, self.rport or self.port or default

    def seen_from(self, host: str, port: int) -> Via:
        """This Via with the real source noted: rport if asked for, received if rport is or it differs.

        A `received` that the sender wrote goes: it would send our answer to a third party."""
        params = {name: value for name, value in self.params.items() if name != "received"}
        if self.wants_rport:
            params["rport"] = str(port)
        if self.wants_rport or self.host.lower() != host.lower():
            params["received"] = host
        return replace(self, params=params)


@dataclass(frozen=True, slots=True)
class Address:
    """name-addr or addr-spec: From, To, Contact, Route, P-Asserted-Identity, Diversion (RFC 3261 §20.10).

    display: text without quotes, "" if none. uri: parsed. params: those of the header, not of the URI."""

    display: str
    uri: Uri
    params: Params = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read one address: quoted, unquoted or missing display name, with or without <>."""
        text = text.strip()
        if match := _NAME_ADDR.fullmatch(text):
            return cls(
                dequote(match[1].strip()), Uri.parse(match[2]), parse_params(match[3].partition(";")[2])
            )
        if "<" in text and text.find(">") > text.find("<"):  # a display name with an unbalanced quote
            display, _, rest = text.partition("<")
            uri, _, rest = rest.partition(">")
            return cls(display.strip().strip('"'), Uri.parse(uri), parse_params(rest.partition(";")[2]))
        # addr-spec: parameters belong to the header, but a user part may hold ';' (RFC 3261 §20.10)
        start = text.find("@") if text[:4].lower().startswith("sip") else -1
        end = text.find(";", start + 1)
        uri, rest = (text, "") if end < 0 else (text[:end], text[end:])
        return cls("", Uri.parse(uri), parse_params(rest))

    @classmethod
    def parse_many(cls, text: str) -> list[Address]:
        """Every address of one line."""
        return [cls.parse(item) for item in split_list(text)]

    def __str__(self) -> str:
        name = f"{quote(self.display)} " if self.display else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"

    @property
    def tag(self) -> str:
        """The dialog tag as received, "" if there is none."""
        return self.params.get("tag") or ""

    @property
    def name(self) -> str:
        """The display name for people: stray Latin-1 bytes readable."""
        return readable(self.display)

    def with_tag(self, tag: str) -> Address:
        """The same address with that tag; "" takes it away."""
        params = {name: value for name, value in self.params.items() if name != "tag"}
        return replace(self, params={**params, "tag": tag} if tag else params)


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number and method (RFC 3261 §20.16). The method's case matters."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read `314159 INVITE`."""
        match = _CSEQ.fullmatch(text.strip())
        if match is None or int(match[1]) > MAX_CSEQ:
            raise SipSyntaxError(f"CSeq {text[:40]!r} is not `number METHOD` with a number below 2**31.")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class RAck:
    """Which provisional response a PRACK acknowledges (RFC 3262 §7.2)."""

    rseq: int
    cseq: CSeq

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Read `776656 1 INVITE`."""
        rseq, _, rest = text.strip().partition(" ")
        return cls(_digits(rseq, "RAck"), CSeq.parse(rest))

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq}"


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog that a new INVITE takes over (RFC 3891 §6.1). Tags are from the receiver's point of view."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Read `call-id;to-tag=a;from-tag=b;early-only`. Raises SipSyntaxError if a part is missing."""
        call_id, _, rest = text.partition(";")
        params = parse_params(rest)
        to_tag, from_tag = params.get("to-tag"), params.get("from-tag")
        if not (call_id.strip() and to_tag and from_tag):
            raise SipSyntaxError(f"Replaces {text[:80]!r} needs a Call-ID, to-tag and from-tag.")
        return cls(call_id.strip(), to_tag, from_tag, "early-only" in params)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


@dataclass(frozen=True, slots=True)
class ReferTo:
    """Where a REFER sends us (RFC 3515 §2.1), and in an attended transfer whom to replace (RFC 5589)."""

    address: Address
    replaces: Replaces | None = None
    method: str = "INVITE"

    @classmethod
    def parse(cls, text: str) -> ReferTo:
        """Read the target. A `?Replaces=` inside the URI is unescaped and parsed."""
        address = Address.parse(text)
        asked = address.uri.header("Replaces")
        method = unescape(address.uri.params.get("method") or "INVITE").upper()
        return cls(address, Replaces.parse(asked) if asked else None, method)

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """How long a session lives without refresh (RFC 4028 §4), and who refreshes: "uac", "uas" or ""."""

    seconds: int
    refresher: str = ""

    @classmethod
    def parse(cls, text: str) -> SessionExpires:
        """Read `1800;refresher=uas`."""
        seconds, _, rest = text.partition(";")
        refresher = (parse_params(rest).get("refresher") or "").lower()
        return cls(_digits(seconds, "Session-Expires"), refresher if refresher in ("uac", "uas") else "")

    def __str__(self) -> str:
        return f"{self.seconds};refresher={self.refresher}" if self.refresher else str(self.seconds)


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """How many seconds to stay away (RFC 3261 §20.33); comment and parameters are dropped."""

    seconds: int

    @classmethod
    def parse(cls, text: str) -> RetryAfter:
        """Read `18000;duration=3600` or `120 (I'm in a meeting)`."""
        return cls(_digits(re.split(r"[;(]", text, maxsplit=1)[0], "Retry-After"))

    def __str__(self) -> str:
        return str(self.seconds)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a call ended (RFC 3326): protocol "Q.850" or "SIP", its cause number (0 if none) and words."""

    protocol: str
    cause: int
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Reason:
        """Read `Q.850;cause=16;text="Normal call clearing"`."""
        protocol, _, rest = text.partition(";")
        params = parse_params(rest)
        cause = dequote(params.get("cause") or "0")
        return cls(protocol.strip(), _digits(cause, "Reason cause"), dequote(params.get("text") or ""))

    @classmethod
    def parse_many(cls, text: str) -> list[Reason]:
        """Every reason of one line."""
        return [cls.parse(item) for item in split_list(text)]

    def __str__(self) -> str:
        words = f";text={quote(self.text)}" if self.text else ""
        return f"{self.protocol};cause={self.cause}{words}"


@dataclass(frozen=True, slots=True)
class AuthParams:
    """A challenge or credentials (RFC 7616 §3): scheme, and parameters by lower-case name without quotes."""

    scheme: str
    params: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> AuthParams:
        """Read the first challenge or the credentials of a line. Raises SipSyntaxError if there is none."""
        found = cls.parse_many(text)
        if not found:
            raise SipSyntaxError(f"{text[:80]!r} holds no challenge. Send `Digest realm=..., nonce=...`.")
        return found[0]

    @classmethod
    def parse_many(cls, text: str) -> list[AuthParams]:
        """Every challenge of one line: `Digest a=b, c=d, Digest e=f` is two."""
        found: list[AuthParams] = []
        for item in split_list(text):
            start = _AUTH_START.fullmatch(item)
            if start:
                found.append(cls(start[1], {}))
            name, equals, value = (start[2] if start else item).partition("=")
            if not found or not equals:
                raise SipSyntaxError(f"{text[:80]!r} is not `Digest name=value, ...`.")
            found[-1].params[name.strip().lower()] = dequote(value.strip())
        return found

    def __str__(self) -> str:
        bare = _UNQUOTED_AUTH | ({"qop"} if "nc" in self.params else set())  # qop: quoted in challenges only
        shown = (f"{name}={value if name in bare else quote(value)}" for name, value in self.params.items())
        return f"{self.scheme} {', '.join(shown)}"
