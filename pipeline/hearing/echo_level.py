"""How loud our own voice may come back, whenever it does: a rule of levels, for lines on which its delay is hidden.

Pure. Owned by echo.py, whose measurement by delays noise and hum can mislead; asked by vad.py beside it. An echo is
there whenever we speak, a caller only sometimes, so the quietest stretches of the line while we speak show it. On a
clean line nothing is suspected, and quiet callers are heard."""

from __future__ import annotations

from collections import deque

from pipeline.ports import FRAME_MS

MEMORY_FRAMES = 400 // FRAME_MS  # an echo comes back within that
SETTLING_FRAMES = 300 // FRAME_MS  # of each speech of ours: its echo may not be back yet
WINDOW_FRAMES = 500 // FRAME_MS
AT_FIRST = 0.25  # of our level, before anything is measured (-12 dB)
MARGIN = 1.8  # echo fluctuates: so much above what was measured is still echo
MOST = 0.6  # nobody's echo is stronger; a caller who talks all the time is no echo
AUDIBLE_RMS = 150.0  # what we send below that returns nothing


class EchoLevel:
    """One call's echo. coupling: what comes back of our level, 0.0 to 1.0; None until it was measured."""

    def __init__(self) -> None:
        self.coupling: float | None = None
        self._sent: deque[float] = deque([0.0] * MEMORY_FRAMES, maxlen=MEMORY_FRAMES)
        self._loudest = 0.0
        self._speaking_frames = 0
        self._window: list[float] = []

    def sent(self, power: float) -> None:
        """Power (mean square) of 20 ms that leave for the phone; 0.0 for silence."""
        rms = power**0.5
        oldest = self._sent[0]
        self._sent.append(rms)
        if rms >= self._loudest:
            self._loudest = rms
        elif oldest >= self._loudest:
            self._loudest = max(self._sent)
        self._speaking_frames = self._speaking_frames + 1 if rms > AUDIBLE_RMS else 0

    def suspects(self, power: float) -> bool:
        """Is a frame of that power (mean square) no louder than our echo may be?"""
        loudest = self._loudest
        if loudest < AUDIBLE_RMS:
            return False
        ratio = power**0.5 / loudest
        if self._speaking_frames > SETTLING_FRAMES:
            self._measure(ratio)
        coupling = AT_FIRST if self.coupling is None else self.coupling * MARGIN
        return bool(ratio < min(coupling, MOST))

    def _measure(self, ratio: float) -> None:
        window = self._window
        window.append(ratio)
        if len(window) == WINDOW_FRAMES:
            window.sort()
            loud = window[-2]
            window.clear()
            self.coupling = loud if self.coupling is None else min(self.coupling * 1.1, loud)
