"""Key presses that come as plain sound (ITU-T Q.23), heard within the limits of Q.24.

Pure. For peers that agreed on no telephone-events; those are tones.py's. Driven by tones_heard.py, once a frame.

A digit is heard when two windows of 20 ms, 10 ms apart, hold nothing else: 40 ms always do, less than 20 ms never.
Pitch is right within 1.5 % and wrong from 3.5 % on; either tone may be the weaker one (-8 to +4 dB, Q.24 table A-1).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from telephony.media.spectrum import COLUMNS_HZ, ROWS_HZ, Samples, Spectrum

LEAST_SHARE: Final = 0.7  # of the frame's energy in the two tones; speech spreads
PITCH: Final = 0.025  # halfway between what must and what must not be a digit
TWIST: Final = (10**-0.95, 10**0.55)  # column over row: the limits and 1.5 dB of our own error
WEAKEST_RMS: Final = 560.0  # -29 dBm0, 4 dB below what must be heard
WHOLE: Final = 0.25  # the weakest 5 ms of a tone against the strongest
PAUSE: Final = 0.2  # of the energy while the key was down: a gap of 10 ms leaves half, one of 40 ms nothing
LOST_FRAMES: Final = 3  # without the digit and without a pause: somebody talks, the key is up

_KEYPAD = "123A456B789C*0#D"


class InbandKeys:
    """One caller's keypad. hears(): the digit when a press begins."""

    def __init__(self, rate_hz: int, spectrum: Spectrum) -> None:
        self._spectrum = spectrum
        self._size = rate_hz // 50
        self._weakest = WEAKEST_RMS * WEAKEST_RMS * self._size
        self._before: Samples = np.zeros(self._size, np.float32)
        self._seen = ""  # the digit that the last frame was full of
        self._held = ""
        self._level = 0.0  # energy of a frame while the key is down
        self._lost = 0

    @property
    def sounding(self) -> bool:
        """Is a key down, or was the last frame full of a digit?"""
        return bool(self._held or self._seen)

    def passed(self, samples: Samples) -> None:
        """20 ms that are no digit at all, instead of `frame`."""
        self._held = self._seen = ""
        self._before = samples

    def frame(self, samples: Samples, energy: float, energies: list[float]) -> str:
        """20 ms and what the spectrum shows of them. Returns the digit if a press is heard now, else ""."""
        seen, before = self._digit(samples, energy, energies), self._seen
        began = ""
        if self._held:
            self._hold(seen, energy)
        if not self._held:
            wanted = seen or before
            if wanted and (seen == before or self._between(samples) == wanted):
                began = self._held = wanted
                self._level = energy
                self._lost = 0
        self._before, self._seen = samples, seen
        return began

    def _hold(self, seen: str, energy: float) -> None:
        """Is the key still down?"""
        if seen == self._held:
            self._level = max(self._level, energy)
            self._lost = 0
            return
        self._lost += 1
        if seen or energy < PAUSE * self._level or self._lost >= LOST_FRAMES:
            self._held = self._seen = ""

    def _between(self, samples: Samples) -> str:
        """The digit in the last half of the frame before and the first half of this one."""
        half = self._size // 2
        window: Samples = np.concatenate((self._before[half:], samples[:half]))
        return self._digit(window, float(window @ window), self._spectrum.look(window))

    def _digit(self, samples: Samples, energy: float, energies: list[float]) -> str:
        """The digit that these 20 ms are full of, or ""."""
        rows, columns = energies[:4], energies[4:8]
        row, column = max(rows), max(columns)
        if row + column < LEAST_SHARE * energy or energy < self._weakest:
            return ""
        if not TWIST[0] * row <= column <= TWIST[1] * row:
            return ""
        row_at, column_at = rows.index(row), columns.index(column)
        offset_hz = self._spectrum.offset_hz
        if abs(offset_hz(row_at)) > PITCH * ROWS_HZ[row_at]:
            return ""
        if abs(offset_hz(4 + column_at)) > PITCH * COLUMNS_HZ[column_at]:
            return ""
        quarters = samples.reshape(4, -1)
        parts: list[float] = np.einsum("ij,ij->i", quarters, quarters).tolist()
        return _KEYPAD[4 * row_at + column_at] if min(parts) > WHOLE * max(parts) else ""
