"""`offhook check`: read what an operator wrote, and say what the server would do with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from offhook.access_settings import TrunkSettings
from offhook.plans.playable import unplayable
from offhook.settings import Settings, load_settings
from offhook.worker.routing import Choice
from pipeline.errors import ConfigError
from pipeline.providers.keys import MissingKey
from pipeline.providers.registry import Kind, missing_key
from telephony.dialplan.model import Persona
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
    """Read settings, certificates and dial plan, and look for keys. Exits with 1 and every mistake if one is wrong."""
    settings = load_settings(config)
    if tls := settings.sip.tls:
        answering(tls.make())
        dialling(tls.make())
    store = PlanStore.open(dialplan or settings.dialplan, settings.lines, unplayable)
    for line in _settings(settings):
        print(line)
    plan = store.current
    print(f"plan      {plan.path}: {len(plan.teams)} agents")
    for line in _providers(settings, store.agents):
        print(line)
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


def _providers(settings: Settings, agents: Mapping[str, Persona]) -> Iterator[str]:
    """Who would listen, think and speak with the keys that are there. Raises ConfigError if nobody could."""
    lines: dict[str, list[str]] = {}
    for name, persona in agents.items():
        ours = settings.providers
        if persona.python:  # its class may bring its own
            ours = ours.model_copy(update={"stt": (), "llm": (), "tts": ()})
        kinds: list[tuple[Kind, Sequence[Choice]]] = [
            ("stt", persona.stt or ours.stt),
            ("llm", persona.llm or ours.llm),
            ("tts", persona.tts or ours.tts),
        ]
        realtime = persona.realtime
        if realtime is not None and not missing_key("realtime", realtime.name, realtime.options):
            kinds = [("realtime", (realtime,)), ("tts", persona.tts or ())]
        for kind, choices in kinds:
            if choices:
                lines.setdefault(_serves(name, kind, choices), []).append(name)
    for line, names in lines.items():
        yield f"{line} ({_list(names)})" if len(names) < len(agents) else line


def _serves(agent: str, kind: Kind, choices: Sequence[Choice]) -> str:
    missing = {choice.name: missing_key(kind, choice.name, choice.options) for choice in choices}
    able = [name for name, variable in missing.items() if not variable]
    lacks = [f"{name} needs {variable}" for name, variable in missing.items() if variable]
    if not able:
        name, variable = next(iter(missing.items()))
        raise ConfigError(
            f"agent {agent!r}: {kind}: {MissingKey(name, variable)} Or name one that stands in."
        )
    return f"{kind:<9} {', then '.join(able)}{f'; {_list(lacks)}' if lacks else ''}"


def _list(parts: tuple[str, ...] | list[str]) -> str:
    return ", ".join(parts)
