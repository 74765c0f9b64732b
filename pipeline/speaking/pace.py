"""How fast a voice speaks: a guess to begin with, then what the call has taught. Pure. Driven by ledger.py.

Only where a voice gives no word times, and until a piece is complete, does this matter."""

from __future__ import annotations

import re

from pipeline.speaking.traced import WIDE

PER_S = {  # letters and pauses a second: espeak at 165 words a minute, a sample of three sentences each
    "en": 15.3,
    "de": 14.9,
    "fr": 17.3,
    "es": 14.1,
    "it": 14.2,
    "pt": 13.4,
    "nl": 14.0,
}
OTHERS_PER_S = 14.5
PAUSE = 4.0  # a stop inside a piece lasts as long as so many letters
SIGN = 3.0  # a Chinese or Japanese one
GUESS_S = 2.0  # how many seconds of speech the first guess is worth
_WIDE = re.compile(f"[{WIDE}]")


class Pace:
    """One voice in one call."""

    def __init__(self, language: str, speed: float = 1.0) -> None:
        """language: BCP 47 tag. speed: the voice's setting, 1.0 is normal."""
        rate = PER_S.get(language.partition("-")[0].lower(), OTHERS_PER_S) * speed
        self._length, self._seconds = rate * GUESS_S, GUESS_S

    @property
    def per_s(self) -> float:
        """Length spoken in a second."""
        return self._length / self._seconds

    def learn(self, text: str, seconds: float) -> None:
        """A piece took so long."""
        if seconds > 0:
            self._length += length(text)
            self._seconds += seconds


def length(text: str) -> float:
    """How long a text takes to say, in letters."""
    return sum(map(_letters, text.rstrip(" .!?…")))


def reached(text: str, spoken: float) -> int:
    """How many characters of a text have been said when `spoken` of its length has."""
    so_far = 0.0
    for position, character in enumerate(text):
        so_far += _letters(character)
        if so_far > spoken + 1e-6:
            return position
    return len(text)


def _letters(character: str) -> float:
    if character.isalnum():
        return SIGN if _WIDE.match(character) else 1.0
    return PAUSE if character in ".,;:!?…" else 0.0
