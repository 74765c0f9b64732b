"""A saved dial plan replaces the running one: read beside the switch, rehearsed by the workers, swapped in one step.

    watch the files → a reader process checks, tests and keeps it → the pieces are taken, one a turn of the loop
    → every worker makes its agents once → the pointer is swapped → the old plan is taken apart, a little a turn

Anything wrong on the way changes nothing: it is logged, counted and written into the plan's history. Calls on the line
keep the Route they started with. Driven by server.py."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import structlog

from offhook.plans.verdict import LENGTH, Verdict
from offhook.plans.versions import Versions, VersionsError, What, files_of, snapshot
from offhook.switch.beginning import Unfit
from offhook.switch.metrics import Metrics
from offhook.switch.pool import Pool
from telephony.dialplan.match import Plan
from telephony.dialplan.parcel import Unpacking, dismantle
from telephony.dialplan.store import PlanStore

log = structlog.get_logger()

READ_TIMEOUT_S = 120.0
SHARE = 0.002  # s of each turn of the loop that goes into a new plan, or into taking an old one apart
PAUSE_S = (
    0.002  # and at least so long nothing does: a call's packets to the switch are not many, but they wait
)
STALL_EVERY_S = 0.005
SETTLE_S = 0.1  # a file that was written twice within it is read once

Stamp: TypeAlias = dict[Path, tuple[int, int, int]]


class Refused(Exception):
    """The plan cannot be used. problems: why, each with its place. files: that must change before it can."""

    def __init__(self, problems: Sequence[str], version: str = "", files: Sequence[str] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems, self.version, self.files = tuple(problems), version, tuple(files)


class Reloading:
    """Watches the plan's files. every_s: how often it looks, 0 for never (then only `now`). trunks: see load_plan."""

    def __init__(
        self,
        path: Path,
        root: Path,
        every_s: float,
        store: PlanStore,
        metrics: Metrics,
        pool: Pool,
        trunks: Mapping[str, int] | None = None,
    ) -> None:
        self._path, self._root, self._every_s, self._trunks = path, root, every_s, trunks
        self._versions = Versions(root, path)
        self._store, self._metrics, self._pool = store, metrics, pool
        self._files: tuple[Path, ...] = files_of(store.current)
        self._seen = _stamp(self._files)  # now: what is saved before `run` has its turn is a change
        self._asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def now(self) -> None:
        """Read the plan again, changed or not (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        seen = self._seen
        while True:
            asked = await self._wait()
            stamp = await asyncio.to_thread(_stamp, self._files)
            if stamp == seen and not asked:
                continue
            while stamp != (later := await self._later()):  # an editor may write twice, or move it about
                stamp = later
            await self.reload()
            seen = await asyncio.to_thread(_stamp, self._files) | {
                file: known for file, known in stamp.items() if file in self._files
            }  # what was saved meanwhile is seen next time

    async def _later(self) -> Stamp:
        await asyncio.sleep(min(self._every_s or SETTLE_S, SETTLE_S))
        return await asyncio.to_thread(_stamp, self._files)

    async def _wait(self) -> bool:
        """Until it is time to look. True: somebody asked."""
        try:
            async with asyncio.timeout(self._every_s or None):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    async def begin(self, unfit: Unfit | None = None) -> None:
        """The plan that the server started with is a version like any other: the first one in use. Before anybody can
        save another. unfit: why it is not the one on disk."""
        plan = self._store.current
        self._metrics.plan_in_use(plan.version)
        try:
            if unfit is None:
                await asyncio.to_thread(self._versions.keep, await asyncio.to_thread(snapshot, plan))
            last = await asyncio.to_thread(self._versions.last, "in_use", "refused")
            if last is None or (last.what, last.version) != ("in_use", plan.version):
                await asyncio.to_thread(self._versions.note, "in_use", plan.version)
        except VersionsError as error:
            log.error("plan_version_not_kept", error=str(error))
        if unfit is not None:
            log.error("older_plan_in_use", version=plan.version, plan=str(self._path), refused=unfit.version)
            await self._report(Refused(unfit.problems, unfit.version, unfit.files))
            self._seen = await asyncio.to_thread(_stamp, self._files) | self._seen

    async def reload(self) -> bool:
        """Read the plan and use it from the next call on. False if it is refused; then nothing has changed."""
        async with self._pool.changing:
            return await self._reload()

    async def _reload(self) -> bool:
        watching = _Stalls(self._loop)
        try:
            verdict, plan = await self._read()
            if reason := await self._pool.rehearse(verdict.agents):
                raise Refused([f"{self._path}: {reason}"], verdict.version)
        except Refused as refused:
            watching.stop()
            await self._report(refused)
            return False
        except Exception as error:  # whatever it is, calls go on, and so does watching
            watching.stop()
            log.exception("plan_not_read")
            await self._report(Refused([f"{self._path}: {type(error).__name__}: {error}"]))
            return False
        self._files = tuple(map(Path, verdict.files))
        old = self._store.swap(plan)
        self._pool.adopt(verdict.agents)
        self._metrics.plan_changed(plan.version)
        log.info(
            "plan_in_use",
            version=plan.version,
            before=old.version,
            numbers=verdict.numbers,
            tests=verdict.tests,
        )
        await self._note("in_use", plan.version)
        await self._paced(dismantle(old))
        del old
        stall_s = watching.stop()
        self._metrics.plan_stall.set(stall_s)
        log.info("plan_change_done", version=plan.version, longest_stall_ms=round(stall_s * 1000, 1))
        return True

    async def _report(self, refused: Refused) -> None:
        self._files = tuple(dict.fromkeys([*self._files, *map(Path, refused.files)]))
        await self._note("refused", refused.version, refused.problems)
        for problem in refused.problems:
            log.error("plan_refused", problem=problem)
        self._metrics.plan_refused()  # who sees this finds the reasons in history and log

    async def _note(self, what: What, version: str, problems: Sequence[str] = ()) -> None:
        try:
            await asyncio.to_thread(self._versions.note, what, version, problems=problems)
        except VersionsError as error:
            log.error("plan_history_not_written", error=str(error))

    # ------------------------------------------------------------ the reader

    async def _read(self) -> tuple[Verdict, Plan]:
        """Raises Refused."""
        command = [sys.executable, "-m", "offhook.plans", str(self._path), "--versions", str(self._root)]
        command += ["--trunks", json.dumps(dict(self._trunks))] if self._trunks is not None else []
        try:
            reader = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise Refused([f"{self._path}: the reader cannot be started: {error}"]) from error
        assert reader.stdout is not None
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await self._taken(reader.stdout)
        except (asyncio.IncompleteReadError, EOFError) as error:
            raise Refused([f"{self._path}: the reader died. Is there enough memory?"]) from error
        except TimeoutError as error:
            raise Refused([f"{self._path}: was not read within {READ_TIMEOUT_S:.0f} s"]) from error
        finally:
            if reader.returncode is None:
                reader.kill()
            await reader.wait()

    async def _taken(self, pipe: asyncio.StreamReader) -> tuple[Verdict, Plan]:
        verdict = Verdict.model_validate_json(await _frame(pipe))
        if verdict.problems:
            raise Refused(verdict.problems, verdict.version, verdict.files)
        unpacking = Unpacking()
        with quiet_heap():
            spent_from = self._loop.time()
            while piece := await _frame(pipe):
                unpacking.take(piece)
                if self._loop.time() - spent_from > SHARE:
                    await asyncio.sleep(PAUSE_S)
                    spent_from = self._loop.time()
            return verdict, unpacking.plan()

    async def _paced(self, steps: Iterable[None]) -> None:
        """Go through the steps, a little in each turn of the loop."""
        until = self._loop.time() + SHARE
        for _ in steps:
            if self._loop.time() > until:
                await asyncio.sleep(PAUSE_S)
                until = self._loop.time() + SHARE


class _Stalls:
    """How late the loop comes to what is due, at worst: the longest that a call had to wait for its turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._longest_s = loop, 0.0
        self._due = loop.time() + STALL_EVERY_S
        self._timer = loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._longest_s = max(self._longest_s, now - self._due)
        self._due = now + STALL_EVERY_S
        self._timer = self._loop.call_at(self._due, self._look)

    def stop(self) -> float:
        """The longest of all, s."""
        self._timer.cancel()
        return self._longest_s


@contextmanager
def quiet_heap() -> Iterator[None]:
    """A plan is a million objects and not one cycle: whoever looked for garbage among them would stand still for half
    a second. So nobody looks while they come, and then they belong to what lives for ever; counting frees them."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


async def _frame(pipe: asyncio.StreamReader) -> bytes:
    (length,) = LENGTH.unpack(await pipe.readexactly(LENGTH.size))
    return await pipe.readexactly(length)


def _stamp(files: Sequence[Path]) -> Stamp:
    """When each file was changed; a file that is not there has the same answer each time."""
    found: Stamp = {}
    for file in files:
        try:
            state = os.stat(file)
        except OSError:
            found[file] = (0, 0, 0)
        else:
            found[file] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found
