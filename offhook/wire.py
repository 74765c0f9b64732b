"""One end of the link between the switch and a worker: a message a line over a Unix socket pair, and descriptors.

Descriptors travel beside the message that names them (SCM_RIGHTS). Sending never blocks: what the socket does not take
at once waits in order. What is said is link.py's business."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from offhook.link import Message

MAX_WAITING_BYTES = 32 * 1024 * 1024
READ_BYTES = 256 * 1024
MAX_FDS = 64
THREAD_TIMEOUT_S = 1.0


class LinkError(Exception):
    """The other end sent what this version does not understand, or takes nothing any more."""


class Link:
    """One end of a link. on_message(message, fds) and on_closed(error) are called on the loop.

    The receiver owns the descriptors it is handed and closes them.
    """

    def __init__(
        self,
        sock: socket.socket,
        reads: TypeAdapter[Any],
        on_message: Callable[[Any, list[int]], None],
        on_closed: Callable[[Exception | None], None],
    ) -> None:
        self._sock, self._reads = sock, reads
        self._on_message, self._on_closed = on_message, on_closed
        self._loop = asyncio.get_running_loop()
        self._in = bytearray()
        self._fds: deque[int] = deque()
        self._out: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._waiting_bytes = 0
        self._open = True
        self._turn = threading.Lock()  # whose line is being written
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Queue a message. The descriptors must stay open until it has left: at once, unless the peer is slow."""
        if not self._open:
            return
        line = message.model_copy(update={"fds": len(fds)}).model_dump_json().encode() + b"\n"
        self._out.append((memoryview(line), tuple(fds)))
        self._waiting_bytes += len(line)
        if len(self._out) == 1:
            self._writable()
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

    def _readable(self) -> bool:
        """Returns whether there was anything."""
        try:
            data, fds, flags, _ = socket.recv_fds(self._sock, READ_BYTES, MAX_FDS)
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
            try:
                message = self._reads.validate_json(line)
            except ValueError as error:
                self._fail(LinkError(f"not a link message: {line[:80]!r} ({error})"))
                return
            fds = [self._fds.popleft() for _ in range(message.fds)]
            self._on_message(message, fds)

    def _writable(self) -> None:
        while self._out:
            data, fds = self._out[0]
            try:
                sent = self._send(data, fds)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._writable)
                return
            except OSError as error:
                self._fail(error)
                return
            self._waiting_bytes -= sent
            if sent < len(data):
                self._out[0] = (data[sent:], ())  # the descriptors left with the first byte
            else:
                self._out.popleft()
        self._loop.remove_writer(self._sock)

    def _send(self, data: memoryview, fds: tuple[int, ...]) -> int:
        with self._turn:
            if not fds:
                return self._sock.send(data)
            return socket.send_fds(self._sock, [data], fds)

    def _fail(self, error: Exception | None) -> None:
        if self._open:
            self.close()
            self._on_closed(error)
