"""Live calls and their replays: a bundle comes to the same turns as the call that it is the record of."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from offhook.bundle import Bundle, Record
from offhook.demo.story import caller_lines, departures
from offhook.replay.jobs import Item, work
from offhook.settings import Providers
from offhook.softphone import place_call
from pipeline.providers.cassette.tape import Tape
from tests.live.server import REPOSITORY, CallFolder, running_server
from tests.offhook.replay.recorded import caller_wav, options, replayed, turns

Turns = list[tuple[str, str, bool]]


def _plan(tmp_path: Path) -> Path:
    """The demo's, with a tape of every call."""
    plan = tmp_path / "taped.yaml"
    text = (REPOSITORY / "dialplans" / "demo.yaml").read_text(encoding="utf-8")
    plan.write_text(text.replace('recording: "on"', 'recording: "on"\n  cassette: "on"'), encoding="utf-8")
    return plan


async def _story(tmp_path: Path, plan: Path, recordings: Path) -> CallFolder:
    async with running_server(tmp_path, spares=0, dialplan=plan, workers=1) as server:
        await place_call(server.uri("100"), caller_lines(recordings), timeout_s=80.0)
        call = await server.last_call()
        await server.finished(call)
        return call


def _heard_out(record: Record) -> Turns:
    """Where exactly somebody was cut off is a matter of 20 ms."""
    return [(who, "" if cut else text, cut) for who, text, cut in turns(record)]


def _words(record: Record) -> list[str]:
    return [event["text"] for event in record.events if event["type"] == "UserTurnCommitted"]


@pytest.mark.timeout(180)
def test_a_live_call_replays_to_the_turns_that_it_had(tmp_path: Path, recordings: Path) -> None:
    plan = _plan(tmp_path)
    call = asyncio.run(_story(tmp_path, plan, recordings))
    live = Bundle.open(call.path)
    assert departures(live.events) == [], call.story()
    assert Tape.read(call.path) is not None
    taped = replayed(call.path, tmp_path / "tape", plan=plan, to="", providers=Providers())
    assert taped.facts["replay"]["tape"]["missed"] == {}, call.story()
    assert _heard_out(taped) == _heard_out(live)
    reactive: dict[str, Any] = {"plan": plan, "to": "", "providers": Providers(), "caller": "reactive"}
    again = replayed(call.path, tmp_path / "reactive", **reactive)
    assert _heard_out(again) == _heard_out(live)
    # Without the tape the recogniser hears the same sound some milliseconds shifted: the same words, but now and then
    # it is less sure of them, and the agent asks again.
    embedded = replayed(call.path, tmp_path / "embedded", cassette="off", **reactive)
    assert _words(embedded) == _words(live)


@pytest.mark.timeout(120)
def test_a_replay_in_real_time_is_the_same_conversation_on_the_wall_clock(tmp_path: Path) -> None:
    """Nine seconds: the greeting, the caller, the goodbye. Time passes, and counts from the recording's beginning."""
    call = caller_wav(tmp_path / "call.wav", ((7.0, "goodbye"),))
    virtual = replayed(call, tmp_path / "virtual")
    began = time.monotonic()
    real = replayed(call, tmp_path / "real", realtime=True)
    assert time.monotonic() - began >= real.facts["duration_s"] > 8.0
    assert turns(real) == turns(virtual)
    assert (real.id, real.facts["cause"]) == (virtual.id, "agent_hung_up")
    assert real.facts["replay"]["clock"] == "real"
    walls = [event["wall"] for event in real.events]
    assert walls == sorted(walls)
    assert real.facts["started"] <= walls[0]
    assert walls[-1] <= "2000-01-01T00:01", "not from when this machine was started"


@pytest.mark.timeout(120)
async def test_a_recording_phones_a_running_server(tmp_path: Path) -> None:
    """Real SIP and RTP, the recording in the caller's mouth; the bundle is the server's own."""
    call = caller_wav(tmp_path / "call.wav", ((7.0, "goodbye"),))
    async with running_server(tmp_path, spares=0, workers=1) as server:
        theirs = options(tmp_path / "theirs", via=server.uri("100"), server_calls=server.folder / "calls")
        ours = options(tmp_path / "ours", via=server.uri("100"))
        done = await asyncio.to_thread(work, Item(call, theirs))
        assert done.error == ""
        record = Bundle.open(done.bundles[0])
        assert [text for who, text, _ in turns(record) if who == "caller"] == ["that is all goodbye"]
        assert record.facts["replay"]["clock"] == "sip"
        done = await asyncio.to_thread(work, Item(call, ours))
        assert done.error == ""
        assert Bundle.open(done.bundles[0]).audio_path is not None
