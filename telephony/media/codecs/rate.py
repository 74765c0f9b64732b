"""From one PCM rate to another within a call, streaming: every sample that goes in comes out at once.

Pure. Only whole ratios, up or down (48 → 16, 16 → 8, 8 → 16 kHz): what a codec gives against what the call
runs at. Not the voice's own rate (pipeline's resampler) and not clock skew (jitter.py). Driven by codecs/.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError

Frame: TypeAlias = NDArray[np.int16]

REACH: Final = 16  # samples of the lower rate that the filter looks ahead: 2 ms of delay at 8 kHz, 1 at 16
_CUTOFF: Final = 0.46  # of the lower rate; 0.5 is its Nyquist frequency
_KAISER_BETA: Final = 7.0  # alias 70 dB down


class Converter:
    """int16 at `from_hz` in, at `to_hz` out, one direction of one call. The delay is REACH samples, always."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        high, low = max(from_hz, to_hz), min(from_hz, to_hz)
        if high % low:
            raise MediaError(f"{from_hz} Hz to {to_hz} Hz: no whole ratio. Use 8000, 16000 or 48000 Hz.")
        self._factor = high // low
        self._up = to_hz > from_hz
        taps = _low_pass(self._factor)
        # One filter a phase, for both ways: an output sample up is one of them, down it is their sum.
        self._phases = [np.ascontiguousarray(taps[phase :: self._factor]) for phase in range(self._factor)]
        past = 2 * REACH - 1 if self._up else 2 * REACH * self._factor - self._factor
        self._past: NDArray[np.float32] = np.zeros(past, np.float32)

    def feed(self, pcm: Frame) -> Frame:
        """The next samples. Going down their number must be a multiple of the ratio, as 20 ms always are."""
        heard = np.concatenate((self._past, pcm.astype(np.float32)))
        self._past = heard[len(heard) - len(self._past) :]
        out = self._raised(heard, len(pcm)) if self._up else self._lowered(heard)
        return np.clip(np.rint(out), -32768, 32767).astype(np.int16)

    def _raised(self, heard: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        out = np.empty(count * self._factor, np.float32)
        for phase, taps in enumerate(self._phases):
            out[phase :: self._factor] = np.convolve(heard, taps, "valid") * self._factor
        return out

    def _lowered(self, heard: NDArray[np.float32]) -> NDArray[np.float32]:
        last = self._factor - 1
        parts = [
            np.convolve(heard[last - phase :: self._factor], taps, "valid")
            for phase, taps in enumerate(self._phases)
        ]
        out: NDArray[np.float32] = np.sum(parts, axis=0, dtype=np.float32)
        return out


def _low_pass(factor: int) -> NDArray[np.float32]:
    """A windowed sinc at the higher rate, 2 * REACH samples of the lower one long, sum 1."""
    size = 2 * REACH * factor
    at = np.arange(size) - (size - 1) / 2
    taps = np.sinc(2 * _CUTOFF / factor * at) * np.kaiser(size, _KAISER_BETA)
    scaled: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return scaled
