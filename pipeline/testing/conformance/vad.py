"""What voice activity must do: tell speech from silence, at once, and keep calls apart."""

from __future__ import annotations

import time
from typing import cast

import numpy as np

from pipeline.ports import FRAME_MS, Frame, Vad
from pipeline.testing.conformance.stt import spoken
from pipeline.testing.conformance.subject import Check, Subject, require

RATES = (8000, 16000)
FRAME_S = 0.002  # for one frame: ten times what is asked for, since a test machine may be slow


def _probabilities(vad: Vad, frames: list[Frame]) -> list[float]:
    return [vad.probability(frame) for frame in frames]


def _silence(rate_hz: int) -> list[Frame]:
    return [np.zeros(rate_hz * FRAME_MS // 1000, np.int16)] * 50


async def _tells_speech(subject: Subject) -> None:
    for rate_hz in RATES:
        vad = cast(Vad, subject.make(rate_hz))
        require(vad.rate_hz == rate_hz, f"it was made for {rate_hz} Hz and says {vad.rate_hz}")
        quiet = _probabilities(vad, _silence(rate_hz))
        loud = _probabilities(vad, (await spoken(subject.text, rate_hz))[20:-15])
        require(all(0.0 <= one <= 1.0 for one in [*quiet, *loud]), "a probability is not between 0 and 1")
        require(max(quiet) < 0.5, f"silence is speech to it: {max(quiet):.2f} at {rate_hz} Hz")
        heard = sum(one > 0.5 for one in loud) / len(loud)
        require(heard > 0.5, f"it hears {heard:.0%} of speech at {rate_hz} Hz")


async def _forgets(subject: Subject) -> None:
    rate_hz = RATES[0]
    frames = await spoken(subject.text, rate_hz)
    vad = cast(Vad, subject.make(rate_hz))
    first = _probabilities(vad, frames)
    vad.reset()
    require(_probabilities(vad, frames) == first, "after reset() the same sound is heard differently")


async def _keeps_apart(subject: Subject) -> None:
    rate_hz = RATES[0]
    frames = await spoken(subject.text, rate_hz)
    alone = _probabilities(cast(Vad, subject.make(rate_hz)), frames)
    one, other = cast(Vad, subject.make(rate_hz)), cast(Vad, subject.make(rate_hz))
    beside = []
    for frame in frames:
        beside.append(one.probability(frame))
        other.probability(np.zeros_like(frame))
    require(beside == alone, "another call changed what it hears")


async def _leaves_sound(subject: Subject) -> None:
    frames = await spoken(subject.text, RATES[0])
    before = [frame.copy() for frame in frames]
    _probabilities(cast(Vad, subject.make(RATES[0])), frames)
    same = all(np.array_equal(*pair) for pair in zip(frames, before, strict=True))
    require(same, "it changed the sound that it was given")


async def _quick(subject: Subject) -> None:
    frames = (await spoken(subject.text, RATES[1]))[20:70]
    vad = cast(Vad, subject.make(RATES[1]))
    took = []
    for frame in frames:
        began = time.perf_counter()
        vad.probability(frame)
        took.append(time.perf_counter() - began)
    median_s = sorted(took)[len(took) // 2]
    require(median_s < FRAME_S, f"a frame takes {median_s * 1000:.1f} ms of the clock")


CHECKS = (
    Check("tells_speech", "vad", "speech and silence differ, at 8 and at 16 kHz", _tells_speech),
    Check("forgets", "vad", "after reset() it begins anew", _forgets),
    Check("keeps_apart", "vad", "two calls have nothing to do with each other", _keeps_apart),
    Check("leaves_sound", "vad", "the sound is only read", _leaves_sound),
    Check("quick", "vad", "it does not hold up the clock", _quick),
)
