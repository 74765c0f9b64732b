"""Days and hours as callers say them, as a calendar has them. English.

Pure: what today is comes in. A day without a year is the next one, or the last one where the past is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time, timedelta

from pipeline.agent.tasks.parse import corrected
from pipeline.hearing.numerals import amount_at, digit_groups, number_words, words_of
from pipeline.hearing.slots import MONTHS, WEEKDAYS

_MONTHS = {name: at for at, name in enumerate(MONTHS, 1)} | {
    name[:3]: at for at, name in enumerate(MONTHS, 1)
}
_MONTHS |= {"sept": 9}
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_SIGNED = re.compile(r"\b(\d{1,2})[./](\d{1,2})(?:[./](\d{2,4}))?\b")
_CLOCK = re.compile(r"\b([01]?\d|2[0-3])[:.]([0-5]\d)\b")
_SPANS = {"day": 1, "days": 1, "week": 7, "weeks": 7}
_PM = (
    "pm",
    "p m",
    "in the afternoon",
    "in the evening",
    "at night",
    "tonight",
    "this afternoon",
    "this evening",
)
_AM = ("am", "a m", "in the morning", "this morning", "tomorrow morning")


def day(text: str, today: date, *, past: bool = False, day_first: bool = False) -> date | None:
    """The day that is meant. past: a birthday, not an appointment. day_first: how 3/4 is read."""
    text = corrected(text)
    if (found := _in_figures(text, today, past, day_first)) is not None:
        return found
    words = _parted(text)
    return _relative(words, today, past) or _named(words, today, past)


def year_missing(text: str) -> bool:
    """Is this a day of a month without a year?"""
    words = _parted(corrected(text))
    return _named(words, date(2000, 1, 1), False) is not None and _year(words) is None


def hour(text: str, *, earliest: time | None = None, latest: time | None = None) -> time | None:
    """The time of day. Without am or pm it is the one between earliest and latest, else one of the working day."""
    text = corrected(text)
    said = f" {' '.join(words_of(text, 'en'))} "
    if " noon " in said or " midday " in said:
        return time(12)
    if " midnight " in said:
        return time(0)
    pm = any(f" {phrase} " in said for phrase in _PM) or bool(re.search(r"\dpm\b", said))
    am = any(f" {phrase} " in said for phrase in _AM) or bool(re.search(r"\dam\b", said))
    found = _clock(text, said)
    if found is None:
        return None
    hours, minutes = found
    if hours > 12 or hours == 0:
        return time(hours % 24, minutes)
    if pm or am:
        return time(hours % 12 + (12 if pm else 0), minutes)
    return _likely(hours % 12, minutes, earliest, latest)


def _likely(hours: int, minutes: int, earliest: time | None, latest: time | None) -> time:
    """Morning or afternoon, when nobody said so."""
    choices = (time(hours, minutes), time(hours + 12, minutes))
    fits = [one for one in choices if (earliest or time.min) <= one <= (latest or time.max)]
    if len(fits) == 1:
        return fits[0]
    return choices[0] if 7 <= hours < 12 else choices[1]


# ---------------------------------------------------------------- days


def _in_figures(text: str, today: date, past: bool, day_first: bool) -> date | None:
    if (iso := _ISO.search(text)) is not None:
        return _date(int(iso[1]), int(iso[2]), int(iso[3]))
    found = _SIGNED.search(text)
    if found is None or (found[3] is None and "." in found[0]):
        return None
    one, two = int(found[1]), int(found[2])
    one, two = (one, two) if day_first or "." in found[0] else (two, one)
    if two > 12 >= one:
        one, two = two, one
    if found[3] is None:
        return _nearest(today, two, one, past)
    return _date(_century(int(found[3]), today, past), two, one)


def _relative(words: Sequence[str], today: date, past: bool) -> date | None:
    said = f" {' '.join(words)} "
    if " day after tomorrow " in said:
        return today + timedelta(2)
    for word, days in (("today", 0), ("tonight", 0), ("tomorrow", 1), ("yesterday", -1)):
        if f" {word} " in said:
            after = _weekday(words, today + timedelta(days), False) if " week from " in said else None
            return after or today + timedelta(days + (7 if " week from " in said else 0))
    for at, word in enumerate(words):
        if word in _SPANS and at:
            number = amount_at(words, at - 1, "en")
            count = 1 if words[at - 1] in ("a", "one") else number.value if number else 0
            if count and (
                "in" in words[:at] or words[at + 1 : at + 3] == ["from", "today"] or " from now " in said
            ):
                return today + timedelta(count * _SPANS[word])
    return None if _has_month(words) else _weekday(words, today, past)


def _weekday(words: Sequence[str], today: date, past: bool) -> date | None:
    at = next(
        (at for at, word in enumerate(words) if word in WEEKDAYS or word.removesuffix("s") in WEEKDAYS), None
    )
    if at is None:
        return None
    wanted = WEEKDAYS.index(words[at] if words[at] in WEEKDAYS else words[at].removesuffix("s"))
    before = words[at - 1] if at else ""
    if past or before == "last":
        return today - timedelta((today.weekday() - wanted - 1) % 7 + 1)
    ahead = (wanted - today.weekday() - 1) % 7 + 1
    said = f" {' '.join(words)} "
    if " next week " in said or " week on " in said:
        monday = today + timedelta(7 - today.weekday())
        return monday + timedelta(wanted)
    if " week from " in said:
        ahead += 7
    return today + timedelta(ahead)


def _has_month(words: Sequence[str]) -> bool:
    """Is a month named? "may" and "march" are words too, "mar" and "sun" may be noise: a number must be near."""
    return any(
        word in _MONTHS and any(_ordinal(words, near) for near in range(max(0, at - 3), at + 3))
        for at, word in enumerate(words)
    )


def _named(words: Sequence[str], today: date, past: bool) -> date | None:
    """ "The third of March 1985", "march third", "the third"."""
    for at, word in enumerate(words):
        if word not in _MONTHS:
            continue
        number = next((found for back in (3, 2, 1) if (found := _ordinal_ending(words, at - back, at))), None)
        number = number or next((found for on in (1, 2) if (found := _ordinal(words, at + on))), None)
        if number is None:
            continue
        year = _year(words)
        if year is not None:
            return _date(year, _MONTHS[word], number)
        return _nearest(today, _MONTHS[word], number, past)
    ordinals = number_words("en").ordinals
    if "the" in words:
        at = words.index("the") + 1
        text = next(
            (" ".join(words[at : at + n]) for n in (2, 1) if " ".join(words[at : at + n]) in ordinals), ""
        )
        if text and not past:
            return _this_month(today, ordinals[text])
    return None


def _ordinal_ending(words: Sequence[str], at: int, month: int) -> int | None:
    """The number that stands right before the month, with or without "of"."""
    if at < 0:
        return None
    end = month - 1 if words[month - 1] == "of" else month
    return _ordinal(words, at) if at + _size(words, at) == end else None


def _size(words: Sequence[str], at: int) -> int:
    ordinals = number_words("en").ordinals
    if " ".join(words[at : at + 2]) in ordinals:
        return 2
    if words[at] in ordinals:
        return 1
    found = amount_at(words, at, "en")
    return found.end - at if found is not None else 0


def _ordinal(words: Sequence[str], at: int) -> int | None:
    """A day of the month, said or in figures."""
    if not 0 <= at < len(words):
        return None
    ordinals = number_words("en").ordinals
    for size in (2, 1):
        if (value := ordinals.get(" ".join(words[at : at + size]))) is not None:
            return value
    found = amount_at(words, at, "en")
    return found.value if found is not None and 1 <= found.value <= 31 else None


def _year(words: Sequence[str]) -> int | None:
    """A year with its century: "1985", "nineteen eighty five", "two thousand and five", "twenty twenty six"."""
    for at in range(len(words)):
        found = amount_at(words, at, "en")
        if found is None:
            continue
        if 1900 <= found.value < 2100:
            return found.value
        if found.value in (19, 20):
            rest = amount_at(words, found.end, "en")
            if rest is None and words[found.end : found.end + 1] in (["oh"], ["o"]):
                rest = amount_at(words, found.end + 1, "en")
            if rest is not None and rest.value < 100 and at:
                return found.value * 100 + rest.value
    return None


def _this_month(today: date, number: int) -> date | None:
    for months in range(3):
        month = today.month - 1 + months
        found = _date(today.year + month // 12, month % 12 + 1, number)
        if found is not None and found >= today:
            return found
    return None


def _nearest(today: date, month: int, number: int, past: bool) -> date | None:
    """That day of this year, of the next, or of the last."""
    found = _date(today.year, month, number)
    if past and (found is None or found > today):
        return _date(today.year - 1, month, number)
    if not past and (found is None or found < today):
        return _date(today.year + 1, month, number)
    return found


def _century(year: int, today: date, past: bool) -> int:
    if year >= 100:
        return year
    found = today.year // 100 * 100 + year
    return found - 100 if past and found > today.year else found


def _date(year: int, month: int, number: int) -> date | None:
    try:
        return date(year, month, number)
    except ValueError:
        return None


def _parted(text: str) -> list[str]:
    """Words, with 3rd as 3 and sundays' endings kept."""
    return [re.sub(r"^(\d{1,2})(?:st|nd|rd|th)$", r"\1", word) for word in words_of(text, "en")]


# ---------------------------------------------------------------- hours


def _clock(text: str, said: str) -> tuple[int, int] | None:
    if (found := _CLOCK.search(text)) is not None:
        return int(found[1]), int(found[2])
    if (found := re.search(r" (\d{1,2})(?:am|pm) ", said)) is not None and int(found[1]) <= 12:
        return int(found[1]), 0
    words = said.split()
    for lead, shift in (("half past", 30), ("quarter past", 15), ("quarter to", -15), ("quarter of", -15)):
        if f" {lead} " in said:
            at = said.split(f" {lead} ")[0].split()
            number = amount_at(words, len(at) + 2, "en")
            if number is not None and 1 <= number.value <= 12:
                total = (number.value * 60 + shift) % 720
                return total // 60 or 12, total % 60
    return _spoken_clock(words)


def _spoken_clock(words: Sequence[str]) -> tuple[int, int] | None:
    """ "three", "three thirty", "nine oh five", "ten past four", "fourteen hundred"."""
    groups = digit_groups(words, "en")
    for at, group in enumerate(groups):
        if words[group.end : group.end + 1] in (["past"], ["to"], ["after"]) and at + 1 < len(groups):
            hours, minutes = int(groups[at + 1].digits[:2]), int(group.digits[:2])
            if 1 <= hours <= 12 and minutes < 60:
                total = (hours * 60 + (minutes if words[group.end] != "to" else -minutes)) % 720
                return total // 60 or 12, total % 60
    for at, group in enumerate(groups):
        if len(group.digits) in (3, 4) and int(group.digits[-2:]) < 60 and int(group.digits[:-2]) < 24:
            return int(group.digits[:-2]), int(group.digits[-2:])
        if len(group.digits) > 2 or int(group.digits) > 23:
            continue
        said, end = "", group.end
        for other in groups[at + 1 :]:
            if other.start != end:
                break
            said, end = said + other.digits, other.end
        return int(group.digits), int(said) if len(said) == 2 and int(said) < 60 else 0
    return None
