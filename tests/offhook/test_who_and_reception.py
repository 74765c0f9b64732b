"""`offhook dialplan who` and the live router give the same answer, for any plan, call and moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from offhook.link import CallRefused, StartCall
from offhook.link import Load as CpuLoad
from telephony.call.call import Call
from telephony.dialplan.condition import CallFacts, Load
from telephony.dialplan.document import FileProblems
from telephony.dialplan.explain import explain
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import Plan
from telephony.errors import CallFailed
from telephony.phone import Phone
from tests.offhook.reception_rig import HOST, Rig, a_peer, a_reception
from tests.telephony.dialplan.plans_at_random import Asked, calls, plans

TRUNK = (
    "trunks: [{name: carrier, allow_from: 127.0.0.2}, {name: pbx, allow_from: 127.0.0.3}]\n"
    "access: {per_second: 0, per_second_source: 0}\n"
)
IDLE: dict[str, Any] = {
    "calls": 0, "late_p50_ms": 0.0, "late_p99_ms": 0.0, "late_max_ms": 0.0, "skipped_ticks": 0, "memory_bytes": 0,
    "tasks": 0,
}  # fmt: skip
SKIPPED = """
version: 1
timezone: Europe/Berlin
agents: {a: {instructions: x}, b: {instructions: x}}
numbers:
  - number: any
    routes:
      - {when: {time: "02:15-02:45"}, agent: a}
      - {agent: b}
"""


class Live:
    """A reception and two trunks that ring it, on a loop of their own, so that hypothesis may drive them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, rig: Rig, trunks: dict[str, Phone]) -> None:
        self._loop, self._rig, self._trunks = loop, rig, trunks
        self._taken: Call | None = None
        take = rig.reception.take

        async def noted(call: Call) -> None:
            self._taken = call
            await take(call)

        rig.reception.take = noted  # type: ignore[method-assign]

    def asked(self, plan: Plan, call: Asked) -> tuple[int, CallFacts]:
        """The SIP status of the answer, and what the plan was told of the call."""
        return asyncio.run_coroutine_threadsafe(self._asked(plan, call), self._loop).result(20)

    async def _asked(self, plan: Plan, call: Asked) -> tuple[int, CallFacts]:
        rig = self._rig
        while rig.reception.calls:  # noqa: ASYNC110 # the call before is being put away
            await asyncio.sleep(0)
        rig.store.swap(plan)
        rig.reception.wall = lambda: call.at
        assert rig.reception.pool is not None
        (worker,) = rig.reception.pool.workers[:1]
        worker.load = CpuLoad(cpu=call.load, **IDLE)
        traffic = rig.reception._routing.traffic.load(0, 0, [], self._loop.time())
        load = Load(call.load, dict(traffic.calls), dict(traffic.recent))
        user = f"<sip:{call.caller or 'anonymous'}@carrier.example>"
        headers = [
            ("P-Asserted-Identity", user),
            *((name.title(), text) for name, text in call.headers.items()),
        ]
        if not call.caller:
            headers.append(("Privacy", "id"))
        target = f"sip:{call.number}@{HOST}:{rig.phone.address[1]}"
        taken: asyncio.Task[Any] = asyncio.ensure_future(rig.told(StartCall))
        self._taken = None
        try:
            await self._trunks[call.trunk].dial(
                target, headers=headers, timeout=10, redirect=lambda *_: False
            )
        except CallFailed as failed:
            assert self._taken is not None
            call_id = self._taken.sip_call_id
            facts = CallFacts(call.number, call.caller, call.trunk, call.headers, call.at, load, call_id)
            return failed.code, facts
        finally:
            taken.cancel()
        raise AssertionError("the worker of this test answers no call")


@contextmanager
def a_live_router(folder: Path) -> Iterator[tuple[Live, list[StartCall]]]:
    """The second: what the worker was told; it refuses every call, so that the next can come."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[Live] = []
    told: list[StartCall] = []

    async def work() -> None:
        async with (
            a_reception(folder, TRUNK, longest_s=110) as rig,
            a_peer("127.0.0.2") as carrier,
            a_peer("127.0.0.3", 24900) as pbx,
        ):
            refusing = asyncio.create_task(_refuse(rig, told))
            found.append(Live(loop, rig, {"carrier": carrier, "pbx": pbx}))
            ready.set()
            await done.wait()
            refusing.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(work(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield found[0], told
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
        loop.close()


async def _refuse(rig: Rig, told: list[StartCall]) -> None:
    while True:
        start: StartCall = await rig.told(StartCall)
        told.append(start)
        rig.worker.send(CallRefused(call_id=start.call_id, code=499, reason="asked only"))


def test_who_and_the_live_router_agree_on_any_plan_and_call(tmp_path: Path) -> None:
    """Real INVITEs over loopback, the reception's clock on the wall set to the moment."""
    answers: dict[str, int] = {}
    with a_live_router(tmp_path) as (live, told):

        @settings(
            max_examples=60,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        @given(text=plans(everything=True), asked=st.lists(calls(), min_size=3, max_size=6))
        @example(
            text=SKIPPED,
            asked=[
                Asked("100", "200", "", datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),  # 01:30, then 03:30
                Asked("100", "200", "", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
                Asked("100", "200", "", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # 02:30, twice
                Asked("100", "200", "", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
            ],
        )
        def agree(text: str, asked: list[Asked]) -> None:
            plan = None
            with suppress(FileProblems):
                plan = parse_plan(text.encode())
            assume(plan is not None)
            assert plan is not None
            for call in asked:
                told.clear()
                code, facts = live.asked(plan, call)
                who = explain(plan, facts)
                routed = told[0].route["agent"] if told else ""
                assert (routed, code) == (who.agent, who.code or 499), f"{call}\n{who}\n{text}"
                answer = who.agent or str(who.code)
                answers[answer] = answers.get(answer, 0) + 1

        agree()
    assert {"a", "b", "c", "box", "302", "404", "486"} <= set(answers), f"too few kinds of answers: {answers}"


NATIONAL = """
version: 1
trunks: {pbx: {numbers: national de}}
agents: {a: {instructions: x}}
numbers:
  - {number: "+498910055", agent: a, calls_per_hour: 1}
"""


def test_a_caller_is_counted_by_the_number_that_the_trunk_s_form_stands_for(tmp_path: Path) -> None:
    """As it was sent it is another text, and the limit would never be reached."""
    noon = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    one, other = (Asked("08910055", caller, "", noon, trunk="pbx") for caller in ("016012345", "0049160999"))
    with a_live_router(tmp_path) as (live, _):
        plan = parse_plan(NATIONAL.encode())
        assert [live.asked(plan, call)[0] for call in (one, one, other)] == [499, 486, 499]


def test_the_hour_that_is_left_out_is_nobodys_and_the_one_that_comes_twice_counts_twice() -> None:
    plan = parse_plan(SKIPPED.encode())

    def taker(*at: int) -> str:
        return explain(plan, CallFacts("100", at=datetime(*at, tzinfo=UTC))).agent  # type: ignore[misc,arg-type]

    assert [taker(2026, 3, 29, 0, minute) for minute in (30, 59)] == ["b", "b"]
    assert [taker(2026, 3, 29, 1, minute) for minute in (0, 30)] == ["b", "b"]
    assert [taker(2026, 10, 25, hour, 30) for hour in (0, 1, 2)] == ["a", "a", "b"]
