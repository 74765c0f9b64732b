"""Before the answer, with foreign phones: reliable 18x (RFC 3262) in both roles and early media both ways."""

from __future__ import annotations

import asyncio
import os
import shutil
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from telephony.call.events import Answered, CallEvent, Confirmed, MediaChanged, Ringing
from telephony.errors import CallFailed
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.uri import Uri
from tests.live.holding import READY_S
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

    async with running_server(tmp_path, spares=0, dialplan=plan) as server:
        with pytest.raises(CallFailed) as failed:
            await phone.dial(server.uri("7"), redirect=nowhere)
    assert failed.value.code == 302
    assert asked == ["sip:desk@pbx.example", "sip:night@pbx.example"]


RINGBACK = """
version: 1
defaults:
  stt: fake
  llm: {provider: fake, reply: Yes.}
  tts: {provider: fake, ms_per_char: 40}
  tones: de
agents:
  slow: {python: "tests.live.holding:Slow"}
numbers:
  - {number: 1, agent: slow, before_answer: ringback}
  - {number: 2, agent: slow, before_answer: silence}
  - {number: 3, agent: slow}
"""
RINGING_HZ = 425


def _loud_at(path: Path, hz: int, channel: int = 0) -> list[bool]:
    """For each tenth of a second of a WAV at 8000 Hz: is this tone most of what is heard?"""
    with wave.open(str(path)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        sound = sound.reshape(-1, file.getnchannels())[:, channel]
    tenths = sound[: len(sound) // 800 * 800].reshape(-1, 800)
    wanted = np.exp(-2j * np.pi * hz * np.arange(800) / 8000)
    power = np.abs(tenths @ wanted) ** 2 * 2 / 800
    return [bool(each > 0.8 * whole > 0) for each, whole in zip(power, (tenths**2).sum(axis=1), strict=True)]


@pytest.mark.parametrize(
    ("number", "code", "rings"), [("1", 183, True), ("2", 183, False), ("3", 180, False)]
)
async def test_a_caller_hears_our_ringback_until_the_agent_is_ready(
    number: str, code: int, rings: bool, tmp_path: Path
) -> None:
    """Row 26, RFC 3960 §3.2: 183 with our answer, the country's tone as early media, then the 200 and the agent;
    the recording begins with the call."""
    plan, heard = tmp_path / "plan.yaml", tmp_path / "heard.wav"
    plan.write_text(RINGBACK, encoding="utf-8")
    async with (
        running_server(tmp_path, spares=0, dialplan=plan, workers=1) as server,
        PjsipPhone(record=heard) as caller,
    ):
        await caller.call(server.uri(number))
        assert (await caller.event("early"))["code"] == code
        if code == 183:
            await caller.event("media", timeout=1)
        await caller.event("confirmed", timeout=6)
        await asyncio.sleep(1)  # of the greeting
        await caller.hang_up()
        await caller.event("disconnected")
        folder = await server.last_call()
        facts = await server.finished(folder)
    assert facts["answered_after_s"] >= READY_S
    tones = _loud_at(heard, RINGING_HZ)
    assert 4 <= sum(tones) <= 11 if rings else not any(tones), tones  # a second, then four of silence
    assert not any(tones[15:]), "it stops with the answer"
    assert not any(_loud_at(folder.audio, RINGING_HZ, channel=1))
    with wave.open(str(folder.audio)) as recording:
        assert recording.getnframes() / 8000 == pytest.approx(facts["duration_s"], abs=0.3)


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
