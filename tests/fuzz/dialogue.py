"""A SIP endpoint for the fuzzer: our stack with the simplest of callees and callers around it, in virtual time.

Each input is a session of datagrams, 100 ms apart; then all timers run out. Not the phone (telephony/phone.py), which
decides more and owns sockets."""

from __future__ import annotations

import itertools

from telephony.errors import TelephonyError
from telephony.sip.client_transaction import ClientTransaction
from telephony.sip.dialog import Dialog
from telephony.sip.digest import Credentials, Login
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import AckNeverCame, Asked, CallCame, Replied
from telephony.sip.lexer import lex
from telephony.sip.message import Request, Response
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow, Send, Up
from tests.fuzz.wounds import packed, unpacked

THEM = Flow("udp", ("203.0.113.9", 5060))
MOST_HEADERS = 250
OURS = "<sip:offhook@198.51.100.1:5060>"
OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)


class Endpoints:
    """Our side: it has a call of its own ringing somewhere, accepts every caller and agrees to every request."""

    def __init__(self) -> None:
        words = (f"t{count}" for count in itertools.count(1))
        self.stack = Stack(Endpoint("198.51.100.1:5060", OURS, "Offhook", token=lambda: next(words)))
        self.now = 0.0
        self.sent: list[bytes] = []
        login = Login(Credentials("bot", "s3cret"), lambda: "cnonce")
        self.calling, actions = self.stack.invite(
            "sip:200@203.0.113.9", f"<{OURS[1:-1]}>", THEM, self.now, body=OFFER, login=login
        )
        self.react(actions)

    @staticmethod
    def eat(session: bytes) -> None:
        """One session; what we send can be read, and in the end no timer is left running."""
        ours = Endpoints()
        for datagram in unpacked(session):
            ours.hear(datagram)
        ours.run_out()

    def hear(self, datagram: bytes) -> None:
        self.now += 0.1
        self.react(self.stack.datagram(datagram, THEM, self.now))
        self.react(self.stack.expire(self.now))

    def run_out(self) -> None:
        """Give up what still rings, then every timer to its end: none of RFC 3261's lasts longer than three minutes."""
        self.react(self.stack.cancel(self.calling, self.now))
        until = self.now + 600
        while (due := self.stack.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.react(self.stack.expire(self.now))
        assert self.stack.next_deadline() is None, "a timer that never ends"
        assert self.stack.pending == 0, "a request without an end"

    def react(self, actions: list[Action]) -> None:
        """What the layer above would do, and nothing clever."""
        for action in actions:
            if isinstance(action, Send):
                data = action.message.encode()
                if (
                    len(action.message.headers) <= MOST_HEADERS
                ):  # beyond, with the lines that encode adds, it may be more than we read
                    lex(data)
                self.sent.append(data)
            elif isinstance(action, Up):
                self._heard(action.event)

    def _heard(self, event: object) -> None:
        stack, now = self.stack, self.now
        try:
            if isinstance(event, CallCame):
                self.react(stack.respond(event.invite, 180, now))
                self.react(stack.respond(event.invite, 200, now, body=OFFER))
            elif isinstance(event, Asked):
                self.react(stack.respond(event.transaction, 200, now))
            elif isinstance(event, AckNeverCame):
                self.react(stack.ask(event.dialog, "BYE", now)[1])
            elif isinstance(event, Replied) and event.dialog is not None:
                self._replied(event.transaction, event.dialog, event.response)
        except (
            TelephonyError
        ):  # a peer whose Contact or Route cannot be read: the call layer gives the leg up
            return

    def _replied(self, transaction: ClientTransaction, dialog: Dialog, response: Response) -> None:
        if response.cseq.method == "INVITE" and 200 <= response.status < 300:
            self.react(self.stack.ack(transaction, dialog))


def asked(
    method: str, number: int, *lines: str, to_tag: str = "", branch: str = "", body: bytes = b""
) -> bytes:
    """A request of the caller `ann` in the dialog c1."""
    head = [
        f"{method} sip:100@198.51.100.1 SIP/2.0",
        f"Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK{branch or method + str(number)}",
        "From: <sip:ann@example.com>;tag=a1",
        f"To: <sip:100@198.51.100.1>{';tag=' + to_tag if to_tag else ''}",
        "Call-ID: c1",
        f"CSeq: {number} {method}",
        "Contact: <sip:ann@203.0.113.9>",
        *lines,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def conversations() -> list[bytes]:
    """Good sessions: a call to us from INVITE to BYE, one that is cancelled, and the answers to the call of ours."""
    coming = Endpoints()
    invite = asked("INVITE", 1, "Content-Type: application/sdp", "Supported: timer", body=OFFER)
    coming.hear(invite)
    tag = lex(coming.sent[-1]).to_tag or ""
    inside = [
        asked("ACK", 1, to_tag=tag, branch="ack1"),
        asked(
            "INFO",
            2,
            "Content-Type: application/dtmf-relay",
            to_tag=tag,
            body=b"Signal=5\r\nDuration=160\r\n",
        ),
        asked(
            "INVITE",
            3,
            "Content-Type: application/sdp",
            "Session-Expires: 1800;refresher=uac",
            to_tag=tag,
            body=OFFER,
        ),
        asked("ACK", 3, to_tag=tag, branch="ack3"),
        asked("REFER", 4, "Refer-To: <sip:300@pbx?Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3>", to_tag=tag),
        asked(
            "NOTIFY", 5, "Event: refer", "Content-Type: message/sipfrag", to_tag=tag, body=b"SIP/2.0 200 OK"
        ),
        asked("UPDATE", 6, to_tag=tag),
        asked("BYE", 7, to_tag=tag),
    ]
    cancelled = [invite, asked("CANCEL", 1, branch="INVITE1"), asked("OPTIONS", 9), asked("REGISTER", 10)]
    return [packed([invite, invite, *inside]), packed(cancelled), *(packed(said) for said in _answers())]


def _answers() -> list[list[bytes]]:
    """What 200@203.0.113.9 says to our INVITE: rings and answers, asks for a password, is busy."""
    ours = Endpoints()
    invite = lex(ours.sent[0])
    assert isinstance(invite, Request)

    def answer(request: Request, status: int, *lines: tuple[str, str], body: bytes = b"") -> bytes:
        response = Response.answering(request, status, to_tag="theirs")
        response.body = body
        for name, value in lines:
            response.add(name, value)
        return response.encode()

    contact, kind = ("Contact", "<sip:200@203.0.113.9>"), ("Content-Type", "application/sdp")
    challenge = ("WWW-Authenticate", 'Digest realm="pbx", nonce="n", qop="auth", algorithm=MD5')
    accepted = answer(invite, 200, contact, kind, ("Record-Route", "<sip:203.0.113.1;lr>"), body=OFFER)
    refused = answer(invite, 401, challenge)
    ours.hear(refused)
    again = next(
        found
        for data in reversed(ours.sent)
        if isinstance(found := lex(data), Request) and found.method == "INVITE"
    )
    assert again.get("Authorization")
    return [
        [
            answer(invite, 100),
            answer(invite, 180, contact),
            answer(invite, 183, contact, kind, body=OFFER),
            accepted,
            accepted,
        ],
        [refused, refused, answer(again, 200, contact, kind, body=OFFER)],
        [answer(invite, 302, ("Contact", "<sip:300@203.0.113.9>;q=0.5"))],
        [answer(invite, 486, ("Retry-After", "30"), ("Reason", "Q.850;cause=17"))],
    ]
