"""Calls that change their leg: phones of ours on loopback refer, follow, take over; and a far side by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network

import pytest

from telephony.call.call import Call
from telephony.call.events import (
    Answered,
    Confirmed,
    Ended,
    MediaChanged,
    Moved,
    Ringing,
    TransferProgress,
)
from telephony.call.referred import Detour, plain_uri
from telephony.call.state import Leg
from telephony.call.transfer import TransferOutcome
from telephony.errors import CallFailed, OutOfOrder
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.digest import Doorkeeper
from telephony.sip.headers import ReferTo, Replaces
from telephony.sip.message import Request
from telephony.trunk.access import Access, Policy, Trunk
from tests.telephony.test_phone import Heard, number
from tests.telephony.test_phone_wire import OFFER, SDP, FarSide

HOST = "127.0.0.1"


def willing(call: Call, to: ReferTo) -> Detour:
    """Follow every REFER; only in tests."""
    return Detour(plain_uri(to))


@asynccontextmanager
async def a_phone(first: int, codecs: tuple[str, ...] = ("PCMU", "PCMA")) -> AsyncIterator[Phone]:
    pool = PortPool(HOST, first, first + 40)
    async with Phone(host=HOST, port=0, ports=pool, codecs=codecs) as phone:
        phone.moves.refer = willing
        phone.moves.patience_s = 0.1
        yield phone
    assert pool.lent == 0


@dataclass
class Three:
    """The caller, the bot and a colleague; the caller talks to the bot."""

    caller: Phone
    bot: Phone
    colleague: Phone
    at_caller: Call
    at_bot: Call


async def connect(one: Phone, other: Phone, user: str = "100") -> tuple[Call, Call]:
    """Both ends of a call."""
    dialing = asyncio.create_task(one.dial(number(other, user), caller=number(one, "anna")))
    theirs = await anext(other.calls())
    theirs.answer()
    ours = await dialing
    await theirs.settled()
    return ours, theirs


@asynccontextmanager
async def three() -> AsyncIterator[Three]:
    async with (
        asyncio.timeout(10),
        a_phone(25000) as caller,
        a_phone(25100) as bot,
        a_phone(25200) as colleague,
    ):
        yield Three(caller, bot, colleague, *await connect(caller, bot))


def media(call: Call) -> tuple[int, tuple[str, int]]:
    """Our RTP port, and where we send."""
    assert call.rtp is not None and call.plan is not None
    return call.rtp.port, call.plan.remote


def standing(call: Call) -> Leg:
    """Asked anew each time: it changes behind the type checker's back."""
    return call.leg


def joined(one: Call, other: Call) -> bool:
    """Each sends to where the other listens."""
    (here, to_there), (there, to_here) = media(one), media(other)
    return (to_there, to_here) == ((HOST, there), (HOST, here))


def replacing_header(call: Call) -> tuple[str, str]:
    """What somebody sends who wants the place of the far side of that call; tags as we see them."""
    dialog = call.dialog
    assert dialog is not None
    return "Replaces", str(Replaces(dialog.call_id, dialog.local_tag, dialog.remote_tag))


# ---- REFER received


async def test_a_bot_that_is_transferred_goes_on_with_the_new_far_side() -> None:
    """RFC 3515: same call, same sockets, another leg; who referred us hears it ring and answer, and hangs up."""
    async with three() as t:
        heard, progress = Heard(t.at_bot), Heard(t.at_caller)
        who, port = t.at_bot.id, media(t.at_bot)[0]
        transferring = asyncio.create_task(t.at_caller.transfer(number(t.colleague, "200")))
        at_colleague = await anext(t.colleague.calls())
        assert at_colleague.called.number == "200"
        assert at_colleague.caller.uri.number == "100", "the new leg comes from whom the caller had dialled"
        assert at_colleague.request.get("Referred-By") == f"<{number(t.caller, 'anna')}>"
        at_colleague.ring()
        at_colleague.answer()
        assert await transferring == TransferOutcome(True, 200, "OK")
        await t.at_caller.ended()
        codes = [event.code for event in progress.events if isinstance(event, TransferProgress)]
        assert codes == [100, 180, 200]

        assert (t.at_bot.id, t.at_bot.leg, media(t.at_bot)[0]) == (who, Leg.TALKING, port)
        assert joined(t.at_bot, at_colleague)
        assert heard.kinds == [Moved, MediaChanged]
        assert heard.events[0] == Moved("refer", at_colleague.sip_call_id)
        assert t.bot.live == (t.at_bot,)
        at_colleague.hang_up("thank you")
        assert await t.at_bot.ended() == Ended("caller", 200, "thank you")


async def test_a_transfer_that_fails_leaves_the_old_leg_standing() -> None:
    """RFC 3515 §2.4.5: the code of the refused INVITE comes back in NOTIFY, and both keep talking."""
    async with three() as t:
        heard = Heard(t.at_bot)
        transferring = asyncio.create_task(t.at_caller.transfer(number(t.colleague)))
        (await anext(t.colleague.calls())).reject(486)
        assert await transferring == TransferOutcome(False, 486, "Busy Here")
        assert t.at_caller.leg is t.at_bot.leg is Leg.TALKING
        assert heard.kinds == [] and joined(t.at_caller, t.at_bot)

        again = asyncio.create_task(t.at_caller.transfer(number(t.colleague)))
        (await anext(t.colleague.calls())).answer()
        assert (await again).ok, "and may be sent elsewhere again"


async def test_a_target_that_is_not_allowed_is_refused_and_never_dialled() -> None:
    """Toll fraud: the policy decides before a word is sent to the target; its failure is a 500."""
    async with three() as t:

        def local_only(call: Call, to: ReferTo) -> int:
            assert call is t.at_bot and to.address.uri.user == "900"
            return 403

        t.bot.moves.refer = local_only
        assert (await t.at_caller.transfer("sip:900@192.0.2.1")).code == 403

        def broken(call: Call, to: ReferTo) -> int:
            raise LookupError("no such table")

        t.bot.moves.refer = broken
        assert (await t.at_caller.transfer("sip:900@192.0.2.1")).code == 500
        assert t.at_bot.leg is Leg.TALKING and len(t.bot.live) == 1


async def test_a_bot_that_hangs_up_on_the_way_gives_the_new_leg_up() -> None:
    """The target hears CANCEL, and no phone rings for a call that is over."""
    async with three() as t:
        transferring = asyncio.create_task(t.at_caller.transfer(number(t.colleague)))
        at_colleague = await anext(t.colleague.calls())
        at_colleague.ring()
        t.at_bot.hang_up("bye")
        assert (await at_colleague.ended()).code == 487
        await transferring
        assert (await t.at_caller.ended()).by == "callee"


# ---- attended transfer


async def test_an_attended_transfer_connects_two_legs_and_leaves_them() -> None:
    """RFC 5589 §7, row 33: Refer-To with Replaces; the colleague's leg is taken over by the caller's phone."""
    async with three() as t:
        consulting, at_colleague = await connect(t.bot, t.colleague, "200")
        before = at_colleague.id
        assert await t.at_bot.transfer_to(consulting) == TransferOutcome(True, 200, "OK")
        await asyncio.gather(t.at_bot.ended(), consulting.ended())
        assert t.at_caller.leg is at_colleague.leg is Leg.TALKING
        assert at_colleague.id == before and joined(t.at_caller, at_colleague)
        assert t.bot.live == () and t.colleague.live == (at_colleague,)


async def test_an_attended_transfer_that_is_declined_leaves_both_calls() -> None:
    """The caller's phone follows nobody: the bot still talks to both."""
    async with three() as t:
        consulting, at_colleague = await connect(t.bot, t.colleague, "200")
        t.caller.moves.refer = None
        assert (await t.at_bot.transfer_to(consulting)).code == 603
        assert t.at_bot.leg is consulting.leg is at_colleague.leg is Leg.TALKING
        consulting.hang_up()
        with pytest.raises(OutOfOrder, match="nobody to transfer to"):
            await t.at_bot.transfer_to(consulting)


# ---- INVITE with Replaces


async def test_an_invite_with_replaces_takes_the_place_of_the_caller() -> None:
    """RFC 3891 §3: answered at once, the old leg gets BYE, and nobody is asked about a new call."""
    async with three() as t:
        heard, who = Heard(t.at_bot), t.at_bot.id
        lines = [replacing_header(t.at_bot), ("Require", "replaces")]
        taking = await t.colleague.dial(number(t.bot), headers=lines)
        assert (await t.at_caller.ended()).by == "callee"
        assert (t.at_bot.id, t.at_bot.leg, t.at_bot.source) == (who, Leg.TALKING, t.colleague.address)
        assert joined(t.at_bot, taking) and t.bot.live == (t.at_bot,)
        assert heard.kinds == [Moved, MediaChanged], "no second Confirmed: the conversation goes on"
        t.at_bot.hang_up()
        assert (await taking.ended()).by == "callee"


async def test_a_call_that_rings_out_may_be_picked_up_by_another() -> None:
    """RFC 3891 §3: an early dialog that we began; what we had dialled is cancelled, `dial` returns."""
    async with three() as t:
        heard = Heard()
        ringing = heard.next(Ringing)
        dialing = asyncio.create_task(t.bot.dial(number(t.caller, "7"), listen=heard))
        rings = await anext(t.caller.calls())
        rings.ring()
        await ringing
        (ours,) = [call for call in t.bot.live if call is not t.at_bot]
        name, value = replacing_header(ours)
        picking_up = await t.colleague.dial(number(t.bot), headers=[(name, f"{value};early-only")])
        assert (await rings.ended()).code == 487
        assert await dialing is ours and joined(ours, picking_up)
        assert heard.kinds == [Ringing, Answered, Moved, MediaChanged, Confirmed]


async def test_a_leg_that_cannot_be_replaced_says_why() -> None:
    """RFC 3891 §3: 481 no such dialog, 486 early-only but answered, 400 unreadable, 603 just ended."""
    async with three() as t:
        name, value = replacing_header(t.at_bot)

        async def code_of(*lines: str) -> int:
            with pytest.raises(CallFailed) as failed:
                await t.colleague.dial(number(t.bot), headers=[(name, line) for line in lines])
            return failed.value.code

        assert await code_of(value + "x") == 481
        assert await code_of("nobody;to-tag=a;from-tag=b") == 481
        assert await code_of(value + ";early-only") == 486
        assert await code_of(value, value) == 400
        assert await code_of("c;to-tag=a") == 400
        assert t.at_bot.leg is t.at_caller.leg is Leg.TALKING
        t.at_caller.hang_up()
        await t.at_bot.ended()
        assert await code_of(value) == 603


async def test_media_that_cannot_be_met_leaves_the_old_leg() -> None:
    """RFC 3891 §3: only an INVITE that is answered replaces anything."""
    async with three() as t, a_phone(25300, ("G722",)) as stranger:
        with pytest.raises(CallFailed) as failed:
            await stranger.dial(number(t.bot), headers=[replacing_header(t.at_bot)])
        assert failed.value.code == 488
        assert t.at_bot.leg is t.at_caller.leg is Leg.TALKING and joined(t.at_bot, t.at_caller)


async def test_a_trunk_may_not_take_over_the_calls_of_another() -> None:
    """Who knows the tags of a stranger's call still has no business with it: 403."""
    anna = Trunk("anna", (ip_network("127.0.0.1"),))
    mallory = Trunk("mallory", (ip_network("127.0.0.2"),))
    bot = Phone(host=HOST, port=0, ports=PortPool(HOST, 25400, 25440))
    bot.access = Access([anna, mallory], Policy(), Doorkeeper("offhook", b"ours"), 0.0)
    other = Phone(host="127.0.0.2", port=0, ports=PortPool("127.0.0.2", 25500, 25540))
    async with asyncio.timeout(10), bot, other, a_phone(25000) as caller:
        at_caller, at_bot = await connect(caller, bot)
        assert at_bot.sender.trunk == "anna"
        with pytest.raises(CallFailed) as failed:
            await other.dial(number(bot), headers=[replacing_header(at_bot)])
        assert failed.value.code == 403
        assert at_caller.leg is at_bot.leg is Leg.TALKING


# ---- message by message


@asynccontextmanager
async def a_referrer() -> AsyncIterator[tuple[Phone, FarSide, Call, Phone]]:
    """A far side by hand that talks to the bot, and the phone that it may refer the bot to."""
    async with asyncio.timeout(10), a_phone(25400) as bot, a_phone(25500) as colleague:
        bot.goodbye_s = 0.0
        far = FarSide(bot)
        try:
            far.send("INVITE", 1, SDP, body=OFFER)
            call = await anext(bot.calls())
            call.answer()
            await far.response(200)
            far.send("ACK", 1)
            await call.settled()
            yield bot, far, call, colleague
        finally:
            far.close()


async def news(far: FarSide) -> Request:
    """The next NOTIFY, answered with 200."""
    notify = await far.request("NOTIFY")
    far.reply(notify, 200)
    return notify


async def test_a_refer_is_accepted_told_of_and_ended_by_our_bye() -> None:
    """RFC 3515 §2.4, RFC 6665: 202, NOTIFY 100 at once, 180, 200 terminated; no BYE of theirs, so ours."""
    async with a_referrer() as (_, far, call, colleague):
        far.send("REFER", 2, f"Refer-To: <{number(colleague)}>")
        accepted = await far.response(202)
        assert accepted.contact is not None
        trying = await news(far)
        assert (trying.body, trying.content_type) == (b"SIP/2.0 100 Trying\r\n", "message/sipfrag")
        assert trying.get("Event") == "refer"
        assert trying.get("Subscription-State") == "active;expires=180"
        at_colleague = await anext(colleague.calls())
        at_colleague.ring()
        assert (await news(far)).body == b"SIP/2.0 180 Ringing\r\n"
        at_colleague.answer()
        last = await news(far)
        assert last.body == b"SIP/2.0 200 OK\r\n"
        assert last.get("Subscription-State") == "terminated;reason=noresource"
        far.reply(await far.request("BYE"), 200)
        assert call.leg is Leg.TALKING and joined(call, at_colleague)


async def test_a_second_refer_while_we_are_on_the_way_waits() -> None:
    """One leg can go to one place: 491, and the first goes on."""
    async with a_referrer() as (_, far, call, colleague):
        far.send("REFER", 2, f"Refer-To: <{number(colleague)}>")
        await news(far)
        far.send("REFER", 3, "Refer-To: <sip:300@192.0.2.1>")
        await far.response(491)
        (await anext(colleague.calls())).answer()
        await news(far)
        assert call.leg is Leg.TALKING


async def test_who_hangs_up_right_after_the_202_is_not_needed_any_more() -> None:
    """RFC 5589 §6.1: nobody is on the line while the target rings; then the conversation goes on."""
    async with a_referrer() as (_, far, call, colleague):
        heard = Heard(call)
        moved = heard.next(Moved)
        far.send("REFER", 2, f"Refer-To: <{number(colleague)}>", "Refer-Sub: false", "Require: norefersub")
        assert (await far.response(202)).get("Refer-Sub") == "false"
        far.send("BYE", 3)
        await far.response(200)
        at_colleague = await anext(colleague.calls())
        (silent,) = heard.events
        assert isinstance(silent, MediaChanged) and silent.plan.direction == "inactive"
        at_colleague.answer()
        await moved
        assert call.leg is Leg.TALKING and joined(call, at_colleague)
        assert far.heard.empty(), "RFC 4488: no NOTIFY was wanted"


async def test_a_transfer_that_fails_with_nobody_left_ends_the_call() -> None:
    """They referred us, hung up, and the target is busy: there is nobody to talk to."""
    async with a_referrer() as (bot, far, call, colleague):
        far.send("REFER", 2, f"Refer-To: <{number(colleague)}>")
        await news(far)
        far.send("BYE", 3)
        await far.response(200)
        (await anext(colleague.calls())).reject(486)
        assert await call.ended() == Ended("caller", 200, "transfer failed: 486")
        assert (await news(far)).body == b"SIP/2.0 486 Busy Here\r\n", (
            "RFC 5057: the BYE did not end the news"
        )
        assert bot.live == ()


async def test_news_that_nobody_takes_do_not_end_the_call() -> None:
    """RFC 6665 §4.2.2: 481 to a NOTIFY ends the subscription only."""
    async with a_referrer() as (_, far, call, colleague):
        far.send("REFER", 2, f"Refer-To: <{number(colleague)}>")
        far.reply(await far.request("NOTIFY"), 481)
        far.send("INFO", 3)  # once this is answered, the 481 before it was heard
        await far.response(200)
        (await anext(colleague.calls())).reject(486)
        far.send("INFO", 4)
        await far.response(200)
        assert call.leg is Leg.TALKING


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((), 400),
        (("Refer-To: <sip:1@h>", "Refer-To: <sip:2@h>"), 400),
        (("Refer-To: <sip:1@h>, <sip:2@h>",), 400),
        (("Refer-To: nowhere",), 400),
        (("Refer-To: <sip:1@h;method=BYE>",), 603),
        (("Refer-To: <sip:1@h>", "Replaces: a;to-tag=b;from-tag=c"), 400),
    ],
)
async def test_a_refer_that_makes_no_sense_is_refused_and_the_call_goes_on(
    lines: tuple[str, ...], code: int
) -> None:
    """RFC 3515 §2.4.2, RFC 3891 §3."""
    async with a_referrer() as (_, far, call, _):
        far.send("REFER", 2, *lines)
        await far.response(code)
        assert call.leg is Leg.TALKING


async def test_somebody_who_takes_the_place_is_faster_than_a_refer() -> None:
    """RFC 3891 while RFC 3515 is under way: the target is cancelled, and the news say that it came to nothing."""
    async with a_referrer() as (bot, far, call, colleague), a_phone(25600) as third:
        far.send("REFER", 2, f"Refer-To: <{number(colleague)}>")
        await news(far)
        at_colleague = await anext(colleague.calls())
        at_colleague.ring()
        assert (await news(far)).body == b"SIP/2.0 180 Ringing\r\n"
        taking = await third.dial(number(bot), headers=[replacing_header(call)])
        assert (await news(far)).body == b"SIP/2.0 487 Request Terminated\r\n"
        far.reply(await far.request("BYE"), 200)
        assert (await at_colleague.ended()).code == 487
        assert call.leg is Leg.TALKING and joined(call, taking) and bot.live == (call,)


async def test_news_of_something_else_are_refused() -> None:
    """RFC 6665 §4.1.3: 489 for a package that we never subscribed to, 481 for a REFER that we never sent."""
    async with a_referrer() as (_, far, call, _):
        far.send("NOTIFY", 2, "Event: message-summary", "Subscription-State: terminated")
        assert (await far.response(489)).get("Allow-Events") == "refer"
        far.send("NOTIFY", 3, "Event: refer;id=9", "Subscription-State: terminated")
        await far.response(481)
        assert call.leg is Leg.TALKING


async def test_a_bot_that_nobody_holds_any_more_may_hang_up() -> None:
    """They referred us and left; the agent ends the call while the target rings."""
    async with a_referrer() as (bot, far, call, colleague):
        far.send("REFER", 2, f"Refer-To: <{number(colleague)}>", "Refer-Sub: false")
        at_colleague = await anext(colleague.calls())
        at_colleague.ring()
        far.send("BYE", 3)
        await far.response(200)
        call.hang_up("nobody here")
        assert await call.ended() == Ended("us", 200, "nobody here")
        assert (await at_colleague.ended()).code == 487
        assert bot.live == ()


async def test_a_refer_to_nowhere_is_told_so() -> None:
    """A scheme that we do not dial: accepted by the policy, and the news says 416."""
    async with a_referrer() as (_, far, call, _):
        far.send("REFER", 2, "Refer-To: <mailto:anna@example.com>")
        await news(far)
        assert (await news(far)).body == b"SIP/2.0 416 Unsupported URI Scheme\r\n"
        assert call.leg is Leg.TALKING


async def test_a_refer_from_nobody_whom_we_talk_to_is_forbidden() -> None:
    """RFC 3515 allows it outside a dialog; a phone that obeys it can be made to dial by anybody."""
    async with a_referrer() as (bot, far, call, _):
        stranger = FarSide(bot)
        try:
            stranger.send("REFER", 1, "Refer-To: <sip:900@192.0.2.1>")
            await stranger.response(403)
        finally:
            stranger.close()
        assert bot.live == (call,)


async def test_replaces_without_an_offer_is_answered_in_the_ack() -> None:
    """RFC 3891 with RFC 3261 §13.2.1: their answer comes with the ACK; before it we may not hang up (§15)."""
    async with asyncio.timeout(10), a_phone(25400) as bot, a_phone(25500) as colleague:
        at_colleague, call = await connect(colleague, bot)
        name, value = replacing_header(call)
        far = FarSide(bot)
        try:
            far.send("INVITE", 1, f"{name}: {value}")
            assert b"m=audio" in (await far.response(200)).body
            assert (await at_colleague.ended()).by == "callee"
            assert standing(call) is Leg.ANSWERED
            far.send("ACK", 1, SDP, body=OFFER)
            far.send("INFO", 2)
            await far.response(200)
            assert standing(call) is Leg.TALKING and media(call)[1] == (HOST, 40000)
            call.hang_up()
            far.reply(await far.request("BYE"), 200)
        finally:
            far.close()


async def test_hanging_up_a_leg_that_was_just_taken_over_waits_for_its_ack() -> None:
    """RFC 3261 §15: no BYE of ours before their ACK."""
    async with asyncio.timeout(10), a_phone(25400) as bot, a_phone(25500) as colleague:
        _, call = await connect(colleague, bot)
        name, value = replacing_header(call)
        far = FarSide(bot)
        try:
            far.send("INVITE", 1, SDP, f"{name}: {value}", body=OFFER)
            await far.response(200)
            call.hang_up()
            assert call.leg is Leg.LEAVING
            far.send("ACK", 1)
            far.reply(await far.request("BYE"), 200)
            assert (await call.ended()).by == "us"
        finally:
            far.close()
