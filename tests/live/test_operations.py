"""What operators do to a server that is full of calls: reload it, drain it, fill it up, give it code that blocks."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.errors import CallFailed
from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.server import REPOSITORY, CallFolder, Server, ServerError, running_server
from tests.live.wire import Wire

BENCH = REPOSITORY / "tests" / "bench" / "plan.yaml"
GAP_MS = (
    500.0  # what a machine that is full of other tests may make of it; docs/operations.md has the figures
)

AGENT = """
import time
from pipeline.agent.agent import Agent

class Clerk(Agent):
    def __init__(self):
        super().__init__(instructions="Answer.")

    async def on_enter(self):
        self.session.say("{greeting}")

class Sleeper(Agent):
    def __init__(self):
        super().__init__(instructions="Answer.")

    async def on_enter(self):
        take_a_nap()

def take_a_nap():
    time.sleep({nap_s})
"""
PLAN = """
version: 1
name: Operations
defaults: {stt: fake, llm: {provider: fake, reply: Thank you.}, tts: {provider: fake, ms_per_char: 20}}
agents:
  clerk: {python: "reloaded_agent:Clerk"}
  sleeper: {python: "reloaded_agent:Sleeper"}
numbers:
  - {number: "100", agent: clerk}
  - {number: "200", agent: sleeper}
"""


@asynccontextmanager
async def _phone() -> AsyncIterator[Phone]:
    async with Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 28000, 28998)) as phone:
        yield phone


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan whose agents stand in a file that the tests rewrite."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    _write_agents(tmp_path)
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def _write_agents(folder: Path, greeting: str = "This is the old one.", nap_s: float = 0.0) -> None:
    text = AGENT.replace("{greeting}", greeting).replace("{nap_s}", str(nap_s))
    (folder / "reloaded_agent.py").write_text(text, encoding="utf-8")


async def _reload(server: Server, *options: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "offhook", "reload", "--http-port", str(server.http_port), *options),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said = (await process.communicate())[0].decode()
    assert process.returncode is not None
    return process.returncode, said


def _workers(server: Server) -> set[int]:
    found = set()
    for pid in server.children():
        try:
            if b"offhook.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
        except OSError:
            continue
    return found


async def _all_ready(server: Server, count: int) -> None:
    """Workers that have reported their load."""

    async def ready() -> float:
        return sum(name.startswith("offhook_worker_memory_bytes") for name in await server.metrics())

    await server.until_metric(ready, lambda found: found >= count, f"{count} workers", 30)


async def _spoken(server: Server, folder: CallFolder, words: str) -> None:
    def heard() -> bool:
        return any(words in str(event.get("text")) for event in folder.of("AgentSpoke"))

    await server.until(heard, f"agent that says {words!r}", 20)


def _one_stream(wire: Wire) -> None:
    """One SSRC, and every sequence number once. In order, too, as far as processes are that share two cores."""
    first = wire.packets[0].sequence
    assert len({packet.ssrc for packet in wire.packets}) == 1
    came = sorted((packet.sequence - first + 100) & 0xFFFF for packet in wire.packets)
    assert came == list(range(came[0], came[0] + len(came)))


# ------------------------------------------------------------ reload


async def test_a_reload_moves_calls_to_new_workers_and_new_callers_get_the_new_code(
    tmp_path: Path, plan: Path
) -> None:
    """Same stream, no hole in it; the old processes are gone afterwards."""
    async with running_server(tmp_path, dialplan=plan, workers=1) as server, _phone() as phone:
        await _all_ready(server, 2)
        old = _workers(server)
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await _spoken(server, folder, "the old one")
            _write_agents(tmp_path, greeting="This is the new one.")
            code, said = await _reload(server)
            assert code == 0, said
            assert "1 calls are being moved" in said
            await server.until(lambda: bool(folder.of("CallHandedOver")), "handover", 20)
            await wire.until(50)
            _one_stream(wire)
            gaps = sorted(wire.gaps_ms())
            assert gaps[-1] < GAP_MS, gaps[-5:]
        await server.until(lambda: not old & _workers(server), "end of the old workers", 20)
        assert len(_workers(server)) == 2
        assert [event["again"] for event in folder.of("ConversationResumed")] == [""]
        assert not folder.of("CallTakenOver")
        other = await phone.dial(server.uri())
        await _spoken(server, await server.last_call(), "the new one")
        for each in (call, other):
            each.hang_up()
            await each.ended()
        facts = await server.finished(folder)
        assert facts["cause"] == "caller_hung_up"


async def test_a_reload_that_drains_leaves_calls_where_they_are(tmp_path: Path, plan: Path) -> None:
    """The old worker goes when its last call does."""
    async with running_server(tmp_path, dialplan=plan, workers=1) as server, _phone() as phone:
        await _all_ready(server, 2)
        old = _workers(server)
        call = await phone.dial(server.uri())
        folder = await server.last_call()
        await _spoken(server, folder, "the old one")
        code, said = await _reload(server, "--drain")
        assert code == 0 and "1 calls stay" in said, said
        await server.until(lambda: len(old & _workers(server)) == 1, "end of the old spare", 20)
        call.hang_up()
        await server.until(lambda: not old & _workers(server), "end of the old worker", 20)
        assert not folder.of("CallHandedOver")


async def test_code_that_cannot_be_loaded_changes_nothing(tmp_path: Path, plan: Path) -> None:
    """The command says why and fails; the old workers go on, with their calls and with new ones."""
    async with running_server(tmp_path, dialplan=plan, workers=1) as server, _phone() as phone:
        await _all_ready(server, 2)
        old = _workers(server)
        (tmp_path / "reloaded_agent.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
        code, said = await _reload(server)
        assert code == 1 and "reloaded_agent" in said and "The old ones go on" in said, said
        await server.until(lambda: _workers(server) == old, "end of the new workers", 20)
        call = await phone.dial(server.uri())
        await _spoken(server, await server.last_call(), "the old one")
        call.hang_up()
        await call.ended()


# ------------------------------------------------------------ drain


async def test_a_drained_server_lets_calls_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    """503 with Retry-After to who calls, not ready but healthy, and it leaves with its last call."""
    async with (
        _phone() as phone,
        running_server(tmp_path, dialplan=BENCH, settings="drain_s: 60\n") as server,
    ):
        call = await phone.dial(server.uri())
        os.kill(server.pid, signal.SIGTERM)
        await server.until_metric(lambda: _is_ready(server), lambda ready: not ready, "drain", 10)
        assert "ok" in await server.get("/healthz")
        with pytest.raises(CallFailed) as refused:
            await phone.dial(server.uri())
        assert refused.value.code == 503
        assert phone.live == (call,)
        call.hang_up()
        async with asyncio.timeout(15):
            assert await server.process.wait() == 0
        assert server.calls()[0].facts["cause"] == "caller_hung_up"


async def test_when_the_time_is_up_the_agent_says_goodbye_before_it_hangs_up(tmp_path: Path) -> None:
    """In the agent's language, from the first word to the last."""
    async with (
        _phone() as phone,
        running_server(tmp_path, dialplan=BENCH, settings="drain_s: 1\n") as server,
    ):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            await wire.until(60)
            os.kill(server.pid, signal.SIGTERM)
            ended = await call.ended()
        assert ended.by == "callee"
        folder = server.calls()[0]
        assert (await server.finished(folder))["cause"] == "server_stopped"
        assert "Please call again in a few minutes. Goodbye." in folder.of("AgentSpoke")[-1]["text"]


async def test_the_second_signal_ends_calls_now(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice means it."""
    async with (
        _phone() as phone,
        running_server(tmp_path, dialplan=BENCH, settings="drain_s: 600\n") as server,
    ):
        call = await phone.dial(server.uri())
        os.kill(server.pid, signal.SIGTERM)
        await server.until_metric(lambda: _is_ready(server), lambda ready: not ready, "drain", 10)
        assert phone.live == (call,)
        os.kill(server.pid, signal.SIGINT)
        async with asyncio.timeout(8):
            assert (await call.ended()).by == "callee"


async def _is_ready(server: Server) -> float:
    try:
        await server.get("/readyz")
    except ServerError:
        return 0.0
    return 1.0


# ------------------------------------------------------------ isolation


async def test_code_that_blocks_is_reported_with_its_stack_and_costs_only_its_own_call(
    tmp_path: Path, plan: Path
) -> None:
    """calls_per_worker 1: the other call is in another process, whose clock goes on."""
    _write_agents(tmp_path, nap_s=0.6)
    settings = "calls_per_worker: 1\n"
    async with (
        running_server(tmp_path, dialplan=plan, workers=1, settings=settings) as server,
        _phone() as phone,
    ):
        await _all_ready(server, 2)
        good = await phone.dial(server.uri())
        async with Wire.tap(good) as wire:
            await wire.until(10)
            bad = await phone.dial(server.uri("200"))
            folder = await server.last_call()
            await server.until(lambda: bool(folder.of("LoopBlocked")), "report", 20)
            await wire.until(25)
            assert max(wire.gaps_ms()) < GAP_MS
        (report,) = folder.of("LoopBlocked")
        assert "take_a_nap" in report["stack"] and 100 <= report["blocked_ms"] < 600
        await server.until(
            lambda: any("loop_blocked" in line and "over=True" in line for line in server.log), "end", 10
        )
        assert set(phone.live) == {good, bad}
        for call in (good, bad):
            call.hang_up()
            await call.ended()


async def test_a_worker_that_stays_blocked_is_killed_and_the_others_never_notice(
    tmp_path: Path, plan: Path
) -> None:
    """Its call gets another worker; one that does the same again and again is ended."""
    _write_agents(tmp_path, nap_s=3600)
    settings = "calls_per_worker: 1\nwedged_after_s: 0.4\n"
    async with (
        running_server(tmp_path, workers_die=True, dialplan=plan, workers=1, settings=settings) as server,
        _phone() as phone,
    ):
        await _all_ready(server, 2)
        good = await phone.dial(server.uri())
        async with Wire.tap(good) as wire:
            bad = await phone.dial(server.uri("200"))
            folder = await server.last_call()
            async with asyncio.timeout(40):
                await bad.ended()
            assert max(wire.gaps_ms()) < GAP_MS
        assert "take_a_nap" in folder.of("LoopBlocked")[0]["stack"]
        assert (await server.finished(folder))["cause"] == "worker_lost"
        assert phone.live == (good,)


async def test_every_call_has_a_process_of_its_own_and_surplus_ones_leave(tmp_path: Path) -> None:
    """One warm worker and one spare at the start; three calls need three, and two more are kept warm."""
    settings = "calls_per_worker: 1\n"
    async with (
        running_server(tmp_path, dialplan=BENCH, workers=1, settings=settings) as server,
        _phone() as phone,
    ):
        await _all_ready(server, 2)
        calls = []
        for number in range(3):
            calls.append(await phone.dial(server.uri()))
            await _all_ready(server, number + 3)
        metrics = await server.metrics()
        per_worker = [value for name, value in metrics.items() if name.startswith("offhook_worker_calls{")]
        assert sorted(per_worker) == [0, 0, 1, 1, 1]
        for call in calls:
            call.hang_up()
            await call.ended()
        await server.until(lambda: len(_workers(server)) == 2, "end of the surplus workers", 20)


# ------------------------------------------------------------ overload


async def test_beyond_capacity_callers_are_sent_away_until_there_is_room_again(tmp_path: Path) -> None:
    """503 with Retry-After; the call that is on keeps its packets. Here a worker may use a thousandth of a core."""
    settings = "overload: {cpu: 0.001, late_ms: 0}\n"
    async with (
        running_server(tmp_path, dialplan=BENCH, workers=1, settings=settings) as server,
        _phone() as phone,
    ):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            await server.until_metric(lambda: _full(server), bool, "overload", 20)
            with pytest.raises(CallFailed) as refused:
                await phone.dial(server.uri())
            assert refused.value.code == 503
            before = len(wire.packets)
            await wire.until(25)
            _one_stream(wire)
            assert len(wire.packets) >= before + 25
        call.hang_up()
        await call.ended()
        await server.until_metric(lambda: _full(server), lambda full: not full, "room again", 20)
        again = await phone.dial(server.uri())
        again.hang_up()
        await again.ended()


async def _full(server: Server) -> float:
    return (await server.metrics())["offhook_full"]
