"""What is played to the phone while nobody speaks: a looping sound, and how it makes way for speech.

Pure. The samples belong to everybody (progress.py makes tones, music.py reads files); a `Loop` is one call's
place in them. Not speech (playout.py). Driven by stream.py, once a tick.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError

Frame: TypeAlias = NDArray[np.int16]

BACK_AFTER_TICKS: Final = 25  # half a second: a pause between two sentences is not filled with music


class Source(Protocol):
    """Anything that can be played in the background."""

    def pull(self) -> Frame | None:
        """The next 20 ms, not to be changed; None once it is over. Called by the clock only."""


class Loop:
    """One call's way through a sound that others hear too. Nothing is copied but where it begins again."""

    def __init__(self, pcm: Frame, rate_hz: int, *, once: bool = False) -> None:
        """pcm: int16 mono at rate_hz, at least 20 ms, never changed. once: it is over at its end.

        Raises MediaError for less or for something else."""
        self._size = rate_hz // 50
        if pcm.dtype != np.int16 or pcm.ndim != 1 or len(pcm) < self._size:
            fact = f"{pcm.dtype} of shape {pcm.shape} at {rate_hz} Hz"
            raise MediaError(f"Sound to repeat: {fact}. Give int16 mono, 20 ms or more.")
        self._pcm, self._once, self._at = pcm, once, 0

    def pull(self) -> Frame | None:
        """int16, shape (rate_hz // 50,)."""
        start, end = self._at, self._at + self._size
        if end <= len(self._pcm):
            self._at = end
            return self._pcm[start:end]
        if not self._once:
            self._at = end - len(self._pcm)
            return np.concatenate((self._pcm[start:], self._pcm[: self._at]))
        self._at = len(self._pcm)
        rest = self._pcm[start:]
        return np.concatenate((rest, np.zeros(self._size - len(rest), np.int16))) if len(rest) else None


class Background:
    """The sound behind one call's speech. Speech has precedence: sound fades out under its first 20 ms, and
    comes back, softly too, when nothing was said for half a second."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._gain = 0.0  # at the end of the last frame that left
        self._rise = 1.0  # of the gain in one tick
        self._leaving = False
        self._quiet = BACK_AFTER_TICKS  # ticks since speech was heard

    def play(self, source: Source, fade_ticks: int = 1) -> None:
        """From the next tick on; what is played already gives way to it. fade_ticks: until it is at full level."""
        self._source, self._rise = source, 1.0 / max(1, fade_ticks)
        self._gain, self._quiet, self._leaving = 0.0, BACK_AFTER_TICKS, False

    def stop(self) -> None:
        """Over at once: what comes next is speech or silence."""
        self._source, self._gain = None, 0.0

    def fade(self) -> None:
        """Over within the next 20 ms, without a click."""
        self._leaving = True

    def under(self, speech: Frame | None) -> Frame | None:
        """What leaves in this tick. speech: 20 ms, or None if nobody speaks. The same shape, or None."""
        source = self._source
        if source is None:
            return speech
        self._quiet = min(self._quiet + 1, BACK_AFTER_TICKS) if speech is None else 0
        wanted = self._quiet >= BACK_AFTER_TICKS and not self._leaving
        before = self._gain
        self._gain = after = min(1.0, before + self._rise) if wanted else 0.0
        sound = source.pull() if before or after else None
        if sound is None:
            if wanted or self._leaving:
                self.stop()
            return speech
        if before == after == 1.0:
            return sound
        ramp = np.linspace(before, after, len(sound), dtype=np.float32)
        faded = sound * ramp
        if speech is not None:
            faded = np.clip(faded + speech, -32768, 32767)
        return faded.astype(np.int16)
