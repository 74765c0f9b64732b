"""Dates that are past are told as warnings: the plan is good, and somebody may have forgotten this year's holidays."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from telephony.dialplan.document import FileProblems, Problem
from telephony.dialplan.load import PlanErrors, load, parse_plan

TODAY = date(2026, 11, 21)
PLAN = """\
version: 1
timezone: Europe/Berlin
calendars:
  office:
    open: {mon-fri: "09:00-17:00"}
    holidays: {2026-11-20: x, 2026-12-25: Christmas}
    closed: {2026-12-24: eve}
    open_also: {2026-12-13: "10:00-14:00"}
agents: {desk: {instructions: x}}
numbers:
  - number: "100"
    routes:
      - {when: {date: 2026-11-20..2026-11-21}, agent: desk}
      - {agent: desk}
"""


def warnings(text: str, today: date | None = TODAY) -> list[Problem]:
    return list(parse_plan(text.encode(), "plan.yaml", today=today).warnings)


def test_a_date_is_past_on_the_day_after_and_without_a_day_nothing_is() -> None:
    """A span is past when its last day is."""
    (only,) = warnings(PLAN)
    assert str(only) == (
        "plan.yaml:6:16: warning: 2026-11-20 is past. Remove what is over, or mend the year."
    )
    assert warnings(PLAN, date(2026, 11, 20)) == []
    assert warnings(PLAN, None) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "text"),
    [
        ("{2026-12-24: eve}", "{2025-12-24: eve}", 7, 14, "2025-12-24 is past. Remove"),
        ("{2026-12-24: eve}", "[2025-12-23, 2025-12-24]", 7, 14, "2025-12-23 is past, and so are 1 more here."),
        ('{2026-12-13: "10', '{2025-12-13: "10', 8, 17, "2025-12-13 is past. Remove"),
        (
            "2026-11-20..2026-11-21",
            "2026-11-19..2026-11-20",
            13,
            23,
            "2026-11-19..2026-11-20 is past, and this route is never taken again. Remove it",
        ),
    ],
)  # fmt: skip
def test_a_past_date_is_told_where_it_stands(old: str, new: str, line: int, column: int, text: str) -> None:
    """One warning for each list of dates, at the first of them."""
    text_without = PLAN.replace("2026-11-20: x, ", "")
    (only,) = warnings(text_without.replace(old, new))
    assert (only.line, only.column, only.warning) == (line, column, True)
    assert only.text.startswith(text)


def test_a_calendar_file_that_has_run_out_is_told(tmp_path: Path) -> None:
    """Last year's holidays close nobody this year."""
    event = "BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20251225\r\nSUMMARY:Christmas\r\nEND:VEVENT\r\n"
    (tmp_path / "days.ics").write_text(f"BEGIN:VCALENDAR\r\n{event}END:VCALENDAR\r\n")
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.replace("{2026-11-20: x, 2026-12-25: Christmas}", "[2026-12-26, days.ics]"))
    plan = load(path, today=TODAY)
    assert not isinstance(plan, PlanErrors)
    (only,) = plan.warnings
    assert (only.line, only.column) == (6, 28)
    assert "the last holiday in days.ics was 2025-12-25. Put this year's in" in only.text


def test_a_warning_is_told_beside_the_mistakes_of_a_bad_plan() -> None:
    """One look shows all of it, whichever mistake it was."""
    for bad in ("agent: dusk}\n      - {agent: desk}", "agnt: desk}\n      - {agent: desk}"):
        text = PLAN.replace("agent: desk}\n      - {agent: desk}", bad)
        with pytest.raises(FileProblems) as caught:
            parse_plan(text.encode(), today=TODAY)
        assert [problem.warning for problem in caught.value.problems] == [True, False]
