"""An MCP server as a child process: messages line by line over its stdin and stdout.

The SDK's own transport would do, but waits up to six seconds for a stubborn server, reads lines of any length, and
leaves the server behind when this process is killed. Here the whole process group dies within two seconds of
closing, and at once when this process is gone: a shell, waiting on a pipe that only we hold open, sees to that.
Imports the MCP SDK, so it is imported late. Driven by mcp.py."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import structlog
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

log = structlog.get_logger()

MAX_LINE_BYTES = 1_000_000  # reading more at once would hold up the sound of all calls of this process
GRACE_S = 0.5  # to leave after stdin was closed, and again after SIGTERM
ERROR_CHARS = 500
WATCHDOG = 'read -r _; kill -KILL "-$1"'
INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")


@asynccontextmanager
async def stdio_streams(
    name: str, command: Sequence[str], env: Mapping[str, str], gone: Callable[[], None]
) -> AsyncIterator[tuple[Any, Any]]:
    """Start the server; yields what the SDK calls a transport. env: beside the few variables it inherits.
    gone: called when it says no more.

    Raises OSError if it cannot be started.
    """
    inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env={**inherited, **env},
        start_new_session=True,
        limit=MAX_LINE_BYTES,
    )
    tasks: list[asyncio.Task[None]] = []
    watchdog: asyncio.subprocess.Process | None = None
    try:
        watchdog = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", WATCHDOG, "sh", str(process.pid), stdin=pipe, start_new_session=True
        )
        arrived, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, leaving = anyio.create_memory_object_stream[SessionMessage](0)
        tasks = [
            asyncio.create_task(_read(name, process, arrived, gone), name=f"mcp {name} reads"),
            asyncio.create_task(_write(process, leaving, arrived), name=f"mcp {name} writes"),
            asyncio.create_task(_listen(name, process), name=f"mcp {name} errors"),
        ]
        async with incoming, outgoing:
            yield incoming, outgoing
    finally:
        for task in tasks:
            task.cancel()
        try:
            await _end(process)
        finally:
            _kill(process)
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await process.communicate()  # reads what is left, so that the pipes close
            if watchdog is not None:
                with suppress(ProcessLookupError):
                    watchdog.kill()
                await watchdog.wait()


async def _read(
    name: str, process: asyncio.subprocess.Process, arrived: Any, gone: Callable[[], None]
) -> None:
    """Its messages; when there are no more, the session learns that the connection is closed."""
    assert process.stdout is not None
    async with arrived:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            while line := await _line(name, process.stdout):
                await arrived.send(_message(line))
    gone()


async def _line(name: str, stdout: asyncio.StreamReader) -> bytes:
    try:
        return await stdout.readline()
    except ValueError:
        log.error("mcp_line_too_long", server=name, limit=MAX_LINE_BYTES)
        return b""


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _write(process: asyncio.subprocess.Process, leaving: Any, arrived: Any) -> None:
    assert process.stdin is not None
    async with leaving:
        try:
            async for message in leaving:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()
        except OSError:
            await arrived.aclose()


async def _listen(name: str, process: asyncio.subprocess.Process) -> None:
    """What it writes to stderr is for our log; unread it would block."""
    assert process.stderr is not None
    while said := await process.stderr.read(4096):
        log.debug("mcp_server_said", server=name, pii_text=said.decode(errors="replace")[:ERROR_CHARS])


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to leave, as the protocol wants; then firmly."""
    assert process.stdin is not None
    process.stdin.close()
    if await _left(process):
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    await _left(process)


async def _left(process: asyncio.subprocess.Process) -> bool:
    try:
        async with asyncio.timeout(GRACE_S):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _kill(process: asyncio.subprocess.Process) -> None:
    """The whole group, children of a server that has left included."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
