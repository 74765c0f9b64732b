"""A switch goes on with the calls of the one before it, which died: their legs, records, memory and workers.

`Legacy` writes down what stands (active.py) for a switch after this one, and settles with each worker of the switch
before what either of them may have missed. `calls_left` makes the calls again, before anything is heard on any socket
or link. Not how descriptors outlive a process (held.py, offhook/keeper.py)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from offhook.bundle import Bundle, iso
from offhook.errors import BundleError
from offhook.link import Adopted, CallStands, Checkpoint, ConsultEnded, EndCall
from offhook.switch.active import ActiveCall
from offhook.switch.consulting import Consulting
from offhook.switch.errands import Errands
from offhook.switch.held import CALL, OFFER, Held
from offhook.switch.ledger import Ledger, LedgerError, read
from offhook.switch.pool import Pool
from offhook.switch.worker import Worker
from offhook.usage import Tally
from telephony.call.call import Call
from telephony.call.state import Leg
from telephony.dialplan.model import Route
from telephony.errors import Overloaded
from telephony.media.vitals import Vitals
from telephony.phone import Phone

log = structlog.get_logger()

WHY: Final = "switch_restarted"


class Legacy:
    """Of all calls of a switch. calls: by id, reception's own. errands: what agents wait for is gone on with."""

    def __init__(
        self,
        calls: Mapping[str, ActiveCall],
        pool: Callable[[], Pool | None],
        errands: Errands,
        consulting: Callable[[], Consulting | None],
        held: Held,
    ) -> None:
        self._calls, self._pool, self._errands, self._consulting = calls, pool, errands, consulting
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._touched: set[ActiveCall] = set()

    def changed(self, call: Call) -> None:
        """Where a leg stands has changed, and what it says of that has not left yet."""
        if (active := self._calls.get(call.id)) is not None:
            active.note()
        elif call.leg is Leg.OFFERED:
            self._offered(call)
        elif call.leg is Leg.OVER:  # before anybody has looked at it
            self.taken(call)
        elif (consulting := self._consulting()) is not None:
            consulting.changed(call)

    def _offered(self, call: Call) -> None:
        """It has its 100, so that its caller will not ask again. Until more is known of it another switch has to."""
        try:
            ledger = Ledger.create()
            ledger.append({"offer": call.snapshot()["invite"]})
        except OSError as error:
            log.error("call_not_kept", call_id=call.id, error=str(error))
            return
        self._held.keep_all(OFFER + call.id, [ledger.fd])
        ledger.close()

    def taken(self, call: Call) -> None:
        """It is kept as a call from now on, or refused."""
        self._held.drop(OFFER + call.id)

    def touch(self, active: ActiveCall) -> None:
        """Something about it has changed, or does so in this turn of the loop."""
        if not self._touched:
            self._loop.call_soon(self._note)
        self._touched.add(active)

    def _note(self) -> None:
        touched, self._touched = self._touched, set()
        for active in touched:
            active.note()

    def settle(self, worker: Worker, message: Adopted) -> None:
        """A worker of the switch before us says which calls it has. Each learns how it stands; what was asked for it is
        gone on with; one that it has not got is given to it, or is over."""
        ours = [one for one in self._calls.values() if one.worker is worker and not one.alone]
        for active in ours:
            if active.id in message.calls:
                self._stands(active)
            elif active.over:
                active.finish()
            else:
                self._give(active, worker)
        for call_id in set(message.calls) - {active.id for active in ours}:
            log.warning("call_unknown", call_id=call_id, worker=worker.number)
            worker.send(EndCall(call_id=call_id, reason=WHY))

    def _stands(self, active: ActiveCall) -> None:
        plan = active.call.plan
        media = plan.dump() if plan is not None else None
        answered = bool(active.answered)
        active.tell(CallStands(call_id=active.id, media=media, answered=answered, confirmed=active.confirmed))
        if active.leaving:
            active.tell(EndCall(call_id=active.id, reason=active.end_reason or WHY))
        else:
            self._line_stands(active)
        if active.asked[0] and not active.over:
            task = self._loop.create_task(self._errands.go_on(active), name=f"{active.asked[0]} {active.id}")
            active.tasks.add(task)
            task.add_done_callback(active.tasks.discard)

    def _line_stands(self, active: ActiveCall) -> None:
        """A colleague is on the line, or was being called: then nobody knows any more how that went."""
        consulting = self._consulting()
        if consulting is not None and active.line is not None:
            consulting.stands(active)
        elif active.consults:
            lost: dict[str, Any] = {
                "consult": active.consults,
                "by": "network",
                "code": 503,
                "reason": "the switch was restarted",
            }
            active.tell(ConsultEnded(call_id=active.id, **lost))
            asked = [row for row in active.bundle.rows if row.get("consult") == active.consults]
            if asked and asked[-1]["type"] == "ConsultStarted":
                active.journal({"type": "ConsultEnded", **lost})

    def _give(self, active: ActiveCall, worker: Worker) -> None:
        """It was on its way to that worker, or from it to another one."""
        pool = self._pool()
        if pool is not None and worker.retiring:
            with suppress(Overloaded):
                worker = pool.pick()
        active.move(worker)


def calls_left(held: Held, phone: Phone, pool: Pool, consulting: Consulting) -> list[ActiveCall]:
    """The calls of the switch before us. One that cannot be gone on with is said so in the log, and costs no other."""
    found = []
    for name in held.names(CALL):
        fds = held.take_all(name)
        call_id = name.removeprefix(CALL)
        try:
            active = _call(held, phone, pool, consulting, fds)
        except (
            Exception
        ) as error:  # what a dying switch, or another version, has written: that call is lost, no other
            log.error("call_not_adopted", call_id=call_id, error=f"{type(error).__name__}: {error}")
            held.drop(name)
            continue
        found.append(active)
    return found


def _call(held: Held, phone: Phone, pool: Pool, consulting: Consulting, fds: Sequence[int]) -> ActiveCall:
    """Owns the descriptors, whatever happens."""
    ledger, memory, *lent = fds
    rtp, colleague = lent[:2], lent[2:]
    socks = [socket.socket(fileno=fd) for fd in (*rtp, *colleague[1:])]
    vitals, theirs = Vitals(memory), Vitals(colleague[0]) if colleague else None
    legs: list[Call] = []
    try:
        rows, damage = read(ledger)
        route, stands, checkpoints = _sum(rows)
        if damage:
            log.error("call_state_torn", call_id=stands["call"]["id"], what=damage)
        legs.append(phone.adopt(stands["call"], socks[:2]))
        if stands["line"] and theirs is not None:
            legs.append(phone.adopt(stands["line"]["call"], socks[2:]))
        bundle = Bundle.reopen(Path(stands["bundle"]))
    except BaseException:
        for leg in legs:
            leg.hang_up(WHY)
        for sock in socks:
            sock.close()
        vitals.close()
        if theirs is not None:
            theirs.close()
        raise
    finally:
        os.close(ledger)
    loop = asyncio.get_running_loop()
    futures = loop.create_future(), loop.create_future()
    worker = next((one for one in pool.workers if one.number == stands["worker"]), pool.workers[-1])
    tally = Tally(bundle.rows)
    call = legs[0]
    active = ActiveCall(
        call, Route.load(route), worker, bundle, stands["invited"], *futures, vitals, tally=tally, held=held
    )
    active.load(stands)
    for row in checkpoints:
        active.saved(Checkpoint(call_id=active.id, **row))
    if legs[1:] and theirs is not None:
        consulting.take_up(active, stands["line"], legs[1], theirs)
    active.keep()
    worker.calls.add(active.id)
    if active.answered and all(
        row["type"] != "CallAnswered" for row in bundle.rows
    ):  # it died before it wrote that
        setup_ms = round(1000 * (active.answered - active.invited), 1)
        active.journal({"type": "CallAnswered", "at": active.answered, "setup_ms": setup_ms})
    gone = {"after": held.died_of, "away_ms": round(held.away_s * 1000)}
    active.journal({"type": "SwitchRestarted", **gone})
    log.warning("call_adopted", call_id=active.id, leg=call.leg.name, worker=worker.number)
    return active


def _sum(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Route, where it stands, checkpoints. Raises KeyError if there was no time to write the first two."""
    last = {kind: value for row in rows for kind, value in row.items()}
    return last["route"], last["stands"], [row["said"] for row in rows if "said" in row]


def ask_again(held: Held, phone: Phone, calls_dir: Path) -> None:
    """INVITEs that had their 100 from the switch before us, and nothing else: as if they came now. What that one had
    begun to record is over."""
    for name in held.names(OFFER):
        (fd,) = held.take_all(name)
        held.drop(name)
        try:
            rows, _ = read(fd)
            offer = rows[0]["offer"]
        except (LedgerError, LookupError) as error:
            log.error("call_not_adopted", call_id=name.removeprefix(OFFER), error=str(error))
            continue
        finally:
            os.close(fd)
        for path in calls_dir.glob(f"*/{name.removeprefix(OFFER)}"):
            with suppress(BundleError):
                Bundle.reopen(path).close({"ended": iso(datetime.now(UTC)), "cause": WHY})
        phone.hear_again(offer["request"], offer["flow"])
