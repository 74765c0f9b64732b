"""Figures as people say them: dates, times, money, measures, telephone numbers, codes, and plain numbers.

Pure rules for traced.py, made once for a language and region. Driven by normalise.py, behind markdown and addresses.
The order is the point: what is a telephone number must not be read as a sum, nor a date as a range."""

from __future__ import annotations

import re
from re import Match

from pipeline.speaking.codes import PHONE, RUN, Codes, unread, unread_run
from pipeline.speaking.dates import Dates
from pipeline.speaking.numerals import LONGEST, cardinal, digits
from pipeline.speaking.traced import Part, Replacement, Rule
from pipeline.speaking.words import LANGUAGES, Words

SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
PESOS = frozenset({"mx"})  # where $ is not a dollar
POINT_REGIONS = frozenset({"mx", "us", "pr", "gt", "hn", "ni", "pa", "pe", "sv", "do", "ch", "li"})
GROUPING = {"en": ",", "de": ".'’\u00a0\u202f", "fr": " .\u00a0\u202f", "es": " .\u00a0\u202f"}

NOUNS = {  # behind a number, feminine if group f takes part
    "de": re.compile(r"\s(?:(?P<f>[A-ZÄÖÜ]\w*(?:e|ung|heit|keit|schaft|ion|tät|en))|[A-ZÄÖÜ]\w+)\b"),
    "fr": re.compile(
        r"\s(?P<f>(?:heure|minute|seconde|semaine|année|journée|nuit|personne|place|chambre|facture)s?)\b"
    ),
    "es": re.compile(
        r"\s(?:(?P<f>(?!(?:día|problema|idioma|mapa)s?\b)\w+(?:as?|ción|ciones|dad|dades))|\w{3,}[os]|mes)\b"
    ),
}


def figures(language: str, region: str) -> tuple[Rule, ...]:
    """The rules of a language. language: two letters, region: two small letters or empty."""
    words = LANGUAGES.get(language)
    if words is None:
        return (PHONE, unread), (RUN, unread_run)
    return _Figures(language, region, words).rules()


class _Figures:
    """The rules of one language and region."""

    def __init__(self, language: str, region: str, words: Words) -> None:
        self.language, self.region, self.words = language, region, words
        self._dates, self._codes = Dates(language, region, words), Codes(language, words)
        self.comma = words.comma and not (region in POINT_REGIONS and language != "fr")
        grouping = GROUPING[language] if self.comma or language in ("en", "de") else ","
        grouping = grouping.replace(".", "") if not self.comma else grouping
        whole = rf"(?:\d{{1,3}}(?:[{re.escape(grouping)}]\d{{3}})+(?![\d])|\d+)"
        tail = r"(?:,\d+|\.\d{1,2}(?!\d))?" if self.comma else r"(?:\.\d+)?"
        self.amount = rf"{whole}{tail}(?![.,]?\d)"
        self._whole = re.compile(whole)

    def rules(self) -> tuple[Rule, ...]:
        """In the order that keeps one kind from being taken for another."""
        times = (re.compile(r"(?<=\d)\s*[*×]\s*(?=\d)"), f" {self.words.times} ")
        fraction = re.compile(r"(?<![\w/.,])\d{1,4}/\d{1,4}(?![\w/]|[.,]\d)")
        return (
            *self._codes.spelled,
            *self._dates.dates,
            *self._codes.phone,
            times,
            *self._ranges(),
            *self._money(),
            *self._codes.codes,
            (fraction, self._fraction),
            self._measures(),
            *self._codes.runs,
            *self._dates.years,
            (re.compile(rf"(?<![\w.,)\]])([-−])?({self.amount})(?!\w)"), self._plain),
            *self._signs(),
        )

    # ------------------------------------------------------------ numbers

    def count(self, text: str, gender: str = "") -> str:
        """An amount as written, in words. gender: of the noun behind it."""
        whole = self._whole.match(text)
        if whole is None:
            return text
        plain = re.sub(r"\D", "", whole.group())
        if len(plain) > LONGEST:
            return digits(plain, self.language)
        number = int(plain)
        rest = text[whole.end() :]
        if not rest:
            return cardinal(number, self.language, gender)
        point = self.words.point[0 if rest[0] == "," else 1]
        decimals = rest[1:]
        if self.words.pairs and len(decimals) == 2 and decimals[0] != "0":
            said = cardinal(int(decimals), self.language)
        else:
            said = " ".join(cardinal(int(digit), self.language) for digit in decimals)
        return f"{cardinal(number, self.language)} {point} {said}"

    def _plain(self, found: Match[str]) -> Replacement:
        minus = f"{self.words.minus} " if found.group(1) else ""
        return minus + self.count(found.group(2), self._gender(found.string[found.end() :]))

    def _gender(self, behind: str) -> str:
        """Of the noun that follows, as far as one can see it: ein Tag, eine Stunde; doscientas personas."""
        pattern = NOUNS.get(self.language)
        noun = pattern.match(behind) if pattern else None
        return "" if noun is None else "f" if noun["f"] else "m"

    def _noun(self, amount: str, forms: str) -> tuple[str, str]:
        """The amount and the noun behind it. forms: `one|many`, `f:` in front if feminine."""
        gender = "f" if forms.startswith("f:") else "m"
        one, many = forms.removeprefix("f:").split("|")
        single = amount == "1" or (self.language == "fr" and amount == "0")
        return self.count(amount, gender), one if single else many

    def _fraction(self, found: Match[str]) -> Replacement:
        text = found.group()
        upper, lower = text.split("/")
        known = self.words.fractions.get(text)
        return known or f"{self.count(upper)} {self.words.over} {self.count(lower)}"

    def _ranges(self) -> tuple[Rule, ...]:
        """`5-10 km`: the dash is said; the numbers wait for what they measure."""

        def to(found: Match[str]) -> Replacement:
            first, dash, second = found.groups()
            if max(len(first), len(second)) > LONGEST:
                return None
            low, high = (int(re.sub(r"\D", "", text)) for text in (first, second))
            if dash.strip() == "-" and low >= high and max(len(first), len(second)) > 2:
                return None
            symbol = found.group()[0] if found.group()[0] in SYMBOLS else ""
            begin, end = found.span(2)
            parts: list[Part] = [(first, *found.span(1)), (f" {self.words.to} ", begin, end)]
            return [*parts, (symbol + second if symbol else second, *found.span(3))]

        dash = r"(\s?[-–—]\s?)"
        pattern = (
            rf"(?<![\w.,:/)-])[{''.join(SYMBOLS)}]?({self.amount}){dash}({self.amount})(?![\w/-]|[.,:]\d)"
        )
        times = rf"(?<=\d){dash}(?=\d{{1,2}}[:hH]\d\d)"
        return (re.compile(times), f" {self.words.to} "), (re.compile(pattern), to)

    # ------------------------------------------------------------ money and measures

    def _money(self) -> tuple[Rule, ...]:
        symbols, codes = "".join(SYMBOLS), "|".join(self.words.money)
        scales = "|".join(map(re.escape, sorted(self.words.scales, key=len, reverse=True)))
        scale = rf"(?:\s?(?P<scale>{scales})(?!\w))?"
        amount = rf"(?P<minus>[-−])?(?P<amount>{self.amount})"
        currency = rf"(?:US|CA|C|U\.S\.)?(?P<currency>[{symbols}]|\b(?:{codes}))"
        before = rf"(?<![\w.,])(?P<sign>[-−])?{currency}\s?{amount}{scale}"
        behind = (
            rf"(?<![\w.,]){amount}{scale}\s?(?:(?:US|CA|C)?(?P<currency>[{symbols}])|(?P<code>{codes})\b)"
        )
        words = "|".join(re.escape(name) for name in self.words.scales if len(name) > 2)
        alone = rf"(?<![\w.,])({self.amount})\s({words})(?!\w)"
        return (
            (re.compile(before), self._sum),
            (re.compile(behind), self._sum),
            (re.compile(alone), lambda found: " ".join(self._noun(found[1], self.words.scales[found[2]]))),
        )

    def _sum(self, found: Match[str]) -> Replacement:
        named = found.groupdict()
        currency = named["currency"] or named["code"]
        code = SYMBOLS.get(currency, currency)
        if currency == "$" and self.region in PESOS:
            code = "MXN"
        forms = self.words.money.get(code)
        if forms is None:
            return None
        feminine = "f:" if forms.startswith("f:") else ""
        one, many, small, smalls = forms.removeprefix("f:").split("|")
        minus = f"{self.words.minus} " if named["minus"] or named.get("sign") else ""
        amount = named["amount"]
        if named["scale"]:
            return minus + self._scaled(amount, self.words.scales[named["scale"]], many)
        whole, point, decimals = self._parted(amount)
        if not point or not small or len(decimals) > 2:
            return minus + " ".join(self._noun(amount, f"{feminine}{one}|{many}"))
        hundredths = int(decimals.ljust(2, "0"))
        pounds = " ".join(self._noun(whole, f"{feminine}{one}|{many}"))
        if not hundredths:
            return minus + pounds
        pence = " ".join(self._noun(str(hundredths), f"{small}|{smalls}"))
        return minus + (pence if not whole.strip("0") else f"{pounds} {self.words.cents} {pence}")

    def _scaled(self, amount: str, forms: str, currency: str) -> str:
        said = " ".join(self._noun(amount, forms))
        if not self.words.of or said.endswith((" mil", " mille")):
            return f"{said} {currency}"
        of = "d'" if self.language == "fr" and currency[0] in "aeiouy" else f"{self.words.of} "
        return f"{said} {of}{currency}"

    def _parted(self, amount: str) -> tuple[str, str, str]:
        whole = self._whole.match(amount)
        end = whole.end() if whole else len(amount)
        return amount[:end], amount[end : end + 1], amount[end + 1 :]

    def _measures(self) -> Rule:
        units = self.words.units
        close = [unit for unit in units if not (len(unit) == 1 and unit.isalpha())]
        both = "|".join(map(re.escape, sorted(close, key=len, reverse=True)))
        apart = "|".join(unit for unit in units if unit not in close)
        unit = rf"(?:\s?(?P<unit>{both})|\s(?P<letter>{apart}))(?![\w/])"

        def measure(found: Match[str]) -> Replacement:
            minus = f"{self.words.minus} " if found["minus"] else ""
            sign = found["unit"] or found["letter"]
            amount, noun = self._noun(found["amount"], units[sign])
            at = found.start(found.lastgroup or 0)
            dot = "." if sign.endswith(".") and found.end() == len(found.string) else ""
            return [
                (minus + amount, found.start(), found.end("amount")),
                (f" {noun}{dot}", at, found.end()),
            ]

        return re.compile(rf"(?<![\w.,])(?P<minus>[-−])?(?P<amount>{self.amount}){unit}"), measure

    def _signs(self) -> tuple[Rule, ...]:
        words = self.words
        return (
            (re.compile(r"#(?=\d|\w)"), f"{words.number} "),
            *(
                (
                    re.compile(
                        rf"(?<!\S){re.escape(sign)}(?=\s|\w)|(?<=\w)\s{re.escape(sign)}(?=[\s.,;!?]|$)"
                    ),
                    f" {said} ",
                )
                for sign, said in words.signs.items()
            ),
        )
