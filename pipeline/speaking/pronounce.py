"""The pronunciation list: words that a voice gets wrong, and what it should read instead.

Pure. `Pronunciation` belongs to an agent; its rules have the last word in normalise.speak. Names, brands and acronyms
are its business: what is written in figures is read by figures.py before it comes here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from re import Match

from pipeline.errors import ConfigError
from pipeline.speaking.normalise import speakable
from pipeline.speaking.traced import WIDE, Rule

_NO_EDGE = re.compile(rf"[\W{WIDE}]")


class Pronunciation:
    """Whole words only, also in front of `'s`. A key in small letters is found in any case, one with a capital only
    as it is written. Of two keys that fit, the longer wins; what was replaced is not looked at again."""

    def __init__(self, words: Mapping[str, str] | None = None) -> None:
        """words: as written → as the voice should read it. Raises ConfigError for an empty one."""
        self.words = dict(words or {})
        for written, said in self.words.items():
            if not any(map(str.isalnum, written)) or written != written.strip() or not said.strip():
                fact = f"pronounce: {written!r}: {said!r} says nothing."
                raise ConfigError(f"{fact} Write a word and how it sounds, such as Nguyen: win.")
        self.rules: tuple[Rule, ...] = self._rules()

    def with_words(self, more: Mapping[str, str]) -> Pronunciation:
        """This list with more words; where both have one, `more` wins."""
        return Pronunciation({**self.words, **more})

    def check(self, language: str) -> None:
        """Raises ConfigError for a word that is never met, because it is read out before the list is asked."""
        for written in self.words:
            spoken = speakable(written, language)
            if spoken.rstrip(".") != written.rstrip("."):
                fact = f"pronounce: {written!r} is never met: it has become {spoken!r} before."
                raise ConfigError(f"{fact} Write it like that, or leave the figures and signs out.")

    def _rules(self) -> tuple[Rule, ...]:
        if not self.words:
            return ()
        pattern = "|".join(_pattern(written) for written in sorted(self.words, key=len, reverse=True))
        small = {written: said for written, said in self.words.items() if written == written.lower()}

        def said(found: Match[str]) -> str | None:
            text = found.group()
            return self.words.get(text) or small.get(text.lower())

        return ((re.compile(pattern), said),)


def _pattern(written: str) -> str:
    """A key as a pattern: a boundary only where there is a word to bound."""
    before = "" if _NO_EDGE.match(written[0]) else r"(?<!\w)"
    behind = "" if _NO_EDGE.match(written[-1]) else r"(?!\w)"
    text = re.escape(written)
    return f"{before}(?i:{text}){behind}" if written == written.lower() else f"{before}{text}{behind}"
