"""Holidays out of an iCalendar file (RFC 5545): each all-day event closes its days. Reads files; driven by load.py.

Events that repeat every year (RRULE, FREQ=YEARLY on their date) are written out; other rules are an error, for
nobody would see that they are not followed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from telephony.dialplan.sources import DISK, Sources

YEARS_AHEAD = 30
MAX_BYTES = 4 * 1024 * 1024


class NoCalendar(ValueError):
    """A file is not an iCalendar file, or says what is not understood."""


def read_holidays(path: Path, sources: Sources = DISK) -> Mapping[date, str]:
    """Day → its name. Raises NoCalendar with place, fact and remedy."""
    try:
        data = sources.read(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise NoCalendar(f"{path}: {why}. Check the path.") from error
    if len(data) > MAX_BYTES:
        raise NoCalendar(f"{path}: is larger than 4 MB. Export the holidays alone.")
    return _read(data, str(path))


@lru_cache(maxsize=32)
def _read(data: bytes, path: str) -> Mapping[date, str]:
    from icalendar import Calendar  # takes 0.1 s, and few plans have such a file

    try:
        events = Calendar.from_ical(data).walk("VEVENT")
        found: dict[date, str] = {}
        for event in events:
            name = str(event.get("summary") or "holiday")
            found.update(dict.fromkeys(_days(event, path, name), name))
    except NoCalendar:
        raise
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        fact = f"{path}: is no iCalendar file ({str(error)[:80]})."
        raise NoCalendar(f"{fact} Export it anew as .ics.") from error
    if not found:
        raise NoCalendar(f"{path}: has no event (VEVENT). Export the holidays as .ics.")
    return found


def _days(event: Any, path: str, name: str) -> list[date]:
    start = event.decoded("dtstart")
    end = event.decoded("dtend") if "dtend" in event else None
    first = start.date() if isinstance(start, datetime) else start
    if isinstance(end, datetime):  # an event with hours closes the days it touches
        last = (end - timedelta(microseconds=1)).date()
    else:
        last = end - timedelta(days=1) if end is not None else first
    count = max((last - first).days, 0) + 1
    if count > 366:
        raise NoCalendar(f"{path}: {name!r} lasts longer than a year. Mend DTEND.")
    return [day + timedelta(days=step) for day in _yearly(event, first, path, name) for step in range(count)]


def _yearly(event: Any, first: date, path: str, name: str) -> list[date]:
    rule = event.get("rrule")
    if rule is None:
        return [first]
    said = {str(key).upper(): value for key, value in rule.items()}
    if [str(part).upper() for part in said.get("FREQ", [])] != ["YEARLY"] or set(said) - {
        "FREQ",
        "UNTIL",
        "COUNT",
    }:
        raise NoCalendar(f"{path}: {name!r} repeats in a way that is not understood. Export single dates.")
    count = int(said.get("COUNT", [YEARS_AHEAD])[0])
    until = said.get("UNTIL", [date(first.year + YEARS_AHEAD, 12, 31)])[0]
    until = until.date() if isinstance(until, datetime) else until
    years = range(first.year, first.year + min(count, YEARS_AHEAD))
    repeated = [day for year in years if (day := _in_year(first, year)) is not None]
    return [day for day in repeated if day <= until]


def _in_year(day: date, year: int) -> date | None:
    try:
        return day.replace(year=year)
    except ValueError:  # 29 February
        return None
