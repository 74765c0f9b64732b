"""The shipped plans `contact-centre` and `clinic`: their own tests, and a short dialogue with each of their agents."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from offhook.settings import Providers
from offhook.worker.casting import Casting
from pipeline.testing import TextCall, on_virtual_clock
from telephony.dialplan.condition import CallFacts, Load
from telephony.dialplan.load import load_plan
from telephony.dialplan.match import Plan, decide, match
from telephony.dialplan.model import Route
from telephony.dialplan.trial import failed_tests

FOLDER = Path(__file__).parents[2] / "dialplans"
CENTRE, CLINIC = load_plan(FOLDER / "contact-centre.yaml"), load_plan(FOLDER / "clinic.yaml")
FAKES = Providers.model_validate({"stt": "fake", "llm": "scripted", "tts": "fake", "vad": "fake"})
TUESDAY = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)


def talk(route: Route, taker: str = "") -> TextCall:
    """A call to whoever takes it. taker: instead of who asks for consent first."""
    agent = Casting(FAKES, None).cast(route.agents).agent(taker or route.agent)
    return TextCall(agent)


@pytest.mark.parametrize("plan", [CENTRE, CLINIC], ids=["contact-centre", "clinic"])
def test_the_tests_that_a_shipped_plan_carries_come_out_as_they_should(plan: Plan) -> None:
    assert plan.spec.tests
    assert [str(problem) for problem in failed_tests(plan)] == []


@pytest.mark.parametrize("name", ["contact-centre", "clinic"])
def test_every_agent_of_a_shipped_plan_can_be_played_by_the_embedded_providers(name: str) -> None:
    plan = load_plan(FOLDER / f"{name}.yaml")
    everybody = {key: team[key] for key, team in plan.teams.items()}
    Casting(Providers(), None).rehearse(everybody)


@on_virtual_clock
async def test_a_caller_with_a_bill_agrees_to_be_recorded_and_gets_to_billing() -> None:
    route = match(CENTRE, CallFacts("+443300000100", "+447700900123", at=TUESDAY))
    async with talk(route) as call:
        call.opening.has.message(contains="May we record this call")
        (await call.say("yes")).has.message(contains="Harbour Energy, hello")
        bill = await call.say("a question about my bill")
        bill.has.message(contains="put you through to billing").handoff("billing")
        number = await call.say("four two seven one three five")
        number.has.message(contains="bill of customer 427135")
        (await call.say("no thank you")).has.over("agent_hung_up")


@on_virtual_clock
async def test_somebody_in_danger_is_put_through_to_the_control_room() -> None:
    route = match(CENTRE, CallFacts("+443300000300", at=TUESDAY))
    assert (route.agent, route.recording) == ("faults", "announce")
    async with talk(route) as call:
        call.opening.has.message(contains="Is anybody in danger?")
        (await call.say("yes")).has.transfer("+443300000999", ok=True)


@on_virtual_clock
async def test_a_caller_outside_the_hours_leaves_a_message() -> None:
    sunday = datetime(2026, 12, 6, 11, 0, tzinfo=UTC)
    route = match(CENTRE, CallFacts("+443300000100", "+447700900123", at=sunday))
    async with talk(route, "mailbox") as call:
        call.opening.has.message(contains="Our office is closed.")
        assert "beep" in call.phone.control


def test_when_all_are_busy_callers_queue_and_when_nothing_is_free_a_partner_takes_over() -> None:
    busy = CallFacts("+443300000100", "+447700900123", at=TUESDAY, load=Load(share=0.9))
    decision = decide(CENTRE, busy)
    assert decision.taker == "waiting"
    assert decision.overload == ("sip:+443300001100@sip.partner.example",)


def test_one_caller_in_ten_gets_the_menu_and_always_the_same_one() -> None:
    calls = [CallFacts("+443300000400", at=TUESDAY, call_id=f"call-{at}") for at in range(1000)]
    takers = [decide(CENTRE, facts).taker for facts in calls]
    assert 70 <= takers.count("menu") <= 130
    assert takers == [decide(CENTRE, facts).taker for facts in calls]
    route = decide(CENTRE, calls[takers.index("menu")]).route
    assert route is not None and route.arm == "menu"


@on_virtual_clock
async def test_a_patient_orders_a_prescription_and_then_makes_an_appointment() -> None:
    monday = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
    route = match(CLINIC, CallFacts("+12125550140", at=monday))
    async with talk(route) as call:
        (await call.say("a prescription please")).has.message(contains="eight digit patient number")
        (await call.say("one two three four five six seven eight")).has.message()
        (await call.say("yes")).has.message(contains="ready tomorrow")
        moved = await call.say("i would like an appointment")
        moved.has.handoff("booking")
        moved.has.message(contains="check up, cleaning or filling")
        (await call.say("a cleaning please")).has.message(contains="On which day")


@on_virtual_clock
async def test_a_patient_in_pain_at_night_reaches_the_dentist_on_duty() -> None:
    night = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
    route = match(CLINIC, CallFacts("+12125550140", at=night))
    async with talk(route) as call:
        call.opening.has.message(contains="If you are in pain press 1.")
        (await call.press("1")).has.transfer("sip:on-duty@127.0.0.1:5099")
