"""What operators and load balancers ask the switch: is it alive, does it take calls, how is it doing.

`/healthz` 200 while the process runs; `/readyz` 200 only while new calls are taken; `/metrics` for Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from offhook.errors import OffhookError
from offhook.switch.metrics import Metrics


@asynccontextmanager
async def open_http(
    host: str, port: int, metrics: Metrics, not_ready: Callable[[], str], refresh: Callable[[], None]
) -> AsyncIterator[int]:
    """Serve until left; yields the port. not_ready(): why no calls are taken, "" if they are.

    refresh(): bring gauges up to date before a scrape. Raises OffhookError if the port is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        why = not_ready()
        return web.json_response({"ready": not why, "reason": why}, status=503 if why else 200)

    async def show_metrics(_: web.Request) -> web.Response:
        refresh()
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            fact = f"http {host}:{port} cannot be used: {error.strerror}."
            raise OffhookError(f"{fact} Choose another with --http-port or http.port.") from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
