"""What QA expects of a call is read with every mistake named, and checked with the turn that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.bundle import Record
from offhook.replay.agreement import agreement
from offhook.replay.checking import Verdict, ask_judge, check, word_errors
from offhook.replay.expectations import (
    ExpectationError,
    Expectations,
    find_expectations,
    from_tags,
    load_expectations,
)
from offhook.replay.measures import CallMeasures, measure
from pipeline.judging import Outcome
from pipeline.providers.fake import FakeLlm
from pipeline.testing import FakeJudge
from tests.offhook.replay.calls import dentist, write_call

ALL_WELL = """\
agent:
  contains: friday at nine
  lacks: [sorry]
  matches: '\\bit is \\w+ dollars'
caller: {contains: [on friday]}
tools:
  - {name: book_appointment, arguments: {day: Friday, hour: 9}, ok: yes}
  - {name: cancel_appointment, times: 0}
handoff_to: [billing]
ended_by: us
cause: agent_hung_up
interruptions: 0
response_delay: {p50_ms: 1000, p95_ms: 1200, max_ms: 1500}
silence_under_s: 5
reference:
  caller: ["I need an appointment.", "On Friday, please!", "What does it cost?", "How much?"]
  errors_under: 0.05
judge: [task_completion]
"""


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> CallMeasures:
    return measure(write_call(tmp_path_factory.mktemp("calls"), dentist()))


@pytest.fixture(scope="module")
def rude(tmp_path_factory: pytest.TempPathFactory) -> CallMeasures:
    events = dentist(patience_ms=100, broken=True)
    return measure(write_call(tmp_path_factory.mktemp("calls"), events))


def expect(tmp_path: Path, text: str) -> Expectations:
    path = tmp_path / "call.expect.yaml"
    path.write_text(text, encoding="utf-8")
    return load_expectations(path)


def test_a_call_that_is_as_it_should_be_passes_everything(call: CallMeasures, tmp_path: Path) -> None:
    verdicts = check(call, expect(tmp_path, ALL_WELL))
    assert [verdict for verdict in verdicts if not verdict.passed] == []
    assert len(verdicts) == 15


@pytest.mark.parametrize(
    ("wanted", "text", "turn"),
    [
        ("agent: {contains: good morning}", "the agent never says 'good morning'", None),
        ("agent: {lacks: EIGHTY}", "the agent says it: 'It is eighty dollars.'", 4),
        ("agent: {matches: '^no'}", "no turn of the agent matches", None),
        ("caller: {lacks: cost}", "the caller says it: 'what does it cost'", 3),
        (
            "tools: {name: book_appointment, arguments: {hour: 10}}",
            "it was book_appointment(day='friday', hour=9)",
            2,
        ),
        ("tools: {name: cancel}", "not called; called: book_appointment, hand_over", None),
        ("tools: {name: hand_over, times: 0}", "called once", 3),
        ("tools: {name: book_appointment, ok: no}", "it was book_appointment(day='friday', hour=9)", 2),
        ("handoff_to: []", "handed over to billing", None),
        ("ended_by: caller", "it was 'us'", None),
        ("keys: '42'", "it was ''", None),
        ("response_delay: {p95_ms: 800}", "900 ms, most of it waited", 1),
        ("silence_under_s: 3", "3.3 s of silence after the agent", None),
        ("reference: {caller: [i need a dentist], errors_under: 0.1}", "275.0%", None),
    ],
)
def test_what_is_not_as_expected_is_told_with_the_fact_and_the_turn(
    call: CallMeasures, tmp_path: Path, wanted: str, text: str, turn: int | None
) -> None:
    (verdict,) = check(call, expect(tmp_path, wanted))
    assert (verdict.outcome, verdict.text, verdict.turn) == ("failed", text, turn)


def test_an_agent_that_interrupts_fails_at_the_turn_where_it_does(rude: CallMeasures, tmp_path: Path) -> None:
    (verdict,) = check(rude, expect(tmp_path, "interruptions: 0"))
    assert (verdict.outcome, verdict.turn) == ("failed", 2)
    assert verdict.text == "the agent talked into the caller's turn once"
    assert check(rude, expect(tmp_path, "interruptions: 1"))[0].passed


def test_a_tool_that_failed_is_not_a_tool_that_worked(rude: CallMeasures, tmp_path: Path) -> None:
    (verdict,) = check(rude, expect(tmp_path, "tools: {name: book_appointment, ok: yes}"))
    assert verdict.text == "it was book_appointment(day='friday', hour=9) which failed"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("agent:\n  contain: hello\n", ":2:3: unknown key 'contain'. Did you mean 'contains'?"),
        ("silence_under_s: soon\n", ":1:18: "),
        ("response_delay: {p95: 3}\n", ":1:18: unknown key 'p95'. Did you mean 'p95_ms'?"),
        ("ended_by: callr\n", "nobody called 'callr' ends calls. Did you mean 'caller'?"),
        ("agent: {matches: '('}\n", "is no regular expression"),
        ("judge: [acuracy]\n", "no rubric 'acuracy'. Did you mean 'accuracy'?"),
        ("judge: {rubric: safety, label: fine}\n", "label is 'fine'. Write passed, failed or unsure."),
        ("tools: [{arguments: {day: friday}}]\n", "'name' is missing"),
        ("agent: [\n", ":2:1: "),
    ],
)
def test_every_mistake_names_its_line_and_what_was_meant(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ExpectationError) as caught:
        expect(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'call.expect.yaml'}:") and problem in str(caught.value)


def test_the_file_beside_the_recording_comes_before_the_bundles_own_tags(tmp_path: Path) -> None:
    path = write_call(tmp_path, dentist(), facts={"expect": {"keys": "1"}})
    recording = tmp_path / "monday.wav"
    found = find_expectations(recording, Record.read(path))
    assert found is not None and found.keys == "1"
    (tmp_path / "monday.expect.yaml").write_text("keys: '2'\n", encoding="utf-8")
    found = find_expectations(recording, Record.read(path))
    assert found is not None and found.keys == "2"
    assert find_expectations(None, Record.read(write_call(tmp_path, [], "c2"))) is None


def test_a_wrong_tag_names_the_file_and_the_key() -> None:
    with pytest.raises(
        ExpectationError, match=r"call.json: expect.key: unknown key 'key'. Did you mean 'keys'"
    ):
        from_tags({"key": "1"}, Path("call.json"))
    with pytest.raises(ExpectationError, match="`expect` is 3, not an object"):
        from_tags(3, Path("call.json"))


async def test_the_judge_is_asked_about_the_whole_story(call: CallMeasures, tmp_path: Path) -> None:
    expected = expect(tmp_path, "judge: [safety, {question: was it funny, label: failed}]")
    found = await ask_judge(call, expected, FakeJudge({"funny": "failed"}, otherwise="passed", lines=[5]))
    assert [(one.name, one.outcome, one.judged) for one in found] == [
        ("judge: safety", "passed", True),
        ("judge: was it funny", "failed", True),
    ]
    assert "tool: book_appointment" in found[0].text and found[1].label == "failed"


async def test_without_a_judge_or_with_one_that_talks_nonsense_nothing_passes(
    call: CallMeasures, tmp_path: Path
) -> None:
    expected = expect(tmp_path, "judge: safety")
    assert [one.outcome for one in await ask_judge(call, expected, None)] == ["unsure"]
    assert [one.outcome for one in await ask_judge(call, expected, FakeLlm("well"))] == ["unsure"]


def judged(pairs: str) -> list[Verdict]:
    """ "pf": the judge passed what the person failed."""
    word: dict[str, Outcome] = {"p": "passed", "f": "failed", "u": "unsure"}
    return [
        Verdict("judge", word[one], "", None, None, True, word[other])
        for one, other in map(tuple, pairs.split())
    ]


def test_agreement_with_people_takes_chance_out() -> None:
    """Cohen's own arithmetic: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no give 0.4."""
    found = agreement(judged("pp " * 20 + "pf " * 5 + "fp " * 10 + "ff " * 15))
    assert found == (50, 0.7, 0.4) and str(found) == "70% of 50 labels, kappa 0.40"


def test_nothing_is_learnt_where_everybody_always_says_yes() -> None:
    found = agreement(judged("pp pp pp"))
    assert found is not None and (found.raw, found.kappa) == (1.0, None)
    assert (
        agreement([Verdict("rule", "passed", "", label="passed"), Verdict("j", "passed", "", judged=True)])
        is None
    )


def test_word_errors_forgive_case_and_punctuation() -> None:
    assert word_errors("On Friday, please!", "on friday please") == 0.0
    assert word_errors("one two three four", "one two four") == 0.25
    assert (word_errors("", ""), word_errors("", "hello"), word_errors("hello", "")) == (0.0, 1.0, 1.0)
