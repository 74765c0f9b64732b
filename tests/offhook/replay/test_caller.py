"""Where a recorded caller's words come to lie when the agent answers sooner, later or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offhook.replay.caller import TICK_S, AgentSide, FixedCaller, ReactiveCaller, acts
from offhook.replay.recording import KeyPress, Recording, Utterance
from tests.offhook.replay.recorded import RATE_HZ


def _recording(
    seconds: float,
    said: list[tuple[float, float]],
    agent: list[tuple[float, float]],
    keys: tuple[KeyPress, ...] = (),
    **facts: Any,
) -> Recording:
    """Sound of level 5000 where somebody speaks."""
    sides = [np.zeros(round(seconds * RATE_HZ), np.int16) for _ in range(2)]
    for side, spans in zip(sides, (said, agent), strict=True):
        for begins, ends in spans:
            side[round(begins * RATE_HZ) : round(ends * RATE_HZ)] = 5000
    utterances = tuple(Utterance(*span) for span in said)
    return Recording("test", RATE_HZ, sides[0], sides[1], utterances, keys, facts, Path("test.wav"), ())


def _played(
    recording: Recording, agent: list[tuple[float, float]], seconds: float = 40.0
) -> list[tuple[Any, ...]]:
    """What the caller does when the agent speaks at these times instead: what, when, why."""
    caller, side = ReactiveCaller(recording), AgentSide()
    for tick in range(round(seconds / TICK_S)):
        now_s = tick * TICK_S
        speaking = any(begins <= now_s < ends for begins, ends in agent)
        side.at_rest = not speaking
        caller.frame(now_s, side)
        if speaking:
            side.spoke(now_s)
        if caller.gone(now_s, side):
            break
    return [(one.what, round(one.is_s, 2), one.how) for one in caller.placed]


def test_an_answer_waits_for_the_end_of_a_longer_question() -> None:
    recording = _recording(8.0, [(3.0, 4.0)], [(0.0, 2.0)])
    (what, at_s, how), *_ = _played(recording, [(0.0, 5.0)])
    assert (what, how) == ("speech", "after the agent")
    assert at_s == pytest.approx(5.0 + 0.88, abs=0.05), (
        "1 s after the agent, less what is kept before the word"
    )


def test_a_barge_in_stays_one_at_the_same_place_in_the_agents_words() -> None:
    recording = _recording(8.0, [(3.0, 4.0)], [(1.0, 3.4)])
    (_, at_s, how), *_ = _played(recording, [(6.0, 12.0)])
    assert how == "over the agent"
    assert at_s == pytest.approx(6.0 + 1.88, abs=0.05)


def test_a_barge_in_into_less_than_was_said_then_comes_behind_it() -> None:
    recording = _recording(8.0, [(5.0, 6.0)], [(0.0, 5.4)])
    (_, at_s, how), *_ = _played(recording, [(0.0, 2.0)])
    assert how == "after the agent, who said less"
    assert at_s == pytest.approx(2.0, abs=0.05)


def test_own_words_follow_own_words_whatever_the_agent_does() -> None:
    recording = _recording(9.0, [(3.0, 4.0), (6.0, 7.0)], [(0.0, 2.0)])
    first, second = _played(recording, [(0.0, 2.0), (4.2, 20.0)])[:2]
    assert second[2] == "after own words"
    assert second[1] - first[1] == pytest.approx(3.0, abs=0.1)


def test_a_caller_who_gets_no_answer_goes_on_after_a_while() -> None:
    recording = _recording(9.0, [(3.0, 4.0), (7.0, 8.0)], [(0.0, 2.0), (4.5, 6.0)])
    _, second = _played(recording, [(0.0, 2.0)])[:2]
    assert second[2] == "the agent said nothing"


def test_keys_are_placed_like_words() -> None:
    recording = _recording(9.0, [], [(0.0, 2.0)], (KeyPress(3.0, "4"), KeyPress(3.3, "2")))
    one, two = _played(recording, [(0.0, 6.0)])[:2]
    assert (one[0], one[2], two[0], two[2]) == ("key 4", "after the agent", "key 2", "after own words")
    assert (one[1], two[1]) == pytest.approx((7.0, 7.3), abs=0.05)


def test_a_caller_who_hung_up_hangs_up_as_long_after_the_agent() -> None:
    recording = _recording(8.0, [(3.0, 4.0)], [(0.0, 2.0), (5.0, 6.0)], ended_by="caller")
    assert [act.anchor for act in acts(recording)] == ["after agent", "after agent"]
    left = _played(recording, [(0.0, 2.0), (5.0, 9.0)])[-1]
    assert left[0] == "hang up"
    assert left[1] == pytest.approx(11.0, abs=0.05)


def test_at_fixed_times_the_sound_is_the_recordings_own_to_the_sample() -> None:
    recording = _recording(2.01, [(0.5, 1.0)], [(0.0, 0.4)], ended_by="caller")
    caller, side = FixedCaller(recording), AgentSide()
    heard: list[Any] = []
    while not caller.gone(len(heard) * TICK_S, side):
        heard.append(caller.frame(len(heard) * TICK_S, side))
    sound = np.concatenate(heard)
    assert len(heard) == 101, "the last frame is filled up with silence"
    assert np.array_equal(sound[: len(recording.caller)], recording.caller)
    assert not sound[len(recording.caller) :].any()


def test_a_caller_whom_the_agent_hung_up_on_would_have_stayed() -> None:
    recording = _recording(2.0, [(0.5, 1.0)], [(0.0, 0.4)], ended_by="us")
    caller, side = FixedCaller(recording), AgentSide()
    side.at_rest = True
    ticks = 0
    while not caller.gone(ticks * TICK_S, side):
        caller.frame(ticks * TICK_S, side)
        ticks += 1
    assert ticks * TICK_S == pytest.approx(2.0 + 15.0, abs=0.1)
