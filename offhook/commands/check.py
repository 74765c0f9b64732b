"""`offhook check`: read what an operator wrote, and say what the server would do with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from offhook.access_settings import TrunkSettings
from offhook.settings import Settings, load_settings
from telephony.dialplan.store import PlanStore
from telephony.trunk.tls import answering, dialling

app = typer.Typer(add_completion=False)


@app.command()
def check(
    config: Annotated[
        Path | None, typer.Argument(help="Settings file; config/offhook.yaml if it is there.")
    ] = None,
    dialplan: Annotated[
        Path | None, typer.Option(help="Dial plan, instead of the one in the settings.")
    ] = None,
) -> None:
    """Read settings, certificates and dial plan. Exits with 1 and every mistake with its line if one is wrong."""
    settings = load_settings(config)
    if tls := settings.sip.tls:
        answering(tls.make())
        dialling(tls.make())
    store = PlanStore.open(dialplan or settings.dialplan)
    for line in _settings(settings):
        print(line)
    plan = store.current
    print(f"plan      {plan.path}: {len(plan.teams)} agents")
    print("good")


def _settings(settings: Settings) -> Iterator[str]:
    sip = settings.sip
    yield f"sip       {', '.join(_listens(settings))}; codecs {_list(sip.codecs)}"
    for trunk in settings.trunks:
        yield f"trunk     {trunk.name}: {'; '.join(_trunk(trunk, settings))}"
    yield f"strangers {settings.strangers}"
    yield f"calls     {settings.max_calls or 'any number'} at once, kept in {settings.calls_dir}"


def _listens(settings: Settings) -> Iterator[str]:
    sip = settings.sip
    for host in sip.host:
        yield f"UDP {host} {sip.port}"
        if sip.tcp:
            yield f"TCP {host} {sip.port}"
        if sip.tls is not None and sip.tls.certificate is not None:
            yield f"TLS {host} {sip.tls.port}"


def _trunk(trunk: TrunkSettings, settings: Settings) -> Iterator[str]:
    rings = [*(() if trunk.challenge else trunk.host), *trunk.allow_from]
    if trunk.tls_name:
        rings.append(f"whoever proves to be {trunk.tls_name}")
    if trunk.challenge:
        yield f"rings from {_list(trunk.allow_from) or 'anywhere'} with the password of {trunk.user}"
    else:
        yield f"rings from {_list(rings)}" if rings else "does not ring"
    if trunk.registers:
        yield f"registers {trunk.user} at {_list(trunk.host)}"
    if trunk.host and trunk.allowed:
        yield f"dials {_list(trunk.allowed)} over {_list(trunk.host)}"
    else:
        yield "dials nothing"
    yield f"codecs {_list(trunk.codecs or settings.sip.codecs)}"
    if trunk.max_calls:
        yield f"{trunk.max_calls} calls at once"


def _list(parts: tuple[str, ...] | list[str]) -> str:
    return ", ".join(parts)
