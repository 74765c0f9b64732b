"""Is a date or a time of day all there? English, German, French and Spanish.

Pure. Asked by expectation.py. Finds out how much was said, not which day it is: that is slots.py's and the model's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.hearing.numerals import amount_at, digit_groups, number_words, tongue
from pipeline.hearing.progress import Progress

YEARS = range(1000, 3000)
CENTURIES = (19, 20)  # said last, the rest of the year follows: "nineteen | eighty five"

_PART = re.compile(r"\d+|\D+")


@dataclass(frozen=True)
class Calendar:
    """One language's words for days and hours, folded."""

    months: frozenset[str]
    days: frozenset[str]  # a whole answer: weekdays, "tomorrow"
    openers: frozenset[str]  # last, they announce more: "next", "of"
    o_clock: frozenset[str] = frozenset()  # with an hour before it, a whole time
    whole_times: frozenset[str] = frozenset()  # "noon"
    before_hour: tuple[str, ...] = ()  # "half past"
    after_hour: frozenset[str] = frozenset()  # "(las tres y) media"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CALENDARS = {
    "en": Calendar(
        months=_words(
            "january february march april may june july august september october november december"
            " jan feb mar apr jun jul aug sep sept oct nov dec"
        ),
        days=_words("monday tuesday wednesday thursday friday saturday sunday today tomorrow yesterday tonight"),
        openers=_words("next this on the of in last after before at past to day"),
        o_clock=_words("o'clock am pm a.m p.m m hours"),
        whole_times=_words("noon midnight midday"),
        before_hour=("half past", "quarter past", "quarter to", "half"),
    ),
    "de": Calendar(
        months=_words(
            "januar janner februar feber marz maerz april mai juni juno juli august september oktober november dezember"
        ),
        days=_words(
            "montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag heute morgen ubermorgen gestern"
        ),
        openers=_words("nachsten nachster am den der im vom letzten diesen kommenden um gegen vor nach"),
        o_clock=_words("uhr"),
        whole_times=_words("mittag mittags mitternacht"),
        before_hour=("halb", "viertel vor", "viertel nach", "viertel", "dreiviertel"),
    ),
    "fr": Calendar(
        months=_words("janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre"),
        days=_words("lundi mardi mercredi jeudi vendredi samedi dimanche demain hier aujourd'hui apres-demain"),
        openers=_words("le du de au a vers et prochain moins apres"),
        o_clock=_words("heure heures h"),
        whole_times=_words("midi minuit"),
        after_hour=_words("quart demie demi"),
    ),
    "es": Calendar(
        months=_words(
            "enero febrero marzo abril mayo junio julio agosto septiembre setiembre octubre noviembre diciembre"
        ),
        days=_words("lunes martes miercoles jueves viernes sabado domingo hoy manana ayer"),
        openers=_words("el de del la las a y menos proximo pasado"),
        o_clock=_words("horas tarde noche madrugada punto"),
        whole_times=_words("mediodia medianoche"),
        after_hour=_words("media cuarto"),
    ),
}  # fmt: skip
NO_CALENDAR = Calendar(frozenset(), frozenset(), frozenset())


def date(words: Sequence[str], language: str, *, with_year: bool) -> Progress:
    """How much of a day was said. with_year: a weekday or "the third of march" is not enough."""
    calendar = CALENDARS.get(tongue(language), NO_CALENDAR)
    said = _apart(words)
    values = list(_values(said, language))
    named_month = any(word in calendar.months for word in said)
    named_day = any(word in calendar.days for word in said)
    if not (values or named_month or named_day):
        return Progress.OTHER
    if said[-1] in calendar.openers:
        return Progress.BEGUN
    numbers = [value for value in values if value < YEARS.start]
    needed = 1 if named_month else 2
    has_day = len(numbers) >= needed and all(1 <= value <= 31 for value in numbers[:needed])
    has_day = has_day and (named_month or min(numbers[:needed]) <= 12)
    if with_year:
        year = _year(values, numbers[needed:], in_figures=said[-1].isdecimal())
        return year if has_day else Progress.BEGUN
    return Progress.COMPLETE if has_day or named_day else Progress.BEGUN


def _year(values: Sequence[int], rest: Sequence[int], *, in_figures: bool) -> Progress:
    """How much of the year was said. rest: numbers below 1000 that are neither day nor month."""
    years = [value for value in values if value in YEARS]
    if years:
        more = (
            years[-1] % 100 == 0 and not in_figures
        )  # "two thousand | and five", "mille neuf cents | quatre-vingts"
        return Progress.ENOUGH if more else Progress.COMPLETE
    return Progress.BEGUN if not rest or rest[-1] in CENTURIES else Progress.COMPLETE


def time_of_day(words: Sequence[str], language: str) -> Progress:
    """How much of a time was said: "three thirty" is all of one, "three" may be, "half past" is not."""
    calendar = CALENDARS.get(tongue(language), NO_CALENDAR)
    said = _apart(words)
    if any(word in calendar.whole_times for word in said):
        return Progress.COMPLETE
    text = f" {' '.join(said)} "
    lead = next((lead for lead in calendar.before_hour if f" {lead} " in text), "")
    if lead and text.endswith(f" {lead} "):
        return Progress.BEGUN
    hours = [int(group.digits[:4]) for group in digit_groups(said, language)]
    if not hours or hours[0] > 2400 or 24 < hours[0] < 100:
        return Progress.OTHER
    if said[-1] in calendar.openers:
        return Progress.BEGUN
    marked = any(word in calendar.o_clock or word in calendar.after_hour for word in said)
    return Progress.COMPLETE if lead or marked or len(hours) > 1 or hours[0] >= 100 else Progress.ENOUGH


def _values(said: Sequence[str], language: str) -> Iterator[int]:
    """All numbers and ordinals, in order."""
    ordinals = number_words(language).ordinals
    at = 0
    while at < len(said):
        size = next((size for size in (2, 1) if " ".join(said[at : at + size]) in ordinals), 0)
        if size:
            yield ordinals[" ".join(said[at : at + size])]
            at += size
        elif (found := amount_at(said, at, language)) is not None:
            yield found.value
            at = found.end
        else:
            at += 1


def _apart(words: Sequence[str]) -> list[str]:
    """Figures apart from letters: 3rd, 15h30, 3pm."""
    return [part for word in words for part in _PART.findall(word)]
