"""Local models served to many calls: the model host's side of the socket, and the fair sharing of its one core.

One loop, no thread: sockets are read between two slices of 100 ms of sound, and every stream with work gets one
slice in turn. Whatever was said in a turn is kept until it is decoded, be it late; silence never gets here (the
client sends turns only). Knows no model: an engine is whatever satisfies `Engine`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import structlog

from offhook.models import wire
from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import Hints, SttEvent

SLICE_MS = 100
MAX_UNREAD_BYTES = 1 << 20  # of results; a worker that leaves so much lying there is gone

log = structlog.get_logger()


class Ear(Protocol):
    """One stream of an engine. All but `step` only take note; sound comes between `start` and `end` only."""

    @property
    def busy(self) -> bool: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    def push(self, pcm: bytes) -> None: ...
    def start(self) -> None: ...
    def end(self) -> None: ...
    def expect(self, hints: Hints) -> None: ...
    def step(self, slice_ms: int) -> list[SttEvent]:
        """Work on up to so much sound. Raises ProviderError; then the stream is over."""

    def close(self) -> None: ...


@runtime_checkable
class ThreadedEar(Ear, Protocol):
    """An ear whose engine works in a thread of its own."""

    def wake_with(self, wake: Callable[[], object]) -> None:
        """Call this, from any thread, when `step` has something to fetch."""


class Engine(Protocol):
    """A local model of this process."""

    def warm(self, count: int) -> None:
        """Be ready for `count` turns at the same time."""

    def open(self, *, rate_hz: int, hints: Hints, options: Mapping[str, Any]) -> Ear:
        """Raises ConfigError for hints or options it does not take, ProviderError if it is broken."""


class ModelHost:
    """Serves engines to any number of connections. Hand `protocol` to the loop's create_server."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self.engines = engines
        self._waiting: deque[tuple[_Client, int, Ear]] = deque()
        self._working = False

    def protocol(self, on_lost: Callable[[], None] | None = None) -> asyncio.Protocol:
        """A connection. on_lost is called when the client has gone."""
        return _Client(self, on_lost)

    def has_work(self, client: _Client, stream: int, ear: Ear) -> None:
        """Give this stream its turn. Called once for a stream that was idle."""
        self._waiting.append((client, stream, ear))
        if not self._working:
            self._working = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        client, stream, ear = self._waiting.popleft()
        if client.work(stream, ear):
            self._waiting.append((client, stream, ear))
        self._working = bool(self._waiting)
        if self._working:  # not in a loop of our own: sockets are read in between
            asyncio.get_running_loop().call_soon(self._work)


class _Client(asyncio.Protocol):
    """One worker's connection and its streams."""

    def __init__(self, host: ModelHost, on_lost: Callable[[], None] | None) -> None:
        self._host, self._on_lost = host, on_lost
        self._reader = wire.Reader()
        self._ears: dict[int, Ear] = {}
        self._queued: set[int] = set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send(0, {"event": "ready", "providers": sorted(self._host.engines)})

    def connection_lost(self, exc: Exception | None) -> None:
        for ear in self._ears.values():
            ear.close()
        self._ears.clear()
        if self._on_lost is not None:
            self._on_lost()

    def data_received(self, data: bytes) -> None:
        try:
            for stream, body in self._reader.feed(data):
                self._take(stream, body)
        except wire.WireError as error:
            log.error("models_client_dropped", error=str(error))
            self._transport.abort()

    def work(self, stream: int, ear: Ear) -> bool:
        """One slice for this stream; True if it has more to do."""
        self._queued.discard(stream)
        if self._ears.get(stream) is not ear:
            return False
        try:
            for event in ear.step(SLICE_MS):
                self._send(stream, wire.event_message(event))
        except ProviderError as error:
            self._fail(stream, error.cause, error)
            return False
        if ear.busy:
            self._queued.add(stream)
        return ear.busy

    def _take(self, stream: int, body: wire.Body) -> None:
        ear = self._ears.get(stream)
        if isinstance(body, dict) and body.get("do") == "open":
            self._open(stream, body)
            return
        if ear is None:  # closed, or failed: what is still under way concerns nobody
            return
        if isinstance(body, bytes):
            ear.push(body)
        elif body.get("do") == "close":
            del self._ears[stream]
            ear.close()
            return
        else:
            self._control(ear, body)
        self._woken(stream, ear)

    def _woken(self, stream: int, ear: Ear) -> None:
        if stream not in self._queued and self._ears.get(stream) is ear:
            self._queued.add(stream)
            self._host.has_work(self, stream, ear)

    def _control(self, ear: Ear, message: dict[str, Any]) -> None:
        match message.get("do"):
            case "start":
                ear.start()
            case "end":
                ear.end()
            case "expect":
                ear.expect(wire.message_hints(message))
            case other:
                raise wire.WireError(
                    f"models: nobody knows how to do {other!r}. Start both ends from one version."
                )

    def _open(self, stream: int, message: dict[str, Any]) -> None:
        name = str(message.get("provider"))
        try:
            if stream in self._ears or stream == 0:
                raise ConfigError(f"stream {stream} is taken. Number streams from 1.")
            if (engine := self._host.engines.get(name)) is None:
                known = ", ".join(sorted(self._host.engines))
                raise ConfigError(f"no model {name!r} in the model host. Known: {known}. Choose one of them.")
            hints, rate_hz, options = wire.message_opening(message)
            ear = engine.open(rate_hz=rate_hz, hints=hints, options=options)
        except ConfigError as error:
            self._fail(stream, "bad_request", error)
        except ProviderError as error:
            self._fail(stream, error.cause, error)
        else:
            self._ears[stream] = ear
            if isinstance(ear, ThreadedEar):
                loop = asyncio.get_running_loop()
                ear.wake_with(lambda: loop.is_closed() or loop.call_soon_threadsafe(self._woken, stream, ear))
            for warning in ear.warnings:
                log.warning("phrase_left_out", provider=name, reason=warning)
            self._send(stream, {"event": "opened", "warnings": list(ear.warnings)})

    def _fail(self, stream: int, cause: str, error: Exception) -> None:
        self._ears.pop(stream, None)
        self._send(stream, {"event": "failed", "cause": cause, "message": str(error)})

    def _send(self, stream: int, message: dict[str, Any]) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(wire.control(stream, message))
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            log.error("models_client_dropped", error="it does not read its results")
            self._transport.abort()
