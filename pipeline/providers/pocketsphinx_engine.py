"""The pocketsphinx library as a pool of decoders: dictionary, grammars, and the sound of one turn.

Driven by pocketsphinx.py, which turns its answers into events. No loop, no task: plain calls that take as long as
they take. Raises RuntimeError, as the library does, when a decoder fails.

Settings that differ from the library's own were measured on telephone-band speech: lattice rescoring (`bestpath`)
may return half a phrase, digital silence spoils the cepstral mean, and the default mean loses a call's first turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ProviderError
from pipeline.providers.grammar import Grammar, compile_phrases

NAME = "pocketsphinx"
MODEL_HZ = 16_000
PHONE_HZ = 8_000  # the band that the means and thresholds were measured in; wideband calls are narrowed to it
MAX_TURN_S = 60.0  # what a caller says beyond this in one go is not decoded
NO_PHRASES = ("{digits}",)  # an agent that names nothing still takes numbers, yes and no

_FLOOR = 60.0  # RMS, of 32767, of noise laid under the call: digital silence would spoil the cepstral mean
_MAX_GRAMMARS = 32  # that one decoder keeps compiled


# Cepstral means of speech in the telephone band, four voices: on a clean line, and with pink noise at 20 dB.
_CLEAN = np.array([42.5, 19.4, -41.1, 42.0, -37.5, 6.9, -8.6, -21.4, 1.2, -26.9, 2.2, -16.6, -5.2])
_NOISY = np.array([49.9, 26.8, -51.9, 36.4, -39.4, -7.7, -8.0, -32.2, -4.2, -25.5, -9.3, -15.5, -10.3])
_LOUDEST = 5000.0  # RMS, of 32767, to which the loudest 20 ms of a turn's beginning are brought
_CLEAN_DB, _NOISY_DB = -35.0, -20.0  # noise below speech in the two measurements above


@dataclass(frozen=True, slots=True)
class Line:
    """What the beginning of a call's first turn says about the line.

    gain: what brings this caller's voice to the level that the model knows. noise: 0.0 on a clean line, 1.0 at a
    signal-to-noise ratio of 20 dB, at most 1.5. Without it the first turn of a noisy or loud call is lost.
    """

    gain: float = 1.0
    noise: float = 0.5

    @staticmethod
    def heard(pcm: bytes, rate_hz: int) -> Line | None:
        """From some 700 ms in which silence ends and speech begins; int16. None if speech does not stand out."""
        heard = np.frombuffer(pcm, np.int16)
        if rate_hz != PHONE_HZ and len(heard):
            heard = _Resampling(rate_hz, PHONE_HZ)(heard)
        sound, frame = heard.astype(float), PHONE_HZ // 50
        if len(sound) < 10 * frame:
            return None
        levels = np.sqrt(np.mean(sound[: len(sound) // frame * frame].reshape(-1, frame) ** 2, axis=1))
        quiet = float(np.mean(np.sort(levels)[:3]))
        if levels.max() < max(3.0 * quiet, _FLOOR):
            return None
        gain = float(np.clip(_LOUDEST / levels.max(), 0.1, 10.0))
        quiet = math.hypot(gain * quiet, _FLOOR)
        below_speech_db = 20.0 * math.log10(quiet / 3277.0)  # -20 dBFS
        noise = (below_speech_db - _CLEAN_DB) / (_NOISY_DB - _CLEAN_DB)
        return Line(gain, min(max(noise, 0.0), 1.5))

    def cepstral_mean(self) -> str:
        """Where adaptation to the caller begins, as the library wants it."""
        return ",".join(f"{value:.1f}" for value in _CLEAN + (_NOISY - _CLEAN) * self.noise)


class Dictionary:
    """The pronouncing dictionary of the wheel, read once: 135,000 words, about 25 MB."""

    def __init__(self, path: Path) -> None:
        self._sounds: dict[str, tuple[str, ...]] = {}
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                entry, _, sounds = line.rstrip().partition(" ")
                word = entry.partition("(")[0]  # "either(2)" is another way to say "either"
                self._sounds[word] = (*self._sounds.get(word, ()), sounds)

    def __call__(self, word: str) -> Sequence[str]:
        return self._sounds.get(word, ())


@cache
def english() -> Dictionary:
    return Dictionary(_model() / "cmudict-en-us.dict")


class Decoders:
    """Decoders that wait for a turn to hear, and the grammars they know. One pool a process.

    A decoder hears one turn at a time and then serves any other call. There are as many as callers ever spoke at the
    same moment; each costs some 5 MB and 10 ms.
    """

    def __init__(self) -> None:
        self._idle: list[Decoder] = []
        self._grammars: dict[tuple[str, ...], Grammar] = {}

    @property
    def idle(self) -> int:
        return len(self._idle)

    def warm(self, count: int) -> None:
        """Have the dictionary and `count` decoders ready. Raises ProviderError."""
        english()
        while len(self._idle) < count:
            self._idle.append(Decoder())

    def grammar(self, phrases: tuple[str, ...]) -> Grammar:
        """The grammar of these phrases, compiled once."""
        if phrases not in self._grammars:
            if len(self._grammars) >= _MAX_GRAMMARS * 8:
                del self._grammars[next(iter(self._grammars))]
            self._grammars[phrases] = compile_phrases(phrases or NO_PHRASES, english())
        return self._grammars[phrases]

    def take(self) -> Decoder:
        return self._idle.pop() if self._idle else Decoder()

    def give_back(self, decoder: Decoder) -> None:
        self._idle.append(decoder)


class Decoder:
    """The library's decoder with the words and grammars it was given so far."""

    def __init__(self) -> None:
        import pocketsphinx  # noqa: PLC0415 (48 MB of library and model: only for those who use it)

        try:
            self._raw: Any = pocketsphinx.Decoder(
                hmm=str(_model() / "en-us"),
                dict=None,  # words come with the grammar that needs them: 10 ms to load instead of 90
                lm=None,
                cmn="live",
                bestpath=False,
                lw=2.0,
                silprob=0.1,
                loglevel="FATAL",
            )
        except RuntimeError as error:
            raise ProviderError(
                NAME, "server", f"cannot load its model: {error}. Reinstall the wheel."
            ) from error
        self._words: set[str] = set()
        self._searches: dict[int, Grammar] = {}

    @property
    def frames(self) -> int:
        """Frames of 10 ms heard in this turn."""
        return int(self._raw.n_frames())

    def start(self, grammar: Grammar, cepstral_mean: str) -> None:
        search = id(grammar)
        if search not in self._searches:
            self._learn(grammar)
        self._raw.activate_search(str(search))
        self._raw.set_cmn(cepstral_mean)
        self._raw.start_utt()

    def hear(self, pcm: NDArray[np.int16]) -> str:
        """Sound at 16 kHz; returns the text so far."""
        self._raw.process_raw(pcm.tobytes())
        best = self._raw.hyp()
        return str(best.hypstr) if best is not None else ""

    def stop(self) -> tuple[str, float]:
        """End the turn. Returns its text and log likelihood per frame; no text if no phrase is complete."""
        self._raw.end_utt()
        best = self._raw.hyp()
        if best is None or not best.hypstr:
            return "", -1.0
        return str(best.hypstr), math.log(max(best.best_score, 1e-300)) / max(self.frames, 1)

    def cepstral_mean(self) -> str:
        return str(self._raw.get_cmn(True))

    def _learn(self, grammar: Grammar) -> None:
        for word, sounds in grammar.pronunciations.items():
            if word not in self._words:
                self._words.add(word)
                for nth, sound in enumerate(sounds, start=1):
                    self._raw.add_word(word if nth == 1 else f"{word}({nth})", sound, False)
        if len(self._searches) >= _MAX_GRAMMARS:
            oldest = next(iter(self._searches))
            self._raw.remove_search(str(oldest))
            del self._searches[oldest]
        name = str(id(grammar))
        arcs = [(begin, end, 1.0, word) if word else (begin, end, 1.0) for begin, end, word in grammar.arcs]
        self._raw.add_fsg(name, self._raw.create_fsg(name, 0, 1, arcs))
        self._searches[id(grammar)] = grammar  # held, so that its id stays its own


class Turn:
    """The sound of one turn on its way into a decoder."""

    def __init__(self, decoder: Decoder, rate_hz: int, gain: float) -> None:
        self.decoder = decoder
        self.text = ""
        self._samples, self._gain = 0, gain
        self._down = _Resampling(rate_hz, PHONE_HZ) if rate_hz != PHONE_HZ else None
        self._up = _Resampling(PHONE_HZ, MODEL_HZ)

    def hear(self, pcm: bytes) -> bool:
        """True if `text` changed."""
        if not pcm or self._samples > MAX_TURN_S * PHONE_HZ:
            return False
        sound = np.frombuffer(pcm, np.int16)
        text = self._decoded(self._down(sound) if self._down is not None else sound)
        changed = bool(text) and text != self.text
        self.text = text or self.text
        return changed

    def finish(self) -> tuple[str, float]:
        if self._samples:
            if self._down is not None:
                self._decoded(self._down(None))
            self.decoder.hear(self._up(None))
        return self.decoder.stop() if self._samples else (self.decoder.stop()[0], -1.0)

    def _decoded(self, sound: NDArray[np.int16]) -> str:
        if not len(sound):
            return ""
        floored = _floored(sound, self._gain, self._samples)
        self._samples += len(sound)
        return self.decoder.hear(self._up(floored))


class _Resampling:
    """One turn's sound from one rate to another; None asks for what is still inside."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz = from_hz
        self._swr = av.AudioResampler(format="s16", layout="mono", rate=to_hz)

    def __call__(self, sound: NDArray[np.int16] | None) -> NDArray[np.int16]:
        if sound is None:
            return _joined(self._swr.resample(None))
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._from_hz
        return _joined(self._swr.resample(frame))


def _joined(frames: Sequence[av.AudioFrame]) -> NDArray[np.int16]:
    empty = np.zeros(0, np.int16)
    joined: NDArray[np.int16] = np.concatenate([empty, *(frame.to_ndarray().reshape(-1) for frame in frames)])
    return joined


def _floored(pcm: NDArray[np.int16], gain: float, position: int) -> NDArray[np.int16]:
    """Sound at level with faint noise under it, the same at the same position: replay hears what the call heard."""
    noise = np.take(_noise(), np.arange(position, position + len(pcm)), mode="wrap")
    floored: NDArray[np.int16] = np.clip(pcm * gain + noise, -32768, 32767).astype(np.int16)
    return floored


@cache
def _noise() -> NDArray[np.int32]:
    return np.round(np.random.default_rng(0).normal(0.0, _FLOOR, MODEL_HZ)).astype(np.int32)


def _model() -> Path:
    from pocketsphinx import get_model_path  # noqa: PLC0415

    return Path(get_model_path("en-us"))
