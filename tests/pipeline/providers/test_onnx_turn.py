"""An end-of-turn model that users bring. A stand-in plays the runtime: onnxruntime is no dependency."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.providers.onnx_turn import OnnxTurnModel

SECOND = np.full(8000, 8192, np.int16)


@dataclass
class Input:
    name: str = "audio"


class Runtime:
    """What a user's runtime does: one input, one output. gate: what it waits for before it answers."""

    def __init__(self, *answers: Any, gate: threading.Event | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []
        self.gate = gate

    def get_inputs(self) -> Sequence[Input]:
        return [Input()]

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> Sequence[Any]:
        self.asked.append(input_feed)
        if self.gate is not None:
            self.gate.wait(10)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer]


async def test_a_model_that_listens_gets_the_newest_sound_at_its_own_rate() -> None:
    """A phone's 8000 Hz fed as if 16000 would break it without a warning; silence is put in front."""
    runtime = Runtime(np.array([[0.25, 0.75]], np.float32))
    model = OnnxTurnModel("", rate_hz=16000, seconds=2.0, session=runtime)
    assert await model.probability(SECOND, 8000, "hello", "en-US") == 0.75
    heard = runtime.asked[0]["audio"]
    assert heard.shape == (1, 32000) and heard.dtype == np.float32
    assert np.allclose(heard[0, :15900], 0)
    assert np.allclose(heard[0, 16500:-500], 0.25, atol=0.01)


async def test_a_model_that_hears_less_gets_the_newest_of_it() -> None:
    runtime = Runtime(np.array(0.5))
    model = OnnxTurnModel("", rate_hz=8000, seconds=0.5, session=runtime)
    await model.probability(np.arange(8000, dtype=np.int16), 8000, "", "en")
    assert runtime.asked[0]["audio"][0, -1] == pytest.approx(7999 / 32768)
    assert runtime.asked[0]["audio"].shape == (1, 4000)


async def test_a_model_that_reads_gets_the_words() -> None:
    runtime = Runtime(np.array([2.0]))
    model = OnnxTurnModel("", input="words", output="logit", session=runtime)
    assert await model.probability(SECOND, 8000, "my number is", "en") == pytest.approx(0.8808, abs=1e-3)
    assert list(runtime.asked[0]["audio"]) == ["my number is"]


async def test_without_input_or_in_another_language_it_is_not_asked() -> None:
    runtime = Runtime()
    reads = OnnxTurnModel("", input="words", languages=["en-US"], session=runtime)
    assert await reads.probability(SECOND, 8000, " ", "en") is None
    assert await reads.probability(SECOND, 8000, "guten Tag", "de-DE") is None
    hears = OnnxTurnModel("", session=runtime)
    assert await hears.probability(SECOND[:0], 8000, "hello", "en") is None
    assert runtime.asked == []


async def test_a_slow_model_has_no_opinion_and_its_late_answers_do_not_pile_up() -> None:
    """A turn must not wait for it; four calls may ask at once, a fifth is not kept waiting."""
    gate = threading.Event()
    runtime = Runtime(*[np.array(0.1)] * 8, gate=gate)
    model = OnnxTurnModel("", timeout_s=0.01, session=runtime)
    try:
        for _ in range(6):
            assert await model.probability(SECOND, 8000, "", "en") is None
    finally:
        gate.set()
    assert len(runtime.asked) <= 4


@pytest.mark.parametrize("answer", [RuntimeError("bad shape"), np.array([]), np.array(np.nan), np.array("x")])
async def test_a_model_that_fails_has_no_opinion(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once in the log, and the call goes on by silence."""
    model = OnnxTurnModel("", session=Runtime(answer, answer))
    with caplog.at_level(logging.WARNING):
        assert await model.probability(SECOND, 8000, "", "en") is None
        assert await model.probability(SECOND, 8000, "", "en") is None
    assert len(caplog.records) <= 1


async def test_numbers_beyond_a_probability_are_cut() -> None:
    model = OnnxTurnModel("", session=Runtime(np.array(7.0), np.array(-7.0)))
    assert await model.probability(SECOND, 8000, "", "en") == 1.0
    assert await model.probability(SECOND, 8000, "", "en") == 0.0


def test_a_model_that_is_missing_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """Where the runtime is missing too, that is said first."""
    missing = "no file|Install the package onnxruntime"
    with pytest.raises(ConfigError, match=missing):
        OnnxTurnModel(str(tmp_path / "gone.onnx"))
    if importlib.util.find_spec("onnxruntime") is None:
        with pytest.raises(ConfigError, match="Install the package onnxruntime"):
            OnnxTurnModel(str(tmp_path))
