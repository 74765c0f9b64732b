"""The sound of a turn for a recogniser that listens only while somebody speaks.

Pure. Voice activity needs some 200 ms to be sure, so a turn begins with what was heard just before. Driven by
the streams of such recognisers; not a voice activity detector.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

KEEP_MS = 400
_FRAME_MS = 20


class Preroll:
    """Holds the last 400 ms outside a turn; lets everything pass inside one."""

    def __init__(self) -> None:
        self.in_turn = False
        self._kept: deque[bytes] = deque(maxlen=KEEP_MS // _FRAME_MS)

    def push(self, frame: NDArray[np.int16]) -> bytes | None:
        """20 ms of the caller. Returns them as bytes inside a turn, None outside."""
        pcm = frame.tobytes()
        if self.in_turn:
            return pcm
        self._kept.append(pcm)
        return None

    def start(self) -> bytes | None:
        """A turn begins: returns what was kept, None if one is going on already."""
        if self.in_turn:
            return None
        self.in_turn = True
        kept = b"".join(self._kept)
        self._kept.clear()  # sound belongs to one turn only
        return kept

    def end(self) -> bool:
        """The turn is over. False if there was none."""
        was, self.in_turn = self.in_turn, False
        return was
