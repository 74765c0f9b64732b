"""What a recogniser has been told and has not answered yet, to be told again to the one that takes over.

Pure. Outside a turn the last 400 ms are kept, since a turn begins a little before it is noticed. Driven by stt.py."""

from __future__ import annotations

from collections import deque
from enum import Enum

from pipeline.ports import FRAME_MS, Frame, SttStream

BEFORE_TURN_MS = 400


class _Mark(Enum):
    START = 1
    END = 2


class Retold:
    """Frames and marks of the unanswered turns, oldest first. keep_s: of sound, however long the turns are."""

    def __init__(self, keep_s: float) -> None:
        self._told: deque[Frame | _Mark] = deque()
        self._frames = self._marks = 0
        self._most = round(keep_s * 1000 / FRAME_MS)

    def push(self, frame: Frame) -> None:
        """20 ms of the caller."""
        self._told.append(frame.copy())
        self._frames += 1
        self._trim()

    def start_turn(self) -> None:
        self._told.append(_Mark.START)
        self._marks += 1

    def end_turn(self) -> None:
        self._told.append(_Mark.END)
        self._marks += 1

    def answered(self) -> None:
        """The oldest turn that has ended is answered: nobody needs to hear it again."""
        ends = next((place for place, item in enumerate(self._told) if item is _Mark.END), -1)
        for _ in range(ends + 1):
            if isinstance(self._told.popleft(), _Mark):
                self._marks -= 1
            else:
                self._frames -= 1
        self._trim()

    def tell(self, stream: SttStream) -> int:
        """All of it, in the order in which it happened. Returns how many frames it was."""
        for item in self._told:
            if item is _Mark.START:
                stream.start_turn()
            elif item is _Mark.END:
                stream.end_turn()
            elif not isinstance(item, _Mark):
                stream.push(item)
        return self._frames

    def _trim(self) -> None:
        """Drop the oldest sound beyond the limit; marks stay, each end of a turn is owed an answer."""
        most = self._most if self._marks else BEFORE_TURN_MS // FRAME_MS
        while self._frames > most:
            oldest = next(place for place, item in enumerate(self._told) if not isinstance(item, _Mark))
            del self._told[oldest]
            self._frames -= 1
