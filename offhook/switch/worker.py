"""One call worker, as the switch sees it: its process, its link, and what it is for.

Kept by the pool (pool.py), which starts and replaces it. Decides nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from offhook.link import Configure, Load, Message
from offhook.switch.held import WORKER, Elder, Held, elders
from offhook.wire import Link, Page

FOREIGN_DEATHS = (
    -signal.SIGKILL,
    -signal.SIGTERM,
    -signal.SIGINT,
    -signal.SIGHUP,
)  # nobody does that to himself


@dataclass(slots=True, eq=False)
class Worker:
    """One call worker, as the switch sees it."""

    number: int
    spare: bool = False  # warm, and without calls until another one is lost
    process: asyncio.subprocess.Process | Elder | None = None
    link: Link | None = None
    page: Page | None = None
    left: socket.socket | None = None  # our end of its link, as the switch before us has left it
    ready: bool = False
    calls: set[str] = field(default_factory=set)
    load: Load | None = None
    started: float = 0.0
    heard: float = 0.0  # loop time of its last word
    lost: bool = False  # this life of it is over
    killed: bool = False  # by us
    blocked: bool = False  # because its own code stood in its way
    retiring: bool = False  # no new calls; it leaves with the last one and is not replaced
    failed: str = ""  # why it can never take a call
    told: Configure | None = None  # what it was started with; of a plan before the present one perhaps

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def activity(self) -> tuple[str, float]:
        """What the kernel says of it: its state (R, S, D, T, ...) and the CPU seconds that it has had."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return "", 0.0
        facts = stat.rpartition(")")[2].split()
        return facts[0], (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def death(self) -> str:
        """What its process ended with, for the log."""
        code = self.process.returncode if self.process is not None else None
        if code is None:
            return "unknown"
        return f"code {code}" if code >= 0 else f"signal {-code}"

    @property
    def shot(self) -> bool:
        """Did somebody outside end it?"""
        code = self.process.returncode if self.process is not None else None
        return code in FOREIGN_DEATHS and not self.killed

    def send(self, message: Message, fds: Iterable[int] = ()) -> None:
        """Put a message on its link; nothing happens if it is gone."""
        if self.link is not None:
            self.link.send(message, tuple(fds))

    def over(self) -> None:
        """Its process has ended."""
        self.ready = False
        if self.link is not None:
            self.link.close()
            self.link = None
        if self.page is not None:
            self.page.close()
            self.page = None


def left_behind(held: Held) -> Iterator[Worker]:
    """The workers of a switch before us; their links are not read yet."""
    for name, number, pid in elders(held, WORKER):
        sock, memory = held.take_all(name)
        page = Page(memory)
        left = socket.socket(fileno=sock)
        yield Worker(int(number), process=held.elder(pid), page=page, left=left, retiring=page.retiring)


def name_spares(workers: Sequence[Worker], spares: int) -> None:
    """Whoever has no calls, for those that a switch before us has left may have some."""
    if any(worker.left is not None for worker in workers):
        idle = [one for one in reversed(workers) if not one.calls and not one.retiring]
        for worker in workers:
            worker.spare = worker in idle[:spares]
