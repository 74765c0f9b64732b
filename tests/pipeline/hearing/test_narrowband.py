"""Sound of a wideband call as a narrowband line would have brought it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.hearing.narrowband import Narrowband
from pipeline.ports import Frame


def halved(sound: Frame) -> Frame:
    narrowband = Narrowband()
    return np.concatenate([narrowband.halved(sound[at : at + 320]) for at in range(0, len(sound), 320)])


def sine(hz: float, peak: float = 8000.0) -> Frame:
    return np.rint(peak * np.sin(2 * np.pi * hz * np.arange(3200) / 16000)).astype(np.int16)


@pytest.mark.parametrize("hz", [300, 1000, 3300])
def test_what_a_telephone_carries_comes_through(hz: int) -> None:
    """At its level, and late by less than 2 ms: no frame's edge is heard."""
    wanted = np.rint(8000 * np.sin(2 * np.pi * hz * (np.arange(1600) * 2 + 1 - 23) / 16000))
    assert np.abs(halved(sine(hz))[80:] - wanted[80:]).max() < 100


@pytest.mark.parametrize("hz", [4700, 5500, 7800])
def test_what_a_telephone_does_not_carry_is_gone(hz: int) -> None:
    """Nothing above 4.6 kHz folds back into the band: 40 dB down."""
    assert np.abs(halved(sine(hz))[80:]).max() < 80


def test_the_loudest_sound_does_not_wrap_around() -> None:
    """A square wave at full scale overshoots behind a filter: it is clipped."""
    square = np.tile(np.repeat(np.array([32767, -32768], np.int16), 16), 100)
    found = halved(square).astype(int)
    assert found.max() == 32767
    assert np.abs(np.diff(np.sign(found[80:]))).sum() == pytest.approx(2 * len(square) / 16, rel=0.05)


def test_a_frame_of_another_length_is_silence() -> None:
    assert not Narrowband().halved(np.ones(17, np.int16)).any()
