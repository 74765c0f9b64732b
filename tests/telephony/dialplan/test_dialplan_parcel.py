"""A plan that went through the pieces routes every call as the one it was packed from."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from telephony.dialplan.condition import CallFacts
from telephony.dialplan.document import FileProblems
from telephony.dialplan.load import load_plan, parse_plan
from telephony.dialplan.match import Plan, decide
from telephony.dialplan.parcel import PIECE, Unpacking, dismantle, pack
from telephony.dialplan.trial import failed_tests
from tests.telephony.dialplan.plans_at_random import Asked, calls, plans

FOLDER = Path(__file__).parents[3] / "dialplans"
MANY = """version: 1
lists: {known: {file: callers.csv}}
agents: {desk: {instructions: x}, vip: {instructions: x}}
numbers:
"""


def through(plan: Plan) -> Plan:
    unpacking = Unpacking()
    for piece in pack(plan):
        unpacking.take(piece)
    return unpacking.plan()


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=plans(), asked=st.lists(calls(), min_size=5, max_size=20))
def test_an_unpacked_plan_decides_as_the_packed_one(text: str, asked: list[Asked]) -> None:
    plan = None
    with suppress(FileProblems):
        plan = parse_plan(text.encode())
    assume(plan is not None)
    assert plan is not None
    other = through(plan)
    for call in asked:
        facts = CallFacts(call.number, call.caller, "", {"x-line": call.line}, call.at)
        one, two = decide(plan, facts), decide(other, facts)
        assert (one.taker, one.code, one.line, one.route) == (two.taker, two.code, two.line, two.route)


@pytest.mark.parametrize("name", ["contact-centre", "clinic", "demo"])
def test_a_shipped_plan_survives_its_journey_with_its_tests(name: str) -> None:
    plan = through(load_plan(FOLDER / f"{name}.yaml"))
    assert failed_tests(plan) == []


def test_a_long_list_of_callers_travels_once_and_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "callers.csv").write_text("".join(f"+4917{n:06d}\n" for n in range(2000)))
    routes = "routes: [{when: {caller: known}, agent: vip}, {agent: desk}]"
    (tmp_path / "plan.yaml").write_text(
        MANY + "".join(f'  - {{number: "{n}", {routes}}}\n' for n in range(1000, 1300))
    )
    plan = load_plan(tmp_path / "plan.yaml")
    pieces = list(pack(plan))
    assert 2000 / PIECE + 300 / PIECE <= len(pieces) <= 2000 / PIECE + 300 / PIECE + 3
    assert sum(map(len, pieces)) < 1_500_000, "three hundred rules would hold 2000 callers each"
    other = through(plan)
    assert decide(other, CallFacts("1250", "+4917001999")).taker == "vip"
    assert decide(other, CallFacts("1250", "+4917002000")).taker == "desk"


def test_a_plan_that_was_taken_apart_has_no_rule_left(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        'version: 1\nagents: {desk: {instructions: x}}\nnumbers:\n'
        '  - {number: "100", agent: desk}\n  - {number: 2XX, agent: desk}\n  - {number: any, agent: desk}\n'
    )  # fmt: skip
    plan = load_plan(tmp_path / "plan.yaml")
    assert len(list(dismantle(plan))) == 2
    assert [len(index) for _, index in plan.indexes] == [0]
    assert decide(plan, CallFacts("100")).code == 404


def test_a_plan_with_a_piece_missing_is_no_plan() -> None:
    pieces = list(pack(load_plan(FOLDER / "demo.yaml")))
    unpacking = Unpacking()
    for piece in pieces[:-1]:
        unpacking.take(piece)
    with pytest.raises(EOFError):
        unpacking.plan()
