"""The gate in CI: four faults, each of which fails it with its turn in the JUnit file; nothing changed, which passes.

quality.md E 14 and E 15. The command as it is typed, on a call with its tape."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from offhook.commands.replay import app
from tests.offhook.replay.recorded import DEMO, STORY, caller_wav, replayed
from tests.pipeline.providers.servers.openai_like import OpenAiLike, Reply

BREATH = ((6.5, "appointment"), (8.9145, "friday"))  # a caller who takes a breath of 300 ms
EAGER = (
    "greeting: Riverside",
    "turn_handling: {min_delay_ms: 50, expected_delay_ms: 50}\n    greeting: Riverside",
)
NO_HANDOFF = ("          say: I will put you through to billing.\n          handoff: billing\n",
              "          say: I will put you through to billing.\n")  # fmt: skip
WRONG_TOOL = ("offhook.demo.clinic:look_up_invoice", "tests.offhook.replay.broken:look_up_invoice")


@pytest.fixture(autouse=True)
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's providers: those that need no key."""
    for kind, name in (("STT", "pocketsphinx"), ("LLM", "scripted"), ("TTS", "espeak")):
        monkeypatch.setenv(f"OFFHOOK_PROVIDERS__{kind}", name)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Two calls with their tapes, which are the baseline too."""
    for name, said in (("story", STORY), ("breath", BREATH)):
        call = caller_wav(tmp_path / f"{name}.wav", said, tail_s=6.0)
        replayed(call, tmp_path / "suite", cassette="record")
    return tmp_path / "suite"


def _run(suite: Path, *arguments: str) -> Result:
    out = suite.parent / "run"
    shutil.rmtree(out, ignore_errors=True)
    asked = [
        str(suite), "--plan", str(DEMO), "--out", str(out), "--baseline", str(suite.parent / "base"),
        "--junit", str(suite.parent / "out.xml"), *arguments,
    ]  # fmt: skip
    return CliRunner().invoke(app, asked)


def _failures(suite: Path, call: str) -> list[str]:
    """The lines of a call's failures, from the JUnit file."""
    root = ElementTree.parse(suite.parent / "out.xml").getroot()
    return [
        line
        for found in root
        if found.get("name", "").startswith(call)
        for failure in found.iter("failure")
        for line in (failure.text or "").splitlines()
    ]


def _changed(tmp_path: Path, change: tuple[str, str]) -> tuple[str, ...]:
    """Arguments for another plan; what the tape does not have is asked of the providers."""
    old, new = change
    text = DEMO.read_text(encoding="utf-8")
    assert old in text
    plan = tmp_path / "changed.yaml"
    plan.write_text(text.replace(old, new), encoding="utf-8")
    return "--plan", str(plan), "--cassette", "replay-or-live"


@pytest.mark.timeout(240)
def test_twenty_runs_of_what_did_not_change_pass(suite: Path) -> None:
    first = _run(suite, "--update-baseline")
    assert first.exit_code == 0, first.output
    for _ in range(20):
        again = _run(suite)
        assert again.exit_code == 0, again.output
        assert ElementTree.parse(suite.parent / "out.xml").getroot().get("failures") == "0"


@pytest.mark.parametrize(
    ("call", "fault", "named"),
    [
        ("story", "slow voice", "mostly tts (turn "),
        ("story", NO_HANDOFF, "no handoff to billing any more (turn 2)"),
        ("story", WRONG_TOOL, "tool look_up_invoice now fails: 'look_up_invoice failed: ConnectionError"),
        ("breath", EAGER, "agent now talks over the caller once, before never (turn "),
    ],
    ids=["slow voice", "lost handoff", "broken tool", "cut in"],
)
def test_a_seeded_fault_fails_the_gate_and_its_turn_is_named(
    suite: Path, tmp_path: Path, call: str, fault: str | tuple[str, str], named: str
) -> None:
    assert _run(suite, "--update-baseline").exit_code == 0
    how = ("--delay", "tts=400ms") if isinstance(fault, str) else _changed(tmp_path, fault)
    done = _run(suite, *how)
    assert done.exit_code == 1, done.output
    told = [line for line in _failures(suite, call) if named in line]
    assert told, _failures(suite, call)
    assert "turn " in told[0]


# ---------------------------------------------------------------- the judge


@pytest.fixture
async def judge(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAiLike]:
    """A model behind a network that judges as it is told to."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    async with OpenAiLike().running() as server:
        yield server


def _vote(outcome: str) -> Reply:
    return Reply(json.dumps({"verdict": outcome, "reason": "as it was said", "lines": [1]}))


def _asking(suite: Path, question: str) -> Path:
    """The story, of which a judge is asked something."""
    (call,) = suite.glob("*/story-*")
    (call / "expect.yaml").write_text(f"judge: [{question}]\n", encoding="utf-8")
    return call


async def _judged(suite: Path, server: OpenAiLike, label: str) -> Result:
    call = _asking(suite, f"{{rubric: safety, label: {label}}}")
    options = ("--judge-option", f"base_url={server.url}/v1", "--judge-option", "model=gpt-x")
    return await asyncio.to_thread(_run, call, "--judge", "openai", *options)


async def test_the_judge_is_asked_three_times_and_its_agreement_is_printed(
    suite: Path, judge: OpenAiLike
) -> None:
    judge.replies.extend([_vote("pass"), _vote("pass"), _vote("fail")])
    done = await _judged(suite, judge, "passed")
    assert done.exit_code == 0, done.output
    assert len(judge.of("chat")) == 3
    assert "the judge agrees with people: 100% of 1 labels, kappa" in done.output


async def test_a_judge_who_is_split_or_absent_is_unsure_which_is_no_pass(
    suite: Path, judge: OpenAiLike
) -> None:
    judge.replies.extend([_vote("pass"), _vote("fail"), _vote("unsure")])
    split = await _judged(suite, judge, "failed")
    assert split.exit_code == 2, split.output
    assert "unsure  story-" in split.output
    assert "0% of 1 labels" in split.output
    call = _asking(suite, "safety")
    absent = await asyncio.to_thread(_run, call)
    assert absent.exit_code == 2, absent.output
    assert "no judge was asked" in absent.output


async def test_a_verdict_is_asked_for_once_and_kept_for_the_next_run(suite: Path, judge: OpenAiLike) -> None:
    judge.replies.extend([_vote("fail")] * 3)
    kept = suite.parent / "kept"
    for _ in range(2):
        call = _asking(suite, "safety")
        options = ["--judge", "openai", "--judge-option", f"base_url={judge.url}/v1"]
        asked = [str(call), "--plan", str(DEMO), "--out", str(kept), "--again", *options]
        done = await asyncio.to_thread(CliRunner().invoke, app, asked)
        assert done.exit_code == 1, done.output
    assert len(judge.of("chat")) == 3
