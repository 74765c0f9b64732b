"""`offhook serve` itself: starts the switch, keeps its descriptors, and lets another one go on when it dies.

    python -m offhook.keeper ARGUMENTS      (the arguments of `offhook serve`)

So small that nothing in it can fail: the standard library, no loop, no call. Over a Unix socket the switch gives it
descriptors with a name (its ports, the links to its children, for each call its sockets, its memory and where its
signalling stands); the switch after one that died gets all of them, and what was sent to them meanwhile. It was started
before it was wanted, and waits for the word to go.
Children of a dead switch become the keeper's: it waits for them and says how they ended. Not what a new switch makes
of all this (switch/held.py, switch/adopting.py). systemd's descriptor store is the same idea."""

from __future__ import annotations

import array
import ctypes
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

VARIABLE: Final = "OFFHOOK_KEEPER_FD"  # the switch's end of the socket
MAX_PACKET_BYTES: Final = 32 * 1024
MAX_FDS: Final = 16  # that one name stands for
MOST_DEATHS: Final = 8  # of switches within DEATHS_WITHIN_S; then the keeper gives up
DEATHS_WITHIN_S: Final = 60.0
QUICK_S: Final = 2.0  # a switch that dies sooner is started again after a pause, which grows
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
CLEAN_AFTER: Final = (
    3  # switches in a row that died before they were ready: the next one starts without calls
)
READY_WITHIN_S: Final = 90.0  # a new switch that hangs before that is killed
STAND_BY_AFTER_S: Final = 4.0  # of a switch that is ready, another one is started which waits for its end
MOST_SPARES: Final = 3  # that died while they waited; then nobody waits
LEAVE_WITHIN_S: Final = 5.0  # children whose switch has gone for good
PORTS: Final = ("sip-", "http-")  # names that a switch without calls gets all the same
_SUBREAPER: Final = 36  # prctl(2), PR_SET_CHILD_SUBREAPER


class Keeper:
    """Of one server. command: what starts a switch. clock: monotonic, s."""

    def __init__(self, command: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._command, self._clock = tuple(command), clock
        self._kept: dict[str, list[int]] = {}
        self._gone: dict[int, int] = {}  # children of dead switches: how they ended, until somebody was told
        self._deaths: deque[float] = deque()
        self._pid = 0  # of the switch, 0 while there is none
        self._sock: socket.socket | None = None
        self._ready = self._was_ready = self._leaving = False
        self._in_vain = 0  # switches in a row that were never ready
        self._born = self._died_at = 0.0
        self._died_of = 0
        self._restarts = 0
        self._spare_pid = 0  # of a switch that has read its code and waits for the word to go
        self._spare: socket.socket | None = None
        self._spare_wanted, self._spares_lost = False, 0
        self._selector = selectors.DefaultSelector()
        self._folder = ""

    def run(self) -> int:
        """Until the switch leaves by itself. Returns the exit code."""
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        bell, ringer = socket.socketpair()
        for sock in (bell, ringer):
            sock.setblocking(False)
        self._selector.register(bell, selectors.EVENT_READ, None)
        signal.set_wakeup_fd(ringer.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, _nothing)
        with tempfile.TemporaryDirectory(prefix="offhook-", ignore_cleanup_errors=True) as self._folder:
            code = self._supervise(bell)
            self._let_go()
            if self._spare is not None:
                os.kill(self._spare_pid, signal.SIGKILL)
            self._wait_for_children()
        return code

    # ------------------------------------------------------------ the switch's life

    def _supervise(self, bell: socket.socket) -> int:
        self._start()
        again_at: float | None = None
        while True:
            self._wait(bell, again_at)
            if (code := self._reap()) is not None:
                if (verdict := self._verdict(code)) is not None:
                    return verdict
                again_at = self._clock() + self._pause_s()
            if again_at is not None and self._leaving:
                return 0  # it was to stop, and had stopped already
            if again_at is not None and self._clock() >= again_at:
                again_at = None
                self._restarts += 1
                self._start()
            self._stand_by()
            hangs = self._pid and not self._ready and self._restarts and not self._leaving
            if hangs and self._clock() - self._born > READY_WITHIN_S:
                _say(f"the new switch was not ready within {READY_WITHIN_S:.0f} s and is killed")
                os.kill(self._pid, signal.SIGKILL)

    def _start(self) -> None:
        if self._in_vain >= CLEAN_AFTER:
            _say(f"{self._in_vain} switches died over what the one before them left: its calls are given up")
            self._let_go(but=PORTS)
            self._in_vain = 0
        self._born, self._ready = self._clock(), False
        if self._spare is not None:
            self._pid, self._sock = self._spare_pid, self._spare
            self._spare_pid, self._spare = 0, None
        else:
            self._pid, self._sock = self._spawn()
        self._selector.register(self._sock, selectors.EVENT_READ, self._sock)
        self._hand_over(self._sock)

    def _stand_by(self) -> None:
        """Have another switch ready, so that it need not read its code when it is wanted."""
        wanted = self._ready and self._spare_wanted and self._spare is None and not self._leaving
        if wanted and self._spares_lost < MOST_SPARES and self._clock() - self._born >= STAND_BY_AFTER_S:
            self._spare_pid, self._spare = self._spawn()

    def _spawn(self) -> tuple[int, socket.socket]:
        """A process that waits for the word to go."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.set_inheritable(True)
        environ = {**os.environ, VARIABLE: str(theirs.fileno())}
        pid = os.posix_spawn(
            self._command[0], self._command, environ, setsid=True, setsigdef=(signal.SIGPIPE,)
        )
        theirs.close()
        ours.setblocking(False)
        return pid, ours

    def _hand_over(self, sock: socket.socket) -> None:
        """All that is kept, then the word to go. A switch reads it before anything else."""
        sock.settimeout(READY_WITHIN_S)  # a long list does not fit the socket's buffer at once
        try:
            for name, fds in self._kept.items():
                send(sock, {"name": name}, fds)
            facts = {"restarts": self._restarts, "died_of": self._died_of, "died_at": self._died_at}
            send(sock, {"go": {**facts, "folder": self._folder, "gone": list(self._gone.items())}})
        except OSError:  # it is dead already, as _reap will see
            return
        finally:
            sock.setblocking(False)
        self._gone.clear()

    def _verdict(self, code: int) -> int | None:
        """The switch has ended: the exit code if this is the end, None to start another one."""
        if self._sock is not None:
            self._read_rest(self._sock)
            self._mute(self._sock)
            self._sock.close()
            self._sock = None
        self._pid, now = 0, self._clock()
        if code == 0 or self._leaving or not (self._ready or self._was_ready):
            return code if code >= 0 else 128 - code
        self._was_ready = True
        self._in_vain = 0 if self._ready else self._in_vain + 1
        self._died_at, self._died_of = now, code
        self._deaths.append(now)
        while self._deaths[0] < now - DEATHS_WITHIN_S:
            self._deaths.popleft()
        if len(self._deaths) >= MOST_DEATHS:
            _say(
                f"the switch died {MOST_DEATHS} times within {DEATHS_WITHIN_S:.0f} s; giving up. See its log."
            )
            return 1
        return None

    def _pause_s(self) -> float:
        if self._clock() - self._born > QUICK_S:
            return 0.0
        return min(FIRST_PAUSE_S * float(1 << len(self._deaths)), LONGEST_PAUSE_S)

    # ------------------------------------------------------------ signals and children

    def _wait(self, bell: socket.socket, until: float | None) -> None:
        settled = self._ready and (self._spare is not None or self._spares_lost >= MOST_SPARES)
        within_s = max(0.0, until - self._clock()) if until is not None else (None if settled else 1.0)
        for key, _ in self._selector.select(within_s):
            if key.fileobj is bell:
                for number in bell.recv(256):
                    self._signalled(number)
            elif isinstance(key.data, socket.socket):
                self._read_rest(key.data)

    def _signalled(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        self._leaving = self._leaving or number in (signal.SIGTERM, signal.SIGINT)
        if self._pid:
            os.kill(self._pid, number)

    def _reap(self) -> int | None:
        """Wait for whoever has ended. Returns how the switch ended, if it did: its exit code, or minus the signal."""
        ended = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if not pid:
                return ended
            code = os.waitstatus_to_exitcode(status)
            if pid == self._pid:
                ended = code
            elif pid == self._spare_pid and self._spare is not None:
                self._spare.close()
                self._spare_pid, self._spare = 0, None
                self._spares_lost += 1
            elif self._sock is not None and self._tell({"gone": [[pid, code]]}):
                continue
            else:
                self._gone[pid] = code

    def _tell(self, row: dict[str, Any]) -> bool:
        try:
            assert self._sock is not None
            send(self._sock, row)
        except OSError:
            return False
        return True

    def _wait_for_children(self) -> None:
        """Their links are closed now, so they leave; who does not is killed."""
        until = self._clock() + LEAVE_WITHIN_S
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                if self._clock() > until:
                    for child in _children():
                        os.kill(child, signal.SIGKILL)
                time.sleep(0.02)

    # ------------------------------------------------------------ descriptors

    def _read_rest(self, sock: socket.socket) -> None:
        """Everything that the switch has said."""
        while True:
            try:
                row, fds = receive(sock)
            except (BlockingIOError, InterruptedError):
                return
            except (OSError, ValueError):
                row, fds = None, []
            if row is None:  # it is dead, or has closed its end: its process tells
                self._mute(sock)
                return
            self._heard(row, fds)

    def _mute(self, sock: socket.socket) -> None:
        if sock.fileno() in self._selector.get_map():
            self._selector.unregister(sock)

    def _heard(self, row: dict[str, Any], fds: list[int]) -> None:
        name = str(row.get("keep") or row.get("drop") or "")
        for fd in self._kept.pop(name, []):
            os.close(fd)
        if row.get("keep"):
            self._kept[name] = fds
        if row.get("ready"):
            self._ready = self._was_ready = True
            self._spare_wanted = bool(row.get("spare"))

    def _let_go(self, but: tuple[str, ...] = ()) -> None:
        """Of all descriptors, but those whose names begin so."""
        for name in [name for name in self._kept if not name.startswith(but or ("\0",))]:
            for fd in self._kept.pop(name):
                os.close(fd)


# ---------------------------------------------------------------- the socket's language, either end


def send(sock: socket.socket, row: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """One packet: a row of plain values, and descriptors. Raises OSError."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([json.dumps(row).encode()], rights)


def receive(sock: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next packet; None at the end. The descriptors are the caller's. Raises OSError, ValueError for no packet."""
    fds = array.array("i")
    room = socket.CMSG_LEN(MAX_FDS * fds.itemsize)
    data, rights, _, _ = sock.recvmsg(MAX_PACKET_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, body in rights:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(body[: len(body) - len(body) % fds.itemsize])
    return (json.loads(data) if data else None), list(fds)


# ---------------------------------------------------------------- inside


def _nothing(number: int, frame: object) -> None:
    """The wake-up descriptor tells."""


def _say(text: str) -> None:
    print(f"offhook: {text}", file=sys.stderr, flush=True)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
            return [int(pid) for pid in children.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(Keeper((sys.executable, "-m", "offhook", "serve", *sys.argv[1:])).run())
