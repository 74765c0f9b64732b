"""The switch as `offhook serve` runs it, under its keeper: settings, loop, and one line when the phones may ring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import uvloop

from offhook.errors import OffhookError
from offhook.logs import configure_logs
from offhook.options import Options
from offhook.settings import Settings, load_settings
from offhook.switch.held import Held
from offhook.switch.server import Ready, Switch
from telephony.errors import TelephonyError


def serve(given: Options) -> None:
    """Take calls until told to stop. Raises OffhookError and TelephonyError if that cannot be."""
    try:
        held = Held.by_keeper()
    except OSError:  # the server has ended while this one stood by
        return
    settings = _with_options(load_settings(given.config), given)
    configure_logs(settings.log)
    uvloop.run(_run(settings, held))


async def _run(settings: Settings, held: Held) -> None:
    try:
        await Switch(settings, _announce, held).run()
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
    if ready.again:
        return  # whoever waited for the line has had it
    print(
        f"ready sip={ready.sip_host}:{ready.sip_port} sip_port={ready.sip_port} "
        f"tls_port={ready.tls_port} http_port={ready.http_port} "
        f"workers={ready.workers}",
        flush=True,
    )


def _with_options(settings: Settings, given: Options) -> Settings:
    """The command line wins over file and environment."""
    sip: dict[str, Any] = {}
    if given.sip_port is not None:
        sip["port"] = given.sip_port
    if given.host is not None:
        sip["host"] = (given.host,)
    changes: dict[str, Any] = {"sip": settings.sip.model_copy(update=sip)}
    if given.http_port is not None:
        changes["http"] = settings.http.model_copy(update={"port": given.http_port})
    if given.workers is not None:
        changes["workers"] = given.workers
    if given.dialplan is not None:
        changes["dialplan"] = given.dialplan
    return settings.model_copy(update=changes)
