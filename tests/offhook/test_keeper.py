"""The keeper with switches that tests make up: what it keeps, passes on, starts again, and when it gives up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEEPER = """
import sys
from offhook import keeper
keeper.FIRST_PAUSE_S = keeper.LONGEST_PAUSE_S = 0.01
sys.exit(keeper.Keeper((sys.executable, *sys.argv[1:])).run())
"""
SWITCH = """
import json, os, signal, socket, subprocess, sys
from offhook.keeper import VARIABLE, receive, send
sock = socket.socket(fileno=int(os.environ.pop(VARIABLE)))
found = {}
while True:
    row, fds = receive(sock)
    if row is None:
        sys.exit(0)
    if "go" in row:
        go = row["go"]
        break
    found[row["name"]] = fds
turn = go["restarts"]
def note(**facts):
    with open(sys.argv[1], "a") as log:
        log.write(json.dumps({"turn": turn, "found": sorted(found), "died_of": go["died_of"], **facts}) + "\\n")
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _run(folder: Path, switch: str, *, limit_s: float = 20) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, what the switches noted, and what was said. switch: what each does once it may go."""
    script, log = folder / "switch.py", folder / "log"
    script.write_text(SWITCH + switch)
    done = subprocess.run(
        [sys.executable, "-c", KEEPER, str(script), str(log)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    return done.returncode, _notes(log), done.stderr


def _notes(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_the_next_switch_gets_what_the_dead_one_had_and_what_was_sent_to_it_meanwhile(tmp_path: Path) -> None:
    code, notes, _ = _run(
        tmp_path,
        """
if turn == 0:
    ours, theirs = socket.socketpair()
    send(sock, {"keep": "line"}, [ours.fileno()])
    send(sock, {"keep": "old"}, [ours.fileno()])
    send(sock, {"drop": "old"})
    send(sock, {"keep": "other end"}, [theirs.fileno()])
    theirs.send(b"are you there?")
    send(sock, {"ready": True})
    die()
(fd,) = found["line"]
note(heard=socket.socket(fileno=fd).recv(100).decode())
""",
    )
    assert (code, notes) == (
        0,
        [{"turn": 1, "found": ["line", "other end"], "died_of": -9, "heard": "are you there?"}],
    )


def test_a_switch_that_never_took_a_call_is_not_started_again(tmp_path: Path) -> None:
    """A mistake in the settings is for the person at the keyboard."""
    code, notes, said = _run(tmp_path, "note()\nsys.exit(1)")
    assert (code, len(notes), said) == (1, 1, "")


def test_one_that_leaves_by_itself_ends_the_server_with_its_code(tmp_path: Path) -> None:
    assert _run(tmp_path, 'send(sock, {"ready": True})\nnote()\nsys.exit(0)')[:2] == (
        0,
        [{"turn": 0, "found": [], "died_of": 0}],
    )


def test_one_that_crashes_after_it_took_calls_is_started_again(tmp_path: Path) -> None:
    """By an exception: whatever its exit code is, it did not leave in order."""
    code, notes, _ = _run(tmp_path, 'send(sock, {"ready": True})\nnote()\nsys.exit(1 if turn < 2 else 0)')
    assert code == 0
    assert [(note["turn"], note["died_of"]) for note in notes] == [(0, 0), (1, 1), (2, 1)]


def test_the_keeper_gives_up_when_switches_die_again_and_again(tmp_path: Path) -> None:
    code, notes, said = _run(tmp_path, 'send(sock, {"ready": True})\nnote()\ndie()')
    assert (code, len(notes)) == (1, 8)
    assert "the switch died 8 times within 60 s; giving up" in said


def test_calls_that_no_switch_survives_are_given_up_but_not_the_ports(tmp_path: Path) -> None:
    """Whatever a dead switch has left, the server comes back."""
    code, notes, said = _run(
        tmp_path,
        """
if turn == 0:
    for name in ("sip-udp-127.0.0.1", "call/1", "worker/0/1"):
        send(sock, {"keep": name}, [0])
    send(sock, {"ready": True})
    die()
note()
if "call/1" in found:
    die()
""",
    )
    assert code == 0
    assert [note["found"] for note in notes] == [
        *[["call/1", "sip-udp-127.0.0.1", "worker/0/1"]] * 3,
        ["sip-udp-127.0.0.1"],
    ]
    assert "its calls are given up" in said


def test_how_a_child_of_a_dead_switch_ends_is_told_to_the_next_one(tmp_path: Path) -> None:
    code, notes, _ = _run(
        tmp_path,
        """
if turn == 0:
    gate, ours = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(7)"], stdin=gate)
    os.close(gate)
    send(sock, {"keep": f"child/{child.pid}"}, [ours])
    send(sock, {"ready": True})
    die()
((name, (gate,)),) = found.items()
os.close(gate)
send(sock, {"drop": name})
row, _ = receive(sock)
note(gone=row["gone"] == [[int(name.partition("/")[2]), 7]])
""",
    )
    assert (code, notes[0]["gone"]) == (0, True)


def test_signals_are_passed_on_and_a_switch_that_dies_of_them_is_not_replaced(tmp_path: Path) -> None:
    script, log = tmp_path / "switch.py", tmp_path / "log"
    script.write_text(
        SWITCH
        + """
signal.signal(signal.SIGHUP, lambda *_: print("hung up", flush=True))
send(sock, {"ready": True})
print("here", flush=True)
while True:
    signal.pause()
"""
    )
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(script), str(log)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "here\n"
        keeper.send_signal(signal.SIGHUP)
        assert keeper.stdout.readline() == "hung up\n"
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(20) == 128 + signal.SIGTERM


def test_the_keeper_imports_nothing_that_could_fail(tmp_path: Path) -> None:
    """It has to outlive every switch: the standard library, and not much of that."""
    script = "import sys, offhook.keeper; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {
        "asyncio",
        "uvloop",
        "pydantic",
        "structlog",
        "typer",
        "rich",
        "yaml",
        "telephony",
        "pipeline",
    }
