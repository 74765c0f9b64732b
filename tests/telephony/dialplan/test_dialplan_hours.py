"""When somebody is there, by the clock on the wall: weeks, exceptions, midnight, clock changes, iCalendar files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.dialplan.condition import CallFacts, Load, condition, in_e164
from telephony.dialplan.explain import explain
from telephony.dialplan.holidays import NoCalendar, read_holidays
from telephony.dialplan.hours import Calendar, Hours, hours
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import decide
from telephony.dialplan.routing import When

BERLIN = ZoneInfo("Europe/Berlin")


def office(**said: object) -> Hours:
    calendar = {
        "open": {"mon-fri": ["08:00-12:30", "13:30-18:00"], "sat": "22:00-06:00"},
        "holidays": {"2026-12-25": "Christmas"},
        "closed": {"2026-12-28..2026-12-30": "stocktaking"},
        "open_also": {"2026-12-13": "10:00-14:00", "2026-12-29": "09:00-10:00"},
    }
    return hours(Calendar.model_validate({**calendar, **said}), "Europe/Berlin", {})


@pytest.mark.parametrize(
    ("at", "state"),
    [
        ("2026-11-30 07:59", "closed"),
        ("2026-11-30 08:00", "open"),
        ("2026-11-30 12:29", "open"),
        ("2026-11-30 12:30", "closed"),
        ("2026-11-29 05:59", "open"),  # Saturday's hours go over midnight
        ("2026-11-29 06:00", "closed"),
        ("2026-12-25 10:00", "holiday"),
        ("2026-12-28 10:00", "holiday"),
        ("2026-12-29 09:30", "open"),
        ("2026-12-29 10:00", "closed"),
        ("2026-12-13 10:00", "open"),
    ],
)
def test_hours_are_half_open_and_exceptions_win(at: str, state: str) -> None:
    assert office().state(datetime.fromisoformat(at).replace(tzinfo=BERLIN)) == state


def test_a_calendar_keeps_its_own_clock_whatever_zone_the_call_comes_in() -> None:
    assert office().state(datetime(2026, 11, 30, 7, 30, tzinfo=UTC)) == "open"
    assert office(timezone="America/New_York").state(datetime(2026, 11, 30, 7, 30, tzinfo=UTC)) == "closed"


def test_a_clock_change_opens_no_hour_that_nobody_asked_for() -> None:
    """29 March 2026: 02:00-03:00 is left out. 25 October 2026: it comes twice, and counts both times."""
    night = office(open={"sun": "02:00-03:00"}, holidays={}, closed={}, open_also={})
    spring = [datetime(2026, 3, 29, 0, minute, tzinfo=UTC) for minute in range(60)]
    spring += [datetime(2026, 3, 29, 1, minute, tzinfo=UTC) for minute in range(60)]
    assert [night.state(at) for at in spring] == ["closed"] * 120
    autumn = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1, 2)]
    assert [night.state(at) for at in autumn] == ["open", "open", "closed"]


@given(st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)))
def test_a_calendar_and_the_router_agree_at_any_moment(at: datetime) -> None:
    plan = parse_plan(
        b"version: 1\ntimezone: Europe/Berlin\n"
        b"calendars: {c: {open: {mon-fri: '08:00-12:00', sat-sun: '22:00-03:00'}}}\n"
        b"agents: {day: {instructions: x}, night: {instructions: x}}\n"
        b"numbers: [{number: 1, routes: [{when: {calendar: c}, agent: day}, {agent: night}]}]\n"
    )
    local = at.astimezone(BERLIN)
    weekend, yesterday = local.weekday() >= 5, local.weekday() in (6, 0)
    there = (8 <= local.hour < 12) if not weekend else local.hour >= 22
    there = there or (yesterday and local.hour < 3)
    call = CallFacts("1", at=at)
    assert decide(plan, call).taker == explain(plan, call).agent == ("day" if there else "night")


def ics(tmp_path: Path, event: str) -> Path:
    path = tmp_path / "h.ics"
    path.write_text(
        f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VEVENT\nUID:1\n{event}\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    return path


def test_an_icalendar_file_closes_the_days_of_its_events(tmp_path: Path) -> None:
    """RFC 5545 §3.6.1: DTEND of an all-day event is the day after."""
    days = "DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261227\nSUMMARY:Christmas"
    assert read_holidays(ics(tmp_path, days)) == {
        date(2026, 12, 25): "Christmas",
        date(2026, 12, 26): "Christmas",
    }
    yearly = read_holidays(
        ics(tmp_path, "DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=YEARLY;COUNT=3\nSUMMARY:New Year")
    )
    assert list(yearly) == [date(2026, 1, 1), date(2027, 1, 1), date(2028, 1, 1)]
    timed = read_holidays(ics(tmp_path, "DTSTART:20260501T080000Z\nDTEND:20260501T180000Z"))
    assert list(timed) == [date(2026, 5, 1)]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=MONTHLY", "repeats in a way that is not understood"),
        ("DTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20300101", "lasts longer than a year"),
        ("SUMMARY:no date", "is no iCalendar file"),
    ],
)
def test_an_icalendar_file_that_is_not_understood_is_an_error(tmp_path: Path, event: str, said: str) -> None:
    with pytest.raises(NoCalendar, match=said):
        read_holidays(ics(tmp_path, event))
    with pytest.raises(NoCalendar):
        (tmp_path / "no.ics").write_bytes(b"\xff\x00 no calendar")
        read_holidays(tmp_path / "no.ics")


@pytest.mark.parametrize(
    ("when", "call", "why"),
    [
        ({"caller": ["+49171*"]}, {"caller": "+49171555"}, ""),
        ({"caller": ["+49171*"]}, {"caller": "+49172555"}, "caller +49172555 is not in +49171*"),
        ({"caller": ["anonymous"]}, {}, ""),
        ({"caller": ["sip:alice"]}, {"caller": "alice"}, ""),
        ({"trunk": ["a", "b"]}, {"trunk": "b"}, ""),
        ({"trunk": ["a"]}, {}, "trunk none is not a"),
        ({"header": {"X-Lang": "en*"}}, {"headers": {"x-lang": "EN-us"}}, ""),
        ({"header": {"X-Lang": "en*"}}, {}, "header X-Lang is missing, not 'en*'"),
        ({"language": ["de"]}, {"headers": {"accept-language": "de-AT, en;q=0.1"}}, ""),
        ({"language": ["de"]}, {"headers": {"accept-language": "fr; q=0.3, de-AT;q=0.9, en;q=0"}}, ""),
        ({"language": ["en"]}, {"headers": {"accept-language": "en;q=0"}}, "language unknown is not en"),
        ({"language": ["de-AT"]}, {"headers": {"accept-language": "de"}}, "language de is not de-AT"),
        ({"load": "80%"}, {"load": Load(0.8)}, ""),
        ({"load": "80%"}, {"load": Load(0.79)}, "load is 79%, below 80%"),
        ({"day": "mon-fri", "time": "22:00-06:00"}, {"at": datetime(2026, 11, 30, 4, 59, tzinfo=UTC)}, ""),
        (
            {"time": "22:00-06:00"},
            {"at": datetime(2026, 11, 30, 5, 0, tzinfo=UTC)},
            "06:00 is not in 22:00-06:00",
        ),
        ({"day": "sun"}, {"at": datetime(2026, 11, 30, tzinfo=UTC)}, "mon is not sun"),
        ({"date": "2026-12-01..2026-12-02"}, {"at": datetime(2026, 11, 30, 23, 0, tzinfo=UTC)}, ""),
        ({"day": "sun"}, {}, "the time of the call is not known"),
    ],
)
def test_a_condition_says_why_it_does_not_fit(
    when: dict[str, object], call: dict[str, object], why: str
) -> None:
    facts = CallFacts("1", **call)  # type: ignore[arg-type]
    assert condition(When.model_validate(when), {}, {}, BERLIN).mismatch(facts, facts.caller) == why


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("089 5550100", "+49895550100"),
        ("0049895550100", "+49895550100"),
        ("0044207946000", "+44207946000"),
        ("+498955", "+498955"),
        ("100", "100"),
        ("alice", "alice"),
    ],
)
def test_national_numbers_are_compared_in_e164(sent: str, number: str) -> None:
    """ITU-T E.164: 0 and 00 are dialled, and belong to no number."""
    assert in_e164(sent, "49", "0", "00") == number


def test_a_trunk_that_sends_national_numbers_reaches_the_rules_in_e164() -> None:
    plan = parse_plan(
        b"version: 1\ntrunks: {telekom: {numbers: national de}}\nagents: {a: {instructions: x}}\n"
        b"numbers: [{number: +49895550100, agent: a}]\n"
    )
    assert decide(plan, CallFacts("0895550100", trunk="telekom")).taker == "a"
    other = decide(plan, CallFacts("+49895550100", trunk="other"))
    assert (other.code, "does not serve calls of trunk other" in other.reason) == (404, True)


def test_a_rule_of_higher_priority_comes_before_a_narrower_one() -> None:
    plan = parse_plan(
        b"version: 1\nagents: {a: {instructions: x}, b: {instructions: x}}\n"
        b"numbers: [{number: '10X', agent: a}, {number: '1X5', agent: b, priority: 1}]\n"
    )
    assert [decide(plan, CallFacts(n)).taker for n in ("105", "104", "115")] == ["b", "a", "b"]
    assert [tried.line for tried in explain(plan, "104").tried] == [3, 3]
