"""sipp as a caller: runs one of the scenarios beside this file and says how its calls went.

sipp is a foreign SIP stack from the distribution (package sip-tester), so what it accepts is not our own
reading of RFC 3261. Not a load generator for measurements (tests/bench/callers.py). Playing speech needs
the right to open raw sockets (root, or CAP_NET_RAW on sipp)."""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.live.rtp_observer import Heard, RtpObserver
from tests.live.sipp_script import Script
from tests.live.sound import SILENCE, write_pcap

SCENARIOS = Path(__file__).parent / "scenarios"
SPEECH = "speech.pcap"  # the name the scenarios play; sipp looks beside the scenario


@dataclass(frozen=True, slots=True)
class SippResult:
    """How the calls of one run went. `failed` counts calls that left the scenario in any way."""

    succeeded: int
    failed: int
    retransmissions: int  # requests sipp had to send again
    answered_after_s: float  # mean INVITE to 200
    exit_code: int
    problems: str  # sipp's own words on unexpected messages, empty when none
    heard: tuple[Heard, ...] = field(default=())  # one a call, in the order of the calls

    def explain(self) -> str:
        """One text for an assertion message: counters first, then sipp's complaints."""
        return (
            f"sipp: {self.succeeded} succeeded, {self.failed} failed, {self.retransmissions} resent,"
            f" exit {self.exit_code}\n{self.problems}"
        )


@dataclass(frozen=True, slots=True)
class SippRun:
    """One sipp process to be: `await SippRun(...).result(folder)`."""

    scenario: str  # a file name in scenarios/, without .xml; or a name for `script`
    target_port: int  # of the server on 127.0.0.1
    number: str = "100"
    calls: int = 1
    calls_a_second: float = 10
    hold_ms: int = 2000  # how long a talking caller stays
    speech: Sequence[bytes] = ()  # 20 ms PCMU payloads, see sound.frames_of
    timeout_s: float = 60
    resends: bool = True  # False: sipp neither resends nor hides what the server sends twice
    trace: bool = False  # keep every message in FOLDER/messages.log
    script: Script | None = None  # instead of the file
    lost_percent: int = 0  # of the messages, either way, that sipp throws away

    async def result(self, folder: Path) -> SippResult:
        """Run to the end in a new folder. Raises FileNotFoundError when sipp is not installed."""
        await asyncio.to_thread(self._prepare, folder)
        with RtpObserver.watch(self.calls) as observer:
            code, output = await _run(self._command(observer.sipp_port), folder, self.timeout_s + 15)
            return _read_result(folder, code, output, tuple(observer.heard))

    def _prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        if self.script is None:
            shutil.copy(SCENARIOS / f"{self.scenario}.xml", folder)
        else:
            (folder / f"{self.scenario}.xml").write_text(self.script.xml(self.scenario))
        write_pcap(folder / SPEECH, list(self.speech) or [SILENCE])  # sipp wants the file in any case

    def _command(self, media_port: int) -> list[str]:
        command = ["sipp", "-sf", f"{self.scenario}.xml", "-s", self.number, "-nostdin"]
        command += ["-i", "127.0.0.1", "-bind_local", "-p", str(free_udp_port())]
        command += ["-mi", "127.0.0.1", "-mp", str(media_port)]
        command += ["-m", str(self.calls), "-l", str(self.calls), "-d", str(self.hold_ms)]
        command += ["-r", str(int(self.calls_a_second * 10)), "-rp", "10000"]
        command += ["-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log"]
        command += ["-timeout", f"{int(self.timeout_s)}s", "-timeout_error"]
        if not self.resends:
            command += ["-nr"]
        if self.lost_percent:
            command += ["-lost", str(self.lost_percent)]
        if self.trace:
            command += ["-trace_msg", "-message_file", "messages.log"]
        return [*command, f"127.0.0.1:{self.target_port}"]


@dataclass(slots=True)
class SippPhone:
    """sipp as the called side with RTP echo."""

    port: int
    process: asyncio.subprocess.Process

    @classmethod
    async def start(
        cls, folder: Path, scenario: str = "uas_echo", *, resends: bool = True, script: Script | None = None
    ) -> SippPhone:
        """Answer every call on a free port until `stop`; with a script, one call as it says. folder: new, for
        sipp's files. resends: as of `SippRun`."""
        await asyncio.to_thread(folder.mkdir, parents=True)
        port = free_udp_port()
        with RtpObserver.watch(1) as free:
            media_port = free.sipp_port
        path = SCENARIOS / f"{scenario}.xml"
        if script is not None:
            path = folder / "script.xml"
            await asyncio.to_thread(path.write_text, script.xml("called"))
        command = ["sipp", "-sf", str(path), "-i", "127.0.0.1", "-bind_local"]
        command += [] if resends else ["-nr"]
        command += ["-p", str(port), "-mi", "127.0.0.1", "-mp", str(media_port), "-rtp_echo", "-nostdin"]
        if script is not None:  # what is sent twice must be seen twice
            command += ["-m", "1", "-nr", "-trace_err", "-error_file", "errors.log"]
        process = await _spawn(command, folder)
        await _until_bound(port, process)
        return cls(port, process)

    async def played(self, timeout_s: float = 40) -> None:
        """Until the script is over. Raises AssertionError with sipp's own words if the call left it."""
        async with asyncio.timeout(timeout_s):
            output, _ = await self.process.communicate()
        assert self.process.returncode == 0, output.decode(errors="replace")[-3000:]

    async def stop(self) -> None:
        """End the process, and only this one."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


def free_udp_port() -> int:
    """A UDP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _spawn(command: Sequence[str], folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "TERM": "dumb"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _run(command: Sequence[str], folder: Path, timeout_s: float) -> tuple[int, str]:
    process = await _spawn(command, folder)
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode(errors="replace")


async def _until_bound(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until the process holds the port, which sipp announces nowhere."""
    entry = f":{port:04X} "
    async with asyncio.timeout(10):
        while entry not in await asyncio.to_thread(Path("/proc/net/udp").read_text):
            if process.returncode is not None:
                output, _ = await process.communicate()
                raise RuntimeError(f"sipp did not start: {output.decode(errors='replace')[-2000:]}")
            await asyncio.sleep(0.02)


def _read_result(folder: Path, code: int, output: str, heard: tuple[Heard, ...]) -> SippResult:
    """Take the last line of sipp's statistics; a run that left none failed before its first call."""
    errors = folder / "errors.log"
    problems = errors.read_text(errors="replace")[-4000:] if errors.exists() else ""
    rows: list[dict[str, str]] = []
    if (folder / "stat.csv").exists():
        with (folder / "stat.csv").open(newline="") as stats:
            rows = list(csv.DictReader(stats, delimiter=";"))
    if not rows:
        return SippResult(0, 0, 0, 0.0, code or 255, problems or output[-4000:], heard)
    last = rows[-1]
    return SippResult(
        succeeded=int(last["SuccessfulCall(C)"]),
        failed=int(last["FailedCall(C)"]),
        retransmissions=int(last["Retransmissions(C)"]),
        answered_after_s=_seconds(last.get("ResponseTime1(C)") or "0:0:0:0"),
        exit_code=code,
        problems=problems,
        heard=heard,
    )


def _seconds(clock: str) -> float:
    """sipp's hh:mm:ss:micros."""
    hours, minutes, seconds, micros = (int(part) for part in clock.split(":"))
    return hours * 3600 + minutes * 60 + seconds + micros / 1e6
