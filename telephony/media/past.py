"""The caller's last ten seconds, in memory that outlives the worker (vitals.py).

A recogniser that was listening when its worker died has lost what it heard of a turn; its successor is given it again
from here. Pure but for the memory. Driven by stream.py, one frame a tick."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Frame: TypeAlias = NDArray[np.int16]

FRAMES_A_SECOND = 50


class CallerPast:
    """A ring of frames. ticks: how many have been put in since the call began."""

    def __init__(self, memory: memoryview, rate_hz: int, ticks: int = 0) -> None:
        """memory: bytes of whole frames, int16 at rate_hz."""
        size = rate_hz // FRAMES_A_SECOND
        sound: Frame = np.frombuffer(memory, np.int16)
        self._frames = sound[: len(sound) // size * size].reshape(-1, size)
        self.ticks = ticks

    def put(self, frame: Frame) -> None:
        """The caller's newest 20 ms."""
        self._frames[self.ticks % len(self._frames)] = frame
        self.ticks += 1

    def since(self, tick: int) -> list[Frame]:
        """Copies of the frames from that tick on, oldest first; those that are overwritten are left out."""
        first = max(tick, self.ticks - len(self._frames), 0)
        return [self._frames[at % len(self._frames)].copy() for at in range(first, self.ticks)]
