"""The call workers: started, counted, chosen, replaced.

Each is a child process at the other end of a link. A worker that dies is reported once and started again, with a
pause that grows while it keeps dying of itself."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from offhook.errors import OffhookError
from offhook.link import (
    TO_SWITCH,
    Configure,
    HandIn,
    Load,
    Message,
    Ping,
    Rehearse,
    Rehearsed,
    Stop,
    WorkerFailed,
    WorkerReady,
)
from offhook.wire import Link
from telephony.errors import Overloaded

log = structlog.get_logger()

PING_EVERY_S = 1.0
STOP_TIMEOUT_S = 5.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # numpy's own threads would take the clock's core
REHEARSAL_TIMEOUT_S = 60.0  # MCP servers may be slow to come
STABLE_AFTER_S = 10.0  # a worker that lived this long starts again without a pause
QUIET_S = 2.5  # a worker that has not said its load for so long gets no calls if there is another
FOREIGN_DEATHS = (
    -signal.SIGKILL,
    -signal.SIGTERM,
    -signal.SIGINT,
    -signal.SIGHUP,
)  # nobody does that to himself


@dataclass(slots=True, eq=False)
class Worker:
    """One call worker, as the switch sees it."""

    number: int
    spare: bool = False  # warm, and without calls until another one is lost
    process: asyncio.subprocess.Process | None = None
    link: Link | None = None
    ready: bool = False
    calls: set[str] = field(default_factory=set)
    load: Load | None = None
    started: float = 0.0
    heard: float = 0.0  # loop time of its last word
    lost: bool = False  # this life of it is over
    killed: bool = False  # by us
    blocked: bool = False  # because its own code stood in its way

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def activity(self) -> tuple[str, float]:
        """What the kernel says of it: its state (R, S, D, T, ...) and the CPU seconds that it has had."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return "", 0.0
        facts = stat.rpartition(")")[2].split()
        return facts[0], (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def shot(self) -> bool:
        """Did somebody outside end it?"""
        code = self.process.returncode if self.process is not None else None
        return code in FOREIGN_DEATHS and not self.killed

    def send(self, message: Message, fds: Iterable[int] = ()) -> None:
        """Put a message on its link; nothing happens if it is gone."""
        if self.link is not None:
            self.link.send(message, tuple(fds))


class Pool:
    """All workers of a switch.

    on_message(worker, message) gets what concerns a call; on_lost(worker) is called as soon as one is gone, with its
    calls still listed: a spare, which is started and warm, has taken its place by then.
    """

    def __init__(
        self,
        count: int,
        configure: Configure,
        on_message: Callable[[Worker, Message], None],
        on_lost: Callable[[Worker], None],
        spares: int = 1,
    ) -> None:
        self.workers = [Worker(number, spare=number >= count) for number in range(count + spares)]
        self.restarts = 0
        self._configure = configure
        self._on_message, self._on_lost = on_message, on_lost
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._noted = ""
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

    @property
    def size(self) -> int:
        """How many workers take calls."""
        return sum(not worker.spare for worker in self.workers)

    async def wait_ready(self) -> None:
        """Until at least one worker takes calls. Raises OffhookError if they cannot play the dial plan."""
        await asyncio.shield(self._first_ready)

    def pick(self) -> Worker:
        """The least loaded worker, one that speaks if there is one. Raises Overloaded if none is ready."""
        ready = [worker for worker in self.workers if worker.ready]
        if not ready:
            raise Overloaded("no call worker is ready; they are being started. Try again in a second.")
        now = self._loop.time()
        return min(ready, key=lambda one: (now - one.heard > QUIET_S, one.spare, len(one.calls)))

    def kill(self, worker: Worker) -> None:
        """It does not do its work: end it now. Its calls are lost to it, on_lost says so."""
        worker.killed = True
        self._end(worker)

    def _end(self, worker: Worker) -> None:
        if worker.process is not None and worker.process.returncode is None:
            with suppress(ProcessLookupError):
                worker.process.kill()
        self._lost(worker)

    def relieve(self, worker: Worker) -> bool:
        """Let another worker have its calls: it saves them and leaves. False if there is no other one."""
        if not any(other.ready and other is not worker for other in self.workers):
            return False
        worker.ready = False
        worker.send(HandIn())
        return True

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
            stable = self._loop.time() - worker.started > STABLE_AFTER_S or worker.shot
            pause = FIRST_PAUSE_S if stable else min(pause * 2, LONGEST_PAUSE_S)
            self.restarts += 1
            self._lost(worker)
            log.error("worker_restarts", number=worker.number, restart_in_s=pause)
            await asyncio.sleep(pause)

    async def _live(self, worker: Worker) -> None:
        """One life of a worker process."""
        worker.started, worker.calls, worker.load = self._loop.time(), set(), None
        worker.lost = worker.killed = worker.blocked = False
        if worker.spare:  # who takes calls is started first
            await asyncio.wait([self._first_ready])
            if self._stopping or self._first_ready.exception() is not None:
                return
        ours, theirs = socket.socketpair()
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
        if self._stopping:  # it was told to nobody that this one was on its way
            worker.process.kill()
        worker.link = Link(
            ours,
            TO_SWITCH,
            lambda message, _: self._received(worker, message),
            lambda error: self._link_closed(worker, error),
        )
        worker.send(self._configure)
        try:
            await worker.process.wait()
            if worker.link is not None:
                worker.link.read_rest()  # its end may be seen here before its last words are
        finally:
            worker.ready = False
            if worker.link is not None:
                worker.link.close()
                worker.link = None
            for (_, asked), answer in self._rehearsing.items():
                if asked == worker.number and not answer.done():  # the next one starts with the plan in use
                    answer.set_result("")

    def _lost(self, worker: Worker) -> None:
        """Once for each life: put a spare in its place, and have its calls taken over."""
        if worker.lost or self._stopping:
            return
        worker.lost, worker.ready = True, False
        if worker.link is not None:
            worker.link.read_rest()
        if worker.link is not None:
            worker.link.close()
            worker.link = None
        spare = next((other for other in self.workers if other.spare and other.ready), None)
        if spare is not None and not worker.spare:
            spare.spare, worker.spare = False, True
        log.error("worker_lost", number=worker.number, calls=len(worker.calls))
        self._on_lost(worker)

    def _received(self, worker: Worker, message: Message) -> None:
        worker.heard = self._loop.time()
        match message:
            case WorkerReady() if not worker.lost:
                worker.ready = True
                if message.notes and message.notes != self._noted:
                    self._noted = message.notes  # every worker says it, and says it again when it is replaced
                    log.warning("provider_without_key", missing=message.notes)
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

    def _link_closed(self, worker: Worker, error: Exception | None) -> None:
        """The end of a process is seen here first. A worker without a link is of no use."""
        if self._stopping:
            return
        if error is not None:
            log.error("worker_link_broken", number=worker.number, error=str(error))
        self._end(worker)

    async def _ping(self) -> None:
        while True:
            for worker in self.workers:
                worker.send(Ping(sent=self._loop.time()))
            await asyncio.sleep(PING_EVERY_S)
