"""`offhook` finds its commands; `offhook calls` shows what the phone has been doing."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import offhook.commands
from offhook.bundle import Bundle, iso
from offhook.cli import COMMANDS, main

PLAN = {"name": "demo", "version": "7"}
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def write_call(root: Path, call_id: str, caller: str = "+15550100", said: str = "sales please") -> Path:
    """A finished call with one reply, cut off, and one answer, not understood."""
    facts = {
        "direction": "inbound",
        "caller": caller,
        "called": "100",
        "plan": {"name": "demo", "version": "7"},
    }
    with Bundle.create(root, call_id, NOON, facts) as bundle:
        events: list[dict[str, Any]] = [
            {"type": "AgentEntered", "at": 10.0, "agent": "reception"},
            {"type": "AgentStartedSpeaking", "at": 10.5, "agent": "reception", "response_delay_ms": 640.0},
            {"type": "AgentSpoke", "at": 12.0, "agent": "reception", "text": "Good", "interrupted": True},
            {"type": "UserTurnCommitted", "at": 14.25, "text": said, "understood": False},
            {"type": "ModelUsed", "at": 14.5, "provider": "groq", "input_tokens": 800, "output_tokens": 90},
            {"type": "ModelUsed", "at": 14.6, "provider": "groq", "input_tokens": 12, "output_tokens": 6},
            {"type": "RecogniserUsed", "at": 14.7, "provider": "deepgram", "seconds": 41.2},
            {"type": "VoiceUsed", "at": 14.8, "provider": "espeak", "characters": 530},
            {"type": "VoiceUsed", "at": 14.9, "provider": "espeak", "characters": "many"},
        ]
        arm = {"type": "ProviderChosen", "at": 14.5, "kind": "llm", "provider": "groq", "policy": "split"}
        events += [arm, arm, {**arm, "kind": "tts", "policy": "fastest"}] if said == "split" else []
        for event in events:
            bundle.append(event, at=event["at"], wall=NOON)
        outcome = {"ended": iso(NOON), "duration_s": 83.2, "ended_by": "caller", "code": 200, "cause": "bye"}
        bundle.close(outcome)
    return bundle.path


class Shell:
    """Types a command and looks at what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("TZ", "UTC")

    def run(self, *words: object, code: int = 0) -> tuple[str, str]:
        """What the command wrote to stdout and stderr; it must end with `code`."""
        self.monkeypatch.setattr(sys, "argv", ["offhook", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = self.capsys.readouterr()
        assert stop.value.code == code, out + err
        return out, err


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


def test_what_a_call_took_of_its_providers_is_shown_in_sum(shell: Shell, tmp_path: Path) -> None:
    """From the journal, so also of a call whose worker died; what is no amount counts as none."""
    write_call(tmp_path, "abc")
    out, _ = shell.run("calls", "show", "abc", "--calls-dir", tmp_path)
    assert "groq 812 + 96 tokens, deepgram 41 s, espeak 530 characters" in out


def test_help_names_every_command_there_is(shell: Shell) -> None:
    """A module in offhook/commands that is not in the table could not be run, and the other way round."""
    folder = Path(str(offhook.commands.__file__)).parent
    assert {path.stem for path in folder.glob("[!_]*.py")} == set(COMMANDS)
    out, _ = shell.run("--help")
    for name, summary in COMMANDS.items():
        assert name in out
        assert summary in out


def test_help_imports_no_command() -> None:
    """`offhook --help` is quick because nothing heavy is behind it."""
    script = (
        "import sys; sys.argv = ['offhook', '--help']\n"
        "heavy = {'sqlalchemy', 'aiohttp', 'numpy', 'pydantic'}\n"
        "from offhook.cli import main\n"
        "try: main()\n"
        "except SystemExit: print('HEAVY', heavy & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "HEAVY set()" in done.stdout


def test_an_unknown_command_is_refused(shell: Shell) -> None:
    """Exit code 2 is what shells expect of a usage error."""
    _, err = shell.run("dance", code=2)
    assert "No such command 'dance'" in err


def test_calls_are_listed_from_the_bundles_alone(shell: Shell, tmp_path: Path) -> None:
    """No server runs and no index exists yet."""
    write_call(tmp_path, "c1")
    out, _ = shell.run("calls", "--calls-dir", tmp_path)
    row = out.splitlines()[1].split()
    assert row[0] == "c1"
    assert row[3:] == ["+15550100", "100", "reception", "1:23", "1", "640", "ms", "bye"]


def test_a_call_is_shown_with_its_transcript_and_its_files(shell: Shell, tmp_path: Path) -> None:
    """Enough of the id will do."""
    path = write_call(tmp_path, "c1-abcdef")
    (path / "audio.wav").write_bytes(b"RIFF")
    out, _ = shell.run("calls", "show", "c1", "--calls-dir", tmp_path)
    assert "+15550100 → 100" in out
    assert "   0.50  reception  Good (interrupted)\n" in out
    assert "   4.25  caller  sales please (not understood)\n" in out
    assert str(path / "audio.wav") in out
    assert str(path / "journal.jsonl") in out


def test_the_settings_say_where_the_calls_are(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config names them; without it, config/offhook.yaml is read if it is there."""
    write_call(tmp_path / "elsewhere", "there")
    write_call(tmp_path / "var" / "calls", "here")
    settings = tmp_path / "mine.yaml"
    folder, database = tmp_path / "elsewhere", f"sqlite:///{tmp_path}/mine.db"
    settings.write_text(f"calls_dir: {json.dumps(str(folder))}\ndatabase: {json.dumps(database)}\n")
    monkeypatch.chdir(tmp_path)
    assert "there" in shell.run("calls", "--config", settings)[0]
    assert "here" in shell.run("calls")[0]


def test_settings_that_are_wrong_are_an_error_with_file_and_line(shell: Shell, tmp_path: Path) -> None:
    """As for `serve`: place, fact and remedy, no traceback."""
    settings = tmp_path / "mine.yaml"
    settings.write_text("calls_dirr: x\n")
    _, err = shell.run("calls", "--config", settings, code=1)
    assert f"offhook: {settings}:1" in err
    assert "calls_dir" in err


def test_nothing_is_said_to_be_nothing(shell: Shell, tmp_path: Path) -> None:
    """An empty table would leave the reader wondering."""
    out, _ = shell.run("calls", "--calls-dir", tmp_path)
    assert "No calls in" in out


def test_an_unknown_call_is_an_error_in_one_line(shell: Shell, tmp_path: Path) -> None:
    """Fact and remedy, no traceback."""
    out, err = shell.run("calls", "show", "zz", "--calls-dir", tmp_path, code=1)
    assert out == ""
    assert err == "offhook: no call has the id 'zz'. `offhook calls` lists the ids\n"


def test_a_bundle_that_cannot_be_read_is_named_and_the_rest_is_shown(shell: Shell, tmp_path: Path) -> None:
    """One broken file does not hide a day's calls."""
    bad = write_call(tmp_path, "bad")
    write_call(tmp_path, "good")
    (bad / "call.json").write_text("{")
    out, err = shell.run("calls", "--calls-dir", tmp_path)
    assert "good" in out
    assert f"skipped: {bad}/call.json" in err.replace("\n", "")


def test_what_a_caller_sends_cannot_paint_the_terminal(shell: Shell, tmp_path: Path) -> None:
    """Escape codes and markup out of a From header or a transcript are shown, not obeyed."""
    write_call(tmp_path, "c1", caller="\x1b]0;owned\x07[red]eve[/red]", said="[bold]\x1b[2J")
    for words in (("calls",), ("calls", "show", "c1")):
        out, _ = shell.run(*words, "--calls-dir", tmp_path)
        assert "\x1b" not in out
        assert "\x07" not in out
        assert "[red]eve[/red]" in out


def test_a_call_shows_the_arms_that_its_splits_drew(shell: Shell, tmp_path: Path) -> None:
    """Each once, however many agents took over; who was merely the fastest is no arm."""
    write_call(tmp_path, "split1", said="split")
    write_call(tmp_path, "plain1")
    out, _ = shell.run("calls", "show", "split1", "--calls-dir", tmp_path)
    (line,) = [line for line in out.splitlines() if line.startswith("arms")]
    assert line.split() == ["arms", "llm", "groq"]
    plain, _ = shell.run("calls", "show", "plain1", "--calls-dir", tmp_path)
    assert not [line for line in plain.splitlines() if line.startswith("arms")]
