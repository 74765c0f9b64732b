"""One recorded call through the pipeline on a virtual clock: the same every time, and what it should be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offhook.errors import RecordingError
from offhook.replay.engine import call_id, find_route
from offhook.replay.recording import Reading, read
from telephony.dialplan.load import load_plan
from tests.offhook.replay.recorded import (
    CLIPS,
    DEMO,
    RATE_HZ,
    ROOT,
    caller_wav,
    digest,
    kinds,
    options,
    replayed,
    turns,
    write_wav,
)

BRIEF = ((2.5, "goodbye"),)
SHORT = ((6.5, "opening_hours"), (21.5, "goodbye"))


def test_a_recording_without_an_agent_is_answered_by_the_plan(tmp_path: Path) -> None:
    record = replayed(caller_wav(tmp_path / "call.wav"), tmp_path / "out")
    said = [text for who, text, _ in turns(record) if who == "caller"]
    assert said == [
        "what are your opening hours",
        "i have a question about my bill",
        "four two seven one",
        "no thank you",
        "that is all goodbye",
    ]
    assert [event["agent"] for event in kinds(record, "AgentEntered")] == ["reception", "billing"]
    assert kinds(record, "ToolFinished")[-1]["ok"]
    assert record.facts["cause"] == "agent_hung_up"
    assert record.facts["replay"]["caller"] == "fixed"


def test_a_hundred_runs_of_one_call_give_the_same_bytes(tmp_path: Path) -> None:
    """With the providers on tape; what is embedded is held to the same in the test below."""
    first = replayed(caller_wav(tmp_path / "call.wav", BRIEF), tmp_path / "live", cassette="record")
    tape, expected = first.path, set()
    for _ in range(100):
        again = replayed(tape, tmp_path / "again")
        assert not again.facts["replay"]["tape"]["missed"]
        expected.add(digest(again))
        shutil.rmtree(tmp_path / "again")
    assert len(expected) == 1
    assert turns(replayed(tape, tmp_path / "again")) == turns(first)


def test_embedded_providers_sound_and_understand_the_same_in_every_run(tmp_path: Path) -> None:
    """A voice that kept its phase from call to call would make each run another one."""
    call = caller_wav(tmp_path / "call.wav", SHORT)
    found = {digest(replayed(call, tmp_path / str(run))) for run in range(4)}
    assert len(found) == 1


def test_another_process_with_another_hash_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    call = caller_wav(tmp_path / "call.wav", SHORT)
    script = (
        "import sys; from pathlib import Path; from tests.offhook.replay.recorded import digest, replayed; "
        "print(digest(replayed(Path(sys.argv[1]), Path(sys.argv[2]))))"
    )
    found = set()
    for seed in ("1", "77"):
        command = [sys.executable, "-c", script, str(call), str(tmp_path / seed)]
        environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, env=environ, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        found.add(done.stdout.strip())
    assert found == {digest(replayed(call, tmp_path / "here"))}


def test_a_replayed_bundle_replays_to_the_turns_that_it_had(tmp_path: Path) -> None:
    """At fixed times and reactively, from its own bundle: the caller's sound, and all else from the pipeline."""
    first = replayed(caller_wav(tmp_path / "call.wav"), tmp_path / "first")
    assert turns(replayed(first.path, tmp_path / "fixed", to="")) == turns(first)
    reactive = replayed(first.path, tmp_path / "reactive", to="", caller="reactive")
    assert turns(reactive) == turns(first)
    placed = reactive.facts["replay"]["placed"]
    assert {one["how"] for one in placed} == {"after the agent", "over the agent"}


def test_a_persona_may_be_called_instead_of_a_number(tmp_path: Path) -> None:
    record = replayed(
        caller_wav(tmp_path / "call.wav", ((4.5, "invoice_number"),)),
        tmp_path / "out",
        to="",
        agent="billing",
    )
    assert kinds(record, "AgentEntered")[0]["agent"] == "billing"
    assert record.facts["agent"] == "billing"


def test_a_recording_that_does_not_say_who_was_called_needs_a_number(tmp_path: Path) -> None:
    call = caller_wav(tmp_path / "call.wav", SHORT)
    with pytest.raises(RecordingError, match="--to NUMBER or --agent NAME"):
        replayed(call, tmp_path / "out", to="")
    with pytest.raises(RecordingError, match="no agent 'nobody'"):
        replayed(call, tmp_path / "out", to="", agent="nobody")
    with pytest.raises(RecordingError, match="refuses '999' with 404"):
        replayed(call, tmp_path / "out", to="999")


def test_three_hours_of_silence_end_as_the_plan_says(tmp_path: Path) -> None:
    """The agent asks whether anybody is there, and hangs up."""
    silence = write_wav(tmp_path / "silence.wav", np.zeros(3 * 3600 * RATE_HZ, np.int16))
    record = replayed(silence, tmp_path / "out")
    assert kinds(record, "CallerSilent")[-1]["gave_up"]
    assert record.facts["duration_s"] < 120
    assert record.facts["cause"] != "error"


def test_an_agent_that_never_gives_up_is_heard_to_the_end_of_a_long_recording(tmp_path: Path) -> None:
    """Ten minutes of silence, to their end: the clock jumps from tick to tick and waits for nothing."""
    plan = tmp_path / "plan.yaml"
    text = DEMO.read_text(encoding="utf-8").replace("max_call: 10m", "max_call: 1h\n  silence: {after_s: 0}")
    plan.write_text(text, encoding="utf-8")
    silence = write_wav(tmp_path / "silence.wav", np.zeros(600 * RATE_HZ, np.int16))
    began = time.process_time()
    record = replayed(silence, tmp_path / "out", plan=plan)
    assert record.facts["duration_s"] > 599
    assert record.facts["cause"] == "caller_hung_up"
    assert time.process_time() - began < 600, "at least in real time"


def test_a_plan_without_a_recording_of_calls_replays_without_sound(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        DEMO.read_text(encoding="utf-8").replace('recording: "on"', 'recording: "off"'), encoding="utf-8"
    )
    record = replayed(caller_wav(tmp_path / "call.wav", SHORT), tmp_path / "out", plan=plan)
    assert record.audio_path is None
    assert [text for who, text, _ in turns(record) if who == "caller"][0] == "what are your opening hours"


def test_the_bundles_name_depends_on_the_recording_alone() -> None:
    alone = Reading(mono="caller")
    one, other = read(CLIPS / "yes.wav", alone), read(CLIPS / "no.wav", alone)
    assert call_id(one) == call_id(read(CLIPS / "yes.wav", alone)) != call_id(other)
    assert call_id(one).startswith("yes-")


HOURS = """
version: 1
name: Hours
trunks: [carrier]
calendars:
  office: {timezone: Europe/Berlin, open: {mon-fri: "09:00-17:00"}}
agents:
  day: {greeting: Hello., instructions: x}
  night: {greeting: We are closed., instructions: x}
  other: {greeting: Hello there., instructions: x}
numbers:
  - number: "100"
    routes:
      - when: {calendar: office, header: {x-split: "yes"}}
        split: {day: 50%, other: 50%}
      - {when: {calendar: office}, agent: day}
      - agent: night
"""


def test_a_call_takes_the_route_that_it_took_when_it_came(tmp_path: Path) -> None:
    """By trunk, hour, header and share of the recorded call, not by those of today."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(HOURS, encoding="utf-8")
    loaded, asked = load_plan(plan), options(tmp_path, plan=plan)
    recording = read(CLIPS / "yes.wav", asked.reading)

    def taker(seed: int = 0, **facts: Any) -> str:
        known = {**recording.facts, "trunk": "carrier", "sip_call_id": "one@there", **facts}
        return find_route(loaded, replace(recording, facts=known), replace(asked, seed=seed)).agent

    assert taker(started="2026-03-04T12:00:00.000Z") == "day"
    assert taker(started="2026-03-04T23:00:00.000Z") == "night"
    assert taker() == "night", "nobody knows when it was"
    with pytest.raises(RecordingError, match="does not serve calls of trunk none"):
        taker(trunk="")
    noon: dict[str, Any] = {"started": "2026-03-04T12:00:00.000Z", "headers": {"x-split": "yes"}}
    assert {taker(**noon) for _ in range(5)} in ({"day"}, {"other"}), "the same share every time"
    assert {taker(seed, **noon) for seed in range(12)} == {"day", "other"}
