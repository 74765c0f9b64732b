"""A voice's sample rate to the call's, as it streams. PyAV's swresample, with a small constant delay.

Not for the clock: it runs once a chunk of speech (about 25 µs for 20 ms). One instance a reply (1 ms to make,
140 kB); the library is loaded when the first rate really has to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.ports import Frame

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler

EMPTY = np.zeros(0, np.int16)


class Resampler:
    """int16 mono at `from_hz` in, at `to_hz` out. Equal rates pass through untouched.

    Output lines up with the input, sample 0 on sample 0; the last 2 ms (16 samples of the lower rate) wait for what
    comes next or for `finish`.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self.from_hz, self.to_hz = from_hz, to_hz
        self._swr = _swr(to_hz) if from_hz != to_hz else None

    def feed(self, pcm: Frame) -> Frame:
        """The next samples, any number; returns those that are ready, maybe none."""
        if self._swr is None or not len(pcm):
            return pcm
        from av import AudioFrame

        frame = AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self.from_hz
        return _joined(self._swr.resample(frame))

    def finish(self) -> Frame:
        """The samples still inside. The next `feed` begins a new sound."""
        if self._swr is None:
            return EMPTY
        rest = _joined(self._swr.resample(None))
        self._swr = _swr(self.to_hz)
        return rest


def _swr(to_hz: int) -> AudioResampler:
    from av import AudioResampler

    return AudioResampler(format="s16", layout="mono", rate=to_hz)


def _joined(frames: list[AudioFrame]) -> Frame:
    parts: list[Frame] = [frame.to_ndarray()[0] for frame in frames]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else EMPTY
