"""A call outlives its worker: who takes it over, who keeps packets flowing meanwhile, and when it is enough.

`lost` is called by the pool the moment a worker is gone. `watch` looks every 20 ms whether workers still tick: for one
that misses three ticks the switch itself sends silence, so that no carrier takes the line for dead; one that does not
come back in time is killed, and its calls are taken over. The media goes on from shared memory (media/vitals.py), the
conversation from its checkpoint. Not how a worker goes on (worker/bridge.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from offhook.link import CallRefused
from offhook.switch.active import ActiveCall
from offhook.switch.metrics import Metrics
from offhook.switch.pool import Pool, Worker
from telephony.errors import Overloaded, TelephonyError
from telephony.media.packet import HEADER_BYTES, write_header
from telephony.media.sending_state import StreamState

log = structlog.get_logger()

TICK_S: Final = 0.02
BEGINS_WITHIN_S: Final = 0.2  # a worker that got a call; silence from us would cross its first packets
MISSED_TICKS: Final = 3  # then the switch sends silence itself
MOST_TAKEOVERS: Final = 2  # of one call within CRASH_LOOP_S; the next one would die of the same
CRASH_LOOP_S: Final = 60.0
LONGEST_WAIT_S: Final = 10.0  # for a worker that can take a call over


class Recovery:
    """Of all calls of a switch. calls: by id, reception's own. pool: None before the workers are started.
    on_orphan: what else hung on the worker that is gone has to be ended."""

    def __init__(
        self,
        calls: Mapping[str, ActiveCall],
        pool: Callable[[], Pool | None],
        metrics: Metrics,
        wedged_after_s: float = 1.0,
    ) -> None:
        self._calls, self._pool, self._metrics = calls, pool, metrics
        self._wedged_after_s = wedged_after_s  # then the worker is killed
        self._loop = asyncio.get_running_loop()
        self._packet = bytearray(2048)
        self.on_orphan: Callable[[ActiveCall], None] = lambda active: None
        self._orphans: dict[ActiveCall, float] = {}  # without a worker since

    async def watch(self) -> None:
        """Until cancelled: keep every call's packets flowing."""
        while True:
            await asyncio.sleep(TICK_S)
            self.look(self._loop.time())

    def look(self, now: float) -> None:
        """One round over all calls."""
        self._adopt(now)
        beats: dict[Worker, float] = {}
        for active in self._calls.values():
            if active.answered and not active.leaving and active.vitals.begun:
                beats[active.worker] = max(beats.get(active.worker, 0.0), active.vitals.beat)
        for worker, beat in beats.items():
            silent_s = now - beat
            if silent_s > MISSED_TICKS * TICK_S:
                self._stand_in(worker, now)
            if silent_s > self._wedged_after_s and not worker.lost and worker.ready:
                log.error("worker_wedged", number=worker.number, silent_s=round(silent_s, 2))
                self._metrics.wedged.inc()
                if (pool := self._pool()) is not None:
                    pool.kill(worker)

    def lost(self, worker: Worker) -> None:
        """A worker is gone."""
        now = self._loop.time()
        for active in [active for active in self._calls.values() if active.worker is worker]:
            if active.leaving:
                if not active.finished.done():
                    active.finished.set_result({})
            else:
                self._orphaned(active, now)
        self._adopt(now)

    # ------------------------------------------------------------ another worker

    def _orphaned(self, active: ActiveCall, now: float) -> None:
        active.takeovers.append(now)
        self.on_orphan(active)
        lately = [at for at in active.takeovers if now - at < CRASH_LOOP_S]
        if len(lately) > MOST_TAKEOVERS:
            self._give_up(active, "worker_lost")
        else:
            self._orphans[active] = now

    def _adopt(self, now: float) -> None:
        pool = self._pool()
        for active, since in list(self._orphans.items()):
            if active.leaving or active.id not in self._calls:
                del self._orphans[active]
                continue
            try:
                if pool is None:
                    raise Overloaded("the workers are not started yet")
                worker = pool.pick()
            except Overloaded:
                if now - since > LONGEST_WAIT_S:
                    del self._orphans[active]
                    self._give_up(active, "worker_lost")
                continue
            del self._orphans[active]
            self._move(active, worker, now)

    def _move(self, active: ActiveCall, worker: Worker, now: float) -> None:
        old = active.worker.number
        active.move(worker)
        self._metrics.takeovers.inc()
        gap_ms = round((now - active.vitals.beat) * 1000) if active.vitals.begun else 0
        active.journal(
            {"type": "CallTakenOver", "worker": old, "by": worker.number, "noticed_after_ms": gap_ms}
        )
        log.warning("call_taken_over", call_id=active.id, worker=old, by=worker.number, after_ms=gap_ms)

    def _give_up(self, active: ActiveCall, reason: str) -> None:
        """It takes workers down, or there are none: send the caller to a human if the plan names one."""
        if not active.ready.done():
            active.ready.set_result(CallRefused(call_id=active.id, code=503, reason="the workers died"))
        if not active.finished.done():
            active.finished.set_result({})
        target = active.route.on_failure
        log.error("call_given_up", call_id=active.id, takeovers=len(active.takeovers), fallback=bool(target))
        if target and active.answered:
            task = self._loop.create_task(self._send_elsewhere(active, target, reason), name="fallback")
            active.tasks.add(task)
            task.add_done_callback(active.tasks.discard)
        else:
            active.end_reason = active.end_reason or reason
            active.call.hang_up("worker lost")

    async def _send_elsewhere(self, active: ActiveCall, target: str, reason: str) -> None:
        try:
            outcome = await active.call.transfer(target)
            ok = outcome.ok
        except TelephonyError as error:
            log.error("fallback_failed", call_id=active.id, error=str(error))
            ok = False
        if ok:
            active.transferred(target)
        else:
            active.end_reason = active.end_reason or reason
        active.call.hang_up("worker lost")

    # ------------------------------------------------------------ silence in a worker's place

    def _stand_in(self, worker: Worker, now: float) -> None:
        for active in self._calls.values():
            ours = active.worker is worker and now - active.moved > BEGINS_WITHIN_S
            if ours and active.answered and not active.leaving and active.vitals.begun:
                self._send_silence(active, now)

    def _send_silence(self, active: ActiveCall, now: float) -> None:
        """What is due since the last packet. Encrypted calls have to wait: their key's place is with the worker."""
        plan, pair, vitals = active.call.plan, active.call.rtp, active.vitals
        if plan is None or pair is None or plan.srtp or plan.direction not in ("sendrecv", "sendonly"):
            return
        payload_type, units, payload = vitals.silence()
        if not payload:
            return
        state, sent_at, packets, octets = vitals.last_sent()
        periods = int((now - sent_at) * plan.clock_hz / units)
        if not periods:
            return
        timestamp = (state.timestamp + (periods - 1) * units) & 0xFFFFFFFF
        following = StreamState(
            state.ssrc,
            (state.seq + 1) & 0xFFFF,
            (timestamp + units) & 0xFFFFFFFF,
            state.wraps + (state.seq == 0xFFFF),
        )
        vitals.sending(following, now, packets + 1, octets + len(payload))
        end = HEADER_BYTES + len(payload)
        self._packet[HEADER_BYTES:end] = payload
        write_header(
            self._packet,
            payload_type=payload_type,
            marker=False,
            sequence=state.seq,
            timestamp=timestamp,
            ssrc=state.ssrc,
        )
        with suppress(OSError):  # a full buffer or an ICMP error: the next one may get through
            pair.rtp.sendto(memoryview(self._packet)[:end], vitals.target())
            self._metrics.stand_ins.inc()
