"""Code that keeps a loop waiting is found while it is still at it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from offhook.link import LoopBlocked
from offhook.whose import CALL
from offhook.worker.watchdog import Watchdog


@asynccontextmanager
async def watched(send: Callable[[LoopBlocked], bool]) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(loop, send)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()
        loop.set_task_factory(None)


class Reports:
    """What the watchdog's thread said. `wait` blocks, as an agent's code does, until it has."""

    def __init__(self) -> None:
        self._said: queue.Queue[LoopBlocked] = queue.Queue()

    def send(self, message: LoopBlocked) -> bool:
        self._said.put(message)
        return True

    def wait(self) -> LoopBlocked:
        return self._said.get(timeout=20)


async def test_a_block_is_reported_while_it_lasts_with_its_stack_and_its_call() -> None:
    """The task that blocks belongs to the call in whose context it was made."""
    reports = Reports()

    async def greedy_tool() -> LoopBlocked:
        return reports.wait()

    async with watched(reports.send):
        token = CALL.set("c1")
        task = asyncio.create_task(greedy_tool())
        CALL.reset(token)
        report = await task
        assert (report.call_id, report.over) == ("c1", False)
        assert "greedy_tool" in report.stack and report.blocked_ms >= 100
        end = await asyncio.to_thread(reports.wait)
        assert end.over and end.blocked_ms >= report.blocked_ms and end.stack == report.stack


async def test_a_block_of_nobody_s_is_reported_all_the_same() -> None:
    reports = Reports()
    async with watched(reports.send):
        report = await asyncio.create_task(_block(reports))
        assert report.call_id == "" and "_block" in report.stack


async def test_a_report_that_did_not_leave_is_made_again() -> None:
    """The switch was slow to read: the block still lasts, and so does the search for a way to say it."""
    tries: list[LoopBlocked] = []
    done = queue.Queue[bool]()

    def send(message: LoopBlocked) -> bool:
        tries.append(message)
        if len(tries) >= 3:
            done.put(True)
        return False

    async with watched(send):
        assert await asyncio.create_task(_wait(done))
    assert not any(message.over for message in tries)
    assert tries[0].blocked_ms < tries[2].blocked_ms


async def test_a_loop_that_waits_for_something_to_do_is_not_blocked() -> None:
    """Its own selector is nobody's code."""
    said: list[LoopBlocked] = []

    def send(message: LoopBlocked) -> bool:
        said.append(message)
        return True

    async with watched(send):
        for _ in range(20):
            await asyncio.to_thread(_nothing)
    assert not [report for report in said if "_nothing" in report.stack]


def _nothing() -> None:
    """In another thread, which may block as it likes."""
    threading.Event().wait(0.02)


async def _block(reports: Reports) -> LoopBlocked:
    return reports.wait()


async def _wait(done: queue.Queue[bool]) -> bool:
    return done.get(timeout=20)
