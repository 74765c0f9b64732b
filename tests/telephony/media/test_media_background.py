"""What a caller hears besides speech: call-progress tones, hold music, and how they make way for a voice."""

from __future__ import annotations

import wave
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.providers.registry import create_vad
from telephony.errors import MediaError
from telephony.media.background import BACK_AFTER_TICKS, Background, Loop
from telephony.media.music import music
from telephony.media.progress import TONES, Name, tone

Frame = NDArray[np.int16]


def played(loop: Loop | None, seconds: float) -> Frame:
    """So much of it, pulled frame by frame, silence once it is over."""
    assert loop is not None
    frames: list[Frame] = []
    for _ in range(round(seconds * 50)):
        frame = loop.pull()
        frames.append(np.zeros(len(frames[0]), np.int16) if frame is None else frame)
    return np.concatenate(frames)


def peaks(pcm: Frame, rate_hz: int, *, share: float = 0.25) -> list[int]:
    """The frequencies in it, in Hz, that are at least so strong against the strongest."""
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    strong = np.flatnonzero(spectrum > share * spectrum.max())
    groups = np.split(strong, np.flatnonzero(np.diff(strong) > 3) + 1)
    return [round(float(g[np.argmax(spectrum[g])]) * rate_hz / len(pcm)) for g in groups]


def bursts_ms(pcm: Frame, rate_hz: int) -> list[tuple[bool, int]]:
    """Sound and silence in turn, how long each, to 5 ms."""
    step = rate_hz // 200
    loud = [bool(np.abs(pcm[at : at + step].astype(int)).max() > 100) for at in range(0, len(pcm), step)]
    return [(sounds, 5 * len(list(group))) for sounds, group in groupby(loud)]


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize(
    ("country", "name", "hz", "cadence_ms"),
    [
        ("us", "ringback", [440, 480], [2000, 4000]),
        ("us", "busy", [480, 620], [500, 500]),
        ("us", "congestion", [480, 620], [250, 250]),
        ("eu", "ringback", [425], [1000, 4000]),
        ("eu", "busy", [425], [500, 500]),
        ("eu", "congestion", [425], [200, 200]),
        ("de", "ringback", [425], [1000, 4000]),
        ("de", "busy", [425], [480, 480]),
        ("de", "congestion", [425], [240, 240]),
        ("uk", "ringback", [400, 450], [400, 200, 400, 2000]),
        ("uk", "busy", [400], [375, 375]),
        ("uk", "congestion", [400], [400, 350, 225, 525]),
    ],
)
def test_a_tone_has_its_countrys_frequencies_and_cadence(
    country: str, name: Name, hz: list[int], cadence_ms: list[int], rate_hz: int
) -> None:
    """ITU-T E.180 Supplement 2, and ETSI TR 101 041-2 for `eu`: again and again, to the sample."""
    pcm = played(tone(name, rate_hz, country), 2 * sum(cadence_ms) / 1000)
    assert peaks(pcm[: cadence_ms[0] * rate_hz // 1000], rate_hz) == pytest.approx(hz, abs=3)
    expected = [(at % 2 == 0, ms) for at, ms in enumerate(2 * cadence_ms)]
    got = bursts_ms(pcm, rate_hz)
    assert [sounds for sounds, _ in got] == [sounds for sounds, _ in expected]
    assert [ms for _, ms in got] == pytest.approx([ms for _, ms in expected], abs=5)


def test_a_beep_sounds_once_and_is_over() -> None:
    """What comes before "please leave a message" must not come again."""
    beep = tone("beep", 8000)
    pcm = played(beep, 2.0)
    assert peaks(pcm[:3200], 8000) == [1000]
    assert not pcm[4000:].any()
    assert beep.pull() is None


def test_a_tone_that_nobody_has_is_refused() -> None:
    """With what there is."""
    with pytest.raises(MediaError, match="'atlantis'. Known: us, eu, de, uk"):
        tone("busy", 8000, "atlantis")
    assert set(TONES) == {"us", "eu", "de", "uk"}


def test_two_calls_share_the_samples_but_not_the_place() -> None:
    """A thousand callers on hold are one piece of music in memory, each in its own bar."""
    one, two = music("default", 8000), music("default", 8000)
    first, second = played(one, 1.0), played(two, 1.0)
    assert (first == second).all()
    assert one is not None and two is not None
    assert np.shares_memory(one.pull(), two.pull())


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_our_own_music_has_no_seam_and_sounds_like_no_keypad_and_no_voice(rate_hz: int) -> None:
    """All of it below 697 Hz, the lowest keypad row; Silero hears no speech in it."""
    pcm = played(music("default", rate_hz), 20.0)
    spectrum = np.abs(np.fft.rfft(pcm)) ** 2
    edge = round(690 * len(pcm) / rate_hz)
    assert spectrum[edge:].sum() < 1e-4 * spectrum.sum()
    assert np.abs(np.diff(pcm.astype(int))).max() < 1500, "no click, the seam at 16 s included"
    assert 1500 < np.abs(pcm.astype(int)).max() < 4000
    vad = create_vad("silero", {"rate_hz": rate_hz})
    size = rate_hz // 50
    scores = [vad.probability(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    assert max(scores) < 0.5


def write(path: Path, pcm: Frame, rate_hz: int, channels: int = 1) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(pcm, channels).astype("<i2").tobytes())
    return str(path)


@pytest.mark.parametrize("from_hz", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("to_hz", [8000, 16000])
def test_a_file_of_any_rate_is_heard_at_the_calls_rate(tmp_path: Path, from_hz: int, to_hz: int) -> None:
    """Its pitch, its length and its level stay; what the line cannot carry leaves no alias."""
    at = np.arange(6 * from_hz) / from_hz
    sound = 8000 * np.sin(2 * np.pi * 440 * at)
    if from_hz > 20000:
        sound += 8000 * np.sin(2 * np.pi * 9000 * at)  # folds to 1000 or 7000 Hz if it is let through
    path = write(tmp_path / f"{from_hz}.wav", sound.astype(np.int16), from_hz, channels=2)
    loop = music(path, to_hz)
    pcm = played(loop, 6.0)
    assert peaks(pcm, to_hz, share=0.01) == [440]
    assert 7900 < np.abs(pcm.astype(int)).max() < 8100
    again = played(loop, 6.0)
    assert np.abs(pcm.astype(int) - again).max() <= 1, "it repeats to the sample"


def test_a_file_that_is_replaced_is_heard_by_the_next_call(tmp_path: Path) -> None:
    """Calls on hold keep what they hear."""
    path = write(tmp_path / "hold.wav", np.full(8000, 1000, np.int16), 8000)
    before = music(path, 8000)
    write(tmp_path / "hold.wav", np.full(8000, 2000, np.int16), 8000)
    after = music(path, 8000)
    assert played(before, 0.1)[0] == 1000
    assert played(after, 0.1)[0] == 2000


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    """It was there when the plan was loaded."""
    with pytest.raises(MediaError, match=r"gone\.wav.*Give a 16-bit PCM WAV file"):
        music(str(tmp_path / "gone.wav"), 8000)
    assert music("none", 8000) is None
    assert peaks(played(music("ringback", 8000, "de"), 1.0), 8000) == [425]


def test_speech_has_precedence_and_music_comes_back_softly() -> None:
    """The fade lies under the first word; a pause between two sentences is not filled."""
    background = Background()
    speech = np.full(160, 500, np.int16)
    background.play(Loop(np.full(8000, 4000, np.int16), 8000))
    rising = background.under(None)
    assert rising is not None and rising[0] == 0 and rising[-1] == 4000
    assert (background.under(None) == 4000).all()  # type: ignore[union-attr]
    falling = background.under(speech)
    assert falling is not None and falling[0] == 4500 and falling[-1] == 500
    assert background.under(speech) is speech
    assert [background.under(None) for _ in range(BACK_AFTER_TICKS - 1)] == [None] * (BACK_AFTER_TICKS - 1)
    back = background.under(None)
    assert back is not None and back[0] == 0 and back[-1] == 4000
    background.stop()
    assert background.under(None) is None
