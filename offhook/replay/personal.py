"""What in a text tells who somebody is: long numbers in figures and words, e-mail addresses, names that are told or
spelled. Found by rule, so that it is the same everywhere and needs no model; rules miss names that nobody announces.

Pure. Used by anonymise.py. English, German, French and Spanish, all at once: a text's language need not be known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.hearing.numerals import digit_groups, fold, words_of

LEAST_DIGITS = 4  # in a row; shorter ones are times, amounts and choices
LEAST_LETTERS = 3  # one by one: a spelled name
LANGUAGES = ("en", "de", "fr", "es")
NUMBER, MAIL, NAME, GONE = "[number]", "[e-mail]", "[name]", "***"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Journal and call.json: these hold no words of people. What is not here, and is text, is masked by what it says.
PLAIN_KEYS = _words(
    "type wall line agent came_from old new provider kind cause policy by name id worker direction called plan rule "
    "version recording started ended ended_by code codec srtp trunk arm arms toolset file digit voice usage media "
    "followed verstat answered"
)
NUMBER_KEYS = _words("caller diverted_from transferred_to target consult_target from to redirected_to")
GONE_KEYS = _words("caller_name sip_call_id source identity headers messages vcon")

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DOT, _AT = r"(?:dot|point|punkt|punto)", r"(?:at|ät|arroba|arobase|arrobase|klammeraffe)"
_SPOKEN_MAIL = re.compile(
    rf"\b\w+(?:\s+{_DOT}\s+\w+)*\s+{_AT}\s+(?:\w+\s+){{1,3}}?{_DOT}\s+\w+\b", re.IGNORECASE
)
_TOLD = re.compile(
    r"\b(?:my (?:first |last |full )?name(?: is|'s)|mein (?:vor|nach)?name ist|ich hei(?:ß|ss)e|je m'appelle|"
    r"mon nom est|me llamo|mi nombre es|(?:last|first|sur) ?name is)\s+((?:[^\W\d_]+[ .-]*){1,3})",
    re.IGNORECASE,
)
_NO_NAMES = _words(
    "and i my the it is a an to for und ich der die das et je le la y yo el que on in at with from can have but"
)
_SPELLED = re.compile(rf"\b[^\W\d_](?:[\s.,-]+[^\W\d_]\b){{{LEAST_LETTERS - 1},}}", re.UNICODE)
_FIGURES = re.compile(r"\+?\d(?:[\d\s./()-]*\d)?")


def masked(text: str, names: Iterable[str] = ()) -> str:
    """The text with `[number]`, `[e-mail]` and `[name]` for what tells who somebody is. names: known ones."""
    found = [(*match.span(), MAIL) for match in _MAIL.finditer(text)]
    found += [(*match.span(), MAIL) for match in _SPOKEN_MAIL.finditer(text)]
    found += [
        (*match.span(), NUMBER) for match in _FIGURES.finditer(text) if _digits(match[0]) >= LEAST_DIGITS
    ]
    found += [(*match.span(), NAME) for match in _SPELLED.finditer(text)]
    for language in LANGUAGES:
        found += [(start, end, NUMBER) for start, end in _spoken_numbers(text, language)]
    for match in _TOLD.finditer(text):
        found += [
            (match.start(1), end, NAME) for end in [_name_end(text, match.start(1), match.end(1))] if end
        ]
    known = {fold(word) for name in names for word in _WORD.findall(name) if len(word) > 2}
    found += [(*match.span(), NAME) for match in _WORD.finditer(text) if fold(match[0]) in known]
    return _replaced(text, sorted(found))


def masked_number(number: str) -> str:
    """A phone number that keeps its length and its first digits, by which plans tell countries: +49000000000."""
    user, at, host = number.partition("@")
    seen = 0
    out = []
    for sign in user:
        seen += sign.isdigit()
        out.append("0" if sign.isdigit() and seen > 2 else sign)
    plain = "".join(out)
    return plain + at + host if seen >= LEAST_DIGITS or not plain.strip("+") else masked(plain) + at + host


def masked_row(row: Mapping[str, Any], names: Iterable[str] = ()) -> dict[str, Any]:
    """An event or call.json without what tells who the caller is. Numbers, times and our own names stay."""
    known = list(names)
    return {key: _value(key, value, known) for key, value in row.items()}


def _value(key: str, value: Any, names: list[str]) -> Any:
    if key.startswith("pii_"):
        return GONE
    if key in GONE_KEYS:
        return type(value)() if isinstance(value, str | list | dict) else None
    if key in PLAIN_KEYS and not isinstance(value, dict | list):
        return value
    if isinstance(value, str):
        if key in NUMBER_KEYS:
            return masked_number(value)
        return _arguments(value, names) if key in ("arguments", "result") else masked(value, names)
    if isinstance(value, dict):
        return value if key in ("usage", "media", "plan", "rule", "arms") else masked_row(value, names)
    if isinstance(value, list):
        return [_value(key, item, names) for item in value]
    return value


def _arguments(text: str, names: list[str]) -> str:
    """A tool's arguments or result: JSON stays JSON."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return masked(text, names)
    return json.dumps(_inside(found, names), ensure_ascii=False)


def _inside(value: Any, names: list[str]) -> Any:
    if isinstance(value, str):
        return masked(value, names)
    if isinstance(value, dict):
        return {key: _inside(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_inside(item, names) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10 ** (LEAST_DIGITS - 1):
        return 0
    return value


def _spoken_numbers(text: str, language: str) -> list[tuple[int, int]]:
    """Where number words stand in a row that make LEAST_DIGITS digits or more."""
    words, places = [], []
    for match in _WORD.finditer(text):
        for part in words_of(match[0], language):
            words.append(part)
            places.append(match.span())
    found: list[tuple[int, int]] = []
    start, end, digits = 0, -1, ""
    for group in [*digit_groups(words, language), None]:
        if group is not None and group.start <= end + 1 and digits:  # one word between: "and", "dash"
            end, digits = group.end, digits + group.digits
            continue
        if len(digits) >= LEAST_DIGITS:
            found.append((places[start][0], places[end - 1][1]))
        if group is not None:
            start, end, digits = group.start, group.end, group.digits
    return found


def _name_end(text: str, start: int, end: int) -> int:
    """Where a name that was announced ends: after two words, or before one that is no name. 0: there is none."""
    last = 0
    for match in list(_WORD.finditer(text[:end], start))[:2]:
        if fold(match[0]) in _NO_NAMES:
            break
        last = match.end()
    return last


def _digits(text: str) -> int:
    return sum(sign.isdigit() for sign in text)


def _replaced(text: str, found: list[tuple[int, int, str]]) -> str:
    out, at = [], 0
    for start, end, label in found:
        if start < at:
            if end > at:  # overlaps what was masked: that grows
                at = end
            continue
        out += [text[at:start], label]
        at = end
    return "".join([*out, text[at:]])
