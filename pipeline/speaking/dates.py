"""Dates, times of day and places in a row, as people say them.

Pure rules for traced.py. Driven by figures.py, before anything else looks at the digits."""

from __future__ import annotations

import re
from re import Match

from pipeline.speaking.numerals import cardinal, ordinal, year
from pipeline.speaking.traced import Replacement, Rule
from pipeline.speaking.words import Words

MONTH_FIRST = frozenset({"", "us"})  # of English: 5/12 is May
NOON = 12
GERMAN_N = "am|vom|zum|zur|dem|den|des|der|im|beim|bis|ab|seit|einem|einen|einer|jedem|jeden|unserem|unseren"
WEEK = "Montag|Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonntag"
ISO = re.compile(
    r"(?<![\d-])(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d:\d\d)(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\d-])"
)
LOCAL = re.compile(r"(?<![\w./-])(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d\d)(?![\w/-]|\.\d)")
YEAR = re.compile(r"(?<![\w.,-])(?:1[1-9]|20)\d\d(?!\w|[.,]\d)")
RANKED = re.compile(  # a lookbehind has one width: words by their length
    r"(?:(?<=\b(?i:am|im|um|ab) )|(?<=\b(?i:der|die|das|dem|den|des|ein|zum|zur|vom|bis|und) )"
    r"|(?<=\b(?i:beim|eine|seit) )|(?<=\b(?i:einem|einen|einer) ))"
    r"(\d{1,3})\.(?=\s+[A-ZÄÖÜ]|\s+(?:und|oder|bis)\b)"
)


class Dates:
    """The rules of one language and region."""

    def __init__(self, language: str, region: str, words: Words) -> None:
        self.language, self.region = language, region
        self._months = words.months.split()
        names = [*self._months, *words.months_short.split()]
        self.months = "|".join(sorted(names, key=len, reverse=True))
        own = {"en": self._english, "de": self._german, "fr": self._french, "es": self._spanish}
        self.dates: tuple[Rule, ...] = ((ISO, self._iso), (LOCAL, self._local_date), *own[language]())
        said = language in ("en", "de")
        self.years: tuple[Rule, ...] = ((YEAR, lambda found: self._year(found.group())),) if said else ()

    def _year(self, text: str) -> str:
        return year(int(text), self.language)

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
        name = self._months[month - 1]
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
            tail = f" {half}" if half else "" if minute else " o'clock" if hour > 0 else " hundred"
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
            (RANKED, ranked),
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
