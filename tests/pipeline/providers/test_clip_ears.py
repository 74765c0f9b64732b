"""The test servers' ears know the callers' recordings, over a phone line and from their beginnings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offhook.softphone import read_clip
from pipeline.speaking.resample import Resampler
from telephony.media.codecs.g711 import Pcmu
from tests.pipeline.providers.servers.clips import ClipEars

RECORDINGS = Path(__file__).parents[2] / "recordings"
WORDS = {
    "what are your opening hours": "opening_hours",
    "i would like to make an appointment": "appointment",
    "on friday": "friday",
    "i have a question about my bill": "bill",
    "four two seven one": "invoice_number",
    "no thank you": "no_thank_you",
    "that is all goodbye": "goodbye",
}
EARS = ClipEars.of_files({words: RECORDINGS / f"{name}.wav" for words, name in WORDS.items()})


def over_the_phone(name: str, until: float = 1.0) -> np.ndarray:
    """A recording, or its beginning, after PCMU and a little silence, at 16 kHz."""
    codec = Pcmu()
    sound = np.concatenate([np.zeros(1111, np.int16), read_clip(RECORDINGS / f"{name}.wav")])
    sound = sound[: int(len(sound) * until)]
    sound = codec.decode(codec.encode(sound[: len(sound) // 160 * 160]))
    resampler = Resampler(8000, 16000)
    return np.concatenate([resampler.feed(sound), resampler.finish()])


@pytest.mark.parametrize("words", WORDS)
def test_each_recording_is_known(words: str) -> None:
    assert EARS.heard(over_the_phone(WORDS[words]), 16000) == words


@pytest.mark.parametrize("words", ["what are your opening hours", "i have a question about my bill"])
def test_of_a_beginning_the_first_words_are_known(words: str) -> None:
    said = EARS.heard(over_the_phone(WORDS[words], 0.6), 16000)
    assert said and said != words and words.startswith(said)


def test_silence_and_a_strange_voice_are_nothing() -> None:
    assert EARS.heard(np.zeros(16000, np.int16), 16000) == ""
    noise = np.random.default_rng(1).normal(0, 8000, 5 * 16000).astype(np.int16)
    assert EARS.heard(noise, 16000) == ""
