"""`make chaos`: workers and switches are killed under their calls; no call may be lost, and hardly a packet.

    python -m tests.bench.chaos --kills 200 --seed 1

Five parts. One worker at a time, at a random instant, with a warm spare: what callers notice, packet by packet, and
whether recordings are whole. Then short calls of sipp, so that workers die while calls ring, are answered and hang up.
Then switches instead of workers. Then many calls on four workers, one of which is killed every second. Then a thousand
short calls, after which descriptors must be back to where they were. Says what a call and a worker cost in memory.
Prints a table of figures, budgets and verdicts; exit code 1 if one is missed. Ends by itself and leaves no process.
Linux only. The short form of the first part is a test (tests/live/test_chaos.py)."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telephony.call.call import Call
from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.bench.table import Row, out, print_rows
from tests.live.peers import PjsipPhone
from tests.live.server import CONSOLE, CallFolder, Server, running_server
from tests.live.sipp import SippRun
from tests.live.wire import Wire

HERE = Path(__file__).parent
PLAN = HERE / "plan.yaml"
CLIPS = [HERE.parent / "recordings" / name for name in ("opening_hours.wav", "bill.wav")]
SETTINGS = "providers: {stt: fake, llm: fake, tts: fake, vad: fake}\nlog: {level: warning}\n"
PATIENT = "200"  # whose agent does not mind callers that never say a word
OWN_CALLS, PJSIP_CALLS = 6, 1
GAP_MS = 60.0  # p95, with a warm spare
STANDS_BY_S = (
    8.7  # the next switch is started after four seconds; eight deaths a minute, and the keeper gives up
)
RECORDING_S = 0.5  # between the times of the journal and the length of the file
SIPP_RATE, SIPP_HOLD_MS = 5, 3000
WITHIN_S = 0.6  # of a kill: that gap is counted
MEMORY_MB_A_CALL = 1.0
DESCRIPTORS = 2  # one more or less may be open while we look


@dataclass(slots=True)
class Line:
    """One call of ours. hits: loop times at which its worker was killed."""

    call: Call
    wire: Wire
    folder: CallFolder
    hits: list[float] = field(default_factory=list)

    def gaps_ms(self) -> list[float]:
        """The longest time without a packet around each kill."""
        return [self._gap_ms(at) for at in self.hits]

    def _gap_ms(self, hit: float) -> float:
        times = [packet.at for packet in self.wire.packets if hit - 0.1 < packet.at < hit + WITHIN_S]
        pairs = zip(times, times[1:], strict=False)
        return max((1000 * (after - before) for before, after in pairs), default=1000 * WITHIN_S)


@dataclass(frozen=True, slots=True)
class Kills:
    """What came of the first part."""

    kills: int
    lost: int
    gaps_ms: list[float]
    faults: list[str]
    unlike_s: float  # the worst recording against its journal
    pjsip_lost: int

    def rows(self) -> list[Row]:
        p50, p95 = percentile(self.gaps_ms, 0.5), percentile(self.gaps_ms, 0.95)
        return [
            Row("workers killed, calls on them", f"{self.kills}, {len(self.gaps_ms)}", "", None),
            Row("calls lost", str(self.lost), "0", self.lost == 0),
            Row("packet gap, p50", f"{p50:.0f} ms", "", None),
            Row(
                "packet gap, p95",
                f"{p95:.0f} ms, max {max(self.gaps_ms):.0f} ms",
                f"≤ {GAP_MS:.0f} ms",
                p95 <= GAP_MS,
            ),
            Row(
                "SSRC, sequence, timestamp: breaches",
                f"{len(self.faults)} {self.faults[:2] or ''}",
                "0",
                not self.faults,
            ),
            Row("packets lost, as PJSIP counts", str(self.pjsip_lost), "0", self.pjsip_lost == 0),
            Row(
                "recordings against journals",
                f"{self.unlike_s:.2f} s apart",
                f"≤ {RECORDING_S} s",
                self.unlike_s <= RECORDING_S,
            ),
        ]


def a_server(folder: Path, workers: int, *, workers_die: bool = False) -> AbstractAsyncContextManager[Server]:
    """A server as an operator has it: with its console, a spare worker and a spare switch."""
    return running_server(
        folder,
        spare_switch=True,
        workers_die=workers_die,
        console=CONSOLE,
        dialplan=PLAN,
        workers=workers,
        settings=SETTINGS,
    )


async def kill_one_by_one(folder: Path, kills: int, seed: int, workers: int = 2) -> Kills:
    """At random instants, each time once all workers and the spare are up."""
    dice = random.Random(seed)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(a_server(folder, workers, workers_die=True))
        await server.warm(workers + 1)
        ports = PortPool("127.0.0.1", 31000, 31998)
        phone = await stack.enter_async_context(Phone(host="127.0.0.1", port=0, ports=ports))
        lines = [await _line(stack, phone, server) for _ in range(OWN_CALLS)]
        foreign = [await _pjsip(stack, server) for _ in range(PJSIP_CALLS)]
        loop = asyncio.get_running_loop()
        folders = [line.folder for line in lines] + [folder for _, folder in foreign]
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.0, 0.5))
            for one in folders:
                if ended := one.of("CallEnded"):
                    raise AssertionError(server.tell(f"{one.path.name} is lost: {ended}\n{one.story()}"))
            takeovers = {one.path: len(one.of("CallTakenOver")) for one in folders}
            pid = server.worker_of(dice.choice(folders))
            hit = [one for one in folders if server.writes(pid, one)]
            at = loop.time()
            os.kill(pid, signal.SIGKILL)
            for line in lines:
                if line.folder in hit:
                    line.hits.append(at)
            for one in hit:
                await server.taken_over(one, takeovers[one.path] + 1)
            await asyncio.sleep(WITHIN_S)
            await server.warm_again(pid, workers + 1)
        lost = sum(bool(one.of("CallEnded")) for one in folders)
        pjsip_lost = sum([(await phone.statistics())["lost"] for phone, _ in foreign])
        for line in lines:
            line.call.hang_up()
        for peer, _ in foreign:
            await peer.hang_up()
        for one in folders:
            await server.finished(one)
    return Kills(
        kills,
        lost,
        [gap for line in lines for gap in line.gaps_ms()],
        [fault for line in lines for fault in line.wire.faults()],
        max(_unlike_s(one) for one in folders),
        pjsip_lost,
    )


async def kill_switches(folder: Path, kills: int, seed: int) -> list[Row]:
    """At random instants: calls that stand, in both directions, and how long there is no switch."""
    dice = random.Random(seed)
    loop = asyncio.get_running_loop()
    away_ms: list[float] = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(a_server(folder, 2))
        await server.warm(3)
        ports = PortPool("127.0.0.1", 31000, 31998)
        phone = await stack.enter_async_context(Phone(host="127.0.0.1", port=0, ports=ports))
        lines = [await _line(stack, phone, server) for _ in range(OWN_CALLS)]
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(STANDS_BY_S, STANDS_BY_S + 1))
            at = loop.time()
            for line in lines:
                line.hits.append(at)
            await server.kill_switch()
            away_ms += [row["away_ms"] for row in lines[0].folder.of("SwitchRestarted")[-1:]]
        lost = sum(bool(line.folder.of("CallEnded")) for line in lines)
        for line in lines:
            line.call.hang_up()
            await server.finished(line.folder)
    gaps = [gap for line in lines for gap in line.gaps_ms()]
    faults = [fault for line in lines for fault in line.wire.faults()]
    unlike_s = max(_unlike_s(line.folder) for line in lines)
    return [
        Row("switches killed, calls on them", f"{kills}, {len(gaps)}", "", None),
        Row(
            "without a switch, p50", f"{percentile(away_ms, 0.5):.0f} ms, max {max(away_ms):.0f} ms", "", None
        ),
        Row("calls lost", str(lost), "0", lost == 0),
        Row("packet gap, p95", f"{percentile(gaps, 0.95):.0f} ms, max {max(gaps):.0f} ms", "", None),
        Row("SSRC, sequence, timestamp: breaches", f"{len(faults)} {faults[:2] or ''}", "0", not faults),
        Row(
            "recordings against journals",
            f"{unlike_s:.2f} s apart",
            f"≤ {RECORDING_S} s",
            unlike_s <= RECORDING_S,
        ),
    ]


async def _line(stack: AsyncExitStack, phone: Phone, server: Server) -> Line:
    call = await phone.dial(server.uri(PATIENT))
    wire = await stack.enter_async_context(Wire.tap(call))
    await wire.until(10)
    return Line(call, wire, await server.last_call())


async def _pjsip(stack: AsyncExitStack, server: Server) -> tuple[PjsipPhone, CallFolder]:
    phone = await stack.enter_async_context(PjsipPhone())
    await phone.call(server.uri(PATIENT))
    await phone.event("confirmed", timeout=20)
    await phone.event("media")
    return phone, await server.last_call()


def _unlike_s(folder: CallFolder) -> float:
    with wave.open(str(folder.audio)) as audio:
        lasted: float = audio.getnframes() / audio.getframerate()
    (ended,), (answered,) = folder.of("CallEnded"), folder.of("CallAnswered")
    return abs(float(ended["at"]) - float(answered["at"]) - lasted)


# ---------------------------------------------------------------- calls that come and go


async def calls_of_sipp(folder: Path, calls: int, seed: int, workers: int = 2) -> list[Row]:
    """A foreign stack's calls, in whatever state they are when their worker is killed; each time with a warm spare."""
    if shutil.which("sipp") is None:
        return [Row("calls of sipp", "not installed (package sip-tester)", "", None)]
    dice = random.Random(seed)
    async with a_server(folder, workers, workers_die=True) as server:
        await server.warm(workers + 1)
        run = SippRun("uac_talk", server.sip_port, PATIENT, calls, SIPP_RATE, SIPP_HOLD_MS, timeout_s=120)
        running, killed = asyncio.create_task(run.result(folder / "sipp")), 0
        while not running.done():
            await asyncio.sleep(dice.uniform(0.0, 0.5))
            if talking := _talking(server):
                pid = dice.choice(talking)
                os.kill(pid, signal.SIGKILL)
                killed += 1
                await server.warm_again(pid, workers + 1)
        result = await running
        await server.idle()
        takeovers = (await server.metrics()).get("offhook_takeovers_total", 0.0)
    gaps = sum(heard.gaps for heard in result.heard)
    return [
        Row(f"{calls} calls of sipp: kills, takeovers", f"{killed}, {takeovers:.0f}", "", None),
        Row("calls of sipp that failed", str(result.failed), "0", result.succeeded == calls),
        Row("missing sequence numbers, as sipp's observer counts", str(gaps), "0", gaps == 0),
    ]


def _talking(server: Server) -> list[int]:
    """Workers with calls, by the sockets that they have."""
    return [pid for pid in server.children() if server.sockets(pid) > 8]


# ---------------------------------------------------------------- one a second, and very many calls


async def one_a_second(folder: Path, calls: int, seconds: int, seed: int, workers: int = 4) -> list[Row]:
    """Any worker, whatever state the others are in."""
    dice = random.Random(seed)
    loop = asyncio.get_running_loop()
    async with a_server(folder, workers, workers_die=True) as server:
        await server.warm(workers + 1)
        base = _memory_mb(server)
        async with _callers(server, calls, rate=20.0, hold_s=seconds + calls / 20 + 8) as reading:
            await asyncio.sleep(calls / 20 + 3)
            full, killed = _memory_mb(server), 0
            due = loop.time()
            for _ in range(seconds):
                due += 1.0
                if talking := _talking(server):
                    os.kill(dice.choice(talking), signal.SIGKILL)
                    killed += 1
                await asyncio.sleep(due - loop.time())
            report = await reading
        await server.idle()
        takeovers = (await server.metrics()).get("offhook_takeovers_total", 0.0)
        given_up = (await server.metrics()).get("offhook_calls_given_up_total", 0.0)
    rtp, spacing = report["rtp"], report["rtp"]["spacing_ms"]
    lasted = report["answered"] - report["hung_up_by_server"]
    a_call = (full - base) / calls
    return [
        Row(f"{calls} calls, a kill a second: kills, takeovers", f"{killed}, {takeovers:.0f}", "", None),
        Row("calls that lasted to their end", f"{lasted} of {calls}", "all", lasted == calls),
        Row("calls given up", f"{given_up:.0f}", "0", given_up == 0),
        Row("missing sequence numbers", f"{rtp['missing']} of {rtp['received']}", "0", rtp["missing"] == 0),
        Row("packet spacing, p99", f"{spacing['p99']:.0f} ms, max {spacing['max']:.0f} ms", "", None),
        Row(
            "memory a call",
            f"{a_call:.2f} MB",
            f"≤ {MEMORY_MB_A_CALL:g} MB",
            a_call <= MEMORY_MB_A_CALL,
        ),
        Row("memory a worker without calls", f"{base / (workers + 1):.0f} MB", "", None),
    ]


async def descriptors(folder: Path, calls: int) -> list[Row]:
    """Open files of switch and workers before and after many calls."""
    async with a_server(folder, 2) as server:
        await server.warm(3)
        before = server.descriptors()
        async with _callers(server, calls, rate=40.0, hold_s=1.0) as reading:
            report = await reading
        await server.idle()
        after = server.descriptors()
    grown = max(after.get(pid, 0) - count for pid, count in before.items())
    return [
        Row(f"{calls} calls: answered", str(report["answered"]), "all", report["answered"] == calls),
        Row("descriptors of a process afterwards", f"{grown:+d}", f"± {DESCRIPTORS}", grown <= DESCRIPTORS),
    ]


@asynccontextmanager
async def _callers(
    server: Server, calls: int, *, rate: float, hold_s: float
) -> AsyncIterator[asyncio.Task[dict[str, Any]]]:
    arguments = ["--target", server.uri(), "--calls", str(calls), "--rate", str(rate), "--hold", str(hold_s)]
    arguments += ["--manner", "polite", "--json", *(f"--clip={clip}" for clip in CLIPS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "callers.py"), *arguments, stdout=asyncio.subprocess.PIPE
    )

    async def report() -> dict[str, Any]:
        async with asyncio.timeout(hold_s + calls / rate + 60):
            text, _ = await process.communicate()
        read: dict[str, Any] = json.loads(text)
        return read

    reading = asyncio.create_task(report())
    try:
        yield reading
    finally:
        reading.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


def _memory_mb(server: Server) -> float:
    """Of all workers, without what they share."""
    total = 0.0
    for pid in server.children():
        try:
            if b"offhook.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) / 1024
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so many are not above."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def _shown(rows: list[Row]) -> list[Row]:
    """Each part as soon as it is over: a later one may take minutes."""
    print_rows(rows)
    return rows


async def main(kills: int, seed: int, calls: int, seconds: int, many: int, sipp: int) -> int:
    """Run it. Returns the exit code."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        for name in ("kills", "sipp", "switches", "minute", "many"):
            (Path(folder) / name).mkdir()
        out.print(f"{kills} kills, seed {seed} ...", style="dim")
        rows += _shown((await kill_one_by_one(Path(folder) / "kills", kills, seed)).rows())
        out.print(f"{sipp} calls of sipp ...", style="dim")
        rows += _shown(await calls_of_sipp(Path(folder) / "sipp", sipp, seed))
        out.print(f"{kills // 10} kills of the switch ...", style="dim")
        rows += _shown(await kill_switches(Path(folder) / "switches", max(kills // 10, 1), seed))
        out.print(f"{calls} calls, one kill a second for {seconds} s ...", style="dim")
        rows += _shown(await one_a_second(Path(folder) / "minute", calls, seconds, seed))
        out.print(f"{many} short calls ...", style="dim")
        rows += _shown(await descriptors(Path(folder) / "many", many))
    return 0 if all(row.met is not False for row in rows) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Workers are killed under their calls.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--sipp", type=int, default=120)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.kills, given.seed, given.calls, given.seconds, given.many, given.sipp)))
