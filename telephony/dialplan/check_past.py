"""Dates that are past: nobody mends them, but a calendar whose holidays were last year's takes calls on Christmas Day.

Warnings only: the plan is as good as it was. Pure: whoever loads a plan says what day it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from telephony.dialplan.compile import FilesRead
from telephony.dialplan.document import Loc
from telephony.dialplan.finding import Finding
from telephony.dialplan.hours import dates
from telephony.dialplan.model import DialPlan


def check_past(plan: DialPlan, files: FilesRead, today: date) -> Iterator[Finding]:
    """Dates of calendars and routes that can never come again, one warning for each list of them."""
    for name, calendar in plan.calendars.items():
        for key in ("closed", "open_also"):
            yield from _past(("calendars", name, key), getattr(calendar, key), today)
        yield from _past(("calendars", name, "holidays"), _written(calendar.holidays), today)
        for file in calendar.holidays:
            if (days := files.holidays.get(file)) and (last := max(days)) < today:
                fact = f"the last holiday in {file} was {last}. Put this year's in, or nobody closes on them."
                yield Finding(("calendars", name, "holidays", file), fact, key=True, warning=True)
    for position, rule in enumerate(plan.numbers):
        for at, branch in enumerate(rule.routes):
            if branch.when is not None and branch.when.date:
                loc: Loc = ("numbers", position, "routes", at, "when", "date")
                if dates(branch.when.date)[1] < today:
                    fact = f"{branch.when.date} is past, and this route is never taken again."
                    yield Finding(loc, f"{fact} Remove it, or mend the year.", warning=True)


def _written(holidays: Iterable[str]) -> list[str]:
    return [text for text in holidays if not text.lower().endswith(".ics")]


def _past(loc: Loc, written: Iterable[str], today: date) -> Iterator[Finding]:
    past = [text for text in written if dates(text)[1] < today]
    if past:
        more = f", and so are {len(past) - 1} more here" if len(past) > 1 else ""
        fact = f"{past[0]} is past{more}. Remove what is over, or mend the year."
        yield Finding((*loc, past[0]), fact, key=True, warning=True)
