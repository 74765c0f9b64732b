"""One end of the link between the switch and a worker: a message a line over a Unix socket pair, and descriptors.

Descriptors travel beside the message that names them (SCM_RIGHTS). Sending never blocks: what the socket does not take
at once waits in order. What is said is link.py's business.

A link outlives the switch: the keeper holds its end (offhook/keeper.py), so that a worker goes on writing, and reads
what the next switch says. A worker's messages are numbered, and kept until the switch has dealt with them, which it
notes in memory that both share; the next switch asks for the rest (`say_again`). So none is lost, and none counts
twice, wherever in a message the old switch stopped."""

from __future__ import annotations

import asyncio
import errno
import json
import mmap
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

import structlog
from pydantic import TypeAdapter

from offhook.link import Message

log = structlog.get_logger()

MAX_WAITING_BYTES = 32 * 1024 * 1024
READ_BYTES = 256 * 1024
MAX_FDS = 64
THREAD_TIMEOUT_S = 1.0
PAGE_BYTES = 4096

_NUMBER = Struct("<Q")
_PLAN, _PLAN_AT = Struct("<I"), 16


class Page:
    """What the two ends of a link share, and a switch after this one: how far it has been read, and the worker's role.

    fd: a memory file, owned from now on."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, PAGE_BYTES)

    @classmethod
    def create(cls) -> Page:
        """New memory, all zero. Raises OSError when the system has none left."""
        fd = os.memfd_create("offhook-link", os.MFD_CLOEXEC)
        os.ftruncate(fd, PAGE_BYTES)
        return cls(fd)

    @property
    def handled(self) -> int:
        """The number of the last message that a switch has dealt with."""
        return int(_NUMBER.unpack_from(self._memory)[0])

    @handled.setter
    def handled(self, number: int) -> None:
        self._memory[: _NUMBER.size] = _NUMBER.pack(number)  # in one piece: pack_into would write zeros first

    @property
    def retiring(self) -> bool:
        """The worker takes no new calls."""
        return bool(self._memory[_NUMBER.size])

    @retiring.setter
    def retiring(self, yes: bool) -> None:
        self._memory[_NUMBER.size] = yes

    @property
    def plan(self) -> int:
        """Of which plan the worker knows the agents (link.Configure.plan)."""
        return int(_PLAN.unpack_from(self._memory, _PLAN_AT)[0])

    @plan.setter
    def plan(self, number: int) -> None:
        self._memory[_PLAN_AT : _PLAN_AT + _PLAN.size] = _PLAN.pack(number)

    def close(self) -> None:
        """Give our view of it back. A second close does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._memory.close()


class LinkError(Exception):
    """The other end sent what this version does not understand, or takes nothing any more."""


class Link:
    """One end of a link. on_message(message, fds) and on_closed(error) are called on the loop.

    The receiver owns the descriptors it is handed and closes them. page: what both ends share; numbers: ours is the end
    whose messages are numbered. resumed: another process had this end, and may have stopped in the middle of a line.
    """

    def __init__(
        self,
        sock: socket.socket,
        reads: TypeAdapter[Any],
        on_message: Callable[[Any, list[int]], None],
        on_closed: Callable[[Exception | None], None],
        *,
        page: Page | None = None,
        numbers: bool = False,
        resumed: bool = False,
    ) -> None:
        self._sock, self._reads = sock, reads
        self._page, self._numbers = page, numbers
        self._said: deque[tuple[int, bytes]] = deque()  # numbered, and not dealt with as far as we know
        self._number = 0
        self._torn = b"a line that another process has begun" if resumed else b""
        self._on_message, self._on_closed = on_message, on_closed
        self._loop = asyncio.get_running_loop()
        self._in = bytearray()
        self._fds: deque[int] = deque()
        self._out: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._kept: set[int] = set()  # descriptors of messages that wait: copies of ours
        self._half: object = None  # the line that has left in part
        self._waiting_bytes = 0
        self._open = True
        self._turn = threading.Lock()  # whose line is being written
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Queue a message. The descriptors may be closed afterwards; with one that is closed already it is left out."""
        if not self._open:
            return
        more = {"fds": len(fds)}
        if self._numbers:
            self._number = more["seq"] = self._number + 1
        line = message.model_copy(update=more).model_dump_json().encode() + b"\n"
        if self._numbers and self._page is not None:
            self._forget(self._page.handled)
            self._said.append((self._number, line))
        self._put(line, fds)

    def say_again(self) -> None:
        """Another switch reads now: what the one before has not dealt with, in order; and we begin to read anew."""
        if self._page is None:
            return
        while self._fds:  # of a message that was cut off
            os.close(self._fds.popleft())
        self._forget(self._page.handled)
        first = self._out[0] if self._out and self._out[0][0].obj is self._half else None
        self._out = deque([first] if first is not None else [])
        self._waiting_bytes = len(first[0]) if first is not None else 0
        for _, line in tuple(self._said):
            self._put(line)

    def begin_anew(self) -> None:
        """The process that had this end may have stopped in the middle of a line: end it."""
        self._put(b"\n")

    def _forget(self, handled: int) -> None:
        while self._said and self._said[0][0] <= handled:
            self._said.popleft()

    def _put(self, line: bytes, fds: Sequence[int] = ()) -> None:
        self._out.append((memoryview(line), tuple(fds)))
        self._waiting_bytes += len(line)
        if len(self._out) == 1:
            self._writable()
        if fds and self._out and self._out[-1][1]:
            self._keep_descriptors()
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._fail(LinkError(f"the peer has not read for {self._waiting_bytes} bytes. Restart it."))

    def send_from_thread(self, message: Message) -> bool:
        """Past a loop that stands still. False if something waits already, or nobody reads: it has not left then."""
        data = memoryview(message.model_dump_json().encode() + b"\n")
        with self._turn:
            if not self._open or self._out:
                return False
            begun = False
            while data:
                try:
                    if not select.select([], [self._sock], [], begun and THREAD_TIMEOUT_S)[1]:
                        raise TimeoutError("the peer does not read")
                    data = data[self._sock.send(data) :]
                except BlockingIOError:
                    continue
                except (
                    OSError,
                    ValueError,
                ):  # it is closed, or cut in the middle of a line: the loop will see
                    return False
                begun = True
        return True

    @property
    def busy(self) -> bool:
        """Does something wait to leave?"""
        return bool(self._out)

    def read_rest(self) -> None:
        """What the peer said last, before its end is dealt with."""
        while self._open and self._readable():
            pass

    def close(self) -> None:
        """Close this end; on_closed is not called."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            while self._fds:
                os.close(self._fds.popleft())
            self._let_go([*self._kept])

    def _readable(self) -> bool:
        """Returns whether there was anything."""
        try:
            data, fds, flags, _ = socket.recv_fds(self._sock, READ_BYTES, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._fail(error)
            return False
        self._fds.extend(fds)
        if flags & socket.MSG_CTRUNC:
            self._fail(
                LinkError("descriptors were cut off on the way. Raise the open-files limit (ulimit -n).")
            )
            return False
        if not data:
            self._fail(None)
            return False
        self._in += data
        self._take_lines()
        return True

    def _take_lines(self) -> None:
        while self._open and (end := self._in.find(b"\n")) >= 0:
            line = bytes(self._in[:end])
            del self._in[: end + 1]
            if not line:
                continue
            try:
                message = self._reads.validate_json(line)
            except ValueError as error:
                if self._may_be_torn(line):
                    continue
                self._fail(LinkError(f"not a link message: {line[:80]!r} ({error})"))
                return
            if self._torn and self._numbers and message.kind != "Adopt":
                self._fail(LinkError(f"not a link message: {self._torn[:80]!r}"))
                return
            self._torn = b""
            if message.seq and self._page is not None and message.seq != self._page.handled + 1:
                continue  # it was dealt with, or one before it was lost with another process: all are said again
            try:
                self._on_message(message, [self._fds.popleft() for _ in range(message.fds)])
            finally:
                if message.seq and self._page is not None:
                    self._page.handled = message.seq

    def _may_be_torn(self, line: bytes) -> bool:
        """Is it what another process has left of a line? A worker knows that when Adopt is next."""
        if self._numbers:
            self._torn, known = line, self._torn
            return not known
        known, self._torn = self._torn, b""
        return bool(known)

    def _writable(self) -> None:
        while self._out:
            data, fds = self._out[0]
            try:
                sent = self._send(data, fds)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._writable)
                return
            except OSError as error:
                if error.errno == errno.EBADF and fds:
                    self._pass_over(self._out.popleft()[0])
                    continue
                self._fail(error)
                return
            self._waiting_bytes -= sent
            self._let_go(fds)
            if sent < len(data):
                self._out[0] = (data[sent:], ())  # the descriptors left with the first byte
                self._half = data.obj
            else:
                self._out.popleft()
        self._loop.remove_writer(self._sock)

    def _keep_descriptors(self) -> None:
        """The newest message has to wait: whoever owns its descriptors may close them, and others get their numbers."""
        line, fds = self._out[-1]
        copies: list[int] = []
        try:
            for fd in fds:
                copies.append(os.dup(fd))
        except OSError:
            for fd in copies:
                os.close(fd)
            self._pass_over(self._out.pop()[0])
            return
        self._kept.update(copies)
        self._out[-1] = (line, tuple(copies))

    def _let_go(self, fds: Sequence[int]) -> None:
        """They are the peer's now; close our copies."""
        for fd in fds:
            if fd in self._kept:
                self._kept.remove(fd)
                os.close(fd)

    def _pass_over(self, line: memoryview) -> None:
        """A message whose descriptors were closed before it left is of no use; those of other calls are."""
        self._waiting_bytes -= len(line)
        said = json.loads(bytes(line))
        call_id, kind = said.get("call_id", ""), said.get("kind", "")
        log.error("message_not_sent", reason="its descriptors are closed", call_id=call_id, kind=kind)

    def _send(self, data: memoryview, fds: tuple[int, ...]) -> int:
        with self._turn:
            if not fds:
                return self._sock.send(data)
            return socket.send_fds(self._sock, [data], fds)

    def _fail(self, error: Exception | None) -> None:
        if self._open:
            self.close()
            self._on_closed(error)
