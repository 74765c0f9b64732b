"""Several questions to a judge at once: each is asked by itself, and only passes are true."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.tools import function_tool
from pipeline.providers.fake import FakeLlm
from pipeline.testing import RUBRICS, FakeJudge, TextCall, judge_all, on_virtual_clock
from pipeline.testing.virtual_clock import run

STORY = 'caller: "I want to pay my bill"\nagent desk: "It is sunny today."'


class Recorder(FakeJudge):
    """Keeps what it was asked."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.questions: list[str] = []

    def chat(self, messages: Any, *rest: Any, **options: Any) -> Any:
        self.questions.append(messages[-1].text)
        return super().chat(messages, *rest, **options)


def test_every_rubric_is_asked_by_itself_and_one_that_is_missed_fails_the_call() -> None:
    court = Recorder(
        {"serves what they called for": "failed", "as one does on the phone": "unsure"}, otherwise="passed"
    )
    verdicts = run(lambda: judge_all(court, STORY))
    assert list(verdicts) == [
        "task_completion",
        "accuracy",
        "tool_use",
        "safety",
        "relevancy",
        "coherence",
        "conciseness",
        "handoff",
    ]
    assert court.asked == len(RUBRICS) == 8
    assert all("The record:\n1. caller" in question for question in court.questions)
    assert len({question.partition("\n")[0] for question in court.questions}) == 8
    assert not verdicts and verdicts.missed == ("relevancy", "conciseness")
    assert "relevancy: failed: as told" in str(verdicts)


@on_virtual_clock
async def test_a_whole_call_is_judged_with_its_tools_by_what_was_wanted() -> None:
    @function_tool
    def pay(amount: int) -> str:
        """Pay."""
        return "paid"

    script: list[Any] = [{"text": "", "tools": [{"name": "pay", "arguments": {"amount": 20}}]}, "It is paid."]
    async with TextCall(Agent(name="desk", tools=[pay]), llm=FakeLlm(script=script)) as call:
        await call.say("Pay twenty euros")
    court = Recorder(otherwise="passed")
    about = "The agent may pay\nup to 50 euros."
    assert await judge_all(court, call.result, ["tool_use", "safety"], about=about, votes=3)
    assert court.asked == 6
    assert "tool call: pay(amount=20)" in court.questions[0]
    first = court.questions[0].partition("\n")[0]
    assert first.endswith("What is known besides: The agent may pay up to 50 euros.")


def test_own_rubrics_stand_beside_ours() -> None:
    mine = {"polite": "The agent says please.", "safety": RUBRICS["safety"]}
    verdicts = run(lambda: judge_all(FakeJudge({"says please": "passed"}, otherwise="passed"), STORY, mine))
    assert verdicts and set(verdicts) == set(mine) and verdicts["polite"].passed


@pytest.mark.parametrize(
    ("rubrics", "said"), [(["politeness"], "no rubric 'politeness'. Known: task"), ([], "no rubric")]
)
def test_a_rubric_that_there_is_not_is_named(rubrics: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run(lambda: judge_all(FakeJudge(), STORY, rubrics))
