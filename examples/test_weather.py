"""How the agent in weather.py is tested: in words, with its tools replaced, and with a caller who interrupts it.

.venv/bin/python -m pytest examples
"""

from __future__ import annotations

from pathlib import Path

from examples.weather import Forecaster
from pipeline.events import CallerInterrupted
from pipeline.providers.fake import FakeLlm
from pipeline.testing import (
    FakeJudge,
    Says,
    TextCall,
    VirtualCall,
    agent_begins,
    judge,
    mock_tools,
    on_virtual_clock,
)

ASKS_THE_OFFICE = {"text": "Let me ask the weather office.", "tools": [{"name": "ask_the_office"}]}
FRIDAY = {"tools": [{"name": "forecast", "arguments": {"day": "Friday"}}]}


@on_virtual_clock
async def test_a_day_is_looked_up_and_told() -> None:
    """FakeLlm stands for the model and says what we give it, so what is tested here is the agent's own code."""
    llm = FakeLlm(script=[FRIDAY, "It will be sunny. Anything else?"])
    async with TextCall(Forecaster(), llm=llm) as call:
        call.opening.expect.message(contains="Which day").no_more()
        result = await call.say("What about Friday?")
        result.expect.tool_call("forecast", arguments={"day": "Friday"})
        result.expect.tool_result(contains="sunny on Friday").message(contains="sunny").no_more()
        assert call.userdata == {"visits": 1, "asked": "Friday"}


@on_virtual_clock
async def test_the_caller_hears_music_while_the_office_is_asked() -> None:
    """The office takes 4 s. The virtual clock jumps over them."""
    async with TextCall(Forecaster(), llm=FakeLlm("Mixed.", script=[ASKS_THE_OFFICE])) as call:
        result = await call.say("How will the week be?")
        result.expect.message(contains="Let me ask").tool_call("ask_the_office").tool_result().message()
        assert call.phone.control == ["hold", "resume"]


@on_virtual_clock
async def test_an_office_that_does_not_answer_is_apologised_for(tmp_path: Path) -> None:
    """What the model says is its own business: a judge reads it. Use the model that you use in real calls for both."""
    llm = FakeLlm("I am sorry, the office does not answer.", script=[ASKS_THE_OFFICE])
    court = FakeJudge({"apologises": "passed"})
    with mock_tools(Forecaster, ask_the_office=TimeoutError("nobody there")) as mocks:
        async with TextCall(Forecaster(), llm=llm) as call:
            result = await call.say("How will the week be?")
    assert mocks["ask_the_office"].count == 1
    result.has.tool_result("ask_the_office", ok=False)
    assert await judge(court, result, "The agent apologises", cache=tmp_path)


def test_a_caller_who_knows_the_greeting_may_cut_it_short() -> None:
    """With sound: who speaks when, and over whom."""
    call = VirtualCall(
        Forecaster(),
        [Says("what about Friday", at=agent_begins() + 0.5)],
        llm=FakeLlm(script=[FRIDAY, "It will be sunny."]),
    ).play()
    assert len(call.of(CallerInterrupted)) == 1
    assert call.transcript()[-2:] == [("caller", "what about Friday"), ("agent", "It will be sunny.")]
    assert max(call.latencies_ms) < 1000
