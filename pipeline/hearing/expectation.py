"""What the agent has asked for, and whether the answer is all there.

Pure. Set by tasks, tools, menus and personas through `Session.expect`; asked by endpointing.py with the words so far.
Knowing what was asked for ends a turn earlier and cuts fewer callers off than any silence does. How answers are read is
in answers.py, dates.py and spelling.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import ConfigError
from pipeline.hearing import answers, dates
from pipeline.hearing.numerals import words_of
from pipeline.hearing.progress import Progress

Kind = Literal[
    "digits", "number", "yes_no", "date", "full_date", "time", "spelling", "email", "money", "name", "choice"
]

KINDS: tuple[Kind, ...] = get_args(Kind)
COUNTED = ("digits", "spelling")
MOST = 64  # digits or letters
LONGEST = 400  # characters of a turn that are looked at, from its end

_COUNT = re.compile(r"(\d{1,3})(?:\s*(?:-|to|\.\.)\s*(\d{1,3})|(\+))?")


@dataclass(frozen=True, slots=True)
class Expectation:
    """An answer that is waited for. Made by its class methods, or from a line of YAML by `parse`.

    at_least, at_most: digits or letters, where they are counted; at_most 0 for any number. choices: of a choice.
    """

    kind: Kind
    at_least: int = 0
    at_most: int = 0
    choices: tuple[str, ...] = ()

    def complete(self, text: str, language: str = "en-US") -> bool | None:
        """Is the answer all there? False: part of it, or it may go on. None: these words do not look like it."""
        progress = self.progress(text, language)
        return None if progress is Progress.OTHER else progress is Progress.COMPLETE

    def progress(self, text: str, language: str = "en-US") -> Progress:
        """How much of the answer these words are. Any text; OTHER for words of a language that is not known."""
        text = text[-LONGEST:]
        words = words_of(text, language)
        return READERS[self.kind](self, words, language, text) if words else Progress.OTHER

    @classmethod
    def digits(cls, at_least: int = 1, at_most: int | None = None) -> Expectation:
        """So many digits, or from so many to so many: 7 to 15 end at once at 15, after a pause from 7 on."""
        return cls("digits", at_least, at_least if at_most is None else at_most)

    @classmethod
    def spelling(cls, at_least: int = 1, at_most: int | None = None) -> Expectation:
        """Letters and digits, one by one: `spelling(6)` for a booking code, `spelling(1, 0)` for a name."""
        return cls("spelling", at_least, at_least if at_most is None else at_most)

    @classmethod
    def number(cls) -> Expectation:
        """An amount: "twenty five"."""
        return cls("number")

    @classmethod
    def yes_no(cls) -> Expectation:
        """Yes, no, and what stands for them."""
        return cls("yes_no")

    @classmethod
    def date(cls, *, with_year: bool = False) -> Expectation:
        """A day; with_year for dates of birth, where a weekday will not do."""
        return cls("full_date" if with_year else "date")

    @classmethod
    def time(cls) -> Expectation:
        """A time of day."""
        return cls("time")

    @classmethod
    def email(cls) -> Expectation:
        """An address, said or spelled."""
        return cls("email")

    @classmethod
    def money(cls) -> Expectation:
        """An amount with its currency."""
        return cls("money")

    @classmethod
    def name(cls) -> Expectation:
        """A person's name: never certainly complete."""
        return cls("name")

    @classmethod
    def choice(cls, *choices: str) -> Expectation:
        """One of these phrases. Raises ConfigError if there are none, or one has no words."""
        if not choices or not all(words_of(choice, "") for choice in choices):
            raise ConfigError(
                f"expects choice {', '.join(choices)}: a choice has no words. Write at least one each."
            )
        return cls("choice", choices=choices)

    @classmethod
    def parse(cls, line: str) -> Expectation:
        """From YAML: "digits 4", "digits 7-15", "digits 3+", "spelling", "yes_no", "choice sales, support".

        Raises ConfigError, naming what is wrong and what would be right.
        """
        kind, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if kind not in KINDS:
            raise ConfigError(
                f"expects {line!r}: no kind {kind!r}. Known: {', '.join(KINDS)}. Use one of them."
            )
        if kind == "choice":
            return cls.choice(*(choice.strip() for choice in rest.split(",") if choice.strip()))
        if kind in COUNTED:
            return cls._counted(line, kind, rest)
        if rest:
            raise ConfigError(f"expects {line!r}: {kind} takes nothing after it. Write `expects: {kind}`.")
        return cls(kind)

    @classmethod
    def _counted(cls, line: str, kind: Kind, count: str) -> Expectation:
        if not count:
            return cls(kind, 1, 0)
        found = _COUNT.fullmatch(count)
        least = int(found.group(1)) if found else 0
        most = 0 if found and found.group(3) else int(found.group(2) or least) if found else 0
        if not found or not 1 <= least <= MOST or (most and not least <= most <= MOST):
            right = f"{kind} 4, {kind} 4-6, {kind} 4+ or {kind} alone, from 1 to {MOST}"
            raise ConfigError(f"expects {line!r}: {count!r} is no count. Write {right}.")
        return cls(kind, least, most)


Reader = Callable[[Expectation, list[str], str, str], Progress]

READERS: dict[Kind, Reader] = {
    "digits": lambda asked, words, language, _: answers.digits(
        words, language, asked.at_least, asked.at_most
    ),
    "spelling": lambda asked, words, language, _: answers.spelling(
        words, language, asked.at_least, asked.at_most
    ),
    "number": lambda asked, words, language, _: answers.number(words, language),
    "yes_no": lambda asked, words, language, _: answers.yes_no(words, language),
    "date": lambda asked, words, language, _: dates.date(words, language, with_year=False),
    "full_date": lambda asked, words, language, _: dates.date(words, language, with_year=True),
    "time": lambda asked, words, language, _: dates.time_of_day(words, language),
    "email": lambda asked, words, language, text: answers.email(words, language, text),
    "money": lambda asked, words, language, text: answers.money(words, language, text),
    "name": lambda asked, words, language, _: answers.name(words, language),
    "choice": lambda asked, words, language, _: answers.choice(
        words, [words_of(choice, language) for choice in asked.choices]
    ),
}
