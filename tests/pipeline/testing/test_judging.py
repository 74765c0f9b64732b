"""A model as a judge: whatever it writes becomes a verdict, and only a clear pass is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.agent.agent import Agent
from pipeline.providers.fake import FakeLlm
from pipeline.testing import FakeJudge, TextCall, judge, on_virtual_clock
from pipeline.testing.virtual_clock import run

STORY = 'caller: "I was on Friday"\nagent desk: "I am sorry. Would Monday do?"'


@pytest.mark.parametrize(
    ("answer", "outcome", "reason", "quoted"),
    [
        ('{"verdict": "passed", "reason": "It says sorry.", "lines": [2]}', "passed", "It says sorry.", 1),
        (
            'Sure!\n```json\n{"verdict": "failed", "reason": "No date."}\n```\nAnything else?',
            "failed",
            "No",
            0,
        ),
        ("{'verdict': 'Pass', 'reason': 'fine', 'lines': ['line 1', 7, 'x']}", "passed", "fine", 1),
        ('First {"verdict": "failed"} but no: {"verdict": "passed", "reason": "r"}', "passed", "r", 0),
        ("Yes.", "passed", "no reason given", 0),
        ("FAILED", "failed", "no reason given", 0),
        ('{"verdict": "perhaps"}', "unsure", "no verdict", 0),
        ("The agent passed the exam and failed nothing", "unsure", "no verdict", 0),
        ('{"verdict": "passed"', "unsure", "no verdict", 0),
        ("", "unsure", "no verdict", 0),
    ],
)
def test_whatever_the_model_writes_becomes_a_verdict(
    answer: str, outcome: str, reason: str, quoted: int
) -> None:
    verdict = run(lambda: judge(FakeLlm(answer), STORY, "The agent apologises"))
    assert (verdict.outcome, len(verdict.quoted)) == (outcome, quoted)
    assert reason in verdict.reason
    assert bool(verdict) is (outcome == "passed")


@on_virtual_clock
async def test_a_turn_is_judged_and_the_verdict_quotes_it() -> None:
    async with TextCall(Agent(name="desk"), llm=FakeLlm("I am sorry. Would Monday do?")) as call:
        result = await call.say("You were closed on Friday")
    court = FakeJudge({"apologises": "passed"}, lines=[2])
    verdict = await judge(court, result, "The agent apologises and offers a new date")
    assert verdict.passed
    assert verdict.quoted == ('agent desk: "I am sorry. Would Monday do?"',)
    assert str(verdict).startswith("passed: as told\n  agent desk")
    assert not await judge(court, result, "The agent is rude")


PASS, FAIL = '{"verdict": "passed", "reason": "a"}', '{"verdict": "failed", "reason": "b"}'


@pytest.mark.parametrize(
    ("answers", "outcome", "votes"),
    [
        ([PASS, FAIL, PASS], "passed", (("failed", 1), ("passed", 2))),
        ([FAIL, FAIL, PASS], "failed", (("failed", 2), ("passed", 1))),
        ([PASS, FAIL], "unsure", (("failed", 1), ("passed", 1))),
        ([PASS, "?", FAIL], "unsure", (("failed", 1), ("passed", 1), ("unsure", 1))),
    ],
)
def test_more_than_half_of_the_votes_must_agree(
    answers: list[str], outcome: str, votes: tuple[tuple[str, int], ...]
) -> None:
    llm = FakeLlm(script=list(answers))
    verdict = run(lambda: judge(llm, STORY, "It apologises", votes=len(answers)))
    assert (verdict.outcome, verdict.votes) == (outcome, votes)


@on_virtual_clock
async def test_the_same_question_is_asked_once() -> None:
    court = FakeJudge(otherwise="passed")
    for _ in range(3):
        assert await judge(court, STORY, "It apologises")
    assert court.asked == 1
    await judge(court, STORY, "It is polite")
    await judge(court, STORY + ".", "It apologises")
    await judge(court, STORY, "It apologises", votes=2)
    assert court.asked == 5


def test_verdicts_are_kept_between_runs_where_a_folder_is_given(tmp_path: Path) -> None:
    first, second = FakeJudge(otherwise="passed", lines=[1]), FakeJudge(otherwise="failed")
    kept = run(lambda: judge(first, STORY, "It apologises", cache=tmp_path / "verdicts"))
    again = run(lambda: judge(second, STORY, "It apologises", cache=tmp_path / "verdicts"))
    assert (again, second.asked) == (kept, 0)


def test_nobody_is_judged_without_a_vote() -> None:
    with pytest.raises(ValueError, match="votes is 0"):
        run(lambda: judge(FakeJudge(), STORY, "It apologises", votes=0))
