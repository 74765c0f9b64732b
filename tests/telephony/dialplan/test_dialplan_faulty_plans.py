"""Every mistake that a plan can have is told alone, at its line and column, with what is wrong and how to mend it.

The plans are in faulty_plans.txt, one mistake each; no mistake may bring a second complaint about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from telephony.dialplan.document import FileProblems, Problem
from telephony.dialplan.load import parse_plan
from telephony.dialplan.trial import failed_tests

HERE = Path(__file__).parent
GOOD = (HERE / "good_plan.yaml").read_text(encoding="utf-8")
TRUNKS = {"telekom": 10}
MARK = "‸"


@dataclass(frozen=True)
class Faulty:
    """One block of the file. hunks: lines to take out, lines to put in. told: `line:column: text`."""

    name: str
    hunks: tuple[tuple[str, str], ...]
    told: str

    @property
    def text(self) -> str:
        """The plan, with the mark."""
        text = GOOD
        for old, new in self.hunks:
            assert text.count(old) == 1, f"{self.name}: {old!r} is not once in the good plan"
            text = text.replace(old, new)
        return text


def faulty_plans() -> list[Faulty]:
    blocks = (HERE / "faulty_plans.txt").read_text(encoding="utf-8").split("\n= ")[1:]
    return [_faulty(block.splitlines()) for block in blocks]


def _faulty(lines: list[str]) -> Faulty:
    hunks: list[tuple[str, str]] = [("", "")]
    told = ""
    for line in lines[1:]:
        kind, rest = line[:1], line[2:]
        old, new = hunks[-1]
        if kind == "@":
            hunks.append(("", ""))
        elif kind == "-":
            hunks[-1] = (f"{old}{rest}\n", new)
        elif kind == "+":
            hunks[-1] = (old, f"{new}{rest}\n")
        elif kind == "!":
            told = rest
    return Faulty(lines[0], tuple(hunks), told)


PLANS = faulty_plans()


def problems(text: str) -> list[Problem]:
    with pytest.raises(FileProblems) as caught:
        parse_plan(text.encode(), "plan.yaml", trunks=TRUNKS)
    return caught.value.problems


def test_the_plan_that_the_faulty_ones_are_made_from_is_good() -> None:
    """Otherwise every test here would pass for the wrong reason."""
    assert failed_tests(parse_plan(GOOD.encode(), trunks=TRUNKS)) == []


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_mistake_is_told_once_at_its_place_with_its_remedy(plan: Faulty) -> None:
    """Line, column and every word of the message; and nothing else is told."""
    before, mark, after = plan.text.partition(MARK)
    assert mark, "the mark is missing"
    (problem,) = problems(before + after)
    place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    told = f"{problem.line}:{problem.column}: {problem.text}"
    assert told.startswith(f"{place}: ")
    assert told.startswith(plan.told[:-1]) if plan.told.endswith("…") else told == plan.told


def test_many_mistakes_are_told_at_once_and_none_hides_another() -> None:
    """Those that touch different lines, all in one file: as many problems as mistakes, each with its own text."""
    text = GOOD
    taken: list[str] = []
    for plan in PLANS:
        changed = text
        alone = len(plan.hunks) == 1 and plan.name in TOGETHER
        for old, new in plan.hunks if alone else ():
            changed = changed.replace(old, new.replace(MARK, "")) if changed.count(old) == 1 else text
        if changed != text:
            text = changed
            taken.append(plan.told.partition(": ")[2])
    assert len(taken) == len(TOGETHER)
    assert sorted(problem.text for problem in problems(text)) == sorted(taken)


TOGETHER = {
    "trunk missing in the settings",
    "missing sound",
    "overlap",
    "holiday region",
    "letter in a list",
    "built-in tool that does not exist",
    "transfer target outside",
    "language the voice has not",
    "missing sound of thinking",
    "handoff that is not allowed",
    "ring outside",
    "missing target behind a key",
    "split not 100 %",
    "not a count",
    "header never forwarded",
    "missing calendar",
    "missing agent",
    "unknown key of a number",
    "test of nobody",
}
