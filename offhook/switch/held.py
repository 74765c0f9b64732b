"""What outlives this switch: descriptors with a name, at the keeper that started it (offhook/keeper.py).

Without a keeper nothing is kept and nothing is found. Not what is in them: the state of a call is ledger.py's."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final

import structlog

from offhook import keeper

log = structlog.get_logger()

SEND_TIMEOUT_S: Final = 0.5  # the keeper does nothing else than read
CALL, OFFER, WORKER, HELPER = "call/", "offer/", "worker/", "helper/"


class Elder:
    """A child of the switch before us, with the face of asyncio.subprocess.Process. The keeper waits for it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Until it has ended. Returns its exit code, or minus the signal."""
        await self._ended.wait()
        return self.returncode or 0

    def kill(self) -> None:
        """End it now."""
        if self.returncode is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # the keeper has waited for it, and its word is on its way
                self.ended(-signal.SIGKILL)

    def ended(self, code: int) -> None:
        """The keeper has waited for it."""
        self.returncode = code
        self._ended.set()


class Held:
    """The keeper's end, as the switch sees it.

    restarts: how many switches were before this one; died_of: how the last one ended, an exit code or minus the
    signal. folder: for as long as the keeper lives, "" without one. inherits: there are workers of a switch before us.
    on_lost: called when the keeper is gone."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        self.restarts = self.died_of = 0
        self._died_at = 0.0
        self.folder = ""
        self.inherits = False
        self.on_lost: Callable[[], None] = lambda: None
        self._sock = sock
        self._found: dict[str, list[int]] = {}
        self._gone: dict[int, int] = {}
        self._elders: dict[int, Elder] = {}
        self._failed = False
        if sock is not None:
            self._read_all(sock)

    @classmethod
    def by_keeper(cls, environ: MutableMapping[str, str] = os.environ) -> Held:
        """What the keeper hands to this process, which is the only one that it is told of. Waits for its word to go."""
        given = environ.pop(keeper.VARIABLE, "")
        if not given:
            return cls()
        sock = socket.socket(fileno=int(given))
        sock.set_inheritable(False)  # whoever else had it would keep it open when we are dead
        return cls(sock)

    def _read_all(self, sock: socket.socket) -> None:
        while True:
            row, fds = keeper.receive(sock)
            if row is None:
                raise OSError("the keeper is gone")
            if (go := row.get("go")) is not None:
                break
            self._found[row["name"]] = fds
        self.restarts, self.died_of, self._died_at = go["restarts"], go["died_of"], go["died_at"]
        self.folder = go["folder"]
        self.inherits = any(name.startswith(WORKER) for name in self._found)
        self._gone = dict(go["gone"])
        sock.settimeout(SEND_TIMEOUT_S)

    @property
    def away_s(self) -> float:
        """Since when there has been no switch."""
        return time.monotonic() - self._died_at if self._died_at else 0.0

    def listen(self) -> None:
        """Hear from now on who of the elders has ended, and whether the keeper is there."""
        if self._sock is not None:
            asyncio.get_running_loop().add_reader(self._sock, self._readable)

    def ready(self, spare: bool) -> None:
        """Tell the keeper that calls are taken here, and whether another switch shall stand by."""
        self._say({"ready": True, "spare": spare})

    # ------------------------------------------------------------ descriptors

    def names(self, prefix: str) -> list[str]:
        """What a switch before us has left under names that begin so, and nobody has taken."""
        return sorted(name for name in self._found if name.startswith(prefix))

    def take_all(self, name: str) -> list[int]:
        """The descriptors of that name, ours to close; empty if there are none."""
        return self._found.pop(name, [])

    def keep_all(self, name: str, fds: Sequence[int]) -> None:
        """For a switch after us; these stand in the place of what had that name."""
        self._say({"keep": name}, fds)

    def drop(self, name: str) -> None:
        """Nobody needs it any more."""
        self._say({"drop": name})

    def drop_rest(self) -> None:
        """What nobody has taken, nobody knows any more."""
        for name in list(self._found):
            log.warning("left_behind", name=name)
            for fd in self._found.pop(name):
                os.close(fd)
            self.drop(name)

    def take(self, name: str) -> socket.socket | None:
        """A socket, as telephony/trunk/sockets.py wants its shelf."""
        fds = self.take_all(name)
        return socket.socket(fileno=fds[0]) if fds else None

    def keep(self, name: str, sock: socket.socket) -> None:
        """A socket for a switch after us."""
        self.keep_all(name, [sock.fileno()])

    # ------------------------------------------------------------ processes

    def elder(self, pid: int) -> Elder:
        """A child of the switch before us; ended already, perhaps."""
        elder = self._elders[pid] = Elder(pid)
        if pid in self._gone:
            elder.ended(self._gone.pop(pid))
        return elder

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            row, _ = keeper.receive(self._sock)
        except (TimeoutError, BlockingIOError):
            return
        except OSError:
            row = None
        if row is None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
            log.error("keeper_lost", why="the process that keeps this one is gone. Start the server again.")
            self.on_lost()
            return
        for pid, code in row.get("gone", ()):
            elder = self._elders.pop(pid, None)
            if elder is None:
                self._gone[pid] = code
            elif elder.returncode is None:
                elder.ended(code)

    def _say(self, row: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        if self._sock is None:
            return
        try:
            keeper.send(self._sock, dict(row), fds)
        except OSError as error:
            if not self._failed:
                log.error("keeper_not_told", error=str(error), what=sorted(row))
            self._failed = True


def elders(held: Held, prefix: str) -> Iterator[tuple[str, str, int]]:
    """(name, what stands between, pid) for names like `worker/3/4711`."""
    for name in held.names(prefix):
        middle, _, pid = name.removeprefix(prefix).rpartition("/")
        yield name, middle, int(pid)
