"""Somebody at work: a keyboard, a clock, or a WAV file, to be played softly while a caller waits.

Computes and reads files, so it is called in a thread, never on the clock. What it returns is shared by all calls; each
plays it through its own `Loop` (background.py). No asset: the sounds are made here, the same ones every time."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telephony.media.background import Frame
from telephony.media.music import KEPT, file_sound

BUILT_IN: Final = ("typing", "tick")

_TYPING_S: Final = 12.0
_SEED: Final = 20  # of the typist: words of a few keys, and pauses between them
_KEY_S: Final = 0.045
_TICK_S: Final = 0.02


@lru_cache(maxsize=KEPT)
def thinking(name: str, rate_hz: int, level_db: float) -> Frame:
    """int16 mono at rate_hz, to be repeated. name: one of BUILT_IN, or a file. level_db: of its loudest sample, in dB
    of full scale. Raises MediaError if a file cannot be read: 16-bit PCM WAV."""
    if name == "typing":
        sound = _typing(rate_hz)
    elif name == "tick":
        sound = _ticking(rate_hz)
    else:
        sound = file_sound(name, rate_hz).astype(np.float64)
    peak = float(np.abs(sound).max(initial=0.0)) or 1.0
    pcm: Frame = np.rint(sound * (32767 * 10 ** (level_db / 20) / peak)).astype(np.int16)
    pcm.flags.writeable = False
    return pcm


def _typing(rate_hz: int) -> NDArray[np.float64]:
    """Words of two to eight keys, a tenth to a sixth of a second apart."""
    dice = np.random.default_rng(_SEED)
    sound = np.zeros(round(_TYPING_S * rate_hz))
    at_s = 0.05
    while True:
        for _ in range(dice.integers(2, 9)):
            if at_s > _TYPING_S - 0.3:
                return sound
            key = _key(dice, rate_hz)
            start = round(at_s * rate_hz)
            sound[start : start + len(key)] += key * dice.uniform(0.5, 1.0)
            at_s += dice.uniform(0.10, 0.17)
        at_s += dice.uniform(0.25, 0.9)


def _key(dice: np.random.Generator, rate_hz: int) -> NDArray[np.float64]:
    """A dull knock and a breath of noise: low enough that no line rings of it."""
    at = np.arange(round(_KEY_S * rate_hz)) / rate_hz
    knock = np.sin(2 * np.pi * dice.uniform(170, 260) * at) * np.exp(-at / 0.008)
    width = max(1, rate_hz // 2500)
    hiss = np.convolve(dice.standard_normal(len(at)), np.ones(width) / width, "same") * np.exp(-at / 0.004)
    rise = np.minimum(1.0, at / 0.001)
    return np.asarray((knock + 0.5 * hiss) * rise)


def _ticking(rate_hz: int) -> NDArray[np.float64]:
    """A clock: tick, tock, once a second."""
    sound = np.zeros(2 * rate_hz)
    at = np.arange(round(_TICK_S * rate_hz)) / rate_hz
    for second, hz in ((0.25, 1250.0), (1.25, 1050.0)):
        start = round(second * rate_hz)
        sound[start : start + len(at)] = np.sin(2 * np.pi * hz * at) * np.exp(-at / 0.003)
    return sound
