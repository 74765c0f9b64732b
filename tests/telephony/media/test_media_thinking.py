"""How an agent that thinks sounds: a keyboard or a clock made here, or a file; behind speech and music."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from telephony.errors import MediaError
from telephony.media.background import Background, Loop
from telephony.media.thinking import BUILT_IN, thinking
from tests.telephony.media.test_media_background import write


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_sounds_are_soft_and_the_same_every_time(name: str, rate_hz: int) -> None:
    """Their loudest sample is at the level that was asked for; most of the time there is next to nothing."""
    pcm = thinking(name, rate_hz, -30.0)
    assert abs(pcm).max() == pytest.approx(32767 * 10 ** (-30 / 20), abs=1)
    assert np.sqrt(np.mean(pcm.astype(float) ** 2)) < 300, "far below speech"
    thinking.cache_clear()
    assert (thinking(name, rate_hz, -30.0) == pcm).all()
    louder = thinking(name, rate_hz, -20.0)
    assert abs(louder).max() == pytest.approx(3276.7, abs=1)


def test_a_file_is_brought_to_rate_and_level_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    pcm = (8000 * np.sin(2 * np.pi * 300 * np.arange(16000) / 16000)).astype(np.int16)
    path = write(tmp_path / "humming.wav", pcm, 16000)
    sound = thinking(path, 8000, -20.0)
    assert len(sound) == 8000 and abs(sound).max() == pytest.approx(3276.7, abs=2)
    with pytest.raises(MediaError, match=r"gone\.wav"):
        thinking(str(tmp_path / "gone.wav"), 8000, -20.0)


def test_it_comes_up_slowly_and_is_gone_within_a_frame_without_a_click() -> None:
    murmur = Background()
    murmur.play(Loop(np.full(8000, 1000, np.int16), 8000), fade_ticks=4)
    frames = [murmur.under(None) for _ in range(5)]
    assert [int(frame[-1]) for frame in frames if frame is not None] == [250, 500, 750, 1000, 1000]
    murmur.fade()
    last = murmur.under(None)
    assert last is not None and last[0] == 1000 and last[-1] == 0
    assert murmur.under(None) is None


def test_one_that_ends_before_it_was_heard_leaves_nothing() -> None:
    murmur = Background()
    murmur.play(Loop(np.full(8000, 1000, np.int16), 8000))
    murmur.fade()
    assert murmur.under(None) is None
    murmur.play(Loop(np.full(8000, 1000, np.int16), 8000))
    assert murmur.under(None) is not None, "it may begin again"


def test_it_gives_way_to_speech_and_to_music() -> None:
    speech = np.full(160, 500, np.int16)
    murmur, music = Background(), Background()
    murmur.play(Loop(np.full(8000, 1000, np.int16), 8000))
    assert murmur.under(None) is not None
    assert (murmur.under(speech)[-1], murmur.under(speech)) == (500, speech)  # type: ignore[index]
    music.play(Loop(np.full(8000, 4000, np.int16), 8000))
    music.under(None)
    assert (murmur.under(music.under(None)) == 4000).all()  # type: ignore[union-attr]
