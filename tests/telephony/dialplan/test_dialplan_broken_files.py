"""Whatever happens to a plan's file: problems with a place, quickly, and never a traceback."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from telephony.dialplan.document import FileProblems, Problem
from telephony.dialplan.load import parse_plan
from telephony.dialplan.trial import failed_tests
from tests.telephony.dialplan.broken_at_random import broken

ROOT = Path(__file__).parents[3]
SHIPPED = [ROOT / "dialplans" / f"{name}.yaml" for name in ("contact-centre", "clinic", "demo")]
ALL = [*SHIPPED, Path(__file__).parent / "good_plan.yaml"]
GOOD = ALL[-1].read_bytes()
BESIDE = str(ROOT / "dialplans" / "broken.yaml")


def problems(data: bytes) -> list[Problem]:
    """All that is told of a file; none if it is a plan."""
    try:
        plan = parse_plan(data, BESIDE, trunks={"telekom": 10}, today=date(2026, 12, 1))
    except FileProblems as error:
        return error.problems
    return failed_tests(plan)


def test_a_thousand_randomly_broken_plans_are_each_refused_with_places_and_no_traceback() -> None:
    """Those that happen to be plans still are not counted; there are few."""
    rng = random.Random(6)
    refused = tried = 0
    while refused < 1000:
        tried += 1
        assert tried < 1500, f"only {refused} of {tried} files were broken"
        found = problems(broken(rng.choice(ALL).read_bytes(), rng))
        refused += bool(found)
        assert all(problem.line >= 1 and problem.column >= 1 for problem in found), found
        assert all(len(problem.text) < 2000 for problem in found), "a message that nobody reads"


DEEP = b"[" * 5000
BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "a tab": (lambda: GOOD.replace(b"  desk:", b"\tdesk:"), "not YAML"),
    "a NUL": (lambda: GOOD.replace(b"Be nice", b"Be \x00 nice"), "a control character is not allowed"),
    "a mark of byte order in the middle": (lambda: GOOD.replace(b"agents:", b"\xef\xbb\xbfagents:"), "not YAML"),
    "UTF-16": (lambda: GOOD.decode().encode("utf-16"), "byte 0xff is not UTF-8"),
    "Latin-1": (lambda: GOOD.replace(b"Be nice", "Gr\xfc\xdfe".encode("latin-1")), "byte 0xfc is not UTF-8"),
    "a surrogate": (lambda: GOOD.replace(b"Be nice", b'"\\uD800"'), "not YAML"),
    "cut in a quoted text": (lambda: GOOD[: GOOD.index(b'2026-11-30 10:00"') + 5], "not YAML"),
    "brackets without end": (lambda: GOOD.replace(b"Be nice.", DEEP), "nested more than 40 deep"),
    "a deep list by indentation": (
        lambda: GOOD + b"lists:\n" + b"".join(b" " * n + b"-\n" for n in range(60)),
        "nested more than 40 deep",
    ),
    "a huge text": (lambda: GOOD.replace(b"trunk: telekom", b"trunk: " + b"x" * 10**6), "no trunk"),
    "a huge name": (lambda: GOOD.replace(b"target: trial", b"target: " + b"t" * 1_000_000), "no target"),
    "a huge number": (lambda: GOOD.replace(b"limit: 5", b"limit: " + b"9" * 100_000), "'limit'"),
    "a huge file": (lambda: b"# x\n" * (17 * 1024 * 1024), "67108864 are allowed. Split it"),
    "equal keys": (lambda: GOOD.replace(b"  night: {", b"  desk: {"), "key 'desk' is already in line 21"),
    "an alias of nothing": (lambda: GOOD.replace(b"Be nice.", b"*nice"), "*nice names no anchor above it"),
    "an alias of itself": (
        lambda: GOOD.replace(b"  desk:\n", b"  desk: &d\n    silence: *d\n"),
        "inside an anchored block",
    ),
    "aliases that multiply": (
        lambda: b"a: &a [" + b"x, " * 2000 + b"]\nb: [" + b"*a, " * 200 + b"]\n" + GOOD,
        "aliases repeat more than 100000 values",
    ),
    "a merge key": (lambda: GOOD.replace(b"    instructions:", b"    <<: {a: b}\n    instructions:"), "merge keys"),
    "a tag": (lambda: GOOD.replace(b"Be nice.", b"!!python/object/apply:os.system [ls]"), "the YAML tag"),
    "a conflict of a merge": (lambda: GOOD.replace(b"agents:\n", b"<<<<<<< HEAD\nagents:\n"), "not YAML"),
    "old line ends": (lambda: GOOD.replace(b"\n", b"\r").replace(b"nice", b"nice\x01"), "a control character"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_broken_in_a_known_way_is_told_so(name: str) -> None:
    make, words = BROKEN[name]
    found = problems(make())
    assert any(words in problem.text for problem in found), [str(problem)[:200] for problem in found]
    assert all(len(problem.text) < 2000 for problem in found)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_plan_that_ends_too_early_is_a_plan_or_told_so_wherever_it_ends(path: Path) -> None:
    """Every 37th byte: a disk that was full, a download that broke off."""
    data = path.read_bytes()
    for end in range(0, len(data), 37):
        assert all(problem.line >= 1 for problem in problems(data[:end]))


def test_a_plan_saved_with_a_mark_of_byte_order_or_with_windows_line_ends_is_as_good() -> None:
    assert problems(b"\xef\xbb\xbf" + GOOD) == []
    assert problems(GOOD.replace(b"\n", b"\r\n")) == []
