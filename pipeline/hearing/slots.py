"""What a phrase leaves open: `{digits:4}`, `{yes_no}`, `{date}`, `{number}`, `{time}` in things people say.

Pure. Used by the embedded recogniser's grammar, by the scripted language model and by whoever compares a text
with a phrase. Not a score of likeness: a text fits a phrase as a whole, word by word, or it does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.errors import ConfigError

UNITS: dict[str, int] = {
    "zero": 0, "oh": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9,
}  # fmt: skip
TEENS: dict[str, int] = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS: dict[str, int] = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}  # fmt: skip
REPEATS: dict[str, int] = {"double": 2, "triple": 3}
YES: tuple[str, ...] = (
    "yes", "yeah", "yep", "yup", "sure", "okay", "ok", "correct", "right", "absolutely", "definitely",
    "exactly", "of course", "that's right", "that is right", "that's correct", "that is correct",
    "yes please", "yes of course", "yes that's right", "yes that is right", "sure thing",
)  # fmt: skip
NO: tuple[str, ...] = (
    "no", "nope", "nah", "wrong", "incorrect", "never", "not really", "no thanks", "no thank you",
    "no way", "that's wrong", "that is wrong", "not at all", "of course not", "no that's wrong",
    "no that is wrong",
)  # fmt: skip
WEEKDAYS: tuple[str, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: tuple[str, ...] = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
ORDINALS: dict[str, int] = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14,
    "fifteenth": 15, "sixteenth": 16, "seventeenth": 17, "eighteenth": 18, "nineteenth": 19,
    "twentieth": 20, "thirtieth": 30,
}  # fmt: skip

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SLOT = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Slot:
    """An open place in a phrase. kind: one of KINDS. count: exactly so many digits, None for any number."""

    kind: str
    count: int | None = None


Piece: TypeAlias = str | Slot
Found: TypeAlias = Iterator[tuple[int, str]]  # (index behind the last word taken, value), the longest first


def words(text: str) -> list[str]:
    """Lower case, no punctuation: "Fine, I'll call-back!" is fine, i'll, call, back."""
    return _WORD.findall(text.casefold().replace("\u2019", "'"))


def parse(phrase: str) -> tuple[Piece, ...]:
    """A phrase as literal words and slots, in order.

    Raises ConfigError for an unknown slot, a count where none belongs, a stray brace and an empty phrase.
    """
    pieces: list[Piece] = []
    place = 0
    for found in _SLOT.finditer(phrase):
        pieces += _literal(phrase, phrase[place : found.start()])
        pieces.append(_slot(phrase, found.group(1)))
        place = found.end()
    pieces += _literal(phrase, phrase[place:])
    if not pieces:
        raise ConfigError(f"phrase {phrase!r} has no words. Write what a caller says, or remove it.")
    return tuple(pieces)


def match(phrase: str, text: str) -> dict[str, str] | None:
    """The slots' values if `text` says `phrase` from its first word to its last, else None; {} without slots.

    Values: digits "4271", number "25", yes_no "yes" or "no", date "friday", "tomorrow", "3 march", time
    "3:30 pm". A second slot of one kind is called "digits_2", and so on. Raises ConfigError as `parse` does.
    """
    pieces = parse(phrase)
    values = _fit(pieces, words(text), 0)
    if values is None:
        return None
    result: dict[str, str] = {}
    kinds = [piece.kind for piece in pieces if isinstance(piece, Slot)]
    for place, (kind, value) in enumerate(zip(kinds, values, strict=True)):
        nth = kinds[:place].count(kind) + 1
        result[kind if nth == 1 else f"{kind}_{nth}"] = value
    return result


def _literal(phrase: str, text: str) -> list[str]:
    if "{" in text or "}" in text:
        raise ConfigError(f"phrase {phrase!r} has a brace without its partner. Slots look like {{digits:4}}.")
    return words(text)


def _slot(phrase: str, inside: str) -> Slot:
    kind, colon, count = (part.strip() for part in inside.partition(":"))
    if kind not in KINDS:
        known = ", ".join(f"{{{name}}}" for name in KINDS)
        raise ConfigError(
            f"phrase {phrase!r}: no slot {{{inside}}}. Known: {known}, {{digits:4}}. Use one of them."
        )
    if not colon:
        return Slot(kind)
    if kind != "digits" or not re.fullmatch(r"[1-9]|[12][0-9]|3[0-2]", count):
        raise ConfigError(
            f"phrase {phrase!r}: {{{inside}}} is no count of digits. Write {{digits:1}} to {{digits:32}}."
        )
    return Slot(kind, int(count))


def _fit(pieces: Sequence[Piece], said: Sequence[str], at: int) -> list[str] | None:
    """Fit pieces to the words from `at` to the end; the slots' values in order, or None."""
    if not pieces:
        return [] if at == len(said) else None
    first, rest = pieces[0], pieces[1:]
    if isinstance(first, str):
        return _fit(rest, said, at + 1) if at < len(said) and said[at] == first else None
    for end, value in KINDS[first.kind](said, at):
        if first.count is not None and len(value) != first.count:
            continue
        if (values := _fit(rest, said, end)) is not None:
            return [value, *values]
    return None


# ---------------------------------------------------------------- one reader a kind of slot


def _digits(said: Sequence[str], at: int) -> Found:
    """A number read out: "four two seven one", "oh", "double two", "forty two seventy one", "42 71"."""
    ends: list[tuple[int, str]] = []
    value = ""
    while at < len(said):
        word, after = said[at], said[at + 1] if at + 1 < len(said) else ""
        if word in REPEATS and (digit := _digit(after)):
            value, at = value + digit * REPEATS[word], at + 2
        elif digit := _digit(word):
            value, at = value + digit, at + 1
        elif word in TENS:
            unit = UNITS.get(after, 0)
            value, at = value + str(TENS[word] + unit), at + (2 if unit else 1)
        elif word in TEENS:
            value, at = value + str(TEENS[word]), at + 1
        else:
            break
        ends.append((at, value))
    return reversed(ends)


def _digit(word: str) -> str:
    if word.isascii() and word.isdigit():
        return word
    return "0" if word == "o" else str(UNITS[word]) if word in UNITS else ""


def _yes_no(said: Sequence[str], at: int) -> Found:
    found = [
        (at + len(parts), value)
        for value, choices in (("yes", YES), ("no", NO))
        for parts in (choice.split() for choice in choices)
        if list(said[at : at + len(parts)]) == parts
    ]
    return iter(sorted(found, reverse=True))


def _number(said: Sequence[str], at: int) -> Found:
    """A quantity below a million: "twenty five", "a hundred and five", "two thousand", "25"."""
    if at < len(said) and said[at].isascii() and said[at].isdigit():
        yield at + 1, said[at]
        return
    ends: list[tuple[int, str]] = []
    thousands = 0
    group: int | None = None  # what stands below the next "thousand"
    while at < len(said):
        word = said[at]
        if word == "a" and at + 1 < len(said) and said[at + 1] in ("hundred", "thousand") and group is None:
            group, at = 1, at + 1
            continue
        if word == "and" and (thousands or (group or 0) >= 100) and group is not None and group % 100 == 0:
            at += 1
            continue
        grown = _grow(group, word)
        if grown is not None:
            group = grown
        elif word == "thousand" and group and not thousands:
            thousands, group = group * 1000, 0
        else:
            break
        at += 1
        ends.append((at, str(thousands + (group or 0))))
    yield from reversed(ends)


def _grow(group: int | None, word: str) -> int | None:
    """A number below 1000 with its next word, or None if that word cannot follow."""
    if word == "hundred":
        return group * 100 if group and group < 10 else None
    if word in UNITS and word != "oh":
        unit = UNITS[word]
        if group is None:
            return unit
        tens = group % 100
        return group + unit if unit and (tens == 0 or (tens >= 20 and tens % 10 == 0)) and group else None
    small = TEENS.get(word) or TENS.get(word)
    if small is None:
        return None
    return small if not group else group + small if group % 100 == 0 else None


def _date(said: Sequence[str], at: int) -> Found:
    """A day: "next friday", "tomorrow", "the third of march", "march 3rd", "friday the third of march"."""
    if at < len(said) and said[at] == "on":
        at += 1
    rest = list(said[at : at + 4])
    for text in ("the day after tomorrow", "day after tomorrow", "today", "tomorrow"):
        parts = text.split()
        if rest[: len(parts)] == parts:
            yield at + len(parts), text.removeprefix("the ")
            return
    which = rest[0] if rest and rest[0] in ("this", "next") else ""
    day = rest[1 if which else 0 :][:1]
    weekday = day[0] if day and day[0] in WEEKDAYS else ""
    if weekday:
        behind = at + (2 if which else 1)
        name = f"{which} {weekday}".strip()
        for end, value in _day_of_month(said, behind):
            yield end, f"{name} {value}"
        yield behind, name
        return
    yield from _day_of_month(said, at)


def _day_of_month(said: Sequence[str], at: int) -> Found:
    start = at + 1 if at < len(said) and said[at] == "the" else at
    for behind, day in _ordinal(said, start):
        month = behind + 1 if behind < len(said) and said[behind] == "of" else behind
        if month < len(said) and said[month] in MONTHS:
            yield month + 1, f"{day} {said[month]}"
            return
    if at < len(said) and said[at] in MONTHS:
        start = at + 2 if at + 1 < len(said) and said[at + 1] == "the" else at + 1
        for behind, day in _ordinal(said, start):
            yield behind, f"{day} {said[at]}"
            return


def _ordinal(said: Sequence[str], at: int) -> Iterator[tuple[int, int]]:
    if at >= len(said):
        return
    word, after = said[at], said[at + 1] if at + 1 < len(said) else ""
    tens, unit = TENS.get(word, 0), ORDINALS.get(after, 0)
    if tens in (20, 30) and 1 <= unit <= (9 if tens == 20 else 1):
        yield at + 2, tens + unit
    elif word in ORDINALS:
        yield at + 1, ORDINALS[word]
    elif (figure := re.fullmatch(r"([0-9]{1,2})(?:st|nd|rd|th)?", word)) and 1 <= int(figure.group(1)) <= 31:
        yield at + 1, int(figure.group(1))


def _time(said: Sequence[str], at: int) -> Found:
    """A time of day: "three pm", "half past three", "quarter to four", "three thirty", "noon", "15:30"."""
    rest = list(said[at : at + 3])
    if rest[:1] in (["noon"], ["midnight"]):
        yield at + 1, rest[0]
        return
    for lead, shift in (("half past", 30), ("quarter past", 15), ("quarter to", -15)):
        if rest[:2] == lead.split() and (hour := _hour(rest[2:3])) is not None and 1 <= hour <= 12:
            clock = (hour * 60 + shift - 60) % 720 + 60
            yield from _half_of_day(said, at + 3, f"{clock // 60}:{clock % 60:02d}")
            return
    hour = _hour(rest[:1])
    if hour is None:
        return
    for behind, minute in _minute(said, at + 1):
        yield from _half_of_day(said, behind, f"{hour}:{minute:02d}")
    behind = at + 2 if rest[1:2] == ["o'clock"] else at + 1
    yield from _half_of_day(said, behind, f"{hour}:00")


def _hour(word: Sequence[str]) -> int | None:
    if not word:
        return None
    if word[0].isascii() and word[0].isdigit():
        return int(word[0]) if len(word[0]) <= 2 and int(word[0]) < 24 else None
    return (
        {**UNITS, **TEENS}.get(word[0])
        if word[0] in ("ten", "eleven", "twelve") or UNITS.get(word[0])
        else None
    )


def _minute(said: Sequence[str], at: int) -> Iterator[tuple[int, int]]:
    word, after = (*said[at : at + 2], "", "")[:2]
    if re.fullmatch(r"[0-5][0-9]", word):
        yield at + 1, int(word)
    elif word in ("oh", "o") and UNITS.get(after):
        yield at + 2, UNITS[after]
    elif TENS.get(word, 60) < 60:
        if unit := UNITS.get(after):
            yield at + 2, TENS[word] + unit
        yield at + 1, TENS[word]
    elif word in TEENS:
        yield at + 1, TEENS[word]


def _half_of_day(said: Sequence[str], at: int, clock: str) -> Found:
    rest = list(said[at : at + 2])
    for half in ("am", "pm"):
        if rest[:1] == [half]:
            yield at + 1, f"{clock} {half}"
        elif rest == list(half):
            yield at + 2, f"{clock} {half}"
    yield at, clock


KINDS: dict[str, Callable[[Sequence[str], int], Found]] = {
    "digits": _digits,
    "yes_no": _yes_no,
    "date": _date,
    "number": _number,
    "time": _time,
}
