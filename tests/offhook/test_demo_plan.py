"""The shipped dial plan, at text level: what `make demo` speaks is understood and answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offhook.demo.clinic import look_up_invoice
from pipeline.agent.history import Message, ToolRequest
from pipeline.hearing import slots
from pipeline.ports import TextDelta, ToolCall
from pipeline.providers.scripted import ScriptedLlm, phrases_of
from telephony.dialplan.load import load_plan
from telephony.dialplan.match import match
from telephony.errors import NoSuchNumber

PLAN = load_plan(Path(__file__).parents[2] / "dialplans" / "demo.yaml")
TEAM = match(PLAN, "100").agents


def model(agent: str) -> ScriptedLlm:
    script = TEAM[agent].script
    assert script is not None
    return ScriptedLlm(script.model_dump(mode="json"))


def reply(llm: ScriptedLlm, history: list[Message]) -> tuple[str, ToolCall | None]:
    """The text and the tool call that the model answers with; both are added to the history."""
    deltas = list(llm.reply(history, {"hang_up", "transfer"}))
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    call = next((delta for delta in deltas if isinstance(delta, ToolCall)), None)
    requests = (ToolRequest(call.id, call.name, call.arguments),) if call else ()
    history.append(Message("assistant", text, tool_calls=requests))
    return text, call


def test_the_conversation_of_the_demo() -> None:
    """Hours, bill, handoff, invoice number, goodbye: every step finds its answer."""
    history: list[Message] = []
    desk = model("reception")
    history.append(Message("user", "what are your opening hours"))
    assert reply(desk, history)[0].startswith("We are open")
    history.append(Message("user", "i have a question about my bill"))
    text, call = reply(desk, history)
    assert text == "I will put you through to billing."
    assert call is not None
    assert (call.name, json.loads(call.arguments)) == ("hand_over", {"agent": "billing"})
    history.append(Message("tool", "ok", tool_call_id=call.id))

    billing = model("billing")
    history.append(Message("assistant", TEAM["billing"].greeting, agent="billing"))
    history.append(Message("user", "four two seven one"))
    text, call = reply(billing, history)
    assert call is not None
    assert call.name == "look_up_invoice"
    history.append(Message("tool", look_up_invoice(**json.loads(call.arguments)), tool_call_id=call.id))
    assert reply(billing, history)[0].endswith("Would you like to pay it now?")
    history.append(Message("user", "no thank you"))
    assert "bank transfer" in reply(billing, history)[0]
    history.append(Message("user", "that is all goodbye"))
    text, call = reply(billing, history)
    assert text.endswith("Goodbye.")
    assert call is not None
    assert call.name == "hang_up"


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("reception", "what are your opening hours"),
        ("reception", "i have a question about my bill"),
        ("reception", "i would like to make an appointment"),
        ("reception", "on friday"),
        ("reception", "can i speak to a person please"),
        ("reception", "that is all goodbye"),
        ("billing", "four two seven one"),
        ("billing", "yes"),
        ("billing", "no"),
        ("billing", "no thank you"),
        ("billing", "that is all goodbye"),
    ],
)
def test_every_recorded_clip_is_a_phrase_of_the_agent_that_hears_it(agent: str, said: str) -> None:
    """Word by word: the embedded recogniser can hear nothing else."""
    script = TEAM[agent].script
    assert script is not None
    assert any(slots.match(phrase, said) is not None for phrase in phrases_of(script.model_dump()))


def test_the_numbers_of_the_demo() -> None:
    """The main line and its extensions are answered, nothing else."""
    assert match(PLAN, "100").agent == match(PLAN, "142").agent == "reception"
    with pytest.raises(NoSuchNumber):
        match(PLAN, "2000")


def test_the_invoice_tool_reads_digits_one_by_one() -> None:
    """No voice should say four thousand two hundred and seventy one."""
    assert "4 2 7 1" in look_up_invoice("4271")
    assert "already paid" in look_up_invoice("5566")
    assert "cannot find" in look_up_invoice("0000")
