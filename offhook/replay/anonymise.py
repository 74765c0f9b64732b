"""A bundle made anonymous: another bundle, with the same times, that replays.

What personal.py finds in journal, transcript and call.json is masked there, and the whole utterance in which it was
said is silenced in the sound, on both channels, under a beep: journals have no times of single words. So is what nobody
understood, because nobody can tell what is in it. The caller's voice may be replaced by espeak's, which says the masked
words at the same times. Not reversible, and not proof: who must be sure listens. Driven by `offhook calls anonymise`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from offhook.bundle import AUDIO, Bundle, Record, number
from offhook.errors import RecordingError
from offhook.replay import speech
from offhook.replay.formats import bundles
from offhook.replay.formats.material import Material, Pcm, Stretch
from offhook.replay.formats.sound import resampled
from offhook.replay.keeping import moment, write_audio
from offhook.replay.personal import MAIL, NAME, NUMBER, masked, masked_row
from pipeline.errors import PipelineError
from pipeline.providers.espeak_engine import PITCHES, SPEEDS, WORDS_PER_MIN, Engine, Mark, Sound, engine

MARGIN_S = 0.25  # silenced before and after an utterance
BEEP_HZ, BEEP_PEAK, BEEP_EDGE_S = 1000, 1600.0, 0.02  # -29 dBFS
COVERED = 0.5  # of a stretch of speech in utterances that were read, or it counts as not understood
KEYS_TOGETHER_S, MOST_KEYS = 5.0, 2  # more keys in a row than that are a number
SPOKEN = {NUMBER: "number", MAIL: "e-mail", NAME: "name"}

Voice = Literal["keep", "replace"]


@dataclass(frozen=True, slots=True)
class Anonymised:
    """path: the new bundle. silenced: stretches of sound that are gone. masked: events that were changed."""

    path: Path
    silenced: int
    masked: int


def anonymise(source: Path, into: Path, voice: Voice = "keep", espeak: str = "en-us") -> Anonymised:
    """Write the bundle in folder `source` again below `into`, without what tells who the caller is.

    espeak: the voice that speaks if the caller's is replaced. Raises RecordingError or BundleError."""
    material = bundles.read(source)
    record = Record.read(source)
    names = [str(record.facts.get("caller_name") or "")]
    rows = _keys_masked([masked_row(event, names) for event in record.events])
    _guesses_masked(record.events, rows, names)
    changed = sum(before != after for before, after in zip(record.events, rows, strict=True))
    caller, agent = (channel.copy() for channel in material.channels)
    gone = _silenced(record, material, caller, agent, names)
    if voice == "replace":
        caller = _spoken_again(record, material, names, espeak)
    facts = masked_row(record.facts, names)
    facts["anonymised"] = {"voice": voice, "silenced": gone}
    path = _written(into, record, facts, rows, (caller, agent), material.rate_hz)
    return Anonymised(path, gone, changed)


def _silenced(record: Record, material: Material, caller: Pcm, agent: Pcm, names: Sequence[str]) -> int:
    """Take out of both channels what may not be heard. Returns how many stretches."""
    rate_hz = material.rate_hz
    said = material.utterances or []
    clean = [
        Stretch(one.start_s, one.end_s) for one in said if one.text and masked(one.text, names) == one.text
    ]
    dirty = [
        Stretch(one.start_s, one.end_s) for one in said if not one.text or masked(one.text, names) != one.text
    ]
    heard = speech.stretches(caller, rate_hz)
    dirty += [part for part in heard if _overlap(part, clean) < COVERED * (part.end_s - part.start_s)]
    spoken, told = _agent_lines(record, material, names)
    quiet = np.ones(len(agent), np.bool_)  # colleagues, music: whatever is not our own voice
    for part in spoken:
        quiet[_samples(part, rate_hz)] = False
    agent[quiet] = 0
    for part in _merged(dirty):
        agent[_samples(part, rate_hz)] = 0
        _beep(caller, _samples(part, rate_hz), rate_hz)
    for part in _merged(told):
        caller[_samples(part, rate_hz)] = 0  # it comes back as an echo
        _beep(agent, _samples(part, rate_hz), rate_hz)
    return len(_merged(dirty)) + len(_merged(told))


def _agent_lines(
    record: Record, material: Material, names: Sequence[str]
) -> tuple[list[Stretch], list[Stretch]]:
    """When the agent spoke, and those of these times at which it said something that is masked."""
    zero, _ = bundles.beginning(record.events, material.channels[1], material.rate_hz)
    spoken = bundles.agent_speech(record.events, zero)
    texts = [
        f"{event.get('text', '')} {event.get('planned', '')}"
        for event in record.events
        if event["type"] == "AgentSpoke"
        and event.get("line") != "consultation"
        and number(event.get("at")) is not None
    ]
    if len(texts) != len(spoken):  # a journal that is not whole: better nothing than a wrong pair
        return spoken, spoken
    return spoken, [part for part, text in zip(spoken, texts, strict=True) if masked(text, names) != text]


def _spoken_again(record: Record, material: Material, names: Sequence[str], espeak: str) -> Pcm:
    """The caller's channel with nothing on it but espeak, at the times of the utterances."""
    out: Pcm = np.zeros(len(material.channels[0]), np.int16)
    for one in material.utterances or []:
        text = masked(one.text, names)
        for label, word in SPOKEN.items():
            text = text.replace(label, word)
        room = out[_samples(Stretch(one.start_s, one.end_s), material.rate_hz, margin_s=0.0)]
        if text.strip() and len(room):
            pcm = synthesised(text, espeak, material.rate_hz, one.end_s - one.start_s)
            room[: len(pcm)] = pcm[: len(room)]
    return out


def synthesised(text: str, voice: str, rate_hz: int, length_s: float) -> Pcm:
    """The text as espeak says it, as nearly as its speeds allow in length_s. Raises RecordingError."""
    try:
        library = engine()
        name = library.find_voice(voice)
        pcm = _spoken(library, text, Sound(name, WORDS_PER_MIN, sum(PITCHES) // 2))
        speed = min(max(len(pcm) / library.rate_hz / max(length_s, 0.1), SPEEDS[0]), SPEEDS[1])
        pcm = _spoken(library, text, Sound(name, round(WORDS_PER_MIN * speed), sum(PITCHES) // 2))
    except PipelineError as error:
        raise RecordingError(f"the caller's voice cannot be replaced: {error}") from error
    return resampled(pcm, library.rate_hz, rate_hz, f"espeak {voice}")


def _spoken(library: Engine, text: str, sound: Sound) -> Pcm:
    """One text by espeak, which has a thread of its own. Silence around it is cut off."""
    done = threading.Event()
    parts: list[bytes] = []
    failed: list[PipelineError] = []

    def take(data: bytes, marks: list[Mark]) -> bool:
        parts.append(bytes(data))
        return True

    def job() -> None:
        try:
            library.speak(text, sound, take)
        except PipelineError as error:
            failed.append(error)
        finally:
            done.set()

    library.submit(job)
    done.wait()
    if failed:
        raise failed[0]
    pcm: Pcm = np.frombuffer(b"".join(parts), np.int16)
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > bundles.AUDIBLE)
    return pcm[loud[0] : loud[-1] + 1] if len(loud) else pcm[:0]


def _keys_masked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keys pressed in a row are a number: each becomes 0. One or two are a choice in a menu, which replay needs."""
    run: list[dict[str, Any]] = []
    for row in [*rows, None]:
        if row is not None and row["type"] != "KeyPressed":
            continue
        if run and (row is None or row["at"] - run[-1]["at"] > KEYS_TOGETHER_S):
            if len(run) > MOST_KEYS:
                for one in run:
                    one["digit"] = "0" if str(one.get("digit")).isdigit() else one.get("digit")
            run = []
        if row is not None:
            run.append(row)
    return rows


def _guesses_masked(
    events: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], names: Sequence[str]
) -> None:
    """What the recogniser guessed on its way to a masked turn tells the beginning of what is masked."""
    guesses: list[dict[str, Any]] = []
    for event, row in zip(events, rows, strict=True):
        if event["type"] == "CallerPartlyHeard":
            guesses.append(row)
        elif event["type"] in ("UserTurnCommitted", "NothingHeard"):
            text = str(event.get("text", ""))
            if text and masked(text, names) == text:
                guesses.clear()  # nothing in it, nor in what led to it
            for guess in guesses:
                guess["text"] = ""
            guesses.clear()
    for guess in guesses:
        guess["text"] = ""


def _written(
    into: Path,
    record: Record,
    facts: dict[str, Any],
    rows: Iterable[dict[str, Any]],
    channels: tuple[Pcm, Pcm],
    rate_hz: int,
) -> Path:
    outcome = {"ended": facts["ended"]} if "ended" in facts else {}
    bundle = Bundle.create(into, uuid.uuid4().hex, moment(facts.get("started")), _without(facts, "ended"))
    with bundle:
        for row in rows:
            bundle.append(row, row["at"], moment(row.get("wall")))
        write_audio(bundle.path / AUDIO, channels, rate_hz)
        bundle.close(outcome)
    return bundle.path


def _without(facts: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in keys}


def _samples(part: Stretch, rate_hz: int, margin_s: float = MARGIN_S) -> slice:
    return slice(max(0, round((part.start_s - margin_s) * rate_hz)), round((part.end_s + margin_s) * rate_hz))


def _beep(pcm: Pcm, where: slice, rate_hz: int) -> None:
    size = len(pcm[where])
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) / (BEEP_EDGE_S * rate_hz)
    tone = np.sin(np.arange(size) * (2 * np.pi * BEEP_HZ / rate_hz)) * np.minimum(edge, 1.0)
    pcm[where] = (BEEP_PEAK * tone).astype(np.int16)


def _overlap(part: Stretch, others: Iterable[Stretch]) -> float:
    return sum(max(0.0, min(part.end_s, one.end_s) - max(part.start_s, one.start_s)) for one in others)


def _merged(parts: Iterable[Stretch]) -> list[Stretch]:
    """In order, those that touch made one."""
    key: Callable[[Stretch], float] = lambda part: part.start_s  # noqa: E731
    return speech.joined(sorted(parts, key=key), (), 2 * MARGIN_S)
