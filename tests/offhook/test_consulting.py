"""Consultation calls in the switch, over real sockets and a real link: who may be dialled, what the worker is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from offhook.access_settings import TrunkSettings
from offhook.link import (
    Consult,
    ConsultAnswered,
    ConsultEnded,
    ConsultJoined,
    ConsultRinging,
    EndConsult,
    HandOver,
    HandOverDone,
    SendDigits,
)
from offhook.switch.consulting import way_to
from telephony.call.call import Call
from telephony.call.events import DigitsByInfo
from telephony.errors import CallFailed, NotAllowed, SipSyntaxError
from telephony.phone import Phone
from tests.offhook.reception_rig import HOST, Rig, a_peer, a_reception

CARRIER = "127.0.0.2"


@asynccontextmanager
async def a_call(
    folder: Path, more: str = "", settings: str = ""
) -> AsyncIterator[tuple[Rig, Phone, Call, str]]:
    """A caller over a trunk whose proxy is the peer that the colleague's phone is, too."""
    async with a_peer(CARRIER) as carrier:
        host = f"{CARRIER}:{carrier.address[1]}"
        trunk = f'trunks: [{{name: carrier, host: "{host}", allow_from: {CARRIER}, allowed: ["+49*"]{more}}}]{settings}'
        async with a_reception(folder, trunk) as rig:
            dialing = asyncio.create_task(carrier.dial(f"sip:+4930123@{HOST}:{rig.phone.address[1]}"))
            call_id = await rig.answer()
            yield rig, carrier, await dialing, call_id


def consult(call_id: str, target: str = "+4989555", number: int = 1, ring_s: float = 5.0) -> Consult:
    return Consult(call_id=call_id, consult=number, target=target, ring_s=ring_s)


async def picked_up(rig: Rig, carrier: Phone, call_id: str) -> Call:
    """Consult, and have it answered."""
    rig.worker.send(consult(call_id))
    call = await anext(carrier.calls())
    call.ring()
    await rig.told(ConsultRinging)
    call.answer()
    await rig.told(ConsultAnswered)
    return call


def record(folder: Path) -> tuple[dict[str, object], list[dict[str, object]]]:
    """call.json and the journal's lines about consultations."""
    (path,) = (folder / "calls").glob("*/*")
    events = [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]
    facts = json.loads((path / "call.json").read_text())
    return facts, [event for event in events if event["type"].startswith("Consult")]


async def test_a_colleague_is_dialled_over_the_caller_s_trunk_and_lent_to_the_worker(tmp_path: Path) -> None:
    """Ringing and answer are told; the worker gets two sockets and their vitals; joined, both calls end together."""
    async with a_call(tmp_path) as (rig, carrier, caller, call_id):
        before = rig.descriptors
        colleague = await picked_up(rig, carrier, call_id)
        assert colleague.called.number == "+4989555"
        assert rig.descriptors == before + 3
        rig.worker.send(ConsultJoined(call_id=call_id, consult=1))
        rig.worker.send(EndConsult(call_id=call_id, consult=7, reason="of another consultation"))
        colleague.hang_up()
        assert (await rig.told(ConsultEnded)).by == "callee"
        assert (await caller.ended()).by == "callee", "nobody is left to talk to"
    facts, journal = record(tmp_path)
    assert (facts["cause"], facts["transferred_to"]) == ("transferred", "+4989555")
    kinds = [event["type"] for event in journal]
    assert kinds == ["ConsultStarted", "ConsultAnswered", "ConsultJoined", "ConsultEnded"]


async def test_a_caller_who_leaves_takes_the_consultation_along(tmp_path: Path) -> None:
    """Answered: BYE. Still ringing: CANCEL (RFC 3261 §9.1)."""
    async with a_call(tmp_path) as (rig, carrier, caller, call_id):
        rig.worker.send(consult(call_id))
        ringing = await anext(carrier.calls())
        ringing.ring()
        await rig.told(ConsultRinging)
        caller.hang_up()
        assert (await ringing.ended()).code == 487
    facts, journal = record(tmp_path)
    assert facts["cause"] == "caller_hung_up" and journal[-1]["reason"] == "the caller has left"


async def test_busy_and_no_answer_are_told_with_their_code_and_the_caller_stays(tmp_path: Path) -> None:
    """486 is theirs, 408 ours after `ring`; a new consultation may follow."""
    async with a_call(tmp_path) as (rig, carrier, caller, call_id):
        rig.worker.send(consult(call_id))
        (await anext(carrier.calls())).reject(486)
        ended = await rig.told(ConsultEnded)
        assert (ended.consult, ended.by, ended.code) == (1, "callee", 486)
        rig.worker.send(consult(call_id, number=2, ring_s=0.3))
        ringing = await anext(carrier.calls())
        ringing.ring()
        ended = await rig.told(ConsultEnded)
        assert (ended.consult, ended.code) == (2, 408)
        assert (await ringing.ended()).code == 487
        assert caller.leg.name == "TALKING"
        caller.hang_up()


async def test_a_worker_that_dies_leaves_no_colleague_on_the_line(tmp_path: Path) -> None:
    async with a_call(tmp_path) as (rig, carrier, _caller, call_id):
        colleague = await picked_up(rig, carrier, call_id)
        assert rig.reception.pool is not None
        rig.reception.worker_lost(rig.reception.pool.workers[0])
        assert (await colleague.ended()).by == "caller"


async def test_released_calls_are_connected_by_their_own_phones(tmp_path: Path) -> None:
    """REFER with Replaces (RFC 5589 §7); refused here, so both calls stand and the worker knows."""
    async with a_call(tmp_path) as (rig, carrier, caller, call_id):
        colleague = await picked_up(rig, carrier, call_id)
        rig.worker.send(HandOver(call_id=call_id, consult=1))
        done = await rig.told(HandOverDone)
        assert not done.ok and done.code == 603
        assert caller.leg.name == colleague.leg.name == "TALKING"
        caller.hang_up()
        await colleague.ended()


TRUNK = TrunkSettings.model_validate(
    {"name": "carrier", "host": "sip.carrier.example", "allowed": ["+49*"], "caller_id": {"show": "+4930"}}
)
WRITTEN = {"sip:desk@pbx.example", "+4315551"}


@pytest.mark.parametrize(
    ("target", "goes_to"),
    [
        ("+49 89 555", "sip:+4989555@sip.carrier.example"),
        ("sip:+4989555@sip.carrier.example", "sip:+4989555@sip.carrier.example"),
        ("+4315551", "sip:+4315551@sip.carrier.example"),  # written in the plan
        ("sip:desk@pbx.example", "sip:desk@pbx.example"),  # written in the plan
    ],
)
def test_who_may_be_dialled_for_a_call(target: str, goes_to: str) -> None:
    """Numbers within `allowed` of the caller's trunk, and what the plan's author wrote."""
    assert way_to(target, TRUNK, WRITTEN).target == goes_to


@pytest.mark.parametrize(
    ("target", "trunk"),
    [
        ("+1900555", TRUNK),
        ("sip:+1900555@sip.carrier.example", TRUNK),
        ("sip:+4989555@evil.example", TRUNK),  # a number that looks allowed, at a stranger's host
        ("sip:desk@evil.example", TRUNK),
        ("tel:+1900555", TRUNK),
        ("+43155510", TRUNK),  # begins like the number in the plan
        ("sip:other@pbx.example", None),
        ("+4989555", None),
    ],
)
def test_what_a_caller_talks_an_agent_into_must_not_cost_money(
    target: str, trunk: TrunkSettings | None
) -> None:
    """Toll fraud: not on the trunk's account, not to strangers' hosts, and over no trunk only what the plan names."""
    with pytest.raises(NotAllowed):
        way_to(target, trunk, WRITTEN)


def test_a_number_can_be_dialled_over_a_trunk_only() -> None:
    with pytest.raises(SipSyntaxError, match="over no trunk"):
        way_to("+4315551", None, WRITTEN)


async def test_a_consultation_that_may_not_be_dialled_is_refused_before_a_packet_leaves(
    tmp_path: Path,
) -> None:
    """The worker is told 403; the journal says who was wanted."""
    async with a_call(tmp_path) as (rig, _carrier, caller, call_id):
        rig.worker.send(consult(call_id, "+1900555"))
        ended = await rig.told(ConsultEnded)
        assert (ended.by, ended.code) == ("plan", 403) and "may not be dialled" in ended.reason
        caller.hang_up()


@pytest.mark.parametrize(("more", "settings"), [(", max_calls: 2", ""), ("", "\nmax_calls: 2")])
async def test_a_consultation_counts_for_the_limits_of_its_trunk_and_of_all_calls(
    tmp_path: Path, more: str, settings: str
) -> None:
    """Two lines: a caller and the colleague have them. Once the colleague has left another caller may ring."""
    async with a_call(tmp_path, more, settings) as (rig, carrier, caller, call_id):
        there = f"sip:+4930123@{HOST}:{rig.phone.address[1]}"
        colleague = await picked_up(rig, carrier, call_id)
        with pytest.raises(CallFailed) as refused:
            await carrier.dial(there)
        assert refused.value.code == 503
        colleague.hang_up()
        await rig.told(ConsultEnded)
        dialing = asyncio.create_task(carrier.dial(there))
        await rig.answer()
        for call in (await dialing, caller):
            call.hang_up()
            await call.ended()


async def test_keys_for_a_colleague_go_by_info_where_the_trunk_wants_that(tmp_path: Path) -> None:
    """RFC 6086 INFO with application/dtmf-relay on their leg, none on the caller's."""
    async with a_call(tmp_path, ", dtmf: info") as (rig, carrier, caller, call_id):
        rig.worker.send(consult(call_id))
        colleague = await anext(carrier.calls())
        keys: list[tuple[str, str]] = []
        pressed = asyncio.Event()

        def heard(whose: str, event: object) -> None:
            if isinstance(event, DigitsByInfo):
                keys.append((whose, event.pii_digits))
                if len(keys) == 2:
                    pressed.set()

        colleague.listen(lambda event: heard("colleague", event))
        caller.listen(lambda event: heard("caller", event))
        colleague.answer()
        assert (await rig.told(ConsultAnswered)).dtmf == "info"
        rig.worker.send(SendDigits(call_id=call_id, pii_digits="4#", consult=1))
        await pressed.wait()
        assert keys == [("colleague", "4"), ("colleague", "#")]
        caller.hang_up()
        await colleague.ended()
