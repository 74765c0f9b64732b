"""The calls that SIP messages in a capture tell of: who phoned whom, when, and where each side wanted its sound.

Pure. Fed with datagrams in the order of the capture. It follows offers and answers of all sides, does not check them,
and never answers: it only watches. Not RTP (rtp.py). RFC 3261, RFC 3264.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from offhook.replay.formats.packets import TCP, Address, Datagram
from telephony.errors import TelephonyError
from telephony.sdp.description import Media, Sdp
from telephony.sip.body import find_part
from telephony.sip.headers import Address as Party
from telephony.sip.lexer import Framer, lex
from telephony.sip.message import Message, Request, Response
from telephony.sip.uri import readable

MOST_CALLS = 10_000
MOST_HELD_BYTES = 1 << 20  # of TCP segments that wait for one before them
CALLER, CALLEE = "caller", "callee"

_SIP = re.compile(rb"(?:[A-Z]{3,9} (?:sips?|tel):|SIP/2\.0 \d)")


@dataclass(slots=True)
class End:
    """One side's wish at a time: where it listens, what it understands, whether it keeps the other on hold."""

    at: float
    side: str
    address: Address
    media: Media
    holds: bool


@dataclass(slots=True)
class Call:
    """One dialog with INVITE. answered, ended: epoch, s, None if that was not captured."""

    id: str
    began: float
    caller: str
    called: str
    caller_name: str
    headers: dict[str, str]
    tag: str  # of the caller
    answered: float | None = None
    ended: float | None = None
    refused: int = 0
    encrypted: bool = False
    ends: list[End] = field(default_factory=list)
    keys: list[tuple[float, str, str]] = field(default_factory=list)  # time, side, digit by INFO


def is_sip(payload: bytes) -> bool:
    return _SIP.match(payload) is not None


class Signalling:
    """All SIP of a capture."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.unread = 0  # messages that are no whole SIP
        self._streams: dict[tuple[Address, Address], _TcpStream] = {}

    def datagram(self, one: Datagram) -> None:
        """Any packet of the capture; what is no SIP is passed over."""
        if one.protocol == TCP:
            self._tcp(one)
        elif is_sip(one.payload):
            try:
                self._message(lex(one.payload), one.at)
            except TelephonyError:
                self.unread += 1

    def _tcp(self, one: Datagram) -> None:
        key = (one.source, one.target)
        stream = self._streams.get(key)
        if stream is None or one.begins:
            if not one.begins and not is_sip(one.payload):
                return
            stream = self._streams[key] = _TcpStream(one.sequence)
        for message in stream.segment(one.sequence, one.payload):
            try:
                self._message(message, one.at)
            except TelephonyError:
                self.unread += 1
        self.unread += stream.broken
        stream.broken = 0

    def _message(self, message: Request | Response, at: float) -> None:
        method = message.cseq.method
        call = self.calls.get(message.call_id)
        if call is None:
            if not isinstance(message, Request) or method != "INVITE" or len(self.calls) >= MOST_CALLS:
                return
            call = self.calls[message.call_id] = _begun(message, at)
        from_caller = message.from_tag == call.tag
        side = CALLER if from_caller == isinstance(message, Request) else CALLEE
        if isinstance(message, Request):
            if method == "BYE" or (method == "CANCEL" and call.answered is None):
                call.ended = call.ended or at
            elif method == "INFO" and (digit := _info_digit(message)):
                call.keys.append((at, side, digit))
        elif method == "INVITE":
            if 200 <= message.status < 300:
                call.answered = call.answered or at
            elif message.status >= 300 and call.answered is None and message.status not in (401, 407):
                call.refused = message.status
        if method in ("INVITE", "ACK", "UPDATE", "PRACK"):
            self._description(call, message, side, at)

    def _description(self, call: Call, message: Message, side: str, at: float) -> None:
        if (body := find_part(message, "application/sdp")) is None:
            return
        sdp = Sdp.parse(body)
        audio = next((media for media in sdp.media if media.kind == "audio" and media.port), None)
        host = sdp.host_of(audio) if audio else None
        if audio is None or host is None:
            return
        call.encrypted |= "SAVP" in audio.protocol
        holds = sdp.direction_of(audio) in ("sendonly", "inactive") or host == "0.0.0.0"
        call.ends.append(End(at, side, (host, audio.port), audio, holds))


class _TcpStream:
    """One direction of a TCP connection: segments in any order, messages in theirs."""

    def __init__(self, sequence: int) -> None:
        self.broken = 0
        self._next = sequence
        self._later: dict[int, bytes] = {}
        self._held = 0
        self._framer = Framer()

    def segment(self, sequence: int, payload: bytes) -> list[Request | Response]:
        if not payload:
            return []
        ahead = ((sequence - self._next + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        if ahead > 0:
            if is_sip(payload) and self._held + len(payload) > MOST_HELD_BYTES:
                self._later.clear()  # the missing one was not captured: go on from here
                self._held, self._next, self._framer = 0, sequence, Framer()
                return self.segment(sequence, payload)
            if sequence not in self._later and self._held + len(payload) <= MOST_HELD_BYTES:
                self._later[sequence] = payload
                self._held += len(payload)
            return []
        if len(payload) + ahead <= 0:
            return []  # sent again
        data = payload[-ahead:] if ahead else payload
        found = self._fed(data)
        self._next = (self._next + len(data)) & 0xFFFFFFFF
        while (waiting := self._later.pop(self._next, None)) is not None:
            self._held -= len(waiting)
            found += self._fed(waiting)
            self._next = (self._next + len(waiting)) & 0xFFFFFFFF
        return found

    def _fed(self, data: bytes) -> list[Request | Response]:
        found: list[Request | Response] = []
        try:
            while items := self._framer.feed(data):
                found += [item for item in items if isinstance(item, Request | Response)]
                data = b""
        except TelephonyError:
            self.broken += 1
            self._framer = Framer()
        return found


def _begun(invite: Request, at: float) -> Call:
    caller, called = invite.from_, invite.to
    headers: dict[str, str] = {}
    for name, value in invite.headers:
        if name.lower().startswith("x-") or name.lower() in ("subject", "diversion", "user-agent"):
            headers.setdefault(name.lower(), readable(value))
    return Call(
        invite.call_id,
        at,
        _number(caller),
        invite.target.number or _number(called),
        caller.name,
        headers,
        caller.tag,
    )


def _number(party: Party) -> str:
    return party.uri.number


def _info_digit(message: Message) -> str:
    """The key that a SIP INFO tells of: application/dtmf-relay, or application/dtmf."""
    text = message.body.decode("ascii", "replace")
    if message.content_type == "application/dtmf-relay":
        match = re.search(r"Signal\s*=\s*([0-9A-D*#])", text)
        return match[1] if match else ""
    digit = text.strip()
    return digit if message.content_type == "application/dtmf" and re.fullmatch(r"[0-9A-D*#]", digit) else ""
