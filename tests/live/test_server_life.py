"""The server from outside: what it refuses, what it outlives, what it says when it cannot start."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.call.events import Ended
from telephony.errors import CallFailed
from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.server import CONSOLE, REPOSITORY, Server, running_server

PLAN = REPOSITORY / "tests" / "bench" / "plan.yaml"


@asynccontextmanager
async def _phone() -> AsyncIterator[Phone]:
    async with Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 30000, 30998)) as phone:
        yield phone


async def _ended_within(server: Server, phone: Phone, number: str = "100") -> Ended:
    call = await phone.dial(server.uri(number))
    async with asyncio.timeout(30):
        return await call.ended()


async def test_a_call_without_any_sound_is_ended_by_the_media_timeout(tmp_path: Path) -> None:
    """RFC 3550 has no goodbye that can be relied on: a phone that vanished is noticed by its silence."""
    async with (
        running_server(tmp_path, dialplan=PLAN, settings="media_timeout_s: 1\n") as server,
        _phone() as phone,
    ):
        ended = await _ended_within(server, phone)
        assert ended.by == "callee"
        facts = await server.finished(await server.last_call())
    assert facts["cause"] == "media_timeout"


async def test_beyond_the_cap_callers_are_told_when_to_come_back(tmp_path: Path) -> None:
    """RFC 3261 §21.5.4: 503 with Retry-After, and the call that is on goes on."""
    async with (
        running_server(tmp_path, dialplan=PLAN, settings="max_calls: 1\n") as server,
        _phone() as phone,
    ):
        first = await phone.dial(server.uri())
        with pytest.raises(CallFailed, match="503") as refused:
            await phone.dial(server.uri())
        assert refused.value.code == 503
        assert phone.live == (first,)
        first.hang_up()
        await first.ended()
        await server.idle()
        again = await phone.dial(server.uri())
        again.hang_up()
        await again.ended()


async def test_a_killed_worker_is_replaced_and_its_calls_go_on(tmp_path: Path) -> None:
    """No call notices; the next caller is answered."""
    async with (
        running_server(tmp_path, workers_die=True, dialplan=PLAN, workers=2) as server,
        _phone() as phone,
    ):
        await server.until_metric(
            lambda: _workers(server), lambda count: count == 3, "two workers, one spare", 20
        )
        calls = [await phone.dial(server.uri()) for _ in range(2)]  # the least loaded worker takes each
        victim = next(pid for pid in server.children() if "offhook.worker" in _command(pid))
        os.kill(victim, signal.SIGKILL)
        await server.until(
            lambda: sum(bool(call.of("CallTakenOver")) for call in server.calls()) == 1, "a takeover", 20
        )
        await server.until(
            lambda: sum("offhook.worker" in _command(pid) for pid in server.children()) == 3,
            "third worker",
            20,
        )
        assert list(phone.live) == calls
        third = await phone.dial(server.uri())
        for call in phone.live:
            call.hang_up()
        await third.ended()


async def test_killing_the_model_host_or_the_console_costs_no_call(tmp_path: Path) -> None:
    """They are started again; the call on the line goes on, and the next one is understood."""
    async with running_server(tmp_path, console=CONSOLE, dialplan=PLAN) as server, _phone() as phone:
        call = await phone.dial(server.uri())
        helpers = [pid for pid in server.children() if "offhook.worker" not in _command(pid)]
        assert len(helpers) == 2
        for pid in helpers:
            os.kill(pid, signal.SIGKILL)
        await server.until(lambda: len(set(server.children()) - set(helpers)) >= 4, "two new helpers", 20)
        assert phone.live == (call,)
        call.hang_up()
        await call.ended()
        await server.finished(await server.last_call())


async def test_a_signal_says_goodbye_to_calls_and_leaves_complete_records(tmp_path: Path) -> None:
    """SIGTERM: BYE to who is on the line; running_server sees that no process stays."""
    async with _phone() as phone:
        async with running_server(tmp_path, dialplan=PLAN) as server:
            call = await phone.dial(server.uri())
            ended = asyncio.ensure_future(call.ended())
        assert (await ended).by == "callee"
        assert server.calls()[0].facts["cause"] == "server_stopped"


async def test_ctrl_c_is_an_orderly_goodbye_too(tmp_path: Path) -> None:
    """A terminal sends SIGINT to the whole process group; only the switch may take it."""
    command = ["-m", "offhook", "serve", "--sip-port", "0", "--http-port", "0", "--host", "127.0.0.1"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "--dialplan",
        str(PLAN),
        cwd=REPOSITORY,
        env={
            **os.environ,
            "OFFHOOK_CALLS_DIR": str(tmp_path),
            "OFFHOOK_DATABASE": f"sqlite:///{tmp_path / 'db'}",
            "OFFHOOK_PLAN_VERSIONS": str(tmp_path / "plans"),
            "OFFHOOK_CONSOLE__PORT": "0",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        first = (await process.stdout.readline()).decode()
        os.killpg(process.pid, signal.SIGINT)
        rest = (await process.stdout.read()).decode()
        code = await process.wait()
    assert first.startswith("ready ")
    assert (code, rest) == (0, "")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("version: 1\nagents:\n  a:\n    instruction: x\nnumbers: []\n", "plan.yaml:4:5: "),
        (
            "version: 1\nagents: {a: {instructions: x, tools: ['no.such:tool']}}\nnumbers: [{number: any, agent: a}]\n",
            "plan.yaml:2:39: tool 'no.such:tool': there is no module no.such",
        ),
    ],
)
async def test_a_wrong_plan_stops_serve_with_its_place_and_remedy(
    tmp_path: Path, plan: str, said: str
) -> None:
    """No traceback: one paragraph for the person at the keyboard, and exit code 1."""
    (tmp_path / "plan.yaml").write_text(plan, encoding="utf-8")
    command = ["-m", "offhook", "serve", "--sip-port", "0", "--http-port", "0", "--host", "127.0.0.1"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "--dialplan",
        str(tmp_path / "plan.yaml"),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        text = (await process.communicate())[0].decode()
    assert process.returncode == 1
    assert said in text
    assert "Traceback" not in text


async def _workers(server: Server) -> float:
    """How many have reported their load."""
    return sum(name.startswith("offhook_worker_memory_bytes") for name in await server.metrics())


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""
