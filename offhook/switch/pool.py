"""The call workers: started, counted, chosen, replaced.

Each is a child process at the other end of a link. A worker that dies is reported once and started again, with a
pause that grows while it keeps dying of itself. One that retires takes no new calls and leaves with its last one.
Workers of a switch that died are adopted with their calls. Which worker may take a call at all is admission's
(admission.py), who moves calls to new workers is upgrade.py."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from offhook.errors import OffhookError
from offhook.link import (
    TO_SWITCH,
    Adopt,
    Adopted,
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
from offhook.switch.admission import Admission
from offhook.switch.held import WORKER, Elder, Held
from offhook.switch.worker import Worker, left_behind, name_spares
from offhook.wire import Link, Page
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
MOST_WORKERS = 256
RENEW_TIMEOUT_S = 60.0


class Pool:
    """All workers of a switch.

    on_message(worker, message) gets what concerns a call; on_lost(worker) is called as soon as one is gone, with its
    calls still listed: a spare, which is started and warm, has taken its place by then. calls_per_worker: 0 for any
    number; else more workers are started while all are taken, and those beyond `count` leave when they are idle. held:
    where their links outlive this process.
    """

    def __init__(
        self,
        count: int,
        configure: Configure,
        on_message: Callable[[Worker, Message], None],
        on_lost: Callable[[Worker], None],
        spares: int = 1,
        calls_per_worker: int = 0,
        admission: Admission | None = None,
        held: Held | None = None,
    ) -> None:
        self._held = held or Held()
        self.workers = [*left_behind(self._held)]
        missing = count + spares - sum(not worker.retiring for worker in self.workers)
        first = max((worker.number for worker in self.workers), default=-1) + 1
        self.workers += [Worker(number) for number in range(first, first + missing)]
        for worker in self.workers[len(self.workers) - spares :]:
            worker.spare = True
        self.restarts = 0
        self.admission = admission or Admission()
        self._count, self._spares, self._calls_per_worker = count, spares, calls_per_worker
        self._next_number = first + max(missing, 0)
        self._tasks: asyncio.TaskGroup | None = None
        self._changed = asyncio.Event()  # a worker is ready, has failed or is gone
        self._configure = configure
        self._on_message, self._on_lost = on_message, on_lost
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._noted = ""
        self.changing = asyncio.Lock()  # plans and code change one after the other
        self._rehearsals = 0
        self._rehearsing: dict[
            tuple[int, int], asyncio.Future[str]
        ] = {}  # rehearsal and worker → what is wrong
        self._first_ready: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Keep every worker alive until cancelled or `stop`."""
        name_spares(self.workers, self._spares)
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._ping(), name="ping workers")
            for worker in self.workers:
                self._tasks.create_task(self._keep(worker), name=f"worker {worker.number}")

    @property
    def size(self) -> int:
        """How many workers take calls."""
        return self._count

    async def wait_ready(self) -> None:
        """Until at least one worker takes calls. Raises OffhookError if they cannot play the dial plan."""
        await asyncio.shield(self._first_ready)

    def pick(self) -> Worker:
        """The least loaded worker, whatever its load, one that speaks if there is one: for a call that is on already.
        Raises Overloaded if none is ready."""
        ready = [worker for worker in self.workers if worker.ready and not worker.retiring]
        if not ready:
            raise Overloaded("no call worker is ready; they are being started. Try again in a second.")
        return min(ready, key=self._burden)

    def pick_for_new(self) -> Worker:
        """The least loaded worker that may take one more call. Raises Overloaded if there is none."""
        takers = self._takers()
        if not takers:
            raise Overloaded(self._why_none())
        return min(takers, key=self._burden)

    @property
    def full(self) -> str:
        """Why no worker may take one more call now, "" if one may."""
        return "" if self._takers() else self._why_none()

    def taken(self, worker: Worker) -> None:
        """A worker has got a new call."""
        if self._calls_per_worker:
            worker.spare = False
            self._hire()

    def released(self, worker: Worker) -> None:
        """A call has left a worker."""
        if worker.calls:
            return
        surplus = len(self._for_calls()) > self._count + self._spares
        if worker.retiring or (self._calls_per_worker and surplus and not worker.spare):
            self.retire(worker)

    async def renew(self) -> list[Worker]:
        """Start as many workers as there are, with today's code; return the old ones once the new ones take calls.
        Raises OffhookError, and the old ones stay, if the new ones cannot play the plan."""
        assert self._tasks is not None
        old = [worker for worker in self.workers if not worker.retiring]
        new = [self._add(spare=number >= self._count) for number in range(self._count + self._spares)]
        try:
            async with asyncio.timeout(RENEW_TIMEOUT_S):
                while not all(worker.ready for worker in new):
                    if why := next((worker.failed for worker in new if worker.failed), ""):
                        raise OffhookError(f"the new workers cannot be used: {why} The old ones go on.")
                    self._changed.clear()
                    await self._changed.wait()
        except (OffhookError, TimeoutError) as error:
            for worker in new:
                self.retire(worker)
            late = f"the new workers were not ready within {RENEW_TIMEOUT_S:.0f} s. The old ones go on."
            raise OffhookError(str(error) or late) from error
        return old

    def retire(self, worker: Worker) -> None:
        """No more calls for it. It leaves when it has none, now perhaps."""
        worker.retiring, worker.spare = True, False
        if worker.page is not None:
            worker.page.retiring = True
        if not worker.calls:
            worker.ready = False
            worker.send(Stop())

    def _add(self, spare: bool) -> Worker:
        assert self._tasks is not None
        worker = Worker(self._next_number, spare=spare)
        self._next_number += 1
        self.workers.append(worker)
        self._tasks.create_task(self._keep(worker), name=f"worker {worker.number}")
        return worker

    def _for_calls(self) -> list[Worker]:
        """Those that have room, or will when they are ready."""
        most = self._calls_per_worker or sys.maxsize
        return [one for one in self.workers if not one.retiring and len(one.calls) < most]

    def _hire(self) -> None:
        """With a limit of calls for each, there are always as many with room as there were at the start."""
        if self._calls_per_worker and self._tasks is not None and not self._stopping:
            while len(self._for_calls()) < self._count + self._spares and len(self.workers) < MOST_WORKERS:
                self._add(spare=sum(worker.spare for worker in self.workers) < self._spares)

    def _takers(self) -> list[Worker]:
        """Those that may have one more call. A spare stays one unless there is nobody else, or each has few calls."""
        ready = [worker for worker in self._for_calls() if worker.ready]
        if not self._calls_per_worker:
            ready = [worker for worker in ready if not worker.spare] or ready
        return [worker for worker in ready if self.admission.may_take(worker.number)]

    def _burden(self, worker: Worker) -> tuple[bool, bool, bool, float, int]:
        """Who does not speak last, then spares; then by load, which counts calls that came since it was measured."""
        calls = len(worker.calls)
        mute = self._loop.time() - worker.heard > QUIET_S
        taken = bool(self._calls_per_worker) and calls >= self._calls_per_worker
        return mute, taken, worker.spare, self.admission.burden(worker.number, calls), calls

    def _why_none(self) -> str:
        if not any(worker.ready for worker in self.workers):
            return "no call worker is ready; they are being started. Try again in a second."
        return f"no worker has room for another call: {self.admission.why or 'each has all it may have'}."

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
        if not any(other.ready and not other.retiring and other is not worker for other in self.workers):
            return False
        worker.ready = False
        worker.send(HandIn())
        return True

    async def rehearse(self, agents: Mapping[str, Any]) -> str:
        """Let every worker make the agents of a new plan once, those too that become ready meanwhile. Returns why one
        cannot, "" if all can: then `adopt` must follow before anything else happens."""
        asked: set[asyncio.subprocess.Process | Elder | None] = set()
        try:
            async with asyncio.timeout(REHEARSAL_TIMEOUT_S):
                while new := [one for one in self.workers if one.ready and one.process not in asked]:
                    asked |= {worker.process for worker in new}
                    reasons = await asyncio.gather(*[self._rehearsed(worker, agents) for worker in new])
                    if reason := next(filter(None, reasons), ""):
                        return reason
        except TimeoutError:
            return f"a worker could not make its agents within {REHEARSAL_TIMEOUT_S:.0f} s"
        return ""

    async def _rehearsed(self, worker: Worker, agents: Mapping[str, Any]) -> str:
        """Why one worker cannot make these agents, "" if it can, or if it is gone: the next one starts with them."""
        self._rehearsals += 1
        key = self._rehearsals, worker.number
        answer: asyncio.Future[str] = self._loop.create_future()
        self._rehearsing[key] = answer
        try:
            worker.send(Rehearse(number=self._rehearsals, agents=dict(agents)))
            return await answer
        finally:
            del self._rehearsing[key]

    def adopt(self, agents: Mapping[str, Any]) -> None:
        """Workers that are ready have rehearsed these; those that start from now on, or are starting, do so first."""
        self._configure = self._configure.model_copy(update={"agents": dict(agents)})
        for worker in self.workers:
            if worker.ready and worker.page is not None:
                worker.page.plan = self._configure.plan

    def begin_again(self, agents: Mapping[str, Any]) -> None:
        """No worker could play the plan, before the first call: let them try these."""
        self._first_ready = self._loop.create_future()
        self.adopt(agents)

    async def _catch_up(self, worker: Worker, message: WorkerReady) -> None:
        """The plan has changed while this worker was being started: it takes calls once it knows the new agents."""
        process = worker.process
        while worker.told is not self._configure and worker.process is process and worker.link is not None:
            worker.told = self._configure
            if worker.page is not None:
                worker.page.plan = worker.told.plan
            reason = await self._rehearsed(worker, self._configure.agents)
            if reason and worker.process is process:
                log.error("worker_without_plan", number=worker.number, reason=reason)
                worker.send(Stop())  # the next one starts with the plan in use
                return
        if worker.process is process and worker.link is not None:
            self._is_ready(worker, message)

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
        while not (self._stopping or worker.retiring):
            try:
                await self._live(worker)
            except OSError as error:
                log.error("worker_not_started", error=str(error))
            if self._stopping:
                return
            if worker.retiring:
                break
            stable = self._loop.time() - worker.started > STABLE_AFTER_S or worker.shot
            pause = FIRST_PAUSE_S if stable else min(pause * 2, LONGEST_PAUSE_S)
            self.restarts += 1
            self._lost(worker)
            log.error("worker_restarts", number=worker.number, ended_by=worker.death, restart_in_s=pause)
            await asyncio.sleep(pause)
        if not self._stopping:
            self._gone(worker)

    async def _live(self, worker: Worker) -> None:
        """One life of a worker process, or the rest of it."""
        worker.lost = worker.killed = worker.blocked = False
        if worker.left is not None:
            self._resume(worker, worker.left)
        elif not await self._start(worker):
            return
        assert worker.process is not None
        name = f"{WORKER}{worker.number}/{worker.pid}"
        try:
            await worker.process.wait()
            if worker.link is not None:
                worker.link.read_rest()  # its end may be seen here before its last words are
        finally:
            worker.over()
            self._held.drop(name)
            for (_, asked), answer in self._rehearsing.items():
                if asked == worker.number and not answer.done():  # the next one starts with the plan in use
                    answer.set_result("")

    def _resume(self, worker: Worker, left: socket.socket) -> None:
        """It has lived on without a switch, or has died meanwhile: either shows on its link."""
        worker.left, worker.heard = None, self._loop.time()
        worker.started = worker.heard - STABLE_AFTER_S
        if worker.page is not None and worker.page.plan == self._configure.plan:
            worker.told = self._configure  # else it learns the plan before it takes calls
        worker.link = self._link(worker, left, resumed=True)
        worker.link.begin_anew()
        worker.send(Adopt())

    def _link(self, worker: Worker, sock: socket.socket, *, resumed: bool = False) -> Link:
        return Link(
            sock,
            TO_SWITCH,
            lambda message, _: self._received(worker, message),
            lambda error: self._link_closed(worker, error),
            page=worker.page,
            resumed=resumed,
        )

    async def _start(self, worker: Worker) -> bool:
        """A new process. False if it is not wanted any more."""
        worker.started, worker.calls, worker.load = self._loop.time(), set(), None
        if worker.spare:  # who takes calls is started first
            await asyncio.wait([self._first_ready])
            if self._stopping or self._first_ready.exception() is not None:
                return False
        worker.page = Page.create()
        ours, theirs = socket.socketpair()
        lent = [theirs.fileno(), worker.page.fd]
        command = (
            sys.executable,
            "-m",
            "offhook.worker",
            "--link-fd",
            str(lent[0]),
            "--page-fd",
            str(lent[1]),
        )
        try:
            worker.process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=lent,
                env=os.environ | ONE_THREAD,
                start_new_session=True,  # Ctrl-C is for the switch, which says goodbye first
            )
        except OSError:
            ours.close()
            worker.page.close()
            raise
        finally:
            theirs.close()
        self._held.keep_all(f"{WORKER}{worker.number}/{worker.pid}", [ours.fileno(), worker.page.fd])
        if self._stopping:  # it was told to nobody that this one was on its way
            worker.process.kill()
        worker.link = self._link(worker, ours)
        worker.told = self._configure
        worker.page.plan = worker.told.plan
        worker.send(worker.told)
        if worker.retiring:  # while it was being started
            worker.page.retiring = True
            worker.send(Stop())
        return True

    def _gone(self, worker: Worker) -> None:
        """It was told to leave, or died before; whatever calls it had left go on elsewhere."""
        if worker.calls:
            self._lost(worker)
        self.workers.remove(worker)
        self.admission.forget(worker.number)
        self._changed.set()
        log.info("worker_retired", number=worker.number)

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
        self.admission.forget(worker.number)
        if worker.retiring and not worker.calls:
            return
        spare = next((other for other in self.workers if other.spare and other.ready), None)
        if spare is not None and not worker.spare and not worker.retiring:
            spare.spare, worker.spare = False, True
        log.error("worker_lost", number=worker.number, calls=len(worker.calls))
        self._on_lost(worker)

    def _received(self, worker: Worker, message: Message) -> None:
        worker.heard = self._loop.time()
        match message:
            case WorkerReady() if not worker.lost:
                if worker.told is self._configure or self._tasks is None:
                    self._is_ready(worker, message)
                else:
                    self._tasks.create_task(
                        self._catch_up(worker, message), name=f"worker {worker.number} learns the plan"
                    )
            case Adopted():
                self._on_message(worker, message)
                if message.ready:
                    self._received(worker, WorkerReady(pid=message.pid))
            case WorkerFailed():
                worker.failed = message.reason
                self._changed.set()
                if worker.told is self._configure:  # else the next one starts with another plan
                    self._failed(message.reason)
            case Load():
                worker.load = message
                self.admission.measured(worker.number, message.cpu, message.late_p99_ms, message.calls)
            case Rehearsed():
                answer = self._rehearsing.get((message.number, worker.number))
                if answer is not None and not answer.done():
                    answer.set_result(message.reason)
            case _:
                self._on_message(worker, message)

    def _is_ready(self, worker: Worker, message: WorkerReady) -> None:
        worker.ready = True
        if message.notes and message.notes != self._noted:
            self._noted = message.notes  # every worker says it, and says it again when it is replaced
            log.warning("provider_without_key", missing=message.notes)
        self._changed.set()
        if not self._first_ready.done():
            self._first_ready.set_result(None)

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
