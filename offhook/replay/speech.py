"""Who spoke when, found by listening: stretches of speech, and the caller's utterances among them.

Pure. The detector is the one that calls are heard with (Silero behind its gate), fed frame by frame on the recording's
own time. Used for recordings without a journal by recording.py; a bundle's journal knows better (formats/bundles.py).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from offhook.replay.formats.material import Pcm, Stretch, Utterance
from pipeline.hearing.vad import VoiceActivity, VoiceStarted, VoiceStopped
from pipeline.ports import FRAME_MS
from pipeline.providers.silero import silero_vad

FRAME_S = FRAME_MS / 1000
BREATH_S = 0.7  # a pause as short as this does not end an utterance, unless the agent begins in it
AGENT_BREATH_S = 1.0  # an agent pauses between sentences
TOO_SHORT_S = 0.08  # clicks
WAKES_S = 1.0  # so much of digital silence is put before sound that follows such silence
LINGERS_S = 1.5  # an interrupted agent speaks on for no longer
QUIET_RMS, HUSH_FRAMES = 100.0, 5  # -50 dBFS for 100 ms is silence
LEAST_OVERLAP_S = 0.1  # of a text's time and an utterance's, to belong together


def stretches(pcm: Pcm, rate_hz: int) -> list[Stretch]:
    """Everything that is speech in one channel, in order."""
    size = rate_hz * FRAME_MS // 1000
    activity = VoiceActivity(silero_vad(rate_hz))
    found: list[Stretch] = []
    began: float | None = None
    frames = len(pcm) // size
    sounding = np.asarray(pcm[: frames * size].reshape(frames, size).any(axis=1), np.bool_)
    for index in _worth_hearing(sounding):
        event = activity.heard(pcm[index * size : (index + 1) * size], (index + 1) * FRAME_S)
        if isinstance(event, VoiceStarted):
            began = max(0.0, event.at)
        elif isinstance(event, VoiceStopped) and began is not None:
            found.append(Stretch(round(began, 3), round(max(event.at, began), 3)))
            began = None
    if began is not None:
        found.append(Stretch(round(began, 3), round(frames * FRAME_S, 3)))
    return [stretch for stretch in found if stretch.end_s - stretch.start_s >= TOO_SHORT_S]


def lingering(pcm: Pcm, rate_hz: int, parts: Sequence[Stretch]) -> list[Stretch]:
    """An agent's speech up to where it is really silent: it speaks on, ducked, while a caller interrupts it, and a
    detector that waits for speech as loud as before lets go too early."""
    size = rate_hz * FRAME_MS // 1000
    limit = round(LINGERS_S / FRAME_S)
    out: list[Stretch] = []
    for index, part in enumerate(parts):
        first = round(part.end_s / FRAME_S)
        last = min(len(pcm) // size, first + limit)
        if index + 1 < len(parts):
            last = min(last, round(parts[index + 1].start_s / FRAME_S))
        frames = pcm[first * size : max(first, last) * size].reshape(-1, size).astype(np.float32)
        quiet = np.sqrt((frames**2).mean(axis=1)) < QUIET_RMS
        hush = np.convolve(quiet, np.ones(HUSH_FRAMES), "valid") >= HUSH_FRAMES if len(quiet) else quiet
        more = (
            int(np.argmax(hush)) if hush.any() else 0
        )  # never quiet: that is noise, and the detector knew better
        out.append(Stretch(part.start_s, round(max(part.end_s, (first + more) * FRAME_S), 3)))
    return out


def _worth_hearing(sounding: NDArray[np.bool_]) -> list[int]:
    """Frames with sound, and those of digital silence within WAKES_S of one: hours of nothing cost nothing."""
    margin = round(WAKES_S / FRAME_S)
    changes = np.zeros(len(sounding) + 1, np.int32)
    at = np.flatnonzero(sounding)
    np.add.at(changes, np.maximum(at - margin, 0), 1)
    np.add.at(changes, np.minimum(at + margin + 1, len(sounding)), -1)
    near: list[int] = np.flatnonzero(np.cumsum(changes[:-1]) > 0).tolist()
    return near


def joined(parts: Sequence[Stretch], others: Sequence[Stretch], breath_s: float) -> list[Stretch]:
    """The same speech without its short pauses; a pause in which the other side begins is kept."""
    starts = [other.start_s for other in others]
    out: list[Stretch] = []
    for part in parts:
        if out and part.start_s - out[-1].end_s <= breath_s:
            between = bisect_right(starts, part.start_s) - bisect_right(starts, out[-1].end_s)
            if not between:
                out[-1] = Stretch(out[-1].start_s, max(out[-1].end_s, part.end_s))
                continue
        out.append(part)
    return out


def utterances(caller: Sequence[Stretch], agent: Sequence[Stretch]) -> list[Utterance]:
    """The caller's speech as turns of talk, each with what it follows. Takes `stretches` of both sides, in order."""
    spoken = joined(agent, caller, AGENT_BREATH_S)
    said = [Utterance(part.start_s, part.end_s) for part in joined(caller, agent, BREATH_S)]
    return related(said, spoken)


def related(said: Sequence[Utterance], spoken: Sequence[Stretch]) -> list[Utterance]:
    """The utterances with `follows`, `offset_s` and `into_s` from the agent's speech. Both in order."""
    starts = [part.start_s for part in spoken]
    out: list[Utterance] = []
    for one in said:
        at = bisect_right(starts, one.start_s) - 1
        before = spoken[at] if at >= 0 else None
        caller_end = out[-1].end_s if out else None
        if before is not None and (caller_end is None or before.end_s > caller_end):
            into = round(one.start_s - before.start_s, 3) if one.start_s < before.end_s else None
            offset = round(one.start_s - before.end_s, 3)
            out.append(replace(one, follows="agent", offset_s=offset, into_s=into))
        elif caller_end is not None:
            out.append(replace(one, follows="silence", offset_s=round(one.start_s - caller_end, 3)))
        else:
            out.append(replace(one, follows="start", offset_s=round(one.start_s, 3)))
    return out


def captioned(said: Sequence[Utterance], texts: Sequence[tuple[float, float, str]]) -> list[Utterance]:
    """The utterances with the texts (start_s, end_s, text) of a transcript, each where it overlaps most."""
    lines: list[list[str]] = [[] for _ in said]
    for start, end, text in texts:
        overlaps = [min(end, one.end_s) - max(start, one.start_s) for one in said]
        best = max(range(len(said)), key=overlaps.__getitem__, default=-1)
        if best >= 0 and overlaps[best] >= min(LEAST_OVERLAP_S, max(end - start, 0.0) / 2):
            lines[best].append(text.strip())
    return [replace(one, text=" ".join(line) or one.text) for one, line in zip(said, lines, strict=True)]
