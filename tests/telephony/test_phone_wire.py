"""A phone against a far side written out by hand, message by message, over real UDP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from telephony.call.events import CallEvent, Confirmed, DigitsByInfo, Ended, MediaChanged, TransferProgress
from telephony.call.state import Leg
from telephony.call.transfer import TransferOutcome
from telephony.errors import CallFailed, MediaError, SdpError
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.lexer import lex
from telephony.sip.message import Request, Response

HOST = "127.0.0.1"
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)
SDP = "Content-Type: application/sdp"


class FarSide:
    """A bare UDP socket that says what the test tells it to say, as the caller `far` with tag `f1`."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone.address
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((HOST, 0))
        self.port = self.sock.getsockname()[1]
        self.to = f"<sip:100@{HOST}:{self.phone[1]}>"
        self.branches = 0
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(self.sock, lambda: self.heard.put_nowait(self.sock.recv(65536)))

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()

    def send(self, method: str, number: int, *lines: str, body: str = "", branch: str = "") -> None:
        """A request with the given CSeq number; further header lines as they stand."""
        self.branches += 1
        branch = branch or f"z9hG4bKfar{self.branches}"
        head = [
            f"{method} sip:100@{HOST}:{self.phone[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch={branch};rport",
            f"From: <sip:far@{HOST}>;tag=f1",
            f"To: {self.to}",
            "Call-ID: by-hand",
            f"CSeq: {number} {method}",
            f"Contact: <sip:far@{HOST}:{self.port}>",
            "Max-Forwards: 70",
            *lines,
            f"Content-Length: {len(body)}",
        ]
        self.out(("\r\n".join(head) + "\r\n\r\n" + body).encode())

    def reply(self, request: Request, status: int, tag: str = "f1", body: str = "") -> None:
        """Answer a request of the phone's, as the branch of that tag."""
        response = Response.answering(request, status, to_tag=tag)
        response.add("Contact", f"<sip:{tag}@{HOST}:{self.port}>")
        if body:
            response.add("Content-Type", "application/sdp")
            response.body = body.encode()
        self.out(response.encode())

    async def response(self, status: int) -> Response:
        """The next response with that status; earlier provisional ones are passed over."""
        while True:
            message = await self._in()
            if isinstance(message, Response) and message.status == status:
                self.to = message.get("To") or ""
                return message

    async def request(self, method: str) -> Request:
        """The next request with that method; repeats of responses are passed over."""
        while True:
            message = await self._in()
            if isinstance(message, Request) and message.method == method:
                return message

    def out(self, data: bytes) -> None:
        """These bytes, whatever they mean."""
        self.sock.sendto(data, self.phone)

    async def _in(self) -> Request | Response:
        return lex(await self.heard.get())


@asynccontextmanager
async def a_far_side() -> AsyncIterator[tuple[Phone, FarSide]]:
    async with asyncio.timeout(10), Phone(host=HOST, port=0, ports=PortPool(HOST, 23000, 23400)) as phone:
        phone.goodbye_s = 0.0  # the far side answers no BYE but those that a test is about
        far = FarSide(phone)
        try:
            yield phone, far
        finally:
            far.close()


async def test_an_invite_without_offer_gets_ours_and_is_answered_in_its_ack() -> None:
    """RFC 3261 §13.2.1 late offer: the plan is known, and said, when the ACK brings their answer."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1)
        call = await anext(phone.calls())
        heard: list[CallEvent] = []
        call.listen(heard.append)
        assert call.negotiate() is None and call.rtp is not None
        call.answer()
        offered = await far.response(200)
        assert f"m=audio {call.rtp.port} RTP/AVP 0 8 101".encode() in offered.body
        assert call.plan is None
        far.send("ACK", 1, SDP, body=OFFER)
        await call.settled()
        assert call.plan is not None and call.plan.codec == "PCMA"
        assert call.plan.remote == (HOST, 40000)
        assert [type(event) for event in heard[1:]] == [MediaChanged, Confirmed]
        call.hang_up()
        far.reply(await far.request("BYE"), 200)


async def test_a_late_offer_that_is_never_answered_ends_the_call() -> None:
    """An ACK without the answer that it owes leaves no session: BYE, and the network is to blame."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1)
        call = await anext(phone.calls())
        call.answer()
        await far.response(200)
        far.send("ACK", 1)
        far.reply(await far.request("BYE"), 200)
        ended = await call.ended()
        assert (ended.by, ended.code) == ("network", 488)


@asynccontextmanager
async def a_standing_call() -> AsyncIterator[tuple[Phone, FarSide, list[CallEvent]]]:
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, body=OFFER)
        call = await anext(phone.calls())
        heard: list[CallEvent] = []
        call.answer()
        await far.response(200)
        far.send("ACK", 1)
        await call.settled()
        call.listen(heard.append)
        yield phone, far, heard


async def test_a_transfer_is_followed_to_its_end_and_hung_up() -> None:
    """Row 33, RFC 3515 §2.4.4: 202, NOTIFY 100, NOTIFY 200 terminated; then our BYE goes at once."""
    async with a_standing_call() as (phone, far, heard):
        call = phone.live[0]
        moving = asyncio.create_task(call.transfer("200"))
        refer = await far.request("REFER")
        assert refer.get("Refer-To") == f"<sip:200@{HOST}>"
        far.reply(refer, 202)
        frag = "Content-Type: message/sipfrag;version=2.0"
        event = "Event: refer"
        trying = "Subscription-State: active;expires=60"
        far.send("NOTIFY", 2, frag, event, trying, body="SIP/2.0 100 Trying")
        await far.response(200)
        over = "Subscription-State: terminated;reason=noresource"
        far.send("NOTIFY", 3, frag, event, over, body="SIP/2.0 200 OK\r\n")
        bye = await far.request("BYE")
        assert await moving == TransferOutcome(True, 200, "OK")
        assert heard == [
            TransferProgress(100, "Trying"),
            TransferProgress(200, "OK"),
            Ended("us", 200, "transferred"),
        ]
        far.reply(bye, 200)


async def test_a_target_that_is_busy_leaves_the_call_standing() -> None:
    """Row 33: the NOTIFY brings 486, the transfer has failed and the caller is still ours."""
    async with a_standing_call() as (phone, far, _):
        call = phone.live[0]
        moving = asyncio.create_task(call.transfer(f"sip:200@{HOST}"))
        far.reply(await far.request("REFER"), 202)
        lines = ("Content-Type: message/sipfrag", "Event: refer", "Subscription-State: terminated")
        far.send("NOTIFY", 2, *lines, body="SIP/2.0 486 Busy Here")
        assert await moving == TransferOutcome(False, 486, "Busy Here")
        assert call.leg is Leg.TALKING


async def test_a_bye_before_the_notify_is_a_transfer_done() -> None:
    """Row 33: many leave with BYE as soon as they have accepted the REFER."""
    async with a_standing_call() as (phone, far, _):
        moving = asyncio.create_task(phone.live[0].transfer("200"))
        far.reply(await far.request("REFER"), 202)
        far.send("BYE", 2)
        assert (await moving).ok


async def test_a_reinvite_that_cannot_be_met_leaves_the_old_session() -> None:
    """Rows 21 and 52: T.38 is refused with 488; the plan stays, the call goes on, the next re-INVITE
    counts."""
    async with a_standing_call() as (phone, far, heard):
        call = phone.live[0]
        before = call.plan
        fax = OFFER.replace("m=audio 40000 RTP/AVP 8 101", "m=image 40000 udptl t38")
        far.send("INVITE", 2, SDP, body=fax, branch="z9hG4bKfax")
        await far.response(488)
        far.send("ACK", 2, branch="z9hG4bKfax")
        assert call.plan == before and heard == []
        moved = OFFER.replace("40000", "40002")
        far.send("INVITE", 3, SDP, body=moved)
        await far.response(200)
        far.send("ACK", 3)
        assert call.plan is not None and call.plan.remote == (HOST, 40002)
        assert call.leg is Leg.TALKING


async def test_their_hold_is_heard_and_their_resume() -> None:
    """Row 46: sendonly is answered recvonly; sendrecv brings it back; UPDATE does the same (RFC 3311)."""
    async with a_standing_call() as (phone, far, heard):
        call = phone.live[0]
        far.send("INVITE", 2, SDP, body=OFFER + "a=sendonly\r\n")
        assert b"a=recvonly" in (await far.response(200)).body
        far.send("ACK", 2)
        assert call.plan is not None and call.plan.direction == "recvonly"
        far.send("UPDATE", 3, SDP, body=OFFER)
        assert b"a=sendrecv" in (await far.response(200)).body
        assert [event.plan.direction for event in heard if isinstance(event, MediaChanged)] == [
            "recvonly",
            "sendrecv",
        ]


async def test_a_key_by_info_is_heard_and_other_infos_are_answered() -> None:
    """RFC 6086 practice: dtmf-relay is a key; an empty INFO is a keep-alive; unknown contents are 415."""
    async with a_standing_call() as (_, far, heard):
        relay = "Content-Type: application/dtmf-relay"
        far.send("INFO", 2, relay, body="Signal=5\r\nDuration=160\r\n")
        await far.response(200)
        far.send("INFO", 3, "Content-Type: application/dtmf", body="#")
        await far.response(200)
        far.send("INFO", 4)
        await far.response(200)
        far.send("INFO", 5, "Content-Type: application/media_control+xml", body="<x/>")
        await far.response(415)
        assert heard == [DigitsByInfo("5", 160), DigitsByInfo("#", 0)]


async def test_our_keys_by_info_go_one_at_a_time_with_their_pauses() -> None:
    """Row 58 for trunks without RFC 4733: the next INFO follows the answer, the tone and 50 ms at the least."""
    async with a_standing_call() as (phone, far, _):
        loop = asyncio.get_running_loop()
        pressing = asyncio.ensure_future(phone.live[0].send_digits("1w#d"))
        times, bodies = [], []
        for _ in range(3):
            info = await far.request("INFO")
            assert info.content_type == "application/dtmf-relay"
            times.append(loop.time())
            bodies.append(info.body)
            far.reply(info, 200)
        await pressing
        assert bodies == [b"Signal=%s\r\nDuration=160\r\n" % key for key in (b"1", b"#", b"D")]
        assert times[1] - times[0] >= 0.7
        assert times[2] - times[1] >= 0.21
        assert loop.time() - times[2] >= 0.21


async def test_keys_that_are_refused_or_are_none_are_told_and_the_call_stands() -> None:
    """RFC 6086 §4.2.2: 469 or 415 ends the string, not the call; a letter off the keypad sends nothing."""
    async with a_standing_call() as (phone, far, _):
        call = phone.live[0]
        with pytest.raises(MediaError, match="character 2: 'x'"):
            await call.send_digits("1x")
        pressing = asyncio.ensure_future(call.send_digits("12"))
        far.reply(await far.request("INFO"), 415)
        with pytest.raises(MediaError, match="415 Unsupported"):
            await pressing
        assert call.leg is Leg.TALKING


async def test_garbage_on_the_port_does_not_disturb_a_call() -> None:
    """Whatever arrives, the transport lives: the BYE after it is answered."""
    async with a_standing_call() as (phone, far, _):
        call = phone.live[0]
        for junk in (
            b"\x00\xff" * 40,
            b"INVITE",
            b"SIP/2.0 999 X\r\n\r\n",
            b"",
            b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            far.out(junk)
        far.send("BYE", 2, 'Reason: Q.850;cause=16;text="done"')
        await far.response(200)
        assert await call.ended() == Ended("caller", 200, "done")
        assert phone.counters.malformed >= 3


async def test_the_reason_of_their_bye_is_told_and_ours_has_one() -> None:
    """Row 32, RFC 3326: in words if there are any, else protocol and cause."""
    async with a_standing_call() as (phone, far, _):
        call = phone.live[0]
        far.send("BYE", 2, "Reason: SIP;cause=480, Q.850;cause=18")
        await far.response(200)
        assert await call.ended() == Ended("caller", 200, "SIP 480")
    async with a_standing_call() as (phone, far, _):
        phone.live[0].hang_up("agent is done")
        bye = await far.request("BYE")
        assert bye.get("Reason") == 'Q.850;cause=16;text="agent is done"'


async def test_options_say_what_we_can_and_503_while_draining() -> None:
    """RFC 3261 §11: Allow and Accept; the status is the owner's, for load balancers that probe."""
    async with a_far_side() as (phone, far):
        far.send("OPTIONS", 1)
        answer = await far.response(200)
        assert "INVITE" in (answer.get("Allow") or "") and "application/sdp" in (answer.get("Accept") or "")
        phone.options_status = lambda: 503
        far.to = f"<sip:100@{HOST}>"
        far.send("OPTIONS", 2)
        assert (await far.response(503)).cseq.number == 2


async def test_hanging_up_before_the_ack_sends_bye_after_it() -> None:
    """RFC 3261 §15: the called side waits with BYE until its 200 is acknowledged."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, body=OFFER)
        call = await anext(phone.calls())
        call.answer()
        await far.response(200)
        call.hang_up("changed my mind")
        assert call.leg is Leg.LEAVING
        far.send("ACK", 1)
        bye = await far.request("BYE")
        assert bye.get("Reason") == 'Q.850;cause=16;text="changed my mind"'
        assert await call.ended() == Ended("us", 200, "changed my mind")


async def test_a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() -> None:
    """Row 9, RFC 3261 §9.1: ACK, then BYE; no half-dead call stays with them."""
    async with a_far_side() as (phone, far):
        rings = asyncio.Event()

        def heard(event: CallEvent) -> None:
            rings.set()

        dialing = asyncio.create_task(phone.dial(f"sip:bob@{HOST}:{far.port}", listen=heard))
        invite = await far.request("INVITE")
        far.reply(invite, 180)
        await rings.wait()
        (call,) = phone.live
        dialing.cancel()
        await far.request("CANCEL")
        far.reply(invite, 200, body=OFFER)
        assert (await far.request("ACK")).to_tag == (await far.request("BYE")).to_tag == "f1"
        assert (await call.ended()).by == "us"
        assert phone.live == ()


async def test_only_one_branch_of_a_fork_is_kept() -> None:
    """Row 24, RFC 3261 §13.2.2.4: the second 200 is acknowledged and hung up, early or after the call is
    over."""
    async with a_far_side() as (phone, far):
        dialing = asyncio.create_task(phone.dial(f"sip:bob@{HOST}:{far.port}"))
        invite = await far.request("INVITE")
        for tag in ("b1", "b2"):
            far.reply(invite, 183, tag)
        far.reply(invite, 200, "b1", OFFER)
        assert (await far.request("ACK")).to_tag == "b1"
        call = await dialing
        far.reply(invite, 200, "b2", OFFER)
        assert [(await far.request(method)).to_tag for method in ("ACK", "BYE")] == ["b2", "b2"]
        assert call.leg is Leg.TALKING
        call.hang_up()
        assert (await far.request("BYE")).to_tag == "b1"
        far.reply(invite, 200, "b3", OFFER)
        assert [(await far.request(method)).to_tag for method in ("ACK", "BYE")] == ["b3", "b3"]


async def test_a_repeated_200_is_acknowledged_again() -> None:
    """Row 6: our ACK was lost."""
    async with a_far_side() as (phone, far):
        dialing = asyncio.create_task(phone.dial(f"sip:bob@{HOST}:{far.port}"))
        invite = await far.request("INVITE")
        for _ in range(2):
            far.reply(invite, 200, body=OFFER)
            assert (await far.request("ACK")).uri == f"sip:f1@{HOST}:{far.port}"
        assert (await dialing).leg is Leg.TALKING


async def test_an_answer_that_we_never_offered_is_hung_up() -> None:
    """RFC 3261 §13.2.2.4: acknowledged first, then BYE; whoever dialled hears 488, and the port is back."""
    async with a_far_side() as (phone, far):
        dialing = asyncio.create_task(phone.dial(f"sip:bob@{HOST}:{far.port}"))
        invite = await far.request("INVITE")
        far.reply(invite, 200, body=OFFER.replace("8 101", "18"))
        await far.request("ACK")
        await far.request("BYE")
        with pytest.raises(CallFailed) as failed:
            await dialing
        assert failed.value.code == 488


async def test_glare_is_tried_again_until_it_is_their_turn_no_more() -> None:
    """Row 20, RFC 3261 §14.1: 491 to our re-INVITE; after the wait it goes out again and is answered."""
    async with a_standing_call() as (phone, far, _):
        phone.between = lambda low, high: 0.0  # type: ignore[method-assign]
        (call,) = phone.live
        holding = asyncio.create_task(call.hold())
        far.reply(await far.request("INVITE"), 491)
        await far.request("ACK")
        again = await far.request("INVITE")
        far.reply(again, 200, body=OFFER + "a=recvonly\r\n")
        await far.request("ACK")
        await holding
        assert call.plan is not None and call.plan.direction == "sendonly"


async def test_a_reinvite_that_is_refused_leaves_the_old_session_and_481_ends_it() -> None:
    """Row 21, RFC 3261 §14.1, §12.2.1.2."""
    async with a_standing_call() as (phone, far, _):
        (call,) = phone.live
        for status, leg in ((488, Leg.TALKING), (481, Leg.OVER)):
            holding = asyncio.create_task(call.hold())
            far.reply(await far.request("INVITE"), status)
            with pytest.raises(SdpError, match=str(status)):
                await holding
            assert call.leg is leg


@pytest.mark.parametrize(
    ("target", "code"),
    [("tel:+4930", 416), ("sip:bob@no..such", 503), ("sips:bob@127.0.0.1", 416)],
)
async def test_what_cannot_be_dialled_fails_by_name(target: str, code: int) -> None:
    """The error names the target; no INVITE leaves and no port is lent."""
    async with a_far_side() as (phone, _):
        with pytest.raises(CallFailed) as failed:
            await phone.dial(target)
        assert failed.value.code == code and phone.live == ()
