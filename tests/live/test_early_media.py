"""Before the answer, with foreign phones: reliable 18x (RFC 3262) in both roles and early media both ways."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from telephony.call.events import Answered, CallEvent, Confirmed, MediaChanged, Ringing
from telephony.errors import CallFailed
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.uri import Uri
from tests.live.peers import PjsipPhone
from tests.live.server import running_server
from tests.live.sipp import SippPhone, SippRun

HOST = "127.0.0.1"

PLAN = """
version: 1
agents:
  a: {instructions: x}
numbers:
  - {number: 1, agent: a}
  - {number: 7, redirect: ["sip:desk@pbx.example", "sip:night@pbx.example"]}
"""

with_sipp = pytest.mark.skipif(
    shutil.which("sipp") is None and "CI" not in os.environ,
    reason="sipp is not installed (package sip-tester)",
)
pytestmark = pytest.mark.timeout(90)


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    """Our side: signalling only, no media."""
    async with asyncio.timeout(60), Phone(host=HOST, port=0, ports=PortPool(HOST, 25000, 25200)) as ours:
        yield ours


async def test_pjsip_requires_100rel_of_us(phone: Phone) -> None:
    """Row 26: it hears media while it rings, and is talking after the 200, which waited for its PRACK."""
    async with PjsipPhone(prack=True) as caller:
        await caller.call(f"sip:100@{HOST}:{phone.address[1]}")
        call = await anext(phone.calls())
        assert "100rel" in call.request.values("Require")
        call.progress()
        await caller.event("early", code=183)
        await caller.event("media")
        call.ring()
        await caller.event("early", code=180)
        call.answer()
        await call.settled()
        await caller.event("confirmed")
        call.hang_up()
        await caller.event("disconnected")


async def test_pjsip_rings_reliably_when_we_call(phone: Phone) -> None:
    """Rows 25, 26: our PRACK satisfies it, and its early media is known before the answer."""
    async with PjsipPhone(prack=True) as callee:
        heard: list[CallEvent] = []
        audible = asyncio.Event()

        def listen(event: CallEvent) -> None:
            heard.append(event)
            if isinstance(event, MediaChanged):
                audible.set()

        dialing = asyncio.create_task(phone.dial(callee.uri, listen=listen))
        await callee.event("incoming")
        await callee.answer(183)
        await audible.wait()
        await callee.answer(180)
        await callee.answer(200)
        call = await dialing
        kinds = [type(event) for event in heard]
        assert kinds.index(MediaChanged) < kinds.index(Answered) < kinds.index(Confirmed)
        assert heard.count(Ringing(183)) == 1
        await callee.event("confirmed")
        call.hang_up()
        await callee.event("disconnected")


async def test_a_number_of_the_plan_may_send_its_callers_elsewhere(phone: Phone, tmp_path: Path) -> None:
    """RFC 3261 §21.3.3: 302 with the plan's addresses; our phone follows it only where it is told to."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    asked: list[str] = []

    def nowhere(_: Uri, target: Uri) -> bool:
        asked.append(str(target))
        return False

    async with running_server(tmp_path, dialplan=plan) as server:
        with pytest.raises(CallFailed) as failed:
            await phone.dial(server.uri("7"), redirect=nowhere)
    assert failed.value.code == 302
    assert asked == ["sip:desk@pbx.example", "sip:night@pbx.example"]


@with_sipp
async def test_sipp_misses_our_first_183(phone: Phone, tmp_path: Path) -> None:
    """Row 26, RFC 3262 §3: the 183 comes again after T1; the 200 waits for the PRACK and describes nothing."""
    run = asyncio.create_task(SippRun("uac_prack", phone.address[1], resends=False).result(tmp_path / "sipp"))
    call = await anext(phone.calls())
    call.progress()
    call.answer()
    await call.ended()
    result = await run
    assert (result.succeeded, result.failed) == (1, 0), result.explain()


@with_sipp
async def test_sipp_misses_our_first_prack(phone: Phone, tmp_path: Path) -> None:
    """Row 26, RFC 3262 §4: PRACK is repeated like any request; the next 18x has the next number."""
    callee = await SippPhone.start(tmp_path / "sipp", "uas_prack", resends=False)
    try:
        heard: list[CallEvent] = []
        call = await phone.dial(f"sip:100@{HOST}:{callee.port}", listen=heard.append)
        assert [type(event) for event in heard] == [Ringing, MediaChanged, Ringing, Answered, Confirmed]
        call.hang_up()
    finally:
        await callee.stop()
