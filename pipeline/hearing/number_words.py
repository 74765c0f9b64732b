"""The number words of English, German, French and Spanish, without accents, as numerals.py reads them. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class NumberWords:
    """One language's number words; phrases have spaces: "vingt et un"."""

    below_hundred: Mapping[str, int] = field(default_factory=dict)
    zeros: frozenset[str] = frozenset()  # only beside other digits: "oh"
    repeats: Mapping[str, int] = field(default_factory=dict)
    hundred: frozenset[str] = frozenset()
    hundreds: Mapping[str, int] = field(default_factory=dict)  # "doscientos": 200
    scales: Mapping[str, int] = field(default_factory=dict)
    one: frozenset[str] = frozenset()  # means 1 only before a hundred or more: "a hundred"
    joint: frozenset[str] = frozenset()  # between hundreds and the rest: "two hundred and five"
    joined: bool = True  # "deux cent cinq" is 205; "two hundred five" may be 200 and 5
    not_before: frozenset[str] = frozenset()  # these make it no number: "one moment"
    ordinals: Mapping[str, int] = field(default_factory=dict)  # days of a month

    @cached_property
    def firsts(self) -> frozenset[str]:
        """Words that numbers below 100 begin with."""
        return frozenset(phrase.partition(" ")[0] for phrase in self.below_hundred)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _numbered(text: str, first: int = 0) -> dict[str, int]:
    return {word: value for value, word in enumerate(text.split(), first)}


def _english() -> NumberWords:
    units = _numbered(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    )
    units |= _numbered("sixteen seventeen eighteen nineteen", 16)
    tens = {
        word: 10 * value
        for word, value in _numbered("twenty thirty forty fifty sixty seventy eighty ninety", 2).items()
    }
    digits = {word: value for word, value in units.items() if 0 < value < 10}
    both = {f"{ten} {digit}": tens[ten] + digits[digit] for ten in tens for digit in digits}
    days = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    ordinals = _numbered(f"{days} fifteenth sixteenth seventeenth eighteenth nineteenth twentieth", 1)
    ordinals |= {f"twenty {word}": 20 + value for word, value in ordinals.items() if value < 10}
    ordinals |= {"thirtieth": 30, "thirty first": 31}
    return NumberWords(
        below_hundred=units | tens | both | {"nought": 0, "nil": 0},
        zeros=_words("oh o"),
        repeats={"double": 2, "triple": 3, "treble": 3},
        hundred=_words("hundred"),
        scales={"thousand": 1000, "million": 1_000_000},
        one=_words("a"),
        joint=_words("and"),
        joined=False,
        not_before=_words("moment second seconds sec minute minutes more of"),
        ordinals=ordinals,
    )


def _german() -> NumberWords:
    units = _numbered(
        "null eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn"
    )
    units |= _numbered("sechzehn siebzehn achtzehn neunzehn", 16)
    tens = {
        word: 10 * value
        for word, value in _numbered(
            "zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig", 2
        ).items()
    }
    digits = {("ein" if value == 1 else word): value for word, value in units.items() if 0 < value < 10}
    both = {f"{digit} und {ten}": tens[ten] + digits[digit] for ten in tens for digit in digits}
    stems = {"erst": 1, "dritt": 3, "siebt": 7, "acht": 8}
    stems |= {
        f"{word}t": value for word, value in units.items() if 0 < value < 20 and value not in stems.values()
    }
    stems |= {f"{phrase.replace(' ', '')}st": value for phrase, value in (tens | both).items() if value <= 31}
    return NumberWords(
        below_hundred=units | tens | both | {"zwo": 2, "fuenf": 5, "zwoelf": 12},
        repeats={"doppel": 2, "doppelt": 2, "zweimal": 2, "dreimal": 3},
        hundred=_words("hundert"),
        scales={"tausend": 1000, "million": 1_000_000, "millionen": 1_000_000},
        one=_words("ein eine"),
        joint=_words("und"),
        ordinals={f"{stem}{end}": value for stem, value in stems.items() for end in ("e", "en", "er")},
        not_before=_words("moment sekunde minute"),
    )


def _french() -> NumberWords:
    low = _numbered(
        "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize"
    )
    low |= {"dix sept": 17, "dix huit": 18, "dix neuf": 19}
    names = {word: value for word, value in low.items() if value}
    both: dict[str, int] = {"une": 1, "vingts": 20}
    for ten, value, upto in (("vingt", 20, 9), ("trente", 30, 9), ("quarante", 40, 9), ("cinquante", 50, 9),
                             ("soixante", 60, 19), ("quatre vingt", 80, 19), ("septante", 70, 9),
                             ("huitante", 80, 9), ("nonante", 90, 9)):  # fmt: skip
        both |= {ten: value} | {f"{ten} {word}": value + unit for word, unit in names.items() if unit <= upto}
        both |= {f"{ten} et un": value + 1, f"{ten} et onze": value + 11}
    both["quatre vingts"] = 80
    return NumberWords(
        below_hundred=low | both,
        repeats={"double": 2, "triple": 3},
        hundred=_words("cent cents"),
        scales={"mille": 1000, "million": 1_000_000, "millions": 1_000_000},
        ordinals={"premier": 1},
        not_before=_words("instant moment seconde minute"),
    )


def _spanish() -> NumberWords:
    low = _numbered(
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince"
    )
    low |= _numbered("dieciseis diecisiete dieciocho diecinueve veinte veintiuno veintidos veintitres", 16)
    low |= _numbered("veinticuatro veinticinco veintiseis veintisiete veintiocho veintinueve", 24)
    tens = {
        word: 10 * value
        for word, value in _numbered("treinta cuarenta cincuenta sesenta setenta ochenta noventa", 3).items()
    }
    digits = {word: value for word, value in low.items() if 0 < value < 10}
    both = {f"{ten} y {digit}": tens[ten] + digits[digit] for ten in tens for digit in digits}
    hundreds = "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
    return NumberWords(
        below_hundred=low | tens | both | {"una": 1},
        repeats={"doble": 2, "triple": 3},
        hundreds={word: 100 * value for word, value in _numbered(hundreds, 1).items()} | {"cien": 100},
        scales={"mil": 1000, "millon": 1_000_000, "millones": 1_000_000},
        one=_words("un"),
        ordinals={"primero": 1, "uno": 1},
        not_before=_words("momento segundo minuto"),
    )


NUMBER_WORDS = {"en": _english(), "de": _german(), "fr": _french(), "es": _spanish()}
NONE_KNOWN = NumberWords()
