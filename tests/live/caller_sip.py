"""The least SIP a caller needs: INVITE, ACK, BYE both ways, over UDP. Own code on purpose.

Sans-IO: datagrams and times in, datagrams out. It is an independent peer of the server, so it shares
nothing with telephony.sip; it is no softphone either: no forking, no authentication, no re-INVITE."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

T1_S = 0.5  # RFC 3261 §17.1.1.1
GIVE_UP_S = 64 * T1_S
_COMPACT = {"i": "call-id", "f": "from", "t": "to", "m": "contact", "v": "via", "l": "content-length"}
_URI = re.compile(r"<([^>]+)>")
_ECHOED = ("via", "from", "to", "call-id", "cseq")


@dataclass(frozen=True, slots=True)
class Received:
    """One parsed datagram: enough of a message to route and answer it."""

    code: int  # 0 for a request
    method: str  # of the request, or of CSeq
    sequence: int
    headers: dict[str, list[str]]
    body: str

    @classmethod
    def parse(cls, datagram: bytes) -> Received:
        """Read one SIP message. Raises ValueError for what is none."""
        head, _, body = datagram.decode("utf-8", "replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers.setdefault(_COMPACT.get(name, name), []).append(value.strip())
        words = first.split(" ", 2)
        sequence, _, method = headers.get("cseq", [""])[0].partition(" ")
        if len(words) < 3 or not sequence.isdigit() or "call-id" not in headers:
            raise ValueError(f"no SIP message: {first!r}")
        code = int(words[1]) if words[0] == "SIP/2.0" else 0
        return cls(code, method.strip(), int(sequence), headers, body)

    @property
    def call_id(self) -> str:
        """The one thing that tells calls apart on a shared socket."""
        return self.headers["call-id"][0]

    def media(self) -> tuple[str, int]:
        """Address and port of the first audio line (RFC 8866 §5.7, §5.14). Raises ValueError if none."""
        where = re.search(r"^c=IN IP4 ([\d.]+)", self.body, re.M)
        port = re.search(r"^m=audio (\d+) ", self.body, re.M)
        if where is None or port is None or port[1] == "0":
            raise ValueError("the answer carries no audio line")
        return where[1], int(port[1])

    def reply(self, status: str) -> bytes:
        """A response without body to this request; headers echoed as RFC 3261 §8.2.6.2 says."""
        lines = [f"SIP/2.0 {status}"]
        for name in _ECHOED:
            lines += [f"{name.title()}: {value}" for value in self.headers.get(name, ())]
        return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode()


@dataclass(slots=True)
class Invitation:
    """One outgoing call of one caller. `take` and `resend` return what to send, in order."""

    call_id: str
    uri: str  # sip:100@127.0.0.1:5060
    local: tuple[str, int]  # of the SIP socket
    media_port: int
    invited_at: float = 0.0
    answered_at: float = 0.0
    over_at: float = 0.0
    failure: str = ""  # why there was no call, or why it broke
    hung_up_by_server: bool = False
    resent: int = 0
    remote_media: tuple[str, int] | None = None
    _target: str = ""
    _routes: list[str] = field(default_factory=list)
    _to: str = ""
    _pending: bytes = b""  # the request that waits for a response
    _resend_at: float = 0.0
    _interval_s: float = T1_S
    _give_up_at: float = 0.0
    _ack: bytes = b""
    _saying_goodbye: bool = False

    def invite(self, now: float) -> bytes:
        """Start: the INVITE with an offer of PCMU and telephone events."""
        self._target, self._to = self.uri, f"<{self.uri}>"
        self.invited_at = now
        offer = (
            f"v=0\r\no=caller 1 1 IN IP4 {self.local[0]}\r\ns=-\r\nc=IN IP4 {self.local[0]}\r\nt=0 0\r\n"
            f"m=audio {self.media_port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
        )
        return self._ask(self._request("INVITE", 1, "i", offer), now)

    def bye(self, now: float) -> bytes:
        """Hang up an answered call (RFC 3261 §15.1.1)."""
        self._saying_goodbye = True
        return self._ask(self._request("BYE", 2, "b"), now)

    def resend(self, now: float) -> bytes:
        """Timers A, B, E and F (RFC 3261 §17.1): the request again when due, b"" when not."""
        if not self._pending or now < self._resend_at:
            return b""
        if now >= self._give_up_at:
            self._end(now, "BYE unanswered" if self._saying_goodbye else "INVITE unanswered")
            return b""
        self._interval_s *= 2
        self._resend_at = now + self._interval_s
        self.resent += 1
        return self._pending

    def take(self, message: Received, now: float) -> bytes:
        """One message of this call in; what it has to be answered with out, b"" for nothing."""
        if message.code:
            return self._take_response(message, now)
        if message.method == "BYE":
            self.hung_up_by_server = not self._saying_goodbye
            self._end(now, "")
            return message.reply("200 OK")
        return b"" if message.method == "ACK" else message.reply("501 Not Implemented")

    def _take_response(self, message: Received, now: float) -> bytes:
        if message.method == "BYE":
            if message.code >= 200:
                self._end(now, "" if message.code < 300 else f"BYE drew {message.code}")
            return b""
        if message.code < 200:
            self._pending = b""  # Timer A stops; a server that never answers is the report's business
            return b""
        if message.code >= 300:
            self._to = message.headers["to"][0]
            self._end(now, str(message.code))
            return self._request("ACK", 1, "i")
        if not self._ack:
            self._accept(message, now)
        return self._ack  # again for every 200 (RFC 3261 §13.2.2.4)

    def _accept(self, message: Received, now: float) -> None:
        self._pending = b""
        self._to = message.headers["to"][0]
        self._routes = list(reversed(message.headers.get("record-route", [])))
        if found := _URI.search(message.headers.get("contact", [""])[0]):
            self._target = found[1]
        self._ack = self._request("ACK", 1, "a")
        self.answered_at = now
        try:
            self.remote_media = message.media()
        except ValueError as error:
            self.failure = str(error)

    def _end(self, now: float, failure: str) -> None:
        self._pending = b""
        self.over_at = self.over_at or now
        self.failure = self.failure or failure

    def _ask(self, request: bytes, now: float) -> bytes:
        self._pending, self._interval_s = request, T1_S
        self._resend_at, self._give_up_at = now + T1_S, now + GIVE_UP_S
        return request

    def _request(self, method: str, sequence: int, branch: str, body: str = "") -> bytes:
        host, port = self.local
        lines = [
            f"{method} {self._target} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{self.call_id}{branch}",
            f'From: "caller" <sip:caller@{host}:{port}>;tag={self.call_id}',
            f"To: {self._to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {sequence} {method}",
            *(f"Route: {route}" for route in self._routes),
            "Max-Forwards: 70",
            f"Contact: <sip:caller@{host}:{port}>",
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode()
