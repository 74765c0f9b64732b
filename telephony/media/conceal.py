"""Loss concealment: what a caller's missing 20 ms most likely sounded like.

Pure. The last pitch period is repeated and fades to silence within 60 ms, after the idea of G.711 Appendix I;
sound that comes back is blended in over 5 ms. Not the decision that something is missing (jitter.py). Driven
by receiving.py.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Frame: TypeAlias = NDArray[np.int16]

FADE_MS: Final = 60
_HISTORY_MS = 40
_SHORTEST_PITCH_MS = 2.5  # 400 Hz, a child
_LONGEST_PITCH_MS = 15  # 66 Hz, a deep voice
_TEMPLATE_MS = 10
_BLEND_MS = 5


class Concealer:
    """Remembers the last sound of one stream, and goes on from it. concealed: repeated samples, ever."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._fade = rate_hz * FADE_MS // 1000
        self._blend = rate_hz * _BLEND_MS // 1000
        self._rise = np.arange(1, self._blend + 1, dtype=np.float32) / (self._blend + 1)
        self.concealed = 0
        self.forget()

    def forget(self) -> None:
        """Another source: nothing of the old one may sound on."""
        self._last: Frame | None = None
        self._before: Frame | None = None
        self._period: NDArray[np.float32] | None = None
        self._missing = 0  # samples since the last real sound

    def heard(self, pcm: Frame) -> Frame:
        """Real sound. Returns it, its first 5 ms blended with the concealment it follows, if any."""
        if self._missing:
            pcm = self._blended(pcm)
            self._missing = 0
            self._period = None
        self._before, self._last = self._last, pcm
        return pcm

    def missing(self, samples: int) -> Frame:
        """Sound in place of what is missing: int16, shape (samples,); silence from 60 ms on."""
        left = self._fade - self._missing
        if left <= 0 or self._last is None:
            self._missing += samples
            return np.zeros(samples, np.int16)
        self.concealed += min(samples, left)
        out = self._continued(samples)
        self._missing += samples
        return out

    def _continued(self, samples: int) -> Frame:
        """The last pitch period, going on from where it stopped, ever softer."""
        if self._period is None:
            self._period = self._last_period()
        at = np.arange(self._missing, self._missing + samples)
        gain = np.maximum(0.0, 1.0 - (at + 1) / self._fade)
        return (self._period[at % len(self._period)] * gain).astype(np.int16)

    def _blended(self, pcm: Frame) -> Frame:
        count = min(self._blend, len(pcm))
        if self._missing >= self._fade or self._last is None or count == 0:
            tail: NDArray[np.int16] | int = 0
        else:
            tail = self._continued(count)
        rise = self._rise[:count]
        out = pcm.copy()
        out[:count] = pcm[:count] * rise + tail * (1 - rise)
        return out

    def _last_period(self) -> NDArray[np.float32]:
        """The newest stretch of sound that repeats itself best, found by normalised correlation."""
        assert self._last is not None
        parts = [part for part in (self._before, self._last) if part is not None]
        history = np.concatenate(parts)[-self._rate_hz * _HISTORY_MS // 1000 :].astype(np.float32)
        template = self._rate_hz * _TEMPLATE_MS // 1000
        shortest = int(self._rate_hz * _SHORTEST_PITCH_MS / 1000)
        longest = min(self._rate_hz * _LONGEST_PITCH_MS // 1000, len(history) - template)
        if longest <= shortest:
            return history
        newest = history[-template:]
        searched = history[-template - longest : -shortest]
        match = np.correlate(searched, newest, "valid")  # index 0 is the longest lag
        energy = np.convolve(searched * searched, np.ones(template, np.float32), "valid")
        score = match / np.sqrt(energy + 1.0)
        lag = longest - int(np.argmax(score))
        return history[-lag:]


def joined(left_out: Frame, following: Frame, rate_hz: int) -> Frame:
    """`following` with its first 5 ms blended from `left_out`, so that leaving a frame out does not click."""
    count = min(rate_hz * _BLEND_MS // 1000, len(left_out), len(following))
    rise = np.arange(1, count + 1, dtype=np.float32) / (count + 1)
    out = following.copy()
    out[:count] = following[:count] * rise + left_out[:count] * (1 - rise)
    return out
