"""`make soak`: many calls for long on one core; nothing may be lost, come late, or grow.

    python -m tests.bench.soak --calls 100 --minutes 10

The whole server, with one worker, is kept on one core; callers (callers.py) talk to it from the others. Each call lasts
the whole time. Twice a second it looks at memory and descriptors of switch and worker. Prints a table of figures,
budgets and verdicts; exit code 1 if one is missed. Stops by itself and leaves no process. Linux only, and never a
test: figures of a busy machine say little."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.providers.keys import without_keys
from tests.bench.table import Row, out, print_rows
from tests.live.server import CONSOLE, Server, running_server

HERE = Path(__file__).parent
PLAN = HERE / "plan.yaml"
CLIPS = [HERE.parent / "recordings" / name for name in ("opening_hours.wav", "bill.wav")]
SETTINGS = "providers: {stt: fake, llm: fake, tts: fake, vad: silero}\nlog: {level: warning}\n"
RATE = 20.0  # new calls a second
LOOK_EVERY_S = 0.5
WARM_UP = 0.25  # of the run, until caches are full and every call has spoken
PATIENCE_S = 60.0  # beyond the length of the run, then it is given up

SPACING_MS = 25.0
GROWTH_MB = 2.0  # of a process, after warm-up, whatever the length of the run
GROWTH_KB_A_TURN = 3.0  # and for each turn: a history until the call ends, and in the switch its checkpoint
DESCRIPTORS = 2  # one more or less may be open while we look

Report = dict[str, Any]


@dataclass
class Watched:
    """One process of the server, looked at again and again while all calls are up."""

    at_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def growth_mb(self) -> float:
        """What memory gained in the time looked at, by the line that fits it best."""
        return slope(self.at_s, self.memory_mb) * (self.at_s[-1] - self.at_s[0]) if self.at_s else 0.0


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Least squares; 0.0 if there is no line through the points."""
    count = len(xs)
    if count < 2:
        return 0.0
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0


async def main(calls: int, minutes: float) -> int:
    """Run it. Returns the exit code."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        home = Path(folder)
        os.sched_setaffinity(0, cores[:1])  # the server inherits it
        async with running_server(
            home, console=CONSOLE, dialplan=PLAN, workers=1, settings=SETTINGS
        ) as server:
            os.sched_setaffinity(0, cores[1:] or cores)
            out.print(
                f"{calls} calls for {minutes:g} minutes, the server on core {cores[0]} ...", style="dim"
            )
            rows = await _soak(server, calls, minutes * 60)
    print_rows(rows)
    return 0 if all(row.met is not False for row in rows) else 1


async def _soak(server: Server, calls: int, hold_s: float) -> list[Row]:
    before = server.descriptors()
    names = {pid: name for pid in before if (name := _name(pid, server.switch))}
    watched = {name: Watched() for name in names.values()}
    began = time.monotonic()
    all_up = began + calls / RATE + 2.0
    steady = all_up + (hold_s - (all_up - began)) * WARM_UP
    over = began + hold_s - 1.0  # then the first call hangs up
    busy_from = {pid: _cpu_s(pid) for pid in names}

    def look() -> None:
        now = time.monotonic()
        if not steady <= now <= over:
            return
        descriptors = server.descriptors()
        for pid, name in names.items():
            watched[name].at_s.append(now)
            watched[name].memory_mb.append(_memory_mb(pid))
            watched[name].descriptors.append(descriptors.get(pid, -1))

    report = await _callers(server, calls, hold_s, look)
    core = {name: (_cpu_s(pid) - busy_from[pid]) / (time.monotonic() - began) for pid, name in names.items()}
    await server.idle()
    after = server.descriptors()
    rows = [*_sound(report, server, calls), Row("core used", _shares(core), "", None)]
    for pid, name in names.items():
        turns = report["conversation"]["utterances"] * (1 - WARM_UP)
        rows += _growth(name, watched[name], turns, before[pid], after.get(pid, -1))
    return rows


def _sound(report: Report, server: Server, calls: int) -> list[Row]:
    rtp, spacing = report["rtp"], report["rtp"]["spacing_ms"]
    media = [call.facts.get("media", {}) for call in server.calls()]
    lost, received = (sum(facts.get(name, 0) for facts in media) for name in ("lost", "received"))
    answered, hung_up = report["answered"], report["hung_up_by_server"]
    whole = answered == calls and not report["failures"] and not hung_up
    own = report["generator"]["lateness_ms"].get("p99", 0.0)
    p99 = spacing.get("p99", float("inf"))
    return [
        Row("calls that lasted to their end", f"{answered - hung_up} of {calls}", "all", whole),
        Row(
            "packet spacing, p99",
            f"{p99:.1f} ms, max {spacing.get('max', 0):.0f} ms",
            f"≤ {SPACING_MS:.0f} ms",
            p99 <= SPACING_MS,
        ),
        Row("packet spacing, p50", f"{spacing.get('p50', 0):.1f} ms (n={spacing['n']})", "", None),
        Row(
            "lost on the way to the caller",
            f"{rtp['missing']} of {rtp['received']}",
            "0",
            rtp["missing"] == 0,
        ),
        Row("lost on the way to the agent", f"{lost} of {received}", "0", lost == 0 and len(media) == calls),
        Row("turns spoken, unanswered", _turns(report), "", None),
        Row("callers' own lateness, p99", f"{own:.1f} ms", "", None),
    ]


def _turns(report: Report) -> str:
    talk = report["conversation"]
    return f"{talk['utterances']}, {talk['unanswered']}"


def _growth(name: str, seen: Watched, turns: float, before: int, after: int) -> list[Row]:
    grown, allowed = seen.growth_mb(), GROWTH_MB + GROWTH_KB_A_TURN * turns / 1000
    begin, end = (seen.memory_mb[0], seen.memory_mb[-1]) if seen.at_s else (0.0, 0.0)
    low, high = min(seen.descriptors, default=-1), max(seen.descriptors, default=-1)
    flat = seen.at_s != [] and grown <= allowed
    steady = low >= 0 and high - low <= DESCRIPTORS and after - before <= DESCRIPTORS
    return [
        Row(
            f"{name}: memory after warm-up",
            f"{begin:.1f} → {end:.1f} MB, {grown:+.2f} MB",
            f"≤ {allowed:+.1f} MB",
            flat,
        ),
        Row(
            f"{name}: descriptors",
            f"{low} to {high}; {before} before, {after} after",
            f"± {DESCRIPTORS}",
            steady,
        ),
    ]


def _shares(core: dict[str, float]) -> str:
    return ", ".join(f"{name} {share * 100:.0f} %" for name, share in core.items())


async def _callers(server: Server, calls: int, hold_s: float, look: Callable[[], None]) -> Report:
    arguments = ["--target", server.uri(), "--calls", str(calls), "--rate", str(RATE), "--hold", str(hold_s)]
    arguments += ["--manner", "polite", "--json", *(f"--clip={clip}" for clip in CLIPS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "callers.py"), *arguments, stdout=asyncio.subprocess.PIPE
    )
    reading = asyncio.create_task(process.communicate())
    try:
        async with asyncio.timeout(hold_s + calls / RATE + PATIENCE_S):
            while not reading.done():
                await asyncio.wait([reading], timeout=LOOK_EVERY_S)
                look()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report: Report = json.loads((await reading)[0])
    return report


def _name(pid: int, switch: int) -> str:
    """What a process of the server is to this page: "switch", "worker", or "" if it is neither."""
    if pid == switch:
        return "switch"
    return "worker" if b"offhook.worker" in Path(f"/proc/{pid}/cmdline").read_bytes() else ""


def _memory_mb(pid: int) -> float:
    """Resident set size."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_s(pid: int) -> float:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    os.environ.update(without_keys(os.environ))  # what is measured is us
    parser = argparse.ArgumentParser(description="Many calls for long on one core.")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.calls, given.minutes)))
