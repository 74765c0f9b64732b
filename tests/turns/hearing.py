"""The ears alone: is each 10 ms speech or not, under noise, and what does knowing it cost?

Truth is where the clean clip is louder than 35 dB below its level, gaps under 150 ms filled. Breaths and tails count as
speech by that rule, which costs a good detector some two points of F1."""

from __future__ import annotations

from time import process_time

import numpy as np
from numpy.typing import NDArray

from pipeline.hearing.vad import VoiceActivity, VoiceStarted, VoiceStopped
from pipeline.providers.silero import silero_vad
from telephony.media.codecs.g711 import decode_ulaw, encode_ulaw
from tests.turns.figures import Figure
from tests.turns.line import CLEAN, Line, steady
from tests.turns.scenes import OPEN, build, turns
from tests.turns.sounds import FRAME, FULL_SCALE, LEVEL_DB, RATE_HZ, STEP, Sound, agent_track
from tests.turns.texts import Part

NOISES = (
    (CLEAN, None),
    (Line("pink 20 dB", "pink", 20), None),
    (Line("pink 10 dB", "pink", 10), None),
    (Line("pink 5 dB", "pink", 5), 0.94),
    (Line("babble 20 dB", "babble", 20), 0.93),
    (Line("babble 10 dB", "babble", 10), None),
)
TRUTH_DB = -35.0
FILLED = 15  # steps of 10 ms
Flags = NDArray[np.bool_]


def frames(part: Part, seed: int, count: int, reader: str) -> list[Figure]:
    """F1 for each noise, and the cost."""
    clean = _speech(part, seed, count, reader)
    truth = _truth(clean)
    found, spent = [], 0.0
    for line, least in NOISES:
        dice = np.random.default_rng([seed, 4])
        sound = clean + steady(line, len(clean), dice, (agent_track(reader),))
        pcm = decode_ulaw(encode_ulaw(np.clip(np.rint(sound), -32768, 32767).astype(np.int16)))
        began = process_time()
        heard = _heard(pcm, len(truth))
        spent += process_time() - began
        f1 = _f1(heard, truth)
        again = [_f1(heard[rows], truth[rows]) for rows in _blocks(len(truth), seed)]
        interval = (float(np.quantile(again, 0.025)), float(np.quantile(again, 0.975)))
        target = "" if least is None else f"≥ {least}"
        met = None if least is None else f1 >= least
        found.append(Figure("4", f"voice activity, {line.name}", f1, "F1", interval, count, "", target, met))
    cost = spent * 1000 / (len(NOISES) * len(clean) / RATE_HZ)
    found.append(
        Figure("4", "voice activity, CPU", cost, "ms/s", (cost, cost), count, "", "≤ 3 ms/s", cost <= 3)
    )
    return found


def _speech(part: Part, seed: int, count: int, reader: str) -> Sound:
    """Sentences with silence between them, nothing else on the line."""
    parts: list[Sound] = []
    for spec in turns(part, seed, count, OPEN[:1], (reader,)):
        scene = build(spec)
        quiet = np.zeros(RATE_HZ // 2, np.float32)
        parts += [quiet, scene.clean, quiet]
    sound = np.concatenate(parts)
    return sound[: len(sound) // FRAME * FRAME]


def _truth(clean: Sound) -> Flags:
    power = (clean[: len(clean) // STEP * STEP].reshape(-1, STEP) ** 2).mean(axis=1)
    level = FULL_SCALE * 10 ** ((LEVEL_DB + TRUTH_DB) / 20)
    flags: Flags = power > level**2
    edges = np.flatnonzero(np.diff(flags.astype(np.int8)))
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        if not flags[start + 1] and end - start < FILLED:
            flags[start + 1 : end + 1] = True
    return flags


def _heard(pcm: NDArray[np.int16], steps: int) -> Flags:
    """What the engine takes for speech: from each beginning to each end, as it traces them back."""
    activity, flags, began = VoiceActivity(silero_vad(RATE_HZ)), np.zeros(steps, np.bool_), 0.0
    for tick in range(len(pcm) // FRAME):
        change = activity.heard(pcm[tick * FRAME : (tick + 1) * FRAME], (tick + 1) * 0.02)
        if isinstance(change, VoiceStarted):
            began = change.at
        elif isinstance(change, VoiceStopped):
            flags[round(began * 100) : round(change.at * 100)] = True
    if activity.speaking:
        flags[round(began * 100) :] = True
    return flags


def _f1(heard: Flags, truth: Flags) -> float:
    both = float((heard & truth).sum())
    return 2 * both / max(1.0, float(heard.sum() + truth.sum()))


def _blocks(steps: int, seed: int, size: int = 500) -> list[NDArray[np.intp]]:
    """Bootstrap samples of 5 s blocks: neighbouring frames are no news."""
    dice, count = np.random.default_rng(seed), max(1, steps // size)
    offsets = np.arange(size)
    return [(dice.integers(0, count, count)[:, None] * size + offsets).ravel() for _ in range(200)]
