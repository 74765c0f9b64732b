"""SIP and tel URIs: taken apart tolerantly, put together as they came.

Pure. Not a name-addr (headers.py) and no DNS. User part and parameter values stay escaped as received,
because peers compare them by text; what people and dial plans read is `number` (RFC 3261 §19.1, RFC 3966)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from telephony.errors import SipSyntaxError

Params = dict[str, str | None]  # lower-case name → value as received, None for a bare `;lr`

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:;?@<>\[\]\",]+)[ \t]*(?::[ \t]*([0-9]{0,5}))?[ \t]*")
_SEPARATORS = str.maketrans("", "", "-.() ")  # visual separators of RFC 3966 §5.1.1
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")
_MUST_MATCH = ("user", "ttl", "method", "maddr", "transport")  # RFC 3261 §19.1.4


def readable(text: str) -> str:
    """Text for people and JSON: stray bytes that are no UTF-8 are read as Latin-1, as old PBXs send it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


def unescape(text: str) -> str:
    """Undo %XX (RFC 3261 §19.1.2). Never fails: a broken escape stays as it is."""
    return readable(unquote(text, errors="surrogateescape")) if "%" in text else readable(text)


def sendable(uri: str) -> str:
    """A URI as a request line can hold it: `sip:John Doe@pbx`, read from a Contact, as sip:John%20Doe@pbx."""
    return _UNSENDABLE.sub(lambda found: f"%{ord(found[0]):02X}", uri)


def split_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]`, `[v6]:port`, and a bare v6 address as some write it into Via.

    Returns the host without brackets, and the port or None. Host names may hold `_` and end in a digit.
    Raises SipSyntaxError for anything else."""
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        if text.count(":") > 1 and re.fullmatch(r"[0-9A-Fa-f:.]+", text):
            return text, None
        raise SipSyntaxError(f"{text[:80]!r} is not host or host:port. Bracket an IPv6 address.")
    port = int(match[2]) if match[2] else None
    if port is not None and port > 65535:
        raise SipSyntaxError(f"port {port} in {text[:80]!r} is above 65535. Send a real port.")
    return match[1].strip("[]"), port


def join_host_port(host: str, port: int | None) -> str:
    """The wire form of host and port: IPv6 in brackets, no colon without a port."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def format_params(params: Params) -> str:
    """`;name=value;flag` in the order of the dict, "" for none."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params.items())


def _plain_params(text: str) -> Params:
    params: Params = {}
    for item in text.split(";"):
        name, equals, value = item.partition("=")
        if name.strip():
            params[name.strip().lower()] = value.strip() if equals else None
    return params


@dataclass(frozen=True, slots=True)
class Uri:
    """One URI. For tel: (and any scheme we do not know) `user` holds what follows the scheme, and host is "".

    user, password and headers are escaped as received; host has no brackets; port None: none was written."""

    scheme: str
    user: str
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    password: str | None = None

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Read a URI without <>. Raises SipSyntaxError (400) if it has no scheme, no host or a wrong port."""
        match = _SCHEME.fullmatch(text.strip())
        if match is None:
            raise SipSyntaxError(f"{text[:80]!r} is not a URI. It starts with sip:, sips: or tel:.")
        scheme, rest = match[1].lower(), match[2]
        if scheme in ("sip", "sips"):
            return cls._sip(scheme, rest)
        if scheme == "tel":
            number, _, params = rest.partition(";")
            if not number.strip():
                raise SipSyntaxError(f"{text[:80]!r} has no number.")
            return cls("tel", number.strip(), "", params=_plain_params(params))
        return cls(scheme, rest, "")

    @classmethod
    def _sip(cls, scheme: str, rest: str) -> Uri:
        user, at, place = rest.partition("@")
        if not at:
            user, place = "", rest
        cut = re.search(r"[;?]", place)
        host_port, tail = (place[: cut.start()], place[cut.start() :]) if cut else (place, "")
        if "@" in host_port:  # sip:user@domain@proxy: all but the last is the user
            more, _, host_port = host_port.rpartition("@")
            user = f"{user}@{more}"
        user, colon, password = user.partition(":")
        host, port = split_host_port(host_port.strip())
        param_text, _, header_text = tail.partition("?")
        pairs = (item.partition("=") for item in header_text.split("&") if item)
        return cls(
            scheme,
            user,
            host,
            port,
            _plain_params(param_text),
            tuple((name, value) for name, _, value in pairs),
            password if colon else None,
        )

    def __str__(self) -> str:
        if not self.host:
            return f"{self.scheme}:{self.user}{format_params(self.params)}"
        secret = "" if self.password is None else f":{self.password}"
        who = f"{self.user}{secret}@" if self.user or secret else ""
        tail = "&".join(f"{name}={value}" if value else name for name, value in self.headers)
        where = join_host_port(self.host, self.port)
        return f"{self.scheme}:{who}{where}{format_params(self.params)}{'?' if tail else ''}{tail}"

    @property
    def number(self) -> str:
        """What was dialled: the user part, unescaped, without `;npdi`-like parameters and visual separators.

        "" for a URI without user. Separators go only from phone numbers: tel:, user=phone, or a leading +."""
        name = unescape(self.user.partition(";")[0])
        if self.scheme == "tel" or name.startswith("+") or (self.params.get("user") or "").lower() == "phone":
            return name.translate(_SEPARATORS)
        return name

    @property
    def number_params(self) -> Params:
        """Parameters of the number itself: `;npdi;rn=+49…`, `;phone-context=…` (RFC 3966, RFC 4694)."""
        if self.scheme == "tel":
            return self.params
        return _plain_params(self.user.partition(";")[2])

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to send to when nothing else is known: 5060, or 5061 over TLS (RFC 3261 §19.1.2)."""
        return self.host, self.port or (5061 if self.scheme == "sips" or self.transport == "tls" else 5060)

    @property
    def transport(self) -> str:
        """The transport parameter in lower case, "" if not given."""
        return (self.params.get("transport") or "").lower()

    @property
    def loose(self) -> bool:
        """A loose router wrote this into Route: `;lr`, with or without value (RFC 3261 §16.12)."""
        return "lr" in self.params

    def header(self, name: str) -> str | None:
        """The `?Name=value` of that name (any case), unescaped, or None."""
        found = (value for known, value in self.headers if known.lower() == name.lower())
        return next((unescape(value) for value in found), None)

    def same_as(self, other: Uri) -> bool:
        """Equal by RFC 3261 §19.1.4: user unescaped, host in any case, no port differs from a written one."""
        mine = (self.scheme, unescape(self.user), self.password, self.host.lower(), self.port)
        theirs = (other.scheme, unescape(other.user), other.password, other.host.lower(), other.port)
        shared = self.params.keys() & other.params.keys() | set(_MUST_MATCH)
        return (
            mine == theirs
            and all(_lower(self.params.get(name)) == _lower(other.params.get(name)) for name in shared)
            and {(n.lower(), unescape(v)) for n, v in self.headers}
            == {(n.lower(), unescape(v)) for n, v in other.headers}
        )


def _lower(value: str | None) -> str | None:
    return None if value is None else unescape(value).lower()
