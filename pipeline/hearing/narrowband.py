"""A wideband call's sound as an 8000 Hz line would have brought it: every second sample, behind a low-pass filter.

For detectors that should decide alike on both (providers/silero.py). Pure; one instance a call, 7 µs a frame. Not for
anything that is heard by people: speaking/resample.py is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.ports import FRAME_MS, Frame

WIDE_HZ, NARROW_HZ = 16000, 8000
TAPS = 47  # half-band: flat to 3.4 kHz, 6 dB down at 4 kHz, 47 dB at 4.6 kHz; the sound is late by 1.4 ms
KAISER_BETA = 4.0


class Narrowband:
    """20 ms frames at 16000 Hz in, at 8000 Hz out."""

    def __init__(self) -> None:
        self._samples = WIDE_HZ * FRAME_MS // 1000
        self._kernel = _low_pass()
        self._sound = np.zeros(TAPS - 1 + self._samples, np.float32)
        self._halved = np.zeros(self._samples // 2, np.float32)

    def halved(self, frame: Frame) -> Frame:
        """The next 320 samples as 160. A frame of another length is silence."""
        sound = self._sound
        sound[: TAPS - 1] = sound[self._samples :]
        sound[TAPS - 1 :] = frame if len(frame) == self._samples else 0
        np.rint(np.convolve(sound, self._kernel, "valid")[1::2], out=self._halved)
        np.clip(self._halved, -32768, 32767, out=self._halved)
        halved: Frame = self._halved.astype(np.int16)
        return halved

    def reset(self) -> None:
        """Nothing was heard before."""
        self._sound.fill(0)


def _low_pass() -> NDArray[np.float32]:
    """A windowed sinc that ends at half the band."""
    at = np.arange(TAPS) - TAPS // 2
    kernel = np.sinc(at / 2) * np.kaiser(TAPS, KAISER_BETA)
    scaled: NDArray[np.float32] = (kernel / kernel.sum()).astype(np.float32)
    return scaled
