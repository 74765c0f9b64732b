"""A process dies in the middle of a conversation: the next one goes on, and the caller hardly notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.history import History
from pipeline.agent.tools import RunContext, function_tool
from pipeline.events import ConversationResumed, ToolCalled, UserTurnCommitted
from pipeline.ports import Llm, Stt
from pipeline.providers.fake import FakeLlm, FakeStt
from pipeline.resuming import Before
from pipeline.testing.call import VirtualCall
from pipeline.testing.caller import Act, Says
from pipeline.testing.virtual_clock import run
from telephony.media.playout import Playout

RATE_HZ = 8000
VOICE = (3000 * np.sin(2 * np.pi * 200 * np.arange(160) / RATE_HZ)).astype(np.int16)
LONG = "Good morning. This is a very long greeting that nobody wants to hear twice. What can I do for you?"


class Timed(list[dict[str, Any]]):
    """Checkpoints as they would leave the process. at: loop time of each."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    def append(self, state: dict[str, Any]) -> None:
        super().append(json.loads(json.dumps(state)))
        self.at.append(asyncio.get_running_loop().time())


class Told(Playout):
    """A playout that remembers how much of the agent's speech had left at which tick."""

    def __init__(self) -> None:
        super().__init__(RATE_HZ)
        self.ticks: list[int] = []

    def pull(self) -> Any:
        frame = super().pull()
        self.ticks.append(self.played)
        return frame


def lives(
    make: Callable[[], Agent],
    at_s: float,
    *acts: Act,
    gap_ms: int = 30,
    llm: Callable[[], Llm] = FakeLlm,
    stt: Stt | None = None,
    seconds: float = 10.0,
) -> tuple[VirtualCall, VirtualCall]:
    """A call whose process dies at_s seconds into it, and its life in the next one."""

    async def first() -> tuple[VirtualCall, dict[str, Any], int]:
        out, saved = Told(), Timed()
        call = VirtualCall(make(), acts, llm=llm(), stt=stt, out=out)
        call.saved = saved
        began = asyncio.get_running_loop().time()
        await call.run(at_s)
        states = [state for state, at in zip(saved, saved.at, strict=True) if at - began < at_s]
        return call, states[-1], out.ticks[round(at_s * 50) - 1]

    one, state, played = run(first)

    async def second() -> VirtualCall:
        out = Playout(RATE_HZ, played)
        call = VirtualCall(make(), llm=llm(), out=out, before=Before(state, gap_ms))
        for message in History.load(state["history"]).messages:
            call.session.history.add(message)
        await call.run(seconds)
        return call

    return one, run(second)


def said(call: VirtualCall) -> list[str]:
    return [message.text for message in call.session.history.messages if message.role == "assistant"]


def test_a_greeting_that_was_cut_is_said_again_from_its_sentence() -> None:
    """What had been heard to its end is not repeated; the history tells what was heard, and what again."""
    one, two = lives(lambda: Agent(name="desk", greeting=LONG), 3.0)
    (resumed,) = [event for event in two.events if isinstance(event, ConversationResumed)]
    assert resumed.again and LONG.endswith(resumed.again)
    assert not resumed.again.startswith("Good morning.")
    assert two.events[-2:] and said(two)[-1] == resumed.again
    heard = said(two)[0]
    assert LONG.startswith(heard)
    assert len(heard) + len(resumed.again) >= len(LONG) - 1


def test_a_question_whose_answer_had_not_begun_is_answered_once() -> None:
    def make() -> Agent:
        return Agent(name="desk")

    def slow() -> Llm:
        return FakeLlm("It is noon.", delay_s=1.0)

    acts = Says("what time is it", 1.0, 1.0)
    one, two = lives(make, 2.9, acts, llm=slow)
    assert [event.text for event in one.events if isinstance(event, UserTurnCommitted)] == ["what time is it"]
    assert said(two) == ["It is noon."]


def test_nothing_is_said_when_nothing_was_lost() -> None:
    """A gap of a packet or two that nobody has noticed needs no apology."""
    _, two = lives(lambda: Agent(name="desk", greeting="Hello."), 4.0)
    assert said(two) == ["Hello."]


def test_a_silence_that_the_caller_noticed_is_excused() -> None:
    _, two = lives(lambda: Agent(name="desk", greeting="Hello."), 4.0, gap_ms=1800)
    spoken = [event for event in two.events if type(event).__name__ == "AgentSpoke"]
    assert [event.text for event in spoken] == ["I am sorry for the interruption. Please go on."]  # type: ignore[attr-defined]


class Clerk(Agent):
    """booked, looked_up: how often, over all lives."""

    booked = looked_up = 0

    @function_tool
    async def book(self, context: RunContext) -> str:
        """Book it."""
        Clerk.booked += 1
        await asyncio.sleep(3.0)
        return "booked"

    @function_tool(repeatable=True)
    async def look_up(self, context: RunContext) -> str:
        """Look it up."""
        Clerk.looked_up += 1
        await asyncio.sleep(3.0)
        return "found"


@pytest.mark.parametrize(("tool", "runs"), [("book", 1), ("look_up", 2)])
def test_a_tool_that_was_running_is_run_again_only_if_it_says_so(tool: str, runs: int) -> None:
    """What has an effect is not done twice: the model is told that nobody knows."""
    Clerk.booked = Clerk.looked_up = 0
    scripts: list[list[str | dict[str, Any]]] = [[{"tools": [{"name": tool, "arguments": {}}]}, "unused"], []]

    def llm() -> Llm:
        return FakeLlm("Let me see.", script=scripts.pop(0))

    _, two = lives(lambda: Clerk(name="clerk"), 3.5, Says("please", 1.0, 1.0), llm=llm)
    assert Clerk.booked + Clerk.looked_up == runs
    answers = [message.text for message in two.session.history.messages if message.role == "tool"]
    assert len(answers) == 1
    assert answers[0] == "found" if runs == 2 else "not known whether book was done" in answers[0]
    assert said(two)[-1] == "Let me see."
    assert sum(isinstance(event, ToolCalled) for event in two.events) == runs - 1


def test_words_that_were_being_spoken_are_heard_after_all() -> None:
    """Their sound is given to the next recogniser, faster than it was spoken."""

    async def call() -> VirtualCall:
        agent = Agent(name="desk")
        call = VirtualCall(
            agent,
            llm=FakeLlm("Of course."),
            stt=FakeStt(["can you help me"]),
            before=Before({"agent": "desk"}),
        )
        asyncio.get_running_loop().call_later(1.0, lambda: call.session.hear_again([VOICE] * 60, 1.0))
        await call.run(6.0)
        return call

    two = run(call)
    assert [event.text for event in two.events if isinstance(event, UserTurnCommitted)] == ["can you help me"]
    assert said(two) == ["Of course."]
