"""The console process: indexes finished calls and answers questions about them over HTTP.

The switch starts it, tells it of each finished bundle over a socket or pipe, one JSON message a line, and
starts it again if it dies; no call notices. Not part of any call: it never speaks SIP and holds no media.

A message is `{"type": "bundle", "path": "<folder of the call>"}`. Other types are ignored, so that the switch
may be newer than the console.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from aiohttp import web

from offhook.console.plan_api import PlanApi
from offhook.console.records import Records, as_dict
from offhook.console.traces import Tracing
from offhook.errors import AmbiguousCall, BundleError, NoSuchCall
from telephony.dialplan.document import MAX_BYTES

MAX_LIMIT = 1000  # calls in one answer
RECORDS: web.AppKey[Records] = web.AppKey("records", Records)
log = structlog.get_logger()


def application(records: Records, plan: PlanApi | None = None) -> web.Application:
    """The HTTP side: `/healthz`, `/api/calls?limit=N`, `/api/calls/{id or unique prefix}`, and the dial plan."""
    app = web.Application(client_max_size=MAX_BYTES)
    app[RECORDS] = records
    app.add_routes(
        [
            web.get("/healthz", _healthz),
            web.get("/api/calls", _calls),
            web.get("/api/calls/{id}", _call),
            *(plan.routes() if plan is not None else ()),
        ]
    )
    return app


async def serve(
    calls_dir: Path,
    database: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    link_fd: int | None = None,
    plan: PlanApi | None = None,
    traces: Tracing | None = None,
    ready: Callable[[str], None] = lambda url: log.debug("console_ready", url=url),
) -> None:
    """Run the console until the switch closes its end of `link_fd`; without one, until cancelled.

    port: 0 takes a free one; `ready` is told the URL. plan: without it there is no API for dial plans.
    traces: where finished calls go as well. Raises OSError when the port is taken.
    """
    async with Records.open(database) as records, _listening(application(records, plan), host, port) as url:
        ready(url)
        catching_up = asyncio.create_task(_catch_up(records, calls_dir), name="catch up with the bundles")
        try:
            if link_fd is None:
                await asyncio.Event().wait()
            else:
                await _follow(link_fd, records, calls_dir, traces)
        finally:
            catching_up.cancel()
            await asyncio.gather(catching_up, return_exceptions=True)


async def follow(
    reader: asyncio.StreamReader, records: Records, calls_dir: Path, traces: Tracing | None = None
) -> None:
    """Index what the switch tells of, until it hangs up. A bad message costs itself only."""
    root = await asyncio.to_thread(calls_dir.resolve)
    while not reader.at_eof():
        try:
            if path := _bundle_named_in(await reader.readline(), root):
                await records.index(path)
                if traces is not None:
                    await asyncio.to_thread(traces.send, path)
        except (BundleError, ValueError) as error:  # ValueError: a line beyond the reader's limit
            log.warning("bundle_not_indexed", why=str(error))


def _bundle_named_in(line: bytes, root: Path) -> Path | None:
    """The folder that a message names, None if there is none in it. Raises BundleError."""
    if not line.strip():
        return None
    try:
        message = json.loads(line)
    except ValueError as error:
        raise BundleError(f"link: not JSON: {error}") from error
    if not isinstance(message, dict) or message.get("type") != "bundle":
        return None
    named = str(message.get("path", ""))
    path = Path(named.replace("\0", "")).resolve()
    if not path.is_relative_to(root):
        raise BundleError(
            f"link: {path} is not below {root}. Start switch and console with the same calls_dir"
        )
    return path


async def _follow(link_fd: int, records: Records, calls_dir: Path, traces: Tracing | None) -> None:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(link_fd, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        await follow(reader, records, calls_dir, traces)
    finally:
        transport.close()


async def _catch_up(records: Records, calls_dir: Path) -> None:
    for problem in await records.catch_up(calls_dir):
        log.warning("bundle_not_indexed", why=problem)


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _calls(request: web.Request) -> web.Response:
    text = request.query.get("limit", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_LIMIT):
        return _refuse(400, f"limit={text!r}: give a whole number from 1 to {MAX_LIMIT}")
    calls = await request.app[RECORDS].recent(int(text))
    return web.json_response({"calls": [as_dict(call) for call in calls]})


async def _call(request: web.Request) -> web.Response:
    records = request.app[RECORDS]
    try:
        call = await records.find(request.match_info["id"])
    except NoSuchCall as error:
        return _refuse(404, str(error))
    except AmbiguousCall as error:
        return _refuse(409, str(error))
    lines = await records.transcript(call.id)
    return web.json_response({"call": as_dict(call), "transcript": [as_dict(line) for line in lines]})


def _refuse(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
