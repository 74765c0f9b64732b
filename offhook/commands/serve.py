"""`offhook serve`: take calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from offhook.errors import OffhookError
from offhook.logs import configure_logs
from offhook.settings import Settings, load_settings
from offhook.switch.server import Ready, Switch
from telephony.errors import TelephonyError

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    config: Annotated[
        Path | None, typer.Option(help="Settings file; config/offhook.yaml if it is there.")
    ] = None,
    sip_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="UDP and TCP port for SIP; 0 takes a free one.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port for health and metrics; 0 takes a free one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=256, help="Processes that hold conversations; 0 is one per core.")
    ] = None,
    dialplan: Annotated[
        Path | None, typer.Option(help="Dial plan, instead of the one in the settings.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address for SIP and RTP, for instance 127.0.0.1.")] = None,
) -> None:
    """Take calls until Ctrl-C or SIGTERM. Prints one line when the phones may ring."""
    settings = _with_options(load_settings(config), sip_port, http_port, workers, dialplan, host)
    configure_logs(settings.log)
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    try:
        await Switch(settings, _announce).run()
    except BaseExceptionGroup as group:  # what went wrong in one of its tasks, without the tree around it
        known = group.subgroup((OffhookError, TelephonyError))
        if known is None:
            raise
        raise next(iter(_leaves(known))) from None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _announce(ready: Ready) -> None:
    print(
        f"ready sip={ready.sip_host}:{ready.sip_port} sip_port={ready.sip_port} "
        f"tls_port={ready.tls_port} http_port={ready.http_port} "
        f"workers={ready.workers}",
        flush=True,
    )


def _with_options(
    settings: Settings,
    sip_port: int | None,
    http_port: int | None,
    workers: int | None,
    dialplan: Path | None,
    host: str | None,
) -> Settings:
    """The command line wins over file and environment."""
    sip: dict[str, Any] = {}
    if sip_port is not None:
        sip["port"] = sip_port
    if host is not None:
        sip["host"] = (host,)
    changes: dict[str, Any] = {"sip": settings.sip.model_copy(update=sip)}
    if http_port is not None:
        changes["http"] = settings.http.model_copy(update={"port": http_port})
    if workers is not None:
        changes["workers"] = workers
    if dialplan is not None:
        changes["dialplan"] = dialplan
    return settings.model_copy(update=changes)
