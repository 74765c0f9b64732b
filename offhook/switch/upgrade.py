"""New workers under calls that go on: `offhook reload`.

As many new workers as there are old ones are started, with the code as it is on disk now. Once all of them take calls
the old ones take no new ones. Then each old worker's calls either stay there to their end, or are let go one by one,
each at a moment when nobody would notice (worker/leaving.py), and go on in a new worker as after a crash: same
sockets, same stream, same checkpoint. Not what happens when a worker dies (recovery.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Literal

import structlog

from offhook.errors import OffhookError
from offhook.link import LetGo
from offhook.switch.active import ActiveCall
from offhook.switch.metrics import Metrics
from offhook.switch.pool import Pool
from offhook.switch.recovery import Recovery
from offhook.switch.worker import Worker
from telephony.errors import Overloaded

log = structlog.get_logger()

PATIENCE_S: Final = 10.0  # for a pause in the conversation
LOOK_AGAIN_S: Final = 0.25  # whether a call that rings or is being prepared can be moved now

How = Literal["move", "drain"]


class Upgrade:
    """Of all calls of a switch. calls: by id, reception's own."""

    def __init__(
        self,
        calls: Mapping[str, ActiveCall],
        pool: Callable[[], Pool | None],
        metrics: Metrics,
        recovery: Recovery,
    ) -> None:
        """recovery: has the calls that were let go while there is no worker for them, and gives them up in the end."""
        self._calls, self._pool, self._metrics = calls, pool, metrics
        self._recovery = recovery
        recovery.on_handed = self._hand_over
        self._loop = asyncio.get_running_loop()
        self._asked: dict[str, Worker] = {}  # who was told to let go of which call
        self._moving: set[asyncio.Task[None]] = set()
        self._renewing = False

    @property
    def moving(self) -> int:
        """Calls that are still with an old worker."""
        pool = self._pool()
        return sum(len(worker.calls) for worker in pool.workers if worker.retiring) if pool else 0

    async def reload(self, how: How) -> int:
        """Start new workers, and retire the old ones. Returns how many were started, as soon as they take calls.
        Raises OffhookError if the new ones cannot be used; nothing has changed then."""
        pool = self._pool()
        if pool is None or self._renewing:
            raise OffhookError("workers are being started already. Try again when that is over.")
        self._renewing = True
        try:
            async with pool.changing:
                old = await pool.renew()
        finally:
            self._renewing = False
        for worker in old:
            pool.retire(worker)
        log.info("workers_renewed", how=how, old=len(old), calls=self.moving)
        self._metrics.reloads.inc()
        if how == "move":
            task = self._loop.create_task(self._move_all(old), name="move calls to new workers")
            self._moving.add(task)
            task.add_done_callback(self._moving.discard)
        return len(old)

    def left(self, active: ActiveCall) -> None:
        """Its worker has let go of it: let a new one go on, at once."""
        asked = self._asked.pop(active.id, None)
        if active.over:
            active.finish()
        elif asked is active.worker:
            try:
                self._hand_over(active, self._next())
            except Overloaded as error:  # the new ones have died meanwhile
                log.warning("call_waits_for_a_worker", call_id=active.id, why=str(error))
                self._recovery.let_go(active)

    async def _move_all(self, old: list[Worker]) -> None:
        """Ask for every call, as soon as it is one that can be moved, until none is left on an old worker."""
        while self._ask(set(old)):  # noqa: ASYNC110 # a call's answer, ACK and end are seen, not told
            await asyncio.sleep(LOOK_AGAIN_S)
        self._asked = {call_id: worker for call_id, worker in self._asked.items() if worker not in old}

    def _ask(self, old: set[Worker]) -> bool:
        here = [active for active in self._calls.values() if active.worker in old and not active.over]
        for active in here:
            if active.confirmed and self._asked.get(active.id) is not active.worker:
                self._asked[active.id] = active.worker
                active.tell(LetGo(call_id=active.id, patience_s=PATIENCE_S))
        return bool(here)

    def _next(self) -> Worker:
        """Raises Overloaded if there is none."""
        if (pool := self._pool()) is None:
            raise Overloaded("the workers are gone")
        return pool.pick()

    def _hand_over(self, active: ActiveCall, worker: Worker) -> None:
        old = active.worker
        active.move(worker)
        if (pool := self._pool()) is not None:
            pool.released(old)
        self._metrics.moved.inc()
        active.journal({"type": "CallHandedOver", "worker": old.number, "by": worker.number})
        log.info("call_handed_over", call_id=active.id, worker=old.number, by=worker.number)
