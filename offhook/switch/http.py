"""What operators and load balancers ask the switch: is it alive, does it take calls, how is it doing.

`/healthz` 200 while the process runs; `/readyz` 200 only while new calls are taken; `/metrics` for Prometheus. And what
they tell it: `POST /reload`, from this machine only, which is `offhook reload`."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from offhook.errors import OffhookError
from offhook.switch.held import Held
from offhook.switch.metrics import Metrics

ASKS = "X-Offhook"  # a header that no web page can send here unasked (Fetch, CORS-safelisted request headers)


@asynccontextmanager
async def open_http(
    host: str,
    port: int,
    metrics: Metrics,
    not_ready: Callable[[], str],
    refresh: Callable[[], None],
    reload: Callable[[bool], Awaitable[dict[str, int]]],
    held: Held | None = None,
) -> AsyncIterator[int]:
    """Serve until left; yields the port. not_ready(): why no calls are taken, "" if they are.

    refresh(): bring gauges up to date before a scrape. reload(drain): new workers; raises OffhookError if that
    cannot be. held: where the port outlives this process. Raises OffhookError if the port is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        why = not_ready()
        return web.json_response({"ready": not why, "reason": why}, status=503 if why else 200)

    async def show_metrics(_: web.Request) -> web.Response:
        refresh()
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def renew(request: web.Request) -> web.Response:
        if not _is_local(request) or ASKS not in request.headers:
            why = f"only this machine may ask for that, with a header {ASKS}. Use `offhook reload` here."
            return web.json_response({"error": why}, status=403)
        try:
            return web.json_response(await reload(request.query.get("how") == "drain"))
        except OffhookError as error:
            return web.json_response({"error": str(error)}, status=409)

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics)]
    )
    app.add_routes([web.post("/reload", renew)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            sock = _listening(host, port, held or Held())
            await web.SockSite(runner, sock).start()
        except OSError as error:
            fact = f"http {host}:{port} cannot be used: {error.strerror}."
            raise OffhookError(f"{fact} Choose another with --http-port or http.port.") from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _listening(host: str, port: int, held: Held) -> socket.socket:
    """The port of a switch before us, if it is the one that is wanted. Raises OSError."""
    name = f"http-{host}"
    sock = held.take(name)
    if sock is not None and port and sock.getsockname()[1] != port:
        sock.close()
        sock = None
    if sock is None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=128)
    held.keep(name, sock)
    return sock


def _is_local(request: web.Request) -> bool:
    """Does it come from this machine: to an address from the same one, or over the loopback?"""
    if request.remote is None or request.transport is None:
        return False
    ours = request.transport.get_extra_info("sockname")[0]
    return request.remote == ours or ipaddress.ip_address(request.remote.partition("%")[0]).is_loopback
