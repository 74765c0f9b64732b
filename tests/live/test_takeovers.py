"""Workers that are killed, stopped and blown up under a call: the caller hears no more than a breath."""

from __future__ import annotations

import os
import signal
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.server import REPOSITORY, Server, running_server
from tests.live.wire import Wire

PLAN = REPOSITORY / "tests" / "bench" / "plan.yaml"


@asynccontextmanager
async def _phone() -> AsyncIterator[Phone]:
    async with Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 31000, 31998)) as phone:
        yield phone


def worker_of(server: Server, call_folder: Path) -> int:
    """The process that has the call's recording open."""
    for pid in server.children():
        try:
            files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if str(call_folder / "audio.wav") in files:
            return pid
    raise AssertionError(f"no process writes {call_folder}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_call_outlives_its_worker(tmp_path: Path, how: signal.Signals) -> None:
    """Same ports, same SSRC, sequence numbers without a hole, and a recording of one piece."""
    async with running_server(tmp_path, dialplan=PLAN, workers=1) as server, _phone() as phone:
        await server.until_metric(
            lambda: _ready(server), lambda count: count == 2, "a worker and its spare", 20
        )
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            await wire.until(100)
            folder = await server.last_call()
            os.kill(worker_of(server, folder.path), how)
            await wire.until(150)
            assert wire.faults() == []
        assert len(folder.of("CallTakenOver")) == 1
        call.hang_up()
        await server.finished(folder)
    with wave.open(str(folder.audio)) as audio:
        lasted = audio.getnframes() / audio.getframerate()
    ended = folder.of("CallEnded")[0]["at"] - folder.of("CallAnswered")[0]["at"]
    assert abs(lasted - ended) < 0.5


async def _ready(server: Server) -> float:
    """Workers that have reported their load."""
    return sum(name.startswith("offhook_worker_memory_bytes") for name in await server.metrics())
