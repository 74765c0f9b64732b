"""What the doubles of vendors' servers share: a free port of 127.0.0.1, ways to misbehave, and what was asked.

Each server is an aiohttp application that speaks its vendor's documented protocol; nothing in it was recorded."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from aiohttp import web


@dataclass
class Misbehaviour:
    """delay_s: before the first answer. status: refuse with it. error: the body of a refusal. drop_after: messages of
    an answer before the connection is cut. garbage: an answer that is no JSON. silent: never answer."""

    delay_s: float = 0.0
    status: int = 0
    error: Any = ""
    drop_after: int = -1
    garbage: bool = False
    silent: bool = False


@dataclass
class Server:
    """Base of the doubles. asked: what came, in order. open: connections or requests that are being served."""

    knobs: Misbehaviour = field(default_factory=Misbehaviour)
    asked: list[Any] = field(default_factory=list)
    open: int = 0
    port: int = 0

    def application(self) -> web.Application:
        """The vendor's routes."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serve(
        self, port: int = 0, attach: Callable[[web.Application], None] = lambda _: None
    ) -> AsyncIterator[None]:
        """attach: given the application before it is set up."""
        app = self.application()
        attach(app)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    async def misbehave(self) -> web.Response | None:
        """Before an answer: wait, refuse, or say nothing for good."""
        if self.knobs.silent:
            await asyncio.sleep(3600)
        await asyncio.sleep(self.knobs.delay_s)
        if self.knobs.status:
            return web.json_response(self.knobs.error, status=self.knobs.status)
        if self.knobs.garbage:
            return web.Response(text="<html>}{", content_type="application/json")
        return None

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def events(
        self, request: web.Request, lines: list[str], pause_s: float = 0.0
    ) -> web.StreamResponse:
        """Server-sent events; cut short as the knobs say."""
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number, line in enumerate(lines):
            if number == self.knobs.drop_after:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(line.encode())
            await asyncio.sleep(pause_s)
        return response


def sse(data: Any, event: str = "") -> str:
    """One server-sent event."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data)}\n\n"


def tone(text: str, rate_hz: int, ms_per_char: float = 20.0) -> bytes:
    """Sound as long as the text, 440 Hz, int16."""
    samples = round(len(text) * ms_per_char / 1000 * rate_hz)
    wave = 6000 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate_hz)
    return wave.astype(np.int16).tobytes()


def run(server: Server) -> None:
    """`python -m … --port N [--delay-s 0.2 …]`: serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    for knob in fields(Misbehaviour):
        parser.add_argument(f"--{knob.name.replace('_', '-')}", type=type(knob.default), default=knob.default)
    chosen = vars(parser.parse_args())

    async def forever() -> None:
        async with server.serve(chosen.pop("port")):
            server.knobs = Misbehaviour(**chosen)
            print(server.url, flush=True)
            await asyncio.Event().wait()

    asyncio.run(forever())
