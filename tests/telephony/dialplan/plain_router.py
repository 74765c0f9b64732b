"""What becomes of a call, worked out from the YAML as an admin would with paper: slowly, and without our router.

For property tests: what is here shares no line with telephony/dialplan but the models' shape of the YAML. It knows what
plans_at_random.py may write and no more."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from fnmatch import fnmatch
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from tests.telephony.dialplan.plans_at_random import Asked

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
LETTERS = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", "*": ".*", "+": r"\+"}


class PlainRouter:
    """One plan. recent: (rule, caller) → calls within an hour; calls: rule → calls now."""

    def __init__(self, text: str) -> None:
        self.plan = yaml.load(text, yaml.BaseLoader)
        self.zone = ZoneInfo(self.plan["timezone"])

    def answer(
        self, call: Asked, call_id: str, calls: dict[str, int], recent: dict[tuple[str, str], int]
    ) -> str:
        """An agent, a target, a SIP status, or the first address that the caller is sent to."""
        number, caller = (self._e164(one, call.trunk) for one in (call.number, call.caller))
        fitting = [rule for rule in self.plan["numbers"] if re.fullmatch(_regex(rule["number"]), number)]
        if not fitting:
            return "404"
        rule = min(fitting, key=lambda one: (-int(one["priority"]), _width(one["number"])))
        share = _share_of(call_id)
        name = rule["number"]
        if "open" in rule and self._state("office", call.at) != "open":
            return self._named(rule["on_failure"]["closed"], share)
        for key, now in (
            ("max_calls", calls.get(name, 0)),
            ("calls_per_hour", recent.get((name, caller), 0)),
        ):
            limit = rule.get(key)
            if limit is None or (key == "calls_per_hour" and not caller):
                continue
            most, then = (limit["limit"], limit["then"]) if isinstance(limit, dict) else (limit, "")
            if now >= int(most):
                return self._named(then, share) if then else "486"
        for branch in rule.get("routes", [rule]):
            if all(self._true(key, branch["when"], call, caller) for key in branch.get("when", {})):
                return self._outcome(branch, share)
        return "404"

    def _outcome(self, one: dict[str, Any], share: float) -> str:
        if "reject" in one:
            return str(one["reject"])
        if "redirect" in one:
            return str(one["redirect"] if isinstance(one["redirect"], str) else one["redirect"][0])
        if "split" in one:
            return self._named(_arm(one["split"], share), share)
        return self._named(one.get("agent") or one["target"], share)

    def _named(self, name: str, share: float) -> str:
        target = self.plan["targets"].get(name, {})
        return self._outcome(target, share) if {"redirect", "split"} & set(target) else name

    def _true(self, key: str, when: dict[str, Any], call: Asked, caller: str) -> bool:
        wanted = when[key]
        several = [wanted] if isinstance(wanted, str) else list(wanted)
        local = call.at.astimezone(self.zone)
        if key == "caller":
            return any(self._is_caller(one, caller) for one in several)
        if key == "trunk":
            return call.trunk in several
        if key == "header":
            return bool(call.line) and fnmatch(call.line, wanted["X-Line"])
        if key == "language":
            best = _liked_best(call.language)
            return any(best == one.lower() or best.startswith(one.lower() + "-") for one in several)
        if key == "load":
            return round(call.load * 100) >= int(wanted.rstrip("%"))
        if key in ("calendar", "is"):
            state, asked = self._state(when["calendar"], call.at), when.get("is", "open")
            return state == asked or (asked == "closed" and state == "holiday")
        if key == "day":
            return local.weekday() in _days(wanted)
        if key == "date":
            return local.date() == date.fromisoformat(wanted)
        return _inside(wanted, local, local.date()) or _inside(
            wanted, local, local.date() - timedelta(days=1)
        )

    def _is_caller(self, wanted: str, caller: str) -> bool:
        if wanted in self.plan["lists"]:
            return any(self._is_caller(one, caller) for one in self.plan["lists"][wanted])
        if wanted == "anonymous" or not caller:
            return wanted == "anonymous" and not caller
        return bool(re.fullmatch(_regex(wanted), caller))

    def _state(self, name: str, at: datetime) -> str:
        calendar = self.plan["calendars"][name]
        local = at.astimezone(ZoneInfo(calendar["timezone"]))
        today, yesterday = local.date(), local.date() - timedelta(days=1)
        if any(_inside(hours, local, day) for day in (today, yesterday) for hours in _hours(calendar, day)):
            return "open"
        closed = str(today) in calendar["holidays"] and not _hours(calendar, today)
        return "holiday" if closed else "closed"

    def _e164(self, number: str, trunk: str) -> str:
        form = self.plan.get("trunks", {}).get(trunk, {}).get("numbers", "as_sent")
        if form == "as_sent" or number.startswith("+") or len(number) < 7:
            return number
        if number.startswith("00"):
            return "+" + number[2:]
        return "+49" + number[1:] if form == "national de" else "+" + number


def _liked_best(header: str) -> str:
    """Of Accept-Language: the first of those with the highest q, which is 1 where none is written."""
    listed = [(*part.strip().lower().split(";q="), "1")[:2] for part in header.split(",")]
    return max(listed, key=lambda one: float(one[1]))[0]


def _hours(calendar: dict[str, Any], day: date) -> list[str]:
    """The hours that begin on a day, exceptions first, then holidays, then the week."""
    if str(day) in calendar["open_also"]:
        return [calendar["open_also"][str(day)]]
    if str(day) in calendar["holidays"]:
        return []
    return [hours for days, hours in calendar["open"].items() if day.weekday() in _days(days)]


def _inside(hours: str, local: datetime, begins: date) -> bool:
    """Does the clock on the wall show a time within hours that begin on that day?"""
    start, end = (datetime.strptime(one, "%H:%M") for one in hours.split("-"))  # noqa: DTZ007 # the clock on a wall
    first = datetime.combine(begins, start.time())
    last = datetime.combine(begins + timedelta(days=end <= start), end.time())
    return first <= local.replace(tzinfo=None, fold=0) < last


def _days(text: str) -> list[int]:
    if text == "daily":
        return list(range(7))
    first, _, last = text.partition("-")
    return list(range(DAYS.index(first), DAYS.index(last or first) + 1))


def _regex(pattern: str) -> str:
    if pattern == "any":
        return ".*"
    return "".join(
        part if part[0] == "[" else LETTERS.get(part, part) for part in re.findall(r"\[.*?\]|.", pattern)
    )


def _width(pattern: str) -> tuple[int, ...]:
    """Smaller is narrower, compared from the left."""
    if pattern == "any":
        return (1000,)
    parts = re.findall(r"\[.*?\]|.", pattern)
    return tuple(
        1000 if p == "*" else sum(bool(re.match(LETTERS.get(p, p), d)) for d in "0123456789+") for p in parts
    )


def _share_of(call_id: str) -> float:
    """Where on the line from 0 to 1 a call is, by its id."""
    return int.from_bytes(sha256(call_id.encode()).digest()[:8], "big") / 2**64


def _arm(split: dict[str, str], share: float) -> str:
    reached = 0.0
    for name, part in split.items():
        reached += float(part.rstrip("%")) / 100
        if share < reached:
            return name
    return list(split)[-1]
