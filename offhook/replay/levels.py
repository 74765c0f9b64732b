"""Who made sound when, in a whole recording, by level alone. Pure.

Good enough for where an utterance begins and ends; whether it is a voice is for the pipeline to find out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Sound: TypeAlias = NDArray[np.int16]

FRAME_MS = 20
LEAST_DB = -45.0  # of full scale: the quietest voice on a quiet line
ABOVE_NOISE_DB = 12.0
LOUDEST_NOISE_DB = -35.0  # a line that is never quiet has speech for its quietest frames
NOISE_SHARE = 0.1  # of the frames that are not digital silence, the quietest
LEAST_S = 0.1  # a click is no speech
BLOCK_FRAMES = 50_000  # so that hours of sound take no hours of memory


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of sound, in s from the beginning."""

    start_s: float
    end_s: float


def spans(pcm: Sound, rate_hz: int, pause_s: float = 0.6) -> list[Span]:
    """The stretches of sound; pauses shorter than pause_s belong to them."""
    loud = np.flatnonzero(_loud(pcm, rate_hz))
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > pause_s * 1000 / FRAME_MS)
    firsts = loud[np.concatenate(([0], breaks + 1))]
    lasts = loud[np.concatenate((breaks, [len(loud) - 1]))]
    found = [
        Span(round(int(first) * FRAME_MS / 1000, 3), round((int(last) + 1) * FRAME_MS / 1000, 3))
        for first, last in zip(firsts, lasts, strict=True)
    ]
    return [span for span in found if span.end_s - span.start_s >= LEAST_S]


def _loud(pcm: Sound, rate_hz: int) -> NDArray[np.bool_]:
    """For each 20 ms: is it louder than the line's noise?"""
    size = rate_hz * FRAME_MS // 1000
    count = len(pcm) // size
    power = np.empty(count, np.float32)
    for first in range(0, count, BLOCK_FRAMES):
        last = min(count, first + BLOCK_FRAMES)
        block = pcm[first * size : last * size].reshape(-1, size).astype(np.float32)
        power[first:last] = np.einsum("ij,ij->i", block, block) / size
    levels_db = 10 * np.log10(np.maximum(power, 1e-3)) - 90.31
    sounding = np.sort(levels_db[levels_db > -90.0])
    noise_db = float(sounding[int(len(sounding) * NOISE_SHARE)]) if len(sounding) else -90.0
    threshold_db = max(LEAST_DB, min(noise_db, LOUDEST_NOISE_DB) + ABOVE_NOISE_DB)
    return np.asarray(levels_db > threshold_db)
