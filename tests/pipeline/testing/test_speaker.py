"""The speaker of tests is the playout of calls: both agree on whatever is done to them, to the sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.ports import AudioOut
from pipeline.testing.speaker import Speaker
from telephony.media.playout import Playout

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("play"), st.sampled_from([0, 1, 79, 159, 160, 161, 320, 1000, 5000])),
        st.tuples(st.just("pull"), st.integers(1, 60)),
        st.tuples(st.just("duck"), st.integers(0, 1)),
        st.tuples(st.just("pause"), st.just(0)),
        st.tuples(st.just("resume"), st.integers(-200, 30_000)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=40,
)


def _does(out: AudioOut, operation: str, number: int, seed: int) -> list[object]:
    match operation:
        case "play":
            pcm = np.random.default_rng(seed).integers(-30_000, 30_000, number).astype(np.int16)
            return [out.play(pcm)]
        case "pull":
            frames = [out.pull() for _ in range(number)]
            return [None if frame is None else frame.tolist() for frame in frames]
        case "duck":
            out.duck(bool(number))
        case "pause":
            return [out.pause()]
        case "resume":
            out.resume(out.played - number)
        case "flush":
            return [out.flush()]
    return []


@given(OPERATIONS)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_speaker_of_tests_does_what_the_playout_of_calls_does(operations: list[tuple[str, int]]) -> None:
    real, ours = Playout(8000), Speaker(8000)
    for seed, (operation, number) in enumerate(operations):
        assert _does(real, operation, number, seed) == _does(ours, operation, number, seed), operation
        assert (real.played, real.queued) == (ours.played, ours.queued), operation


def test_only_linear_sound_can_be_played() -> None:
    with pytest.raises(PipelineError, match="int16 mono"):
        Speaker().play(np.zeros((2, 160), np.int16))
