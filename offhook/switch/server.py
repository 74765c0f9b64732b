"""`offhook serve`: the switch process, from its settings to its last goodbye."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from offhook.errors import OffhookError
from offhook.link import Configure
from offhook.settings import ACCESS_VARIABLE, Settings
from offhook.switch.adopting import ask_again, calls_left
from offhook.switch.beginning import Beginning
from offhook.switch.consulting import Consulting
from offhook.switch.held import Held
from offhook.switch.helpers import Helper
from offhook.switch.http import open_http
from offhook.switch.metrics import Metrics
from offhook.switch.pool import Pool
from offhook.switch.reception import Reception
from offhook.switch.reloading import Reloading
from offhook.switch.trunks import Trunks
from telephony.dialplan.store import PlanStore
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.trunk.dns import NameServers

log = structlog.get_logger()

GOODBYE_TIMEOUT_S = 6.0
FAREWELL_S = 12.0  # for the agents' goodbyes
LOG_OUT_TIMEOUT_S = 5.0
LOOK_AT_MEMORY_S = 1.0
WORKERS_SAY_S = 2.0  # for those of a switch that died; callers wait meanwhile, in the socket


@dataclass(frozen=True, slots=True)
class Ready:
    """The server takes calls here. tls_port: 0 without TLS. again: so did the switch before this one."""

    sip_host: str
    sip_port: int
    tls_port: int
    http_port: int
    workers: int
    again: bool = False


class Switch:
    """One machine's telephone exchange. Raises PlanError and OffhookError before it takes a call. held: what the switch
    before this one has left, and where this one's things outlive it."""

    def __init__(
        self, settings: Settings, on_ready: Callable[[Ready], None], held: Held | None = None
    ) -> None:
        self._settings, self._on_ready = settings, on_ready
        self._held = held or Held()
        self._beginning = Beginning(settings)
        self._store = PlanStore(self._beginning.first())
        self._metrics = Metrics()
        access = {ACCESS_VARIABLE: json.dumps(settings.console.holders())}
        self._console = Helper("console", "offhook.console", _console_arguments(settings), access, self._held)
        self._stopping, self._now = asyncio.Event(), asyncio.Event()
        self._models_socket = ""
        self._renewals: set[asyncio.Task[None]] = set()
        self._trunks = Trunks(settings, self._metrics)
        self._reception = Reception(settings, self._store, self._metrics, self._record_written, self._held)
        self._phone: Phone | None = None
        self._start_workers: Callable[[], None] = lambda: None
        self._takers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until a signal or `stop`: calls in progress may go on for a while, then the agents say goodbye."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        at_terminal = sys.stdin is not None and sys.stdin.isatty()  # its window is closed, then
        loop.add_signal_handler(signal.SIGHUP, self.stop if at_terminal else self._asked_to_reload)
        async with AsyncExitStack() as stack:
            self._held.on_lost = self._leave_now
            self._held.listen()
            self._metrics.switch_restarts.set(self._held.restarts)
            folder = self._held.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-"))
            models = Path(folder) / "models"
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            models_arguments = ["--socket", str(models), *_log_arguments(settings)]
            helpers = [Helper("models", "offhook.models", models_arguments, held=self._held)]
            if settings.console.enabled:
                helpers.append(self._console)
            running = [tasks.create_task(helper.run(), name=helper.name) for helper in helpers]
            self._models_socket = str(models)
            pool = self._pool()
            self._start_workers = lambda: running.append(tasks.create_task(pool.run(), name="workers"))
            running.append(tasks.create_task(self._reception.recovery.watch(), name="watch the workers"))
            self._plans = Reloading(
                settings.dialplan,
                settings.plan_versions,
                settings.plan_watch_s,
                self._store,
                self._metrics,
                pool,
                settings.lines,
            )
            rtp = settings.rtp
            ports = [
                PortPool(
                    host, rtp.first_port, rtp.last_port, dscp=rtp.dscp, rest_s=rtp.rest_s, clock=loop.time
                )
                for host in settings.sip.host
            ]
            phone = Phone(
                host=settings.sip.host,
                port=settings.sip.port,
                ports=ports,
                public_host=settings.sip.public_host,
                tcp=settings.sip.tcp,
                tls=settings.sip.tls.make() if settings.sip.tls else None,
                codecs=settings.sip.codecs,
                dscp=settings.sip.dscp,
                srtp=settings.sip.srtp,
                names=NameServers(settings.sip.dns),
                shelf=self._held,
            )
            phone.on_change = self._reception.legacy.changed
            phone.access = self._trunks.access
            phone.admit = self._reception.admit
            phone.moves.refer = self._reception.refer
            self._reception.live = lambda: phone.live
            self._reception.consulting = Consulting(phone.dial)
            phone.options_status = lambda: 503 if self._why_not_ready() else 200
            try:
                await self._serve(phone, pool)
            finally:
                await pool.stop()
                for task in running:
                    task.cancel()

    def stop(self) -> None:
        """Take no more calls, and leave when those that are on are over. The second time: leave now."""
        if self._stopping.is_set():
            self._now.set()
        self._reception.draining = True
        self._stopping.set()

    def _leave_now(self) -> None:
        """Nobody would start another switch, and whoever starts the server again wants our ports."""
        self.stop()
        self.stop()

    async def reload(self, drain: bool) -> dict[str, int]:
        """New workers, with the code as it is on disk now, under the calls that are on. drain: old workers keep theirs
        to the end. Returns how many take calls now, and how many calls are still with old ones. Raises OffhookError."""
        if self._stopping.is_set():
            raise OffhookError("the server is stopping: start it again instead.")
        upgrade = self._reception.upgrade
        workers = await upgrade.reload("drain" if drain else "move")
        return {"workers": workers, "calls": upgrade.moving}

    def _asked_to_reload(self) -> None:
        """The plan is read again, changed or not, and the code."""
        if self._reception.pool is not None:
            self._plans.now()
        task = asyncio.create_task(self._reload_by_signal(), name="reload")
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _reload_by_signal(self) -> None:
        try:
            await self.reload(drain=False)
        except OffhookError as error:
            log.error("not_reloaded", why=str(error))

    async def _serve(self, phone: Phone, pool: Pool) -> None:
        http = self._settings.http
        async with open_http(
            http.host,
            http.port,
            self._metrics,
            self._why_not_ready,
            self._refresh,
            self.reload,
            self._held,
        ) as http_port:
            self._reception.pool = pool
            if self._held.inherits:
                phone.before_hearing = lambda: self._take_over(phone, pool)
            else:
                self._start_workers()
                if not await self._workers_ready(pool):
                    return
            async with phone:
                self._held.drop_rest()
                self._held.ready(self._settings.spare_switch)
                gc.collect()
                gc.freeze()
                self._phone = phone
                host, port = phone.address
                await self._plans.begin(self._beginning.unfit)
                self._on_ready(
                    Ready(host, port, phone.tls_port, http_port, pool.size, again=bool(self._held.restarts))
                )
                trunks = AsyncExitStack()
                await trunks.enter_async_context(self._trunks.open(phone))
                answering = asyncio.create_task(self._answer(phone), name="answer the phone")
                watching = asyncio.create_task(self._watch_memory(), name="watch the memory")
                reloading = asyncio.create_task(self._plans.run(), name="watch the dial plan")
                try:
                    await self._stopping.wait()
                finally:  # log out first: carriers shall send no more calls
                    leaving = asyncio.create_task(trunks.aclose(), name="log out")
                    await self._drain()
                    answering.cancel()
                    watching.cancel()
                    reloading.cancel()
                    await asyncio.wait({leaving, reloading}, timeout=LOG_OUT_TIMEOUT_S)

    async def _take_over(self, phone: Phone, pool: Pool) -> None:
        """The switch before us died: its calls go on here. Their workers say what they have, then the phone listens."""
        assert self._reception.consulting is not None
        held = self._held
        left = calls_left(held, phone, pool, self._reception.consulting)
        log.warning(
            "switch_restarted",
            calls=len(left),
            after=held.died_of,
            away_s=round(held.away_s, 3),
            times=held.restarts,
        )
        self._metrics.calls_adopted.inc(len(left))
        for active in left:
            self._take(self._reception.take_up(active), active.id)
            if active.alone:
                self._reception.recovery.part(active)
        self._start_workers()
        with suppress(TimeoutError):
            async with asyncio.timeout(WORKERS_SAY_S):
                await self._workers_ready(pool)
        ask_again(held, phone, self._settings.calls_dir)

    async def _workers_ready(self, pool: Pool) -> bool:
        """Wait for the first worker; False if we are told to stop before. A plan that workers cannot play gives way to
        an older one. Raises OffhookError if there is none."""
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                ready = asyncio.ensure_future(pool.wait_ready())
                await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done():
                    ready.cancel()
                    return False
                if (error := ready.exception()) is None:
                    return True
                self._store.swap(self._beginning.other(str(error)))
                pool.begin_again(self._configure().agents)
        finally:
            stop.cancel()

    async def _answer(self, phone: Phone) -> None:
        async for call in phone.calls():
            self._take(self._reception.take(call), call.id)

    def _take(self, life: Coroutine[Any, Any, None], call_id: str) -> None:
        task = asyncio.create_task(life, name=f"call {call_id}")
        self._takers.add(task)
        task.add_done_callback(self._taken)

    def _taken(self, task: asyncio.Task[None]) -> None:
        """A call is over. If its task raised, that is our mistake: say so, and no other call notices."""
        self._takers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call_task_failed", task=task.get_name(), exc_info=error)

    async def _drain(self) -> None:
        """Let calls end by themselves for a while; then the agents say goodbye; then hang up."""
        settings, calls = self._settings, self._reception.calls
        if calls:
            log.info("draining", calls=len(calls), limit_s=settings.drain_s)
        if not await self._all_over(settings.drain_s):
            log.warning("drain_time_over", calls=len(calls))
            told = {f"call {call_id}" for call_id in self._reception.say_goodbye("server_stopped")}
            await self._all_over(FAREWELL_S, {task for task in self._takers if task.get_name() in told})
        self._reception.hang_up_all("server_stopped")
        if self._takers:
            await asyncio.wait(self._takers, timeout=GOODBYE_TIMEOUT_S)

    async def _all_over(self, within_s: float, among: set[asyncio.Task[None]] | None = None) -> bool:
        """Wait for the end of all calls, or of those. False if time is up; True if we are told to leave now, too."""
        calls = self._takers if among is None else among
        now = asyncio.ensure_future(self._now.wait())
        until = asyncio.get_running_loop().time() + within_s
        try:
            while not now.done() and (going := {task for task in calls if not task.done()}):
                left = until - asyncio.get_running_loop().time()
                if left <= 0:
                    return False
                await asyncio.wait({*going, now}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            return True
        finally:
            now.cancel()

    async def _watch_memory(self) -> None:
        while True:
            self._reception.admission.memory_left(free_memory_mb())
            await asyncio.sleep(LOOK_AT_MEMORY_S)

    def _configure(self) -> Configure:
        """What workers are told that are started now."""
        return Configure(
            providers=self._settings.providers.model_dump(),
            agents={name: persona.model_dump(mode="json") for name, persona in self._store.agents.items()},
            log=self._settings.log.model_dump(),
            media_timeout_s=self._settings.media_timeout_s,
            hang_up_on=self._settings.hang_up_on,
            models_socket=self._models_socket,
        )

    def _pool(self) -> Pool:
        settings, reception = self._settings, self._reception
        return Pool(
            settings.workers or os.cpu_count() or 1,
            self._configure(),
            reception.heard_from,
            reception.worker_lost,
            settings.spare_workers,
            settings.calls_per_worker,
            reception.admission,
            self._held,
        )

    def _why_not_ready(self) -> str:
        if self._stopping.is_set():
            return "the server is stopping"
        pool = self._reception.pool
        return pool.full if pool is not None else "no call worker is ready"

    def _refresh(self) -> None:
        if (pool := self._reception.pool) is None:
            return
        self._metrics.tasks.labels("switch").set(len(asyncio.all_tasks()))
        self._metrics.workers_ready.set(sum(worker.ready for worker in pool.workers))
        self._trunks.count()
        if self._phone is not None:
            self._metrics.malformed.set(self._phone.counters.malformed)
        self._metrics.look_at(self._reception.calls.values(), pool, self._reception.upgrade.moving)

    def _record_written(self, bundle: str) -> None:
        self._console.tell(json.dumps({"type": "bundle", "path": bundle}).encode())


def _console_arguments(settings: Settings) -> list[str]:
    traces, console = settings.traces, settings.console
    given = ["--calls-dir", str(settings.calls_dir), "--database", str(settings.database)]
    given += ["--host", console.host, "--port", str(console.port)]
    given += ["--dialplan", str(settings.dialplan), "--plan-versions", str(settings.plan_versions)]
    given += ["--trunks", json.dumps(settings.lines)]
    given += _log_arguments(settings)
    if traces.endpoint:
        given += ["--traces", traces.endpoint, *(["--trace-words"] if traces.words else [])]
    return given


def _log_arguments(settings: Settings) -> list[str]:
    log = settings.log
    given = ["--log-level", log.level, "--log-format", log.format]
    return [*given, "--log-redact"] if log.redact else given


def free_memory_mb() -> float:
    """What this machine can still give (Linux, proc(5)); plenty where nobody says."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(known["MemAvailable"].split()[0]) / 1024 if "MemAvailable" in known else float("inf")
