"""What is keyed in or read out digit by digit: numbers, PINs, telephone numbers, cards."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import phonenumbers

from pipeline import wall_clock
from pipeline.agent.tasks import parse
from pipeline.agent.tasks.ask import Ask, More, Wrong
from pipeline.agent.tasks.wording import asked_back, called, month_worded, worded
from pipeline.agent.tools import function_tool
from pipeline.hearing.expectation import Expectation
from pipeline.hearing.numerals import amount_at, words_of
from pipeline.hearing.slots import MONTHS

PHONE_LENGTHS = {"US": (10, 11), "CA": (10, 11), "GB": (10, 12), "DE": (7, 14), "FR": (10, 11), "ES": (9, 11)}
LONGEST_PHONE = 15  # ITU-T E.164


class AskDigits(Ask[str]):
    """Some digits, such as an order number. digits: how many, or at_least and at_most. `#` ends a shorter entry.

    Digits that came too few are kept: the next answer may be the rest."""

    label = "number"
    takes_keys = True

    def __init__(
        self,
        question: str = "",
        *,
        digits: int = 0,
        at_least: int = 1,
        at_most: int = 32,
        label: str = "",
        again: Sequence[str] = (),
        phrases: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.at_least, self.at_most = (digits, digits) if digits else (at_least, at_most)
        self.label = label or self.label
        many = f"{digits} digits" if digits else "digits"
        self.what = f"the {self.label}: {many}"
        self.expectation = Expectation("digits", self.at_least, self.at_most)
        self._begun = ""
        slots = (f"{{digits:{digits}}}", f"it's {{digits:{digits}}}") if digits else ("{digits}",)
        super().__init__(
            question or worded("What is your {label}?", label=called(self.label)),
            again=again or (_one_by_one(digits, self.label),),
            phrases=(*phrases, *slots),
            **options,
        )

    def forget(self) -> None:
        self._begun = ""

    def read(self, text: str) -> str | More | Wrong | None:
        return self._counted(parse.digits(text, self.voice.language), self._begun)

    def read_keys(self, keys: str) -> str | More | Wrong | None:
        return self._counted(keys, self._begun)

    def _counted(self, found: str, begun: str) -> str | More | Wrong | None:
        if not found:
            return None
        if begun and self.at_least <= len(begun + found) <= self.at_most:
            return begun + found
        if len(found) < self.at_least:
            self._begun = begun + found if len(begun + found) < self.at_least else found
            return More("And the rest?")
        if len(found) > self.at_most:
            return Wrong(worded("Those were {count} digits, that is too many.", count=len(found)))
        return found

    def read_back(self, value: str) -> str:
        return asked_back(" ".join(value))

    @function_tool
    def record(self, value: str) -> str:
        """Note the number.

        value: its digits only."""
        return self.offer(self._counted(re.sub(r"\D", "", value), ""))


def _one_by_one(digits: int, label: str) -> str:
    if not digits:
        return worded("Please say or key in the digits of your {label}, one by one.", label=called(label))
    text = "Please say or key in the {count} digits of your {label}, one by one."
    return worded(text, count=digits, label=called(label))


class AskPin(AskDigits):
    """A secret number by keys or voice: in no event, transcript, log, prompt or recording. `#` ends a shorter one.

    check: `lambda pin: None if pin == known else "That is not the right PIN."`. It is never read back."""

    label = "PIN"
    masked = True
    confirms = False

    def __init__(
        self, question: str = "Please key in or say your PIN.", *, digits: int = 4, **options: Any
    ) -> None:
        if "at_least" in options or "at_most" in options:
            digits = 0
        super().__init__(question, digits=digits, **options)

    def read_back(self, value: str) -> str:
        """Only how long it is."""
        return worded("I have {count} digits. Is that all?", count=len(value))


class AskPhoneNumber(Ask[str]):
    """A telephone number, checked against the numbering plans of the world. The value is E.164, such as +14155552671.

    country: where numbers without `+` belong, ISO 3166."""

    label = "phone number"
    what = "the caller's telephone number"
    takes_keys = True

    def __init__(
        self,
        question: str = "What is your phone number?",
        *,
        country: str = "US",
        again: Sequence[str] = (
            "Please say your phone number with its area code, digit by digit.",
            "Please key in your phone number with its area code.",
        ),
        phrases: Sequence[str] = ("{digits}", "my number is {digits}", "it's {digits}"),
        **options: Any,
    ) -> None:
        self.country = country.upper()
        self.expectation = Expectation("digits", *PHONE_LENGTHS.get(self.country, (7, LONGEST_PHONE)))
        self._begun = ""
        super().__init__(question, again=again, phrases=phrases, **options)

    def forget(self) -> None:
        self._begun = ""

    def read(self, text: str) -> str | More | Wrong | None:
        said = f" {' '.join(words_of(text, 'en'))} "
        plus = "+" in text or " plus " in said
        return self._number(parse.digits(text, self.voice.language), plus)

    def read_keys(self, keys: str) -> str | More | Wrong | None:
        return self._number(keys, False)

    def _number(self, found: str, plus: bool) -> str | More | Wrong | None:
        if not found:
            return None
        begun, self._begun = self._begun, ""
        if begun and (whole := self._valid(begun + found, begun.startswith("+"))):
            return whole
        if (value := self._valid(found, plus)) is not None:
            return value
        if len(found) < self.expectation_least:
            self._begun = (begun or ("+" if plus else "")) + found
            return More("And the rest?")
        return Wrong("That is not a phone number that I know of.")

    @property
    def expectation_least(self) -> int:
        """Digits that a number here has at least."""
        return self.expectation.at_least if self.expectation is not None else 0

    def _valid(self, found: str, plus: bool) -> str | None:
        text = f"+{found.lstrip('+')}" if plus else found
        try:
            number = phonenumbers.parse(text, self.country)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number):
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    def read_back(self, value: str) -> str:
        number = phonenumbers.parse(value, None)
        home = phonenumbers.region_code_for_number(number) == self.country
        form = (
            phonenumbers.PhoneNumberFormat.NATIONAL if home else phonenumbers.PhoneNumberFormat.INTERNATIONAL
        )
        groups = re.findall(r"\d+", phonenumbers.format_number(number, form))
        spoken = ", ".join(" ".join(group) for group in groups)
        return asked_back(spoken) if home else worded("plus {value}. Is that right?", value=spoken)

    @function_tool
    def record(self, number: str) -> str:
        """Note the telephone number.

        number: its digits, with a leading + if the caller named a country code."""
        reading = self._number(re.sub(r"\D", "", number), number.strip().startswith("+"))
        self.forget()
        return self.offer(Wrong("That number is too short.") if isinstance(reading, More) else reading)


@dataclass(frozen=True, slots=True, repr=False)
class Card:
    """A payment card. Printing it shows the last four digits only."""

    number: str
    year: int
    month: int

    def __repr__(self) -> str:
        return f"Card(•••• {self.number[-4:]})"

    __str__ = __repr__


class AskCard(Ask[Card]):
    """A card's number and expiry date, by keys or voice: in no event, transcript, log, prompt or recording.

    today: called for the day it is; a card that has expired is refused."""

    label = "card number"
    what = "the caller's payment card"
    masked = True
    takes_keys = True
    expectation = Expectation("digits", 13, 19)

    def __init__(
        self,
        question: str = "Please say or key in your card number.",
        *,
        today: Callable[[], date] = wall_clock.today,
        again: Sequence[str] = ("Please key in the long number on the front of your card.",),
        phrases: Sequence[str] = ("{digits}",),
        **options: Any,
    ) -> None:
        self._today = today
        self._number = self._begun = ""
        super().__init__(question, again=again, phrases=phrases, **options)

    def forget(self) -> None:
        self._number = self._begun = ""

    def read(self, text: str) -> Card | More | Wrong | None:
        if self._number:
            return self._expiry(*_month_and_year(text))
        return self._counted(parse.digits(text, self.voice.language))

    def read_keys(self, keys: str) -> Card | More | Wrong | None:
        if self._number:
            return self._expiry(int(keys[:2]), int(keys[2:])) if len(keys) in (4, 6) else None
        return self._counted(keys)

    def _counted(self, found: str) -> Card | More | Wrong | None:
        if not found:
            return None
        whole = self._begun + found
        if len(whole) < 12:
            self._begun = whole
            return More("And the rest?")
        for number in (whole, found):
            if 12 <= len(number) <= 19 and luhn(number):
                self._number = number
                return More("And the expiry date, month and year?", Expectation("digits", 3, 6))
        self._begun = ""
        return Wrong("That is not a valid card number.")

    def _expiry(self, month: int, year: int) -> Card | Wrong | None:
        if not 1 <= month <= 12 or not year:
            return None
        year += 2000 if year < 100 else 0
        today = self._today()
        if (year, month) < (today.year, today.month):
            return Wrong("That card has expired.")
        return Card(self._number, year, month) if year <= today.year + 20 else None

    def read_back(self, value: Card) -> str:
        """Only the last four digits."""
        return worded(
            "The card ending in {digits}, valid until {month} {year}. Is that right?",
            digits=" ".join(value.number[-4:]),
            month=month_worded(value.month),
            year=value.year,
        )


def luhn(number: str) -> bool:
    """Does the last digit check (ISO/IEC 7812-1 annex B)?"""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value // 10 + value % 10
    return total % 10 == 0


def _month_and_year(text: str) -> tuple[int, int]:
    """A card's expiry date: "twelve twenty seven", "december twenty twenty seven", "12/27"; 0 for what is missing."""
    words = words_of(parse.corrected(text), "en")
    named = next((MONTHS.index(word) + 1 for word in words if word in MONTHS), 0)
    values: list[int] = []
    at = 0
    while at < len(words):
        found = amount_at(words, at, "en")
        if found is None:
            at += 1
            continue
        values.append(found.value)
        at = found.end
    if values[:1] == [0]:  # "oh three", "zero three"
        values = values[1:]
    if len(values) == 1 and not named and values[0] > 99:  # "1227"
        return values[0] // 100, values[0] % 100
    month, rest = (named, values) if named else (values[0] if values else 0, values[1:])
    if not rest:
        return month, 0
    if len(rest) > 1 and rest[0] == 20:
        return month, 2000 + rest[1]
    if len(rest) > 1 and rest[0] < 10 and rest[1] < 10:  # "two seven"
        return month, 10 * rest[0] + rest[1]
    return month, rest[0]
