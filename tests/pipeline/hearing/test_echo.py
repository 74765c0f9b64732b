"""Our own voice coming back, with clips of people on both ends and an echo between them."""

from __future__ import annotations

import wave
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.hearing.echo import EchoGuard

RECORDINGS = Path(__file__).parents[2] / "recordings"
OURS = (
    *(
        "opening_hours",
        "appointment",
        "bill_kal",
        "operator",
        "foreign",
        "opening_hours_kal",
        "invoice_number",
    ),
    *("bill", "appointment_kal", "goodbye_kal"),
)
THEIRS = ("no_thank_you", "friday", "goodbye", "bill", "operator", "appointment", "yes", "invoice_number")
RATE_HZ, FRAME = 8000, 160
SETTLED_S = 0.8
VOICED_DB = -12.0  # of a caller's level: frames that a detector takes for speech
LEVEL_DB = -20.0  # of every clip, below full scale
FULL_SCALE = 32768.0

Sound = NDArray[np.float64]
Levels = NDArray[np.float64]
Flags = NDArray[np.bool_]

ECHOES = [
    (level_db, delay_ms) for level_db in (-12.0, -18.0, -26.0) for delay_ms in (20, 50, 83, 130, 170, 250)
]


@cache
def clip(name: str) -> Sound:
    with wave.open(str(RECORDINGS / f"{name}.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float64)


@cache
def ours() -> Sound:
    """Forty seconds of the agent, a quarter of a second between two sentences."""
    pause = np.zeros(RATE_HZ // 4)
    return np.concatenate([part for name in OURS * 2 for part in (clip(name), pause)])


def theirs(from_s: float, level_db: float) -> Sound:
    """A caller who says something every other two seconds, at a level against ours."""
    sound, at = np.zeros(len(ours())), round(from_s * RATE_HZ)
    for name in THEIRS * 4:
        said = clip(name)[: len(sound) - at]
        sound[at : at + len(said)] = said * 10 ** (level_db / 20)
        at = min(at + len(said) + 2 * RATE_HZ, len(sound))
    return sound


def echo(level_db: float, delay_ms: int, *, dispersed: bool = False) -> Sound:
    """What comes back of ours; dispersed: coloured by 8 ms of random impulse response."""
    delay = delay_ms * RATE_HZ // 1000
    sound = np.concatenate([np.zeros(delay), ours()])[: len(ours())]
    if dispersed:
        response = np.random.default_rng(1).standard_normal(64) * np.exp(-np.arange(64) / 12)
        sound = np.convolve(sound, response / np.sqrt(response @ response))[: len(sound)]
    return sound * 10 ** (level_db / 20)


def levels(sound: Sound) -> Levels:
    """RMS of each frame."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    rms: Levels = np.sqrt((frames**2).mean(axis=1))
    return rms


def masked(coming: Sound, guard: EchoGuard | None = None) -> Flags:
    """Which frames of what comes are taken for echo; -65 dBFS of noise are on the line."""
    noise = np.random.default_rng(0).standard_normal(len(coming)) * FULL_SCALE * 10 ** (-65 / 20)
    line = np.clip(np.round(coming + noise), -32768, 32767)
    guard = guard or EchoGuard()
    flags = []
    for at in range(0, len(line) // FRAME * FRAME, FRAME):
        heard, said = line[at : at + FRAME], ours()[at : at + FRAME].astype(np.int16)
        flags.append(guard.masks(heard.astype(np.int16)))
        guard.sent(said if said.any() else None)
    return np.array(flags)


def audible(sound: Sound, delay_ms: int) -> Flags:
    """Frames of an echo that stand out from the noise, once it could be measured."""
    level = levels(sound)
    at = np.arange(len(level)) * 0.02
    return (level > FULL_SCALE * 10 ** (-59 / 20)) & (at > SETTLED_S + delay_ms / 1000)


def voiced(sound: Sound, level_db: float) -> Flags:
    return levels(sound) > FULL_SCALE * 10 ** ((LEVEL_DB + level_db + VOICED_DB) / 20)


@pytest.mark.parametrize(("level_db", "delay_ms"), ECHOES)
def test_our_echo_is_masked_whatever_its_delay_and_level(level_db: float, delay_ms: int) -> None:
    """99 % of its frames, 0.8 s after we began to speak. The rest comes singly and starts no speech."""
    back = echo(level_db, delay_ms)
    assert masked(back)[audible(back, delay_ms)].mean() >= 0.99


@pytest.mark.parametrize(("level_db", "delay_ms"), ECHOES)
def test_a_caller_as_loud_as_we_are_is_heard_over_the_echo(level_db: float, delay_ms: int) -> None:
    """95 % of voiced frames, though the echo lies under them; between them the echo stays masked."""
    back, caller = echo(level_db, delay_ms), theirs(3.0, 0.0)
    flags = masked(back + caller)
    assert 1 - flags[voiced(caller, 0.0)].mean() >= 0.95
    assert flags[audible(back, delay_ms) & (levels(caller) < 1)].mean() >= 0.98


@pytest.mark.parametrize("delay_ms", [50, 170])
@pytest.mark.parametrize("level_db", [-18.0, -26.0])
def test_a_caller_half_as_loud_is_heard_over_a_usual_echo(level_db: float, delay_ms: int) -> None:
    back, caller = echo(level_db, delay_ms), theirs(3.0, -6.0)
    assert 1 - masked(back + caller)[voiced(caller, -6.0)].mean() >= 0.95


@pytest.mark.parametrize("delay_ms", [20, 83, 250])
@pytest.mark.parametrize("level_db", [-12.0, -18.0, -26.0])
def test_an_echo_coloured_by_the_line_is_masked_too(level_db: float, delay_ms: int) -> None:
    """A line that is far from flat: 94 % of frames, and callers are heard nearly as well."""
    back, caller = echo(level_db, delay_ms, dispersed=True), theirs(3.0, 0.0)
    assert masked(back)[audible(back, delay_ms)].mean() >= 0.94
    assert 1 - masked(back + caller)[voiced(caller, 0.0)].mean() >= 0.93


@pytest.mark.parametrize("level_db", [-20.0, 0.0])
def test_on_a_clean_line_quiet_callers_are_heard(level_db: float) -> None:
    """20 dB below us: once we have spoken for 2 s, hardly a frame is taken for echo."""
    caller = theirs(1.0, level_db)
    flags = masked(caller)
    assert flags[voiced(caller, level_db)].mean() <= 0.015
    assert flags[100:][voiced(caller, level_db)[100:]].mean() <= 0.01


def hiss(rms: float, samples: int = FRAME, seed: int = 0) -> NDArray[np.int16]:
    """A frame of white noise; its changes are 3 dB louder than it is."""
    sound = np.random.default_rng(seed).standard_normal(samples)
    return np.asarray(sound * rms / np.sqrt((sound**2).mean()), np.int16)


def test_a_caller_hardly_above_the_noise_of_a_clean_line_is_heard() -> None:
    """30 dB below us, 15 dB above the noise: three in four frames."""
    caller = theirs(1.0, -30.0)
    assert masked(caller)[100:][voiced(caller, -30.0)[100:]].mean() <= 0.25


def test_nothing_is_masked_while_we_are_silent() -> None:
    guard = EchoGuard()
    assert not guard.masks(hiss(3))
    guard.sent(hiss(3000))
    assert guard.masks(hiss(30)), "before anything is measured, what is much weaker than we are is echo"
    for _ in range(20):
        guard.sent(None)
    assert not guard.masks(hiss(30)), "340 ms later no echo can come"


def test_the_noise_of_the_line_is_no_caller_while_we_speak() -> None:
    """It counts while we are silent; under our voice only what is louder does."""
    guard = EchoGuard()
    for frame in range(500):
        assert not guard.masks(hiss(300, seed=frame))
        guard.sent(None)
    for frame in range(200):
        guard.sent(hiss(3000, seed=frame + 1000))
        assert guard.masks(hiss(300, seed=frame))
    assert not guard.masks(hiss(1500))


@pytest.mark.parametrize("noise", ["hum", "hiss"])
def test_noise_as_loud_as_the_echo_does_not_hide_its_delay(noise: str) -> None:
    """It does not rise and fall with us: the coupling that is measured is that of a quiet line."""
    back = echo(-18.0, 120)
    at = np.arange(len(back)) / RATE_HZ
    level = FULL_SCALE * 10 ** ((LEVEL_DB - 18.0) / 20)
    hum = np.sqrt(2) * np.sin(2 * np.pi * 50 * at)
    under = hum if noise == "hum" else np.random.default_rng(3).standard_normal(len(back))
    guard = EchoGuard()
    masked(back + level * under, guard)
    assert guard.coupling_db == pytest.approx(-18.0, abs=3)
    assert masked(back + level * under)[audible(back, 120)].mean() >= 0.98


def test_the_coupling_of_a_line_can_be_read() -> None:
    """None where nothing comes back."""
    guard = EchoGuard()
    assert guard.coupling_db is None
    masked(echo(-18.0, 80), guard)
    assert guard.coupling_db == pytest.approx(-18.0, abs=3)
    clean = EchoGuard()
    masked(np.zeros(len(ours())), clean)
    assert clean.coupling_db is None


def test_the_guard_fits_between_two_ticks() -> None:
    """About 20 µs a frame on an idle machine; 0.15 ms allows for a busy one."""
    guard, frame, best = EchoGuard(), hiss(3000), float("inf")
    for _ in range(200):
        start = perf_counter()
        guard.sent(frame)
        guard.masks(frame)
        best = min(best, perf_counter() - start)
    assert best < 150e-6


def test_a_wideband_call_is_guarded_like_any_other() -> None:
    """Frames of 320 samples, and of none."""
    guard = EchoGuard()
    for seed in range(60):
        guard.sent(hiss(3000, 320, seed))
        guard.masks(hiss(300, 320, seed))
    assert guard.masks(hiss(300, 320))
    assert not guard.masks(hiss(3000, 320))
    guard.sent(np.zeros(0, np.int16))
    assert guard.masks(np.zeros(0, np.int16))
