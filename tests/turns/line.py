"""What a telephone line does to a caller: level, noise, loss, mu-law, and our own voice coming back.

Pure and seeded. The steady part (noise, clicks, hum) is laid under the whole call before it begins; echo, loss and
coding happen frame by frame, because what comes back depends on what the agent says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telephony.media.codecs.g711 import decode_ulaw, encode_ulaw
from telephony.media.conceal import Concealer
from tests.turns.sounds import FRAME, FULL_SCALE, LEVEL_DB, RATE_HZ, Sound

Frame = NDArray[np.int16]

FLOOR_DB = -65.0  # no line is silent
TAPS = 64  # 8 ms: how far the echo is smeared


@dataclass(frozen=True, slots=True)
class Echo:
    """Our voice coming back. level_db: against what was sent. delay_ms: of its first sample."""

    level_db: float
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of line. noise: pink or babble, noise_db below speech. gain_db: of the caller. loss: share of packets,
    bursts: how many are lost at once, on average."""

    name: str
    noise: str = ""
    noise_db: float = 0.0
    gain_db: float = 0.0
    loss: float = 0.0
    bursts: float = 1.0
    hum: bool = False
    clicks_per_s: float = 0.0


CLEAN = Line("clean")
LINES = (
    CLEAN,
    CLEAN,
    CLEAN,
    Line("pink 20 dB", "pink", 20),
    Line("pink 10 dB", "pink", 10),
    Line("babble 20 dB", "babble", 20),
    Line("loss 3 %", loss=0.03, bursts=1.5),
    Line("loss 8 %", loss=0.08, bursts=3),
    Line("quiet", gain_db=-12),
    Line("hum", hum=True),
    Line("clicks", clicks_per_s=0.7),
)
"""Three of eleven lines are clean, the others have one fault each."""


def steady(line: Line, samples: int, dice: np.random.Generator, talkers: tuple[Sound, ...]) -> Sound:
    """All that is on the line beside the caller. talkers: whose voices a babble is made of."""
    sound = _scaled(dice.standard_normal(samples).astype(np.float32), FLOOR_DB)
    if line.noise == "pink":
        sound += _scaled(pink(samples, dice), LEVEL_DB + line.gain_db - line.noise_db)
    elif line.noise == "babble":
        sound += _scaled(_babble(samples, dice, talkers), LEVEL_DB + line.gain_db - line.noise_db)
    if line.hum:
        at = np.arange(samples) / RATE_HZ
        hum = (
            np.sin(2 * np.pi * 50 * at)
            + 0.5 * np.sin(2 * np.pi * 150 * at)
            + 0.2 * np.sin(2 * np.pi * 250 * at)
        )
        sound += _scaled(hum.astype(np.float32), -36.0)
    for at_sample in dice.integers(
        0, max(1, samples - 80), dice.poisson(line.clicks_per_s * samples / RATE_HZ)
    ):
        sound[at_sample : at_sample + 80] += click(dice)
    return sound


def pink(samples: int, dice: np.random.Generator) -> Sound:
    """Noise that falls by 3 dB an octave."""
    spectrum = np.fft.rfft(dice.standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def click(dice: np.random.Generator) -> Sound:
    """10 ms of a bad contact."""
    shape = np.exp(-np.arange(80) / 8.0) * dice.standard_normal(80) * FULL_SCALE * 10 ** (-10 / 20)
    return shape.astype(np.float32)


def cough(dice: np.random.Generator) -> Sound:
    """Two bursts of breath, a third of a second each or less: no voice in them."""
    bursts = []
    for _ in range(2):
        size = int(dice.uniform(0.12, 0.3) * RATE_HZ)
        rise = np.minimum(1.0, np.arange(size) / (0.01 * RATE_HZ)) * np.exp(
            -np.arange(size) / (0.09 * RATE_HZ)
        )
        noise = np.convolve(dice.standard_normal(size), np.ones(3) / 3, "same") * rise
        bursts += [noise.astype(np.float32), np.zeros(int(dice.uniform(0.08, 0.2) * RATE_HZ), np.float32)]
    sound = np.concatenate(bursts)
    peak = float(np.abs(sound).max())
    return (sound * np.float32(FULL_SCALE * 10 ** (-8 / 20) / peak)).astype(np.float32)


class Wire:
    """One call's way from the caller to us. caller: all they say and the steady noise, int16 scale."""

    def __init__(self, caller: Sound, line: Line, echo: Echo | None, dice: np.random.Generator) -> None:
        self._caller, self._line, self._echo, self._dice = caller, line, echo, dice
        self._concealer = Concealer(RATE_HZ)
        self._lost = False
        delay = echo.delay_ms * RATE_HZ // 1000 if echo is not None else 0
        self._delay = delay
        self._sent = np.zeros(delay + FRAME + TAPS - 1, np.float32)
        response = np.zeros(TAPS)
        response[0] = 1.0
        if echo is not None:  # a little of it is smeared, as by a hybrid
            response[1:] = 0.4 * dice.standard_normal(TAPS - 1) * np.exp(-np.arange(1, TAPS) / 10)
            response *= 10 ** (echo.level_db / 20) / np.sqrt(response @ response)
        self._response = response.astype(np.float32)

    def send(self, frame: Frame | None) -> None:
        """20 ms of ours leave for the phone."""
        if self._echo is None:
            return
        self._sent[:-FRAME] = self._sent[FRAME:]
        self._sent[-FRAME:] = 0.0 if frame is None else frame

    def frame(self, tick: int) -> Frame:
        """The 20 ms of the caller that have just ended, as we get them."""
        sound = self._caller[tick * FRAME : (tick + 1) * FRAME]
        if self._echo is not None:
            past = self._sent[: FRAME + TAPS - 1]
            sound = sound + np.convolve(past, self._response, "valid")
        pcm = np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
        if self._line.loss:
            stays = 1 - 1 / self._line.bursts
            chance = stays if self._lost else self._line.loss / self._line.bursts / (1 - self._line.loss)
            self._lost = bool(self._dice.random() < chance)
            if self._lost:
                return self._concealer.missing(FRAME)
            return self._concealer.heard(decode_ulaw(encode_ulaw(pcm)))
        return decode_ulaw(encode_ulaw(pcm))


def _babble(samples: int, dice: np.random.Generator, talkers: tuple[Sound, ...]) -> Sound:
    """Eight people who talk at once."""
    total = np.zeros(samples, np.float32)
    for number in range(8):
        voice = talkers[number % len(talkers)]
        total += np.resize(np.roll(voice, int(dice.integers(len(voice)))), samples)
    return total


def _scaled(sound: Sound, level_db: float) -> Sound:
    rms = float(np.sqrt((sound**2).mean())) or 1.0
    return sound * np.float32(FULL_SCALE * 10 ** (level_db / 20) / rms)
