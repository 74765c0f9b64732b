"""A recogniser that runs in the model host: pipeline.ports.Stt for the call workers.

One connection for all calls of a worker. `push` copies 20 ms into memory and every third time hands it to the socket;
outside a turn nothing is sent. A host that stalls costs sound, the oldest first, never memory nor the clock. A
host that dies fails every stream with ProviderError; the next `open` finds the new one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast, get_args

from offhook.models import wire
from pipeline.errors import Cause, ConfigError, ProviderError
from pipeline.hearing.mailbox import SttMailbox
from pipeline.hearing.preroll import Preroll
from pipeline.ports import Frame, Hints, SttEvent

BATCH_FRAMES = 3  # frames a write: fewer system calls on the clock for at most 40 ms of delay inside a turn
MAX_WAITING_BYTES = 256 * 1024  # of sound, for all calls of the worker, while the host does not read
RETRY_S = 0.05


class HostedStt:
    """Speech to text by a model of the model host.

    socket_path: where the host listens. It need not be up yet: `open` waits for it, `connect_timeout_s` at most.
    final_timeout_s: how long the host may owe the end of a turn before the stream counts as dead.
    """

    def __init__(
        self,
        socket_path: str,
        provider: str = "pocketsphinx",
        options: Mapping[str, Any] | None = None,
        *,
        final_timeout_s: float = 3.0,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self.name = provider
        self._path, self._options = socket_path, dict(options or {})
        self._final_timeout_s, self._connect_timeout_s = final_timeout_s, connect_timeout_s
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None

    @property
    def dropped(self) -> int:
        """Pieces of sound (60 ms at most) the present connection dropped because the host did not read."""
        return self._connection.dropped if self._connection is not None else 0

    async def open(self, *, rate_hz: int, hints: Hints) -> HostedStream:
        """Raises ProviderError if there is no host in time, ConfigError if it refuses rate, hints or options."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self._connect()
                stream = connection.stream(self.name, self._final_timeout_s)
                request = {"do": "open", "provider": self.name, "rate_hz": rate_hz, "options": self._options}
                await stream.open({**request, **wire.hints_message(hints)})
        except TimeoutError as error:
            raise ProviderError(
                self.name, "timeout", f"no answer from the model host at {self._path}. Is it running?"
            ) from error
        return stream

    async def aclose(self) -> None:
        """Let go of the host. Streams that are open fail."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connect(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.lost:
                self._connection = await self._reach()
            return self._connection

    async def _reach(self) -> _Connection:
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, connection = await loop.create_unix_connection(_Connection, self._path)
            except OSError:  # not there yet, or being replaced
                await asyncio.sleep(RETRY_S)
                continue
            try:
                if await connection.ready:
                    return connection
            except asyncio.CancelledError:  # it accepted us and says nothing
                connection.close()
                raise


class HostedStream:
    """pipeline.ports.SttStream over the model host. Made by HostedStt.open."""

    def __init__(self, connection: _Connection, number: int, provider: str, final_timeout_s: float) -> None:
        self._connection, self._number = connection, number
        self.provider, self._final_timeout_s = provider, final_timeout_s
        self._loop = asyncio.get_running_loop()
        self._mailbox = SttMailbox()
        self._preroll = Preroll()
        self._batch: list[bytes] = []
        self._owed: deque[asyncio.TimerHandle] = deque()
        self._opened: asyncio.Future[None] = self._loop.create_future()

    async def open(self, request: dict[str, Any]) -> None:
        """Ask the host for this stream. Raises ConfigError or ProviderError."""
        self._connection.send(wire.control(self._number, request))
        try:
            await self._opened
        except BaseException:
            await self.aclose()
            raise

    def push(self, frame: Frame) -> None:
        if (pcm := self._preroll.push(frame)) is not None:
            self._batch.append(pcm)
            if len(self._batch) >= BATCH_FRAMES:
                self._flush()

    def start_turn(self) -> None:
        if (before := self._preroll.start()) is not None:
            self._tell({"do": "start"})
            self._batch.append(before)
            self._flush()

    def end_turn(self) -> None:
        self._preroll.end()
        self._flush()
        if not self._mailbox.closed:
            self._owed.append(self._loop.call_later(self._final_timeout_s, self._overdue))
            self._tell({"do": "end"})

    def expect(self, hints: Hints) -> None:
        self._tell({"do": "expect", **wire.hints_message(hints)})

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        if not self._mailbox.closed:
            self._tell({"do": "close"})
        self._connection.forget(self._number)
        self._mailbox.close()
        self._settle()

    def take(self, message: dict[str, Any]) -> None:
        """What the host says about this stream."""
        match message.get("event"):
            case "opened":
                if not self._opened.done():
                    self._opened.set_result(None)
            case "failed":
                self._refused(str(message.get("cause")), str(message.get("message")))
            case _:
                event = wire.message_event(message)
                if message["event"] == "final" and message["ends_turn"] and self._owed:
                    self._owed.popleft().cancel()
                self._mailbox.put(event)

    def fail(self, error: ProviderError) -> None:
        """Nothing more will come from the host for this stream."""
        self._connection.forget(self._number)
        self._settle()
        if not self._opened.done():
            self._opened.set_exception(error)
        self._mailbox.fail(error)

    def _refused(self, cause: str, message: str) -> None:
        if cause == "bad_request" and not self._opened.done():
            self._opened.set_exception(ConfigError(message))
            return
        known = cause if cause in get_args(Cause) else "server"
        self.fail(ProviderError(self.provider, cast(Cause, known), message))

    def _overdue(self) -> None:
        self._tell({"do": "close"})
        seconds = f"{self._final_timeout_s:g} s"
        self.fail(ProviderError(self.provider, "timeout", f"the model host owes a turn's end for {seconds}."))

    def _flush(self) -> None:
        if self._batch and not self._mailbox.closed:
            self._connection.send(wire.audio(self._number, b"".join(self._batch)), droppable=True)
        self._batch.clear()

    def _tell(self, message: dict[str, Any]) -> None:
        if not self._mailbox.closed:
            self._connection.send(wire.control(self._number, message))

    def _settle(self) -> None:
        while self._owed:
            self._owed.popleft().cancel()


class _Connection(asyncio.Protocol):
    """The worker's end of the socket: streams by number, and a bounded queue while the host does not read."""

    def __init__(self) -> None:
        self.lost = False
        self.dropped = 0
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._reader = wire.Reader()
        self._streams: dict[int, HostedStream] = {}
        self._count = 0
        self._paused = False
        self._waiting: deque[tuple[bytes, bool]] = deque()  # (message, droppable)
        self._waiting_bytes = 0
        self._transport: asyncio.Transport

    def stream(self, provider: str, final_timeout_s: float) -> HostedStream:
        self._count += 1
        self._streams[self._count] = HostedStream(self, self._count, provider, final_timeout_s)
        return self._streams[self._count]

    def forget(self, number: int) -> None:
        self._streams.pop(number, None)

    def send(self, message: bytes, *, droppable: bool = False) -> None:
        """Never blocks, keeps order. Droppable messages give way, the oldest first, when too much waits."""
        if self.lost:
            return
        if not self._paused:
            self._transport.write(message)
            return
        self._waiting.append((message, droppable))
        self._waiting_bytes += len(message) if droppable else 0
        while self._waiting_bytes > MAX_WAITING_BYTES:
            self._drop_oldest()

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.ready.done():
            self.ready.set_result(False)
        for stream in list(self._streams.values()):
            stream.fail(
                ProviderError(stream.provider, "connectivity", "the model host is gone. Open a new stream.")
            )

    def data_received(self, data: bytes) -> None:
        try:
            for number, body in self._reader.feed(data):
                self._take(number, body)
        except wire.WireError:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._waiting and not self._paused:
            message, droppable = self._waiting.popleft()
            self._waiting_bytes -= len(message) if droppable else 0
            self._transport.write(message)

    def _take(self, number: int, body: wire.Body) -> None:
        if isinstance(body, bytes):
            raise wire.WireError("models: the host sent sound. Start both ends from one version.")
        if number == 0 and body.get("event") == "ready" and not self.ready.done():
            self.ready.set_result(True)
        elif (stream := self._streams.get(number)) is not None:
            stream.take(body)

    def _drop_oldest(self) -> None:
        for place, (message, droppable) in enumerate(self._waiting):
            if droppable:
                del self._waiting[place]
                self._waiting_bytes -= len(message)
                self.dropped += 1
                return
