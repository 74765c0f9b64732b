"""A call outlives its worker: who takes it over, who keeps packets flowing meanwhile, and when it is enough.

`lost` is called by the pool the moment a worker is gone. `watch` looks every 20 ms whether workers still tick: for one
that misses three ticks the switch itself sends silence, so that no carrier takes the line for dead; one that does not
come back in time is killed, and its calls are taken over; so are those of one that has grown too big. The media goes
on from shared memory (media/vitals.py), the conversation from its checkpoint. Not how a worker goes on
(worker/bridge.py), and not the packets that the switch sends (standing_in.py).

A call that took two workers down within a minute gets no third one: a fallback instead. Who is to blame: whoever's
code ran when the worker died, or whose agent's tool did, or who was alone there (worker/blame.py). A worker that
was killed from outside is nobody's fault, unless a tool ran: the system kills what takes all memory, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from offhook.link import CallRefused
from offhook.switch.active import ActiveCall
from offhook.switch.held import Elder
from offhook.switch.metrics import Metrics
from offhook.switch.pool import Pool
from offhook.switch.routing import last_resort
from offhook.switch.standing_in import TICK_S, Notices, StandIn
from offhook.switch.worker import FOREIGN_DEATHS, Worker
from telephony.call.call import Call
from telephony.errors import Overloaded, TelephonyError
from telephony.media.vitals import Vitals

log = structlog.get_logger()

Leg: TypeAlias = tuple[Call, Vitals]

MISSED_TICKS: Final = 3  # then the switch sends silence itself
MUTE_S: Final = (
    5.0  # so is one that has no call to tick for and does not say its load, which it does every second
)
MOST_DEATHS: Final = 2  # workers that a call may take down within CRASH_LOOP_S
CRASH_LOOP_S: Final = 60.0
LONGEST_WAIT_S: Final = 10.0  # for a worker that can take a call over
LEAVE_S: Final = 1.0  # for a worker that has grown too big to save its calls
BUSY_SHARE: Final = 0.25  # of the CPU: who had so much while it stood still was not waiting for its turn
LATE_LOOK_S: Final = 1.0  # after that long the switch itself stood still
INQUEST_S: Final = 0.5  # until it is known what a worker died of


@dataclass(slots=True)
class Orphan:
    """A call without a worker. killed: by us; blocked: because code stood in its way. suspect: its code ran when the
    worker died, tools: so did a tool; alone: it was the only one there. let_go: nobody died, the call was to be moved
    to a new worker and there is none yet."""

    since: float
    worker: Worker
    process: asyncio.subprocess.Process | Elder | None
    killed: bool
    blocked: bool
    suspect: bool
    tools: bool
    alone: bool
    let_go: bool = False

    def guilty(self, now: float) -> bool | None:
        """Did it take its worker down? None: that is not known yet."""
        if not (self.suspect or self.tools or self.alone):
            return False
        if self.killed:
            return self.blocked and (self.suspect or self.tools)
        if self.tools:
            return True
        code = self.process.returncode if self.process is not None else None
        if code is None:
            return None if now - self.since < INQUEST_S else False
        return code not in FOREIGN_DEATHS


class Recovery:
    """Of all calls of a switch. calls: by id, reception's own. pool: None before the workers are started.
    worker_memory_mb: a worker may grow so big, 0 for any size; wedged_after_s: and stand still for so long. on_orphan:
    what else hung on the worker that is gone has to be ended; on_moved: or goes on with the one that has the call
    now. on_handed: there is a worker for a call that its old one let go.
    line_of: a call's second leg, to a colleague, and the vitals of its stream."""

    def __init__(
        self,
        calls: Mapping[str, ActiveCall],
        pool: Callable[[], Pool | None],
        metrics: Metrics,
        worker_memory_mb: int = 0,
        wedged_after_s: float = 1.0,
    ) -> None:
        self._calls, self._pool, self._metrics = calls, pool, metrics
        self._wedged_after_s = wedged_after_s
        self._loop = asyncio.get_running_loop()
        self._most_bytes = worker_memory_mb * 1024 * 1024
        self._relieved: dict[Worker, float] = {}  # told to leave, at
        self._stand_in = StandIn(metrics)
        self.notices = Notices()
        self.on_orphan: Callable[[ActiveCall], None] = lambda active: None
        self.on_moved: Callable[[ActiveCall], None] = lambda active: None
        self.on_handed: Callable[[ActiveCall, Worker], None] = lambda active, worker: None
        self.line_of: Callable[[str], Leg | None] = lambda call_id: None
        self._orphans: dict[ActiveCall, Orphan] = {}
        self._looked_at = self._loop.time()
        self._stood_since: dict[Worker, float] = {}  # CPU seconds of workers when they missed their ticks

    async def watch(self) -> None:
        """Until cancelled: keep every call's packets flowing."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self.look(self._loop.time())
            except Exception:  # whatever it is, all other calls hang on the next look
                log.exception("look_failed")

    def look(self, now: float) -> None:
        """One round over all calls."""
        if now - self._looked_at > LATE_LOOK_S:
            self._excuse(now)
        self._looked_at = now
        self._adopt(now)
        alive: dict[Worker, float] = {}
        for active in self._calls.values():
            if active.alone or not active.answered or active.over or not active.vitals.begun:
                continue
            since = max(active.vitals.beat, active.moved)  # who has just got it has not ticked yet
            if active not in self._orphans:
                alive[active.worker] = max(alive.get(active.worker, 0.0), since)
            if now - since > MISSED_TICKS * TICK_S:
                self._stand_in.silence(active.call, active.vitals, now)
            if (line := self.line_of(active.id)) is not None and line[1].begun:
                self._fill(*line, active.moved, now)
        for worker, since in alive.items():
            if now - since <= MISSED_TICKS * TICK_S:
                self._stood_since.pop(worker, None)
            elif now - since <= self._wedged_after_s:
                self._stood_since.setdefault(worker, worker.activity()[1])
            elif not worker.lost:
                worker.blocked = self._blocks_itself(worker)
                self._wedged(worker, now - since)
        if (pool := self._pool()) is not None:
            for worker in pool.workers:
                self._check(pool, worker, now)
            for gone in [worker for worker in self._relieved if worker not in pool.workers]:
                del self._relieved[gone]  # it was retiring

    def _fill(self, call: Call, vitals: Vitals, moved: float, now: float) -> None:
        """The colleague's end, if nobody sends there."""
        if now - max(vitals.beat, moved) > MISSED_TICKS * TICK_S:
            self._stand_in.silence(call, vitals, now)

    def _excuse(self, now: float) -> None:
        """We have not listened ourselves: what workers said meanwhile is still to be read."""
        if (pool := self._pool()) is not None:
            for worker in pool.workers:
                worker.heard = max(worker.heard, now) if worker.heard else 0.0

    def _check(self, pool: Pool, worker: Worker, now: float) -> None:
        """Does it speak, and is it not too big?"""
        if (told := self._relieved.get(worker)) is not None:
            if worker.lost or worker.started > told:
                del self._relieved[worker]
            elif now - told > LEAVE_S:
                pool.kill(worker)
        elif worker.ready and worker.heard and now - worker.heard > max(MUTE_S, self._wedged_after_s):
            self._wedged(worker, now - worker.heard)
        elif self._too_big(worker) and pool.relieve(worker):
            self._relieved[worker] = now
            self._metrics.too_big.inc()
            log.error("worker_too_big", number=worker.number, calls=len(worker.calls))

    def _too_big(self, worker: Worker) -> bool:
        load = worker.load
        return bool(self._most_bytes and worker.ready and load and load.memory_bytes > self._most_bytes)

    def _blocks_itself(self, worker: Worker) -> bool:
        """It waits for something in the middle of its work, or works on one thing without end. Else somebody has
        stopped it, or the machine gives it no time."""
        state, cpu_s = worker.activity()
        worked_s = cpu_s - self._stood_since.pop(worker, cpu_s)
        return state in ("S", "D") or worked_s > self._wedged_after_s * BUSY_SHARE

    def _wedged(self, worker: Worker, silent_s: float) -> None:
        log.error("worker_wedged", number=worker.number, silent_s=round(silent_s, 2))
        self._metrics.wedged.inc()
        if (pool := self._pool()) is not None:
            pool.kill(worker)

    def lost(self, worker: Worker) -> None:
        """A worker is gone."""
        now = self._loop.time()
        orphans = [active for active in self._calls.values() if active.worker is worker]
        for active in orphans:
            if active.over:
                active.finish()
            elif not active.alone and active not in self._orphans:
                self._orphaned(active, worker, len(orphans) == 1, now)
        self._adopt(now)

    def let_go(self, active: ActiveCall) -> None:
        """Its worker has left it to another one, and there is none yet: it waits as if it had been lost."""
        orphan = Orphan(
            self._loop.time(), active.worker, None, False, False, False, False, False, let_go=True
        )
        self._orphans.setdefault(active, orphan)

    # ------------------------------------------------------------ another worker

    def _orphaned(self, active: ActiveCall, worker: Worker, alone: bool, now: float) -> None:
        active.takeovers.append(now)
        self.on_orphan(active)
        vitals = active.vitals
        self._orphans[active] = Orphan(
            now,
            worker,
            worker.process,
            worker.killed,
            worker.blocked,
            vitals.acting,
            vitals.tools_running > 0,
            alone,
        )

    def _adopt(self, now: float) -> None:
        for active, orphan in list(self._orphans.items()):
            if active.over or active.id not in self._calls:
                del self._orphans[active]
                active.finish()
            elif active.worker is not orphan.worker:  # upgrade.py was moving it when its old worker died
                del self._orphans[active]
            elif self._too_dangerous(active, orphan, now):
                del self._orphans[active]
                self._give_up(active, "worker_lost")
            else:
                self._place(active, orphan, now)

    def _too_dangerous(self, active: ActiveCall, orphan: Orphan, now: float) -> bool:
        """Has it taken as many workers down as a call may?"""
        before = [at for at in active.blamed if now - at < CRASH_LOOP_S and at != orphan.since]
        guilty = orphan.guilty(now)
        if guilty and orphan.since not in active.blamed:
            active.blamed.append(orphan.since)
        return bool(guilty) and len(before) + 1 >= MOST_DEATHS

    def _place(self, active: ActiveCall, orphan: Orphan, now: float) -> None:
        if orphan.guilty(now) is None and any(now - at < CRASH_LOOP_S for at in active.blamed):
            return  # it did that before: first see what this one died of
        pool = self._pool()
        try:
            if pool is None:
                raise Overloaded("the workers are not started yet")
            worker = pool.pick()
        except Overloaded:
            if now - orphan.since > LONGEST_WAIT_S:
                del self._orphans[active]
                self._give_up(active, "worker_lost")
            return
        if orphan.guilty(now) is None:
            self._loop.call_later(INQUEST_S, self._inquest, active, orphan)
        del self._orphans[active]
        if orphan.let_go:
            self.on_handed(active, worker)
        else:
            self._move(active, orphan.worker, worker, now)

    def _inquest(self, active: ActiveCall, orphan: Orphan) -> None:
        """The call has another worker already; by now it is known what the one before died of."""
        if orphan.guilty(self._loop.time()):
            active.blamed.append(orphan.since)

    def _move(self, active: ActiveCall, old: Worker, worker: Worker, now: float) -> None:
        gap_ms = round((now - active.vitals.beat) * 1000) if active.vitals.begun else 0
        active.move(worker)
        self.on_moved(active)
        self._metrics.takeovers.inc()
        active.journal(
            {
                "type": "CallTakenOver",
                "worker": old.number,
                "by": worker.number,
                "noticed_after_ms": gap_ms,
            }
        )
        log.warning(
            "call_taken_over", call_id=active.id, worker=old.number, by=worker.number, after_ms=gap_ms
        )

    # ------------------------------------------------------------ no other worker

    def _give_up(self, active: ActiveCall, reason: str) -> None:
        """It takes workers down, or there are none: say so, then send the caller to a human if the plan names one."""
        active.alone = True
        target = last_resort(active.route)
        log.error("call_given_up", call_id=active.id, takeovers=len(active.takeovers), fallback=bool(target))
        active.journal({"type": "CallGivenUp", "workers": len(active.takeovers), "fallback": target})
        self._metrics.given_up.inc()
        self.part(active, reason)

    def part(self, active: ActiveCall, reason: str = "worker_lost") -> None:
        """No worker has it any more: end it as politely as can be. Also what a switch before us was about."""
        target = last_resort(active.route)
        active.finish()
        if not active.ready.done():  # it rings: reception sends the caller elsewhere, or says 503
            active.end_reason = active.end_reason or reason
            active.ready.set_result(CallRefused(call_id=active.id, code=503, reason="the workers died"))
            return
        self._spawn(active, self._say_goodbye(active, target, reason))

    def refused(self, active: ActiveCall, reason: str) -> None:
        """The worker that has it now has sound, but no agent for it."""
        log.error("call_given_up", call_id=active.id, reason=reason)
        target = last_resort(active.route)
        active.journal({"type": "CallGivenUp", "workers": len(active.takeovers), "fallback": target})
        self._metrics.given_up.inc()
        self._spawn(active, self._send_elsewhere(active, target, "agent_not_available"))

    def _spawn(self, active: ActiveCall, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work, name=f"give up {active.id}")
        active.tasks.add(task)
        task.add_done_callback(active.tasks.discard)

    async def _say_goodbye(self, active: ActiveCall, target: str, reason: str) -> None:
        plan, persona = active.call.plan, active.route.agents.get(active.route.agent)
        if plan is not None:
            language = persona.language if persona is not None else "en"
            await self._stand_in.say(
                active.call, active.vitals, self.notices.sound(language, plan.codec.upper())
            )
        await self._send_elsewhere(active, target, reason)

    async def _send_elsewhere(self, active: ActiveCall, target: str, reason: str) -> None:
        ok = False
        if target:
            try:
                ok = (await active.call.transfer(target)).ok
            except TelephonyError as error:
                log.error("fallback_failed", call_id=active.id, error=str(error))
        if ok:
            active.transferred(target)
        else:
            active.end_reason = active.end_reason or reason
        active.call.hang_up("worker lost")
