"""Many recordings: done once, by whoever, and none of them stops the others."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from offhook.bundle import Bundle
from offhook.commands.replay import app
from offhook.replay import jobs
from offhook.replay.cluster import run_on_ray
from offhook.replay.jobs import Done, Item
from offhook.replay.options import ReplayOptions
from tests.offhook.replay.meeting import PORT
from tests.offhook.replay.recorded import DEMO, caller_wav, digest, options, turns, two_channels

BRIEF = ((2.5, "goodbye"),)


def _items(folder: Path, out: Path, **how: Any) -> list[Item]:
    return [Item(path, options(out, **how)) for path in sorted(folder.glob("*.wav"))]


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's providers: those that need no key."""
    for kind, name in (("STT", "pocketsphinx"), ("LLM", "scripted"), ("TTS", "espeak")):
        monkeypatch.setenv(f"OFFHOOK_PROVIDERS__{kind}", name)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Two calls, and one file that is none between them."""
    folder = tmp_path / "calls"
    folder.mkdir()
    caller_wav(folder / "a.wav", BRIEF)
    (folder / "b.wav").write_bytes(b"RIFF and then nothing")
    caller_wav(folder / "c.wav", ((6.5, "opening_hours"),))
    return folder


def test_a_damaged_file_is_told_and_stops_nobody(calls: Path, tmp_path: Path) -> None:
    done = list(jobs.run(_items(calls, tmp_path / "out")))
    assert [bool(one.error) for one in done] == [False, True, False]
    assert "b.wav: " in done[1].error
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".part")]


def test_four_processes_give_what_one_process_gives(calls: Path, tmp_path: Path) -> None:
    alone = {one.path.name: _digests(one) for one in jobs.run(_items(calls, tmp_path / "one"))}
    together = {one.path.name: _digests(one) for one in jobs.run(_items(calls, tmp_path / "four"), jobs=4)}
    assert alone == together


def _digests(done: Done) -> list[str]:
    return [digest(Bundle.open(path)) for path in done.bundles]


def test_what_was_done_is_not_done_again_until_an_input_changes(calls: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_bytes(DEMO.read_bytes())
    items = _items(calls, tmp_path / "out", plan=plan)[:1]
    assert [one.skipped for one in jobs.run(items)] == [False]
    assert [one.skipped for one in jobs.run(items)] == [True]
    assert [one.skipped for one in jobs.run(items, again=True)] == [False]
    plan.write_text(plan.read_text(encoding="utf-8") + "\n# another plan\n", encoding="utf-8")
    assert [one.skipped for one in jobs.run(items)] == [False]
    assert [one.skipped for one in jobs.run(_items(calls, tmp_path / "out", plan=plan, seed=3)[:1])] == [
        False
    ]
    caller_wav(calls / "a.wav", ((2.0, "goodbye"),))
    assert [one.skipped for one in jobs.run(items)] == [False]


def test_a_process_that_dies_costs_only_the_file_it_died_of(calls: Path, tmp_path: Path) -> None:
    """A plan whose tool kills its process: as a crash in a library would."""
    plan = tmp_path / "plan.yaml"
    text = DEMO.read_text(encoding="utf-8")
    deadly = "tests.offhook.replay.deadly:Deadly"
    plan.write_text(
        text.replace("  billing:\n", f"  deadly:\n    python: {deadly}\n\n  billing:\n"), encoding="utf-8"
    )
    items = _items(calls, tmp_path / "out", plan=plan)
    killer = Item(calls / "a.wav", options(tmp_path / "out", plan=plan, to="", agent="deadly"))
    done = {one.path.name: one.error for one in jobs.run([killer, *items[1:]], jobs=2)}
    assert "the process that replayed it died" in done["a.wav"]
    assert "b.wav: " in done["b.wav"]
    assert done["c.wav"] == ""


@pytest.mark.usefixtures("embedded")
def test_the_command_replays_a_folder_and_says_what_it_could_not(calls: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [str(calls), "--to", "100", "--plan", str(DEMO), "--out", str(out), "--mono", "caller"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert "not replayed:" in result.output
    assert "b.wav" in result.output
    (bundle,) = out.glob("*/a-*")
    assert turns(Bundle.open(bundle))[-1][1].endswith("Goodbye.")
    again = CliRunner().invoke(app, arguments)
    assert "done before" in again.output


@pytest.mark.usefixtures("embedded")
def test_one_channel_is_not_replayed_until_somebody_says_whose_it_is(tmp_path: Path) -> None:
    """quality.md E 12: refused with a reason, which names the remedy; with two channels the side may be told."""
    call, out = caller_wav(tmp_path / "call.wav", BRIEF), tmp_path / "out"
    arguments = ["--to", "100", "--plan", str(DEMO), "--out", str(out)]
    refused = CliRunner().invoke(app, [str(call), *arguments])
    assert refused.exit_code == 2
    assert "call.wav: one channel: " in refused.output
    assert "--mono caller" in refused.output
    assert not list(out.glob("*/call-*"))
    alone = CliRunner().invoke(app, [str(call), *arguments, "--mono", "caller"])
    assert alone.exit_code == 0, alone.output
    right = two_channels(tmp_path / "right.wav", call, caller="right")
    asked = CliRunner().invoke(app, [str(right), *arguments, "--caller-channel", "right"])
    assert asked.exit_code == 0, asked.output
    (one,), (other,) = out.glob("*/call-*"), out.glob("*/right-*")
    assert turns(Bundle.open(one)) == turns(Bundle.open(other))
    assert Bundle.open(one).facts["replay"]["mono"] == "caller"
    assert Bundle.open(other).facts["replay"]["caller_channel"] == "right"


@pytest.mark.parametrize("text", ["llm=fast", "tool=1s", "llm=800"])
def test_a_delay_that_is_none_is_refused(text: str, calls: Path) -> None:
    result = CliRunner().invoke(app, [str(calls), "--delay", text])
    assert result.exit_code == 2
    assert "llm=800ms" in result.output


def test_the_inputs_are_plain_values_of_this_run(tmp_path: Path) -> None:
    """What a bundle notes of how it was made has neither paths nor secrets."""
    facts = json.dumps(ReplayOptions(tmp_path, DEMO).facts())
    assert str(tmp_path) not in facts
    assert options(tmp_path).digest() == options(tmp_path / "elsewhere").digest()


@pytest.mark.alone
@pytest.mark.filterwarnings("default")  # of Ray's own
@pytest.mark.timeout(240)
def test_ray_workers_give_what_one_process_gives(calls: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    here = {one.path.name: _digests(one) for one in jobs.run(_items(calls, tmp_path / "here"))}
    there = list(run_on_ray(_items(calls, tmp_path / "there"), "local"))
    assert {one.path.name: _digests(one) for one in there} == here
    assert [one.error != "" for one in sorted(there, key=lambda one: one.path)] == [False, True, False]
    assert all(one.skipped for one in run_on_ray(_items(calls, tmp_path / "there")[:1], "local"))


MET = """
version: 1
name: Two at once
agents:
  meeting: {python: "tests.offhook.replay.meeting:Meeting"}
numbers:
  - {number: "100", agent: meeting}
"""


@pytest.mark.alone
@pytest.mark.filterwarnings("default")  # of Ray's own
@pytest.mark.timeout(240)
def test_two_ray_workers_are_at_work_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call goes on only when another process has begun one; so two of them did, and with the same result."""
    pytest.importorskip("ray")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    plan, folder = tmp_path / "plan.yaml", tmp_path / "calls"
    plan.write_text(MET, encoding="utf-8")
    folder.mkdir()
    for name in ("a", "b"):
        caller_wav(folder / f"{name}.wav", BRIEF)
    met: list[str] = []
    made: list[dict[str, list[str]]] = []
    with socket.create_server(("127.0.0.1", 0)) as place:
        place.settimeout(120.0)
        monkeypatch.setenv(PORT, str(place.getsockname()[1]))
        for at_once, run in ((2, _on_two_workers), (1, _one_after_the_other)):
            host = threading.Thread(target=_bring_together, args=(place, at_once, met))
            host.start()
            done = run(_items(folder, tmp_path / f"out{at_once}", plan=plan))
            host.join(timeout=120.0)
            assert [one.error for one in done] == ["", ""]
            made.append({one.path.name: _digests(one) for one in done})
    assert len(set(met[:2])) == 2, "two processes"
    assert str(os.getpid()) not in met[:2]
    assert set(met[2:]) == {str(os.getpid())}
    assert made[0] == made[1]


def _on_two_workers(items: list[Item]) -> list[Done]:
    return list(run_on_ray(items, "local", workers=2))


def _one_after_the_other(items: list[Item]) -> list[Done]:
    return list(jobs.run(items))


def _bring_together(place: socket.socket, at_once: int, met: list[str]) -> None:
    """Let two calls go on, so many of them only together."""
    for _ in range(2 // at_once):
        lines = [place.accept()[0] for _ in range(at_once)]
        met.extend(line.recv(16).decode().strip() for line in lines)
        for line in lines:
            line.sendall(b"go on\n")
            line.close()
