"""Text made speakable: no markdown, no emoji; addresses, money, numbers and dates as one says them.

Pure. Driven by replying.py, once a piece. English in full; other languages lose what cannot be spoken, hear long
numbers digit by digit and addresses in their own words, and are left alone otherwise. Not a phonetiser: a voice
knows how to say `42` and `3:30`."""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

Rule = tuple[re.Pattern[str], str | Callable[[Match[str]], str]]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
}
ORDINALS |= {"twelve": "twelfth"}
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MONEY = {
    "$": ("dollar", "cent"),
    "USD": ("dollar", "cent"),
    "€": ("euro", "cent"),
    "EUR": ("euro", "cent"),
    "£": ("pound", "penny"),
    "GBP": ("pound", "penny"),
    "CHF": ("franc", "centime"),
}
SPELLED = {  # dot, at, slash, dash, underscore
    "en": ("dot", "at", "slash", "dash", "underscore"),
    "de": ("Punkt", "ät", "Schrägstrich", "Bindestrich", "Unterstrich"),
    "fr": ("point", "arobase", "barre oblique", "tiret", "tiret bas"),
    "es": ("punto", "arroba", "barra", "guion", "guion bajo"),
}
AND = {"en": "and", "de": "und", "fr": "et", "es": "y"}


def speakable(text: str, language: str = "en-US") -> str:
    """One piece as a voice should read it; empty if there is nothing to say. language: BCP 47 tag."""
    tongue = language[:2].lower()
    text = _applied(MARKDOWN, text)
    text = URL.sub(lambda found: _address(found, tongue), text)
    text = EMAIL.sub(lambda found: _address(found, tongue), text)
    text = _applied(ENGLISH if tongue == "en" else FOREIGN, text)
    text = re.sub(r"(?<=\w)\s*&\s*(?=\w)", f" {AND.get(tongue, '&')} ", text)
    text = _applied(LEFTOVERS, text).strip()
    return text if any(map(str.isalnum, text)) else ""


def _applied(rules: tuple[Rule, ...], text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


# ---------------------------------------------------------------- what is written but not spoken

_EMOJI = (
    "[\U0001f000-\U0001faff\U000e0000-\U000e007f\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u2500-\u27bf\u2b00-\u2bff"
    "\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff\u20e3\u2122\u00a9\u00ae]+"
)

MARKDOWN: tuple[Rule, ...] = (
    (re.compile(r"^\s*(```|~~~).*$", re.M), ""),
    (re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.S), " "),
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)"), r"\1"),
    (re.compile(r"^\s*#{1,6}\s+(.*?)\s*#*\s*$", re.M), r"\1"),
    (re.compile(r"^\s*(?:[-*_]\s*){3,}$", re.M), ""),
    (re.compile(r"^\s*>+\s?", re.M), ""),
    (re.compile(r"^\s*[-*+•‣·]\s+(?:\[[ xX]\]\s+)?", re.M), ""),
    (re.compile(r"^\s*(\d{1,3})[.)]\s+(?=\S)", re.M), r"\1, "),
    (re.compile(r"^\s*\|?[-:|\s]*-{3,}[-:|\s]*$", re.M), ""),
    (re.compile(r"\s*\|\s*"), ", "),
    (re.compile(r"\*+(?=\S)([^*]+?)(?<=\S)\*+"), r"\1"),
    (re.compile(r"(?<!\w)_+(?=\S)([^_]+?)(?<=\S)_+(?!\w)"), r"\1"),
    (re.compile(r"~~(.+?)~~"), r"\1"),
    (re.compile(r"`+([^`]*)`+"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])"), r"\1"),
    (re.compile(_EMOJI), " "),
)

LEFTOVERS: tuple[Rule, ...] = (
    (re.compile(r"[*`~^<>{}\[\]\\|]+|(?<!\w)[_#]+|_+(?!\w)"), " "),
    (re.compile(r"\s*[—–]\s*|\s+-{1,3}\s+"), ", "),
    (re.compile(r"\s+"), " "),
    (re.compile(r"\s+([,.;:!?])(?!\d)"), r"\1"),
    (re.compile(r"([,;:])(?:\s*[,;:])+"), r"\1"),
    (re.compile(r",(?=[.!?])|^[,;:.\s]+(?=\w)"), ""),
)

# ---------------------------------------------------------------- addresses

_HOST = r"(?:[a-zA-Z0-9-]+\.)+[a-zA-Z]{2,}"
URL = re.compile(rf"(?:https?://(?:www\.)?|www\.){_HOST}(?::\d+)?(?:/[^\s<>()\"]*[^\s<>()\".,;:!?])?/?")
EMAIL = re.compile(rf"[\w.+-]+@{_HOST}")


def _address(found: Match[str], tongue: str) -> str:
    dot, at, slash, dash, underscore = SPELLED.get(tongue, SPELLED["en"])
    text = re.sub(r"^https?://(www\.)?|^www\.|[?#].*$", "", found.group()).rstrip("/")
    for character, word in (
        (".", dot),
        ("@", at),
        ("/", slash),
        ("-", dash),
        ("_", underscore),
        ("+", "plus"),
    ):
        text = text.replace(character, f" {word} ")
    return " ".join(text.split())


# ---------------------------------------------------------------- numbers

_AMOUNT = r"(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d{1,2}))?(?![\d.,]*\d)"
_SCALE = r"(?:\s+(thousand|million|billion|trillion)\b)?"
_PHONE = re.compile(
    r"(?<![\w.,/-])(\+\d{1,3}[\s.-]?)?(\(\d{2,5}\)[\s.-]?)?\d{2,5}(?:[\s.-]\d{2,8}){1,4}(?![\w/-]|[.,]\d)"
)
NOT_A_PHONE = re.compile(r"\d{1,2}([.-])\d{1,2}\1\d{2,4}|\d{1,3}(?:\.\d{3})+")  # 12.05.2026, 10.000.000
_RUN = re.compile(r"(?<![\w.,/:-])\+?(?:\d{5,}|0\d+)(?![\w/:-]|[.,]\d)")
_CODE = re.compile(
    r"\b(code|pin|extension|ext|number|ending in|ends in|id|account|reference|ticket|digits)"
    r"(\s+is)?[:.#]?\s+(\d{3,})\b",
    re.I,
)


def _in_words(number: int) -> str:
    """0 to 99 in English."""
    if number < 20:
        return DIGITS[number] if number < 10 else TEENS[number - 10]
    tens, rest = divmod(number, 10)
    return TENS[tens] + (f"-{DIGITS[rest]}" if rest else "")


def _ordinal(found: Match[str]) -> str:
    number = int(found.group(1))
    if number > 99:
        return found.group()
    head, dash, last = _in_words(number).rpartition("-")
    return head + dash + (ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th"))


def _digit_words(digits: str) -> str:
    """Digit by digit, with a breath where the writer left a gap."""
    groups = re.findall(r"\d+", digits)
    words = ", ".join(" ".join(DIGITS[int(digit)] for digit in group) for group in groups)
    return f"plus {words}" if digits.lstrip().startswith("+") else words


def _digits_apart(digits: str) -> str:
    """The same for a language whose words are not known here: the voice reads single digits."""
    groups = ", ".join(" ".join(group) for group in re.findall(r"\d+", digits))
    return f"+ {groups}" if digits.lstrip().startswith("+") else groups


def _phone(say: Callable[[str], str]) -> Callable[[Match[str]], str]:
    def replace(found: Match[str]) -> str:
        text = found.group()
        number = sum(map(str.isdigit, text)) >= 7 and not NOT_A_PHONE.fullmatch(text)
        return say(text) if number else text

    return replace


def _plural(amount: str, unit: str) -> str:
    if amount == "1":
        return f"{amount} {unit}"
    return f"{amount} pence" if unit == "penny" else f"{amount} {unit}s"


def _money(whole: str, cents: str | None, scale: str | None, currency: str) -> str:
    unit, small = MONEY[currency]
    if scale:
        return f"{whole}.{cents} {scale} {unit}s" if cents else f"{whole} {scale} {unit}s"
    hundredths = int((cents or "0").ljust(2, "0"))
    if not hundredths:
        return _plural(whole, unit)
    small_part = _plural(str(hundredths), small)
    return small_part if whole == "0" else f"{_plural(whole, unit)} and {small_part}"


def _date(found: Match[str]) -> str:
    year, month, day = found.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return found.group()
    return f"{MONTHS[int(month) - 1]} {int(day)}, {year}"


_SYMBOLS, _CODES = "$€£", "USD|EUR|GBP|CHF"

ENGLISH: tuple[Rule, ...] = (
    (re.compile(r"(?<![\d-])(\d{4})-(\d\d)-(\d\d)(?![\d-])"), _date),
    (
        re.compile(rf"(?:US|U\.S\.)?([{_SYMBOLS}])\s?{_AMOUNT}{_SCALE}"),
        lambda m: _money(m[2], m[3], m[4], m[1]),
    ),
    (re.compile(rf"\b({_CODES})\s?{_AMOUNT}{_SCALE}"), lambda m: _money(m[2], m[3], m[4], m[1])),
    (
        re.compile(rf"(?<![\d.,]){_AMOUNT}{_SCALE}\s?([{_SYMBOLS}]|(?:{_CODES})\b)"),
        lambda m: _money(m[1], m[2], m[3], m[4]),
    ),
    (_PHONE, _phone(_digit_words)),
    (_CODE, lambda m: f"{m[1]}{m[2] or ''} {_digit_words(m[3])}"),
    (_RUN, lambda m: _digit_words(m.group())),
    (re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b", re.I), _ordinal),
    (re.compile(r"\b(\d{1,2}):00\s*([ap])\.?m\b", re.I), lambda m: f"{m[1]} {m[2].upper()}M"),
    (re.compile(r"(?<=\d)\s*[*×]\s*(?=\d)"), " times "),
    (re.compile(r"(?<=\d)\s?%"), " percent"),
    (re.compile(r"#(?=\d)"), "number "),
    (re.compile(r"\be\.g\.,?\s?"), "for example "),
    (re.compile(r"\bi\.e\.,?\s?"), "that is "),
    (
        re.compile(r"(?<=\d)\s?°\s?([CF])\b"),
        lambda m: " degrees " + {"C": "Celsius", "F": "Fahrenheit"}[m[1]],
    ),
)

FOREIGN: tuple[Rule, ...] = (
    (_PHONE, _phone(_digits_apart)),
    (
        re.compile(r"(?<![\w.,/:-])\+?(?:\d{7,}|0\d{2,})(?![\w/:-]|[.,]\d)"),
        lambda m: _digits_apart(m.group()),
    ),
)
