"""Our own voice coming back from the line, told from the caller's.

Pure. Told of every frame that leaves, asked about every frame that comes. How much comes back, and how late, is a
property of the call, so it is measured: what comes is an echo in so far as its power rises and falls with what was sent
some time before. Noise, hum and the caller do not rise and fall with us, so they cannot pass for one; they only leave
us longer in doubt. A caller counts who is louder than the line's noise, the echo and that doubt. Powers only: it judges
frames, it does not cancel sound."""

from __future__ import annotations

from math import log10, sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.ports import FRAME_MS, Frame

STEP_MS = 5  # delays are told apart so finely
STEPS = FRAME_MS // STEP_MS
DELAYS = 64  # of one step each, behind the newest frame that was sent: an echo comes back within 340 ms
CHANGES_HZ = 8000  # sound is judged by its changes in such a step: hum and rumble are loud and change slowly
AUDIBLE = 100.0**2  # power of our changes below which nothing can be measured

FLOOR_UP, FLOOR_DOWN = 1.01, 0.97  # the line's noise, each frame: a quarter of what is no echo is weaker
LEAST_FLOOR = 25.0**2  # hiss at -65 dBFS: nobody calls so softly; gaps and silence suppression are no floor
FLOOR_FRAMES = 10  # in which at first the weakest is the noise

AT_FIRST = 0.25**2  # of our loudest power of late, taken for echo until something was measured
STRONGEST = 10**-0.6  # nobody's echo comes back louder
WEAKEST_DB = -31.0  # an echo below that is none
FIRST_FRAMES = 25  # of our speech, until the measurement is worth more than that
MEMORY_FRAMES = 400  # of our speech, 8 s: a line may change
MEASURED_EVERY = 5  # frames
RUN_FRAMES = 3.0  # frames of speech are alike: so many tell as much as one
OUTLIER = 2.0  # what is so much louder than our loudest echo may be counts for no more than that
SURE = 3.0  # standard errors; what is less sure may be chance, and is only doubt
DOUBLE_TALK = 0.2  # what a frame counts while the caller speaks too

SPREAD_SHARE, SPREAD_STEP_DB = 0.9, 0.3  # the echo fluctuates: 90 % of it is within the spread
SPREAD_AT_FIRST_DB, NO_ECHO_DB = 3.0, 12.0  # what is stronger by this much is the caller
OVER_DB, LEAST_OVER_DB, MOST_OVER_DB = 2.5, 5.0, 9.0  # above the spread, and bounds: that is the caller
HOLD_AFTER, HOLD_FRAMES = 2, 10  # two loud frames: for 200 ms weaker ones are the caller's too
HELD_DB = 1.0
NOTHING_DB = -99.0

Powers = NDArray[np.float64]
Samples = NDArray[np.int16] | NDArray[np.float32]


class EchoGuard:
    """One call's echo. About 20 µs a frame while we speak, 5 µs while we do not."""

    def __init__(self) -> None:
        self.above_db = NOTHING_DB  # the newest frame, over echo and noise
        self._floor = float("inf")  # power of the line when nobody speaks
        self._heard_frames = 0
        self._coupling = 0.0  # what comes back of our power
        self._doubt = AT_FIRST  # and what may come beside it
        self._delay = 0  # of the echo, in steps
        self._spread_db = SPREAD_AT_FIRST_DB
        self._steps = [0.0] * STEPS  # power of the last 20 ms sent, step by step, the newest first
        self._sent: Powers = np.zeros(DELAYS)  # power of 20 ms that ended so many steps ago
        self._silent_frames = DELAYS
        self._frames = self._over = self._hold = 0
        # Means: of what comes and of its square, of what was sent for each delay, of its square, of both together.
        self._mean = self._mean_square = 0.0
        self._sent_mean, self._sent_square, self._together = np.zeros((3, DELAYS))

    @property
    def coupling_db(self) -> float | None:
        """What comes back, in dB of what we send; None until it was measured, and on a line without echo."""
        if self._coupling <= self._doubt:
            return None
        level_db = 10 * log10(self._coupling)
        return level_db if level_db >= WEAKEST_DB else None

    @property
    def may_return(self) -> bool:
        """Have we spoken so lately that an echo may come?"""
        return self._silent_frames * STEPS < DELAYS

    def sent(self, frame: Frame | None) -> None:
        """20 ms that leave for the phone; None for silence."""
        if frame is None and self._silent_frames > DELAYS:
            return
        before, sent = self._steps, self._sent
        newest = [0.0] * STEPS if frame is None else _powers(frame)
        self._steps = newest
        sent[STEPS:] = sent[:-STEPS].copy()  # what ended so long ago has only grown older
        steps_back = newest + before
        sent[:STEPS] = [sum(steps_back[step : step + STEPS]) for step in range(STEPS)]
        self._silent_frames = 0 if sum(newest) > AUDIBLE else self._silent_frames + 1

    def masks(self, frame: Samples) -> bool:
        """Is this frame no more than the line's noise and our echo may be?"""
        power = max(1.0, sum(_powers(frame)))
        if not self.may_return:
            self._follow_floor(power)
            self._over = self._hold = 0
            self.above_db = 10 * log10(power / self._floor)
            return False
        sent, delay = self._sent, self._delay
        echo = self._coupling * float(sent[max(0, delay - 1) : delay + 2].max())
        loudest = float(sent.max())
        doubt = self._doubt * loudest
        if power > 2 * echo or power < self._floor:
            self._follow_floor(max(power - echo, power / 2))
        most = self._coupling * loudest + doubt + self._floor
        self._measure(min(power, OUTLIER * most), DOUBLE_TALK if self._hold and power > most else 1.0)
        known = echo + self._floor
        above = power if self._hold else max(power - doubt, 1e-3)
        self.above_db = above_db = 10 * log10(above / known)
        if echo > self._floor and above_db < NO_ECHO_DB and not self._hold:
            up = above_db > self._spread_db
            self._spread_db += SPREAD_STEP_DB * (SPREAD_SHARE if up else SPREAD_SHARE - 1)
        return self._is_echo(above_db)

    def _is_echo(self, above_db: float) -> bool:
        if above_db >= min(max(self._spread_db + OVER_DB, LEAST_OVER_DB), MOST_OVER_DB):
            self._over += 1
            if self._over >= HOLD_AFTER:
                self._hold = HOLD_FRAMES
            return False
        self._over = 0
        if self._hold:
            self._hold -= 1
            return above_db < HELD_DB
        return True

    def _follow_floor(self, power: float) -> None:
        """Of all that is no echo, the level that a quarter lies below."""
        if self._heard_frames < FLOOR_FRAMES:
            self._heard_frames += 1
            self._floor = max(LEAST_FLOOR, min(power, self._floor))
        else:
            self._floor = max(LEAST_FLOOR, self._floor * (FLOOR_UP if power > self._floor else FLOOR_DOWN))

    def _measure(self, power: float, weight: float) -> None:
        """Follow how the power that comes varies with what was sent, for each delay."""
        sent = self._sent
        self._frames += 1
        learns = weight * max(1 / self._frames, 1 / MEMORY_FRAMES)
        self._mean += learns * (power - self._mean)
        self._mean_square += learns * (power * power - self._mean_square)
        self._sent_mean += learns * (sent - self._sent_mean)
        self._sent_square += learns * (sent * sent - self._sent_square)
        self._together += learns * (power * sent - self._together)
        if self._frames >= FIRST_FRAMES and self._frames % MEASURED_EVERY == 0:
            self._conclude()

    def _conclude(self) -> None:
        """The delay at which both vary most alike; there, the slope of the one over the other and its standard error:
        the line of least squares."""
        covariance = self._together - self._mean * self._sent_mean
        delay = self._delay = int(covariance.argmax())
        variance = float(self._sent_square[delay] - self._sent_mean[delay] ** 2)
        if variance <= AUDIBLE**2:
            return
        slope = max(0.0, float(covariance[delay]) / variance)
        rest = max(0.0, self._mean_square - self._mean**2 - slope * float(covariance[delay]))
        samples = min(self._frames, MEMORY_FRAMES) / RUN_FRAMES
        error = sqrt(rest / variance / samples)
        sure = slope > SURE * error
        self._coupling = min(slope, STRONGEST) if sure else 0.0
        self._doubt = min(AT_FIRST, error if sure else slope + error)


def _powers(frame: Samples) -> list[float]:
    """Power of the changes in each step of a frame, as its share of the whole frame's; the newest first."""
    size = len(frame)
    lag = max(1, size * 1000 // (FRAME_MS * CHANGES_HZ))
    if size < STEPS:
        return [0.0] * STEPS
    changes = np.zeros(size, np.float32)
    np.subtract(frame[lag:], frame[:-lag], out=changes[lag:], dtype=np.float32)
    steps = changes[: size // STEPS * STEPS].reshape(STEPS, -1)
    return [power / size for power in np.einsum("ij,ij->i", steps, steps)[::-1].tolist()]
