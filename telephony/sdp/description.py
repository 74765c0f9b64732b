"""A session description (RFC 8866): read tolerantly, written plainly.

Pure. Says what a peer wrote, not what both agreed on (negotiate.py). Lines that do not concern a phone call
(i=, u=, e=, p=, z=, k=, r=) are skipped; unknown attributes are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from telephony.errors import SdpError
from telephony.sdp.crypto import Crypto
from telephony.sdp.plan import Direction

MAX_BYTES = 65536
MAX_MEDIA = 32  # streams; a hostile offer may not make us write a long answer

Attribute = tuple[str, str]  # lower-case name, value ("" for a flag such as a=sendrecv)

DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")

_RTPMAP = re.compile(r"([0-9]{1,3})[ \t]+([^/\s]+)/([0-9]{1,7})(?:/([0-9]{1,2}))?\s*")
_NUMBER = re.compile(r"[0-9]{1,5}")
_LOWER = frozenset({"OPUS", "TELEPHONE-EVENT"})  # written so where they were registered; some peers compare


@dataclass(frozen=True, slots=True)
class RtpMap:
    """What a payload type means: encoding name in upper case, RTP clock in Hz, channels."""

    name: str
    clock_hz: int
    channels: int = 1

    def __str__(self) -> str:
        shown = self.name.lower() if self.name in _LOWER else self.name
        return f"{shown}/{self.clock_hz}" + (f"/{self.channels}" if self.channels > 1 else "")


# Payload types that need no rtpmap (RFC 3551 §6). G.722 counts 8000 although it samples at 16000 (§4.5.2).
STATIC: dict[int, RtpMap] = {
    0: RtpMap("PCMU", 8000),
    3: RtpMap("GSM", 8000),
    4: RtpMap("G723", 8000),
    8: RtpMap("PCMA", 8000),
    9: RtpMap("G722", 8000),
    13: RtpMap("CN", 8000),
    18: RtpMap("G729", 8000),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line. session_id and version are text: peers write numbers of any size (RFC 8866 §5.2)."""

    session_id: str
    version: str
    host: str
    username: str = "-"

    def __str__(self) -> str:
        return f"{self.username} {self.session_id} {self.version} IN {_family(self.host)} {self.host}"


@dataclass(slots=True)
class Media:
    """One m= line and what belongs to it. port 0: the stream is refused or off. host: its own c=, or None."""

    kind: str
    port: int
    protocol: str
    formats: list[str]
    attributes: list[Attribute] = field(default_factory=list)
    host: str | None = None
    bandwidths: list[str] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Values of every attribute of that name."""
        return [value for known, value in self.attributes if known == name]

    def get(self, name: str) -> str | None:
        """Value of the first attribute of that name, None if there is none."""
        return next((value for known, value in self.attributes if known == name), None)

    @property
    def payloads(self) -> dict[int, RtpMap]:
        """Payload type → meaning, in the order of the m= line: their rtpmap, else the static table.

        Unknown types are left out, and so is an rtpmap for a type that the m= line does not list."""
        named = {}
        for value in self.all("rtpmap"):
            if match := _RTPMAP.fullmatch(value):
                named[int(match[1])] = RtpMap(match[2].upper(), int(match[3]), int(match[4] or 1))
        listed = [int(text) for text in self.formats if _NUMBER.fullmatch(text)]
        known = {**STATIC, **named}
        return {pt: known[pt] for pt in listed if pt <= 127 and pt in known}

    def fmtp(self, payload_type: int) -> str:
        """Format parameters of that payload type, "" if none."""
        for value in self.all("fmtp"):
            number, _, text = value.strip().partition(" ")
            if number == str(payload_type):
                return text.strip()
        return ""

    @property
    def ptime_ms(self) -> int | None:
        """Packet length the peer wants to receive, None if it does not say (a fraction is cut)."""
        return _milliseconds(self.get("ptime"))

    @property
    def maxptime_ms(self) -> int | None:
        """Longest packet the peer can take, None if it does not say."""
        return _milliseconds(self.get("maxptime"))

    @property
    def direction(self) -> Direction | None:
        """The direction written at this stream, None if the session's counts."""
        return _direction(self.attributes)

    @property
    def cryptos(self) -> list[Crypto]:
        """SDES keys offered, in order; lines that cannot be read are left out."""
        return [line for value in self.all("crypto") if (line := Crypto.parse(value))]

    @property
    def rtcp_port(self) -> int | None:
        """Where RTCP goes: RTP's port if muxed (RFC 5761), else a=rtcp: (RFC 3605), else one above RTP."""
        if self.get("rtcp-mux") is not None:
            return self.port or None
        match = _NUMBER.match(self.get("rtcp") or "")
        port = int(match[0]) if match else self.port + 1
        return port if self.port and 0 < port <= 65535 else None

    def encode(self) -> list[str]:
        """Its lines, without line ends."""
        lines = [f"m={self.kind} {self.port} {self.protocol} {' '.join(self.formats)}"]
        lines += [f"c=IN {_family(self.host)} {self.host}"] if self.host else []
        lines += [f"b={value}" for value in self.bandwidths]
        return lines + [_attribute_line(attribute) for attribute in self.attributes]


@dataclass(slots=True)
class Sdp:
    """A whole description. origin None: o= was missing. host: the session's c=; None: only media have one."""

    origin: Origin | None
    host: str | None = None
    media: list[Media] = field(default_factory=list)
    attributes: list[Attribute] = field(default_factory=list)
    name: str = "-"
    times: list[str] = field(default_factory=lambda: ["0 0"])
    bandwidths: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, body: bytes | str) -> Sdp:
        """Read a description: any line end, any missing line but one that tells media.

        Raises SdpError with code 400 if it is no SDP at all, or an m= line makes no sense."""
        if len(body) > MAX_BYTES:
            raise SdpError(f"SDP of {len(body)} bytes is above {MAX_BYTES}. Send less.", code=400)
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        found = cls(None, times=[])
        seen = ""
        for line in re.split(r"\r\n|\n|\r", text):
            letter, equals, value = line.strip(" \t\0").partition("=")
            if equals and len(letter) == 1:
                seen += letter if letter in "vom" else ""
                found._take(letter, value.strip(" \t"))
        if not seen:
            raise SdpError(f"{text[:40]!r} is no SDP: no v=, o= or m= line. Send one.", code=400)
        found.times = found.times or ["0 0"]
        return found

    def _take(self, letter: str, value: str) -> None:
        """One line, in the place it stands: after an m= it belongs to that stream."""
        part: Sdp | Media = self.media[-1] if self.media else self
        match letter:
            case "m":
                if len(self.media) >= MAX_MEDIA:
                    raise SdpError(f"more than {MAX_MEDIA} m= lines. Offer fewer streams.")
                self.media.append(_media(value))
            case "a":
                name, _, text = value.partition(":")
                part.attributes.append((name.strip().lower(), text.strip()))
            case "c":
                part.host = part.host or _host(value)
            case "b":
                part.bandwidths.append(value)
            case "o":
                self.origin = self.origin or _origin(value)
            case "s":
                self.name = value or "-"
            case "t" if not self.media:
                self.times.append(value)

    def encode(self) -> str:
        """The text with CRLF line ends, lines in the order of RFC 8866 §5."""
        lines = ["v=0", f"o={self.origin or Origin('0', '0', self.host or '0.0.0.0')}", f"s={self.name}"]
        lines += [f"c=IN {_family(self.host)} {self.host}"] if self.host else []
        lines += [f"b={value}" for value in self.bandwidths]
        lines += [f"t={value}" for value in self.times]
        lines += [_attribute_line(attribute) for attribute in self.attributes]
        lines += [line for media in self.media for line in media.encode()]
        return "\r\n".join(lines) + "\r\n"

    def host_of(self, media: Media) -> str | None:
        """Where that stream is to be sent: its own c=, else the session's (RFC 8866 §5.7)."""
        return media.host or self.host

    def direction_of(self, media: Media) -> Direction:
        """As the peer sees it: the stream's own, else the session's, else sendrecv (RFC 8866 §6.7)."""
        return media.direction or _direction(self.attributes) or "sendrecv"


def _media(value: str) -> Media:
    words = value.split()
    port = words[1].partition("/")[0] if len(words) >= 3 else ""
    if not _NUMBER.fullmatch(port) or int(port) > 65535:
        raise SdpError(f"m={value[:80]!r} is not `kind port protocol formats`. Send it so.", code=400)
    return Media(words[0].lower(), int(port), words[2], words[3:])


def _host(value: str) -> str | None:
    """`IN IP4 203.0.113.5/127` → "203.0.113.5"; None where the address is missing."""
    words = value.split()
    return words[2].partition("/")[0].strip("[]") or None if len(words) >= 3 else None


def _origin(value: str) -> Origin | None:
    words = value.split()
    return Origin(words[1], words[2], words[5], words[0]) if len(words) >= 6 else None


def _family(host: str | None) -> str:
    return "IP6" if host and ":" in host else "IP4"


def _direction(attributes: list[Attribute]) -> Direction | None:
    names = {name for name, _ in attributes}
    return next((direction for direction in DIRECTIONS if direction in names), None)


def _milliseconds(value: str | None) -> int | None:
    match = _NUMBER.match(value.strip()) if value else None
    return int(match[0]) or None if match else None


def _attribute_line(attribute: Attribute) -> str:
    name, value = attribute
    return f"a={name}:{value}" if value else f"a={name}"
