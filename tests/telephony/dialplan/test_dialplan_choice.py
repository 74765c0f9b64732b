"""Lists of providers and their policies, as a dial plan writes them, and what a wrong one is told."""

from __future__ import annotations

import pytest

from telephony.dialplan.document import FileProblems
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import match
from telephony.dialplan.model import ProviderChoice, Route


def plan(llm: str) -> bytes:
    text = f"version: 1\nagents:\n  a:\n    instructions: x\n    llm: {llm}\n"
    return (text + "numbers: [{number: any, agent: a}]\n").encode()


def choices(llm: str) -> tuple[ProviderChoice, ...]:
    found = match(parse_plan(plan(llm), "plan.yaml"), "100").agents["a"].llm
    assert found is not None
    return found


def test_a_policy_goes_with_each_of_its_providers() -> None:
    first, second = choices(
        "{policy: split, of: [{provider: x, weight: 90, model: m}, {provider: y, weight: 10}]}"
    )
    assert (first.name, first.options, second.name) == ("x", {"model": "m"}, "y")
    assert first.routing and second.routing
    assert (first.routing.policy, first.routing.weight, second.routing.weight) == ("split", 90.0, 10.0)
    (fast, _) = choices("{policy: fastest, explore_s: 5, of: [x, y]}")
    assert fast.routing and fast.routing.explore_s == 5.0
    assert all(choice.routing is None for choice in choices("[x, y]"))


def test_a_policy_reaches_the_worker_with_the_route() -> None:
    """Over the link, as plain values."""
    text = "{policy: cheapest, max_ms: 900, of: [{provider: x, price: 0.5}, {provider: y, price: 0}]}"
    route = match(parse_plan(plan(text), "plan.yaml"), "100")
    assert Route.load(route.dump()).agents == route.agents


@pytest.mark.parametrize(
    ("llm", "said"),
    [
        ("{policy: fastet, of: [x]}", "no policy 'fastet'. Did you mean 'fastest'?"),
        ("{policy: split}", "Add `of:` with a list of them"),
        ("{policy: split, of: [{provider: x}, {provider: y, weight: 1}]}", "x has no weight. Add `weight:`"),
        ("{policy: split, of: [{provider: x, weight: 0}]}", "every weight is 0"),
        (
            "{policy: split, of: [{provider: x, weight: -1}, {provider: y, weight: 2}]}",
            "greater than or equal",
        ),
        ("{policy: cheapest, of: [x]}", "x has no price. Add `price:`"),
        ("{policy: fastest, max_ms: 3, of: [x]}", "policy fastest has no 'max_ms'"),
        ("{policy: fastest, of: [{model: m}]}", "Write it like {provider: groq, weight: 90}"),
        ("{policy: fastest, of: [x, x]}", "'x' is there already and cannot stand in for itself"),
    ],
)
def test_a_policy_that_cannot_be_is_told_what_it_lacks(llm: str, said: str) -> None:
    with pytest.raises(FileProblems) as refused:
        parse_plan(plan(llm), "plan.yaml")
    assert said in str(refused.value)
    assert "plan.yaml:5:" in str(refused.value), "the line of the list"
