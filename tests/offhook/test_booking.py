"""The booking example: an agent that asks with typed tasks, and a plan that collects without Python."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from offhook.settings import Providers
from offhook.worker.casting import Casting
from pipeline.agent.tasks.collect import KINDS, make_task
from pipeline.errors import ConfigError
from pipeline.events import AgentSpoke, ToolCalled
from pipeline.testing.virtual_clock import run
from telephony.dialplan.load import load_plan, parse_plan
from telephony.dialplan.match import match
from telephony.dialplan.model import COLLECTED
from telephony.errors import PlanError
from tests.pipeline.agent.tasks.caller import call
from tests.pipeline.rig import Rig

PLAN = load_plan(Path(__file__).parents[2] / "examples" / "booking.yaml")
FAKES = Providers.model_validate({"stt": "fake", "llm": "scripted", "tts": "fake", "vad": "fake"})
PHONE = "four one five five five five two six seven one"


def _phoned(number: str, *lines: str) -> Rig:
    """A whole call with the example's agent."""

    async def phoned() -> Rig:
        route = match(PLAN, number)
        return await call(Casting(FAKES, None).cast(route.agents).agent(route.agent), lines)

    return run(phoned)


def _said(rig: Rig) -> list[str]:
    return [event.text for event in rig.of(AgentSpoke)]


def test_a_caller_books_an_appointment_corrects_it_and_is_said_goodbye() -> None:
    rig = _phoned(
        "100", "a cleaning please", "tomorrow at three thirty", "yes", PHONE, "yes", "no the day is wrong",
        "in two days at ten", "yes", "yes", "no",
    )  # fmt: skip
    booked = rig.session.userdata["appointment"]
    assert (booked["minutes"], booked["phone"]) == (45, "+14155552671")
    when = datetime.fromisoformat(booked["when"])
    assert (when.hour, (when.date() - datetime.now().date()).days) == (10, 2)
    assert any(text.startswith("You are booked for ") for text in _said(rig))
    assert _said(rig)[-1] == "Goodbye."
    assert rig.hung_up == "agent_hung_up"


def test_a_caller_who_changes_his_mind_books_nothing() -> None:
    rig = _phoned("100", "never mind", "no")
    assert "appointment" not in rig.session.userdata
    assert "All right. Nothing is booked." in _said(rig)
    assert rig.hung_up == "agent_hung_up"


def test_a_plan_collects_a_number_for_its_tool() -> None:
    rig = _phoned("101", "status", "four two seven one", "yes", "goodbye")
    assert "Your order is on its way. Anything else?" in " ".join(_said(rig))
    (asked, looked_up, *_) = [(event.name, json.loads(event.arguments)) for event in rig.of(ToolCalled)]
    assert asked == ("collect", {"intent": "status"})
    assert looked_up == ("order_status", {"number": "4271"})
    assert rig.hung_up == "agent_hung_up"


def test_a_plan_says_what_was_collected_or_that_it_was_not() -> None:
    rig = _phoned(
        "101", "call me back", PHONE, "yes", "status", "i'd rather not", "status", "keys 1234", "goodbye"
    )
    said = _said(rig)
    assert "We will call you at +14155552671. Anything else?" in said
    assert "Never mind. Anything else?" in said
    assert "Your order is ready for collection. Anything else?" in said
    assert rig.hung_up == "agent_hung_up"


# ---------------------------------------------------------------- the plan's keys


def _plan(*keys: str) -> bytes:
    lines = "".join(f"          {key}\n" for key in keys)
    return (
        "version: 1\nagents:\n  a:\n    script:\n      intents:\n        - name: n\n          phrases: hello\n"
        f"{lines}numbers:\n  - {{number: any, agent: a}}\n"
    ).encode()


@pytest.mark.parametrize(
    ("keys", "place", "said"),
    [
        (["collect: phone"], ":8:", "nothing to collect named 'phone'"),
        (["collect: digits many"], ":8:", "Write digits 4 or digits 4-8"),
        (["collect: digits 8-4"], ":8:", "Write digits 4 or digits 4-8"),
        (["collect: choice sales"], ":8:", "Write choice sales, support"),
        (["collect: name twice"], ":8:", "nothing may follow name"),
        (["collect: address germany"], ":8:", "no country"),
        (["collect: yes_no"], ":8:", "yes or no to what"),
        (["say: hello", "else_say: no"], ":9:", "else_say without `collect`"),
        (["collect: name", "hang_up: yes"], ":9:", "one step does one thing"),
    ],
)
def test_what_cannot_be_collected_is_refused_with_its_line(keys: list[str], place: str, said: str) -> None:
    with pytest.raises(PlanError) as refused:
        parse_plan(_plan(*keys), "plan.yaml")
    assert place in str(refused.value)
    assert said in str(refused.value)


def test_plan_and_tasks_know_the_same_things_to_collect() -> None:
    assert set(KINDS) == set(COLLECTED)
    lines: dict[str, dict[str, Any]] = {
        "digits 4-8": {}, "phone_number de": {}, "address gb": {}, "choice sales, support": {},
        "yes_no": {"question": "Is it urgent?"}, "date_of_birth": {}, "date": {}, "time": {}, "date_and_time": {},
        "name": {}, "email": {},
    }  # fmt: skip
    for what, options in lines.items():
        assert parse_plan(_plan(f"collect: {{what: '{what}', question: Well?}}"), "plan.yaml")
        assert make_task(what, **options).question
    for wrong in ("phone", "digits many", "choice sales", "name twice", "address germany", "yes_no"):
        with pytest.raises(ConfigError, match=f"collect '{wrong}'"):
            make_task(wrong)
