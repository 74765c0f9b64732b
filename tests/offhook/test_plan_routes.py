"""What the dial plan says of a call, done by the real reception: conditions, limits, splits, overflow, queues."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from offhook.link import CallReady, CallRefused, QueueReady, QueueUp, StartCall
from offhook.switch.traffic import Queues, Traffic
from telephony.call.call import Call
from telephony.errors import CallFailed
from telephony.phone import Phone
from tests.offhook import reception_rig
from tests.offhook.reception_rig import HOST, Rig, a_peer, a_reception

TRUNKS = """
trunks:
  - {name: carrier, allow_from: 127.0.0.2}
  - {name: office, allow_from: 127.0.0.3}
"""
PLAN = """
version: 1
name: Rig
timezone: Europe/Berlin
trunks: [carrier, office]
lists: {nuisance: {numbers: ["+49160*", anonymous]}}
calendars: {never: {open_also: {2001-01-01: "10:00-11:00"}}}
agents:
  desk: {instructions: Answer.}
  english: {instructions: Answer.}
  night: {instructions: Answer.}
targets:
  box: {voicemail: Leave a message.}
  away: {redirect: sip:partner@other.example}
numbers:
  - number: "+4930100"
    routes:
      - {when: {caller: nuisance}, reject: 603}
      - {when: {language: en}, agent: english}
      - {when: {header: {X-Campaign: "spring*"}, trunk: carrier}, agent: night}
      - {when: {trunk: office}, target: away}
      - {agent: desk}
  - {number: "+4930200", agent: desk, max_calls: {limit: 1, then: box}}
  - {number: "+4930201", agent: desk, max_calls: 1}
  - {number: "+4930300", agent: desk, calls_per_hour: 2}
  - {number: "+4930400", split: {desk: 50%, night: 50%}}
  - {number: "+4930500", agent: desk, on_failure: {overload: away, agent_crash: "sip:rescue@other.example"}}
  - {number: "+4930600", open: never, agent: desk, on_failure: {closed: night}}
  - {number: "sip:alice", agent: night}
"""


@pytest.fixture(autouse=True)
def plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reception's plan."""
    monkeypatch.setattr(reception_rig, "PLAN", PLAN)


def number(rig: Rig, user: str) -> str:
    return f"sip:{user}@{HOST}:{rig.phone.address[1]}"


async def ring(
    rig: Rig, peer: Phone, user: str, headers: tuple[tuple[str, str], ...] = ()
) -> tuple[Call, StartCall]:
    """Call and be answered. Returns what the worker was told, too."""
    dialing = asyncio.create_task(peer.dial(number(rig, user), headers=headers))
    start: StartCall = await rig.told(StartCall)
    rig.worker.send(CallReady(call_id=start.call_id))
    return await dialing, start


async def over(rig: Rig, *calls: Call) -> None:
    """Hang up, and wait for the record."""
    for call in calls:
        call.hang_up()
    while rig.reception.calls:  # noqa: ASYNC110 # its record is written by a task of its own
        await asyncio.sleep(0)


async def refused(rig: Rig, peer: Phone, user: str, headers: tuple[tuple[str, str], ...] = ()) -> int:
    with pytest.raises(CallFailed) as failed:
        await peer.dial(number(rig, user), headers=headers)
    return failed.value.code


@pytest.mark.parametrize(
    ("headers", "agent"),
    [
        ((), "desk"),
        ((("Accept-Language", "en-GB, de;q=0.5"),), "english"),
        ((("Accept-Language", "de, en;q=0.5"),), "desk"),
        ((("X-Campaign", "spring sale"),), "night"),
        ((("X-Campaign", "autumn"),), "desk"),
    ],
)
async def test_headers_languages_and_trunks_decide_who_takes_a_call(
    tmp_path: Path, headers: tuple[tuple[str, str], ...], agent: str
) -> None:
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        asserted = (*headers, ("P-Asserted-Identity", "<sip:+4930999@carrier.example>"))
        call, start = await ring(rig, carrier, "+4930100", asserted)
        assert start.route["agent"] == agent
        await over(rig, call)


async def test_a_caller_on_a_list_is_refused_and_another_trunk_is_sent_elsewhere(tmp_path: Path) -> None:
    async with (
        a_reception(tmp_path, TRUNKS) as rig,
        a_peer("127.0.0.2") as carrier,
        a_peer("127.0.0.3", 24860) as office,
    ):
        nuisance = (("P-Asserted-Identity", "<sip:+49160555@carrier.example>"),)
        assert await refused(rig, carrier, "+4930100", nuisance) == 603
        hidden = (("P-Asserted-Identity", "<sip:+4930999@c.example>"), ("Privacy", "id"))
        assert await refused(rig, carrier, "+4930100", hidden) == 603
        known = (("P-Asserted-Identity", "<sip:+4930999@carrier.example>"),)
        assert await refused(rig, office, "+4930100", known) == 302
        call, start = await ring(rig, carrier, "alice")
        assert start.route["agent"] == "night"
        await over(rig, call)


async def test_calls_above_a_number_s_limit_go_to_its_target_or_are_told_that_it_is_busy(
    tmp_path: Path,
) -> None:
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        first, start = await ring(rig, carrier, "+4930200")
        second, overflow = await ring(rig, carrier, "+4930200")
        assert (start.route["agent"], overflow.route["agent"]) == ("desk", "box")
        only, _ = await ring(rig, carrier, "+4930201")
        assert await refused(rig, carrier, "+4930201") == 486
        await over(rig, first, second, only)
        again, start = await ring(rig, carrier, "+4930200")
        assert start.route["agent"] == "desk"
        await over(rig, again)


async def test_a_caller_may_call_so_often_within_an_hour(tmp_path: Path) -> None:
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        one = (("P-Asserted-Identity", "<sip:+4930999@carrier.example>"),)
        other = (("P-Asserted-Identity", "<sip:+4930888@carrier.example>"),)
        for _ in range(2):
            call, _start = await ring(rig, carrier, "+4930300", one)
            await over(rig, call)
        assert await refused(rig, carrier, "+4930300", one) == 486
        call, _start = await ring(rig, carrier, "+4930300", other)
        await over(rig, call)


async def test_the_arm_of_a_split_is_in_the_record_and_in_the_journal(tmp_path: Path) -> None:
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        call, start = await ring(rig, carrier, "+4930400")
        await over(rig, call)
    arm = start.route["arm"]
    assert arm in ("desk", "night") and start.route["agent"] == arm
    folder = next((tmp_path / "calls").glob("*/*"))
    assert json.loads((folder / "call.json").read_text())["rule"]["arm"] == arm
    journal = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert next(event for event in journal if event["type"] == "CallArrived")["arm"] == arm


async def test_a_call_that_no_worker_can_take_is_sent_where_the_plan_says(tmp_path: Path) -> None:
    async with (
        a_reception(tmp_path, f"{TRUNKS}max_calls: 1") as rig,
        a_peer("127.0.0.2") as carrier,
    ):
        rig.reception.pool, pool = None, rig.reception.pool
        assert await refused(rig, carrier, "+4930500") == 302
        assert await refused(rig, carrier, "+4930200") == 503
        rig.reception.pool = pool
        call, _ = await ring(rig, carrier, "+4930500")
        assert await refused(rig, carrier, "+4930500") == 302, "all lines are busy"
        assert await refused(rig, carrier, "+4930200") == 503
        await over(rig, call)


async def test_while_workers_have_too_much_to_do_calls_go_where_the_plan_says_or_are_refused(
    tmp_path: Path,
) -> None:
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        assert rig.reception.pool is not None
        measured = rig.reception.pool.admission.measured
        for _ in range(3):
            measured(0, 1.0, 0.0, 5)
        assert await refused(rig, carrier, "+4930500") == 302
        assert await refused(rig, carrier, "+4930200") == 503
        for _ in range(3):
            measured(0, 0.1, 0.0, 5)
        call, start = await ring(rig, carrier, "+4930500")
        assert start.route["agent"] == "desk"
        await over(rig, call)


async def test_an_agent_that_cannot_start_is_replaced_by_a_redirection(tmp_path: Path) -> None:
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        dialing = asyncio.create_task(refused(rig, carrier, "+4930500"))
        start = await rig.told(StartCall)
        assert start.route["fallback"]["agent_crash"] == "sip:rescue@other.example"
        rig.worker.send(CallRefused(call_id=start.call_id, code=503, reason="no key"))
        assert await dialing == 302


async def test_outside_its_hours_a_number_is_taken_by_somebody_else(tmp_path: Path) -> None:
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        call, start = await ring(rig, carrier, "+4930600")
        assert start.route["agent"] == "night"
        await over(rig, call)


async def test_calls_of_a_queue_are_served_in_turn_over_all_workers(tmp_path: Path) -> None:
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        calls = [await ring(rig, carrier, "+4930100") for _ in range(3)]
        ids = [start.call_id for _, start in calls]
        for call_id in ids:
            rig.worker.send(QueueUp(call_id=call_id, queue="waiting", places=1))
        assert (await rig.told(QueueReady)).call_id == ids[0]
        rig.worker.send(QueueUp(call_id=ids[1], queue="waiting", places=0))
        calls[0][0].hang_up()
        assert (await rig.told(QueueReady)).call_id == ids[2], "the second one has left"
        await over(rig, calls[1][0], calls[2][0])


def test_a_queue_serves_whoever_waits_longest_when_a_place_is_free() -> None:
    queues = Queues()
    assert queues.join("q", "a", 2) and queues.join("q", "b", 2)
    assert not queues.join("q", "c", 2) and not queues.join("q", "d", 2)
    assert queues.waiting == {"q": 2}
    assert queues.leave("x") == []
    assert queues.leave("a") == ["c"]
    assert queues.leave("d") == [] and queues.leave("b") == [] and queues.leave("c") == []
    assert queues.waiting == {}


def test_calls_of_a_caller_are_forgotten_after_an_hour() -> None:
    traffic = Traffic()
    traffic.began("1", "+49", 10.0)
    traffic.began("1", "+49", 20.0)
    traffic.ended("1")
    load = traffic.load(3, 10, (), 30.0)
    assert (load.share, load.calls["1"], load.recent["1", "+49"]) == (0.3, 1, 2)
    assert traffic.load(0, 0, (), 3611.0).recent["1", "+49"] == 1
    assert traffic.load(0, 0, (), 3621.0).recent.get(("1", "+49"), 0) == 0
