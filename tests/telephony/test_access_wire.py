"""A phone behind its gate, and its logins, over real UDP: a far side by hand, and a second phone."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from telephony.call.state import Leg
from telephony.errors import CallFailed
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.digest import Credentials, Doorkeeper, Proof
from telephony.sip.headers import AuthParams
from telephony.sip.lexer import lex
from telephony.sip.message import Request, Response
from telephony.sip.uri import Uri
from telephony.trunk.access import Access, Policy, Trunk
from telephony.trunk.registrar_client import RegistrarClient
from telephony.trunk.registration import Account, Standing

HOST = "127.0.0.1"
BOT = Credentials("bot", "s3cret")
DOOR = Doorkeeper("carrier", b"the carrier's secret")
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


@asynccontextmanager
async def a_phone(*trunks: Trunk, first: int = 24000, **policy: Any) -> AsyncIterator[Phone]:
    phone = Phone(host=HOST, port=0, ports=PortPool(HOST, first, first + 100))
    if trunks or policy:
        door, now = Doorkeeper("offhook", b"ours"), asyncio.get_running_loop().time()
        phone.access = Access(trunks, Policy(**policy), door, now)
    phone.goodbye_s = 0.2
    async with asyncio.timeout(10), phone:
        yield phone


class Carrier:
    """A bare UDP socket that wants a password for every request but ACK, and keeps what it accepted."""

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((HOST, 0))
        self.port = self.sock.getsockname()[1]
        self.accepted: asyncio.Queue[Request] = asyncio.Queue()
        self.challenged = 0
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.sock, self._readable)

    def close(self) -> None:
        self._loop.remove_reader(self.sock)
        self.sock.close()

    def _readable(self) -> None:
        data, source = self.sock.recvfrom(65536)
        request = lex(data)
        if not isinstance(request, Request) or request.method == "ACK":
            return
        now = self._loop.time()
        proof, _ = DOOR.check(request, HOST, now, {"bot": "s3cret"})
        if proof is Proof.RIGHT:
            self.accepted.put_nowait(request)
            response = self._answer(request)
        else:
            self.challenged += 1
            response = Response.answering(request, 401, to_tag="c")
            for name, value in DOOR.challenge(HOST, now):
                response.add(name, value)
        self.sock.sendto(response.encode(), source)


def agreeing(request: Request) -> Response:
    """200 to everything, with a session for an INVITE."""
    response = Response.answering(request, 200, to_tag="c")
    if request.method == "INVITE":
        target = Uri.parse(request.uri)
        response.add("Contact", f"<sip:carrier@{HOST}:{target.port}>").add("Content-Type", "application/sdp")
        response.body = SDP.encode()
    return response


@asynccontextmanager
async def a_carrier(answer: Callable[[Request], Response] = agreeing) -> AsyncIterator[Carrier]:
    carrier = Carrier(answer)
    try:
        yield carrier
    finally:
        carrier.close()


# ---- we log in


async def test_a_call_through_a_carrier_that_wants_a_password_is_answered() -> None:
    """Row 19: INVITE, 401, INVITE again, 200; the BYE takes the nonce along and needs no second challenge."""
    async with a_carrier() as carrier, a_phone() as phone:
        call = await phone.dial(f"sip:100@{HOST}:{carrier.port}", credentials=BOT)
        assert call.leg is Leg.TALKING and call.plan is not None
        invite = await carrier.accepted.get()
        assert invite.cseq.number == 2 and invite.call_id == call.sip_call_id
        call.hang_up("done")
        bye = await carrier.accepted.get()
        assert bye.method == "BYE" and bye.cseq.number == 3 and carrier.challenged == 1
        assert AuthParams.parse(bye.get("Authorization") or "").params["nc"] == "00000002"


async def test_a_wrong_password_ends_the_call_with_401() -> None:
    async with a_carrier() as carrier, a_phone() as phone:
        with pytest.raises(CallFailed) as failed:
            await phone.dial(f"sip:100@{HOST}:{carrier.port}", credentials=Credentials("bot", "guess"))
        assert failed.value.code == 401 and carrier.challenged == 2


async def test_a_trunk_is_registered_while_the_phone_is_open() -> None:
    """Row "REGISTER as client": 401, 423, accepted; at the end our contact is taken away."""

    def registrar(request: Request) -> Response:
        brief = 0 < (request.expires or 0) < 600
        response = Response.answering(request, 423 if brief else 200, to_tag="r")
        return response.add("Min-Expires", "600") if brief else response

    async with a_carrier(registrar) as carrier, a_phone() as phone:
        stood: list[Standing] = []
        registered = asyncio.Event()

        def told(trunk: str, standing: Standing) -> None:
            stood.append(standing)
            registered.set()

        account = Account.at("bot", HOST, carrier.port, expiry_s=60)
        client = RegistrarClient(phone, "carrier", account, BOT, told=told)
        running = asyncio.create_task(client.run())
        await registered.wait()
        running.cancel()
        first, second = await carrier.accepted.get(), await carrier.accepted.get()
        assert (first.expires, second.expires) == (60, 600) and carrier.challenged == 1
        assert first.call_id == second.call_id and second.cseq.number == first.cseq.number + 1
        contact = second.contact
        assert contact is not None and contact.uri.address == phone.address and contact.uri.user == "bot"
        await client.leave()
        assert (await carrier.accepted.get()).expires == 0
        assert stood == [Standing.IN, Standing.LEFT]


async def test_a_registrar_that_is_not_there_is_reported_and_tried_again() -> None:
    """Its name does not resolve: the phone serves on, and says why it is not logged in."""
    async with a_phone() as phone:
        failed: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()
        account = Account.at("bot", "no-such-host.invalid")
        client = RegistrarClient(phone, "carrier", account, BOT, told=lambda _, now: failed.set_result(now))
        running = asyncio.create_task(client.run())
        assert await failed is Standing.OUT
        assert not running.done(), "it goes on trying"
        running.cancel()
        await client.leave()


# ---- others ring

FRIENDS = Trunk("friends", (ipaddress.ip_network("127.0.0.2/32"),))


def invite(phone: Phone, *lines: str, method: str = "INVITE", call_id: str = "knock") -> bytes:
    head = [
        f"{method} sip:100@{HOST}:{phone.address[1]} SIP/2.0",
        f"Via: SIP/2.0/UDP {HOST};branch=z9hG4bK{call_id}{method};rport",
        f"From: <sip:far@{HOST}>;tag=f1",
        f"To: <sip:100@{HOST}>",
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:far@{HOST}>",
        *lines,
        "Content-Length: 0",
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


class Caller:
    """A bare UDP socket."""

    def __init__(self, phone: Phone, host: str) -> None:
        self.phone = phone
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((host, 0))

    async def heard(self) -> Response:
        """The next message from the phone."""
        message = lex(await asyncio.get_running_loop().sock_recv(self.sock, 65536))
        assert isinstance(message, Response)
        return message

    def say(self, data: bytes) -> None:
        self.sock.sendto(data, self.phone.address)


@asynccontextmanager
async def a_caller(phone: Phone, host: str = HOST) -> AsyncIterator[Caller]:
    caller = Caller(phone, host)
    try:
        yield caller
    finally:
        caller.sock.close()


async def a_friend_s_turn(phone: Phone) -> None:
    """All that was sent before has been read: a trunk behind it has its answer."""
    async with a_caller(phone, "127.0.0.2") as friend:
        friend.say(invite(phone, method="OPTIONS", call_id="friend"))
        assert (await friend.heard()).status == 200


async def test_a_stranger_hears_nothing_at_all() -> None:
    """Row "silent drop": no 100, no 400 for rubbish, no 481; a scanner cannot tell that a phone is here."""
    async with a_phone(FRIENDS, strangers="drop") as phone, a_caller(phone) as stranger:
        stranger.say(invite(phone, method="OPTIONS"))
        stranger.say(invite(phone))
        stranger.say(invite(phone, "Via: rubbish", call_id="").replace(b"From:", b"Frm:"))
        stranger.say(invite(phone, method="BYE").replace(b"To: <sip:100@127.0.0.1>", b"To: <sip:1@x>;tag=t"))
        await a_friend_s_turn(phone)
        with pytest.raises(BlockingIOError):
            stranger.sock.recv(65536)
        assert phone.live == () and phone.counters.rejected == 0 and phone.counters.ignored == 4


async def test_a_plain_rejection_is_acknowledged_like_any_other() -> None:
    """Row 4: one final response, its ACK absorbed, no call and no 100 for what was never looked at."""
    async with a_phone(FRIENDS, strangers="reject", stranger_code=480) as phone, a_caller(phone) as stranger:
        stranger.say(invite(phone))
        refused = await stranger.heard()
        assert refused.status == 480
        ack = invite(phone, method="ACK").replace(b"z9hG4bKknockACK", b"z9hG4bKknockINVITE")
        stranger.say(ack)
        stranger.say(invite(phone))  # too late to be a repeat, and absorbed as one
        await a_friend_s_turn(phone)
        assert phone.live == () and phone.counters.stray == 0


async def test_a_phone_with_a_password_comes_in_and_may_hang_up_its_call() -> None:
    """Row "digest as UAS": our own client against our own door; within the call nobody is asked again."""
    home = Trunk("home", (), BOT, asks_login=True, trusted=False, codecs=("PCMA",))
    async with a_phone(home, strangers="drop") as phone, a_phone(first=24300) as anna:
        target = f"sip:100@{HOST}:{phone.address[1]}"
        dialing = asyncio.create_task(anna.dial(target, credentials=BOT))
        theirs = await anext(phone.calls())
        assert theirs.sender.trunk == "home"
        theirs.answer()
        ours = await dialing
        assert ours.plan is not None and ours.plan.codec == "PCMA", "the trunk's codecs, not the phone's"
        ours.hang_up()
        assert (await theirs.ended()).by == "caller"
        with pytest.raises(CallFailed) as failed:
            await anna.dial(target, credentials=Credentials("bot", "guess"))
        assert failed.value.code == 403


async def test_the_order_of_a_trunk_s_codecs_is_ours_to_choose() -> None:
    """RFC 3264 §6.1: a trunk with codecs of its own has its order in answers and offers, others their own."""
    for ours, spoken in (((), "PCMU"), (("PCMA", "PCMU"), "PCMA")):
        trunk = Trunk("carrier", (ipaddress.ip_network("127.0.0.0/8"),), codecs=ours)
        async with a_phone(trunk, strangers="drop") as phone, a_phone(first=24300) as far:
            dialing = asyncio.create_task(far.dial(f"sip:100@{HOST}:{phone.address[1]}"))
            call = await anext(phone.calls())
            call.answer()
            await dialing
            assert call.plan is not None and call.plan.codec == spoken
            dialing = asyncio.create_task(phone.dial(f"sip:1@{HOST}:{far.address[1]}", trunk="carrier"))
            theirs = await anext(far.calls())
            theirs.answer()
            placed = await dialing
            assert placed.plan is not None and placed.plan.codec == spoken
            assert placed.sender.trunk == "carrier"


async def test_what_a_trunk_says_of_callers_is_a_field_of_the_call() -> None:
    """Row 42: P-Asserted-Identity of a trusted trunk, who forwarded it, X- headers, and what the caller hides."""
    lines = (
        'P-Asserted-Identity: "Anna" <sip:+4930111;verstat=TN-Validation-Passed@carrier>',
        "Diversion: <sip:+4930222@carrier>",
        "Identity: eyJh.eyJi.c2ln;info=<https://cert.example>",
        "X-Account: 42",
    )
    network = (ipaddress.ip_network("127.0.0.0/8"),)
    for trusted in (True, False):
        trunk = Trunk("carrier", network, trusted=trusted)
        async with a_phone(trunk, strangers="drop") as phone, a_caller(phone) as caller:
            caller.say(invite(phone, *lines))
            parties = (await anext(phone.calls())).parties
            assert parties.facts() == {
                "caller": "+4930111" if trusted else "far",
                "caller_name": "Anna" if trusted else "",
                "caller_hidden": False,
                "called": "100",
                "diverted_from": ["+4930222"],
                "identity": ["eyJh.eyJi.c2ln;info=<https://cert.example>"],
                "verstat": "TN-Validation-Passed" if trusted else "",
                "headers": [["X-Account", "42"]],
            }
            caller.say(invite(phone, *lines, "Privacy: id", call_id="hidden"))
            facts = (await anext(phone.calls())).parties.facts()
            assert (facts["caller"], facts["caller_name"], facts["caller_hidden"]) == ("", "", True)
            assert facts["identity"] == [], "it names the number that is hidden"
