"""A call worker: one loop, one 20 ms clock, many calls. Started by the switch with one end of a link.

    python -m offhook.worker --link-fd N --page-fd M

It leaves when the link is closed. That is not when the switch dies: then it goes on with its calls, and the next switch
says Adopt on the same link."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import resource
import signal
import socket
import sys
import time

import structlog
import uvloop
from pydantic import ValidationError

from offhook.link import (
    TO_WORKER,
    Adopt,
    Adopted,
    CallAnswered,
    CallConfirmed,
    CallFinished,
    CallStands,
    Configure,
    ConsultAnswered,
    ConsultEnded,
    ConsultMediaChanged,
    ConsultRinging,
    EndCall,
    HandIn,
    HandOverDone,
    HangUp,
    HoldDone,
    LetGo,
    Load,
    MediaChanged,
    Message,
    Ping,
    PressKey,
    QueueReady,
    Rehearse,
    Rehearsed,
    SayGoodbye,
    StartCall,
    Stop,
    TransferDone,
    WorkerFailed,
    WorkerReady,
)
from offhook.logs import configure_logs
from offhook.settings import LogSettings, Providers
from offhook.whose import CALL
from offhook.wire import Link, Page
from offhook.worker.blame import marking_tasks
from offhook.worker.bridge import Bridge
from offhook.worker.casting import Casting
from offhook.worker.leaving import Departures
from offhook.worker.notices import send_notices
from offhook.worker.watchdog import Watchdog
from pipeline.errors import ConfigError, PipelineError
from telephony.dialplan.model import TEAM
from telephony.media.clock import Clock, Ticking
from telephony.media.music import music

log = structlog.get_logger()

LOAD_EVERY_S = 1.0
HAND_IN_AGAIN_S = 0.005
HOLD_MUSIC, HOLD_RATE_HZ = "default", 8000  # made before the first call: 50 ms that no clock may wait for
SWITCH_INTERVAL_S = 0.0005  # a busy thread may delay the clock by this, not by CPython's 5 ms


class Worker:
    """The calls of one process."""

    def __init__(self, sock: socket.socket, page: Page | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_task_factory(marking_tasks)
        self._link = Link(
            sock, TO_WORKER, self._on_message, self._on_closed, page=page, numbers=page is not None
        )
        self._clock = Clock(self._loop, self._stream_failed, time=time.monotonic)
        self._calls: dict[str, Bridge] = {}
        self._departures = Departures()
        self._watchdog = Watchdog(self._loop, self._link.send_from_thread)
        self._casting: Casting | None = None
        self._opening: asyncio.Task[None] | None = None
        self._languages: set[str] | None = None  # once it can take calls
        self._rehearsals: set[asyncio.Task[None]] = set()
        self._media_timeout_s = 0.0
        self._hang_up_on: tuple[str, ...] = ()
        self._answers = 0.0
        self._cpu_at = (0.0, 0.0)
        self._stopped = self._loop.create_future()

    async def run(self) -> None:
        """Until the switch says Stop or closes the link."""
        try:
            await self._stopped
        finally:
            self._watchdog.stop()
            self._clock.stop()
            await asyncio.gather(*[bridge.end("worker_stopped") for bridge in self._calls.values()])
            await self._close()
            self._link.close()

    async def _close(self) -> None:
        waiting = [*self._rehearsals, *([self._opening] if self._opening is not None else [])]
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
        if self._casting is not None:
            await self._casting.aclose()

    # ------------------------------------------------------------ link

    def _on_message(self, message: Message, fds: list[int]) -> None:
        match message:
            case Configure():
                self._configure(message)
            case Rehearse():
                task = self._loop.create_task(self._rehearse(message), name="rehearse a new plan")
                self._rehearsals.add(task)
                task.add_done_callback(self._rehearsals.discard)
            case StartCall():
                self._start_call(message, fds)
            case Ping():
                self._answers = message.sent
            case Adopt():
                self._adopted()
            case HandIn():
                self._opening = self._loop.create_task(self._hand_in(), name="hand in")
            case Stop():
                self._stop()
            case _:
                bridge = self._calls.get(getattr(message, "call_id", ""))
                if bridge is not None:
                    self._supervised(bridge, message, fds)
                else:
                    close_fds(fds)

    def _adopted(self) -> None:
        """Another switch: it has to know what the one before was told, and what we have."""
        log.info("worker_adopted", calls=len(self._calls))
        self._link.say_again()
        self._link.send(Adopted(pid=os.getpid(), calls=[*self._calls], ready=self._languages is not None))
        if self._languages is not None:
            task = self._loop.create_task(send_notices(self._languages, self._link.send), name="notices")
            self._rehearsals.add(task)
            task.add_done_callback(self._rehearsals.discard)

    async def _hand_in(self) -> None:
        """Save every call, and be gone before anything more happens in one of them."""
        for bridge in self._calls.values():
            bridge.hand_in()
        while self._link.busy:  # noqa: ASYNC110 # the switch reads when it does
            await asyncio.sleep(HAND_IN_AGAIN_S)
        os.kill(os.getpid(), signal.SIGKILL)

    def _supervised(self, bridge: Bridge, message: Message, fds: list[int]) -> None:
        """What goes wrong with one call ends that call, and no other notices."""
        token = CALL.set(bridge.call_id)
        try:
            self._to_call(bridge, message, fds)
        except Exception:
            log.exception("call_failed", call_id=bridge.call_id, message=type(message).__name__)
            self._link.send(HangUp(call_id=bridge.call_id, reason="error"))
        finally:
            CALL.reset(token)

    def _to_call(self, bridge: Bridge, message: Message, fds: list[int]) -> None:
        match message:
            case CallAnswered():
                bridge.answered()
            case CallConfirmed():
                bridge.confirmed()
            case CallStands():
                stands(bridge, message)
            case MediaChanged():
                bridge.media_changed(message.media)
            case TransferDone():
                bridge.asking.transfer_done(message.ok, message.code, message.reason)
            case HoldDone():
                bridge.asking.hold_done(message.ok)
            case (
                ConsultRinging() | ConsultAnswered() | ConsultMediaChanged() | ConsultEnded() | HandOverDone()
            ):
                bridge.consulting.heard(message, fds)
            case QueueReady():
                bridge.asking.your_turn()
            case PressKey():
                bridge.key_by_info(message.digit, self._loop.time())
            case LetGo():
                self._departures.ask(bridge, message.patience_s)
            case SayGoodbye():
                bridge.say_goodbye(message.reason)
            case EndCall():
                bridge.end(message.reason)

    def _configure(self, message: Configure) -> None:
        try:
            configure_logs(LogSettings.model_validate(message.log))
            casting = Casting(Providers.model_validate(message.providers), message.models_socket)
            casting.rehearse(TEAM.validate_python(message.agents))
        except PipelineError as error:
            self._fail(str(error))
            return
        except Exception as error:  # an agent's own code, or ours: whoever started the server must read it
            log.exception("worker_not_configured")
            self._fail(
                f"the worker cannot be set up: {type(error).__name__}: {error}. Its traceback is in the log."
            )
            return
        self._casting = casting
        self._media_timeout_s = message.media_timeout_s
        self._hang_up_on = message.hang_up_on
        languages = {str(row.get("language", "en")) for row in message.agents.values()}
        self._opening = self._loop.create_task(
            self._open(casting, languages), name="open the tools of the plan"
        )

    async def _open(self, casting: Casting, languages: set[str]) -> None:
        """Ready once the plan's MCP servers are, or have had their time."""
        try:
            await casting.open()
            music(HOLD_MUSIC, HOLD_RATE_HZ)
        except Exception as error:
            log.exception("tools_not_opened")
            self._fail(f"the plan's tools cannot be opened: {type(error).__name__}: {error}. See the log.")
            return
        self._clock.start()
        gc.collect()
        gc.freeze()
        self._watchdog.start()
        self._languages = languages
        self._link.send(WorkerReady(pid=os.getpid(), notes=casting.providing.notes))
        self._report_load()
        await send_notices(languages, self._link.send)

    def _fail(self, reason: str) -> None:
        """It can never be ready. The switch says why, and stops waiting."""
        self._link.send(WorkerFailed(reason=reason))
        self._stop()

    async def _rehearse(self, message: Rehearse) -> None:
        """A new plan, while calls are talking: the switch uses it only if every worker can."""
        reason = ""
        try:
            if self._casting is None:
                raise ConfigError("the worker is not configured")
            await self._casting.learn(TEAM.validate_python(message.agents))
        except (PipelineError, ValidationError) as error:
            reason = str(error)
        except Exception as error:  # a user's class or provider may raise anything when it is made
            log.exception("rehearsal_failed")
            reason = f"{type(error).__name__}: {error}"
        self._link.send(Rehearsed(number=message.number, reason=reason))

    def _start_call(self, message: StartCall, fds: list[int]) -> None:
        if self._casting is None or len(fds) != 3:
            close_fds(fds)
            self._link.send(CallFinished(call_id=message.call_id, media={}))
            return
        bridge = Bridge(
            message, fds, clock=self._clock, casting=self._casting, send=self._link.send, over=self._forget
        )
        self._calls[message.call_id] = bridge
        token = CALL.set(message.call_id)
        bridge.prepare()
        CALL.reset(token)

    def _forget(self, bridge: Bridge) -> None:
        self._departures.forget(bridge)
        self._calls.pop(bridge.call_id, None)

    def _on_closed(self, error: Exception | None) -> None:
        if error is not None:
            log.error("link_lost", error=str(error))
        self._stop()

    def _stop(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    # ------------------------------------------------------------ watching over itself

    def _stream_failed(self, stream: Ticking, error: Exception) -> None:
        """A tick raised: that call ends, the clock and the others go on."""
        log.error("media_failed", error=f"{type(error).__name__}: {error}", exc_info=error)
        for call_id, bridge in self._calls.items():
            if bridge.plays(stream):
                self._link.send(HangUp(call_id=call_id, reason="media_failed"))

    def _report_load(self) -> None:
        now = self._loop.time()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spent = usage.ru_utime + usage.ru_stime
        before, since = self._cpu_at
        self._cpu_at = (spent, now)
        late = self._clock.lateness()
        self._clock.reset()
        self._link.send(
            Load(
                calls=len(self._calls),
                cpu=(spent - before) / (now - since) if now > since > 0.0 else 0.0,
                late_p50_ms=late.p50_ms,
                late_p99_ms=late.p99_ms,
                late_max_ms=late.max_ms,
                skipped_ticks=late.skipped,
                memory_bytes=_resident_bytes(),
                tasks=len(asyncio.all_tasks()),
                resting=self._casting.providing.resting if self._casting is not None else 0,
                answers=self._answers,
            )
        )
        self._loop.call_later(LOAD_EVERY_S, self._report_load)
        self._hang_up_on_dead_lines(now)

    def _hang_up_on_dead_lines(self, now: float) -> None:
        for call_id, bridge in self._calls.items():
            if self._media_timeout_s and bridge.silent_for(now) > self._media_timeout_s:
                self._link.send(HangUp(call_id=call_id, reason="media_timeout"))
            elif signal := bridge.unwanted(now, self._hang_up_on):
                self._link.send(HangUp(call_id=call_id, reason=signal))
            if self._media_timeout_s and bridge.consulting.silent_for(now) > self._media_timeout_s:
                bridge.consulting.lost("media_timeout")


def stands(bridge: Bridge, message: CallStands) -> None:
    """Another switch says how a call stands; what the worker knew already changes nothing."""
    if message.media is not None and message.media != bridge.media:
        bridge.media_changed(message.media)
    if message.answered:
        bridge.answered()
    if message.confirmed:
        bridge.confirmed()


def main(link_fd: int, page_fd: int | None = None) -> None:
    """Run a worker until its link is closed."""
    faulthandler.enable()  # a crash in a library says where, on the server's standard error
    sys.setswitchinterval(SWITCH_INTERVAL_S)

    async def work() -> None:
        await Worker(socket.socket(fileno=link_fd), Page(page_fd) if page_fd is not None else None).run()

    uvloop.run(work())


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def close_fds(fds: list[int]) -> None:
    """Sockets of a call that will not be taken."""
    for fd in fds:
        os.close(fd)
