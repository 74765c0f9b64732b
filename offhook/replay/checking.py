"""Is a call what was expected of it? One verdict for each thing that was written, with the turn that shows it.

Rules first (`check`), the judge last (`ask_judge`), whose word is worth what its agreement with people is
(agreement.py). Driven by `offhook replay`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer

from offhook.bundle import Record
from offhook.replay.expectations import Expectations, Question, Tool, Words
from offhook.replay.measures import CallMeasures, measure
from offhook.replay.timeline import silences
from offhook.replay.turns import ToolUse, Turn
from pipeline.errors import ProviderError
from pipeline.judging import Outcome, judge
from pipeline.ports import Llm

WORDS_FOR: dict[bool | None, tuple[str, ...]] = {
    True: ("true", "yes"),
    False: ("false", "no"),
    None: ("null", "none", ""),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one expectation. text: the fact. turn, at_s: where it shows, None if nowhere in particular.

    judged: a model said so, and not a rule. label: what a person said of the same.
    """

    name: str
    outcome: Outcome
    text: str
    turn: int | None = None
    at_s: float | None = None
    judged: bool = False
    label: Outcome | None = None

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def check(bundle: CallMeasures | Record | Path, expected: Expectations) -> list[Verdict]:
    """Everything that a rule can tell, in the order of the file. Raises BundleError if there is no call."""
    call = bundle if isinstance(bundle, CallMeasures) else measure(bundle)
    return [
        *_words("agent", call, expected.agent),
        *_words("caller", call, expected.caller),
        *[_tool(call, tool) for tool in expected.tools],
        *_course(call, expected),
        *_rudeness(call, expected),
        *_delays(call, expected),
        *_reference(call, expected),
    ]


async def ask_judge(
    bundle: CallMeasures | Record | Path,
    expected: Expectations,
    llm: Llm | None,
    *,
    cache: Path | None = None,
) -> list[Verdict]:
    """The judge's questions, one by one. llm: None if there is no judge, and nothing that needs one can pass.

    cache: a folder; the same question about the same words is asked once. A model that fails leaves it unsure."""
    call = bundle if isinstance(bundle, CallMeasures) else measure(bundle)
    return [await _judged(call, question, llm, cache) for question in expected.judge]


async def _judged(call: CallMeasures, question: Question, llm: Llm | None, cache: Path | None) -> Verdict:
    name = f"judge: {question.name}"
    if llm is None:
        return Verdict(name, "unsure", "no judge was asked: name a model", None, None, True, question.human)
    try:
        found = await judge(llm, call.story(), question.asked, votes=question.votes, cache=cache)
    except ProviderError as error:
        text = f"the judge could not answer: {error}"
        return Verdict(name, "unsure", text, None, None, True, question.human)
    quoted = "".join(f" [{line}]" for line in found.quoted)
    return Verdict(name, found.outcome, f"{found.reason}{quoted}", None, None, True, question.human)


def word_errors(reference: str, understood: str) -> float:
    """Word error rate of what was understood: 0.0 is perfect; no matter the case of letters and punctuation."""
    wanted, heard = plain(reference), plain(understood)
    if not wanted:
        return 0.0 if not heard else 1.0
    return float(jiwer.wer(wanted, heard))


def often(count: int) -> str:
    """A number of times in words."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def plain(text: str) -> str:
    """Words only, so that two ways to write the same are the same."""
    return " ".join(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.casefold()))


# ---------------------------------------------------------------- words


def _words(side: str, call: CallMeasures, words: Words) -> Iterator[Verdict]:
    lines = list(_lines(side, call))
    whole = " ".join(" ".join(text.split()) for _, _, text in lines).casefold()
    for part in words.contains:
        name = f"{side} says {part!r}"
        here = _first(lines, re.escape(" ".join(part.split())))
        if here is None and " ".join(part.casefold().split()) not in whole:
            yield Verdict(name, "failed", f"the {side} never says {part!r}")
        else:
            yield _at(name, "passed", "said", here)
    for part in words.lacks:
        here = _first(lines, re.escape(" ".join(part.split())))
        text = "not said" if here is None else f"the {side} says it: {here[2]!r}"
        yield _at(f"{side} does not say {part!r}", "failed" if here else "passed", text, here)
    for pattern in words.matches:
        here = _first(lines, pattern)
        text = f"matches {here[2]!r}" if here else f"no turn of the {side} matches"
        yield _at(f"{side} matches /{pattern}/", "passed" if here else "failed", text, here)


def _lines(side: str, call: CallMeasures) -> Iterator[tuple[int, float, str]]:
    """What one side said: turn, time, words."""
    for turn in call.turns:
        if side == "caller" and turn.text:
            yield turn.number, turn.start_s, turn.text
        elif side == "agent":
            yield from ((turn.number, reply.start_s, reply.text) for reply in turn.replies if reply.text)


def _first(lines: Sequence[tuple[int, float, str]], pattern: str) -> tuple[int, float, str] | None:
    found = re.compile(pattern, re.IGNORECASE)
    return next((line for line in lines if found.search(" ".join(line[2].split()))), None)


def _at(name: str, outcome: Outcome, text: str, here: tuple[int, float, str] | None) -> Verdict:
    return Verdict(name, outcome, text, *(here[:2] if here else (None, None)))


# ---------------------------------------------------------------- tools


def _tool(call: CallMeasures, wanted: Tool) -> Verdict:
    given = ", ".join(f"{key}={value!r}" for key, value in wanted.arguments.items())
    name = f"tool {wanted.name}({given})" + ("" if wanted.times is None else f" {wanted.times} times")
    named = [(turn, tool) for turn in call.turns for tool in turn.tools if tool.name == wanted.name]
    fitting = [(turn, tool) for turn, tool in named if _fits(tool, wanted)]
    if wanted.times is not None:
        passed = len(fitting) == wanted.times
        found = fitting or named
        return _used(name, passed, f"called {often(len(fitting))}", found[:1])
    if fitting:
        return _used(name, True, _told(fitting[0][1]), fitting[:1])
    others = "; ".join(_told(tool) for _, tool in named)
    known = ", ".join(sorted({tool.name for tool in call.tools})) or "no tool at all"
    return _used(name, False, f"it was {others}" if named else f"not called; called: {known}", named[:1])


def _used(name: str, passed: bool, text: str, found: Sequence[tuple[Turn, ToolUse]]) -> Verdict:
    turn, at_s = (found[0][0].number, found[0][1].start_s) if found else (None, None)
    return Verdict(name, "passed" if passed else "failed", text, turn, at_s)


def _fits(tool: ToolUse, wanted: Tool) -> bool:
    given = tool.arguments if isinstance(tool.arguments, dict) else {}
    right = all(key in given and _same(given[key], value) for key, value in wanted.arguments.items())
    return right and wanted.ok in (None, bool(tool.ok))


def _same(given: Any, wanted: Any) -> bool:
    """YAML gives text; a model may have given a number, a truth or a list."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        return all(key in given and _same(given[key], value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(given, list):
        return len(wanted) == len(given) and all(map(_same, given, wanted))
    if isinstance(given, bool) or given is None:
        return str(wanted).casefold() in WORDS_FOR[given]
    if isinstance(given, int | float):
        try:
            return float(wanted) == given
        except (TypeError, ValueError):
            return False
    return " ".join(str(given).casefold().split()) == " ".join(str(wanted).casefold().split())


def _told(tool: ToolUse) -> str:
    given = tool.arguments
    inside = ", ".join(f"{k}={v!r}" for k, v in given.items()) if isinstance(given, dict) else str(given)
    return (
        f"{tool.name}({inside})" + {True: "", False: " which failed", None: " which never finished"}[tool.ok]
    )


# ---------------------------------------------------------------- the rest


def _course(call: CallMeasures, expected: Expectations) -> Iterator[Verdict]:
    if expected.handoff_to is not None:
        made = [handoff for handoff in call.handoffs if handoff.ok]
        went = [handoff.to for handoff in made]
        name = f"handed over to {', then '.join(expected.handoff_to) or 'nobody'}"
        text = f"handed over to {', then '.join(went) or 'nobody'}"
        at_s = made[-1].at_s if made else None
        yield Verdict(name, "passed" if went == expected.handoff_to else "failed", text, None, at_s)
    if expected.ended_by is not None:
        yield _equal(f"ended by {expected.ended_by}", expected.ended_by, call.ended_by)
    if expected.cause is not None:
        yield _equal(f"ended because of {expected.cause}", expected.cause, call.cause)
    if expected.keys is not None:
        yield _equal(f"keys {expected.keys}", expected.keys, call.pressed, expected.keys in call.pressed)


def _equal(name: str, wanted: str, found: str, passed: bool | None = None) -> Verdict:
    outcome: Outcome = "passed" if (wanted == found if passed is None else passed) else "failed"
    return Verdict(name, outcome, f"it was {found!r}")


def _rudeness(call: CallMeasures, expected: Expectations) -> Iterator[Verdict]:
    if (most := expected.interruptions) is not None:
        found, text = call.cut_ins, f"the agent talked into the caller's turn {often(len(call.cut_ins))}"
        here = (found[most].turn, found[most].at_s) if len(found) > most else (None, None)
        outcome: Outcome = "failed" if len(found) > most else "passed"
        yield Verdict(f"at most {most} interruptions of the caller", outcome, text, *here)
    if (limit := expected.silence_under_s) is not None:
        quiet = silences(call.caller_speech, call.agent_speech, call.length_s, limit)
        worst = max(quiet, key=lambda silence: silence.length_s, default=None)
        name = f"no silence of {limit:g} s"
        if worst is None:
            yield Verdict(name, "passed", "none")
        else:
            text = f"{worst.length_s:.1f} s of silence after the {worst.after or 'call began'}"
            yield Verdict(name, "failed", text, None, worst.start_s)


def _delays(call: CallMeasures, expected: Expectations) -> Iterator[Verdict]:
    spread = call.response_delay_ms
    for part in ("p50", "p95", "max"):
        limit = getattr(expected.response_delay, f"{part}_ms")
        if limit is None:
            continue
        name = f"response delay {part} under {limit:g} ms"
        if spread is None:
            yield Verdict(name, "failed", "no answer was measured")
            continue
        found = getattr(spread, part)
        late = next((turn for turn in call.turns if turn.delay and turn.delay.total_ms == found), None)
        blame = f", most of it {late.delay.blame}" if late and late.delay else ""
        number, at_s = (late.number, late.end_s) if late else (None, None)
        text = f"{found:.0f} ms{blame}"
        yield Verdict(name, "passed" if found < limit else "failed", text, number, at_s)


def _reference(call: CallMeasures, expected: Expectations) -> Iterator[Verdict]:
    if (reference := expected.reference) is None:
        return
    rate = word_errors(" ".join(reference.caller), call.said("caller"))
    name = f"word error rate under {reference.errors_under:.0%}"
    yield Verdict(name, "passed" if rate < reference.errors_under or not rate else "failed", f"{rate:.1%}")
