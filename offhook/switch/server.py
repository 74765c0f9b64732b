"""`offhook serve`: the switch process, from its settings to its last goodbye."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from offhook.errors import OffhookError
from offhook.link import Configure
from offhook.plans.versions import snapshot
from offhook.settings import ACCESS_VARIABLE, Settings
from offhook.switch.consulting import Consulting
from offhook.switch.helpers import Helper
from offhook.switch.http import open_http
from offhook.switch.metrics import Metrics
from offhook.switch.pool import Pool
from offhook.switch.reception import Reception
from offhook.switch.reloading import Reloading
from offhook.switch.trunks import Trunks
from telephony.dialplan.load import load_plan
from telephony.dialplan.parcel import without_numbers
from telephony.dialplan.store import PlanStore
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.trunk.dns import NameServers

log = structlog.get_logger()

GOODBYE_TIMEOUT_S = 6.0


@dataclass(frozen=True, slots=True)
class Ready:
    """The server takes calls here. tls_port: 0 without TLS."""

    sip_host: str
    sip_port: int
    tls_port: int
    http_port: int
    workers: int


class Switch:
    """One machine's telephone exchange. Raises PlanError and OffhookError before it takes a call."""

    def __init__(self, settings: Settings, on_ready: Callable[[Ready], None]) -> None:
        self._settings, self._on_ready = settings, on_ready
        self._store = _plan(settings.dialplan)
        self._metrics = Metrics()
        self._stopping = asyncio.Event()
        access = {ACCESS_VARIABLE: json.dumps(settings.console.holders())}
        self._console = Helper("console", "offhook.console", _console_arguments(settings), access)
        self._trunks = Trunks(settings, self._metrics)
        self._reception = Reception(settings, self._store, self._metrics, self._record_written)
        self._takers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until a signal or `stop`. Calls in progress are ended with a goodbye on the wire (BYE)."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        async with AsyncExitStack() as stack:
            models = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-"))) / "models"
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            helpers = [Helper("models", "offhook.models", ["--socket", str(models)]), self._console]
            running = [tasks.create_task(helper.run(), name=helper.name) for helper in helpers]
            pool = self._pool(str(models))
            running.append(tasks.create_task(pool.run(), name="workers"))
            running.append(tasks.create_task(self._reception.recovery.watch(), name="watch the workers"))
            self._reloading = Reloading(
                settings.dialplan,
                settings.plan_versions,
                settings.plan_watch_s,
                self._store,
                self._metrics,
                pool,
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
            )
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
        """Take no more calls and leave."""
        self._reception.draining = True
        self._stopping.set()

    async def _serve(self, phone: Phone, pool: Pool) -> None:
        http = self._settings.http
        async with open_http(
            http.host, http.port, self._metrics, self._why_not_ready, self._refresh
        ) as http_port:
            self._reception.pool = pool
            if not await self._workers_ready(pool):
                return
            async with phone:
                gc.collect()
                gc.freeze()
                self._phone = phone
                host, port = phone.address
                self._on_ready(Ready(host, port, phone.tls_port, http_port, pool.size))
                async with self._trunks.open(phone):
                    answering = asyncio.create_task(self._answer(phone), name="answer the phone")
                    reloading = asyncio.create_task(self._reloading.run(), name="watch the dial plan")
                    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reloading.now)
                    await self._stopping.wait()
                    answering.cancel()
                    reloading.cancel()
                    await asyncio.wait([reloading])
                await self._say_goodbye()

    async def _workers_ready(self, pool: Pool) -> bool:
        """Wait for the first worker; False if we are told to stop before. Raises OffhookError."""
        ready, stop = asyncio.ensure_future(pool.wait_ready()), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
            return ready.done()
        except OffhookError as error:
            raise OffhookError(f"{self._settings.dialplan}: {error}") from error
        finally:
            ready.cancel()
            stop.cancel()

    async def _answer(self, phone: Phone) -> None:
        async for call in phone.calls():
            task = asyncio.create_task(self._reception.take(call), name=f"call {call.id}")
            self._takers.add(task)
            task.add_done_callback(self._taken)

    def _taken(self, task: asyncio.Task[None]) -> None:
        """A call is over. If its task raised, that is our mistake: say so, and no other call notices."""
        self._takers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call_task_failed", task=task.get_name(), exc_info=error)

    async def _say_goodbye(self) -> None:
        self._reception.hang_up_all("server_stopped")
        if self._takers:
            await asyncio.wait(self._takers, timeout=GOODBYE_TIMEOUT_S)

    def _pool(self, models_socket: str) -> Pool:
        count = self._settings.workers or os.cpu_count() or 1
        configure = Configure(
            providers=self._settings.providers.model_dump(),
            agents={name: persona.model_dump(mode="json") for name, persona in self._store.agents.items()},
            log=self._settings.log.model_dump(),
            media_timeout_s=self._settings.media_timeout_s,
            hang_up_on=self._settings.hang_up_on,
            models_socket=models_socket,
        )
        return Pool(count, configure, self._reception.heard_from, self._reception.worker_lost)

    def _why_not_ready(self) -> str:
        if self._stopping.is_set():
            return "the server is stopping"
        pool = self._reception.pool
        if pool is None or not any(worker.ready for worker in pool.workers):
            return "no call worker is ready"
        return ""

    def _refresh(self) -> None:
        pool = self._reception.pool
        if pool is None:
            return
        self._metrics.tasks.labels("switch").set(len(asyncio.all_tasks()))
        self._metrics.worker_restarts.set(pool.restarts)
        self._metrics.workers_ready.set(sum(worker.ready for worker in pool.workers))
        self._trunks.count()
        self._metrics.malformed.set(self._phone.counters.malformed)
        for worker in pool.workers:
            self._metrics.worker_calls.labels(str(worker.number)).set(len(worker.calls))
            if worker.load is not None:
                self._metrics.worker_late.labels(str(worker.number)).set(worker.load.late_p99_ms)
                self._metrics.worker_memory.labels(str(worker.number)).set(worker.load.memory_bytes)
                self._metrics.tasks.labels(f"worker {worker.number}").set(worker.load.tasks)
                self._metrics.worker_resting.labels(str(worker.number)).set(worker.load.resting)

    def _record_written(self, bundle: str) -> None:
        self._console.tell(json.dumps({"type": "bundle", "path": bundle}).encode())


def _plan(path: Path) -> PlanStore:
    """The plan to begin with; its version is that of all its files, as the versions of later ones."""
    plan = load_plan(path)
    return PlanStore(replace(without_numbers(plan), version=snapshot(plan).version))


def _console_arguments(settings: Settings) -> list[str]:
    console = settings.console
    listens = ["--host", console.host, "--port", str(console.port)]
    plan = ["--dialplan", str(settings.dialplan), "--plan-versions", str(settings.plan_versions)]
    return ["--calls-dir", str(settings.calls_dir), "--database", str(settings.database), *listens, *plan]
