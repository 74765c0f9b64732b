"""What the embedded recogniser may hear: an agent's phrases compiled into a finite-state grammar.

Pure and deterministic: the same phrases give the same arcs. It is what JSGF text would expand to, built
straight so that a word such as "public" or "import" cannot be taken for JSGF's own, and so that `{digits:9}`
with "double two" in it stays small. Nothing in it matches just anything: what was not foreseen is refused
by its acoustic score (pocketsphinx.py). Driven by pocketsphinx.py; not a language model.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.errors import ConfigError
from pipeline.hearing import slots

Lookup: TypeAlias = Callable[[str], Sequence[str]]  # a word's pronunciations in ARPAbet, none if unknown
Expression: TypeAlias = (
    "str | tuple[Expression, ...] | list[Expression]"  # words, one after the other, either
)

_DIGIT: list[Expression] = [*slots.UNITS]
_ORDINAL: list[Expression] = [
    *slots.ORDINALS,
    *(("twenty", word) for word, value in slots.ORDINALS.items() if value < 10),
    "thirty first",
]
_DAY_OF_MONTH: Expression = [
    (["the", ""], _ORDINAL, ["of", ""], [*slots.MONTHS]),
    ([*slots.MONTHS], ["the", ""], _ORDINAL),
]
_UNIT: list[Expression] = [word for word, value in slots.UNITS.items() if value]
_BELOW_100: Expression = [*_UNIT, *slots.TEENS, ([*slots.TENS], ["", _UNIT])]
_HOUR: Expression = [*_UNIT, "ten", "eleven", "twelve"]
_MINUTES: Expression = [
    ("oh", _UNIT), *slots.TEENS, ([word for word, value in slots.TENS.items() if value < 60], ["", _UNIT]),
]  # fmt: skip

RULES: dict[str, Expression] = {
    "yes_no": [
        "yes", "yeah", "yes please", "sure", "okay", "of course", "that's right", "correct",
        "no", "no thanks", "no thank you", "not really", "that's wrong",
    ],
    "date": [
        "today", "tomorrow", (["the", ""], "day after tomorrow"),
        (["this", "next", ""], [*slots.WEEKDAYS]), _DAY_OF_MONTH,
    ],
    "number": [
        "zero", _BELOW_100,
        ([*_UNIT, "a"], "hundred", ["", (["and", ""], _BELOW_100)]), ([_BELOW_100, "a"], "thousand"),
    ],
    "time": [
        "noon", "midnight", ((_HOUR, ["", "o'clock", _MINUTES]), ["", "a m", "p m"]),
        (["half past", "quarter past", "quarter to"], _HOUR),
    ],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grammar:
    """A compiled grammar. State 0 begins and state 1 ends a turn; an arc without a word is free.

    pronunciations: what the decoder's dictionary must know first. warnings: phrases left out, and why.
    """

    arcs: tuple[tuple[int, int, str], ...]
    pronunciations: Mapping[str, tuple[str, ...]]
    phrases: tuple[str, ...]
    warnings: tuple[str, ...]

    def complete(self, text: str) -> bool:
        """Is this text a whole phrase, or a whole yes or no?"""
        return any(slots.match(phrase, text) is not None for phrase in (*self.phrases, "{yes_no}"))


def compile_phrases(phrases: Sequence[str], lookup: Lookup) -> Grammar:
    """The grammar of these phrases and of yes and no, which can always be said.

    A phrase that has an unknown slot or a word nobody can pronounce is left out with a warning: a call in
    progress must not lose its ears over one bad phrase.
    """
    known: dict[str, tuple[str, ...]] = {}
    kept: list[str] = []
    warnings: list[str] = []
    net = _Net()
    for phrase in dict.fromkeys(phrases):
        try:
            pieces = slots.parse(phrase)
            for word in _vocabulary(pieces):
                known[word] = known.get(word) or _pronounced(phrase, word, lookup)
        except ConfigError as error:
            warnings.append(str(error))
            continue
        net.add_phrase(pieces)
        kept.append(phrase)
    net.add(RULES["yes_no"], START, END)
    for word in _words_of(RULES["yes_no"]):
        known[word] = known.get(word) or pronounce(word, lookup)
    return Grammar(tuple(net.arcs), known, tuple(kept), tuple(warnings))


# ---------------------------------------------------------------- states and arcs

START, END = 0, 1


class _Net:
    """A word network under construction."""

    def __init__(self) -> None:
        self.arcs: list[tuple[int, int, str]] = []
        self._states = itertools.count(2)

    def add_phrase(self, pieces: Sequence[slots.Piece]) -> None:
        state = START
        for place, piece in enumerate(pieces):
            behind = END if place == len(pieces) - 1 else next(self._states)
            if isinstance(piece, slots.Slot):
                self._add_slot(piece, state, behind)
            else:
                self.add(piece, state, behind)
            state = behind

    def add(self, expression: Expression, start: int, end: int) -> None:
        """Make `end` reachable from `start` by saying the expression."""
        if isinstance(expression, list):
            for choice in expression:
                self.add(choice, start, end)
            return
        parts: Sequence[Expression] = expression.split() if isinstance(expression, str) else expression
        if len(parts) <= 1 and isinstance(expression, str):
            self.arcs.append((start, end, expression))
            return
        for place, part in enumerate(parts):
            behind = end if place == len(parts) - 1 else next(self._states)
            self.add(part, start, behind)
            start = behind

    def _add_slot(self, slot: slots.Slot, start: int, end: int) -> None:
        if slot.kind != "digits":
            self.add(RULES[slot.kind], start, end)
        elif slot.count is None:
            self._add_any_digits(start, end)
        else:
            self._add_digits([start, *itertools.islice(self._states, slot.count - 1), end])

    def _add_digits(self, stops: Sequence[int]) -> None:
        """So many digits: stops[i] is reached when i of them were said, doubles counted as two."""
        for heard, state in enumerate(stops[:-1]):
            self.add(_DIGIT, state, stops[heard + 1])
            for word, times in slots.REPEATS.items():
                if heard + times < len(stops):
                    self.add((word, _DIGIT), state, stops[heard + times])

    def _add_any_digits(self, start: int, end: int) -> None:
        before, behind = next(self._states), next(self._states)
        self.arcs += [(start, before, ""), (behind, before, ""), (behind, end, "")]
        self.add(_DIGIT, before, behind)
        self.add(([*slots.REPEATS], _DIGIT), before, behind)


def _vocabulary(pieces: Iterable[slots.Piece]) -> Iterable[str]:
    for piece in pieces:
        if isinstance(piece, str):
            yield piece
        elif piece.kind == "digits":
            yield from (*slots.UNITS, *slots.REPEATS)
        else:
            yield from _words_of(RULES[piece.kind])


def _words_of(expression: Expression) -> Iterable[str]:
    if isinstance(expression, str):
        yield from expression.split()
    else:
        for part in expression:
            yield from _words_of(part)


# ---------------------------------------------------------------- how a word is pronounced

_LETTERS = {
    "tion": "SH AH N", "igh": "AY", "tch": "CH", "sch": "SH", "ch": "CH", "sh": "SH", "th": "TH",
    "ph": "F", "ck": "K", "ng": "NG", "qu": "K W", "wh": "W", "oo": "UW", "ee": "IY", "ea": "IY",
    "ai": "EY", "ay": "EY", "oa": "OW", "ou": "AW", "ow": "OW", "oi": "OY", "oy": "OY", "au": "AO",
    "aw": "AO", "ie": "IY", "ei": "EY", "ar": "AA R", "er": "ER", "ir": "ER", "ur": "ER", "or": "AO R",
    "ce": "S EH", "ci": "S IH", "cy": "S IY", "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F",
    "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P",
    "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}
_AT_END = {"a": "AH", "i": "IY", "o": "OW", "u": "UW"}
_GRAPHEME = re.compile("|".join(_LETTERS))
_UNIT_NAMES = dict(zip("0123456789", ("zero", *_words_of(_UNIT)), strict=False))


def pronounce(word: str, lookup: Lookup) -> tuple[str, ...]:
    """A word's pronunciations, best first: from the dictionary, composed, or by its letters; () if mute."""
    if found := lookup(word):
        return tuple(found)
    if word.endswith("'s") and (stem := pronounce(word[:-2], lookup)):
        return (f"{stem[0]} Z",)
    if any(mark.isdigit() for mark in word):
        return _figures(word, lookup)
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", word) if "a" <= mark <= "z")
    for cut in range(len(plain) - 3, 2, -1):  # "offhook" is "off" and "hook"
        head, tail = lookup(plain[:cut]), lookup(plain[cut:])
        if head and tail:
            return (f"{head[0]} {tail[0]}",)
    return (_sound_out(plain),) if plain else ()


def _pronounced(phrase: str, word: str, lookup: Lookup) -> tuple[str, ...]:
    if not (found := pronounce(word, lookup)):
        raise ConfigError(f"phrase {phrase!r}: nobody knows how to say {word!r}. Write it as it sounds.")
    return found


def _figures(word: str, lookup: Lookup) -> tuple[str, ...]:
    """ "24" as "twenty four" and as "two four", so that a phrase may be written with figures."""
    if not (word.isascii() and word.isdigit()):
        return ()
    readings = [[_UNIT_NAMES[figure] for figure in word]]
    if len(word) == 2 and word[0] != "0":
        values = {value: name for name, value in {**slots.TEENS, **slots.TENS}.items()}
        ten = (
            [values[int(word)]] if int(word) in values else [values[int(word[0]) * 10], _UNIT_NAMES[word[1]]]
        )
        readings.insert(0, ten)
    spoken = [[lookup(name) for name in reading] for reading in readings]
    return tuple(" ".join(sounds[0] for sounds in reading) for reading in spoken if all(reading))


def _sound_out(plain: str) -> str:
    """English spelling read letter by letter: good enough for a name to be told from the other phrases."""
    sounds: list[str] = []
    if magic := re.fullmatch(r"(.*)([aeiou])([^aeiouwxy])e", plain):  # a silent e lengthens: "zane", "byte"
        plain = magic.group(1) + magic.group(2).upper() + magic.group(3)
    for part in re.finditer(r"[A-Z]|" + _GRAPHEME.pattern, re.sub(r"([^aeiou])\1", r"\1", plain)):
        letters = part.group()
        if letters.isupper():
            sounds.append(_LONG[letters.lower()])
        elif part.end() == len(part.string) and letters in _AT_END and sounds:
            sounds.append(_AT_END[letters])
        else:
            sounds.append("Y" if letters == "y" and not sounds else _LETTERS[letters])
    return " ".join(sounds)
