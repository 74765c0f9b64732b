"""Numbers in words, by the rules of the Unicode CLDR (package unicode-rbnf).

Pure, cached: a number costs 30 µs the first time; a language 3 ms, so a worker calls `warm` for its agents."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unicode_rbnf import RbnfEngine

LONGEST = 12  # digits of a number; a longer one nobody hears: it is read digit by digit
CACHED = 4096
ORDINALS = {  # the one that is said when nothing is known about the noun
    "en": "spellout-ordinal",
    "de": "spellout-ordinal-r",
    "fr": "spellout-ordinal-masculine",
    "es": "spellout-ordinal-masculine",
}


@lru_cache(CACHED)
def cardinal(number: int, language: str, gender: str = "") -> str:
    """A whole number from 0, LONGEST digits at the most. gender: "m" or "f" where a noun follows, "" for counting."""
    if gender and language != "en":
        return _words(number, language, "spellout-cardinal-" + {"m": "masculine", "f": "feminine"}[gender])
    return _words(number, language, "spellout-numbering")


@lru_cache(CACHED)
def ordinal(number: int, language: str, form: str = "") -> str:
    """Its place in a row, from 1. form: the CLDR's rule where the usual one does not fit, `spellout-ordinal-n`."""
    return _words(number, language, form or ORDINALS[language])


@lru_cache(CACHED)
def year(number: int, language: str) -> str:
    """1999 is nineteen ninety-nine where people say so."""
    if language in ("en", "de"):
        return _words(number, language, "spellout-numbering-year")
    return cardinal(number, language)


def digits(text: str, language: str) -> str:
    """Digit by digit, with a breath now and then in a long one."""
    words = [cardinal(int(digit), language) for digit in text]
    groups, at = list[str](), 0
    while at < len(words):
        rest = len(words) - at
        size = 4 if rest in (4, 8) else rest if rest <= 5 and len(words) < 7 or rest <= 3 else 3
        groups.append(" ".join(words[at : at + size]))
        at += size
    return ", ".join(groups)


def warm(language: str) -> None:
    """Load a language's number words now rather than in the first call. language: BCP 47 tag."""
    if (short := language.partition("-")[0].lower()) in ORDINALS:
        cardinal(1, short)


@cache
def _engine(language: str) -> RbnfEngine:
    from unicode_rbnf import RbnfEngine

    return RbnfEngine.for_language(language)


def _words(number: int, language: str, rule: str) -> str:
    return _engine(language).format_number(number, ruleset_names=[rule]).text
