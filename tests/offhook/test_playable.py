"""What a plan's file does not know of itself and its players do: told with a line, as everything else."""

from __future__ import annotations

import pytest

from offhook.plans.playable import unplayable
from telephony.dialplan.document import FileProblems
from telephony.dialplan.load import parse_plan

GOOD = """\
version: 1
defaults:
  llm: scripted
  tts: espeak
  turn_handling: {interrupt_after_ms: 800}
agents:
  anna:
    instructions: Answer.
    stt: [pocketsphinx, {provider: groq, model: whisper-large-v3}]
    silence: {after_s: 6}
    thinking_sound: {sound: typing, level_db: -20}
numbers:
  - {number: "100", agent: anna}
"""


def test_a_good_plan_has_none() -> None:
    parse_plan(GOOD.encode(), "plan.yaml", also=unplayable)


@pytest.mark.parametrize(
    ("good", "bad", "line", "column", "text"),
    [
        ("interrupt_after_ms: 800", "interupt_after_ms: 800", 5, 19, "Did you mean 'interrupt_after_ms'?"),
        (
            "interrupt_after_ms: 800",
            "interrupt_after_ms: soon",
            5,
            39,
            "'interrupt_after_ms' must be a whole",
        ),
        ("after_s: 6", "after: 6", 10, 15, "unknown key 'after'. Did you mean 'after_s'?"),
        ("after_s: 6", "after_s: -6", 10, 24, "'after_s': input should be greater than or equal to 0"),
        ("level_db: -20", "level: -20", 11, 37, "unknown key 'level'. Did you mean 'level_db'?"),
        ("llm: scripted", "llm: scriptd", 3, 8, "no llm provider 'scriptd'."),
        ("tts: espeak", "tts: {provider: espeak, pich: 3}", 4, 27, "espeak: no option 'pich'."),
        ("model: whisper-large-v3", "modle: x", 9, 42, "groq: no option 'modle'."),
        ("model: whisper-large-v3", "temperature: hot", 9, 42, "option 'temperature' is 'hot'."),
        (
            "pocketsphinx, {provider: groq",
            "poketsphinx, {provider: groq",
            9,
            11,
            "Did you mean 'pocketsphinx'?",
        ),
        (
            "stt: [pocketsphinx, {provider: groq, model: whisper-large-v3}]",
            "stt: {policy: split, of: [{provider: grok, weight: 1}]}",
            9,
            31,
            "no stt provider 'grok'.",
        ),
    ],
)
def test_a_mistake_has_its_line_and_column(good: str, bad: str, line: int, column: int, text: str) -> None:
    assert good in GOOD
    with pytest.raises(FileProblems) as raised:
        parse_plan(GOOD.replace(good, bad).encode(), "plan.yaml", also=unplayable)
    (problem,) = raised.value.problems
    assert text in str(problem)
    assert (problem.line, problem.column) == (line, column), str(problem)


def test_it_is_told_beside_mistakes_of_the_file_itself() -> None:
    text = GOOD.replace("after_s: 6", "after: 6").replace("agent: anna", "agnt: anna")
    with pytest.raises(FileProblems) as raised:
        parse_plan(text.encode(), "plan.yaml", also=unplayable)
    assert [problem.line for problem in raised.value.problems] == [10, 13]
