"""Text made speakable: no markdown, no emoji; addresses, money, numbers, dates and codes as one says them.

Pure. Driven by replying.py, once a piece. In full for English, German, French and Spanish, by the region of the voice's
language tag; other languages lose what cannot be spoken, hear telephone numbers digit by digit and are left alone
otherwise: their voice knows how to read `42`. Not a phonetiser."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from re import Match

from pipeline.speaking.figures import figures
from pipeline.speaking.markup import LEFTOVERS, MARKDOWN, addresses
from pipeline.speaking.traced import Rule, Spoken, Traced
from pipeline.speaking.words import LANGUAGES

PLAIN = re.compile(r"[^\W\d_]*(?:[ ,.;:!?'’]+[^\W\d_]+)*[.!?]?")  # nothing to do: most sentences are that
WORDS_FOR_AND = {"it": "e", "pt": "e", "nl": "en"}


def speak(text: str, language: str = "en-US", last: Sequence[Rule] = ()) -> Spoken:
    """One piece as a voice should read it; its text is empty if there is nothing to say.

    language: BCP 47 tag. last: rules that have the last word (pronounce.py). Any text will do."""
    traced = Traced(text)
    rules, rules_of_plain = _rules(language.lower())
    traced.apply(rules_of_plain if PLAIN.fullmatch(text) else rules)
    traced.strip()
    traced.apply(last)
    if not any(map(str.isalnum, traced.text)):
        return Spoken(text, "", ())
    return traced.spoken()


def speakable(text: str, language: str = "en-US") -> str:
    """The same without its origins."""
    return speak(text, language).text


@lru_cache(64)
def _rules(tag: str) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """What to do with a text that has more than words, and what with one that has not. tag: BCP 47."""
    language, _, rest = tag.partition("-")
    region = next((part for part in rest.split("-") if len(part) == 2), "")
    words = LANGUAGES.get(language)
    ampersand = words.and_ if words else WORDS_FOR_AND.get(language, "&")
    joined = (re.compile(r"(?<=\w)\s*&\s*(?=\w)"), f" {ampersand} ")
    shorts = words.shorts if words else {}
    abbreviations = [
        (re.compile(short if short.startswith("(?<") else rf"(?<!\w){short}"), _full(said))
        for short, said in shorts.items()
    ]
    always = (*abbreviations, *LEFTOVERS)
    return (
        *MARKDOWN,
        *addresses(language),
        *abbreviations,
        *figures(language, region),
        joined,
        *LEFTOVERS,
    ), always


def _full(said: str) -> Callable[[Match[str]], str]:
    """An abbreviation that ends a sentence leaves its dot behind."""

    def replace(found: Match[str]) -> str:
        ends = found.group().endswith(".") and found.end() == len(found.string.rstrip())
        return f"{said}." if ends else said

    return replace
