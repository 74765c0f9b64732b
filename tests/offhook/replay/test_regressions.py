"""Deliberate regressions: the bundles differ, and the comparison with the baseline names what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offhook.bundle import Record
from offhook.replay import assessing
from offhook.replay.jobs import Done
from tests.offhook.replay.recorded import DEMO, caller_wav, kinds, replayed, turns

PAUSES = ((6.5, "appointment"), (8.9145, "friday"))  # a caller who takes a breath of 300 ms
EAGER = "turn_handling: {min_delay_ms: 50, expected_delay_ms: 50}\n    greeting: Riverside"


def _plan(tmp_path: Path, old: str, new: str) -> Path:
    text = DEMO.read_text(encoding="utf-8")
    assert old in text
    plan = tmp_path / "changed.yaml"
    plan.write_text(text.replace(old, new), encoding="utf-8")
    return plan


def _told(record: Record, baseline: Path, call: Path) -> str:
    """What the comparison names as regressions, worst first."""
    (result,) = assessing.assess(Done(call, (record.path,)), baseline)
    return "; ".join(finding.text for finding in result.regressions)


@pytest.fixture
def before(tmp_path: Path) -> Record:
    """The story of the demo, as it is."""
    return replayed(caller_wav(tmp_path / "call.wav"), tmp_path / "base")


def _after(tmp_path: Path, **how: Any) -> Record:
    return replayed(tmp_path / "call.wav", tmp_path / "after", **how)


def test_what_did_not_change_is_no_regression(before: Record, tmp_path: Path) -> None:
    assert _told(_after(tmp_path), tmp_path / "base", tmp_path / "call.wav") == ""


def test_a_slower_model_is_named(before: Record, tmp_path: Path) -> None:
    """Some of its delay passes while the end of the turn is waited for."""
    slow = _after(tmp_path, delays_s={"llm": 0.8})
    llm_ms = [kinds(record, "AgentStartedSpeaking")[1]["llm_ms"] for record in (before, slow)]
    assert 400 < llm_ms[1] - llm_ms[0] <= 800
    assert "mostly llm" in _told(slow, tmp_path / "base", tmp_path / "call.wav")


def test_a_changed_prompt_is_named(before: Record, tmp_path: Path) -> None:
    changed = _after(
        tmp_path, plan=_plan(tmp_path, "We are open from Monday", "The doors are open from Monday")
    )
    assert turns(changed) != turns(before)
    assert changed.id == before.id, "so that they can be compared"
    assert "answer changed in turn 1" in _told(changed, tmp_path / "base", tmp_path / "call.wav")


def test_a_broken_tool_is_named(before: Record, tmp_path: Path) -> None:
    broken = "tests.offhook.replay.broken:look_up_invoice"
    after = _after(tmp_path, plan=_plan(tmp_path, "offhook.demo.clinic:look_up_invoice", broken))
    looked_up = [event["ok"] for event in kinds(after, "ToolFinished") if event["name"] == "look_up_invoice"]
    assert looked_up == [False]
    told = _told(after, tmp_path / "base", tmp_path / "call.wav")
    assert told.startswith("tool look_up_invoice now fails")


def test_an_agent_that_cuts_in_is_named(tmp_path: Path) -> None:
    """The caller takes a breath; an agent that takes it for the end of the turn talks into the rest."""
    call = caller_wav(tmp_path / "call.wav", PAUSES, tail_s=6.0)
    calm = replayed(call, tmp_path / "base")
    eager = replayed(call, tmp_path / "after", plan=_plan(tmp_path, "greeting: Riverside", EAGER))
    waited = [kinds(record, "UserTurnCommitted")[0]["waited_ms"] for record in (calm, eager)]
    assert waited[1] < waited[0]
    assert len(kinds(eager, "UserTurnCommitted")) > len(kinds(calm, "UserTurnCommitted"))
    assert "agent now talks over the caller once" in _told(eager, tmp_path / "base", call)
