"""Numbers as callers say them: digit by digit, in pairs, doubled, or as an amount.

Pure. Asked by answers.py, dates.py and completeness.py. Figures are read in any language, number words in those of
number_words.py. Not slots.py, which fits whole phrases for the embedded recogniser."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.hearing.number_words import NONE_KNOWN, NUMBER_WORDS, NumberWords

MOST_WORDS = 4  # of a number below 100: "quatre vingt dix sept"

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_GERMAN_PARTS = sorted(
    {part for phrase in NUMBER_WORDS["de"].below_hundred for part in phrase.split()} | {"hundert", "tausend"},
    key=lambda part: -len(part),
)
_GERMAN_PART = re.compile("|".join(_GERMAN_PARTS))
_GERMAN_NUMBER = re.compile(f"(?:{'|'.join(_GERMAN_PARTS)}){{2,}}")


class Found(NamedTuple):
    """A number among the words from start up to, not including, end."""

    start: int
    end: int
    value: int


class Group(NamedTuple):
    """Digits said in one go, in the words from start up to, not including, end."""

    start: int
    end: int
    digits: str


def fold(text: str) -> str:
    """Lower case without accents: what word lists are compared with."""
    folded = text.casefold().replace("\u2019", "'")
    if folded.isascii():
        return folded
    signs = unicodedata.normalize("NFKD", folded)
    return "".join(sign for sign in signs if not unicodedata.combining(sign))


def words_of(text: str, language: str) -> list[str]:
    """The words, folded, without punctuation; German compounds apart: "einundzwanzig" is ein, und, zwanzig."""
    words = _WORD.findall(fold(text))
    if tongue(language) != "de":
        return words
    parted: list[str] = []
    for word in words:
        parted += _GERMAN_PART.findall(word) if _GERMAN_NUMBER.fullmatch(word) else [word]
    return parted


def tongue(language: str) -> str:
    """The language of a BCP 47 tag: "de-AT" is de."""
    return language.replace("_", "-").partition("-")[0].lower()


def number_words(language: str) -> NumberWords:
    """The table of a language, an empty one for those that are not known."""
    return NUMBER_WORDS.get(tongue(language), NONE_KNOWN)


def digit_groups(words: Sequence[str], language: str) -> list[Group]:
    """All digits in these words: "oh double two fourteen" is 0 22 14, "eight hundred" is 800."""
    table = number_words(language)
    groups: list[Group] = []
    at = 0
    while at < len(words):
        beside = bool(groups) and groups[-1].end == at
        found = _digits_at(words, at, table, beside)
        if found is not None:
            groups.append(found)
        at = found.end if found is not None else at + 1
    return groups


def amount_at(words: Sequence[str], at: int, language: str) -> Found | None:
    """The amount that begins at this word: "two thousand and five", "mil novecientos ochenta", "1984"."""
    if at >= len(words):
        return None
    if words[at].isdecimal():
        return Found(at, at + 1, int(words[at][:18]))
    table = number_words(language)
    total, smallest, end = 0, 0, at
    while end < len(words):
        group, after = 0, end
        joint = bool(total) and words[end] in table.joint
        if (found := _hundreds_at(words, end + joint, table)) is not None:
            group, after = found.value, found.end
        scale = table.scales.get(words[after], 0) if after < len(words) else 0
        if scale and (not smallest or scale < smallest):
            total, smallest, end = total + (group if after > end else 1) * scale, scale, after + 1
        elif scale == 0 and after > end:
            return None if _is_no_number(words, at, after, table) else Found(at, after, total + group)
        elif not total and words[end] in table.one and table.scales.get(_word(words, end + 1)):
            total, smallest, end = table.scales[words[end + 1]], table.scales[words[end + 1]], end + 2
        else:
            break
    return Found(at, end, total) if end > at and total else None


def _is_no_number(words: Sequence[str], start: int, end: int, table: NumberWords) -> bool:
    return end == start + 1 and _word(words, end) in table.not_before


def _digits_at(words: Sequence[str], at: int, table: NumberWords, beside: bool) -> Group | None:
    word, after = words[at], _word(words, at + 1)
    if word.isdecimal():
        return Group(at, at + 1, word)
    if word in table.repeats:
        single = "0" if after in table.zeros else str(table.below_hundred.get(after, after))
        is_digit = len(single) == 1 and single.isdecimal()
        return Group(at, at + 2, single * table.repeats[word]) if is_digit else None
    if word in table.zeros:
        near = beside or after.isdecimal() or after in table.firsts or after in table.repeats
        return Group(at, at + 1, "0") if near else None
    found = _hundreds_at(words, at, table)
    if found is None or _is_no_number(words, at, found.end, table):
        return None
    thousands = found.value < 100 and table.scales.get(_word(words, found.end)) == 1000
    return Group(at, found.end + thousands, str(found.value) + "000" * thousands)


def _hundreds_at(words: Sequence[str], at: int, table: NumberWords) -> Found | None:
    """The number below 1000 that begins at this word."""
    word, after = _word(words, at), _word(words, at + 1)
    small = _below_hundred(words, at, table)
    if word in table.hundreds:
        end, value = at + 1, table.hundreds[word]
    elif small is not None:
        if not (small.value and _word(words, small.end) in table.hundred):
            return small
        end, value = small.end + 1, small.value * 100
    elif table.joined and word in table.hundred:
        end, value = at + 1, 100
    elif word in table.one and after in table.hundred:
        end, value = at + 2, 100
    else:
        return None
    joint = _word(words, end) in table.joint
    rest = _below_hundred(words, end + joint, table) if joint or table.joined else None
    return (
        Found(at, rest.end, value + rest.value) if rest is not None and rest.value else Found(at, end, value)
    )


def _below_hundred(words: Sequence[str], at: int, table: NumberWords) -> Found | None:
    if _word(words, at) not in table.firsts:
        return None
    for size in range(min(MOST_WORDS, len(words) - at), 0, -1):
        value = table.below_hundred.get(" ".join(words[at : at + size]))
        if value is not None:
            return Found(at, at + size, value)
    return None


def _word(words: Sequence[str], at: int) -> str:
    return words[at] if at < len(words) else ""
