"""A regression is found and named, each by itself; what did not change is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from offhook.replay.aligning import align
from offhook.replay.compare import Difference, compare
from offhook.replay.findings import Tolerance
from offhook.replay.turns import Turn
from tests.offhook.replay.calls import HAPPY, dentist, write_call

Changed = Callable[..., Difference]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """The dentist's call as it is now, against what it was."""
    baseline = write_call(tmp_path, dentist(), "before")

    def now(**worse: object) -> Difference:
        return compare(write_call(tmp_path, dentist(**worse), "now"), baseline)  # type: ignore[arg-type]

    return now


def texts(difference: Difference) -> list[str]:
    return [finding.text for finding in difference.regressions]


def test_the_same_conversation_gives_no_finding_at_all(changed: Changed) -> None:
    difference = changed()
    assert difference.findings == () and difference.diverged is None
    assert [pair.alike for pair in difference.pairs] == [True] * 5


def test_a_slower_model_is_named_with_the_part_that_is_to_blame(changed: Changed) -> None:
    assert texts(changed(llm_s=0.62)) == ["answers 420 ms slower (p50: 1320, before 900), mostly llm"]


def test_a_faster_model_is_told_and_is_no_regression(changed: Changed) -> None:
    difference = changed(llm_s=0.02)
    assert difference.regressions == []
    assert [finding.kind for finding in difference.findings] == ["faster"]


def test_a_broken_tool_comes_before_all_else(changed: Changed) -> None:
    difference = changed(broken=True, llm_s=0.62)
    assert texts(difference)[0] == "tool book_appointment now fails: 'the calendar is closed'"
    assert difference.regressions[0].turn == 2


def test_a_changed_answer_is_named_by_its_turn(changed: Changed) -> None:
    difference = changed(script=(*HAPPY[:2], "You come on Friday morning then.", *HAPPY[3:]))
    assert texts(difference) == ["answer changed in turn 2 (40% of the words are the same)"]
    assert difference.diverged == 2


def test_an_agent_that_interrupts_more_eagerly_is_named_first(changed: Changed) -> None:
    """The caller pauses for half a second within a sentence; an agent that waits 0.1 s talks into it."""
    difference = changed(patience_ms=100)
    assert texts(difference)[0] == "agent now talks over the caller once, before never"
    assert difference.regressions[0].turn == 2
    assert any("turn 3 is new: 'please'" in text for text in texts(difference))


def test_other_arguments_and_a_missing_handoff_are_named(changed: Changed) -> None:
    later = {"name": "book_appointment", "arguments": {"day": "friday", "hour": 10}}
    books_late = {"text": "One moment.", "tools": [later]}
    found = texts(changed(script=(HAPPY[0], books_late, HAPPY[2], "Billing can tell.", HAPPY[4])))
    assert found[:3] == [
        "no handoff to billing any more",
        "tool hand_over is no longer called",
        "tool book_appointment is called with (day='friday', hour=10), before with (day='friday', hour=9)",
    ]


def test_another_ending_is_a_regression(tmp_path: Path) -> None:
    events = dentist()
    before = write_call(tmp_path, events, "before")
    now = write_call(tmp_path, events, "now", facts={"ended_by": "network", "cause": "worker_lost"})
    assert texts(compare(now, before)) == [
        "the call ends by worker_lost (network), before by agent_hung_up (us)"
    ]


def test_what_lies_within_the_tolerance_has_not_changed(tmp_path: Path) -> None:
    before = write_call(tmp_path, dentist(), "before")
    now = write_call(tmp_path, dentist(llm_s=0.62), "now")
    assert compare(now, before, Tolerance(delay_ms=500, turn_ms=500)).findings == ()


def test_a_turn_that_was_cut_in_two_shifts_nobody_elses() -> None:
    """The words say which turn is which."""
    before = [Turn(0), Turn(1, "hello"), Turn(2, "four two seven one"), Turn(3, "goodbye")]
    now = [Turn(0), Turn(1, "hello"), Turn(2, "four two"), Turn(3, "seven one"), Turn(4, "goodbye")]
    pairs = [(one and one.number, other and other.number) for one, other in align(now, before)]
    assert pairs == [(0, 0), (1, 1), (2, 2), (3, None), (4, 3)]


def test_a_turn_that_nobody_heard_any_more_is_gone() -> None:
    before, now = [Turn(0), Turn(1, "hello there"), Turn(2, "goodbye")], [Turn(0), Turn(1, "goodbye")]
    assert align(now, before)[1:] == [(None, before[1]), (now[1], before[2])]
    assert align([], before) == [(None, turn) for turn in before]
