"""Workers that are killed, stopped and blown up under a call: the caller hears no more than a breath."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.call.call import Call
from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.peers import PjsipPhone
from tests.live.poison import KEYS
from tests.live.server import REPOSITORY, CallFolder, Server, running_server
from tests.live.sipp import SippResult, SippRun
from tests.live.wire import Wire

BENCH = REPOSITORY / "tests" / "bench" / "plan.yaml"
KEY_OF = {name: key for key, name in KEYS.items()}
PLAN = """
version: 1
name: Takeovers
defaults: {{stt: fake, llm: fake, tts: {{provider: fake, ms_per_char: 20}}}}
agents:
  desk: {{python: "tests.live.poison:Poison"{more}}}
numbers:
  - {{number: any, agent: desk}}
"""

PLAN_SLOW = """
version: 1
name: Slow
defaults: {{stt: fake, llm: fake, tts: fake}}
agents:
  desk: {{python: "tests.live.holding:Slow"}}
numbers:
  - {{number: any, agent: desk, before_answer: {before}}}
"""


@asynccontextmanager
async def _phone() -> AsyncIterator[Phone]:
    async with Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 31000, 31998)) as phone:
        yield phone


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_call_outlives_its_worker(tmp_path: Path, how: signal.Signals) -> None:
    """Same ports, same SSRC, sequence numbers without a hole, and a recording of one piece."""
    async with (
        running_server(tmp_path, workers_die=True, dialplan=BENCH, workers=1) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            await wire.until(100)
            folder = await server.last_call()
            os.kill(server.worker_of(folder), how)
            await wire.until(150)
            assert wire.faults() == []
        assert len(folder.of("CallTakenOver")) == 1
        call.hang_up()
        await server.finished(folder)
    with wave.open(str(folder.audio)) as audio:
        lasted = audio.getnframes() / audio.getframerate()
    ended = folder.of("CallEnded")[0]["at"] - folder.of("CallAnswered")[0]["at"]
    assert abs(lasted - ended) < 0.5
    assert folder.facts["media"]["sent"] >= 150, "of both workers"


@asynccontextmanager
async def poisoned(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, more: str = "", settings: str = ""
) -> AsyncIterator[tuple[Server, Phone]]:
    """A worker whose agent has poison in its tools, its warm spare, and a phone."""
    monkeypatch.setenv("POISON_LOG", str(folder / "ran"))
    plan = folder / "plan.yaml"
    await asyncio.to_thread(plan.write_text, PLAN.format(more=more))
    async with (
        running_server(folder, workers_die=True, dialplan=plan, workers=1, settings=settings) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        yield server, phone


async def says(call: Call, folder: CallFolder, server: Server, key: str) -> None:
    """Press a key, once the agent has been quiet, and wait until the agent knows."""
    before = len(folder.of("UserTurnCommitted"))
    await server.until(lambda: folder.of("AgentStateChanged")[-1]["new"] == "listening", "a pause", 15)
    await call.send_digits(key)
    await server.until(lambda: len(folder.of("UserTurnCommitted")) > before, f"the turn of {key}", 15)


def direction(call: Call) -> str:
    """Which way sound goes, as the phone sees it."""
    return call.plan.direction if call.plan is not None else ""


async def spoken(folder: CallFolder, server: Server, words: str) -> None:
    """Wait until the agent has said this."""
    await server.until(
        lambda: any(words in event["text"] for event in folder.of("AgentSpoke")), f"the words {words!r}", 20
    )


@pytest.mark.parametrize("how", ["segfault", "leave", "block", "grow"])
async def test_a_tool_that_takes_its_worker_down_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The next worker knows what the caller had told the first one, and that nobody knows what became of the tool."""
    limit = "worker_memory_mb: 400\n" if how == "grow" else ""
    async with poisoned(tmp_path, monkeypatch, settings=limit) as (server, phone):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await spoken(folder, server, "Hello")
            await says(call, folder, server, "0")
            await spoken(folder, server, "thing 1")
            await says(call, folder, server, KEY_OF[how])
            await spoken(folder, server, "You told me my name is Ada. That was thing 2.")
            assert wire.faults() == []
        call.hang_up()
        facts = await server.finished(folder)
        assert (tmp_path / "ran").read_text().split() == [how]
    assert len(folder.of("CallTakenOver")) == 1, folder.story()
    assert facts["takeovers"] == 1


async def test_a_storm_of_errors_costs_its_tool_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with poisoned(tmp_path, monkeypatch) as (server, phone):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await spoken(folder, server, "Hello")
            await says(call, folder, server, "0")
            await says(call, folder, server, KEY_OF["storm"])
            await spoken(folder, server, "thing 2")
            assert wire.faults() == []
        call.hang_up()
        await server.finished(folder)
    assert folder.of("CallTakenOver") == []


async def test_a_call_that_takes_two_workers_down_gets_no_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller hears why, by the switch itself, and the call is ended; workers for others are left."""
    async with poisoned(tmp_path, monkeypatch) as (server, phone):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await spoken(folder, server, "Hello")
            await says(call, folder, server, KEY_OF["again"])
            await server.until(lambda: bool(folder.of("CallGivenUp")), "an end of it", 20)
            begins = len(wire.packets)
            await call.ended()
            said = [packet for packet in wire.packets[begins:] if len(set(packet.payload)) > 3]
            assert len(said) > 100, "two seconds of an announcement"
            assert wire.faults() == []
        facts = await server.finished(folder)
        assert (tmp_path / "ran").read_text().split() == ["again", "again"]
        await server.warm(2)
    assert len(folder.of("CallTakenOver")) == 1, folder.story()
    assert facts["cause"] == "worker_lost"


async def test_a_call_on_hold_is_fetched_back_by_the_next_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The far side was asked to wait, and hears music; whoever would have resumed is gone."""
    async with poisoned(tmp_path, monkeypatch) as (server, phone):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await spoken(folder, server, "Hello")
            await says(call, folder, server, KEY_OF["wait"])
            await server.until(lambda: bool(folder.of("CallHeld")), "a hold", 15)
            await wire.until(50)
            assert direction(call) == "recvonly"
            os.kill(server.worker_of(folder), signal.SIGKILL)
            await server.until(lambda: bool(folder.of("CallResumed")), "the end of the hold", 15)
            await spoken(folder, server, "You told me wait")
            assert direction(call) == "sendrecv"
            assert wire.faults() == []
        call.hang_up()
        await server.finished(folder)
        assert (tmp_path / "ran").read_text().split() == ["wait"]


async def test_a_message_outlives_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded after the beep is kept, and stands in the record."""
    async with poisoned(tmp_path, monkeypatch) as (server, phone):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await spoken(folder, server, "Hello")
            await says(call, folder, server, KEY_OF["message"])
            await server.until(lambda: (folder.path / "message-1.wav").exists(), "a message", 15)
            await wire.until(120)
            os.kill(server.worker_of(folder), signal.SIGKILL)
            await spoken(folder, server, "You told me message")
            assert wire.faults() == []
        call.hang_up()
        facts = await server.finished(folder)
    (message,) = facts["messages"]
    assert message["file"] == "message-1.wav" and message["seconds"] >= 1.0


@pytest.mark.parametrize("early", [False, True])
async def test_a_call_that_still_rings_is_answered_by_the_next_worker(tmp_path: Path, early: bool) -> None:
    """The agent takes its time to open its recogniser. Early media, if there is any, and the call are one stream."""
    plan = tmp_path / "plan.yaml"
    before = "ringback" if early else "ringing"
    plan.write_text(PLAN_SLOW.format(before=before))
    async with (
        running_server(tmp_path, workers_die=True, dialplan=plan, workers=1) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        dialling = asyncio.create_task(phone.dial(server.uri()))
        folder = await server.last_call()
        await server.until(lambda: server.has_call(folder), "a worker that prepares the call", 10)
        os.kill(server.worker_of(folder), signal.SIGKILL)
        call = await dialling
        await server.until(lambda: bool(folder.of("CallTakenOver")), "another worker", 15)
        async with Wire.tap(call) as wire:
            await spoken(folder, server, "Hello, here I am.")
            assert wire.faults() == []
        call.hang_up()
        facts = await server.finished(folder)
    assert facts["takeovers"] == 1


async def test_an_encrypted_call_goes_on_under_its_keys(tmp_path: Path, recordings: Path) -> None:
    """PJSIP's libsrtp takes what the next worker sends, and it takes what PJSIP does; nothing is forged or replayed. It
    takes the switch's silence for a worker that is stopped, too: what it did not take it would count as lost."""
    async with (
        running_server(tmp_path, workers_die=True, dialplan=BENCH, workers=1) as server,
        PjsipPhone(srtp="optional") as phone,
    ):
        await server.warm(2)
        await phone.call(server.uri())
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()
        folder = await server.last_call()
        for takeovers in (1, 2):
            await server.warm(2)
            os.kill(server.worker_of(folder), signal.SIGKILL)
            await server.taken_over(folder, takeovers)
            await phone.say(recordings / "opening_hours.wav")
            await phone.listen()
        await server.warm(2)
        before = await _silence_sent(server)
        os.kill(server.worker_of(folder), signal.SIGSTOP)
        await server.taken_over(folder, 3)
        assert await _silence_sent(server) - before > 20, "most of a second"
        await spoken(folder, server, "I am sorry for the interruption.")
        lost = (await phone.statistics())["lost"]
        await phone.hang_up()
        facts = await server.finished(folder)
    assert facts["media"]["srtp"] and facts["takeovers"] == 3
    assert (facts["media"]["unauthenticated"], facts["media"]["replayed"]) == (0, 0)
    assert len(folder.of("UserTurnCommitted")) == 2, folder.story()
    assert lost == 0


async def test_words_that_were_spoken_over_a_kill_are_answered(tmp_path: Path, recordings: Path) -> None:
    """The recogniser that heard the beginning is dead; its successor hears the whole question from the sound that was
    kept, and from the socket. One that listens to sound, not one that is told what was said."""
    async with running_server(tmp_path, workers_die=True, workers=1) as server, PjsipPhone() as phone:
        await server.warm(2)
        await phone.call(server.uri())
        await phone.event("media", timeout=20)
        await phone.listen()
        folder = await server.last_call()
        await phone.say(recordings / "opening_hours.wav", timeout=None)
        await server.until(lambda: bool(folder.of("CallerStartedSpeaking")), "words of the caller", 15)
        os.kill(server.worker_of(folder), signal.SIGKILL)
        await phone.event("said", timeout=30)
        await server.taken_over(folder)
        await spoken(folder, server, "We are open from Monday to Friday")
        await phone.hang_up()
        await server.finished(folder)
    (turn,) = folder.of("UserTurnCommitted")
    assert "opening hours" in turn["text"], folder.story()


@pytest.mark.skipif(shutil.which("sipp") is None and "CI" not in os.environ, reason="sipp is not installed")
async def test_calls_of_sipp_outlive_workers_that_are_killed(tmp_path: Path) -> None:
    """Whatever state they are in: ringing, between 200 and ACK, talking, hanging up. Each is one stream to its end."""
    calls, killed = 30, 0
    async with running_server(tmp_path, workers_die=True, dialplan=BENCH, workers=2) as server:
        await server.warm(3)
        run = SippRun("uac_talk", server.sip_port, "200", calls, calls_a_second=3, hold_ms=4000)
        running = asyncio.create_task(run.result(tmp_path / "sipp"))
        while killed < 3 and (pid := await _busy_worker(server, running)):
            os.kill(pid, signal.SIGKILL)
            killed += 1
            await server.warm_again(pid, 3)
        result = await running
        await server.idle()
        metrics = await server.metrics()
    assert (result.succeeded, result.failed) == (calls, 0), result.explain()
    assert metrics["offhook_takeovers_total"] >= killed >= 1
    assert [(heard.gaps, len(heard.ssrcs), len(heard.sources)) for heard in result.heard] == [
        (0, 1, 1)
    ] * calls


async def _busy_worker(server: Server, running: asyncio.Task[SippResult]) -> int:
    """One with calls, by the sockets that it has; 0 if there are no more calls."""
    while not running.done():
        if busy := [pid for pid in server.children() if server.sockets(pid) > 8]:
            return busy[0]
        await asyncio.sleep(0.05)
    return 0


async def _silence_sent(server: Server) -> float:
    """Packets that the switch has sent in a worker's place."""
    return (await server.metrics())["offhook_silence_sent_total"]
