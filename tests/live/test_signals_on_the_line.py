"""A caller whose exchange speaks by tones: keys as sound, then busy. Real server, real time, about fifteen seconds."""

from __future__ import annotations

import asyncio
import secrets
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from telephony.call.call import Call
from telephony.media.clock import Clock
from telephony.media.codecs import Frame
from telephony.media.ports import PortPool
from telephony.media.stream import Stream, StreamState
from telephony.media.tones import TONE_TICKS, tone_frame
from telephony.phone import Phone
from tests.live.server import REPOSITORY, Server, running_server

HOST = "127.0.0.1"
PLAN = REPOSITORY / "tests" / "bench" / "plan.yaml"


def the_line() -> Iterator[Frame | None]:
    """What the caller's side plays: two keys, then busy tone for ever."""
    yield from [None] * 25
    for digit in "42":
        yield from (tone_frame(digit, tick, 8000) for tick in range(TONE_TICKS))
        yield from [None] * 3
    at = 2 * np.pi * 425 * np.arange(160 * 24) / 8000
    tone = (4000 * np.sin(at)).astype(np.int16).reshape(24, 160)
    while True:
        yield from tone
        yield from [None] * 24


def a_fax() -> Iterator[Frame | None]:
    """What an answering fax plays."""
    at = 2 * np.pi * 2100 * np.arange(160) / 8000  # 42 whole periods a frame
    while True:
        yield (4000 * np.sin(at)).astype(np.int16)


@asynccontextmanager
async def a_call(
    server: Server, line: Iterator[Frame | None], number: str = "100"
) -> AsyncIterator[tuple[Call, Stream]]:
    """A caller who plays `line`."""
    async with Phone(host=HOST, port=0, ports=PortPool(HOST, 30000, 30998)) as phone:
        call = await phone.dial(server.uri(number))
        assert call.rtp is not None and call.plan is not None
        stream = Stream(
            call.rtp.rtp,
            call.rtp.rtcp,
            call.plan,
            state=StreamState.drawn(secrets.randbits),
            ear=lambda frame, now: None,
            mouth=lambda now: next(line),
            mute_tones=False,
        )
        clock = Clock(asyncio.get_running_loop())
        clock.add(stream)
        clock.start()
        try:
            async with asyncio.timeout(20):
                yield call, stream
        finally:
            clock.stop()


async def test_a_line_that_only_gives_busy_tone_is_let_go_and_keys_as_sound_were_heard(
    tmp_path: Path,
) -> None:
    """ITU-T E.180, Q.24: gateways to analogue lines send no BYE. The record says how the call sounded."""
    async with (
        running_server(tmp_path, spares=0, dialplan=PLAN) as server,
        a_call(server, the_line()) as (call, stream),
    ):
        ended = await call.ended()
        ours = stream.report()
        folder = await server.last_call()
        facts = await server.finished(folder)
    assert (ended.by, facts["cause"]) == ("callee", "busy_tone")
    assert [event["digit"] for event in folder.of("KeyPressed")] == ["4", "2"]
    assert [event["kind"] for event in folder.of("ToneHeard")] == ["busy"]
    assert facts["media"]["tones"] == 1
    assert facts["media"]["mos"] > 4  # on loopback
    assert ours.remote_mos is not None
    assert ours.remote_mos > 4  # by RTCP XR of the server


async def test_a_fax_is_let_go_where_the_operator_says_so(tmp_path: Path) -> None:
    """ITU-T T.30 §4.3.3.3; by default it is only told."""
    async with (
        running_server(tmp_path, spares=0, dialplan=PLAN, settings="hang_up_on: [busy, fax]\n") as server,
        a_call(server, a_fax()) as (call, _),
    ):
        ended = await call.ended()
        folder = await server.last_call()
        facts = await server.finished(folder)
    assert (ended.by, facts["cause"]) == ("callee", "fax")
    assert [event["kind"] for event in folder.of("ToneHeard")] == ["fax_ced"]


def a_machine() -> Iterator[Frame | None]:
    """An announcement, then the beep of an answering machine and silence for the message."""
    yield from [None] * 25
    with wave.open(str(REPOSITORY / "tests" / "recordings" / "opening_hours.wav")) as file:
        said = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    yield from said[: len(said) // 160 * 160].reshape(-1, 160)
    yield from [None] * 25
    at = 2 * np.pi * 1000 * np.arange(160) / 8000
    yield from [(6000 * np.sin(at)).astype(np.int16)] * 30
    while True:
        yield None


async def test_an_agent_is_told_of_a_beep_and_leaves_its_message(tmp_path: Path) -> None:
    """From sound on the wire to `on_tone` of examples/ringback.py."""
    plan = REPOSITORY / "examples" / "ringback.yaml"
    async with (
        running_server(tmp_path, spares=0, dialplan=plan) as server,
        a_call(server, a_machine(), "400") as (call, _),
    ):
        ended = await call.ended()
        folder = await server.last_call()
        facts = await server.finished(folder)
    assert (ended.by, facts["cause"]) == ("callee", "message_left"), folder.story()
    assert [event["kind"] for event in folder.of("ToneHeard")] == ["beep"]
    assert "until six" in folder.of("AgentSpoke")[-1]["text"]
