"""Figures as people say them: dates, times, money, measures, telephone numbers, codes, and plain numbers.

Pure rules for traced.py, made once for a language and region. Driven by normalise.py, behind markdown and addresses.
The order is the point: what is a telephone number must not be read as a sum, nor a date as a range."""

from __future__ import annotations

import re
from re import Match

from pipeline.speaking.numerals import LIMIT, cardinal, digits, ordinal, year
from pipeline.speaking.traced import Part, Replacement, Rule
from pipeline.speaking.words import LANGUAGES, Words

SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
PESOS = frozenset({"mx"})  # where $ is not a dollar
POINT_REGIONS = frozenset({"mx", "us", "pr", "gt", "hn", "ni", "pa", "pe", "sv", "do", "ch", "li"})
MONTH_FIRST = frozenset({"", "us"})  # of English: 5/12 is May
GROUPING = {"en": ",", "de": ".'’\u00a0\u202f", "fr": " .\u00a0\u202f", "es": " .\u00a0\u202f"}
NOON = 12

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
GERMAN_N = "am|vom|zum|zur|dem|den|des|der|im|beim|bis|ab|seit|einem|einen|einer|jedem|jeden|unserem|unseren"
NOUNS = {  # behind a number, feminine if group f takes part
    "de": re.compile(r"\s(?:(?P<f>[A-ZÄÖÜ]\w*(?:e|ung|heit|keit|schaft|ion|tät|en))|[A-ZÄÖÜ]\w+)\b"),
    "fr": re.compile(
        r"\s(?P<f>(?:heure|minute|seconde|semaine|année|journée|nuit|personne|place|chambre|facture)s?)\b"
    ),
    "es": re.compile(
        r"\s(?:(?P<f>(?!(?:día|problema|idioma|mapa)s?\b)\w+(?:as?|ción|ciones|dad|dades))|\w{3,}[os]|mes)\b"
    ),
}
WEEK = "Montag|Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonntag"


def figures(language: str, region: str) -> tuple[Rule, ...]:
    """The rules of a language. language: two letters, region: two small letters or empty."""
    words = LANGUAGES.get(language)
    if words is None:
        return (PHONE, lambda found: _apart(found, PHONE)), (RUN, lambda found: _apart(found, None))
    return _Figures(language, region, words).rules()


def _apart(found: Match[str], phone: re.Pattern[str] | None) -> Replacement:
    """In a language whose words are not known here: single digits, which the voice reads one by one."""
    text = found.group()
    count = sum(map(str.isdigit, text))
    if count < 7 and not (phone is None and text.startswith("0")) or (phone and NOT_A_PHONE.fullmatch(text)):
        return None
    return _grouped(found, "+ ", " ".join)


def _grouped(found: Match[str], plus: str, say: object) -> list[Part]:
    """Each group of digits by itself, with a comma between two."""
    begin, text = found.start(), found.group()
    parts: list[Part] = []
    for number, group in enumerate(re.finditer(r"\d+", text)):
        said = say(group.group())  # type: ignore[operator]
        lead = plus if number == 0 and text.startswith("+") else ", " if number else ""
        parts.append((f"{lead}{said}", begin + group.start(), begin + group.end()))
    return parts


class _Figures:
    """The rules of one language and region."""

    def __init__(self, language: str, region: str, words: Words) -> None:
        self.language, self.region, self.words = language, region, words
        self.comma = words.comma and not (region in POINT_REGIONS and language != "fr")
        grouping = GROUPING[language] if self.comma or language in ("en", "de") else ","
        grouping = grouping.replace(".", "") if not self.comma else grouping
        whole = rf"(?:\d{{1,3}}(?:[{re.escape(grouping)}]\d{{3}})+(?![\d])|\d+)"
        tail = r"(?:,\d+|\.\d{1,2}(?!\d))?" if self.comma else r"(?:\.\d+)?"
        self.amount = rf"{whole}{tail}(?![.,]?\d)"
        self._whole = re.compile(whole)
        self.months = "|".join(sorted((*words.months, *words.months_short), key=len, reverse=True))

    def rules(self) -> tuple[Rule, ...]:
        own = {"en": self._english, "de": self._german, "fr": self._french, "es": self._spanish}[
            self.language
        ]()
        return (
            (IBAN, self._spell_groups),
            (SPELLED, self._spelled),
            (
                re.compile(
                    r"(?<![\d-])(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d:\d\d)(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\d-])"
                ),
                self._iso,
            ),
            (
                re.compile(r"(?<![\w./-])(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)(?![\w/-]|\.\d)"),
                self._local_date,
            ),
            *own,
            (PHONE, self._phone),
            (re.compile(r"(?<=\d)\s*[*×]\s*(?=\d)"), f" {self.words.times} "),
            *self._ranges(),
            *self._money(),
            (
                re.compile(
                    rf"\b(?i:{self.words.markers})(?:\s+(?:is|ist|est|es|lautet|:))?[:.#]?\s+(?=[A-Z0-9])((?:[A-Z0-9-]+)(?:[ ](?:[A-Z]{{1,3}}|\d{{3,}})(?!\w))*)(?!\w)"
                ),
                self._marked,
            ),
            *(((PLATE, self._spell_groups),) if self.language == "de" else ()),
            (CODE, self._code),
            (re.compile(r"(?<![\w/.,])\d{1,4}/\d{1,4}(?![\w/]|[.,]\d)"), self._fraction),
            self._measures(),
            (RUN, self._run),
            *self._years(),
            (re.compile(rf"(?<![\w.,)\]])([-−])?({self.amount})(?!\w)"), self._plain),
            *self._signs(),
        )

    # ------------------------------------------------------------ numbers

    def count(self, text: str, gender: str = "") -> str:
        """An amount as written, in words. gender: of the noun behind it."""
        whole = self._whole.match(text)
        if whole is None:
            return text
        number = int(re.sub(r"\D", "", whole.group()))
        if number >= LIMIT:
            return digits(str(number), self.language)
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

    def _run(self, found: Match[str]) -> Replacement:
        """A long number is a code, unless it is round."""
        plus, number = found.groups()
        if not plus and number.endswith("000") and not number.startswith("0") and len(number) < 10:
            return None
        return ("plus " if plus else "") + digits(number, self.language)

    def _years(self) -> tuple[Rule, ...]:
        if self.language not in ("en", "de"):
            return ()
        pattern = re.compile(r"(?<![\w.,-])(?:1[1-9]|20)\d\d(?!\w|[.,]\d)")
        return ((pattern, lambda found: self._year(found.group())),)

    def _year(self, text: str) -> str:
        return year(int(text), self.language)

    def _fraction(self, found: Match[str]) -> Replacement:
        text = found.group()
        upper, lower = text.split("/")
        known = self.words.fractions.get(text)
        return known or f"{self.count(upper)} {self.words.over} {self.count(lower)}"

    def _ranges(self) -> tuple[Rule, ...]:
        """`5-10 km`: the dash is said; the numbers wait for what they measure."""

        def to(found: Match[str]) -> Replacement:
            first, dash, second = found.groups()
            low, high = (int(re.sub(r"\D", "", text) or 0) for text in (first, second))
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
        before = rf"(?<![\w.,])(?P<sign>[-−])?(?:US|CA|C|U\.S\.)?(?P<currency>[{symbols}]|\b(?:{codes}))\s?{amount}{scale}"
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
        return minus + (
            pence if int(re.sub(r"\D", "", whole)) == 0 else f"{pounds} {self.words.cents} {pence}"
        )

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

    # ------------------------------------------------------------ letters and digits one by one

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

    # ------------------------------------------------------------ dates and times

    def _iso(self, found: Match[str]) -> Replacement:
        return self._date(found, int(found[3]), int(found[2]), found[1], f", {found[4]}" if found[4] else "")

    def _local_date(self, found: Match[str]) -> Replacement:
        first, second = int(found[1]), int(found[3])
        day, month = (
            (second, first) if self.language == "en" and self.region in MONTH_FIRST else (first, second)
        )
        if month > NOON:
            day, month = month, day
        return self._date(found, day, month, found[4] if len(found[4]) == 4 else f"20{found[4]}", "")

    def _date(self, found: Match[str], day: int, month: int, years: str, more: str) -> Replacement:
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return None
        return self._day(day, month, found) + self._of_year(years) + more

    def _of_year(self, years: str) -> str:
        if self.language == "en":
            return f", {self._year(years)}"
        return f" de {self._year(years)}" if self.language == "es" else f" {self._year(years)}"

    def _day(self, day: int, month: int, found: Match[str]) -> str:
        name = self.words.months[month - 1]
        if self.language == "en" and self.region in MONTH_FIRST:
            return f"{name} {ordinal(day, 'en')}"
        if self.language == "en":
            the = "" if found.string[: found.start()].endswith("the ") else "the "
            return f"{the}{ordinal(day, 'en')} of {name}"
        if self.language == "de":
            return f"{self._german_ordinal(day, found)} {name}"
        number = self._day_of_month(day)
        return f"{number} {name}" if self.language == "fr" else f"{number} de {name}"

    def _day_of_month(self, day: int) -> str:
        return "premier" if self.language == "fr" and day == 1 else cardinal(day, self.language)

    def _clock(self, hour: int, minute: int, half: str = "") -> str:
        """A time of day. half: AM or PM where it was written."""
        if self.language == "en":
            minutes = (
                ""
                if not minute
                else f" oh {cardinal(minute, 'en')}"
                if minute < 10
                else f" {cardinal(minute, 'en')}"
            )
            hours = cardinal(hour, "en")
            tail = f" {half}" if half else "" if minute else " o'clock" if 0 < hour else " hundred"
            return f"{hours}{minutes}{tail}"
        tail = f" {cardinal(minute, self.language)}" if minute else ""
        if self.language == "de":
            return f"{cardinal(hour, 'de', 'm')} Uhr{tail}"
        if self.language == "fr":
            return f"{cardinal(hour, 'fr', 'f')} {'heure' if hour < 2 else 'heures'}{tail}"
        return (
            f"{cardinal(hour, 'es', 'f')}{tail}"
            if minute
            else f"{cardinal(hour, 'es', 'f')} {'hora' if hour == 1 else 'horas'}"
        )

    def _time(self, found: Match[str]) -> Replacement:
        hour, minute = int(found["hour"]), int(found["minute"] or 0)
        if hour > 24 or minute > 59:
            return None
        half = found.groupdict().get("half")
        dot = "." if found.group().endswith(".") and found.end() == len(found.string.rstrip()) else ""
        return self._clock(hour, minute, f"{half.upper()}M" if half else "") + dot

    # ------------------------------------------------------------ what only one language has

    def _english(self) -> tuple[Rule, ...]:
        def dated(found: Match[str]) -> Replacement:
            """May 12, 2026: month and year stay."""
            if not 1 <= int(found[2]) <= 31:
                return None
            return [
                (found[1], *found.span(1)),
                (" ", *found.span(1)),
                (ordinal(int(found[2]), "en"), found.start(2), found.end()),
            ]

        return (
            (
                re.compile(
                    r"(?<![\w:.,])(?P<hour>\d{1,2}):(?P<minute>\d\d)(?!:?\d)(?:\s?(?P<half>[ap])\.?m\b\.?)?",
                    re.I,
                ),
                self._time,
            ),
            (
                re.compile(r"(?<![\w:.,])(?P<hour>\d{1,2})(?P<minute>)\s?(?P<half>[ap])\.?m\b\.?", re.I),
                self._time,
            ),
            (re.compile(rf"\b({self.months})\.?\s(\d{{1,2}})(?:st|nd|rd|th)?(?![\w:/]|[.,]\d)"), dated),
            (
                re.compile(r"(?<!\w)(\d{1,9})(?:st|nd|rd|th)\b", re.I),
                lambda found: ordinal(int(found[1]), "en"),
            ),
        )

    def _german_ordinal(self, number: int, found: Match[str]) -> str:
        before = found.string[: found.start()].split()[-1:]
        word = before[0].lower().strip(",(") if before else ""
        if word in ("der", "die", "das") and not re.search(
            rf"(?:{WEEK}),? der $", found.string[: found.start()]
        ):
            return ordinal(number, "de", "spellout-ordinal")
        return ordinal(
            number, "de", "spellout-ordinal-n" if word in GERMAN_N.split("|") else "spellout-ordinal-r"
        )

    def _german(self) -> tuple[Rule, ...]:
        def ranked(found: Match[str]) -> Replacement:
            return self._german_ordinal(int(found[1]), found)

        def short_date(found: Match[str]) -> Replacement:
            day, month = int(found[1]), int(found[2])
            return self._day(day, month, found) if 1 <= month <= 12 and 1 <= day <= 31 else None

        before = rf"{GERMAN_N}|die|das|ein|eine|und|oder"
        return (
            (
                re.compile(
                    r"(?<![\w:.,])(?P<hour>\d{1,2})(?::|\.(?=\d\d\s?Uhr))(?P<minute>\d\d)(?![:\d])(?:\s?Uhr\b)?"
                ),
                self._time,
            ),
            (re.compile(r"(?<![\w:.,])(?P<hour>\d{1,2})(?P<minute>)\s?Uhr\b(?!\s\d)"), self._time),
            (re.compile(r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(?!\d)"), short_date),
            (re.compile(rf"(?<![\w.,])(\d{{1,2}})\.(?=\s?(?:{self.months})\b)"), ranked),
            (
                re.compile(
                    rf"(?:(?<=\b(?i:am|im|um|ab) )|(?<=\b(?i:der|die|das|dem|den|des|ein|zum|zur|vom|bis|und) )|(?<=\b(?i:beim|eine|seit) )|(?<=\b(?i:einem|einen|einer) ))(\d{{1,3}})\.(?=\s+[A-ZÄÖÜ]|\s+(?:und|oder|bis)\b)"
                ),
                ranked,
            ),
        )

    def _french(self) -> tuple[Rule, ...]:
        feminine = "spellout-ordinal-feminine"
        return (
            (
                re.compile(
                    r"(?<![\w:.,])(?P<hour>\d{1,2})(?:\s?[hH]\s?|:)(?P<minute>\d\d)(?![:\d])(?:\s?h\b)?"
                ),
                self._time,
            ),
            (re.compile(r"(?<![\w:.,])(?P<hour>\d{1,2})(?P<minute>)\s?(?:h|heures?)\b(?!\s?\d)"), self._time),
            (
                re.compile(r"(?<!\w)(\d{1,4})(?:re|ère|ere)\b"),
                lambda found: ordinal(int(found[1]), "fr", feminine),
            ),
            (re.compile(r"(?<!\w)(\d{1,4})(?:er|e|è|ème|eme)\b"), lambda found: ordinal(int(found[1]), "fr")),
            (re.compile(rf"(?<!\w)1(?=\s(?:{self.months})\b)"), "premier"),
        )

    def _spanish(self) -> tuple[Rule, ...]:
        short, feminine = "spellout-ordinal-masculine-adjective", "spellout-ordinal-feminine"
        return (
            (
                re.compile(
                    r"(?<![\w:.,])(?P<hour>\d{1,2}):(?P<minute>\d\d)(?![:\d])(?:\s?(?:h|hs|horas)\b\.?)?"
                ),
                self._time,
            ),
            (
                re.compile(r"(?<!\w)(\d{1,4})\.?(?:er|ᵉʳ)\b"),
                lambda found: ordinal(int(found[1]), "es", short),
            ),
            (
                re.compile(r"(?<!\w)(\d{1,4})\.?[ºo°](?=\s|$)(?!\s?[CF]\b)"),
                lambda found: ordinal(int(found[1]), "es"),
            ),
            (re.compile(r"(?<!\w)(\d{1,4})\.?ª"), lambda found: ordinal(int(found[1]), "es", feminine)),
        )
