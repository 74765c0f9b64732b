"""`python -m offhook.models`: the model host process. Started by the switch, ends with it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from offhook.logs import configure_logs
from offhook.models.host import Ear, Engine, ModelHost
from offhook.settings import LogSettings
from pipeline.errors import ConfigError
from pipeline.ports import Hints
from pipeline.providers import registry
from pipeline.providers.pocketsphinx import Recogniser
from pipeline.providers.pocketsphinx_engine import Decoders

if TYPE_CHECKING:
    from pipeline.providers.whisper_local import WhisperStt

NICENESS = 5  # a model may wait; a worker's clock next to it on the core may not
PARENT_CHECK_S = 1.0


class Pocketsphinx:
    """The embedded recogniser as an engine of the host."""

    def __init__(self) -> None:
        self._decoders = Decoders()

    def warm(self, count: int) -> None:
        self._decoders.warm(count)

    def open(self, *, rate_hz: int, hints: Hints, options: Mapping[str, Any]) -> Ear:
        unknown = sorted(set(options) - {"min_confidence"})
        if unknown:
            raise ConfigError(
                f"stt pocketsphinx: no option {unknown[0]!r}. Known: min_confidence. Take it out."
            )
        confidence = options.get("min_confidence", 0.5)
        if not isinstance(confidence, int | float):
            raise ConfigError(
                f"stt pocketsphinx: min_confidence is {confidence!r}. Give it a number from 0 to 1."
            )
        return Recogniser(self._decoders, rate_hz=rate_hz, hints=hints, min_confidence=float(confidence))


class Whisper:
    """Local Whisper models as an engine of the host: each set of options is one, loaded when it is first asked for."""

    def __init__(self) -> None:
        self._models: dict[str, WhisperStt] = {}

    def warm(self, count: int) -> None:
        """Which model it will be is not known before a call asks for it."""

    def open(self, *, rate_hz: int, hints: Hints, options: Mapping[str, Any]) -> Ear:
        key = json.dumps(options, sort_keys=True)
        if key not in self._models:
            self._models[key] = cast("WhisperStt", registry.create_stt("whisper", options))
        return self._models[key].ear(rate_hz, hints)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m offhook.models", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", help="path to listen at; what is there already is replaced")
    where.add_argument(
        "--socket-fd", type=int, help="an inherited Unix stream socket, listening or connected"
    )
    parser.add_argument("--link-fd", type=int, help="an inherited socket; when it closes, the host leaves")
    parser.add_argument("--decoders", type=int, default=4, help="turns at the same time to be ready for")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--log-format", default="console", choices=["console", "json"])
    parser.add_argument("--log-redact", action="store_true", help="hide what people said and dialled")
    options = parser.parse_args(arguments)
    configure_logs(LogSettings(level=options.log_level, format=options.log_format, redact=options.log_redact))
    os.nice(NICENESS)
    asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    if options.link_fd is not None:
        _leave_with(socket.socket(fileno=options.link_fd), leave)
    else:
        _leave_with_parent(os.getppid(), leave)
    engines: dict[str, Engine] = {"pocketsphinx": Pocketsphinx(), "whisper": Whisper()}
    host = ModelHost(engines)
    sock = _listen(options.socket) if options.socket else socket.socket(fileno=options.socket_fd)
    for engine in engines.values():
        engine.warm(1)
    await _accept(host, sock, leave)
    for count in range(2, options.decoders + 1):  # one at a time: calls are served in between
        await asyncio.sleep(0)
        for engine in engines.values():
            engine.warm(count)
    gc.collect()
    gc.freeze()
    await leave.wait()
    if options.socket:
        _unlink(options.socket)


async def _accept(host: ModelHost, sock: socket.socket, leave: asyncio.Event) -> None:
    """Serve a listening socket, or the one connection that was handed in; then its end is ours."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        await loop.create_unix_server(host.protocol, sock=sock)
    else:
        await loop.connect_accepted_socket(lambda: host.protocol(on_lost=leave.set), sock)


def _listen(path: str) -> socket.socket:
    _unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    os.chmod(path, 0o600)
    sock.listen(64)
    return sock


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _leave_with(link: socket.socket, leave: asyncio.Event) -> None:
    """End when the other side of the link is closed, by will or by death. What it says is not for us."""
    loop = asyncio.get_running_loop()
    link.setblocking(False)

    def readable() -> None:
        try:
            gone = not link.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            loop.remove_reader(link)
            leave.set()

    loop.add_reader(link, readable)


def _leave_with_parent(parent: int, leave: asyncio.Event) -> None:
    if os.getppid() != parent:  # orphans are adopted by somebody else
        leave.set()
    else:
        asyncio.get_running_loop().call_later(PARENT_CHECK_S, _leave_with_parent, parent, leave)


if __name__ == "__main__":
    main()
