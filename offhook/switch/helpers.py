"""The processes beside the switch that a call can do without for a moment: the model host and the console.

Each is started, watched and started again with a pause that grows. None of them dying costs a call, and none of them
notices when the switch dies: the next one goes on with them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence

import structlog

from offhook.switch.held import HELPER, Elder, Held, elders

log = structlog.get_logger()

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STABLE_AFTER_S = 30.0
STOP_TIMEOUT_S = 5.0


class Helper:
    """One helper process, `python -m MODULE ARGUMENTS --link-fd N`; we hold the other end of N.

    environ: what it is told beside, which not everybody on this machine may read. held: where its link outlives us."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        held: Held | None = None,
    ) -> None:
        self.name = name
        self._held = held or Held()
        self._environ = {**os.environ, **(environ or {})}
        self._command = (sys.executable, "-m", module, *arguments)
        self._process: asyncio.subprocess.Process | Elder | None = None
        self._link: socket.socket | None = None

    async def run(self) -> None:
        """Keep it alive until cancelled; then it is asked to leave by closing the link."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while True:
            started = loop.time()
            try:
                await self._live()
            except OSError as error:
                log.error("helper_not_started", helper=self.name, error=str(error))
            pause = (
                FIRST_PAUSE_S if loop.time() - started > STABLE_AFTER_S else min(pause * 2, LONGEST_PAUSE_S)
            )
            log.error("helper_lost", helper=self.name, restart_in_s=pause)
            await asyncio.sleep(pause)

    def tell(self, line: bytes) -> None:
        """Send one line. Dropped if it is not there or does not read: helpers catch up by themselves."""
        if self._link is not None:
            try:
                self._link.send(line + b"\n")
            except OSError as error:
                log.warning("helper_not_told", helper=self.name, error=str(error))

    async def _live(self) -> None:
        """One life of the process, or the rest of it."""
        left = next(elders(self._held, f"{HELPER}{self.name}/"), None)
        if left is not None:
            (fd,) = self._held.take_all(left[0])
            self._link, self._process = socket.socket(fileno=fd), self._held.elder(left[2])
            self._link.setblocking(False)
        else:
            self._link, self._process = await self._start()
        process = self._process
        name = f"{HELPER}{self.name}/{process.pid}"
        self._held.keep(name, self._link)
        link = self._link
        try:
            await process.wait()
        finally:
            self._link = None
            self._held.drop(name)
            link.close()
            await self._reap(process)

    async def _start(self) -> tuple[socket.socket, asyncio.subprocess.Process]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        fd = theirs.fileno()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                "--link-fd",
                str(fd),
                pass_fds=[fd],
                env=self._environ,
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours, process

    async def _reap(self, process: asyncio.subprocess.Process | Elder) -> None:
        if process.returncode is not None:
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            log.warning("helper_killed", helper=self.name, pid=process.pid)
            process.kill()
            await process.wait()
