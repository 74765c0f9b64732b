"""The foreign phones among themselves: when these fail, a failing call to the server proves nothing."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import sys
from array import array
from pathlib import Path

import pytest

from tests.live.peers import PhoneError, PjsipPhone
from tests.live.sipp import SippPhone, SippRun
from tests.live.sound import (
    RATE_HZ,
    ULAW_TO_LINEAR,
    encode_ulaw,
    frames_of,
    loudest_second,
    samples_of,
    write_wav,
)

pytestmark = pytest.mark.timeout(120)

CALLERS = Path(__file__).resolve().parents[1] / "bench" / "callers.py"
needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed (sip-tester)")


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """One second of 440 Hz, as loud as speech."""
    path = tmp_path / "tone.wav"
    samples = array("h", (int(8000 * math.sin(2 * math.pi * 440 * n / RATE_HZ)) for n in range(RATE_HZ)))
    write_wav(path, samples)
    return path


def test_mu_law_survives_the_round_trip_within_one_step() -> None:
    """ITU-T G.711: the error stays within half a step, 1/32 of the amplitude; every code maps to itself."""
    for sample in range(-32635, 32636, 7):
        back = ULAW_TO_LINEAR[encode_ulaw(array("h", [sample]))[0]]
        assert abs(back - sample) <= max(8, abs(sample) / 32 + 4)
    codes = [code for code in range(256) if code != 0x7F]  # minus zero comes back as zero
    assert list(encode_ulaw(array("h", (ULAW_TO_LINEAR[code] for code in codes)))) == codes


async def test_two_pjsip_phones_talk_press_keys_and_hang_up(tone: Path, tmp_path: Path) -> None:
    """RFC 3261 §13, RFC 4733: both hear the other, digits arrive in order, BYE ends both."""
    heard = tmp_path / "heard.wav"
    async with PjsipPhone() as caller, PjsipPhone(answer_with=200, record=heard) as called:
        await caller.call(called.uri, {"X-Ticket": "7"})
        await caller.event("early", code=180)
        await caller.event("confirmed")
        await caller.event("media")
        await called.event("media")
        await caller.say(tone)
        await called.listen(timeout=10)
        await caller.dtmf("12#")
        assert [(await called.event("dtmf"))["digit"] for _ in range(3)] == ["1", "2", "#"]
        assert (await caller.statistics())["lost"] == 0
        await called.hang_up()
        assert (await caller.event("disconnected"))["code"] == 200
        with pytest.raises(PhoneError, match="the call is over"):
            await caller.event("said")
    assert loudest_second(heard) > 1000


async def test_pjsip_cancels_is_refused_and_follows_a_transfer() -> None:
    """RFC 3261 §9, §21; RFC 3515: 487 after CANCEL, 486 from a busy phone, a new call after REFER."""
    async with (
        PjsipPhone() as caller,
        PjsipPhone() as ringing,
        PjsipPhone(answer_with=486) as busy,
        PjsipPhone(answer_with=200) as first,
        PjsipPhone(answer_with=200) as second,
    ):
        await caller.call(ringing.uri)
        await caller.event("early", code=180)
        await caller.cancel()
        assert (await caller.event("disconnected"))["code"] == 487
        await caller.call(busy.uri)
        assert (await caller.event("disconnected"))["code"] == 486
        await caller.call(first.uri)
        await caller.event("confirmed")
        await first.event("confirmed")
        await first.transfer(second.uri)
        transfer = await caller.event("transfer")
        await caller.event("confirmed", call=transfer["followed_by"])
        assert (await first.event("transfer_status", final=True))["code"] == 200


@needs_sipp
async def test_sipp_hears_on_every_call_what_it_said(tone: Path, tmp_path: Path) -> None:
    """RFC 3550: sipp plays, another sipp echoes, the observer counts each call's packets."""
    phone = await SippPhone.start(tmp_path / "phone")
    try:
        speech = frames_of(tone)
        run = SippRun("uac_talk", phone.port, calls=5, hold_ms=1500, speech=speech)
        result = await run.result(tmp_path / "sipp")
    finally:
        await phone.stop()
    assert (result.succeeded, result.failed) == (5, 0), result.explain()
    assert [(heard.packets, heard.voiced, heard.gaps) for heard in result.heard] == [(50, 50, 0)] * 5


@needs_sipp
async def test_sipp_s_odd_callers_are_understood_by_pjsip(tone: Path, tmp_path: Path) -> None:
    """RFC 3261 §9, §13, §21: the scenarios are right, because a stack that is not ours passes them."""
    speech = frames_of(tone)
    async with (
        PjsipPhone(answer_with=200) as phone,
        PjsipPhone() as ringing,
        PjsipPhone(answer_with=404) as unknown,
    ):
        runs = [
            SippRun("uac_retransmit", phone.port, speech=speech, resends=False),
            SippRun("uac_late_offer", phone.port, speech=speech),
            SippRun("uac_bad_media", phone.port),
            SippRun("uac_cancel", ringing.port),
            SippRun("uac_unknown_number", unknown.port),
        ]
        for run in runs:
            result = await run.result(tmp_path / run.scenario)
            assert (result.succeeded, result.failed) == (1, 0), f"{run.scenario}: {result.explain()}"


@needs_sipp
async def test_a_sipp_call_that_fails_is_reported_with_its_reason(tmp_path: Path) -> None:
    """A busy phone makes the talking caller fail, and the words of sipp say with which code."""
    async with PjsipPhone(answer_with=486) as busy:
        result = await SippRun("uac_talk", busy.port).result(tmp_path / "sipp")
    assert (result.succeeded, result.failed) == (0, 1)
    assert "486" in result.problems


@needs_sipp
async def test_the_load_generator_counts_what_an_echo_sends_back(tone: Path, tmp_path: Path) -> None:
    """RFC 3550: as many packets come back as were sent, none missing, every call answered and ended."""
    phone = await SippPhone.start(tmp_path / "phone")
    try:
        target = f"sip:100@127.0.0.1:{phone.port}"
        options = ["--calls", "10", "--rate", "20", "--hold", "2", "--manner", "fixed", "--json"]
        callers = await asyncio.create_subprocess_exec(
            sys.executable,
            str(CALLERS),
            *("--target", target, "--clip", str(tone)),
            *options,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await callers.communicate()
    finally:
        await phone.stop()
    assert callers.returncode == 0
    outcome = json.loads(output)
    assert (outcome["answered"], outcome["failures"]) == (10, {})
    assert outcome["rtp"]["received"] == outcome["rtp"]["sent"]
    assert outcome["rtp"]["missing"] == 0
    assert outcome["rtp"]["received_min_a_call"] > 60
    assert outcome["rtp"]["first_voice_ms"]["n"] == 10


def test_a_clip_of_the_wrong_shape_is_refused_by_name(tmp_path: Path) -> None:
    """A 16 kHz clip would be spoken at half speed: the error names the file and the remedy."""
    path = tmp_path / "wide.wav"
    write_wav(path, array("h", [0] * 160))
    path.write_bytes(path.read_bytes().replace((8000).to_bytes(4, "little"), (16000).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"wide\.wav.*sox"):
        samples_of(path)
