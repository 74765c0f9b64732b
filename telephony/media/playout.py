"""What the agent has to say, waiting for the phone: a queue of speech that the media clock empties.

Pure. It has the shape of the conversation's AudioOut without knowing it. Positions count samples of speech
that left, never silence between replies, so that history knows what was heard to the packet. `pull` is the clock's,
everything else the conversation's.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError

Frame: TypeAlias = NDArray[np.int16]

FRAME_MS: Final = 20
DUCKED: Final = 10 ** (-12 / 20)
REMEMBERED_S: Final = 3  # how far back speech can be resumed


class Playout:
    """One call's speech queue."""

    def __init__(self, rate_hz: int, played: int = 0) -> None:
        """played: what another process has let go before."""
        self._rate_hz = rate_hz
        self._frame = rate_hz * FRAME_MS // 1000
        self._waiting: deque[Frame] = deque()
        self._offset = 0  # samples of the first chunk that have left
        self._queued = 0
        self._played = played
        self._gain = 1.0
        self._wanted_gain = 1.0
        self._paused = False
        self._ending: Frame | None = None  # the fade of a pause that has not left yet
        self._past: deque[Frame] = deque(maxlen=REMEMBERED_S * 1000 // FRAME_MS)  # what has left, newest last

    @property
    def rate_hz(self) -> int:
        return self._rate_hz

    @property
    def played(self) -> int:
        """Samples of speech that have left for the phone since the call began."""
        return self._played

    @property
    def queued(self) -> int:
        """Samples of speech that are waiting."""
        return self._queued

    def play(self, pcm: Frame) -> int:
        """Queue speech; returns the position at which it begins.

        pcm: int16 mono at rate_hz, any length, not to be changed afterwards. Raises MediaError otherwise."""
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise MediaError(
                f"Speech to play: {pcm.dtype} of shape {pcm.shape}. Give int16 mono, shape (n,)."
            )
        begins = self._played + self._queued
        if len(pcm):
            self._waiting.append(pcm)
            self._queued += len(pcm)
        return begins

    def pull(self) -> Frame | None:
        """The next 20 ms, the last piece filled up with silence; None while there is nothing to say.

        Returns int16, shape (rate_hz // 50,), not to be changed by the caller."""
        if self._paused:
            ending, self._ending = self._ending, None
            return ending
        if not self._queued:
            self._gain = self._wanted_gain  # nobody hears a change in silence
            return None
        frame = self._take()
        if self._gain != 1.0 or self._wanted_gain != 1.0:
            frame = self._levelled(frame)
        return frame

    def flush(self) -> int:
        """Drop what waits, but for a fade of 20 ms; returns the position where speech ends, fade included."""
        if self._paused:
            self._paused = False
            self._gain = self._wanted_gain = 1.0
            ending, self._ending = self._ending, None
            self._waiting.clear()
            self._offset = self._queued = 0
            if ending is not None:
                self._played -= len(ending)
                self._waiting.append(ending)
                self._queued = len(ending)
            return self._played + self._queued
        size = min(self._frame, self._queued)
        if size:
            ending = self._take()[:size]
            self._past.clear()
            self._played -= size
            self._waiting = deque([_faded(ending)])
            self._offset = 0
            self._queued = size
        return self._played + self._queued

    def pause(self) -> int:
        """Fall silent within 20 ms and keep what waits; returns the position where speech stops, fade included."""
        if not self._paused:
            self._paused = True
            if self._queued:
                self._ending = _faded(self._take())
        return self._played

    def resume(self, position: int) -> None:
        """Go on from `position`, which may lie up to 3 s back: as far as that, what was said is said again."""
        if not self._paused:
            return
        self._paused = False
        self._ending = None
        self._gain, self._wanted_gain = 0.0, 1.0  # come back softly
        back = self._played - position
        if back > 0 and self._past:
            past = np.concatenate(self._past)[-back:]
            if self._offset:
                self._waiting[0] = self._waiting[0][self._offset :]
                self._offset = 0
            self._waiting.appendleft(past)
            self._queued += len(past)
            self._played -= len(past)
        self._past.clear()

    def duck(self, on: bool) -> None:
        """Lower speech by 12 dB, or bring it back; the change takes one frame, so that it does not click."""
        self._wanted_gain = DUCKED if on else 1.0

    def _take(self) -> Frame:
        size, chunk, start = self._frame, self._waiting[0], self._offset
        end = start + size
        if end < len(chunk):  # the common case: a slice, nothing copied
            self._offset = end
            self._queued -= size
            self._played += size
            self._past.append(chunk[start:end])
            return chunk[start:end]
        frame = np.zeros(size, np.int16)
        filled = 0
        while filled < size and self._waiting:
            chunk = self._waiting[0]
            part = chunk[self._offset : self._offset + size - filled]
            frame[filled : filled + len(part)] = part
            filled += len(part)
            self._offset += len(part)
            if self._offset == len(chunk):
                self._waiting.popleft()
                self._offset = 0
        self._queued -= filled
        self._played += filled
        self._past.append(frame[:filled])
        return frame

    def _levelled(self, frame: Frame) -> Frame:
        if self._gain == self._wanted_gain:
            return (frame * np.float32(self._gain)).astype(np.int16)
        ramp = np.linspace(self._gain, self._wanted_gain, len(frame), dtype=np.float32)
        self._gain = self._wanted_gain
        return (frame * ramp).astype(np.int16)


def _faded(frame: Frame) -> Frame:
    fall = 1.0 - np.arange(1, len(frame) + 1, dtype=np.float32) / len(frame)
    return (frame * fall).astype(np.int16)
