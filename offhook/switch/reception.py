"""What happens to a call in the switch: route, worker, answer, record, goodbye.

One `Reception` takes all calls; each call has one task that lives as long as it does. Signalling is telephony's
business, the conversation is the worker's: this page owns the order of things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from offhook.bundle import Bundle
from offhook.errors import BundleError
from offhook.link import (
    Adopted,
    CallAnswered,
    CallConfirmed,
    CallEvent,
    CallFinished,
    CallLeft,
    CallReady,
    CallRefused,
    Checkpoint,
    Consult,
    ConsultJoined,
    EndCall,
    EndConsult,
    HandOver,
    HangUp,
    Hold,
    LoopBlocked,
    MediaChanged,
    Message,
    Notice,
    PressKey,
    QueueReady,
    QueueUp,
    SayGoodbye,
    SendDigits,
    Transfer,
)
from offhook.settings import Settings
from offhook.switch.active import ActiveCall
from offhook.switch.admission import Admission, limits_of
from offhook.switch.adopting import Legacy
from offhook.switch.consulting import Consulting
from offhook.switch.errands import Errands
from offhook.switch.held import Held
from offhook.switch.metrics import Metrics
from offhook.switch.pool import Pool
from offhook.switch.recovery import Recovery
from offhook.switch.referrals import detour
from offhook.switch.routing import Routing, crash_address, record, written
from offhook.switch.traffic import Queues
from offhook.switch.upgrade import Upgrade
from offhook.switch.worker import Worker
from offhook.whose import CALL
from telephony.call.call import Call
from telephony.call.events import CallEvent as PhoneEvent
from telephony.call.events import Confirmed, DigitsByInfo, Ended, Moved
from telephony.call.events import MediaChanged as NewPlan
from telephony.call.referred import Detour
from telephony.call.state import Leg
from telephony.dialplan.match import taken
from telephony.dialplan.store import PlanStore
from telephony.errors import OutOfOrder, Overloaded, SentElsewhere, TelephonyError
from telephony.media.vitals import Vitals
from telephony.phone import Rejection
from telephony.sip.headers import ReferTo
from telephony.sip.message import Request
from telephony.trunk.access import RETRYABLE

log = structlog.get_logger()

READY_TIMEOUT_S = 6.0
FINISH_TIMEOUT_S = 5.0
MOST_OVERFLOWING = 1000


class Reception:
    """Takes calls. on_record(bundle path): the console may index it. held: where calls outlive this process."""

    def __init__(
        self,
        settings: Settings,
        store: PlanStore,
        metrics: Metrics,
        on_record: Callable[[str], None],
        held: Held | None = None,
    ) -> None:
        self.calls: dict[str, ActiveCall] = {}
        self.draining = False
        self.wall: Callable[[], datetime] = _wall  # by which the plan's hours are kept
        self._settings, self._metrics = settings, metrics
        self._routing = Routing(settings, store, lambda: self.wall())
        self._queues = Queues()
        self._overflowing: set[str] = set()  # SIP Call-IDs, from `admit` to their redirection
        self._on_record = on_record
        self._loop = asyncio.get_running_loop()
        self.pool: Pool | None = None
        self.consulting: Consulting | None = None
        self.live: Callable[[], Sequence[Call]] = lambda: [active.call for active in self.calls.values()]
        self._trunks = {trunk.name: trunk for trunk in settings.trunks}
        self._errands = Errands(self._trunks)
        self._held = held or Held()
        self.legacy = Legacy(
            self.calls, lambda: self.pool, self._errands, lambda: self.consulting, self._held
        )
        self.admission = Admission(limits_of(settings))
        self.recovery = Recovery(
            self.calls, lambda: self.pool, metrics, settings.worker_memory_mb, settings.wedged_after_s
        )
        self.recovery.on_orphan, self.recovery.on_moved = self._drop_consultation, self._move_consultation
        self.recovery.line_of = lambda call_id: self.consulting.line(call_id) if self.consulting else None
        self.upgrade = Upgrade(self.calls, lambda: self.pool, metrics, self.recovery)

    # ------------------------------------------------------------ a call's life

    def admit(self, request: Request, source: tuple[str, int], trunk: str) -> Rejection | None:
        """May another call come in? Asked before anything is spent on it. trunk: "" for none."""
        access, live = self._settings.access, self.live()
        if self.draining:
            return Rejection(access.codes.leaving, "Shutting Down", self._retry_after(access.codes.leaving))
        of_trunk = sum(call.sender.trunk == trunk for call in live) if trunk else 0
        if self.admission.capped(len(live), trunk, of_trunk):
            busy = "All Lines Busy"
        elif self.pool is not None and (why := self.pool.full):
            log.warning("overloaded", why=why, calls=len(live))
            busy = "Overloaded"
        else:
            return None
        if len(self._overflowing) >= MOST_OVERFLOWING or not self._routing.overflow(request, trunk):
            return self._turned_away(busy)
        self._overflowing.add(request.get("Call-ID") or "")
        return None

    def _turned_away(self, reason: str) -> Rejection:
        code = self._settings.access.codes.busy
        self._metrics.refused.labels(str(code)).inc()
        return Rejection(code, reason, self._retry_after(code))

    def _retry_after(self, code: int) -> int:
        return self._settings.access.retry_after_s if code in RETRYABLE else 0

    def refer(self, call: Call, to: ReferTo) -> Detour | int:
        """Where a call goes that its far side refers elsewhere, or the SIP status that refuses it."""
        active = self.calls.get(call.id)
        if active is None:
            return 603
        trunk, peer = self._trunks.get(call.sender.trunk), call.source[0]
        way = detour(trunk, peer, to, written(active.route), self._routing.answered_here)
        refused = way if isinstance(way, int) else 0
        log.info("call_referred", call_id=active.id, pii_to=str(to), refused=refused)
        return way

    async def take(self, call: Call) -> None:
        """One call, from its INVITE to its record."""
        CALL.set(call.id)  # in this task: every line of the log that is about it says so
        invited = self._loop.time()
        try:
            active = self._begin(call, invited)
        except SentElsewhere as elsewhere:
            self._redirect(call, elsewhere)
            return
        except TelephonyError as error:
            self._refuse(call, error)
            return
        except (BundleError, OSError) as error:
            self._refuse(call, Overloaded(f"the call cannot be recorded: {error}"))
            return
        finally:
            self.legacy.taken(call)
        self._enter(active)
        try:
            await self._serve(active)
        finally:
            await self._conclude(active)

    def take_up(self, active: ActiveCall) -> Coroutine[Any, Any, None]:
        """A call of a switch before us, known from now on; the rest of its life is to be awaited."""
        self._enter(active)
        self._routing.traffic.began(active.route.number, active.counted, self._loop.time())
        for queue, (places, _) in sorted(active.queued.items(), key=lambda row: row[1][1]):
            self._queues.join(queue, active.id, places)
        return self._go_on(active)

    def _enter(self, active: ActiveCall) -> None:
        self.calls[active.id] = active
        self._metrics.calls.set(len(self.calls))
        active.call.listen(lambda event: self._signalled(active, event))

    async def _go_on(self, active: ActiveCall) -> None:
        CALL.set(active.id)
        try:
            if active.answered:
                self._limit(active)
            elif active.call.leg is not Leg.OVER:
                await self._until_answered(active)
            await active.call.ended()
        finally:
            await self._conclude(active)

    def _begin(self, call: Call, invited: float) -> ActiveCall:
        """Route, media, worker, bundle. Raises TelephonyError with the code for the caller."""
        workers = self.pool.workers if self.pool is not None else ()
        decision = self._routing.decide(call, len(self.calls), workers, invited)
        route = taken(decision)
        try:
            pool, worker = self._worker_for(call)
        except Overloaded:
            if decision.overload:
                raise SentElsewhere("overloaded: sent where the plan says", decision.overload) from None
            raise
        call.negotiate()
        facts = record(call, decision, route)
        bundle = Bundle.create(self._settings.calls_dir, call.id, _wall(), facts)
        futures = self._loop.create_future(), self._loop.create_future()
        try:
            vitals = Vitals.create()
        except OSError as error:
            raise Overloaded(f"no memory for another call: {error}") from error
        about: dict[str, Any] = {"counted": decision.caller, "held": self._held}
        active = ActiveCall(call, route, worker, bundle, invited, *futures, vitals, **about)
        try:
            active.begin_to_keep()
        except OSError as error:
            active.forget()
            raise Overloaded(f"no memory for another call: {error}") from error
        worker.calls.add(call.id)
        pool.taken(worker)
        self._routing.traffic.began(route.number, decision.caller, invited)
        return active

    def _worker_for(self, call: Call) -> tuple[Pool, Worker]:
        """Raises Overloaded if there is none, or if the call is one more than we take."""
        if call.sip_call_id in self._overflowing:
            self._overflowing.discard(call.sip_call_id)
            raise Overloaded("all lines are busy")
        if self.pool is None:
            raise Overloaded("the workers are not started yet")
        return self.pool, self.pool.pick_for_new()

    async def _serve(self, active: ActiveCall) -> None:
        call = active.call
        with suppress(OutOfOrder):  # the caller may give up at any moment before the answer
            if active.route.before_answer == "ringing":
                call.ring()
            else:
                call.progress()
            parties = call.parties
            arrived = {"caller": parties.caller.shown, "called": parties.called}
            arrived |= {"arm": active.route.arm} if active.route.arm else {}
            active.journal({"type": "CallArrived", **arrived})
            self._start(active)
            await self._until_answered(active)
        await call.ended()

    async def _until_answered(self, active: ActiveCall) -> None:
        ended: asyncio.Future[Any] = asyncio.ensure_future(active.call.ended())
        ready: asyncio.Future[Any] = active.ready
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            late = f"the agent was not ready within {READY_TIMEOUT_S:.0f} s"
            active.ready.set_result(CallRefused(call_id=active.id, code=503, reason=late))
        if active.ready.done():
            with suppress(OutOfOrder):
                self._answer(active, active.ready.result())

    def _start(self, active: ActiveCall) -> None:
        trunk = self._trunks.get(active.call.sender.trunk)
        active.started = self._loop.time()
        active.begin(trunk.dtmf if trunk else "auto")

    def _answer(self, active: ActiveCall, verdict: CallReady | CallRefused) -> None:
        if isinstance(verdict, CallRefused):
            log.error("call_refused_by_agent", call_id=active.id, reason=verdict.reason)
            if crash := crash_address(active.route):
                self._redirect(active.call, SentElsewhere("the agent cannot start", (crash,)))
                return
            self._reject(active.call, verdict.code, "Agent Not Available")
            return
        active.answered = self._loop.time()
        active.tell(CallAnswered(call_id=active.id))
        active.call.answer()
        self._limit(active)
        self._metrics.setup.observe(active.answered - active.invited)
        self._metrics.agent_ready.observe(active.answered - active.started)
        active.journal({"type": "CallAnswered", "setup_ms": _ms(active.answered - active.invited)})

    def _limit(self, active: ActiveCall) -> None:
        if limit_s := active.route.max_call_s:
            self._loop.call_at(active.answered + limit_s, self._too_long, active)

    def _too_long(self, active: ActiveCall) -> None:
        if active.id in self.calls:
            active.end_reason = active.end_reason or "max_call"
            active.call.hang_up("max call length")

    async def _conclude(self, active: ActiveCall) -> None:
        """The leg is over: let the worker close its files, then write the record."""
        ended = await active.call.ended()
        if self.consulting is not None:
            self.consulting.drop(active.id)
        reason = active.end_reason or f"{ended.by}_hung_up"
        active.leaving = True
        active.note()
        active.tell(EndCall(call_id=active.id, reason=reason))
        try:
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                media = await active.finished
        except TimeoutError:
            log.error("worker_kept_call", call_id=active.id, worker=active.worker.number)
            media = {}
        if not media:
            active.save_sound()
            media = active.media_left()
        for task in active.tasks:
            task.cancel()
        self._metrics.heard(media)
        duration_s = active.conclude(ended, media, reason)
        active.worker.calls.discard(active.id)
        active.forget()
        self._routing.traffic.ended(active.route.number)
        self._leave_queue(active.id)
        del self.calls[active.id]
        if self.pool is not None:
            self.pool.released(active.worker)
        self._metrics.calls.set(len(self.calls))
        self._metrics.ended.labels(reason).inc()
        log.info(
            "call_ended",
            call_id=active.id,
            by=ended.by,
            code=ended.code,
            cause=reason,
            seconds=round(duration_s, 1),
        )
        self._on_record(str(active.bundle.path))

    def _refuse(self, call: Call, error: TelephonyError) -> None:
        log.warning("call_refused", code=error.code, pii_reason=str(error), source=call.source[0])
        self._reject(call, error.code or 500)

    def _redirect(self, call: Call, elsewhere: SentElsewhere) -> None:
        log.info("call_redirected", pii_reason=str(elsewhere), source=call.source[0])
        self._metrics.refused.labels(str(elsewhere.code)).inc()
        with suppress(OutOfOrder):  # the caller has given up already
            call.redirect(elsewhere.targets, elsewhere.code)

    def _reject(self, call: Call, code: int, reason: str = "") -> None:
        """Refuse with the operator's code, if it is ours to choose."""
        code = self._settings.access.codes.unavailable if code == 503 else code
        wait_s = self._retry_after(code) if code != 404 else 0
        self._metrics.refused.labels(str(code)).inc()
        with suppress(OutOfOrder):  # the caller has given up already
            call.reject(code, reason, Rejection(code, reason, wait_s).headers)

    # ------------------------------------------------------------ what the phone says

    def _signalled(self, active: ActiveCall, event: PhoneEvent) -> None:
        self.legacy.touch(active)
        match event:
            case Confirmed():
                active.confirmed = True
                active.tell(CallConfirmed(call_id=active.id))
            case NewPlan():
                active.tell(MediaChanged(call_id=active.id, media=event.plan.dump()))
                active.journal({"type": "MediaChanged", "direction": event.plan.direction})
            case Moved():
                moved = {"by": event.by, "sip_call_id": event.sip_call_id, "source": list(active.call.source)}
                active.journal({"type": "CallMoved", **moved})
            case DigitsByInfo():
                for digit in event.pii_digits:
                    active.tell(PressKey(call_id=active.id, digit=digit))
            case Ended():
                said = {"by": event.by, "code": event.code, "ended_reason": event.reason}
                lines = {"headers": [list(line) for line in event.headers]} if event.headers else {}
                active.journal({"type": "LegEnded", **said, **lines})

    # ------------------------------------------------------------ what the worker says

    def heard_from(self, worker: Worker, message: Message) -> None:
        """A message of a worker about one of its calls."""
        if isinstance(message, Notice):
            self.recovery.notices.keep(message)
        if isinstance(message, Adopted):
            self.legacy.settle(worker, message)
            return
        active = self.calls.get(getattr(message, "call_id", ""))
        if isinstance(message, LoopBlocked):
            self._blocked(worker, active, message)
            return
        if active is None or active.worker is not worker:
            return
        if not isinstance(message, CallEvent | Checkpoint):
            self.legacy.touch(active)
        match message:
            case CallEvent():
                active.journal(message.event)
                if message.event.get("type") == "MessageTaken":
                    kept = ("file", "seconds", "spoken")
                    active.messages.append({name: message.event.get(name) for name in kept})
                self._metrics.saw(message.event)
            case Checkpoint():
                active.saved(message)
            case CallLeft():
                self.upgrade.left(active)
            case CallReady() | CallRefused():
                if not active.ready.done():
                    active.ready.set_result(message)
                elif isinstance(message, CallRefused) and active.answered:
                    self.recovery.refused(active, message.reason)
            case HangUp():
                active.end_reason = active.end_reason or message.reason
                active.call.hang_up(message.reason)
            case Transfer():
                self._spawn(active, self._errands.transfer(active, message.target), "transfer")
            case SendDigits() if not message.consult:
                self._spawn(active, self._errands.send_digits(active, message.pii_digits), "digits")
            case Consult() | ConsultJoined() | HandOver() | EndConsult() | SendDigits():
                active.consults = max(active.consults, message.consult)
                if self.consulting is not None:
                    trunk = self._trunks.get(active.call.sender.trunk)
                    self.consulting.heard(active, message, trunk, written(active.route))
            case QueueUp():
                if not message.places:
                    active.queued.pop(message.queue, None)
                    self._leave_queue(active.id, message.queue)
                    return
                active.queued[message.queue] = (message.places, self._loop.time())
                if self._queues.join(message.queue, active.id, message.places):
                    active.tell(QueueReady(call_id=active.id))
            case Hold():
                self._spawn(active, self._errands.hold(active, message.on), "hold")
            case CallFinished():
                active.finish(message.media)

    def _leave_queue(self, call_id: str, queue: str = "") -> None:
        for moved in self._queues.leave(call_id, queue):
            if (active := self.calls.get(moved)) is not None:
                active.tell(QueueReady(call_id=moved))

    def _spawn(self, active: ActiveCall, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._loop.create_task(work, name=f"{name} {active.id}")
        active.tasks.add(task)
        task.add_done_callback(active.tasks.discard)

    def _drop_consultation(self, active: ActiveCall) -> None:
        if self.consulting is not None:
            self.consulting.worker_lost(active.id)

    def _move_consultation(self, active: ActiveCall) -> None:
        if self.consulting is not None:
            self.consulting.worker_found(active.id)

    def worker_lost(self, worker: Worker) -> None:
        """A worker is gone; its calls are not."""
        self.recovery.lost(worker)

    def _blocked(self, worker: Worker, active: ActiveCall | None, message: LoopBlocked) -> None:
        """Somebody's code kept a worker's clock waiting. Reported while it lasts, counted when it is over."""
        facts = {"blocked_ms": message.blocked_ms, "stack": message.stack}
        log.error("loop_blocked", call_id=message.call_id, worker=worker.number, over=message.over, **facts)
        if message.over:
            return
        self._metrics.blocked.inc()
        if active is not None:
            active.journal({"type": "LoopBlocked", "worker": worker.number, **facts})

    def say_goodbye(self, reason: str) -> set[str]:
        """The server stops: the agents tell their callers so, and hang up. Returns the ids of those who hear it."""
        told = {active.id for active in self.calls.values() if active.answered and active.confirmed}
        for active in list(self.calls.values()):
            active.end_reason = active.end_reason or reason
            if active.id in told:
                active.tell(SayGoodbye(call_id=active.id, reason=reason))
            else:
                active.call.hang_up(reason)
        return told

    def hang_up_all(self, reason: str) -> None:
        """The server stops, now."""
        for active in list(self.calls.values()):
            active.end_reason = active.end_reason or reason
            active.call.hang_up(reason)


def _wall() -> datetime:
    return datetime.now(UTC)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
