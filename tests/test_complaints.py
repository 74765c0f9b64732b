"""docs/complaints.md names the tests that hold its promises: they are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "complaints.md"
ROW = re.compile(r"^\| (\d+) \|(.*)\|$", re.MULTILINE)
NAMED = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


def test_every_complaint_is_held_by_tests_that_exist() -> None:
    rows = {int(number): row for number, row in ROW.findall(PAGE.read_text())}
    assert list(rows) == list(range(1, 26))
    defined = {name for path in TESTS.rglob("test_*.py") for name in DEFINED.findall(path.read_text())}
    for number, row in rows.items():
        named = set(NAMED.findall(row))
        assert named, f"complaint {number} is held by nothing"
        assert named <= defined, f"complaint {number}: no test {sorted(named - defined)}"
