"""Sample rates changed on the way to the phone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.ports import Frame
from pipeline.speaking.resample import Resampler


def tone(hz: float, rate_hz: int, seconds: float = 1.0) -> Frame:
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    return (8000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def resampled(sound: Frame, from_hz: int, to_hz: int, sizes: list[int]) -> Frame:
    """The whole sound, fed in chunks of these sizes and the rest at once."""
    resampler, parts, at = Resampler(from_hz, to_hz), list[Frame](), 0
    for size in sizes:
        parts.append(resampler.feed(sound[at : at + size]))
        at += size
    return np.concatenate([*parts, resampler.feed(sound[at:]), resampler.finish()])


def loudness_db(sound: NDArray[Any]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(sound**2)) / 32768 + 1e-9))


RATES = [(22050, 8000), (24000, 8000), (16000, 8000), (8000, 16000), (44100, 16000)]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_tone_keeps_its_place_and_length(from_hz: int, to_hz: int) -> None:
    """Sample 0 stays at time 0, so that word times still fit; nothing is lost at the end."""
    out = resampled(tone(440, from_hz), from_hz, to_hz, [])
    wanted = tone(440, to_hz)
    assert len(out) == len(wanted)
    error = (out - wanted.astype(np.float64))[200:-200]
    assert loudness_db(error) < loudness_db(wanted.astype(float)) - 60


@pytest.mark.parametrize("from_hz", [16000, 22050, 24000])
def test_what_a_phone_cannot_carry_does_not_fold_back(from_hz: int) -> None:
    """5000 Hz in a 22050 Hz voice would turn up as a 3000 Hz whistle at 8000 Hz."""
    out = resampled(tone(5000, from_hz), from_hz, 8000, [])
    assert loudness_db(out.astype(float)[200:-200]) < -80


def test_chunks_of_any_size_make_the_same_sound() -> None:
    """A voice sends what it likes: 20 ms, one sample, or nothing."""
    sound = tone(440, 22050) + tone(1000, 22050)
    whole = resampled(sound, 22050, 8000, [])
    assert np.array_equal(resampled(sound, 22050, 8000, [441] * 40), whole)
    assert np.array_equal(resampled(sound, 22050, 8000, [1, 7, 0, 1000, 3, 4000]), whole)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_the_delay_is_2_ms_and_stays_so(from_hz: int, to_hz: int) -> None:
    """Every millisecond held here is added to every answer; bursts would drain the playout."""
    resampler, chunk, out = Resampler(from_hz, to_hz), from_hz // 50, 0
    waiting = set()
    for fed in range(1, 51):
        out += len(resampler.feed(np.zeros(chunk, np.int16)))
        waiting.add(round((fed * chunk / from_hz - out / to_hz) * 1000, 1))
    assert max(waiting) <= 2.1
    assert max(waiting) - min(waiting) <= 0.1


def test_equal_rates_pass_untouched() -> None:
    """A voice at the call's rate costs nothing."""
    resampler, sound = Resampler(8000, 8000), tone(440, 8000)
    assert resampler.feed(sound) is sound
    assert len(resampler.finish()) == 0


def test_after_the_end_a_new_sound_begins() -> None:
    """The second sound is as long as if it were the only one."""
    resampler, sound = Resampler(16000, 8000), tone(440, 16000, 0.1)
    lengths = [len(resampler.feed(sound)) + len(resampler.finish()) for _ in range(2)]
    assert lengths == [800, 800]
