"""A second opinion on whether a turn is over, from an ONNX model that you bring: `path:` names its file.

Hears sound or reads words, whichever `input:` says. Runs in a thread, at most one second; what is slower or fails
has no opinion. onnxruntime is imported when the first model is opened and is no dependency of Offhook. Not the
decision: hearing/endpointing.py weighs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from math import exp, isfinite
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.speaking.resample import Resampler

TIMEOUT_S = 1.0
AT_ONCE = 4  # questions of all calls
SECONDS = 8.0
FULL_SCALE = 32768.0
LARGEST_LOGIT = 60.0

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


class Node(Protocol):
    """An input of a model."""

    @property
    def name(self) -> str: ...


class OnnxSession(Protocol):
    """What is used of an `onnxruntime.InferenceSession`."""

    def get_inputs(self) -> Sequence[Node]: ...
    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> Sequence[Any]: ...


class OnnxTurnModel:
    """One model for all calls of a process.

    input: `sound`, float32 of shape (1, samples), -1.0 to 1.0, padded in front to `seconds`, at `rate_hz`; or
    `words`, a string tensor of shape (1,). Its first output's last number is the probability that the turn is over;
    `output: logit` squashes it first. languages: tags it knows ("en"), empty for all.
    session: instead of opening `path`, for tests and for own runtimes.
    Raises ConfigError for a file that is missing or no model, and without onnxruntime.
    """

    name = "onnx"

    def __init__(
        self,
        path: str,
        input: Literal["sound", "words"] = "sound",
        output: Literal["probability", "logit"] = "probability",
        rate_hz: int = 16000,
        seconds: float = SECONDS,
        timeout_s: float = TIMEOUT_S,
        languages: Sequence[str] = (),
        session: object | None = None,
    ) -> None:
        self._session = cast(OnnxSession, session) if session is not None else _opened(path)
        self._feeds = self._session.get_inputs()[0].name
        self._input, self._is_logit = input, output == "logit"
        self._rate_hz, self._samples = rate_hz, round(seconds * rate_hz)
        self._timeout_s = timeout_s
        self._languages = frozenset(tag.partition("-")[0].lower() for tag in languages)
        self._has_failed = False
        self._running: set[asyncio.Future[float | None]] = set()

    async def probability(
        self, sound: NDArray[np.int16], rate_hz: int, words: str, language: str
    ) -> float | None:
        """0.0 to 1.0 that the caller is done; None in languages it does not know, without input, if it takes too
        long, and while it is busy with as many questions as it takes. sound: int16 mono, the newest last."""
        if self._languages and language.partition("-")[0].lower() not in self._languages:
            return None
        if not (len(sound) if self._input == "sound" else words.strip()):
            return None
        if len(self._running) >= AT_ONCE:
            return None  # threads cannot be stopped; a pile of late answers helps nobody
        ask = partial(self._ask, sound, rate_hz, words)
        answer = asyncio.get_running_loop().run_in_executor(None, ask)
        self._running.add(answer)
        answer.add_done_callback(self._running.discard)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            return None

    def _ask(self, sound: NDArray[np.int16], rate_hz: int, words: str) -> float | None:
        """In a thread: the model's answer, None if it has none."""
        try:
            given = self._heard(sound, rate_hz) if self._input == "sound" else np.array([words], dtype=object)
            answer = self._session.run(None, {self._feeds: given})[0]
            value = float(np.asarray(answer, dtype=np.float64).reshape(-1)[-1])
        except Exception as error:  # the user's model in the user's runtime, which has its own errors
            if not self._has_failed:
                self._has_failed = True
                log.warning("turn model fails: %s", error)
            return None
        if self._is_logit:
            value = 1 / (1 + exp(-max(min(value, LARGEST_LOGIT), -LARGEST_LOGIT)))
        return min(max(value, 0.0), 1.0) if isfinite(value) else None

    def _heard(self, sound: NDArray[np.int16], rate_hz: int) -> Floats:
        """The newest seconds at the model's rate, silence in front if there were fewer."""
        if rate_hz != self._rate_hz:
            resampler = Resampler(rate_hz, self._rate_hz)
            sound = np.concatenate([resampler.feed(sound), resampler.finish()])
        padded = np.zeros(self._samples, np.float32)
        newest = sound[-self._samples :]
        padded[len(padded) - len(newest) :] = newest / np.float32(FULL_SCALE)
        return padded[np.newaxis]


def _opened(path: str) -> OnnxSession:
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError(
            f"turn onnx: {path} needs onnxruntime, which is not installed ({error}). Install the package onnxruntime."
        ) from error
    if not Path(path).is_file():
        raise ConfigError(f"turn onnx: there is no file {path}. Correct `path`, or put the model there.")
    try:
        return cast(OnnxSession, runtime.InferenceSession(path, providers=["CPUExecutionProvider"]))
    except Exception as error:  # the runtime has its own errors for a file that is no model
        raise ConfigError(
            f"turn onnx: {path} is no model that onnxruntime can open ({error}). Replace it."
        ) from error
