"""Telephone numbers, codes and spelled words: what is read letter by letter and digit by digit.

Pure rules for traced.py. Driven by figures.py, which knows their place in the order."""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from pipeline.speaking.numerals import cardinal, digits
from pipeline.speaking.traced import Part, Replacement, Rule
from pipeline.speaking.words import Words

PHONE = re.compile(
    r"(?<![\w.,:/-])(?:\+\d{1,3}[\s.-]?)?(?:\(\d{1,5}\)[\s.-]?)?\d{2,5}(?:[\s./-]\d{2,8}){1,5}(?![\w/-]|[.,:]\d)"
)
NOT_A_PHONE = re.compile(
    r"\d{1,2}([./-])\d{1,2}\1\d{2,4}"  # a date
    r"|\d{1,3}(?:\.\d{3})+|\d{1,3}(?: 000)+|\d{1,2}(?: \d{3})+"  # a sum
    r"|(?:19|20)\d\d[-/](?:19|20)\d\d"  # two years
)
RUN = re.compile(r"(?<![\w.,/:-])(\+?)(\d{5,}|0\d+)(?![\w/:-]|[.,]\d)")
SPELLED = re.compile(r"(?<![\w-])[^\W_](?:-[^\W_]){2,}(?![\w-])")
IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?(?!\w)")
PLATE = re.compile(r"(?<!\w)[A-ZÄÖÜ]{1,3}-[A-Z]{1,2}\s?\d{1,4}[EH]?(?!\w)")
CODE = re.compile(r"(?<![\w@./-])[A-Z0-9]+(?:-[A-Z0-9]+)*(?![\w@-]|\.\w)")


def unread(found: Match[str]) -> Replacement:
    """A telephone number in a language without words here: single digits, which its voice reads one by one."""
    text = found.group()
    if sum(map(str.isdigit, text)) < 7 or NOT_A_PHONE.fullmatch(text):
        return None
    return _grouped(found, "+ ", " ".join)


def unread_run(found: Match[str]) -> Replacement:
    """The same for a long number."""
    text = found.group()
    return _grouped(found, "+ ", " ".join) if len(text) >= 7 or (text[0] == "0" and len(text) > 2) else None


class Codes:
    """The rules of one language."""

    def __init__(self, language: str, words: Words) -> None:
        self.language = language
        behind = r"(?:\s+(?:is|ist|est|es|lautet|:))?[:.#]?\s+(?=[A-Z0-9])"
        code = r"((?:[A-Z0-9-]+)(?:[ ](?:[A-Z]{1,3}|\d{3,})(?!\w))*)(?!\w)"
        marked = re.compile(rf"\b(?i:{words.markers}){behind}{code}")
        plate = ((PLATE, self._spell_groups),) if language == "de" else ()
        self.spelled: tuple[Rule, ...] = ((IBAN, self._spell_groups), (SPELLED, self._spelled))
        self.phone: tuple[Rule, ...] = ((PHONE, self._phone),)
        self.codes: tuple[Rule, ...] = ((marked, self._marked), *plate, (CODE, self._code))
        self.runs: tuple[Rule, ...] = ((RUN, self._run),)

    def _phone(self, found: Match[str]) -> Replacement:
        text = found.group()
        if sum(map(str.isdigit, text)) < 7 or NOT_A_PHONE.fullmatch(text):
            return None
        return _grouped(found, "plus ", lambda group: digits(group, self.language))

    def spell(self, text: str) -> str:
        """Letter by letter, digit by digit; a run of digits is one breath."""
        runs = re.findall(r"\d+|[^\W\d_]+", text)
        return ", ".join(
            digits(run, self.language) if run.isdecimal() else " ".join(run.upper()) for run in runs
        )

    def _spell_groups(self, found: Match[str]) -> Replacement:
        begin = found.start()
        return [
            ((", " if number else "") + self.spell(group.group()), begin + group.start(), begin + group.end())
            for number, group in enumerate(re.finditer(r"\S+", found.group()))
        ]

    def _spelled(self, found: Match[str]) -> Replacement:
        """A-B-3."""
        letters = found.group().split("-")
        if not all(letter.isalpha() or "0" <= letter <= "9" for letter in letters):
            return None
        return ", ".join(
            cardinal(int(letter), self.language) if letter.isdecimal() else letter.upper()
            for letter in letters
        )

    def _marked(self, found: Match[str]) -> Replacement:
        """Behind "code is" or "Kennzeichen": whatever comes in capitals and digits."""
        text = found.group(1)
        if not re.search(r"\d", text) and (len(text) < 2 or not re.search(r"[A-Z]{2}", text)):
            return None
        if text.isdecimal() and len(text) < 3:
            return None
        begin = found.start(1)
        parts: list[Part] = [(found.string[found.start() : begin], found.start(), begin)]
        for number, group in enumerate(re.finditer(r"\S+", text)):
            said = (", " if number else "") + self.spell(group.group())
            parts.append((said, begin + group.start(), begin + group.end()))
            if number:
                parts[-1] = (said, begin + group.start(), begin + group.end())
        return parts

    def _code(self, found: Match[str]) -> Replacement:
        """`AB1234`, `X7Q-2B9`: nobody writes words like that."""
        text = found.group()
        numbers = sum(character.isdigit() for character in text)
        letters = sum(character.isalpha() for character in text)
        turns = len(re.findall(r"\d+|[A-Z]+", text))
        if not numbers or not letters or numbers + letters < 4 or (numbers < 3 and turns < 3):
            return None
        return self.spell(text)

    def _run(self, found: Match[str]) -> Replacement:
        """A long number is a code, unless it is round."""
        plus, number = found.groups()
        if not plus and number.endswith("000") and not number.startswith("0") and len(number) < 10:
            return None
        return ("plus " if plus else "") + digits(number, self.language)


def _grouped(found: Match[str], plus: str, say: Callable[[str], str]) -> list[Part]:
    """Each group of digits by itself, with a comma between two."""
    begin, text = found.start(), found.group()
    parts: list[Part] = []
    for number, group in enumerate(re.finditer(r"\d+", text)):
        lead = plus if number == 0 and text.startswith("+") else ", " if number else ""
        parts.append((f"{lead}{say(group.group())}", begin + group.start(), begin + group.end()))
    return parts
