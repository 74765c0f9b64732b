"""The call workers: started, counted, chosen, replaced.

Each is a child process at the other end of a link. A worker that dies is reported once and started again, with a
pause that grows while it keeps dying."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from offhook.errors import OffhookError
from offhook.link import (
    TO_SWITCH,
    Configure,
    Link,
    Load,
    Message,
    Ping,
    Rehearse,
    Rehearsed,
    Stop,
    WorkerFailed,
    WorkerReady,
)
from telephony.errors import Overloaded

log = structlog.get_logger()

PING_EVERY_S = 1.0
STOP_TIMEOUT_S = 5.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # numpy's own threads would take the clock's core
REHEARSAL_TIMEOUT_S = 60.0  # MCP servers may be slow to come
STABLE_AFTER_S = 10.0  # a worker that lived this long starts again without a pause


@dataclass(slots=True, eq=False)
class Worker:
    """One call worker, as the switch sees it."""

    number: int
    process: asyncio.subprocess.Process | None = None
    link: Link | None = None
    ready: bool = False
    calls: set[str] = field(default_factory=set)
    load: Load | None = None
    started: float = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def send(self, message: Message, fds: Iterable[int] = ()) -> None:
        """Put a message on its link; nothing happens if it is gone."""
        if self.link is not None:
            self.link.send(message, tuple(fds))


class Pool:
    """All workers of a switch.

    on_message(worker, message) gets what concerns a call; on_lost(worker) is called when one is gone, with its
    calls still listed.
    """

    def __init__(
        self,
        count: int,
        configure: Configure,
        on_message: Callable[[Worker, Message], None],
        on_lost: Callable[[Worker], None],
    ) -> None:
        self.workers = [Worker(number) for number in range(count)]
        self.restarts = 0
        self._configure = configure
        self._on_message, self._on_lost = on_message, on_lost
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._rehearsals = 0
        self._rehearsing: dict[
            tuple[int, int], asyncio.Future[str]
        ] = {}  # rehearsal and worker → what is wrong
        self._first_ready: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Keep every worker alive until cancelled or `stop`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ping(), name="ping workers")
            for worker in self.workers:
                tasks.create_task(self._keep(worker), name=f"worker {worker.number}")

    async def wait_ready(self) -> None:
        """Until at least one worker takes calls. Raises OffhookError if they cannot play the dial plan."""
        await asyncio.shield(self._first_ready)

    def pick(self) -> Worker:
        """The least loaded worker. Raises Overloaded if none is ready."""
        ready = [worker for worker in self.workers if worker.ready]
        if not ready:
            raise Overloaded("no call worker is ready; they are being started. Try again in a second.")
        return min(ready, key=lambda worker: len(worker.calls))

    async def rehearse(self, agents: Mapping[str, Any]) -> str:
        """Let every worker make the agents of a new plan once. Returns why one cannot, "" if all can."""
        self._rehearsals += 1
        number, asked = self._rehearsals, [worker for worker in self.workers if worker.ready]
        answers = {(number, worker.number): self._loop.create_future() for worker in asked}
        self._rehearsing |= answers
        try:
            for worker in asked:
                worker.send(Rehearse(number=number, agents=dict(agents)))
            async with asyncio.timeout(REHEARSAL_TIMEOUT_S):
                reasons = await asyncio.gather(*answers.values())
        except TimeoutError:
            return f"a worker could not make its agents within {REHEARSAL_TIMEOUT_S:.0f} s"
        finally:
            for key in answers:
                del self._rehearsing[key]
        return next(filter(None, reasons), "")

    def adopt(self, agents: Mapping[str, Any]) -> None:
        """Workers that start from now on rehearse these."""
        self._configure = self._configure.model_copy(update={"agents": dict(agents)})

    async def stop(self) -> None:
        """Ask all to leave, then see that they do."""
        self._stopping = True
        for worker in self.workers:
            worker.send(Stop())
        for process in [worker.process for worker in self.workers if worker.process is not None]:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                log.warning(
                    "worker_killed", pid=process.pid, reason=f"did not leave in {STOP_TIMEOUT_S:.0f} s"
                )
                process.kill()
                await process.wait()

    async def _keep(self, worker: Worker) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping:
            try:
                await self._live(worker)
            except OSError as error:
                log.error("worker_not_started", error=str(error))
            if self._stopping:
                return
            lived = self._loop.time() - worker.started
            pause = FIRST_PAUSE_S if lived > STABLE_AFTER_S else min(pause * 2, LONGEST_PAUSE_S)
            self.restarts += 1
            log.error("worker_lost", number=worker.number, calls=len(worker.calls), restart_in_s=pause)
            self._on_lost(worker)
            await asyncio.sleep(pause)

    async def _live(self, worker: Worker) -> None:
        """One life of a worker process."""
        ours, theirs = socket.socketpair()
        worker.started, worker.calls, worker.load = self._loop.time(), set(), None
        command = (sys.executable, "-m", "offhook.worker", "--link-fd", str(theirs.fileno()))
        try:
            worker.process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=[theirs.fileno()],
                env=os.environ | ONE_THREAD,
                start_new_session=True,  # Ctrl-C is for the switch, which says goodbye first
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        worker.link = Link(
            ours, TO_SWITCH, lambda message, _: self._received(worker, message), self._link_closed
        )
        worker.send(self._configure)
        try:
            await worker.process.wait()
        finally:
            worker.ready = False
            for (_, asked), answer in self._rehearsing.items():
                if asked == worker.number and not answer.done():
                    answer.set_result(
                        ""
                    )  # it is replaced, and the new one starts with whatever plan is in use
            worker.link.close()
            worker.link = None

    def _received(self, worker: Worker, message: Message) -> None:
        match message:
            case WorkerReady():
                worker.ready = True
                if not self._first_ready.done():
                    self._first_ready.set_result(None)
            case WorkerFailed():
                self._failed(message.reason)
            case Load():
                worker.load = message
            case Rehearsed():
                answer = self._rehearsing.get((message.number, worker.number))
                if answer is not None and not answer.done():
                    answer.set_result(message.reason)
            case _:
                self._on_message(worker, message)

    def _failed(self, reason: str) -> None:
        """A worker cannot play the plan. Before the first call that is an error at the keyboard, not a loop."""
        log.error("worker_failed", reason=reason)
        if not self._first_ready.done():
            self._first_ready.set_exception(OffhookError(reason))

    def _link_closed(self, error: Exception | None) -> None:
        if error is not None and not self._stopping:
            log.error("worker_link_broken", error=str(error))

    async def _ping(self) -> None:
        while True:
            for worker in self.workers:
                worker.send(Ping(sent=self._loop.time()))
            await asyncio.sleep(PING_EVERY_S)
