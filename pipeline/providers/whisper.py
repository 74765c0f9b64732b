"""What Whisper's answers are worth, and what it should be told before: for every server that runs it.

Pure. Driven by Groq's, OpenAI's and local recognisers. On silence and noise Whisper makes up lines (phantoms.py),
repeats itself, or says its prompt back. Source: its own decoder (openai/whisper, transcribe.py), for the thresholds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.ports import Final, Hints
from pipeline.providers.phantoms import NEVER_SAID, OFTEN_MADE_UP, plain

NO_SPEECH, UNLIKELY, REPETITIVE = (
    0.6,
    -1.0,
    2.4,
)  # Whisper's own: probability, log probability, compression ratio
DOUBTFUL_SPEECH = 0.2  # probability of no speech, from which on a line that is often made up is not believed
PROMPT_TOKENS = 224
PROMPT_ECHO_WORDS = 3

_LANGUAGES = {
    "nb": "no",
    "iw": "he",
    "in": "id",
    "fil": "tl",
    "cmn": "zh",
    "mo": "ro",
    "sh": "hr",
    "arb": "ar",
}
_SLOT = re.compile(r"\{[^}]*\}")


def language_code(tag: str) -> str:
    """What Whisper calls a language. tag: BCP 47. Empty where it should find out itself."""
    language = tag.partition("-")[0].partition("_")[0].lower()
    return "" if language in ("", "und", "mul", "multi", "auto") else _LANGUAGES.get(language, language)


def prompt_of(hints: Hints, before: str = "") -> str:
    """What the agent expects to hear, as text that went before: Whisper takes its spelling from there.

    before: the configuration's own words. Whisper reads the last 224 tokens only; there is no tokeniser here, so one
    token is reckoned for three Latin letters and one for each other letter or digit, which is more than it takes.
    """
    phrases: dict[str, str] = {}
    for phrase in (before, *hints.phrases):
        words = " ".join(_SLOT.sub(" ", phrase).split()).strip(" .,")
        phrases.setdefault(words.casefold(), words)
    phrases.pop("", None)
    chosen, left = [], float(PROMPT_TOKENS)
    for words in phrases.values():
        left -= _tokens(words) + 1
        if left < 0:
            break
        chosen.append(words)
    return f"{', '.join(chosen)}." if chosen else ""


def judged(answer: Mapping[str, Any], prompt: str = "") -> Final:
    """An answer as `verbose_json` has it (text; segments with avg_logprob, no_speech_prob, compression_ratio), made a
    Final: empty where nothing was said, not understood where Whisper only guessed."""
    text = str(answer.get("text") or "").strip()
    segments = [segment for segment in answer.get("segments") or () if isinstance(segment, Mapping)]
    if not segments:
        return Final("", 0.0) if not text or plain(text) in NEVER_SAID else Final(text)
    kept = [segment for segment in segments if not _silent(segment)]
    if len(kept) < len(segments):
        text = " ".join(str(segment.get("text") or "").strip() for segment in kept).strip()
    if not kept or not plain(text) or _made_up(text, kept, prompt):
        return Final("", 0.0)
    likely = _mean(kept, "avg_logprob", 0.0)
    repeats = max(_number(segment, "compression_ratio", 0.0) for segment in kept)
    confidence = min(1.0, math.exp(likely))
    return Final(text, confidence, understood=likely > UNLIKELY and repeats <= REPETITIVE)


def _silent(segment: Mapping[str, Any]) -> bool:
    """Whisper's own rule: it thinks that nobody speaks, and does not believe in the words either."""
    silence, likely = _number(segment, "no_speech_prob", 0.0), _number(segment, "avg_logprob", 0.0)
    return (silence > NO_SPEECH and likely < UNLIKELY) or plain(str(segment.get("text") or "")) in NEVER_SAID


def _made_up(text: str, segments: Sequence[Mapping[str, Any]], prompt: str) -> bool:
    words = plain(text)
    if words in NEVER_SAID:
        return True
    doubtful = _mean(segments, "no_speech_prob", 0.0) > DOUBTFUL_SPEECH
    echoes = len(words.split()) >= PROMPT_ECHO_WORDS and words in plain(prompt)
    return doubtful and (
        words in OFTEN_MADE_UP or (echoes and _mean(segments, "avg_logprob", 0.0) < UNLIKELY / 2)
    )


def _mean(segments: Sequence[Mapping[str, Any]], key: str, otherwise: float) -> float:
    """Over the segments, weighed by how long they are."""
    weights = [
        max(0.01, _number(segment, "end", 1.0) - _number(segment, "start", 0.0)) for segment in segments
    ]
    values = [_number(segment, key, otherwise) for segment in segments]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def _number(segment: Mapping[str, Any], key: str, otherwise: float) -> float:
    value = segment.get(key)
    return float(value) if isinstance(value, int | float) else otherwise


def _tokens(text: str) -> float:
    return sum(1 / 3 if letter.isascii() and not letter.isdigit() else 1.0 for letter in text)
