"""Frame scores to speech that began and ended."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.hearing.echo import EchoGuard
from pipeline.hearing.vad import (
    VoiceActivity,
    VoiceSettled,
    VoiceStarted,
    VoiceStirred,
    VoiceStopped,
)
from pipeline.ports import Frame


class Scores:
    """A detector whose scores are known beforehand."""

    rate_hz = 8000

    def __init__(self, scores: list[float]) -> None:
        self._scores = iter(scores)

    def probability(self, frame: Frame) -> float:
        return next(self._scores)

    def reset(self) -> None: ...


def frame(level_db: float) -> Frame:
    """20 ms of a square wave."""
    peak = round(32768 * 10 ** (level_db / 20))
    return np.tile(np.array([peak, -peak], np.int16), 80)


SPEECH, QUIET = frame(-20.0), frame(-80.0)


def events(
    scores: list[float], frames: list[Frame] | None = None, *, reaction_ms: int = 0
) -> list[VoiceStarted | VoiceStopped]:
    """Frame number n ends at (n + 1) * 20 ms."""
    activity = VoiceActivity(Scores(scores), reaction_ms=reaction_ms)
    frames = frames or [SPEECH if score >= 0.35 else QUIET for score in scores]
    heard = (activity.heard(sound, (n + 1) * 0.02) for n, sound in enumerate(frames))
    return [event for event in heard if isinstance(event, VoiceStarted | VoiceStopped)]


def times(found: list[VoiceStarted | VoiceStopped]) -> list[tuple[str, int]]:
    """What happened, and when in ms."""
    return [(type(event).__name__, round(event.at * 1000)) for event in found]


def test_speech_is_dated_back_to_where_it_began_and_ended() -> None:
    """Noticed after 60 ms and 120 ms, but it began at 100 ms and ended at 300 ms."""
    found = events([0.0] * 5 + [0.9] * 10 + [0.0] * 10)
    assert times(found) == [("VoiceStarted", 100), ("VoiceStopped", 300)]


def test_the_reaction_of_the_detector_is_taken_off_the_beginning() -> None:
    """A detector that needs 40 ms says so, and the time of the beginning is right again."""
    found = events([0.0] * 5 + [0.9] * 10, reaction_ms=40)
    assert times(found) == [("VoiceStarted", 60)]


def test_a_click_is_not_speech() -> None:
    """Two frames are 40 ms: less than a syllable."""
    assert events([0.0, 0.9, 0.9, 0.0, 0.0, 0.9, 0.9, 0.0]) == []


def test_a_breath_within_a_sentence_does_not_end_it() -> None:
    """100 ms of quiet are a stop consonant or a breath; 120 ms are an end."""
    assert events([0.9] * 5 + [0.0] * 5 + [0.9] * 5)[1:] == []
    assert len(events([0.9] * 5 + [0.0] * 6)) == 2


def test_between_the_thresholds_nothing_changes() -> None:
    """0.4 does not begin speech (0.5 would), and does not end it either (below 0.35 would)."""
    assert events([0.4] * 10) == []
    found = events([0.9] * 3 + [0.4] * 10 + [0.3] * 6)
    assert times(found)[1] == ("VoiceStopped", 260)


def test_a_detector_that_lingers_does_not_move_the_end_of_speech() -> None:
    """Silero's score stays up for about 100 ms after the last sound; the level tells when that was."""
    echo = frame(-56.0)
    scores = [0.0] * 5 + [0.9] * 15 + [0.0] * 6
    sounds = [QUIET] * 5 + [SPEECH] * 10 + [echo] * 5 + [QUIET] * 6
    assert times(events(scores, sounds))[1] == ("VoiceStopped", 300)


def test_in_noise_the_end_is_where_speech_sinks_into_it() -> None:
    """Noise of -40 dB is only 20 dB below the caller, but it was there before he spoke."""
    noise = frame(-40.0)
    scores = [0.0] * 20 + [0.9] * 15 + [0.0] * 6
    sounds = [noise] * 20 + [SPEECH] * 10 + [noise] * 11
    assert times(events(scores, sounds))[1] == ("VoiceStopped", 600)


def test_a_caller_who_gets_quieter_is_still_heard() -> None:
    """10 dB down from the loudest word is speech, not a tail."""
    sounds = [SPEECH] * 10 + [frame(-29.0)] * 10 + [QUIET] * 6
    assert times(events([0.9] * 20 + [0.0] * 6, sounds))[1] == ("VoiceStopped", 400)


def test_a_beginning_never_lies_before_the_last_end() -> None:
    """Dating back must not make two stretches of speech overlap."""
    found = events([0.9] * 5 + [0.0] * 6 + [0.9] * 5, [SPEECH] * 16, reaction_ms=400)
    ended, began = found[1], found[2]
    assert isinstance(ended, VoiceStopped)
    assert isinstance(began, VoiceStarted)
    assert began.at >= ended.at


def test_the_level_is_in_db_below_full_scale() -> None:
    """A square wave of a tenth of full scale is -20 dB; digital silence is the bottom."""
    activity = VoiceActivity(Scores([0.0] * 3))
    assert activity.level_db == -96.0
    activity.heard(SPEECH, 0.02)
    assert activity.level_db == pytest.approx(-20.0, abs=0.01)
    activity.heard(np.zeros(160, np.int16), 0.04)
    assert activity.level_db == -96.0
    activity.heard(np.zeros(0, np.int16), 0.06)
    assert activity.level_db == -96.0


def test_speech_begins_where_it_rose_above_the_noise() -> None:
    """The detector knew it after 80 ms; louder sound long before that is another matter."""
    noise = frame(-45.0)
    found = events([0.0] * 10 + [0.1] * 4 + [0.9] * 6, [noise] * 10 + [SPEECH] * 10)
    assert times(found) == [("VoiceStarted", 200)]
    found = events([0.0] * 10 + [0.1] * 30 + [0.9] * 6, [noise] * 10 + [SPEECH] * 36)
    assert times(found) == [("VoiceStarted", 680)], "120 ms before the first high score at the most"


@pytest.mark.parametrize("empty", [np.zeros(160, np.int16), frame(-84.0)])
def test_frames_without_any_sound_tell_nothing_of_the_noise(empty: Frame) -> None:
    """A call begins with nothing, or the phone mutes for a moment: the noise that comes then is no speech."""
    noise = frame(-40.0)
    scores = [0.0] * 5 + [0.0] * 5 + [0.9] * 5 + [0.6] * 10 + [0.0] * 6
    found = events(scores, [empty] * 5 + [noise] * 5 + [SPEECH] * 5 + [noise] * 16)
    assert times(found) == [("VoiceStarted", 200), ("VoiceStopped", 300)]


def test_a_sound_stirs_before_it_is_speech() -> None:
    """Louder than the noise in one of the last three frames, or of a score that speech may go on with."""
    noise = frame(-45.0)
    activity = VoiceActivity(Scores([0.0] * 10 + [0.1] * 5 + [0.4]))
    found = []
    for number, sound in enumerate([*[noise] * 10, SPEECH, *[noise] * 5]):
        activity.heard(sound, number * 0.02)
        found.append(activity.stirs)
    assert found == [False] * 10 + [True] * 3 + [False] * 2 + [True]


def test_a_first_sign_of_a_caller_is_told_before_it_is_speech_and_taken_back_if_it_was_nothing() -> None:
    """Loud frames that a detector does not know yet; 160 ms of quiet settle it. Speech settles nothing: it started."""
    activity = VoiceActivity(Scores([0.0] * 13 + [0.0] * 10 + [0.2, 0.2, 0.9, 0.9, 0.9]), echo=EchoGuard())
    noise = np.random.default_rng(0).standard_normal((28, 160))
    sound = [(row * (20 if n < 10 or 13 <= n < 23 else 2000)).astype(np.int16) for n, row in enumerate(noise)]
    told = [(n, activity.heard(row, (n + 1) * 0.02)) for n, row in enumerate(sound)]
    assert [(n, type(event)) for n, event in told if event is not None] == [
        (12, VoiceStirred),
        (20, VoiceSettled),
        (24, VoiceStirred),
        (27, VoiceStarted),
    ]
