"""What becomes of a call in the switch, on real trunks and a real link: who is let in, where it is routed, where
it may be transferred to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from offhook.link import StartCall, Transfer, TransferDone
from telephony.call.call import Call
from telephony.call.events import Ended
from telephony.errors import CallFailed
from telephony.phone import Phone
from tests.offhook.reception_rig import HOST, Rig, a_peer, a_reception

TRUNKS = """
trunks:
  - {name: carrier, allow_from: 127.0.0.2, max_calls: 1}
  - {name: office, allow_from: 127.0.0.3, allowed: ["+49*"]}
"""


def number(rig: Rig, user: str = "+4930123") -> str:
    return f"sip:{user}@{HOST}:{rig.phone.address[1]}"


async def ring(rig: Rig, peer: Phone, user: str = "+4930123") -> Call:
    """Call and be answered."""
    dialing = asyncio.create_task(peer.dial(number(rig, user)))
    await rig.answer()
    return await dialing


async def refused(rig: Rig, peer: Phone, user: str = "+4930123") -> tuple[int, str | None]:
    """Call and be refused: the code, and Retry-After of the whole story."""
    heard: list[Ended] = []

    def listen(event: object) -> None:
        if isinstance(event, Ended):
            heard.append(event)

    with pytest.raises(CallFailed) as failed:
        await peer.dial(number(rig, user), listen=listen)
    return failed.value.code, heard[0].reason


async def test_a_trunk_over_its_cap_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    """Row "many trunks: limits": 503 for that trunk only, until one of its calls is over."""
    async with (
        a_reception(tmp_path, TRUNKS) as rig,
        a_peer("127.0.0.2") as carrier,
        a_peer("127.0.0.3", 24860) as office,
    ):
        first = await ring(rig, carrier)
        assert await refused(rig, carrier) == (503, "All Lines Busy")
        other = await ring(rig, office)
        first.hang_up()
        await first.ended()
        again = await ring(rig, carrier)
        for call in (other, again):
            call.hang_up()


@pytest.mark.parametrize(
    ("codes", "busy", "leaving", "unavailable"),
    [
        ("", 503, 503, 503),
        ("access: {codes: {busy: 486, leaving: 480, unavailable: 500}}", 486, 480, 500),
    ],
)
async def test_the_codes_of_refusals_are_the_operator_s(
    tmp_path: Path, codes: str, busy: int, leaving: int, unavailable: int
) -> None:
    """`access.codes`: carriers differ in what makes them try elsewhere."""
    async with a_reception(tmp_path, f"{TRUNKS}{codes}") as rig, a_peer("127.0.0.2") as carrier:
        rig.reception.pool, pool = None, rig.reception.pool
        assert (await refused(rig, carrier))[0] == unavailable
        rig.reception.pool = pool
        call = await ring(rig, carrier)
        assert (await refused(rig, carrier))[0] == busy
        call.hang_up()
        await call.ended()
        rig.reception.draining = True
        assert (await refused(rig, carrier))[0] == leaving


async def test_a_refusal_over_the_cap_says_when_to_come_back(tmp_path: Path) -> None:
    """Row "overload: 503 + Retry-After" (RFC 3261 §20.33)."""
    text = TRUNKS + "access: {retry_after_s: 17}"
    async with a_reception(tmp_path, text) as rig, a_peer("127.0.0.2") as carrier:
        call = await ring(rig, carrier)
        rejection = rig.reception.admit(call.request, ("127.0.0.2", 5060), "carrier")
        assert rejection is not None and rejection.headers == (("Retry-After", "17"),)
        assert rig.reception.admit(call.request, ("127.0.0.3", 5060), "office") is None
        call.hang_up()


@pytest.mark.parametrize(
    ("why", "written"), [("the lift is here", "the lift is here"), ("", "Normal call clearing")]
)
async def test_the_record_says_why_the_caller_left(tmp_path: Path, why: str, written: str) -> None:
    """Row 32, RFC 3326: the Reason of their BYE, in words, in call.json and in the journal's LegEnded."""
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.3") as office:
        call = await ring(rig, office)
        call.hang_up(why)
        while rig.reception.calls:  # noqa: ASYNC110 # its record is written by a task of its own
            await asyncio.sleep(0)
    folder = next((tmp_path / "calls").glob("*/*"))
    facts = json.loads((folder / "call.json").read_text())
    assert (facts["ended_by"], facts["code"], facts["ended_reason"]) == ("caller", 200, written)
    journal = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    left = next(event for event in journal if event["type"] == "LegEnded")
    assert (left["by"], left["ended_reason"]) == ("caller", written)


REGISTERED = """
trunks:
  - {name: carrier, host: 127.0.0.2, user: bot-7, password_env: SECRET, register: yes}
"""


async def test_the_number_of_a_registered_trunk_is_not_our_own_user(tmp_path: Path) -> None:
    """Row 42: the registrar puts our contact into the Request-URI; the plan goes by To, or P-Called-Party-ID."""
    async with a_reception(tmp_path, REGISTERED, SECRET="x") as rig, a_peer("127.0.0.2") as carrier:
        with pytest.raises(CallFailed) as failed:
            await carrier.dial(number(rig, "bot-7"))
        assert failed.value.code == 404, "nobody has told which number was dialled"
        asserted = (("P-Called-Party-ID", "<sip:+4930123@carrier.example>"),)
        dialing = asyncio.create_task(carrier.dial(number(rig, "bot-7"), headers=asserted))
        start = await rig.told(StartCall)
        assert start.called == "+4930123" and start.parties["called"] == "+4930123"
        dialing.cancel()
        with pytest.raises(CallFailed) as failed:
            await carrier.dial(number(rig, "+49555"), headers=asserted)
        assert failed.value.code == 404, "a number in the Request-URI is the number"


@pytest.mark.parametrize(
    ("target", "goes"),
    [
        ("sip:billing@pbx.example", True),  # written in the plan
        ("+493011", True),
        ("sip:+882161@carrier.example", False),
        ("+1900555", False),
    ],
)
async def test_a_transfer_over_a_trunk_stays_within_what_it_may_dial(
    tmp_path: Path, target: str, goes: bool
) -> None:
    """Toll fraud: what a caller talks an agent into must fit `allowed:` of the trunk, or stand in the plan."""
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.3") as office:
        dialing = asyncio.create_task(office.dial(number(rig)))
        call_id = await rig.answer()
        call = await dialing
        rig.worker.send(Transfer(call_id=call_id, target=target))
        done = await rig.told(TransferDone)
        assert done.ok is False
        assert (done.code == 403 and "may not be dialled" in done.reason) is not goes, done
        call.hang_up()
