"""Session timers and INVITE Expires of a phone against a far side written out by hand."""

from __future__ import annotations

import asyncio

import pytest

from telephony.call.call import Call
from telephony.call.state import Leg
from telephony.phone import Phone
from telephony.sip.message import Request, Response
from tests.telephony.trunk.wire import HOST, OFFER, FarSide, a_far_side, a_phone

TIMER = ("Supported: timer", "Session-Expires: 600;refresher=uas")


async def talking(phone: Phone, far: FarSide, *lines: str) -> Call:
    """far calls, is answered, and has acknowledged."""
    await far.open(phone)
    far.out(far.request("INVITE", 1, *lines, body=OFFER))
    call = await anext(phone.calls())
    call.answer()
    answer = await far.response(200)
    assert answer.get("Session-Expires") == "600;refresher=uas"
    far.out(far.request("ACK", 1))
    await call.settled()
    return call


def later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_we_refresh_by_update_when_the_caller_takes_it() -> None:
    """Row 29: no body, for the media did not change; not refreshed for long, it is refreshed again."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        call = await talking(phone, far, *TIMER, "Allow: INVITE, ACK, BYE, UPDATE")
        for number in (9, 10):
            call.check_session(later(301))
            update = await far.asked("UPDATE")
            assert (update.body, update.get("Session-Expires")) == (b"", "600;refresher=uac")
            far.out(reply(update, "600;refresher=uac"))
            far.out(far.request("INFO", number))  # once this is answered, the 200 before it was heard
            await far.response(200)
        assert call.leg is Leg.TALKING
        call.hang_up()
        far.reply(await far.asked("BYE"), 200)


async def test_we_refresh_by_a_re_invite_that_changes_nothing() -> None:
    """Row 29, 45: same session, same version in o=."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        call = await talking(phone, far, *TIMER)
        call.check_session(later(301))
        first = await far.asked("INVITE")
        far.reply(first, 200, body=OFFER)
        await far.asked("ACK")
        far.out(far.request("INFO", 9))
        await far.response(200)
        assert call.leg is Leg.TALKING
        call.hang_up()
        far.reply(await far.asked("BYE"), 200)


async def test_a_session_that_they_do_not_refresh_ends_with_bye() -> None:
    """Row 29: their phone is gone, and no media timeout told us, for it was on hold."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        call = await talking(phone, far, *TIMER)
        call.check_session(later(569))
        far.reply(await far.asked("BYE"), 200)
        ended = await call.ended()
        assert (ended.by, ended.code, ended.reason) == ("network", 408, "nobody refreshed the session")


async def test_their_refresh_is_answered_though_nothing_changed() -> None:
    """Row 29: an UPDATE without body, its interval and refresher confirmed."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        call = await talking(phone, far, *TIMER)
        far.out(far.request("UPDATE", 2, "Supported: timer", "Session-Expires: 300;refresher=uac"))
        answer = await far.response(200)
        assert answer.get("Session-Expires") == "300;refresher=uac"
        assert answer.get("Require") == "timer"
        call.hang_up()
        far.reply(await far.asked("BYE"), 200)


async def test_a_session_timer_too_small_is_refused() -> None:
    """Row 28: 422 with Min-SE, and no call."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        await far.open(phone)
        far.out(far.request("INVITE", 1, "Supported: timer", "Session-Expires: 30", body=OFFER))
        assert (await far.response(422)).get("Min-SE") == "90"
        assert phone.live == ()


async def test_our_invite_offers_a_session_timer() -> None:
    """Row 28, 29: without saying who refreshes; a far side that ignores it has none."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        dialing = asyncio.create_task(phone.dial(f"sip:far@{HOST}:{far.port};transport=tcp"))
        invite = await far.asked("INVITE")
        assert (invite.get("Supported"), invite.get("Session-Expires")) == ("timer", "1800")
        far.reply(invite, 200, body=OFFER)
        call = await dialing
        call.check_session(later(4000))
        assert call.leg is Leg.TALKING
        call.hang_up()
        far.reply(await far.asked("BYE"), 200)


@pytest.mark.parametrize("expires", ["0", "00 ;x"])
async def test_an_invite_that_expires_is_answered_with_487(expires: str) -> None:
    """Row 30, RFC 3261 §13.3.1."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        await far.open(phone)
        far.out(far.request("INVITE", 1, f"Expires: {expires}", body=OFFER))
        assert (await far.response(487)).cseq.method == "INVITE"
        far.out(far.request("ACK", 1))
        assert phone.live == ()


async def test_an_answered_call_does_not_expire() -> None:
    """Row 30: Expires limits the ringing, not the call; one that cannot be read limits nothing."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        call = await talking(phone, far, *TIMER, "Expires: soon")
        call.expire()
        assert call.leg is Leg.TALKING
        call.hang_up()
        far.reply(await far.asked("BYE"), 200)


def reply(update: Request, session: str) -> bytes:
    """200 to a refresh."""
    return Response.answering(update, 200).add("Session-Expires", session).encode()
