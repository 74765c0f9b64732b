"""Who somebody is and where: name, e-mail address, postal address."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.agent.tasks import parse
from pipeline.agent.tasks.ask import Ask, More, Wrong
from pipeline.agent.tasks.wording import asked_back, worded
from pipeline.agent.tools import function_tool
from pipeline.hearing.expectation import Expectation
from pipeline.hearing.numerals import digit_groups, words_of


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name. Either part may be empty if it was not asked for."""

    first: str = ""
    last: str = ""

    def __str__(self) -> str:
        return f"{self.first} {self.last}".strip()


class AskName(Ask[Name]):
    """A name. parts: "full", "first" or "last". spelling: have the last part spelled."""

    label = "name"
    expectation = Expectation("name")

    def __init__(
        self,
        question: str = "",
        *,
        parts: str = "full",
        spelling: bool = False,
        again: Sequence[str] = (
            "Could you tell me your name once more, please?",
            "Please spell your last name.",
        ),
        **options: Any,
    ) -> None:
        self.parts, self.spelling = parts, spelling
        wanted = "name" if parts == "full" else f"{parts} name"
        self.label = wanted
        self.what = f"the caller's {wanted}"
        self._found = Name()
        self._spelled = False
        super().__init__(question or f"What is your {wanted}, please?", again=again, **options)

    def forget(self) -> None:
        self._found, self._spelled = Name(), False

    def read(self, text: str) -> Name | More | Wrong | None:
        words = parse.name(text)
        if words is None:
            return None
        spelled = parse.letters(text)
        self._spelled = self._spelled or (len(spelled) > 1 and spelled == words[-1].lower())
        return self._with(words)

    def _with(self, words: tuple[str, ...]) -> Name | More:
        if self.parts == "first":
            self._found = Name(first=" ".join(words))
        elif self.parts == "last":
            self._found = Name(last=" ".join(words))
        elif len(words) > 1:
            self._found = Name(" ".join(words[:-1]), words[-1])
        elif self._found.first:
            self._found = Name(self._found.first, words[0])
        else:
            self._found = Name(first=words[0])
            return More("And your last name?")
        if self.spelling and not self._spelled:
            return More("Could you spell that for me, please?", Expectation("spelling", 2, 0))
        return self._found

    def read_back(self, value: Name) -> str:
        if not self.spelling:
            return asked_back(value)
        letters = "-".join((value.last or value.first).upper())
        return worded("{value}, spelled {letters}. Is that right?", value=value, letters=letters)

    @function_tool
    def record(self, first: str = "", last: str = "") -> str:
        """Note the caller's name.

        first: first name or names. last: last name. Leave empty what you have not been told."""
        if self.parts == "full" and not (first and last):
            known = Name(first or self._found.first, last or self._found.last)
            if not (known.first and known.last):
                self._found = known
                return self.offer(More("And your last name?" if known.first else "And your first name?"))
            first, last = known.first, known.last
        return self.offer(Name(first.strip(), last.strip()) if (first + last).strip() else None)


class AskEmail(Ask[str]):
    """An e-mail address, checked for its form only."""

    label = "e-mail address"
    what = "the caller's e-mail address"
    expectation = Expectation("email")

    def __init__(
        self,
        question: str = "What is your e-mail address?",
        *,
        again: Sequence[str] = (
            "Please say your e-mail address slowly, with at and dot.",
            "Please spell your e-mail address, letter by letter.",
        ),
        **options: Any,
    ) -> None:
        super().__init__(question, again=again, **options)

    def read(self, text: str) -> str | More | Wrong | None:
        return parse.email(text)

    def read_back(self, value: str) -> str:
        local, _, domain = value.partition("@")
        if not (local.isalpha() and len(local) > 2):
            return asked_back(value)
        text, letters = "{value}. That is {letters}, at {domain}. Is that right?", "-".join(local.upper())
        return worded(text, value=value, letters=letters, domain=domain)

    @function_tool
    def record(self, address: str) -> str:
        """Note the e-mail address.

        address: as it is written, such as jon.smith@example.com."""
        value = parse.email(address)
        return self.offer(value if value is not None else Wrong(f"{address!r} is no e-mail address."))


@dataclass(frozen=True, slots=True)
class Address:
    """Where letters go."""

    street: str
    house_number: str
    postcode: str
    city: str

    def __str__(self) -> str:
        return f"{self.house_number} {self.street}, {self.city}, {self.postcode}"


POSTCODES = {
    "US": r"\d{5}(?:-?\d{4})?", "DE": r"\d{5}", "FR": r"\d{5}", "ES": r"\d{5}", "IT": r"\d{5}", "AT": r"\d{4}",
    "CH": r"\d{4}", "BE": r"\d{4}", "AU": r"\d{4}", "NL": r"\d{4}[a-z]{2}", "CA": r"(?:[a-z]\d){3}",
    "GB": r"[a-z]{1,2}\d[a-z\d]?\d[a-z]{2}",
}  # fmt: skip
_FIELDS = ("street", "postcode", "city")
_QUESTIONS = {
    "street": "What is the street and house number?",
    "postcode": "And the postcode?",
    "city": "And the city?",
}
_LEADS = re.compile(
    r"^(?:(?:um|uh|well|yes|it's|it is|that's|that is|i live (?:at|in|on)"
    r"|my (?:address|street|city|postcode|zip code) is"
    r"|the (?:address|street|city|postcode|zip code|zip) is|in|at|on|zip code|postcode|city|number)\s+)+",
    re.IGNORECASE,
)


class AskAddress(Ask[Address]):
    """Street, house number, postcode and city, one after the other, or all at once with commas or by the model.

    country: whose postcodes, ISO 3166; of others any letters and digits will do."""

    label = "address"
    what = "the caller's postal address: street, house number, postcode, city"

    def __init__(
        self, question: str = "What is your address? Please begin with street and house number.",
        *, country: str = "US", again: Sequence[str] = ("Please say street and house number.",), **options: Any,
    ) -> None:  # fmt: skip
        self.country = country.upper()
        self._parts: dict[str, str] = {}
        super().__init__(question, again=again, **options)

    def forget(self) -> None:
        self._parts = {}

    def read(self, text: str) -> Address | More | Wrong | None:
        missing = [field for field in _FIELDS if field not in self._parts]
        said = parse.corrected(text)
        pieces = [piece for piece in re.split(r"\s*,\s*", said) if piece.strip()]
        for piece in pieces if len(pieces) > 1 else [said]:
            field = self._fits(piece, missing if len(pieces) > 1 else missing[:1])
            if field is not None:
                missing.remove(field)
        if len(missing) == 3:
            return None
        return self._so_far(missing)

    def _so_far(self, missing: Sequence[str]) -> Address | More:
        if missing:
            expectation = Expectation("spelling", 4, 9) if missing[0] == "postcode" else None
            return More(_QUESTIONS[missing[0]], expectation)
        return Address(**{name: self._parts[name] for name in ("street", "house_number", "postcode", "city")})

    def _fits(self, piece: str, fields: Sequence[str]) -> str | None:
        piece = _LEADS.sub("", piece.strip(" .")).strip()
        for field in fields:
            if field == "postcode" and (code := self._postcode(piece)):
                self._parts["postcode"] = code
            elif field == "street" and (found := _street(piece)):
                self._parts["street"], self._parts["house_number"] = found
            elif field == "city" and piece and not any(sign.isdigit() for sign in piece):
                self._parts["city"] = _titled(piece)
            else:
                continue
            return field
        return None

    def _postcode(self, piece: str) -> str:
        code = parse.letters(piece) or re.sub(r"[\s-]", "", piece.lower())
        pattern = POSTCODES.get(self.country, r"(?=.*\d)[a-z\d]{3,10}")
        return code.upper() if re.fullmatch(pattern, code) else ""

    def read_back(self, value: Address) -> str:
        first = f"{value.house_number} {value.street}" if self.country in ("US", "GB", "CA", "AU", "FR") else (
            f"{value.street} {value.house_number}"
        )  # fmt: skip
        text = "{street}, {city}, postcode {postcode}. Is that right?"
        return worded(text, street=first, city=value.city, postcode=" ".join(value.postcode))

    @function_tool
    def record(self, street: str = "", house_number: str = "", postcode: str = "", city: str = "") -> str:
        """Note the address, or the parts of it that you know so far.

        house_number: with its letter, such as 12a. Leave empty what you have not been told."""
        if postcode and not self._postcode(postcode):
            return self.offer(Wrong(f"{postcode} is no postcode there."))
        given = {
            "street": street,
            "house_number": house_number,
            "city": city,
            "postcode": self._postcode(postcode),
        }
        self._parts |= {name: value.strip() for name, value in given.items() if value.strip()}
        missing = [field for field in _FIELDS if field not in self._parts]
        if "house_number" not in self._parts and "street" in self._parts:
            return self.offer(More("And the house number?"))
        return self.offer(self._so_far(missing))


def _street(piece: str) -> tuple[str, str] | None:
    """Street and house number: "12 main street", "twelve b main street", "hauptstrasse 5"."""
    written = re.fullmatch(r"(\d+\s?[a-z]?)\s+(\D.*)|(\D.*?)\s+(\d+\s?[a-z]?)", piece, re.IGNORECASE)
    if written is not None:
        number, street = (written[1], written[2]) if written[1] else (written[4], written[3])
        return _titled(street), number.replace(" ", "").lower()
    words = words_of(piece, "en")
    groups = digit_groups(words, "en")
    if not groups or len(words) < 2:
        return None
    if groups[0].start == 0:  # "twelve fifty main street"
        end = 0
        for group in groups:
            if group.start != end:
                break
            end = group.end
        number, rest = "".join(group.digits for group in groups if group.end <= end), words[end:]
    else:
        number, rest = "".join(group.digits for group in groups), words[: groups[0].start]
    if rest and len(rest[0]) == 1 and len(rest) > 2:
        number, rest = number + rest[0], rest[1:]
    return (_titled(" ".join(rest)), number) if rest else None


def _titled(text: str) -> str:
    return " ".join(word if word != word.lower() else word.capitalize() for word in text.split())
