"""`offhook demo`: a server, a caller, and the conversation on the screen as it happens.

Everything is real: the server is another process, the call is SIP and RTP over loopback, what is shown comes out
of the call's own journal while it is being written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from offhook.bundle import AUDIO, FACTS, JOURNAL
from offhook.demo.story import NUMBER, caller_lines, departures
from offhook.errors import OffhookError
from offhook.softphone import place_call
from pipeline.providers.keys import without_keys
from pipeline.providers.registry import key_variables

START_TIMEOUT_S = 20.0
CALL_TIMEOUT_S = 80.0
RECORD_TIMEOUT_S = 10.0
POLL_S = 0.05


async def run(clips_dir: Path, dialplan: Path, calls_dir: Path, out: Console) -> list[str]:
    """Show the demo. Returns what did not go as the story says. Raises OffhookError if it cannot be shown."""
    lines = caller_lines(clips_dir)
    before = set(calls_dir.glob("*/*"))
    async with _server(dialplan, calls_dir) as port:
        out.print(
            f"server ready on 127.0.0.1:{port}, dial plan {_short(dialplan)}; phoning {NUMBER}\n", style="dim"
        )
        watching = asyncio.create_task(_watch(calls_dir, before, out))
        try:
            result = await place_call(
                f"sip:{NUMBER}@127.0.0.1:{port}",
                lines,
                timeout_s=CALL_TIMEOUT_S,
                caller="sip:5550123@127.0.0.1",
            )
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                bundle, events = await watching
        except TimeoutError as error:
            raise OffhookError(
                f"the call left no record in {calls_dir} within {RECORD_TIMEOUT_S:.0f} s"
            ) from error
        finally:
            watching.cancel()
    out.print(f"\ncall of {result.duration_s:.1f} s, {_delays(events)}", style="bold")
    for what, file in (("recording ", AUDIO), ("event log ", JOURNAL), ("call facts", FACTS)):
        out.print(f"{what}  {_short(bundle / file)}")
    out.print(f"transcript  {_ourselves()} calls show {bundle.name[:10]} --calls-dir {_short(calls_dir)}")
    return departures(events)


@asynccontextmanager
async def _server(dialplan: Path, calls_dir: Path) -> AsyncIterator[int]:
    """`offhook serve` in a process of its own; yields its SIP port. Embedded providers, no key: the same everywhere."""
    settings = {
        "OFFHOOK_CALLS_DIR": str(calls_dir),
        "OFFHOOK_DATABASE": f"sqlite:///{calls_dir.parent / 'demo.db'}",
        "OFFHOOK_PLAN_VERSIONS": str(calls_dir.parent / "plans"),
        "OFFHOOK_CONSOLE__PORT": "0",
        "OFFHOOK_LOG__LEVEL": "warning",
        "OFFHOOK_PROVIDERS__STT": "pocketsphinx",
        "OFFHOOK_PROVIDERS__LLM": "scripted",
        "OFFHOOK_PROVIDERS__TTS": "espeak",
    }
    command = [
        "-m",
        "offhook",
        "serve",
        "--host",
        "127.0.0.1",
        "--sip-port",
        "0",
        "--http-port",
        "0",
        "--workers",
        "1",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "--dialplan",
        str(dialplan),
        env={**without_keys(os.environ, key_variables()), **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield await _ready(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _ready(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = (await process.stdout.readline()).decode()
    except TimeoutError as error:
        raise OffhookError(f"the server was not ready within {START_TIMEOUT_S:.0f} s") from error
    found = re.search(r"sip_port=(\d+)", line)
    if found is None:
        raise OffhookError("the server did not start; its reason stands above.")
    return int(found[1])


async def _watch(calls_dir: Path, before: set[Path], out: Console) -> tuple[Path, list[dict[str, Any]]]:
    """Show the new call's journal as it grows, until the call is over."""
    while not (new := set(calls_dir.glob("*/*")) - before):
        await asyncio.sleep(POLL_S)
    bundle = new.pop()
    events: list[dict[str, Any]] = []
    with open(bundle / JOURNAL, encoding="utf-8") as journal:  # noqa: ASYNC230 - a few lines a second
        unfinished = ""
        while not events or events[-1]["type"] != "CallEnded":
            unfinished += journal.readline()
            if not unfinished.endswith("\n"):
                await asyncio.sleep(POLL_S)
                continue
            events.append(json.loads(unfinished))
            unfinished = ""
            if (text := _shown(events[-1], events[0]["at"])) is not None:
                out.print(text)
    return bundle, events


def _shown(event: dict[str, Any], began: float) -> Text | None:
    """One event as a line for people, None if it is not for them."""
    show = SHOWN.get(event["type"])
    if show is None or not (text := show(event)):
        return None
    who, words, style = text
    line = Text(f"{event['at'] - began:6.2f} s  ", style="dim")
    line.append(f"{who:<10}", style=f"bold {style}")
    line.append(words, style=style)
    return line


def _answer(event: dict[str, Any]) -> tuple[str, str, str] | None:
    if event["response_delay_ms"] is None:
        return None
    parts = (
        ("waiting", "waited_ms"),
        ("listening", "stt_ms"),
        ("thinking", "llm_ms"),
        ("voice", "tts_ms"),
        ("own", "own_ms"),
    )
    split = ", ".join(f"{name} {event[key]:.0f}" for name, key in parts)
    return "", f"answer after {event['response_delay_ms']:.0f} ms ({split})", "dim"


def _spoke(event: dict[str, Any]) -> tuple[str, str, str]:
    cut = " —" if event["interrupted"] else ""
    return event["agent"], f"{event['text']}{cut}", "cyan"


def _turn(event: dict[str, Any]) -> tuple[str, str, str]:
    return "caller", event["text"] if event["understood"] else f"(not understood) {event['text']}", "yellow"


SHOWN: dict[str, Callable[[dict[str, Any]], tuple[str, str, str] | None]] = {
    "CallArrived": lambda e: ("", f"{e['caller']} phones {e['called']}", "dim"),
    "CallAnswered": lambda e: ("", f"answered after {e['setup_ms']:.0f} ms", "dim"),
    "AgentEntered": lambda e: (
        ("", f"{e['agent']} takes over from {e['came_from']}", "magenta") if e["came_from"] else None
    ),
    "UserTurnCommitted": _turn,
    "AgentStartedSpeaking": _answer,
    "AgentSpoke": _spoke,
    "AgentDucked": lambda e: ("", "the caller talks over the agent, which lowers its voice", "dim"),
    "CallerInterrupted": lambda e: (
        "",
        f"interrupted after {e['heard_ms'] / 1000:.1f} s of the answer",
        "red",
    ),
    "ToolCalled": lambda e: ("", f"tool {e['name']}({e['arguments']})", "magenta"),
    "ProviderFailed": lambda e: ("", f"{e['provider']} failed: {e['message']}", "red"),
    "CallEnded": lambda e: ("", f"call over: {e['reason']}", "dim"),
}


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _ourselves() -> Path:
    """The `offhook` command that stands beside this Python, as one would type it here."""
    return _short(Path(sys.executable).with_name("offhook"))


def _delays(events: list[dict[str, Any]]) -> str:
    delays = [
        e["response_delay_ms"]
        for e in events
        if e["type"] == "AgentStartedSpeaking" and e["response_delay_ms"]
    ]
    if not delays:
        return "no answer was given"
    return f"{len(delays)} answers, after {min(delays):.0f} to {max(delays):.0f} ms"
