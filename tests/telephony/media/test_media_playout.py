"""The speech queue: positions, silence, the cut, and ducking."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media.playout import Playout


def tone(samples: int, value: int = 10000) -> NDArray[np.int16]:
    return np.full(samples, value, np.int16)


def counting(samples: int, start: int = 1) -> NDArray[np.int16]:
    return np.arange(start, start + samples, dtype=np.int16)


def test_speech_leaves_in_frames_in_the_order_it_was_queued() -> None:
    """Pieces of any length from the synthesiser, 20 ms to the phone."""
    playout = Playout(8000)
    begins = [playout.play(counting(100)), playout.play(counting(300, 101)), playout.play(counting(80, 401))]
    assert begins == [0, 100, 400]
    frames = [playout.pull() for _ in range(3)]
    assert np.concatenate([f for f in frames if f is not None]).tolist() == list(range(1, 481))
    assert playout.pull() is None
    assert (playout.played, playout.queued) == (480, 0)


def test_the_last_piece_is_filled_with_silence_that_does_not_count() -> None:
    """Positions are samples of speech: 200 were said, in two frames."""
    playout = Playout(8000)
    playout.play(counting(200))
    playout.pull()
    last = playout.pull()
    assert last is not None
    assert last.shape == (160,)
    assert last[:40].tolist() == list(range(161, 201))
    assert not last[40:].any()
    assert playout.played == 200
    assert playout.play(counting(1)) == 200


def test_silence_between_replies_does_not_move_the_position() -> None:
    """A reply that begins a minute later begins where the last one ended."""
    playout = Playout(8000)
    playout.play(counting(160))
    playout.pull()
    assert [playout.pull() for _ in range(3000)] == [None] * 3000
    assert playout.play(counting(160)) == 160


def test_a_flush_leaves_one_fading_frame_and_says_where_speech_ends() -> None:
    """DESIGN §8: at most one frame is queued past the cut, and it ends at zero."""
    playout = Playout(8000)
    playout.play(tone(8000))
    playout.pull()
    playout.pull()
    assert playout.flush() == 480
    assert playout.queued == 160
    fade = playout.pull()
    assert fade is not None
    assert (np.diff(fade.astype(int)) < 0).all()
    assert int(fade[0]) > 9900
    assert int(fade[-1]) == 0
    assert playout.pull() is None
    assert playout.played == 480


@pytest.mark.parametrize("left", [0, 1, 159, 160, 161])
def test_a_flush_near_the_end_of_a_reply_counts_only_what_there_is(left: int) -> None:
    """The cut may come when less than a frame is left, or nothing."""
    playout = Playout(8000)
    playout.play(tone(160 + left))
    playout.pull()
    ends = playout.flush()
    assert ends == 160 + min(left, 160)
    while playout.pull() is not None:
        pass
    assert playout.played == ends


def test_a_second_flush_changes_no_position() -> None:
    """Two interruptions in one tick."""
    playout = Playout(8000)
    playout.play(tone(8000))
    assert playout.flush() == playout.flush() == 160


def test_speech_after_a_flush_follows_the_fade() -> None:
    """The next reply may be queued before the fade has left."""
    playout = Playout(8000)
    playout.play(tone(8000))
    playout.flush()
    assert playout.play(tone(160, 500)) == 160
    playout.pull()
    following = playout.pull()
    assert following is not None
    assert set(following.tolist()) == {500}


def test_ducking_lowers_speech_by_12_db_within_a_frame_and_brings_it_back() -> None:
    """DESIGN §6: the ramp is one frame long, no sample jumps."""
    playout = Playout(8000)
    playout.play(tone(160 * 6))
    heard = [playout.pull()]
    playout.duck(True)
    heard += [playout.pull(), playout.pull()]
    playout.duck(False)
    heard += [playout.pull(), playout.pull()]
    frames = [frame for frame in heard if frame is not None]
    assert set(frames[0].tolist()) == {10000}
    assert set(frames[2].tolist()) == {int(10000 * 10 ** (-12 / 20))}
    assert set(frames[4].tolist()) == {10000}
    assert np.abs(np.diff(np.concatenate(frames).astype(int))).max() < 60


def test_ducking_in_silence_is_done_when_speech_begins() -> None:
    """The caller talks first; a reply that begins then begins softly."""
    playout = Playout(8000)
    playout.duck(True)
    assert playout.pull() is None
    playout.play(tone(160))
    frame = playout.pull()
    assert frame is not None
    assert set(frame.tolist()) == {2511}


def test_the_fade_of_a_ducked_voice_is_ducked_too() -> None:
    """Duck at once, cut when it is an interruption: no sample of the fade may be louder."""
    playout = Playout(8000)
    playout.play(tone(1600))
    playout.duck(True)
    playout.pull()
    playout.flush()
    fade = playout.pull()
    assert fade is not None
    assert int(fade.max()) <= 2511
    assert int(fade[-1]) == 0


def test_what_was_queued_is_never_changed() -> None:
    """The synthesiser may keep its buffer for the cache."""
    speech = tone(1600)
    playout = Playout(8000)
    playout.play(speech)
    playout.duck(True)
    playout.pull()
    playout.flush()
    playout.pull()
    assert (speech == 10000).all()


def test_frames_are_20_ms_at_any_rate() -> None:
    """320 samples at 16000 Hz."""
    playout = Playout(16000)
    playout.play(tone(1))
    frame = playout.pull()
    assert frame is not None
    assert frame.shape == (320,)
    assert playout.rate_hz == 16000


def test_sound_of_another_kind_is_refused() -> None:
    """Floating point from a synthesiser would play as noise."""
    with pytest.raises(MediaError, match="float64"):
        Playout(8000).play(np.zeros(160))  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="int16 mono"):
        Playout(8000).play(np.zeros((160, 2), np.int16))
