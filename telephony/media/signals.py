"""Signals of networks and machines: busy, reorder, special information tones, an answering machine's beep, fax.

Pure: steady tones in, with their cadence told apart. Not their spectrum (spectrum.py) and not what becomes of the
call. Driven by tones_heard.py, once a frame. Times are counted in frames of 20 ms.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

ToneKind: TypeAlias = Literal["busy", "reorder", "sit", "beep", "fax_cng", "fax_ced"]
KINDS: Final[tuple[ToneKind, ...]] = ("busy", "reorder", "sit", "beep", "fax_cng", "fax_ced")

PAIR_HZ: Final = -1.0  # stands for 480 + 620 Hz, North American busy and reorder (ITU-T E.180)

STEADY_FRAMES: Final = 4  # what is steady for so long is no speech
_SAME_HZ = 15.0
_SIT_HZ = (950.0, 1400.0, 1800.0)  # E.180 §7, each ±50 Hz and 330 ms
_MANY_LOUD = 3  # frames at the edges of a tone that are neither tone nor silence


@dataclass(slots=True)
class Burst:
    """One stretch of one tone. gap: frames since; loud: those of them that were not quiet."""

    hz: float
    began: float  # loop time, s
    frames: int = 1
    gap: int = 0
    loud: int = 0
    told: bool = False  # it was part of something that was reported

    @property
    def clean(self) -> bool:
        """Was it silent after it?"""
        return self.loud <= _MANY_LOUD

    def sounds_like(self, hz: float) -> bool:
        return abs(self.hz - hz) <= _SAME_HZ


class ProgressTones:
    """What a call's tones mean. frame() returns each once: busy and reorder with the third burst of a row."""

    def __init__(self) -> None:
        self._past: deque[Burst] = deque(maxlen=2)
        self._burst: Burst | None = None
        self._other_hz = 0.0  # of the last frame, if it was another tone than the burst's
        self._sounding = False
        self._speech = 0  # frames of anything but tones and silence
        self._speech_at = float("-inf")
        self._fax: set[ToneKind] = set()
        self._cadence: ToneKind | None = None
        self._cadence_since = 0.0

    @property
    def sounding(self) -> bool:
        """Was the last frame part of a steady tone?"""
        return self._sounding

    def lasting(self, now: float) -> tuple[ToneKind, float] | None:
        """Busy or reorder if it sounds at this time, and for how many seconds by now."""
        return None if self._cadence is None else (self._cadence, now - self._cadence_since)

    def frame(self, hz: float, quiet: bool, now: float) -> ToneKind | None:
        """20 ms. hz: of the tone that fills them, PAIR_HZ, or 0.0 for none; quiet: there is next to nothing."""
        if hz:
            return self._tone(hz, now)
        self._sounding, self._other_hz = False, 0.0
        if not quiet:
            self._speech += 1
            self._speech_at = now
        burst = self._burst
        if burst is None:
            return None
        burst.gap += 1
        if not quiet:
            burst.loud += 1
        return self._after(burst)

    def _tone(self, hz: float, now: float) -> ToneKind | None:
        burst = self._burst
        if (
            burst is not None and burst.gap <= 1 and burst.sounds_like(hz)
        ):  # 2100 Hz turns its phase now and then
            burst.frames += 1 + burst.gap
            burst.gap = burst.loud = 0
        elif burst is not None and abs(hz - self._other_hz) > _SAME_HZ:
            self._other_hz = hz  # the edge of a tone may look like another one
            self._sounding = False
            burst.gap += 1
            burst.loud += 1
            return self._after(burst)
        else:
            if burst is not None:  # the frame before was its first
                burst.gap -= 1
                burst.loud -= 1
            burst = self._begin(hz, now)
        self._other_hz = 0.0
        self._sounding = burst.frames >= STEADY_FRAMES
        if burst.frames == 125 and abs(hz - 2100) <= 20:  # T.30 §4.3.3.3: 2.6 s at least
            return self._once("fax_ced")
        if burst.frames == 10 and self._is_sit(burst):
            for part in (*self._past, burst):
                part.told = True
            return "sit"
        return None

    def _begin(self, hz: float, now: float) -> Burst:
        last = self._burst
        if last is not None and last.frames >= STEADY_FRAMES:
            self._past.append(last)
        elif last is not None:  # a vowel that was a tone for a moment
            self._speech += last.frames
            self._past.clear()
        self._burst = Burst(hz, now, 1 if last is None else 2)
        return self._burst

    def _after(self, burst: Burst) -> ToneKind | None:
        """A tone is over for burst.gap frames."""
        if burst.gap == 2:
            if self._is_cng(burst) and (kind := self._once("fax_cng")):
                return kind
            return self._busy(burst)
        if burst.gap > 2 * burst.frames + 10:
            self._cadence = None
        if burst.gap == (38 if burst.hz <= 520 else 10) and self._is_beep(burst):
            burst.told = True
            return "beep"
        return None

    def _is_sit(self, burst: Burst) -> bool:
        """The third tone of a rising row (ITU-T E.180 §7)."""
        row = (*self._past, burst)
        return (
            len(row) == 3
            and all(abs(part.hz - hz) <= 60 for part, hz in zip(row, _SIT_HZ, strict=True))
            and all(10 <= part.frames <= 22 and part.gap <= 4 for part in self._past)
        )

    def _is_cng(self, burst: Burst) -> bool:
        """A fax calls: 1100 Hz for half a second every three (ITU-T T.30 §4.3.3.2, each ±15 %)."""
        last = self._past[-1] if self._past else None
        pair = (burst,) if last is None else (burst, last)
        return (
            last is not None
            and 125 <= last.gap <= 175
            and all(abs(part.hz - 1100) <= 40 and 19 <= part.frames <= 31 for part in pair)
        )

    def _busy(self, burst: Burst) -> ToneKind | None:
        """Three equal bursts with equal pauses (ITU-T E.180 §5, Supplement 2): longer ones are busy."""
        row = (*self._past, burst)
        kind: ToneKind | None = None
        if len(row) == 3 and (burst.hz == PAIR_HZ or 340 <= burst.hz <= 520):
            on = [part.frames for part in row]
            pauses = [part.gap for part in self._past]
            even = (
                8 <= min(on) <= max(on) <= 40
                and max(on) - min(on) <= 3
                and max(pauses) - min(pauses) <= 3
                and all(0.6 * burst.frames <= pause <= 1.6 * burst.frames for pause in pauses)
                and all(part.clean and part.sounds_like(burst.hz) for part in self._past)
            )
            if even:
                kind = "busy" if burst.frames >= 15 else "reorder"
        known, self._cadence = self._cadence, kind
        if kind is None or known is not None:
            return None
        self._cadence_since = row[0].began
        for part in row:
            part.told = True
        return kind

    def _is_beep(self, burst: Burst) -> bool:
        """One tone for a while, after somebody spoke and before silence: a machine records from here on."""
        return (
            not burst.told
            and self._cadence is None
            and 9 <= burst.frames <= 100
            and 380 <= burst.hz <= 2050
            and burst.clean
            and self._speech >= 15
            and burst.began - self._speech_at <= 5.0
        )

    def _once(self, kind: ToneKind) -> ToneKind | None:
        """Fax machines repeat themselves; one word about it is enough."""
        if kind in self._fax:
            return None
        self._fax.add(kind)
        return kind
