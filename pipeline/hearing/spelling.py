"""Words spelled out: single letters, spelling alphabets, "b as in bravo", digits among them.

Pure. Asked by answers.py. Works in any language for letters and the international alphabet; digits as numerals.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.hearing.numerals import digit_groups

ICAO = (
    "alfa alpha bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa"
    " quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu"
)
DIN_5009 = (
    "anton berta casar dora emil friedrich gustav heinrich ida julius kaufmann konrad ludwig martha nordpol otto"
    " paula quelle richard samuel siegfried theodor ulrich viktor wilhelm xanthippe ypsilon zacharias"
)
ALPHABETS = {word: word[0] for word in f"{ICAO} {DIN_5009}".split(" ")}
LINKS = (("as", "in"), ("as",), ("like",), ("for",), ("wie",), ("comme",), ("como",), ("de",), ("von",))
DOUBLES = {"double": 2, "triple": 3, "doppel": 2, "doble": 2}


class Spelled(NamedTuple):
    """letters: all that were spelled so far. end: words up to the last of them. open: a link or a "double" is last."""

    letters: str
    end: int
    open: bool


def spelled(words: Sequence[str], language: str) -> Spelled:
    """The letters and digits among these words. Words that are neither are passed over."""
    digits = {group.start: group for group in digit_groups(words, language)}
    letters, end, at, is_open = "", 0, 0, False
    while at < len(words):
        start, times = at, 1
        if words[at] in DOUBLES and at not in digits:
            times, at = DOUBLES[words[at]], at + 1
            is_open = at == len(words)
            if is_open:
                break
        if at in digits:
            group = digits[at]
            letters, at, end, is_open = letters + group.digits * times, group.end, group.end, False
            continue
        letter = _letter(words[at])
        if not letter:
            at = max(at, start) + 1
            continue
        if letter == "u" and times == 2 and words[at] == "u":
            letter, times = "w", 1  # "double u"
        at, is_open = _behind_link(words, at + 1)
        letters, end = letters + letter * times, at
    return Spelled(letters, end, is_open)


def _letter(word: str) -> str:
    if len(word) == 1 and word.isalpha():
        return word
    if any(sign.isdecimal() for sign in word):
        return word  # "b4", as some recognisers write it
    return ALPHABETS.get(word, "")


def _behind_link(words: Sequence[str], at: int) -> tuple[int, bool]:
    """Past "as in bravo", if that follows; True: the word after the link is still to come."""
    for link in LINKS:
        if tuple(words[at : at + len(link)]) == link:
            behind = at + len(link) + 1
            return min(behind, len(words)), behind > len(words)
    return at, False
