"""What happens to a call before it is answered, against a far side written out by hand: early media in both
directions, PRACK, redirects; and the header lines of its goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from telephony.call.call import Call
from telephony.call.events import Answered, CallEvent, Confirmed, Ended, MediaChanged, Ringing
from telephony.call.state import Leg
from telephony.errors import CallFailed, OutOfOrder, SipSyntaxError
from telephony.phone import Phone
from telephony.sip.message import Request, Response
from telephony.sip.redirect import same_host
from telephony.sip.uri import Uri
from tests.telephony.test_phone_wire import HOST, OFFER, SDP, FarSide, a_far_side

RELIABLE = "Supported: 100rel"


def sdp(port: int) -> str:
    return OFFER.replace("40000", str(port))


def says(
    far: FarSide, invite: Request, status: int, tag: str, *lines: tuple[str, str], body: str = ""
) -> None:
    """A response with further header lines."""
    response = Response.answering(invite, status, to_tag=tag)
    if not 300 <= status < 400:
        response.add("Contact", f"<sip:{tag or 'nobody'}@{HOST}:{far.port}>")
    for name, value in lines:
        response.add(name, value)
    if body:
        response.add("Content-Type", "application/sdp")
        response.body = body.encode()
    far.out(response.encode())


def rel(number: int) -> tuple[tuple[str, str], ...]:
    return (("Require", "100rel"), ("RSeq", str(number)))


@asynccontextmanager
async def dialled() -> AsyncIterator[tuple[Phone, FarSide, asyncio.Task[Call], Request, list[CallEvent]]]:
    """A call of ours that the far side has not answered."""
    async with a_far_side() as (phone, far):
        heard: list[CallEvent] = []
        dialing = asyncio.create_task(phone.dial(f"sip:bob@{HOST}:{far.port}", listen=heard.append))
        invite = await far.request("INVITE")
        yield phone, far, dialing, invite, heard
        dialing.cancel()
        await asyncio.gather(dialing, return_exceptions=True)


def plans(heard: list[CallEvent]) -> list[int]:
    """The ports that we were told to send to, in order."""
    return [event.plan.remote[1] for event in heard if isinstance(event, MediaChanged)]


def port_of(call: Call) -> int:
    assert call.plan is not None
    return call.plan.remote[1]


# ---- early media of theirs


async def test_early_media_is_heard_while_it_rings_and_the_200_has_the_last_word() -> None:
    """Row 25, RFC 3960: the plan is there before the answer; a 180 or 199 after it takes nothing away."""
    async with dialled() as (phone, far, dialing, invite, heard):
        says(far, invite, 183, "b1", body=sdp(40010))
        says(far, invite, 180, "b1")
        says(far, invite, 199, "b1")
        says(far, invite, 180, "b1", body=sdp(40012))
        says(far, invite, 200, "b1", body=sdp(40014))
        await far.request("ACK")
        call = await dialing
        assert [type(event) for event in heard] == [
            *(Ringing, MediaChanged, Ringing, Ringing, MediaChanged),
            *(MediaChanged, Answered, Confirmed),
        ]
        assert plans(heard) == [40010, 40012, 40014]
        assert (call.rtp, phone.live) == (call.rtp, (call,)) and call.rtp is not None


async def test_a_200_without_description_keeps_the_one_of_its_183() -> None:
    """Row 25, RFC 3261 §13.2.1: and nothing waits for an answer any more: their re-INVITE is met."""
    async with dialled() as (_, far, dialing, invite, heard):
        says(far, invite, 183, "b1", body=sdp(40010))
        says(far, invite, 200, "b1")
        await far.request("ACK")
        call = await dialing
        assert plans(heard) == [40010] and port_of(call) == 40010
        holding = asyncio.create_task(call.hold())
        again = await far.request("INVITE")
        far.reply(again, 200, "b1", body=sdp(40010) + "a=recvonly\r\n")
        await far.request("ACK")
        await holding
        assert call.plan is not None and call.plan.direction == "sendonly"


async def test_the_branch_that_picks_up_decides_where_we_send() -> None:
    """Rows 24, 25: two phones send early media; the one that answers does so without repeating it."""
    async with dialled() as (_, far, dialing, invite, heard):
        says(far, invite, 183, "b1", body=sdp(40010))
        says(far, invite, 183, "b2", body=sdp(40020))
        says(far, invite, 200, "b1")
        assert (await far.request("ACK")).to_tag == "b1"
        await dialing
        assert plans(heard) == [40010, 40020, 40010]


@pytest.mark.parametrize(
    ("tag", "body"), [("", OFFER), ("", ""), ("b1", "v=0\r\nm=audio"), ("b1", OFFER.replace("8 101", "18"))]
)
async def test_a_183_that_says_nothing_useful_does_no_harm(tag: str, body: str) -> None:
    """Row 25: without To tag, without description, with half a one, or with a codec that nobody offered."""
    async with dialled() as (_, far, dialing, invite, heard):
        says(far, invite, 183, tag, body=body)
        says(far, invite, 200, "b1", body=sdp(40014))
        await far.request("ACK")
        assert port_of(await dialing) == 40014
        assert heard[0] == Ringing(183)


async def test_a_reliable_183_is_acknowledged_and_needs_no_description_in_the_200() -> None:
    """Row 26, RFC 3262 §4, §5: PRACK goes out while it rings, a repeat rings nobody twice."""
    async with dialled() as (_, far, dialing, invite, heard):
        assert "100rel" in invite.values("Supported")
        for _ in range(2):
            says(far, invite, 183, "b1", *rel(17), body=sdp(40010))
        prack = await far.request("PRACK")
        assert (prack.get("RAck"), prack.body) == (f"17 {invite.cseq}", b"")
        far.reply(prack, 200, "b1")
        says(far, invite, 200, "b1")
        assert (await far.request("ACK")).cseq.number == invite.cseq.number
        await dialing
        assert [type(event) for event in heard] == [Ringing, MediaChanged, Answered, Confirmed]


async def test_their_update_before_the_answer_moves_early_media() -> None:
    """RFC 3311 §5.2: allowed once their answer came reliably; before, it is 491. What it said outlives the 200."""
    async with dialled() as (_, far, dialing, invite, heard):
        far.to = f"<sip:bob@{HOST}>;tag={invite.from_tag}"

        def update(number: int, body: str) -> None:
            head = [
                f"UPDATE sip:x@{HOST} SIP/2.0",
                f"Via: SIP/2.0/UDP {HOST}:{far.port};branch=z9hG4bKupd{number};rport",
                f"From: <sip:bob@{HOST}:{far.port}>;tag=b1",
                f"To: <sip:x@{HOST}>;tag={invite.from_tag}",
                f"Call-ID: {invite.call_id}",
                f"CSeq: {number} UPDATE",
                f"Contact: <sip:b1@{HOST}:{far.port}>",
                SDP,
                f"Content-Length: {len(body)}",
            ]
            far.out(("\r\n".join(head) + "\r\n\r\n" + body).encode())

        says(far, invite, 183, "b1", body=sdp(40010))
        update(1, sdp(40012))
        await far.response(491)
        says(far, invite, 183, "b1", *rel(1), body=sdp(40010))
        far.reply(await far.request("PRACK"), 200, "b1")
        update(2, sdp(40012))
        await far.response(200)
        says(far, invite, 200, "b1", body=sdp(40010))
        await far.request("ACK")
        call = await dialing
        assert plans(heard) == [40010, 40012] and port_of(call) == 40012


# ---- early media of ours


async def test_our_sound_may_flow_before_the_answer() -> None:
    """RFC 3960: 183 with our answer, then 200 with the same for a caller without 100rel."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, body=OFFER)
        call = await anext(phone.calls())
        call.progress()
        early = await far.response(183)
        assert call.plan is not None and call.rtp is not None
        assert f"m=audio {call.rtp.port}".encode() in early.body and early.get("RSeq") is None
        call.ring()
        assert (await far.response(180)).body == b""
        call.answer()
        assert (await far.response(200)).body == early.body
        far.send("ACK", 1)
        await call.settled()
        with pytest.raises(OutOfOrder):
            call.progress()


async def test_early_media_is_acknowledged_by_a_caller_who_does_100rel() -> None:
    """Row 26: the 200 waits for the PRACK, and brings no second description."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, RELIABLE, body=OFFER)
        call = await anext(phone.calls())
        call.progress()
        early = await far.response(183)
        assert early.get("Require") == "100rel" and b"m=audio" in early.body
        call.answer()
        assert call.leg is Leg.ANSWERED
        far.send("PRACK", 2, f"RAck: {early.get('RSeq')} 1 INVITE")
        assert (await far.response(200)).cseq.method == "PRACK"
        answer = await far.response(200)
        assert (answer.cseq.method, answer.body) == ("INVITE", b"")
        far.send("ACK", 1)
        await call.settled()
        assert phone.live == (call,)


async def test_an_offer_in_prack_is_answered_in_its_200() -> None:
    """Row 26, RFC 3262 §5: and one that cannot be met is refused without harm."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, RELIABLE, body=OFFER)
        call = await anext(phone.calls())
        heard: list[CallEvent] = []
        call.listen(heard.append)
        call.progress()
        early = await far.response(183)
        far.send("PRACK", 2, f"RAck: {early.get('RSeq')} 1 INVITE", SDP, body=sdp(40010))
        assert b"m=audio" in (await far.response(200)).body
        assert plans(heard) == [40010]
        call.progress()
        assert (await far.response(183)).body == b""  # what was agreed is not said again
        far.send("UPDATE", 3, SDP, body=sdp(40012))
        await far.response(200)
        assert plans(heard) == [40010, 40012]
        call.answer()
        await far.response(200)


async def test_an_update_before_our_answer_is_sure_to_have_arrived_is_500() -> None:
    """RFC 3311 §5.2: come back later."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, body=OFFER)
        call = await anext(phone.calls())
        call.progress()
        await far.response(183)
        far.send("UPDATE", 2, SDP, body=sdp(40010))
        assert (await far.response(500)).get("Retry-After")
        assert port_of(call) == 40000


async def test_an_offer_that_is_left_to_us_goes_in_the_first_18x_that_must_arrive() -> None:
    """RFC 3262 §5: late offer and 100rel required; the PRACK answers, and media flow while it rings."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, "Require: 100rel")
        call = await anext(phone.calls())
        heard: list[CallEvent] = []
        call.listen(heard.append)
        call.ring()
        ringing = await far.response(180)
        assert b"m=audio" in ringing.body
        far.send("PRACK", 2, f"RAck: {ringing.get('RSeq')} 1 INVITE", SDP, body=sdp(40010))
        await far.response(200)
        assert plans(heard) == [40010]
        call.answer()
        assert (await far.response(200)).body == b""
        far.send("ACK", 1)
        await call.settled()
        assert call.leg is Leg.TALKING


async def test_a_prack_that_owes_an_answer_and_brings_none_ends_the_call() -> None:
    """RFC 3262 §5: there is no session: the INVITE is refused, the PRACK has its 200."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, RELIABLE)
        call = await anext(phone.calls())
        call.progress()
        early = await far.response(183)
        far.send("PRACK", 2, f"RAck: {early.get('RSeq')} 1 INVITE")
        assert (await far.response(488)).cseq.method == "INVITE"
        assert ((await call.ended()).by, (await call.ended()).code) == ("network", 488)


async def test_without_100rel_our_offer_waits_for_the_200() -> None:
    """RFC 3261 §13.2.1: an offer may only go in what is sure to arrive."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1)
        call = await anext(phone.calls())
        call.progress()
        assert (await far.response(183)).body == b""
        call.answer()
        assert b"m=audio" in (await far.response(200)).body


async def test_hanging_up_while_the_200_waits_for_its_prack_says_bye_in_the_end() -> None:
    """RFC 3261 §15: 200, ACK, BYE, in this order, however late the PRACK."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, RELIABLE, body=OFFER)
        call = await anext(phone.calls())
        call.progress()
        early = await far.response(183)
        call.answer()
        call.hang_up("changed my mind")
        far.send("PRACK", 2, f"RAck: {early.get('RSeq')} 1 INVITE")
        await far.response(200)
        await far.response(200)
        far.send("ACK", 1)
        await far.request("BYE")
        assert (await call.ended()).by == "us"


# ---- sent elsewhere


async def test_a_redirect_is_followed_by_preference() -> None:
    """RFC 3261 §8.1.3.4: highest q first, the next one after a failure; whoever listens hears one call."""
    async with dialled() as (_, far, dialing, invite, heard):
        here = f"{HOST}:{far.port}"
        contacts = (
            ("Contact", f"<sip:low@{here}>;q=0.2, <sip:high@{here}?Subject=x>;q=0.9"),
            ("Contact", "<sip:e@elsewhere.example>"),
        )
        says(far, invite, 302, "p1", *contacts)
        first = await far.request("INVITE")
        assert first.uri == f"sip:high@{here}" and first.call_id != invite.call_id
        far.reply(first, 486)
        second = await far.request("INVITE")
        assert second.uri == f"sip:low@{here}"
        far.reply(second, 200, body=OFFER)
        await far.request("ACK")
        assert (await dialing).leg is Leg.TALKING
        assert [type(event) for event in heard] == [MediaChanged, Answered, Confirmed]


async def test_redirects_in_a_circle_end_and_so_do_endless_ones() -> None:
    """RFC 3261 §8.1.3.4: no URI twice, five redirects at most; the last 3xx is what whoever dialled hears."""
    async with dialled() as (_, far, dialing, invite, heard):
        says(far, invite, 302, "p1", ("Contact", f"<sip:bob@{HOST}:{far.port}>"))
        with pytest.raises(CallFailed) as failed:
            await dialing
        assert failed.value.code == 302 and isinstance(heard[-1], Ended)
    async with dialled() as (_, far, dialing, invite, _):
        for count in range(6):
            says(far, invite, 302, "p1", ("Contact", f"<sip:n{count}@{HOST}:{far.port}>"))
            if count < 5:
                invite = await far.request("INVITE")
                while not invite.uri.startswith(f"sip:n{count}@"):
                    invite = await far.request("INVITE")
        with pytest.raises(CallFailed, match="302"):
            await dialing


async def test_a_redirect_to_another_host_needs_leave() -> None:
    """Toll fraud: whoever answers could make us dial anybody. The predicate sees both URIs."""
    asked: list[tuple[str, str]] = []

    def may(dialled: Uri, target: Uri) -> bool:
        asked.append((dialled.user, target.user))
        return target.user == "good"

    async with a_far_side() as (phone, far):
        place = f"localhost:{far.port}"
        for leave, code in ((same_host, 301), (may, 404)):
            dialing = asyncio.create_task(phone.dial(f"sip:bob@{HOST}:{far.port}", redirect=leave))
            invite = await far.request("INVITE")
            says(far, invite, 301, "p1", ("Contact", f"<sip:bad@{place}>, <sip:good@{place}>, <tel:+882>"))
            if leave is may:
                onward = await far.request("INVITE")
                assert onward.uri == f"sip:good@{place}"
                far.reply(onward, 404)
            with pytest.raises(CallFailed) as failed:
                await dialing
            assert failed.value.code == code
        assert asked == [("bob", "bad"), ("bob", "good")]


async def test_a_caller_is_sent_elsewhere() -> None:
    """RFC 3261 §21.3: 302 with a Contact for each target, best first."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, body=OFFER)
        call = await anext(phone.calls())
        with pytest.raises(SipSyntaxError):
            call.redirect(["not a uri"])
        call.redirect(["sip:200@pbx.example", "sip:201@pbx.example"])
        answer = await far.response(302)
        assert answer.values("Contact") == ["<sip:200@pbx.example>;q=1.0", "<sip:201@pbx.example>;q=0.9"]
        assert await call.ended() == Ended(
            "us", 302, "redirected", ("sip:200@pbx.example", "sip:201@pbx.example")
        )


# ---- header lines


async def test_a_bye_carries_our_lines_and_brings_theirs() -> None:
    """X- lines are how carriers and PBXs say more than the RFC: sent as given, heard in `Ended`."""
    async with a_far_side() as (phone, far):
        for number in (1, 3):
            far.send("INVITE", number, SDP, body=OFFER)
            call = await anext(phone.calls())
            call.answer()
            await far.response(200)
            far.send("ACK", number)
            await call.settled()
            if number == 1:
                far.send("BYE", 2, "X-Queue: sales", "P-Other: 1")
                assert (await call.ended()).headers == (("X-Queue", "sales"),)
                await far.response(200)
                far.to = f"<sip:100@{HOST}>"
                continue
            for name, value in (
                ("Via", "x"),
                ("content-length", "9"),
                ("X-A", "a\r\nX-B: b"),
                ("X A", "a"),
                ("i", "x"),
            ):
                with pytest.raises(SipSyntaxError):
                    call.hang_up("done", [(name, value)])
            call.hang_up("done", [("X-Result", "sold")])
            bye = await far.request("BYE")
            assert bye.get("X-Result") == "sold" and bye.get("Reason")


async def test_a_refer_carries_our_lines() -> None:
    """What the next agent must know travels with the caller."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, body=OFFER)
        call = await anext(phone.calls())
        call.answer()
        await far.response(200)
        far.send("ACK", 1)
        await call.settled()
        with pytest.raises(SipSyntaxError):
            await call.transfer("200", headers=[("Refer-To", "<sip:evil@example.com>")])
        moving = asyncio.create_task(call.transfer("200", headers=[("X-Ticket", "4711")]))
        refer = await far.request("REFER")
        assert refer.get("X-Ticket") == "4711"
        far.reply(refer, 603)
        assert not (await moving).ok


# ---- glare


@pytest.mark.parametrize(("ours", "waits"), [(True, (2.1, 4.0)), (False, (0.0, 2.0))])
async def test_after_a_491_the_owner_of_the_call_id_waits_longer(
    ours: bool, waits: tuple[float, float]
) -> None:
    """Row 20, RFC 3261 §14.1: so that the two do not meet again."""
    asked: list[tuple[float, float]] = []

    def between(low: float, high: float) -> float:
        asked.append((low, high))
        return 0.0

    async with a_far_side() as (phone, far):
        phone.between = between  # type: ignore[method-assign]
        if ours:
            dialing = asyncio.create_task(phone.dial(f"sip:bob@{HOST}:{far.port}"))
            far.reply(await far.request("INVITE"), 200, body=OFFER)
            await far.request("ACK")
            call = await dialing
        else:
            far.send("INVITE", 1, SDP, body=OFFER)
            call = await anext(phone.calls())
            call.answer()
            await far.response(200)
            far.send("ACK", 1)
            await call.settled()
        holding = asyncio.create_task(call.hold())
        far.reply(await far.request("INVITE"), 491)
        await far.request("ACK")
        far.reply(await far.request("INVITE"), 200, body=OFFER + "a=recvonly\r\n")
        await far.request("ACK")
        await holding
        assert asked == [waits]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
async def test_their_offer_that_crosses_ours_is_491(method: str) -> None:
    """Row 20, RFC 3261 §14.2, RFC 3311 §5.2: re-INVITE and UPDATE alike; ours goes on."""
    async with a_far_side() as (phone, far):
        far.send("INVITE", 1, SDP, body=OFFER)
        call = await anext(phone.calls())
        call.answer()
        await far.response(200)
        far.send("ACK", 1)
        await call.settled()
        holding = asyncio.create_task(call.hold())
        invite = await far.request("INVITE")
        far.send(method, 2, SDP, body=sdp(40010))
        assert (await far.response(491)).cseq.method == method
        far.reply(invite, 200, body=OFFER + "a=recvonly\r\n")
        await holding
        assert call.plan is not None and call.plan.direction == "sendonly"
