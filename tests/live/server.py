"""Our server as the tests see it: a process that is started, watched from outside, and stopped.

`async with running_server(folder) as server`. All assumptions on its command line, its ready line, its
metrics and its call folders are on this page; nothing of it is imported. Linux only: it reads /proc."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
DIALPLAN = REPOSITORY / "dialplans" / "demo.yaml"
READY = re.compile(r"\bready\b.*\bsip_port=(\d+).*\btls_port=(\d+).*\bhttp_port=(\d+)")
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20
LOOK_AGAIN_S = 0.05  # between two looks at /proc, a journal or the metrics

Event = dict[str, Any]


class ServerError(AssertionError):
    """The server did not do what was waited for. The text ends with its last log lines."""


@dataclass(slots=True)
class CallFolder:
    """One call's record on disk, read while it grows."""

    path: Path

    @property
    def facts(self) -> dict[str, Any]:
        """call.json: caller, called, and once the call is over duration_s, ended_by, cause, media."""
        facts: dict[str, Any] = json.loads((self.path / "call.json").read_text())
        return facts

    @property
    def events(self) -> list[Event]:
        """The journal so far; a line that is still being written is left out."""
        lines = (self.path / "journal.jsonl").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def audio(self) -> Path:
        """Stereo WAV: caller left, agent right."""
        return self.path / "audio.wav"

    def of(self, kind: str) -> list[Event]:
        """The journal's events of one type, in order."""
        return [event for event in self.events if event["type"] == kind]

    def story(self) -> str:
        """The journal in short lines, for an assertion message."""
        noise = {"wall", "at", "type"}
        return "\n".join(
            f"  {event['at']:.2f} {event['type']} { ({k: v for k, v in event.items() if k not in noise}) }"
            for event in self.events
        )


@dataclass(slots=True)
class Server:
    """A server that takes calls on 127.0.0.1."""

    sip_port: int
    tls_port: int
    http_port: int
    process: asyncio.subprocess.Process
    folder: Path
    log: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The keeper, which passes signals on to the switch."""
        return self.process.pid

    @property
    def switch(self) -> int:
        """The switch itself: not the one that stands by, which has no port yet. 0 while there is none."""
        wanted = _udp_socket(self.sip_port)
        return next((pid for pid in _descendants(self.pid) if wanted in _open_files(pid)), 0)

    def uri(self, number: str = "100", transport: str = "udp") -> str:
        """What to dial."""
        port = self.tls_port if transport == "tls" else self.sip_port
        return f"sip:{number}@127.0.0.1:{port}" + ("" if transport == "udp" else f";transport={transport}")

    def children(self) -> list[int]:
        """Pids of all its living descendants but its switches: workers, model host, console."""
        return sorted(pid for pid in _descendants(self.pid) if not _is_switch(pid))

    def descriptors(self) -> dict[int, int]:
        """Open descriptors of the keeper, the switch and every descendant, by pid."""
        return {
            pid: count
            for pid in [self.pid, self.switch, *self.children()]
            if (count := _descriptors(pid)) >= 0
        }

    def threads(self) -> dict[int, int]:
        """Threads of the switch and of every descendant, by pid."""
        return {
            pid: len(os.listdir(f"/proc/{pid}/task")) for pid in [self.pid, self.switch, *self.children()]
        }

    @contextmanager
    def children_stopped(self) -> Iterator[None]:
        """No worker gets a turn in this block, so a call rings and no agent answers it."""
        stopped = self.children()
        try:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    def worker_of(self, call: CallFolder) -> int:
        """The process that has the call's recording open."""
        wanted = str(call.audio)
        for pid in self.children():
            if wanted in _open_files(pid):
                return pid
        raise ServerError(self.tell(f"no process writes {wanted}"))

    def writes(self, pid: int, call: CallFolder) -> bool:
        """Has this process the call's recording open?"""
        return str(call.audio) in _open_files(pid)

    def sockets(self, pid: int) -> int:
        """Open sockets of a process."""
        return sum(name.startswith("socket:") for name in _open_files(pid))

    async def warm_again(self, gone: int, workers: int, timeout: float = 30) -> None:
        """Wait until that process is no more, and so many workers are ready beside the one that was started."""
        await self.until(lambda: not _birth(gone), f"the end of {gone}", timeout)
        await self.until_metric(self.ready_workers, lambda count: count >= workers, "ready workers", timeout)

    async def ready_workers(self) -> float:
        """Workers that take calls now or could, the spare included."""
        return (await self.metrics()).get("offhook_workers_ready", 0.0)

    def has_call(self, call: CallFolder) -> bool:
        """Is there a worker at work on it?"""
        return any(str(call.audio) in _open_files(pid) for pid in self.children())

    async def metrics(self) -> dict[str, float]:
        """The gauges and counters of /metrics, labels included in the name as Prometheus writes them."""
        values = {}
        for line in (await self.get("/metrics")).splitlines():
            name, _, value = line.rpartition(" ")
            if name and not line.startswith("#"):
                values[name] = float(value)
        return values

    async def get(self, path: str) -> str:
        """Body of an HTTP answer. Raises ServerError unless it is 200."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
        try:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        if " 200 " not in head.split("\r\n")[0]:
            raise ServerError(self.tell(f"GET {path}: {head.splitlines()[0]} {body}"))
        return body

    def calls(self) -> list[CallFolder]:
        """The folders of all calls so far, oldest first."""
        found = (self.folder / "calls").glob("*/*/call.json")
        return [CallFolder(path.parent) for path in sorted(found, key=lambda path: path.stat().st_ctime_ns)]

    async def last_call(self, timeout: float = 10) -> CallFolder:
        """The newest call, as soon as there is one."""
        await self.until(lambda: bool(self.calls()), "a call folder", timeout)
        return max(self.calls(), key=lambda call: call.facts["started"])

    async def taken_over(self, call: CallFolder, times: int = 1) -> None:
        """Wait until so many workers have had to take it over."""
        await self.until(lambda: len(call.of("CallTakenOver")) >= times, f"takeover {times}", 20)

    async def kill_switch(self) -> None:
        """Kill the switch, and wait until another one takes calls."""
        old = self.switch
        os.kill(old, signal.SIGKILL)
        await self.another_switch(old)

    async def another_switch(self, old: int) -> None:
        """Wait until there is one, and it takes calls."""
        await self.until(lambda: self.switch not in (0, old), f"a switch after {old}", 20)
        await self.warm(1)

    async def finished(self, call: CallFolder, timeout: float = 20) -> dict[str, Any]:
        """The facts of a call once its record is complete."""
        await self.until(lambda: "ended" in call.facts, f"the end of {call.path.name}", timeout)
        return call.facts

    async def idle(self, timeout: float = 60) -> None:
        """Wait until no call is left."""
        async with asyncio.timeout(timeout):
            while (await self.metrics()).get("offhook_calls", 0.0) > 0:  # noqa: ASYNC110 # another process
                await asyncio.sleep(LOOK_AGAIN_S)

    async def warm(self, workers: int, timeout: float = 20) -> None:
        """Wait until so many workers, the spare included, have told their load."""

        await self.until_metric(
            self.ready_workers, lambda count: count >= workers, f"{workers} workers", timeout
        )

    async def until(self, true: Callable[[], bool], what: str, timeout: float) -> None:
        """Look again and again until something about the server is so. Raises ServerError after `timeout` s."""
        try:
            async with asyncio.timeout(timeout):
                while not true():  # noqa: ASYNC110 # nobody in this process could set an event
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            raise ServerError(self.tell(f"no {what} within {timeout} s")) from None

    async def until_metric(
        self,
        read: Callable[[], Awaitable[float]],
        true: Callable[[float], bool],
        what: str,
        timeout: float,
    ) -> None:
        """Read a number again and again until it is as wanted. Raises ServerError after `timeout` s."""
        try:
            async with asyncio.timeout(timeout):
                while not true(await read()):  # noqa: ASYNC110 # another process
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            raise ServerError(self.tell(f"no {what} within {timeout} s, it is {await read()}")) from None

    def tell(self, problem: str) -> str:
        """The problem with the server's last words."""
        return "\n  ".join([f"{problem}. The server's log:", *self.log[-40:]])


CONSOLE = "{host: 127.0.0.1, port: 0}"


@asynccontextmanager
async def running_server(
    folder: Path,
    *,
    dialplan: Path = DIALPLAN,
    workers: int = 2,
    settings: str = "",
    console: str = "{enabled: no}",
    spares: int = 1,
    spare_switch: bool = False,
    workers_die: bool = False,
) -> AsyncIterator[Server]:
    """Start `offhook serve` on free ports; at the end stop it by SIGTERM and see that nothing stays behind.

    folder: for settings, calls and database. settings: more YAML lines. console: CONSOLE has one. spares: workers.
    Each process costs a second or two to start. workers_die: the test wants that; else one that was lost is told,
    whoever took its calls over. Raises ServerError."""
    spare = f"spare_workers: {spares}\nspare_switch: {str(spare_switch).lower()}\n"
    process = await _spawn(folder, dialplan, workers, f"console: {console}\n{spare}{settings}")
    log: list[str] = []
    ready: asyncio.Future[tuple[int, int, int]] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(
        _follow(process, folder / "server.log", log, ready), name="the server's log"
    )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            sip_port, tls_port, http_port = await ready
    except (TimeoutError, ServerError) as error:
        await _kill(process)
        await reading
        raise ServerError("\n  ".join([f"not ready: {error or 'too slow'}. It said:", *log[-40:]])) from None
    except BaseException:
        await _kill(process)
        await reading
        raise
    server = Server(sip_port, tls_port, http_port, process, folder, log)
    try:
        yield server
    except Exception as error:
        if not isinstance(error, ServerError):  # which tells the log itself
            error.add_note(server.tell("meanwhile"))
        raise
    finally:
        family = {pid: _birth(pid) for pid in [server.pid, *_descendants(server.pid)]}
        code = await _stop(process)
        await reading
        left = [pid for pid, birth in family.items() if birth and _birth(pid) == birth]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    if code != 0:
        raise ServerError(server.tell(f"SIGTERM ended it with code {code}, not 0"))
    if left:
        raise ServerError(server.tell(f"processes {left} outlived it"))
    if not workers_die and any("worker_lost" in line for line in log):
        raise ServerError(server.tell("a worker was lost, and nobody had killed it"))
    if any("Bad file descriptor" in line for line in log):
        raise ServerError(server.tell("it used a descriptor that was closed"))


async def _spawn(folder: Path, dialplan: Path, workers: int, more: str) -> asyncio.subprocess.Process:
    config = folder / "offhook.yaml"
    await asyncio.to_thread(config.write_text, _settings(folder, dialplan, workers, more) + more)
    command = ["-m", "offhook", "serve", "--sip-port", "0", "--http-port", "0", "--config", str(config)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def _settings(folder: Path, dialplan: Path, workers: int, more: str) -> str:
    return "\n".join(
        [
            f"dialplan: {dialplan}",
            "sip: {host: 127.0.0.1, port: 0}",
            # below what sipp's observer and the kernel's ephemeral ports use
            "rtp: {first_port: 16384, last_port: 19999}",
            "http: {host: 127.0.0.1, port: 0}",
            f"plan_versions: {folder / 'plans'}",
            f"workers: {workers}",
            *([] if "drain_s:" in more else ["drain_s: 0"]),
            # no call may be refused because other tests run as well
            *([] if "overload:" in more else ["overload: {cpu: 0, late_ms: 0}"]),
            f"calls_dir: {folder / 'calls'}",
            f"database: sqlite:///{folder / 'offhook.db'}",
            "",
        ]
    )


async def _follow(
    process: asyncio.subprocess.Process,
    kept: Path,
    log: list[str],
    ready: asyncio.Future[tuple[int, int, int]],
) -> None:
    """kept: for whoever looks at a test that failed."""
    assert process.stdout is not None
    with kept.open("ab", buffering=0) as file:
        async for raw in process.stdout:
            file.write(raw)
            line = raw.decode(errors="replace").rstrip()
            log.append(line)
            if not ready.done() and (found := READY.search(line)):
                ready.set_result((int(found[1]), int(found[2]), int(found[3])))
    if not ready.done():
        ready.set_exception(ServerError("it ended"))


async def _stop(process: asyncio.subprocess.Process) -> int:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            return await process.wait()
    except TimeoutError:
        await _kill(process)
        return -signal.SIGKILL


async def _kill(process: asyncio.subprocess.Process) -> None:
    for pid in [*_descendants(process.pid), process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    await process.wait()


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        for thread in threads:
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                found |= {int(child)} | _descendants(int(child))
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return found
    return found


def _udp_socket(port: int) -> str:
    """As /proc shows the descriptor of whoever has it open."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            return f"socket:[{fields[9]}]"
    return "nobody has it"


def _is_switch(pid: int) -> bool:
    try:
        return b"\0offhook\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes() + b"\0"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _open_files(pid: int) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:  # it ended while we looked
        return []


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return -1


def alive(pid: int) -> bool:
    """Is there such a process?"""
    return bool(_birth(pid))


def _birth(pid: int) -> str:
    """Start time in clock ticks, which tells a process from a later one of the same pid; "" if dead."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if after_name[0] == "Z" else after_name[19]
