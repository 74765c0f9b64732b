"""What a lost packet sounds like."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.media.conceal import Concealer, joined

FRAME = 160


def voice(frames: int, *, pitch_hz: float = 125.0, rate_hz: int = 8000) -> list[NDArray[np.int16]]:
    """A steady vowel: harmonics of one pitch."""
    at = np.arange(frames * rate_hz // 50) / rate_hz
    wave = np.sum([np.sin(2 * np.pi * pitch_hz * k * at) / k for k in range(1, 6)], axis=0)
    return np.split((6000 * wave).astype(np.int16), frames)


def level(pcm: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2)))


def test_real_sound_passes_untouched() -> None:
    """Without a loss there is nothing to do, and nothing is copied."""
    concealer = Concealer(8000)
    for frame in voice(5):
        assert concealer.heard(frame) is frame
    assert concealer.concealed == 0


def test_a_loss_fades_to_silence_within_60_ms() -> None:
    """DESIGN §5: 20, 40, 60 ms ever softer, then nothing."""
    concealer = Concealer(8000)
    frames = voice(4)
    for frame in frames:
        concealer.heard(frame)
    levels = [level(concealer.missing(FRAME)) for _ in range(5)]
    assert level(frames[-1]) > levels[0] > levels[1] > levels[2] > 0
    assert levels[3:] == [0, 0]
    assert concealer.concealed == 480


@pytest.mark.parametrize("pitch_hz", [80, 100, 125, 200, 320])
def test_a_vowel_goes_on_at_its_pitch(pitch_hz: float) -> None:
    """The first 10 ms of concealment resemble what was lost, allowing for the fade."""
    concealer = Concealer(8000)
    frames = voice(6, pitch_hz=pitch_hz)
    for frame in frames[:5]:
        concealer.heard(frame)
    made_up, lost = concealer.missing(FRAME)[:80].astype(float), frames[5][:80].astype(float)
    likeness = float(np.dot(made_up, lost) / (np.linalg.norm(made_up) * np.linalg.norm(lost)))
    assert likeness > 0.9


def test_neither_the_beginning_nor_the_end_of_a_loss_clicks() -> None:
    """No step is larger than the voice itself makes."""
    concealer = Concealer(8000)
    frames = voice(7)
    steepest = max(int(np.abs(np.diff(frame.astype(int))).max()) for frame in frames)
    out = [concealer.heard(frame) for frame in frames[:4]]
    out.append(concealer.missing(FRAME))
    out += [concealer.heard(frame) for frame in frames[5:]]
    assert np.abs(np.diff(np.concatenate(out).astype(int))).max() <= 1.5 * steepest


def test_sound_after_a_long_loss_rises_from_silence() -> None:
    """The first sample after 200 ms of nothing is near zero; 5 ms later all is as sent."""
    concealer = Concealer(8000)
    loud = np.full(FRAME, 10000, np.int16)
    concealer.heard(loud)
    for _ in range(10):
        concealer.missing(FRAME)
    back = concealer.heard(loud)
    assert abs(int(back[0])) < 500
    assert (back[40:] == loud[40:]).all()
    assert (loud == 10000).all()


def test_before_any_sound_and_after_another_source_there_is_silence() -> None:
    """Nothing of the old caller may sound on in the new one."""
    concealer = Concealer(8000)
    assert not concealer.missing(FRAME).any()
    concealer.heard(voice(1)[0])
    concealer.forget()
    assert not concealer.missing(FRAME).any()
    assert concealer.concealed == 0


@pytest.mark.parametrize("size", [1, 33, 80, 400])
def test_losses_of_any_length_are_filled_exactly(size: int) -> None:
    """Packets are not always 20 ms."""
    concealer = Concealer(8000)
    concealer.heard(voice(1)[0])
    assert [len(concealer.missing(size)) for _ in range(20)] == [size] * 20


def test_a_frame_left_out_does_not_click() -> None:
    """The frame that follows begins where the one left out began."""
    left_out, following = np.full(FRAME, 8000, np.int16), np.full(FRAME, -8000, np.int16)
    out = joined(left_out, following, 8000)
    assert int(out[0]) > 7000
    assert (out[40:] == -8000).all()
    assert np.abs(np.diff(out.astype(int))).max() < 500
