"""`make bench`: what Offhook costs and how quick it is on this machine, in one table beside its budgets.

    python -m tests.bench [--quick]

One server with one worker on its own providers' fakes, phoned over real SIP and RTP by callers in another
process, which time packets by the kernel's stamps. Bounded: about four minutes, and it stops by itself. Figures
of a shared machine are noisy: compare ratios within one run. Never a test."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.providers.keys import without_keys
from tests.bench import plan_bench
from tests.bench.table import Row, out, print_rows
from tests.live.server import CONSOLE, CallFolder, Server, running_server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PLAN = HERE / "plan.yaml"
CLIPS = [ROOT / "tests" / "recordings" / name for name in ("opening_hours.wav", "bill.wav")]
LATE_LIMIT_MS = 10.0
STEPS = (25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 300)

Report = dict[str, Any]


async def main(*, quick: bool) -> None:
    """Measure everything and print it."""
    rows: list[Row] = plan_bench.measure()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows.append(await _start_up(Path(folder)))
        for name, vad in (("cheap VAD", "fake"), ("Silero", "silero")):
            home = Path(folder) / vad
            home.mkdir()
            settings = (
                f"providers: {{stt: fake, llm: fake, tts: fake, vad: {vad}}}\nlog: {{level: warning}}\n"
            )
            async with running_server(
                home, console=CONSOLE, dialplan=PLAN, workers=1, settings=settings
            ) as server:
                if vad == "silero":
                    rows += await _delays(server)
                    rows.append(await _setup(server))
                rows += await _capacity(server, name, STEPS[::3] if quick else STEPS)
    print_rows(rows)


# ---------------------------------------------------------------- measurements


async def _start_up(folder: Path) -> Row:
    """From the command to the line that says ready, with the demo's plan and all providers embedded."""
    taken = []
    for number in range(3):
        home = folder / f"start{number}"
        home.mkdir()
        began = time.perf_counter()
        async with running_server(home, console=CONSOLE, workers=os.cpu_count() or 1):
            taken.append(time.perf_counter() - began)
    middle = sorted(taken)[1]
    return Row("offhook serve ready", f"{middle:.2f} s (median of 3)", "≤ 1.5 s", middle <= 1.5)


async def _delays(server: Server) -> list[Row]:
    """Response and barge-in, seen from the callers' side of the wire and from the server's journals."""
    out.print("20 polite callers ...", style="dim")
    polite = await _callers(server, calls=20, rate=5, hold=25, manner="polite")
    await server.idle()
    started = [event for call in server.calls() for event in call.of("AgentStartedSpeaking")]
    answers = [event for event in started if event["response_delay_ms"] is not None]
    not_ours = _share([e["response_delay_ms"] - e["own_ms"] for e in answers], 0.5)
    wire = polite["conversation"]["response_ms"]
    added50, added95 = wire["p50"] - not_ours, wire["p95"] - not_ours
    own95 = _share([event["own_ms"] for event in answers], 0.95)
    before = {call.path for call in server.calls()}
    out.print("20 interrupting callers ...", style="dim")
    rude = await _callers(server, calls=20, rate=5, hold=25, manner="interrupting")
    await server.idle()
    later = [call for call in server.calls() if call.path not in before]
    tails = [tail for call in later for tail in _tails(call, rude["silenced_at"])]
    barge = rude["conversation"]["barge_in_ms"]
    tail99 = _share(tails, 0.99)
    return [
        Row("added response delay, wire p50", f"{added50:.0f} ms (n={wire['n']})", "", None),
        Row("added response delay, wire p95", f"{added95:.0f} ms", "≤ 25 ms", added95 <= 25),
        Row("  of it inside the worker, p95", f"{own95:.0f} ms", "", None),
        Row("caller's first packet → silence, p50", f"{barge['p50']:.0f} ms (n={barge['n']})", "", None),
        Row(
            "caller's first packet → silence, p95", f"{barge['p95']:.0f} ms", "≤ 300 ms", barge["p95"] <= 300
        ),
        Row("decision → last audible packet, p50", f"{_share(tails, 0.5):.0f} ms (n={len(tails)})", "", None),
        Row("decision → last audible packet, p99", f"{tail99:.0f} ms", "≤ 25 ms", tail99 <= 25),
    ]


async def _setup(server: Server) -> Row:
    out.print("250 short calls at 50 a second ...", style="dim")
    report = await _callers(server, calls=250, rate=50, hold=1.0, manner="fixed")
    await server.idle()
    setup = report["invite_to_200_ms"]
    text = f"{setup['p95']:.0f} ms, p50 {setup['p50']:.0f} ms, {report['answered']} of {report['calls']} answered"
    return Row("INVITE → 200 at 50 calls/s, p95", text, "≤ 30 ms", setup["p95"] <= 30)


async def _capacity(server: Server, vad: str, steps: Sequence[int]) -> list[Row]:
    """More and more calls on one worker until its packets are late; memory on the way."""
    base = _memory(server)
    carried, told, memory = 0, "", {0: base}
    for calls in steps:
        peak = [base]
        report = await _callers(
            server,
            calls=calls,
            rate=25,
            hold=10,
            manner="polite",
            watch=lambda: peak.append(_memory(server)),  # noqa: B023
        )
        await server.idle()
        late, own = report["rtp"]["lateness_ms"], report["generator"]["lateness_ms"]
        out.print(
            f"{vad}: {calls} calls, packets late p99 {late['p99']:.1f} ms, missing {report['rtp']['missing']}, "
            f"callers' own lateness p99 {own['p99']:.1f} ms",
            style="dim",
        )
        told = f"; {calls} calls: p99 {late['p99']:.1f} ms"
        if late["p99"] > LATE_LIMIT_MS or report["failures"]:
            break
        carried = calls
        memory[calls] = max(peak)
    budget = 200 if vad == "cheap VAD" else 130
    rows = [
        Row(
            f"calls on one worker ({vad}), packets ≤ {LATE_LIMIT_MS:.0f} ms late",
            f"{carried}{told}",
            f"≥ {budget}",
            carried >= budget,
        )
    ]
    if carried:
        per_call = (memory[carried] - base) / carried / 1e6
        rows.append(Row(f"memory per added call ({vad})", f"{per_call:.2f} MB", "≤ 1 MB", per_call <= 1.0))
    return rows


async def _callers(
    server: Server,
    *,
    calls: int,
    rate: float,
    hold: float,
    manner: str,
    watch: Callable[[], None] | None = None,
) -> Report:
    """Run the load generator; `watch` is called twice a second meanwhile."""
    arguments = ["--target", server.uri(), "--calls", str(calls), "--rate", str(rate), "--hold", str(hold)]
    arguments += ["--manner", manner, "--json", *(f"--clip={clip}" for clip in CLIPS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "callers.py"), *arguments, stdout=asyncio.subprocess.PIPE
    )
    reading = asyncio.create_task(process.communicate())
    while not reading.done():
        await asyncio.wait([reading], timeout=0.5)
        if watch is not None:
            watch()
    report: Report = json.loads((await reading)[0])
    return report


def _memory(server: Server) -> float:
    """Proportional set size of the busiest worker, bytes: what its calls really take."""
    sizes = []
    for pid in server.children():
        try:
            if "offhook.worker" in Path(f"/proc/{pid}/cmdline").read_text():
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                sizes.append(
                    next(
                        int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
                    )
                )
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            continue
    return max(sizes, default=0)


def _tails(call: CallFolder, silenced_at: dict[str, list[float]]) -> list[float]:
    """From each decision to fall silent (loop time) to the call's last audible packet after it (wall time), in ms."""
    shift = time.time() - time.monotonic()
    silences = silenced_at.get(call.facts["sip_call_id"], [])
    decisions = [at + shift for at in _decisions(call)]
    pairs = [(at, min(silences, key=lambda silence: abs(silence - at))) for at in decisions if silences]  # noqa: B023
    return [max(0.0, (silence - at) * 1000) for at, silence in pairs if abs(silence - at) < 1.0]


def _decisions(call: CallFolder) -> list[float]:
    """When the agent was told to stop: as a rule it pauses first, and words that come later only settle it."""
    decisions, paused = [], False
    for event in call.events:
        match event["type"]:
            case "AgentPaused":
                decisions.append(event["at"])
                paused = True
            case "CallerInterrupted":
                decisions += [] if paused else [event["at"]]
                paused = False
            case "AgentResumed":
                paused = False
    return decisions


def _share(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))] if ordered else float("nan")


if __name__ == "__main__":
    os.environ.update(without_keys(os.environ))  # what is measured is us
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps on the way to the limit")
    asyncio.run(main(quick=parser.parse_args().quick))
