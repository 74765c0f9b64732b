"""Messages that cross on the wire or never arrive, with sipp as the far side. Row numbers as in docs/behaviours.md."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.call.call import Call
from telephony.call.state import Leg
from telephony.errors import CallFailed
from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.sipp import SippPhone, SippResult, SippRun
from tests.live.sipp_script import Script

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        shutil.which("sipp") is None and "CI" not in os.environ,
        reason="sipp is not installed (package sip-tester)",
    ),
]

HOST = "127.0.0.1"


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    async with Phone(host=HOST, port=0, ports=PortPool(HOST, 26000, 26400)) as ours:
        yield ours


@asynccontextmanager
async def far_side(folder: Path, script: Script) -> AsyncIterator[tuple[SippPhone, str]]:
    """sipp as the called side, playing one script; yields it and what to dial."""
    sipp = await SippPhone.start(folder / "sipp", script=script)
    try:
        yield sipp, f"sip:far@{HOST}:{sipp.port}"
    finally:
        await sipp.stop()


async def phoned(phone: Phone, script: Script, folder: Path, calls: int = 1, lost: int = 0) -> SippResult:
    """sipp phones us, playing the script on every call."""
    run = SippRun(
        "race",
        phone.address[1],
        calls=calls,
        script=script,
        resends=bool(lost),
        lost_percent=lost,
        timeout_s=60,
        hold_ms=500,
    )
    return await run.result(folder / "sipp")


def _assert_all_went_well(result: SippResult, calls: int = 1) -> None:
    assert (result.succeeded, result.failed, result.exit_code) == (calls, 0, 0), result.explain()


# ---------------------------------------------------------------- they phone us


async def test_cancel_that_crosses_our_200_leaves_the_call_standing(phone: Phone, tmp_path: Path) -> None:
    """Row 8, RFC 3261 §9.2: 200 for the CANCEL and no 487; the caller acknowledges and hangs up by BYE."""
    script = Script().calling().receive(100, optional=True).receive(200).cancel()
    script.receive(200).ask("ACK", 1).ask("BYE", 2).receive(200)
    running = asyncio.create_task(phoned(phone, script, tmp_path))
    call = await anext(phone.calls())
    call.answer()
    ended = await call.ended()
    _assert_all_went_well(await running)
    assert (ended.by, ended.code) == ("caller", 200)


async def test_487_is_repeated_until_its_ack_comes(phone: Phone, tmp_path: Path) -> None:
    """Rows 4, 8, RFC 3261 §17.2.1: the refusal of a cancelled INVITE comes again; its ACK stops it."""
    script = Script().calling().receive(100, optional=True).receive(180).cancel()
    script.receive(200).receive(487).lose(487).lose(487).acknowledge_refusal().pause(4500)
    running = asyncio.create_task(phoned(phone, script, tmp_path))
    call = await anext(phone.calls())
    call.ring()
    ended = await call.ended()
    _assert_all_went_well(await running)
    assert (ended.by, ended.code) == ("caller", 487)


async def test_a_lost_200_comes_again_and_a_lost_ack_is_made_up_for(phone: Phone, tmp_path: Path) -> None:
    """Row 1, RFC 3261 §13.3.1.4: our 200 repeats until one of their ACKs arrives; the call is one."""
    script = Script().calling().receive(100, optional=True).lose(200).lose(200).receive(200)
    script.ask("ACK", 1).ask("BYE", 2).receive(200)
    running = asyncio.create_task(phoned(phone, script, tmp_path))
    call = await anext(phone.calls())
    call.answer()
    ended = await call.ended()
    _assert_all_went_well(await running)
    assert ended.by == "caller"


async def test_bye_crossing_bye_is_answered_on_both_sides(phone: Phone, tmp_path: Path) -> None:
    """Row 10, RFC 3261 §15: ours is on its way when theirs comes; both get 200."""
    script = Script().calling().receive(100, optional=True).receive(200).ask("ACK", 1)
    script.receive("BYE").ask("BYE", 2).receive(200).respond("BYE", 200)
    running = asyncio.create_task(phoned(phone, script, tmp_path))
    call = await anext(phone.calls())
    call.answer()
    await call.settled()
    call.hang_up("done")
    ended = await call.ended()
    _assert_all_went_well(await running)
    assert ended.by == "us"


async def test_bye_before_the_ack_waits_for_it(phone: Phone, tmp_path: Path) -> None:
    """RFC 3261 §15: who answered may not hang up before the ACK is there."""
    script = Script().calling().receive(100, optional=True).receive(200).lose(200).ask("ACK", 1)
    script.receive("BYE").respond("BYE", 200)
    running = asyncio.create_task(phoned(phone, script, tmp_path))
    call = await anext(phone.calls())
    call.answer()
    call.hang_up("at once")
    assert (await call.ended()).by == "us"
    _assert_all_went_well(await running)


async def test_a_reinvite_crossing_their_bye_harms_nobody(phone: Phone, tmp_path: Path) -> None:
    """Row 10: their BYE comes while our re-INVITE waits; it gets its 200, theirs answers ours with 487."""
    script = Script().calling().receive(100, optional=True).receive(200).ask("ACK", 1)
    script.receive("INVITE").ask("BYE", 2).receive(200).respond("INVITE", 487, tag="").receive("ACK")
    running = asyncio.create_task(phoned(phone, script, tmp_path))
    call = await anext(phone.calls())
    call.answer()
    await call.settled()
    holding = asyncio.create_task(call.hold())
    assert (await call.ended()).by == "caller"
    _assert_all_went_well(await running)
    await asyncio.gather(holding, return_exceptions=True)


async def test_thirty_calls_survive_a_line_that_loses_every_seventh_message(
    phone: Phone, tmp_path: Path
) -> None:
    """Rows 1, 2, 4, RFC 3261 §17: timers A, E, G and the repeats of our 200 bring every call through."""

    async def answer() -> None:
        async for call in phone.calls():
            call.ring()
            call.answer()

    script = Script().calling_patiently().receive(200).ask("ACK", 1).pause(300)
    script.hang_up_patiently(2)
    answering = asyncio.create_task(answer())
    result = await phoned(phone, script, tmp_path, calls=30, lost=15)
    _assert_all_went_well(result, 30)
    assert result.retransmissions > 0, "nothing was lost: the test proves nothing"
    answering.cancel()


# ---------------------------------------------------------------- we phone them


async def _gives_up(phone: Phone, target: str, when: asyncio.Event) -> None:
    dialing = asyncio.create_task(phone.dial(target, listen=lambda _: when.set()))
    await when.wait()
    dialing.cancel()
    await asyncio.gather(dialing, return_exceptions=True)


async def test_200_that_crosses_our_cancel_is_acknowledged_and_hung_up(phone: Phone, tmp_path: Path) -> None:
    """Row 9, RFC 3261 §9.1, §15: too late to cancel, so ACK and then BYE."""
    script = Script().called().respond("INVITE", 180).receive("CANCEL")
    script.respond("INVITE", 200, sdp="sendrecv").receive("ACK").receive("BYE").respond("BYE", 200)
    script.respond("CANCEL", 200)
    async with far_side(tmp_path, script) as (sipp, target):
        await _gives_up(phone, target, asyncio.Event())
        await sipp.played()


async def test_a_cancelled_invite_ends_with_487(phone: Phone, tmp_path: Path) -> None:
    """Row 9: CANCEL only after the first 18x, 487 acknowledged on the INVITE's transaction."""
    script = Script().called().respond("INVITE", 180).receive("CANCEL")
    script.respond("CANCEL", 200).respond("INVITE", 487).receive("ACK")
    async with far_side(tmp_path, script) as (sipp, target):
        await _gives_up(phone, target, asyncio.Event())
        await sipp.played()


async def test_what_gets_lost_on_the_way_is_sent_again(phone: Phone, tmp_path: Path) -> None:
    """Rows 6, 31, RFC 3261 §17.1: INVITE, ACK and BYE each come again when they were lost."""
    script = Script().lose("INVITE").called().respond("INVITE", 180)
    script.respond("INVITE", 200, sdp="sendrecv").lose("ACK").respond("INVITE", 200, sdp="sendrecv")
    script.receive("ACK").lose("BYE").receive("BYE").respond("BYE", 200)
    async with far_side(tmp_path, script) as (sipp, target):
        call = await phone.dial(target)
        while phone.counters.received < 3:  # noqa: ASYNC110 # 180, 200, and the 200 for the lost ACK
            await asyncio.sleep(0.01)
        call.hang_up("done")
        await sipp.played()


async def test_a_refusal_whose_ack_was_lost_is_acknowledged_again(phone: Phone, tmp_path: Path) -> None:
    """Row 7, RFC 3261 §17.1.1.2: every repeat of the refusal gets the ACK again."""
    script = Script().called().respond("INVITE", 486).lose("ACK").respond("INVITE", 486).receive("ACK")
    async with far_side(tmp_path, script) as (sipp, target):
        with pytest.raises(CallFailed) as failed:
            await phone.dial(target)
        assert failed.value.code == 486
        await sipp.played()


async def test_their_bye_right_behind_their_200_ends_the_call(phone: Phone, tmp_path: Path) -> None:
    """Row 10: answered and hung up in one breath."""
    script = (
        Script().called().respond("INVITE", 200, sdp="sendrecv").receive("ACK").ask("BYE", 1).receive(200)
    )
    async with far_side(tmp_path, script) as (sipp, target):
        call = await phone.dial(target)
        assert (await call.ended()).by == "callee"
        await sipp.played()


async def test_reinvites_that_cross_both_get_491_and_one_is_tried_again(phone: Phone, tmp_path: Path) -> None:
    """Row 20, RFC 3261 §14.1: glare; the owner of the Call-ID waits 2.1 to 4 s, the other one less."""
    script = Script().called().respond("INVITE", 200, sdp="sendrecv").receive("ACK")
    script.receive("INVITE").ask("INVITE", 1, sdp="sendrecv").receive(100, optional=True).receive(491)
    script.ask_ack_of_refusal(1).respond("INVITE", 491, tag="").receive("ACK")
    script.receive("INVITE").respond("INVITE", 200, sdp="recvonly", tag="").receive("ACK")
    script.receive("BYE").respond("BYE", 200)
    async with far_side(tmp_path, script) as (sipp, target):
        call: Call = await phone.dial(target)
        await call.hold()
        assert call.leg is Leg.TALKING
        call.hang_up("done")
        await sipp.played()
