"""Which rule takes a number, and what the call is told of the plan."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.dialplan.document import FileProblems
from telephony.dialplan.explain import explain
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import Plan, match
from telephony.dialplan.model import Route
from telephony.dialplan.number import narrower, normalise, overlap, parse_pattern, uncovered
from telephony.dialplan.store import PlanStore
from telephony.errors import NoSuchNumber, SentElsewhere

HEAD = """\
version: 1
name: Test
defaults: {language: de-DE, max_call: 20m, llm: groq, turn_handling: {min_delay_ms: 400}}
agents:
  a: {instructions: x, handoff: [b], voice: anna, turn_handling: {max_delay_ms: 2000}}
  b: {instructions: x, handoff: [c, a], language: en-GB, llm: {provider: openai, model: "0123"}}
  c: {instructions: x}
  d: {instructions: x}
numbers:
"""


def plan(*rules: str) -> Plan:
    return parse_plan((HEAD + "".join(f"  - {{{rule}}}\n" for rule in rules)).encode(), "plan.yaml")


def winner(dialled: str, *numbers: str) -> str:
    rules = [f'number: "{number}", agent: a' for number in numbers]
    forward, backward = match(plan(*rules), dialled).number, match(plan(*reversed(rules)), dialled).number
    assert forward == backward, "the order in the file must not matter"
    return forward


@pytest.mark.parametrize(
    ("dialled", "numbers", "expected"),
    [
        ("+49895550100", ["+49 89 5550 100", "+49*", "any"], "+49 89 5550 100"),
        ("+498955500142", ["+49 89 5550 0100", "+4989*", "+49*", "any"], "+4989*"),
        ("+4930123", ["+4989*", "+49*", "any"], "+49*"),
        ("+4930123", ["+4989*", "any"], "any"),
        ("142", ["14X", "1XX", "1*"], "14X"),
        ("152", ["14X", "1XX", "1*"], "1XX"),
        ("1522", ["14X", "1XX", "1*"], "1*"),
        ("105", ["10X", "1X5"], "10X"),
        ("155", ["1[3-7]X", "1XX"], "1[3-7]X"),
        ("185", ["1[3-7]X", "1XX"], "1XX"),
        ("12", ["1X", "1X*", "1*"], "1X"),
        ("129", ["1X", "1X*", "1*"], "1X*"),
        ("1", ["1X", "1*"], "1*"),
        ("102", ["1ZX", "1XX"], "1XX"),
        ("112", ["1NX", "1ZX", "1XX"], "1ZX"),
        ("122", ["1NX", "1ZX", "1XX"], "1NX"),
        ("*21", ["*21", "any"], "*21"),
        ("alice", ["1*", "any"], "any"),
    ],
)
def test_the_narrowest_rule_from_the_left_wins(dialled: str, numbers: list[str], expected: str) -> None:
    """Exact before pattern, more fixed digits from the left first, any rest later, `any` last."""
    assert winner(dialled, *numbers) == expected


def test_a_number_that_fits_several_ways_down_the_tree_is_still_found() -> None:
    """The way by the narrower place may be a dead end: 125 starts like 12X4 but is 1X5."""
    assert winner("125", "12X4", "1X5") == "1X5"


@pytest.mark.parametrize("written", ["+49 89 5550-100", "+49 (89) 5550.100", "+49/89/5550100"])
def test_what_is_for_the_eye_does_not_count(written: str) -> None:
    """Both in the file and on the line."""
    assert winner("+49 89 5550100", written) == written


def test_numbers_keep_their_plus_and_leading_zeros_without_quotes() -> None:
    """YAML 1.1 would read these as the numbers 14155550100 and 83."""
    rules = plan("number: +14155550100, agent: a", "number: 0123, agent: b")
    assert match(rules, "+14155550100").agent == "a"
    assert match(rules, "0123").agent == "b"
    with pytest.raises(NoSuchNumber):
        match(rules, "14155550100")


@pytest.mark.parametrize(
    "text", ["no", "on", "off", "yes", "10:00", "1e3", "0x1F", "null", "~", "2026-12-24", ".5", "+1415"]
)
def test_a_scalar_stays_the_text_that_was_written(text: str) -> None:
    """No YAML type surprise: Norwegian is not false and ten o'clock is not 600."""
    data = f"version: 1\nname: {text}\nagents:\n  {text}: {{instructions: {text}}}\n"
    data += f"numbers: [{{number: 1, agent: {text}}}]\n"
    loaded = parse_plan(data.encode())
    assert loaded.name == text
    assert loaded.spec.agents[text].instructions == text
    assert match(loaded, "1").agent == text


def test_a_number_without_a_rule_is_not_found() -> None:
    """RFC 3261 §21.4.5: 404 says that the user does not exist here."""
    with pytest.raises(NoSuchNumber, match=r"plan\.yaml: no rule for number '7'") as caught:
        match(plan("number: 1, agent: a"), "7")
    assert caught.value.code == 404


def test_a_rule_may_refuse_with_its_own_status() -> None:
    """RFC 3261 §21.6.2: 603 says that nobody will take the call."""
    with pytest.raises(NoSuchNumber, match=r"plan\.yaml:11: '66\*' refuses '661' with 603") as caught:
        match(plan("number: 1, agent: a", "number: 66*, reject: 603"), "66-1")
    assert caught.value.code == 603


def test_a_rule_may_send_its_callers_elsewhere() -> None:
    """RFC 3261 §21.3.3: the caller's side dials on; no agent and no port of ours is spent on it."""
    rules = plan("number: 1, agent: a", "number: 7*, redirect: [sip:desk@pbx.example, tel:+4930]")
    with pytest.raises(
        SentElsewhere, match=r"plan\.yaml:11: '7\*' sends '71' to sip:desk@pbx\.example, tel:"
    ) as caught:
        match(rules, "71")
    assert (caught.value.code, caught.value.targets) == (302, ("sip:desk@pbx.example", "tel:+4930"))
    assert (
        str(explain(rules, "71")).splitlines()[0] == "71: sent to sip:desk@pbx.example, tel:+4930 (line 11)"
    )


def test_a_transfer_may_carry_header_lines_but_none_of_ours() -> None:
    """What the desk must know travels with the caller; From and its like are not the plan's to write."""
    rule = "  - {number: 1, agent: d}\n"
    lines = HEAD.replace(
        "d: {instructions: x}", "d: {instructions: x, transfer_headers: {X-Reason: billing}}"
    )
    route = match(parse_plan((lines + rule).encode(), "plan.yaml"), "1")
    assert Route.load(route.dump()).agents["d"].transfer_headers == {"X-Reason": "billing"}
    with pytest.raises(FileProblems, match="header From is written by Offhook"):
        parse_plan((lines.replace("X-Reason", "From") + rule).encode(), "plan.yaml")


def test_a_route_carries_every_agent_that_the_call_can_reach() -> None:
    """The worker never asks the plan again, so an edit cannot change a call that is on the line."""
    route = match(plan("number: 1, agent: a, max_call: 90s"), "1", caller="+4915112345678")
    assert (route.agent, list(route.agents)) == ("a", ["a", "b", "c"])
    assert (route.line, route.plan, route.max_call_s, route.caller) == (10, "Test", 90.0, "+4915112345678")


def test_a_route_survives_the_link_to_a_worker() -> None:
    """It goes over the link and into the bundle as JSON."""
    route = match(plan("number: 1, agent: a"), "1")
    assert Route.load(json.loads(json.dumps(route.dump()))) == route


def test_an_agent_inherits_from_the_plan_what_it_does_not_say() -> None:
    """Defaults are resolved before the call; options of providers stay text."""
    agents = match(plan("number: 1, agent: a"), "1").agents
    assert agents["a"].language == "de-DE"
    assert agents["b"].language == "en-GB"
    assert agents["a"].llm is not None
    assert agents["a"].llm[0].name == "groq"
    assert agents["b"].llm is not None
    assert agents["b"].llm[0].options == {"model": "0123"}
    assert agents["a"].stt is None
    assert agents["a"].turn_handling == {"min_delay_ms": 400, "max_delay_ms": 2000}
    assert match(plan("number: 1, agent: a"), "1").max_call_s == 1200.0


def test_explain_lists_each_rule_tried_and_why_it_did_not_fit() -> None:
    """An admin's first question: why did the call go there?"""
    told = explain(plan('number: "100", agent: a', "number: 14X, agent: b", "number: 1XX, agent: c"), "155")
    assert (told.agent, told.line) == ("c", 12)
    assert str(told).splitlines() == [
        "155: agent c (line 12)",
        "  1 exact number, none is 155",
        "  line 11 14X: '5' at place 2 is not 4",
        "  line 12 1XX: takes the call",
    ]


def test_explain_says_when_nothing_fits_and_when_a_rule_refuses() -> None:
    """Both end in a SIP status; only one has a line to look at."""
    rules = plan("number: 1X, agent: a", "number: 2X, reject: 486")
    assert str(explain(rules, "123")).splitlines()[0] == (
        "123: refused with 404. plan.yaml: no rule for number '123'. Add it, or a rule `number: any`."
    )
    assert "too long: 2 digits wanted, 3 dialled" in str(explain(rules, "123"))
    assert str(explain(rules, "21")).splitlines()[0] == "21: refused with 486 (line 11)"


def test_a_broken_file_leaves_the_plan_that_is_in_use(tmp_path: Path) -> None:
    """The phones do not stop because somebody saved half a file; calls keep the version they began with."""
    path = tmp_path / "plan.yaml"
    path.write_text(HEAD + "  - {number: 1, agent: a}\n")
    store = PlanStore.open(path)
    before = store.route("1")
    path.write_text(HEAD + "  - {number: 1, agent: z}\n")
    with pytest.raises(FileProblems):
        store.reload()
    assert store.route("1") == before
    path.write_text(HEAD + "  - {number: 1, agent: b}\n")
    store.reload()
    assert store.route("1").agent == "b"
    assert store.route("1").plan_version != before.plan_version
    assert before.agent == "a"


# ---------------------------------------------------------------- properties of patterns

PLACE = st.sampled_from(["0", "1", "2", "X", "Z", "N", "[1-2]", "[0-1]", "[3-9]"])
PATTERN = st.builds(
    lambda places, rest: "".join(places) + rest,
    st.lists(PLACE, min_size=1, max_size=3),
    st.sampled_from(["", "*"]),
)
NUMBERS = ["".join(digits) for size in range(1, 5) for digits in itertools.product("01239", repeat=size)]


@given(PATTERN, PATTERN)
def test_overlap_finds_a_common_number_exactly_when_there_is_one(one: str, two: str) -> None:
    """The number that a message shows must really hit both patterns."""
    left, right = parse_pattern(one), parse_pattern(two)
    found = overlap(left, right)
    common = [n for n in NUMBERS if not left.mismatch(n) and not right.mismatch(n)]
    assert (found is None) == (not common)
    if found is not None:
        assert not left.mismatch(found)
        assert not right.mismatch(found)
        assert not (narrower(left, right) and narrower(right, left))


@given(PATTERN, st.lists(PATTERN, max_size=5))
def test_a_pattern_is_called_covered_exactly_when_others_leave_nothing(one: str, others: list[str]) -> None:
    """Against counting them all. Digits 4 to 8 behave like 3 or 9 in these patterns."""
    pattern, rest = parse_pattern(one), [parse_pattern(other) for other in others]
    left = [n for n in NUMBERS if not pattern.mismatch(n) and all(other.mismatch(n) for other in rest)]
    found = uncovered(pattern, rest)
    assert (found is None) == (not left)
    if found is not None:
        assert not pattern.mismatch(found)
        assert all(other.mismatch(found) for other in rest)


@given(st.lists(PATTERN, min_size=1, max_size=6, unique=True), st.sampled_from(NUMBERS))
def test_the_tree_finds_what_trying_every_rule_finds(patterns: list[str], dialled: str) -> None:
    """The index is only a faster way to the same answer."""
    try:
        rules = plan(*(f'number: "{pattern}", agent: a' for pattern in patterns))
    except FileProblems:
        return  # ties and shadowed rules are refused before any call
    fitting = [
        pattern for pattern in map(parse_pattern, patterns) if not pattern.mismatch(normalise(dialled))
    ]
    if not fitting:
        with pytest.raises(NoSuchNumber):
            match(rules, dialled)
        return
    best = min(fitting, key=lambda pattern: (pattern.exact is None, pattern.order))
    assert match(rules, dialled).number == best.text
    assert explain(rules, dialled).tried[-1].number == best.text
