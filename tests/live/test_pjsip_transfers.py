"""PJSIP, a mature SIP stack that is not ours, transfers our calls, and is transferred by us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.call.state import Leg
from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.peers import PjsipPhone
from tests.live.server import CallFolder, Server, running_server

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

PBX = """
trunks:
  - {name: pbx, allow_from: 127.0.0.1, allowed: ["2XX"]}
"""


@asynccontextmanager
async def a_pbx(tmp_path: Path) -> AsyncIterator[tuple[Server, PjsipPhone, PjsipPhone]]:
    """A server whose PBX is this machine, a phone that talks to the agent, and the desk, which answers."""
    async with (
        PjsipPhone(answer_with=200) as desk,
        PjsipPhone() as phone,
        running_server(tmp_path, spares=0, settings=PBX) as server,
    ):
        await phone.call(server.uri())
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()  # the greeting
        yield server, phone, desk


def extension(desk: PjsipPhone) -> str:
    """The desk's number at the PBX."""
    return f"sip:201@127.0.0.1:{desk.port}"


async def asks_the_agent(desk: PjsipPhone, server: Server, recordings: Path, by: str) -> CallFolder:
    """The desk has the agent on the line now, asks it something and is answered; one call all the while."""
    call = await server.last_call()
    await server.until(lambda: bool(call.of("CallMoved")), "CallMoved", 10)
    await desk.say(recordings / "opening_hours.wav")
    await desk.listen(timeout=30)
    await desk.hang_up()
    await desk.event("disconnected")
    facts = await server.finished(call)
    assert len(server.calls()) == 1
    assert facts["ended_by"] == "caller", call.story()
    assert [event["by"] for event in call.of("CallMoved")] == [by], call.story()
    assert [turn["understood"] for turn in call.of("UserTurnCommitted")] == [True], call.story()
    assert [event["agent"] for event in call.of("AgentEntered")] == ["reception"], call.story()
    return call


async def test_a_bot_that_a_pbx_transfers_talks_on_at_the_desk(tmp_path: Path, recordings: Path) -> None:
    """RFC 3515: REFER in, 202, NOTIFYs, a new leg; the same conversation goes on, and the old leg is ended."""
    async with a_pbx(tmp_path) as (server, phone, desk):
        await phone.transfer(extension(desk))
        told = await phone.event("transfer_status", timeout=20, final=True)
        assert told["code"] == 200
        await desk.event("media")
        assert (await phone.event("disconnected", timeout=20))["code"] == 200
        await asks_the_agent(desk, server, recordings, "refer")


async def test_a_bot_is_not_sent_to_numbers_that_the_trunk_may_not_dial(tmp_path: Path) -> None:
    """Toll fraud: 403, nobody is phoned, and the conversation stands."""
    async with a_pbx(tmp_path) as (server, phone, desk):
        await phone.transfer(f"sip:+19005551234@127.0.0.1:{desk.port}")
        told = await phone.event("transfer_status", timeout=20)
        assert told["code"] == 403
        assert not [event for event in desk.events if event["event"] == "incoming"]
        assert (await phone.statistics())["received"] > 0
        await phone.hang_up()
        await phone.event("disconnected")
        await server.idle()


async def test_a_bot_takes_a_place_in_an_attended_transfer(tmp_path: Path, recordings: Path) -> None:
    """RFC 5589 §7: the phone asks the desk, then REFERs the bot with Replaces: its leg replaces the phone's."""
    async with a_pbx(tmp_path) as (server, phone, desk):
        await phone.call(extension(desk))
        await phone.event("confirmed", timeout=20, call=2)
        await desk.event("media")
        await phone.connect(1, 2)
        told = await phone.event("transfer_status", timeout=20, final=True)
        assert told["code"] == 200
        await desk.event("replaced", timeout=20)
        await desk.event("confirmed", timeout=20, call=2)
        await desk.event("disconnected", timeout=20, call=1)
        await phone.event("disconnected", timeout=20, call=1)
        await asks_the_agent(desk, server, recordings, "refer")


async def test_a_phone_takes_the_callers_place_at_the_bot(tmp_path: Path, recordings: Path) -> None:
    """RFC 3891: the phone REFERs the desk to its call with the bot; the desk's INVITE replaces that leg."""
    async with a_pbx(tmp_path) as (server, phone, desk):
        await phone.call(extension(desk))
        await phone.event("confirmed", timeout=20, call=2)
        await desk.event("media")
        await phone.connect(2, 1)
        moved = await desk.event("transfer", timeout=20)
        await desk.event("confirmed", timeout=20, call=moved["followed_by"])
        assert (await phone.event("disconnected", timeout=20, call=1))["code"] == 200
        await asks_the_agent(desk, server, recordings, "replaces")


async def test_we_connect_two_phones_with_each_other_and_leave(recordings: Path) -> None:
    """RFC 5589 §7, row 33: our REFER with Replaces is understood by one, its INVITE by the other."""
    ports = PortPool("127.0.0.1", 16384, 16484)
    async with (
        PjsipPhone(answer_with=200) as anna,
        PjsipPhone(answer_with=200) as desk,
        Phone(host="127.0.0.1", port=0, ports=ports) as ours,
        asyncio.timeout(60),
    ):
        to_anna, to_desk = await ours.dial(anna.uri), await ours.dial(desk.uri)
        outcome = await to_anna.transfer_to(to_desk)
        assert (outcome.ok, outcome.code) == (True, 200)
        await asyncio.gather(to_anna.ended(), to_desk.ended())
        assert to_anna.leg is to_desk.leg is Leg.OVER and ports.lent == 0
        moved = await anna.event("transfer")
        await anna.event("confirmed", call=moved["followed_by"])
        await desk.event("replaced")
        await anna.event("media", call=moved["followed_by"])
        await desk.event("media", call=2)
        await anna.say(recordings / "opening_hours.wav", timeout=None)
        await desk.event("voice", timeout=20, seconds=0)
