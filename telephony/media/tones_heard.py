"""What a caller's line carries beside speech: key presses as sound, signals of networks and machines.

Pure; sequence only: how much of a frame is tone is spectrum.py's, digits inband.py's, cadences signals.py's.
Driven by receiving.py, once a frame. A frame of silence costs two operations, one of speech a small product.

A tone is no speech: `sounding` says that the frame should not be heard. What has passed by then is at most the first
20 ms of a digit and 80 ms of any other tone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from telephony.media.inband import InbandKeys
from telephony.media.signals import PAIR_HZ, ProgressTones, ToneKind
from telephony.media.spectrum import BINS_HZ, Spectrum

QUIET_RMS: Final = 60.0  # -48 dBm0
PURE: Final = 0.9  # of the frame's energy in one tone
PURE_PAIR: Final = 0.8  # in two that beat against each other
HUSH: Final = 0.02  # of a tone's energy: what is 17 dB below it counts as silence

_LEAST_PEAK = 0.35  # the stronger of two tones that fill a frame has more, whatever their twist
_480, _620 = BINS_HZ.index(480.0), BINS_HZ.index(620.0)

_NOTHING: tuple[str, ToneKind | None] = ("", None)


class TonesHeard:
    """One caller's tones."""

    def __init__(self, rate_hz: int) -> None:
        self._spectrum = Spectrum(rate_hz)
        self._keys = InbandKeys(rate_hz, self._spectrum)
        self._progress = ProgressTones()
        self._quiet = QUIET_RMS * QUIET_RMS * (rate_hz // 50)
        self._tone_energy = 0.0
        self.sounding = False  # was the last frame a tone?

    def lasting(self, now: float) -> tuple[ToneKind, float] | None:
        """Busy or reorder if it sounds at this time, and for how many seconds."""
        return self._progress.lasting(now)

    def hear(self, frame: NDArray[np.int16], now: float) -> tuple[str, ToneKind | None]:
        """20 ms. Returns (digit, signal): a key press that is heard now or "", a signal that is clear now or None."""
        samples = frame.astype(np.float32)
        energy = float(samples @ samples)
        if energy < self._quiet:
            self.sounding = False
            self._keys.passed(samples)
            signal = self._progress.frame(0.0, True, now)
            return _NOTHING if signal is None else ("", signal)
        energies = self._spectrum.look(samples)
        peak = max(energies)
        if peak < _LEAST_PEAK * energy and not self._keys.sounding:  # speech
            self.sounding = False
            self._keys.passed(samples)
            signal = self._progress.frame(0.0, energy < HUSH * self._tone_energy, now)
            return _NOTHING if signal is None else ("", signal)
        hz = self._pitch(energies, peak, energy)
        digit = self._keys.frame(samples, energy, energies)
        if self._keys.sounding:
            hz = 0.0
        elif hz:
            self._tone_energy = energy
        hushed = self._keys.sounding or energy < HUSH * self._tone_energy
        signal = self._progress.frame(hz, hushed, now)
        self.sounding = self._keys.sounding or self._progress.sounding
        return digit, signal

    def _pitch(self, energies: list[float], peak: float, energy: float) -> float:
        """The one tone that fills the frame in Hz, PAIR_HZ for North American busy, 0.0 for anything else."""
        at = energies.index(peak)
        offset_hz = self._spectrum.offset_hz(at)
        if PURE <= peak / (energy * self._spectrum.share(offset_hz)) <= 2 - PURE:
            return BINS_HZ[at] + offset_hz
        low, high = energies[_480], energies[_620]
        if low + high >= PURE_PAIR * energy and low < 4 * high and high < 4 * low:
            return PAIR_HZ
        return 0.0
