"""Workers that are started while the dial plan changes: none takes a call before it knows the new agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from offhook.link import Configure
from offhook.switch.pool import Pool
from offhook.switch.worker import Worker

FAKES = {"stt": "fake", "llm": "scripted", "tts": "fake", "vad": "fake"}
PATIENT = """
import os, time
from pathlib import Path
from pipeline.agent.agent import Agent

HERE = Path(__file__).parent
(HERE / f"begun-{os.getpid()}").touch()
while not (HERE / "go").exists():
    time.sleep(0.01)

class Patient(Agent):
    def __init__(self):
        super().__init__(instructions="Wait.")
        (HERE / f"made-{os.getpid()}").touch()
"""
OLD: dict[str, Any] = {"a": {"instructions": "x"}}
NEW: dict[str, Any] = {"a": {"python": "patient_agent:Patient"}}


@asynccontextmanager
async def a_pool(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """One worker and its spare, with the old plan's agents. The new plan's takes its time to be imported."""
    (folder / "patient_agent.py").write_text(PATIENT)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    configure = Configure(providers=FAKES, agents=OLD, log={}, media_timeout_s=30.0, models_socket=None)
    pool = Pool(1, configure, lambda worker, message: None, lambda worker: None)
    running = asyncio.create_task(pool.run())
    try:
        async with asyncio.timeout(40):
            yield pool
    finally:
        (folder / "go").touch()
        await pool.stop()
        running.cancel()
        await asyncio.wait({running})


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 # another process
        await asyncio.sleep(0.01)


def made(folder: Path, worker: Worker) -> bool:
    """Has this worker made the agent of the new plan?"""
    return (folder / f"made-{worker.pid}").exists()


async def test_a_worker_that_gets_ready_while_the_others_rehearse_rehearses_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was started with the old plan, and would have had calls of the new one without its tools."""
    async with a_pool(tmp_path, monkeypatch) as pool:
        await pool.wait_ready()
        first, spare = pool.workers
        assert not spare.ready
        rehearsing = asyncio.create_task(pool.rehearse(NEW))
        await until(lambda: spare.ready)
        (tmp_path / "go").touch()
        assert await rehearsing == ""
        assert made(tmp_path, first) and made(tmp_path, spare)


async def test_a_worker_that_is_being_started_when_a_plan_is_adopted_takes_no_call_before_it_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pool(tmp_path, monkeypatch) as pool:
        await pool.wait_ready()
        _, spare = pool.workers
        await until(lambda: spare.link is not None)
        pool.adopt(NEW)
        await until(lambda: (tmp_path / f"begun-{spare.pid}").exists())
        assert not spare.ready
        (tmp_path / "go").touch()
        await until(lambda: spare.ready)
        assert made(tmp_path, spare)


async def test_a_worker_that_cannot_play_the_plan_adopted_meanwhile_is_started_again_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was started with is not what calls would ask of it."""
    async with a_pool(tmp_path, monkeypatch) as pool:
        await pool.wait_ready()
        _, spare = pool.workers
        await until(lambda: spare.link is not None)
        pid = spare.pid
        pool.adopt({"a": {"instructions": "x", "llm": [{"name": "grok"}]}})
        await until(lambda: spare.pid != pid)
        assert not spare.ready
        pool.adopt(OLD)
        await until(lambda: spare.ready)
