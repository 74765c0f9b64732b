"""Whole conversations at 16 kHz: our own softphone in G.722 and in Opus, PJSIP in G.722."""

from __future__ import annotations

import asyncio
import sys
import wave
from pathlib import Path

import pytest

from tests.live.peers import PjsipPhone
from tests.live.server import REPOSITORY, Server, running_server

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

LINES = ("opening_hours.wav", "bill.wav@2.5", "invoice_number.wav", "no_thank_you.wav", "goodbye.wav")
UNDERSTOOD = [
    "what are your opening hours",
    "i have a question about my bill",
    "four two seven one",
    "no thank you",
    "that is all goodbye",
]


@pytest.fixture
def wideband(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server speaks wideband too."""
    monkeypatch.setenv("OFFHOOK_SIP__CODECS", "G722, OPUS, PCMU")


async def _softphone(server: Server, codec: str, recordings: Path) -> int | None:
    says = [word for line in LINES for word in ("--say", str(recordings / line))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "offhook", "call", server.uri(), "--codec", codec, *says, cwd=REPOSITORY
    )
    async with asyncio.timeout(90):
        return await process.wait()


@pytest.mark.usefixtures("wideband")
@pytest.mark.parametrize("codec", ["G722", "OPUS"])
async def test_a_whole_conversation_in_wideband(codec: str, recordings: Path, tmp_path: Path) -> None:
    """RFC 3551 §4.5.2, RFC 7587: voice activity, recogniser, voice and recording all run at 16 kHz."""
    async with running_server(tmp_path, spares=0, workers=1) as server:
        assert await _softphone(server, codec, recordings) == 0
        call = await server.last_call()
        facts = await server.finished(call)
    assert [turn["text"] for turn in call.of("UserTurnCommitted")] == UNDERSTOOD, call.story()
    assert len(call.of("CallerInterrupted")) == 1, call.story()
    assert (facts["cause"], facts["media"]["codec"]) == ("agent_hung_up", codec)
    with wave.open(str(call.audio)) as sound:
        assert (sound.getframerate(), sound.getnchannels()) == (16000, 2)
        assert abs(sound.getnframes() / 16000 - facts["duration_s"]) < 1.0


@pytest.mark.usefixtures("wideband")
async def test_pjsip_talks_g722_and_its_digits_arrive(recordings: Path, tmp_path: Path) -> None:
    """A foreign encoder and decoder of G.722, and telephone-event on its clock (RFC 4733 §7.1)."""
    async with (
        running_server(tmp_path, spares=0, workers=1) as server,
        PjsipPhone(codecs=["G722/16000/1"]) as phone,
    ):
        await phone.call(server.uri())
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()
        await phone.say(recordings / "opening_hours.wav")
        await phone.listen()
        await phone.dtmf("7")
        await phone.listen()  # the agent knows no 7 and says so
        await phone.hang_up()
        await phone.event("disconnected")
        call = await server.last_call()
        facts = await server.finished(call)
    assert [turn["text"] for turn in call.of("UserTurnCommitted")][0] == UNDERSTOOD[0], call.story()
    assert (facts["media"]["codec"], facts["media"]["digits"]) == ("G722", 1)
