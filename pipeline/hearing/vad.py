"""When the caller speaks: scores of single frames made into speech that began and ended.

Pure. Driven by listening.py, once a frame. Says what the ear noticed, with times traced back to when it
happened; whether that is a turn or an interruption is turn.py's business."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import log10

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.echo import EchoGuard
from pipeline.ports import FRAME_MS, Frame, Vad

FRAME_S = FRAME_MS / 1000
SILENCE_DB = -96.0
FULL_SCALE_DB = 90.309  # 20 log 32768
FORGETS = 0.995  # of the loudest, each frame: -1 dB a second
FADED = 10**-3.3  # so much weaker than the loudest frame, speech is over, though a detector still hears it
BRIGHTENS = 0.97  # 6 dB an octave: rumble and hum hide no end of speech
ABOVE_FLOOR = 1.3  # so much stronger than the noise before it, a frame is speech; part dev of tests/turns
RISEN = 3.0  # so much stronger than the noise, a frame may be the beginning of speech
RISES_FRAMES = 6  # so long a detector may take to hear in it what it is
PLOSIVE_FRAMES = 3  # a silence as short as this is no end of it
HARDLY_LESS = 0.1  # speech as loud as this against its loudest frame is never taken for noise
ECHO_FADES = 10**-0.1  # each frame, 1 dB: how long a detector may go on hearing an echo that is over
FLOOR_RISES, FLOOR_FALLS = 1.02, 0.7  # each frame: 4 dB a second; a lost packet is no silence
EMPTY = 16.0  # power below the steps of mu-law: a frame that was never sent or is muted tells nothing of the noise

STIRS = 6  # points that make a first sign of a caller,
SETTLES_FRAMES = 8  # and frames without any that take it back
LIKELY, LIKELY_DB, LIKELY_POINTS = 0.1, 3.0, 3  # a frame that may be speech, so much above echo and noise
LOUD_DB, LOUD_POINTS = 6.0, 2  # a frame that is only loud: detectors are late


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    """The caller began to speak."""

    at: float  # loop time, s: when it began, not when it was noticed


@dataclass(frozen=True, slots=True)
class VoiceStirred:
    """A first sign of the caller, not yet speech. VoiceStarted or VoiceSettled follows."""


@dataclass(frozen=True, slots=True)
class VoiceSettled:
    """It was nothing."""


@dataclass(frozen=True, slots=True)
class VoiceStopped:
    """The caller fell silent, perhaps only for a breath."""

    at: float  # loop time, s: the end of the last frame with speech


VoiceEvent = VoiceStirred | VoiceSettled | VoiceStarted | VoiceStopped


class VoiceActivity:
    """One call's speech, from frame scores.

    Speech begins with a score of `activation` and goes on while it stays at `deactivation` or above. It counts after
    start_ms, which clicks do not reach, and has ended after stop_ms of quiet.
    reaction_ms: how long after the true beginning the first high score comes, on average. echo: says what is only
    our own voice coming back; with it first signs of a caller are told.
    """

    def __init__(
        self,
        vad: Vad,
        *,
        start_ms: int = 60,
        stop_ms: int = 120,
        activation: float = 0.5,
        deactivation: float = 0.35,
        reaction_ms: int = 40,
        echo: EchoGuard | None = None,
    ) -> None:
        self.speaking = False
        self.score = 0.0  # of the newest frame
        self._vad, self._echo = vad, echo
        self._start_frames = max(1, start_ms // FRAME_MS)
        self._stop_frames = max(1, stop_ms // FRAME_MS)
        self._activation, self._deactivation = activation, deactivation
        self._back_s = FRAME_S + reaction_ms / 1000
        self._frames = 0  # while silent: with speech, in a row; while speaking: without
        self._began = 0.0
        self._came_first = False
        self._ended = float("-inf")
        self._power = self._loudest = 0.0  # of the newest frame, and of this speech so far
        self._bright = self._brightest = 0.0  # the same with the low tones weakened
        self._brights = deque([0.0] * RISES_FRAMES, RISES_FRAMES)  # of the newest frames before this one
        self._floor = 0.0  # of the noise before it, 0.0 while nothing is known of it
        self._echoing = 0.0  # power of the echo that the detector last took for speech
        self._stirred = False
        self._points = self._calm = 0

    def heard(self, frame: Frame, now: float) -> VoiceEvent | None:
        """20 ms of the caller that ended at `now`. Returns a change, if there is one."""
        self._brights.append(self._bright)
        samples = frame.astype(np.float32)
        self._power = float(samples @ samples) / len(samples) if len(samples) else 0.0
        self._bright = self._brightened(samples)
        score = self._vad.probability(frame)
        if self._echo is None:
            self.score = score
            return self._changed(score, now)
        masked = self._is_echo(self._echo, samples, score)
        self.score = 0.0 if masked and not self._goes_on() else score
        return self._changed(self.score, now) or self._stirs(self._echo, masked, score)

    def break_off(self, now: float) -> VoiceStopped | None:
        """Nothing will be heard for a while, and what comes then is no continuation. Returns the end of speech
        that was going on."""
        spoke = self.speaking
        self.speaking, self.score, self._frames, self._loudest, self._power = False, 0.0, 0, 0.0, 0.0
        self._bright = self._brightest = 0.0
        self._calm = SETTLES_FRAMES  # what stirred settles with the next frame
        self._vad.reset()
        return VoiceStopped(min(self._ended, now)) if spoke else None

    @property
    def voiced(self) -> bool:
        """Could the newest frame belong to speech that is going on?"""
        return self.score >= self._deactivation

    @property
    def stirs(self) -> bool:
        """Did something begin in the newest frames that may turn out to be speech?"""
        if self.speaking or self.voiced:
            return True
        risen = max(self._floor * RISEN, EMPTY)
        return self._bright > risen or any(self._brights[-age] > risen for age in range(1, PLOSIVE_FRAMES))

    @property
    def level_db(self) -> float:
        """Level of the newest frame in dB below full scale, -96.0 for silence."""
        return max(10 * log10(self._power) - FULL_SCALE_DB, SILENCE_DB) if self._power > 0 else SILENCE_DB

    def _brightened(self, samples: NDArray[np.float32]) -> float:
        """Power of the newest frame behind a pre-emphasis filter, without filtering it."""
        if not len(samples):
            return 0.0
        neighbours = float(samples[1:] @ samples[:-1]) / len(samples)
        return max(0.0, (1 + BRIGHTENS**2) * self._power - 2 * BRIGHTENS * neighbours)

    def _goes_on(self) -> bool:
        """Could this frame belong to speech that began when there was nothing of ours to come back?"""
        return self.speaking and self._came_first and self._power > self._loudest * HARDLY_LESS

    def _is_echo(self, echo: EchoGuard, samples: NDArray[np.float32], score: float) -> bool:
        """Is it our own voice, or what the detector still hears of it: a high score of something that is weaker?"""
        masked = echo.masks(samples)
        if score < self._deactivation:
            self._echoing = 0.0
        elif masked and not self.speaking:
            self._echoing = max(self._echoing * ECHO_FADES, self._power)
        else:
            self._echoing *= ECHO_FADES
        return masked or self._power < self._echoing

    def _stirs(self, echo: EchoGuard, masked: bool, score: float) -> VoiceEvent | None:
        """Signs that come before the detector is sure, or that it never is."""
        if self.speaking:
            self._stirred, self._points = False, 0
            return None
        above_db = 0.0 if masked else echo.above_db
        if above_db < LIKELY_DB or (score < LIKELY and above_db < LOUD_DB):
            self._points, self._calm = 0, self._calm + 1
            if not self._stirred or self._calm < SETTLES_FRAMES:
                return None
            self._stirred = False
            return VoiceSettled()
        self._calm = 0
        self._points += LIKELY_POINTS if score >= LIKELY else LOUD_POINTS
        if self._stirred or self._points < STIRS:
            return None
        self._stirred = True
        return VoiceStirred()

    def _changed(self, score: float, now: float) -> VoiceStarted | VoiceStopped | None:
        return self._still_speaking(score, now) if self.speaking else self._still_silent(score, now)

    def _still_silent(self, score: float, now: float) -> VoiceStarted | None:
        if score < (self._deactivation if self._frames else self._activation):
            self._frames = 0
            if self._bright > EMPTY:
                known = self._floor or self._bright
                self._floor = max(known * FLOOR_FALLS, min(known * FLOOR_RISES, self._bright))
            return None
        if not self._frames:
            self._began = max(now - max(self._back_s, self._rising_s()), self._ended)
        self._frames += 1
        self._loudest = max(self._loudest, self._power)
        self._brightest = max(self._brightest, self._bright)
        if self._frames < self._start_frames:
            return None
        self.speaking, self._frames, self._ended = True, 0, now
        self._came_first = self._echo is not None and not self._echo.may_return
        return VoiceStarted(self._began)

    def _rising_s(self) -> float:
        """For how long has the sound been louder than the noise, the newest frame included?"""
        if self._echo is not None and self._echo.may_return:
            return 0.0  # our own voice rises too
        risen, frames = max(self._floor * RISEN, EMPTY), 1
        while frames <= RISES_FRAMES and self._brights[-frames] > risen:
            frames += 1
        return frames * FRAME_S

    def _still_speaking(self, score: float, now: float) -> VoiceStopped | None:
        if score >= self._deactivation:
            self._frames = 0
            self._loudest = max(self._loudest * FORGETS, self._power)
            self._brightest = brightest = max(self._brightest * FORGETS, self._bright)
            if self._bright > max(brightest * FADED, min(self._floor * ABOVE_FLOOR, brightest * HARDLY_LESS)):
                self._ended = now
            return None
        self._frames += 1
        if self._frames < self._stop_frames:
            return None
        self.speaking, self._frames, self._loudest, self._brightest = False, 0, 0.0, 0.0
        return VoiceStopped(self._ended)
