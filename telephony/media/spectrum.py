"""How much of 20 ms of sound lies at the frequencies that telephone tones use, and at which pitch exactly.

Pure. One product of the frame with a fixed table: two overlapping Hann windows a frame, so that the phase between
them tells the pitch to a few Hz, which 20 ms of magnitude cannot. Not what a tone means: digits are inband.py's,
signals of the network signals.py's. Driven by tones_heard.py.
"""

from __future__ import annotations

from functools import lru_cache
from math import atan2, pi, sin
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]

ROWS_HZ: Final = (697.0, 770.0, 852.0, 941.0)  # ITU-T Q.23
COLUMNS_HZ: Final = (1209.0, 1336.0, 1477.0, 1633.0)
_LOW_HZ = (410.0, 480.0, 550.0, 620.0, 1025.0, 1100.0, 1270.0)
_HIGH_HZ = (1400.0, 1550.0, 1715.0, 1800.0, 1900.0, 2000.0, 2100.0)
BINS_HZ: Final = ROWS_HZ + COLUMNS_HZ + _LOW_HZ + _HIGH_HZ  # from 335 to 2175 Hz none is farther than 75 Hz

_COUNT = len(BINS_HZ)


class Spectrum:
    """The bins of one frame at a time. Frames are float32, shape (rate_hz // 50,)."""

    def __init__(self, rate_hz: int) -> None:
        self._table, self._lag_s, self._window_s = _table(rate_hz)
        self._bins: NDArray[np.float32] = np.zeros(4 * _COUNT, np.float32)

    def look(self, frame: Samples) -> list[float]:
        """Energy at each of BINS_HZ: a steady tone there has that of the frame, one 75 Hz away half of it less."""
        bins = self._bins = frame @ self._table
        energies: list[float] = (bins * bins).reshape(4, _COUNT).sum(0).tolist()
        return energies

    def offset_hz(self, index: int) -> float:
        """How far the tone near bin `index` of the last look lies above the bin; it wraps at 75 Hz."""
        bins = self._bins
        cos1, sin1 = float(bins[index]), float(bins[_COUNT + index])
        cos2, sin2 = float(bins[2 * _COUNT + index]), float(bins[3 * _COUNT + index])
        return atan2(sin1 * cos2 - cos1 * sin2, cos1 * cos2 + sin1 * sin2) / (2 * pi * self._lag_s)

    def share(self, offset_hz: float) -> float:
        """What a bin shows of the energy of a tone that lies offset_hz from it, 0.0 to 1.0."""
        x = abs(offset_hz) * self._window_s
        if x < 1e-3:
            return 1.0
        return float((sin(pi * x) / (pi * x) / (1 - x * x)) ** 2) if abs(x - 1) > 1e-3 else 0.25


@lru_cache(maxsize=4)
def _table(rate_hz: int) -> tuple[NDArray[np.float32], float, float]:
    """Columns: cosines and sines under the first window, then under the second. One for all calls of a rate."""
    size = rate_hz // 50
    width = 2 * size // 3
    lag = size - width
    window = np.hanning(width + 2)[1:-1]
    at = np.arange(size)[:, None] * (2 * np.pi / rate_hz) * np.array(BINS_HZ)[None, :]
    table = np.zeros((size, 4 * _COUNT))
    for part, start in enumerate((0, lag)):
        within = slice(start, start + width)
        left = 2 * part * _COUNT
        table[within, left : left + _COUNT] = window[:, None] * np.cos(at[within])
        table[within, left + _COUNT : left + 2 * _COUNT] = window[:, None] * np.sin(at[within])
    table *= np.sqrt(size) / window.sum()  # halves of the energy from either window
    return np.ascontiguousarray(table, np.float32), lag / rate_hz, (width + 1) / rate_hz
