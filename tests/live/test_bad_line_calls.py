"""A real call over a bad line: our softphone, a relay that loses and delays (bad_line.py), our server."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.softphone import Caller, Line, read_clip
from telephony.media.clock import Clock
from telephony.media.playout import Playout
from telephony.media.ports import PortPool
from telephony.media.stream import MediaReport, Stream, StreamState
from telephony.phone import Phone
from tests.impairment import Conditions
from tests.live.bad_line import BadLine, bad_line
from tests.live.server import Server

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

STORY = {
    "opening_hours": "what are your opening hours",
    "bill": "i have a question about my bill",
    "invoice_number": "four two seven one",
    "no_thank_you": "no thank you",
    "goodbye": "that is all goodbye",
}
SHORT = ("appointment", "friday", "goodbye")


async def converse(
    uri: str, clips: list[Path], conditions: Conditions, seed: int
) -> tuple[MediaReport, BadLine]:
    """Say the clips in turn, each when the agent has finished; wait until the agent hangs up."""
    async with Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 20000, 29998)) as phone:
        call = await phone.dial(uri)
        assert call.plan is not None
        assert call.rtp is not None
        async with bad_line(call.plan.remote, conditions, seed) as line:
            call.rtp.rtp.connect(line.address)  # what the server sends past the line, at first, is not heard
            playout = Playout(8000)
            caller = Caller(
                [Line(clip.stem, read_clip(clip)) for clip in clips], playout, lambda _: None, lambda: None
            )
            state = StreamState(secrets.randbits(32), 1, secrets.randbits(32))
            plan = replace(call.plan, remote=line.address)
            stream = Stream(call.rtp.rtp, None, plan, state=state, ear=caller.hear, mouth=caller.speak)
            clock = Clock(asyncio.get_running_loop())
            clock.add(stream)
            clock.start()
            try:
                async with asyncio.timeout(120):
                    ended = await call.ended()
            finally:
                clock.stop()
                stream.close()
            assert ended.by == "callee"
            return stream.report(), line


async def test_a_conversation_over_a_bad_line_is_understood(server: Server, recordings: Path) -> None:
    """Row 55: the demo's story with 3 % loss and 60 ms of jitter, both ways."""
    clips = [recordings / f"{name}.wav" for name in STORY]
    theirs, line = await converse(server.uri(), clips, Conditions(loss=0.03, jitter_s=0.06), seed=7)
    call = await server.last_call()
    facts = await server.finished(call)
    assert [turn["text"] for turn in call.of("UserTurnCommitted")] == [*STORY.values()], call.story()
    ours = facts["media"]
    assert facts["cause"] == "agent_hung_up"
    assert 0.01 < line.lost / line.sent < 0.06
    assert ours["lost"] > 0
    assert theirs.lost > 0
    assert ours["moves"] == 1  # it followed the caller to the relay
    assert ours["jitter_ms"] > 5
    assert 20 <= ours["delay_ms"] <= 140
    assert theirs.delay_ms <= 140


async def test_copies_detours_and_new_sources_in_mid_call_are_understood_too(
    server: Server, recordings: Path
) -> None:
    """Rows 53, 55: packets overtake each other, some come twice, and the caller's SSRC changes while he speaks."""
    line = Conditions(
        loss=0.02, jitter_s=0.06, in_order=False, duplicated=0.05, detour=0.02, restarts_at=(350, 700)
    )
    await converse(server.uri(), [recordings / f"{name}.wav" for name in SHORT], line, seed=3)
    call = await server.last_call()
    facts = await server.finished(call)
    texts = ["i would like to make an appointment", "on friday", "that is all goodbye"]
    assert [turn["text"] for turn in call.of("UserTurnCommitted")] == texts, call.story()
    ours = facts["media"]
    assert ours["sources"] >= 3
    assert min(ours["duplicates"], ours["reordered"]) > 10
    assert ours["delay_ms"] <= 140
