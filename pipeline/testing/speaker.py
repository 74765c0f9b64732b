"""An AudioOut for calls without a phone: what the agent says, waiting to be heard, as plain arrays.

Pure. It behaves as the real one (telephony/media/playout.py) to the sample, which a test holds it to, but is written
to be read, not to be fast."""

from __future__ import annotations

from collections import deque

import numpy as np

from pipeline.errors import PipelineError
from pipeline.ports import FRAME_MS, Frame

DUCKED = 10 ** (-12 / 20)
REMEMBERED_FRAMES = 150  # 3 s: how far back speech can be resumed
NOTHING = np.zeros(0, np.int16)


class Speaker:
    """One call's speech queue (ports.AudioOut)."""

    def __init__(self, rate_hz: int = 8000) -> None:
        self.rate_hz = rate_hz
        self.played = 0
        self._size = rate_hz * FRAME_MS // 1000
        self._waiting = NOTHING
        self._past: deque[Frame] = deque(maxlen=REMEMBERED_FRAMES)
        self._gain = self._wanted_gain = 1.0
        self._paused = False
        self._fade: Frame | None = None  # of a pause, not heard yet

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def play(self, pcm: Frame) -> int:
        """Raises PipelineError for anything but int16 mono."""
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise PipelineError(
                f"Speech to play: {pcm.dtype} of shape {pcm.shape}. Give int16 mono, shape (n,)."
            )
        begins = self.played + self.queued
        self._waiting = np.concatenate([self._waiting, pcm])
        return begins

    def pull(self) -> Frame | None:
        if self._paused:
            fade, self._fade = self._fade, None
            return fade
        if not self.queued:
            self._gain = self._wanted_gain
            return None
        frame = self._filled(self._take())
        if self._gain == self._wanted_gain == 1.0:
            return frame
        ramp = np.linspace(self._gain, self._wanted_gain, self._size, dtype=np.float32)
        self._gain = self._wanted_gain
        return (frame * ramp).astype(np.int16)

    def flush(self) -> int:
        if self._paused:
            fade = self._fade if self._fade is not None else NOTHING
            self._paused, self._fade = False, None
            self._gain = self._wanted_gain = 1.0
            self.played -= len(fade)
            self._waiting = fade
        elif self.queued:
            last = self._take()
            self._past.clear()
            self.played -= len(last)
            self._waiting = _faded(last)
        return self.played + self.queued

    def duck(self, on: bool) -> None:
        self._wanted_gain = DUCKED if on else 1.0

    def pause(self) -> int:
        if not self._paused:
            self._paused = True
            if self.queued:
                self._fade = _faded(self._filled(self._take()))
        return self.played

    def resume(self, position: int) -> None:
        if not self._paused:
            return
        self._paused, self._fade = False, None
        self._gain, self._wanted_gain = 0.0, 1.0
        back = self.played - position
        if back > 0 and self._past:
            again = np.concatenate(self._past)[-back:]
            self._waiting = np.concatenate([again, self._waiting])
            self.played -= len(again)
        self._past.clear()

    def _take(self) -> Frame:
        taken, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        self.played += len(taken)
        self._past.append(taken)
        return taken

    def _filled(self, frame: Frame) -> Frame:
        return np.concatenate([frame, np.zeros(self._size - len(frame), np.int16)])


def _faded(frame: Frame) -> Frame:
    fall = 1.0 - np.arange(1, len(frame) + 1, dtype=np.float32) / len(frame)
    return (frame * fall).astype(np.int16)
