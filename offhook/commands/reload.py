"""`offhook reload`: new workers with new agent code, under the calls that are on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from offhook.errors import OffhookError
from offhook.settings import load_settings
from offhook.switch.http import ASKS

app = typer.Typer(add_completion=False)

TIMEOUT_S = 90.0
EVERYWHERE = ("0.0.0.0", "::", "")


@app.command()
def reload(
    config: Annotated[
        Path | None, typer.Option(help="Settings file of the server; config/offhook.yaml if it is there.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The server's port for health and metrics.")
    ] = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="Calls stay with their old worker to the end.")
    ] = False,
) -> None:
    """Start new workers with the code that is on disk now. Calls go on: they are moved to the new workers, each in a
    moment when nobody speaks, or with --drain stay where they are. Returns when the new workers take calls."""
    http = load_settings(config).http
    host = "127.0.0.1" if http.host in EVERYWHERE else http.host
    answer = _ask(host, http_port or http.port, "drain" if drain else "move")
    calls = answer["calls"]
    print(f"{answer['workers']} new workers are ready and take all new calls.")
    if calls:
        print(f"{calls} calls {'stay with old ones to their end' if drain else 'are being moved to them'}.")


def _ask(host: str, port: int, how: str) -> dict[str, Any]:
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/reload?how={how}"
    request = urllib.request.Request(url, method="POST", headers={ASKS: "reload"})
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with straight.open(request, timeout=TIMEOUT_S) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise OffhookError(f"{url}: {_reason(error)}") from error
    except OSError as error:
        fact = f"no server answers at {url}: {getattr(error, 'reason', error)}."
        raise OffhookError(
            f"{fact} Start it with `offhook serve`, or name its port with --http-port."
        ) from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError):
        return str(error)
