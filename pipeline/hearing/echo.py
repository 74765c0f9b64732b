"""Our own voice coming back from the line, told from the caller's.

Pure. Told of every frame that leaves, asked about every frame that comes. How much comes back, and how late, is a
property of the call, so it is measured: a caller only adds to what comes, so for the echo's true delay the weakest
part of what comes back, relative to what was sent that long ago, is the echo. On a clean line it is next to nothing,
and quiet callers are heard. Powers only: it masks frames, it does not cancel sound."""

from __future__ import annotations

from math import log10

import numpy as np

from pipeline.hearing.echo_level import EchoLevel
from pipeline.ports import FRAME_MS, Frame

STEP_MS = 5  # delays are told apart so finely
STEPS = FRAME_MS // STEP_MS
DELAYS = 64  # of one step each, behind the newest frame that was sent: an echo comes back within 340 ms
AUDIBLE = 150.0**2  # power of what we send below which nothing can be measured

BACKGROUND_RISES = 1.02  # each frame in which we are silent: 4 dB a second; it falls at once
ABOVE_BACKGROUND = 2.0  # what is weaker was there before we spoke: noise, music

LEARNING_FRAMES = 25  # of our speech, until a delay is measured
AT_FIRST = 0.25**2  # of our loudest power of late, taken for echo until then
STRONGEST = 10**-0.6  # nobody's echo comes back louder
WEAKEST_DB = -31.0  # an echo below that against our voice is none

SHARE = 0.12  # of what comes back at the right delay is weaker than the measured coupling
COARSE_DB, FINE_DB, COARSE_FRAMES = 4.0, 0.05, 10  # steps of the measurement: large at first, small later

SPREAD_SHARE, SPREAD_STEP_DB = 0.9, 0.3  # the echo fluctuates: 90 % of it is within the spread
SPREAD_AT_FIRST_DB, NO_ECHO_DB = 5.0, 12.0  # what is stronger by this much is the caller
OVER_DB, LEAST_OVER_DB, MOST_OVER_DB = 3.0, 6.0, 11.0  # above the spread, and bounds: that is the caller
HOLD_AFTER, HOLD_FRAMES = 2, 10  # two loud frames: for 200 ms weaker ones are the caller's too
LEAST_HELD_DB = 1.5


class EchoGuard:
    """One call's echo. About 10 µs a frame while we speak, next to nothing while we do not."""

    def __init__(self) -> None:
        self._level = EchoLevel()
        self.silent = True  # nothing of ours can come back with the newest frame
        self.was_there = False  # it is no louder than what is on the line while we are silent
        self._steps = [0.0] * STEPS  # power of the last 20 ms sent, step by step, the newest first
        self._sent = np.zeros(DELAYS)  # power of 20 ms that ended so many steps ago
        self._silent_frames = DELAYS
        self._background = float("inf")  # power of what comes while we are silent, at its weakest
        self._coupling = np.full(DELAYS, STRONGEST)  # measured, of power, for each delay
        self._weakest = float("inf")  # power of what came while we spoke: the noise of the line, or less
        self._known = np.zeros(DELAYS)  # frames it was measured by
        self._all_known = False
        self._spread_db = SPREAD_AT_FIRST_DB
        self._frames = self._over = self._hold = 0

    @property
    def coupling_db(self) -> float | None:
        """What comes back, in dB of what we send; None until it was measured, and on a line without echo."""
        level = self._coupling[self._delay()]
        if self._known.max() < LEARNING_FRAMES:
            return None
        level_db = 10 * log10(float(level)) + self._spread_db
        return level_db if level_db >= WEAKEST_DB else None

    @property
    def may_return(self) -> bool:
        """Have we spoken so lately that an echo may come?"""
        return self._silent_frames * STEPS < DELAYS

    def sent(self, frame: Frame | None) -> None:
        """20 ms that leave for the phone; None for silence."""
        if frame is None and self._silent_frames > DELAYS:
            self._level.sent(0.0)
            return
        before, sent = self._steps, self._sent
        if frame is None or not len(frame):
            newest = [0.0] * STEPS
        else:
            steps = frame[: len(frame) // STEPS * STEPS].reshape(STEPS, -1).astype(np.float32)
            newest = [power / len(frame) for power in np.einsum("ij,ij->i", steps, steps)[::-1].tolist()]
        self._steps = newest
        sent[STEPS:] = sent[:-STEPS].copy()  # what ended so long ago has only grown older
        steps_back = newest + before
        sent[:STEPS] = [sum(steps_back[step : step + STEPS]) for step in range(STEPS)]
        power = sum(newest)
        self._level.sent(power)
        self._silent_frames = 0 if power > AUDIBLE else self._silent_frames + 1

    def suspects(self, power: float) -> bool:
        """Is such a frame no louder than our voice may come back on this line, with any delay?"""
        return self._level.suspects(power)

    def masks(self, power: float) -> bool:
        """Is a frame of that power (mean square) no louder than our echo may be?"""
        self.silent = not self.may_return
        if self.silent:
            self._background = max(1.0, min(power, self._background * BACKGROUND_RISES))
        self.was_there = self._was_there(power)
        if self.silent:
            return False
        self._weakest = max(1.0, min(power, self._weakest))
        self._measure(power)
        delay = self._delay()
        if self._known[delay] < LEARNING_FRAMES:
            return power < AT_FIRST * float(self._sent.max()) and not self._was_there(power)
        level = float(self._coupling[delay])
        if 10 * log10(level) + self._spread_db < WEAKEST_DB:
            return False
        sent = float(self._sent[max(0, delay - 1) : delay + 2].max())
        above_db = 10 * log10(max(power, 1e-3) / max(level * sent, 1e-3))
        if sent > AUDIBLE and above_db < NO_ECHO_DB and not self._hold:
            up = above_db > self._spread_db
            self._spread_db += SPREAD_STEP_DB * (SPREAD_SHARE if up else SPREAD_SHARE - 1)
        if self._was_there(power):
            return False
        if power < self._weakest * ABOVE_BACKGROUND:
            return True  # nobody speaks so softly; against an echo of nothing it would be loud
        return self._is_echo(above_db)

    def _delay(self) -> int:
        """The echo's, in steps: that of the strongest coupling which is measured."""
        if not self._all_known:
            self._all_known = bool(self._known.min() >= LEARNING_FRAMES)
            return int(np.where(self._known >= LEARNING_FRAMES, self._coupling, 0.0).argmax())
        return int(self._coupling.argmax())

    def _was_there(self, power: float) -> bool:
        """Did it sound like that before we spoke?"""
        return self._background < float("inf") and power < self._background * ABOVE_BACKGROUND

    def _measure(self, power: float) -> None:
        """Follow, for each delay, the level below which SHARE of the frames are: down in large steps, up in small."""
        self._frames += 1
        step_db = max(FINE_DB, COARSE_DB / (1 + self._frames / COARSE_FRAMES))
        up, down = 10 ** (SHARE * step_db / 10), 10 ** ((SHARE - 1) * step_db / 10)
        coupling, sent = self._coupling, self._sent
        loud = sent >= AUDIBLE
        if not self._all_known:
            self._known += loud
        np.multiply(coupling, np.where(power < coupling * sent, down, up), out=coupling, where=loud)
        np.minimum(coupling, STRONGEST, out=coupling)
        np.maximum(coupling, 1e-9, out=coupling)

    def _is_echo(self, above_db: float) -> bool:
        """above_db: how much stronger a frame is than the measured echo."""
        if above_db >= min(max(self._spread_db + OVER_DB, LEAST_OVER_DB), MOST_OVER_DB):
            self._over += 1
            if self._over >= HOLD_AFTER:
                self._hold = HOLD_FRAMES
            return False
        self._over = 0
        if self._hold:
            self._hold -= 1
            return above_db < max(LEAST_HELD_DB, self._spread_db)
        return True
