"""`offhook providers` and `offhook providers test NAME`: who could listen, think and speak, and whether one does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, cast, get_args

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from offhook.trial import TRIED, Trial, attempt
from pipeline.errors import Cause, ConfigError, ProviderError
from pipeline.providers.registry import Kind, ProviderInfo, describe

WIDTH = 110  # of the list at least

# What the exit code tells a script: 1 is a mistake of ours, such as a missing key or an unknown option.
EXIT_CODES: Mapping[Cause, int] = {
    "auth": 10,
    "quota": 11,
    "rate_limit": 12,
    "bad_request": 13,
    "connectivity": 14,
    "timeout": 15,
    "server": 16,
}

_AS_YAML = {"True": "yes", "False": "no"}

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def providers(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List all providers: are their packages installed, are their keys there, what are their options."""
    if context.invoked_subcommand is not None:
        return
    rows = describe()
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("kind", "name", "installed", "key", "options and their defaults"):
        table.add_column(title, no_wrap=title != "options and their defaults")
    for row in rows:
        options = ", ".join(_default(name, value) for name, value in row.defaults.items())
        table.add_row(row.kind, row.name, _installed(row), _key(row), escape(options))
    out = Console(highlight=False)
    Console(width=max(WIDTH, out.width), highlight=False).print(table)


@app.command("test")
def try_out(
    name: Annotated[str, typer.Argument(help="A provider, as in the list.")],
    kind: Annotated[str, typer.Option(help="stt, llm or tts; without, all that have this name.")] = "",
    option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, as in the dial plan; again for more.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Make one real request and show where its time went. The exit code tells the cause of a failure."""
    if kind and kind not in get_args(Kind):
        raise ConfigError(f"there is no kind of provider {kind!r}. Known: {', '.join(TRIED)}.")
    named = [row.kind for row in describe() if row.name == name and row.kind in TRIED]
    kinds = [cast(Kind, kind)] if kind else named or [TRIED[0]]  # which then says what names there are
    options = dict(key_and_value(text) for text in option or ())
    failed = 0
    for one in kinds:
        try:
            trial = asyncio.run(attempt(one, name, options))
        except ProviderError as error:
            failed = failed or EXIT_CODES[error.cause]
            _tell_failure(one, name, error, as_json)
        else:
            _tell(trial, as_json)
    if failed:
        raise typer.Exit(failed)


def _tell(trial: Trial, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"ok": True, **asdict(trial)}))
        return
    parts = {
        "connect": _ms(trial.connect_ms),
        {"stt": "text after the sentence", "llm": "first token", "tts": "first sound"}[trial.kind]: _ms(
            trial.first_ms
        ),
        "total": _ms(trial.total_ms),
    }
    if trial.sound_ms is not None:
        parts["sound"] = f"{trial.sound_ms / 1000:.1f} s"
    if trial.output_tokens is not None:
        parts["tokens"] = f"{trial.input_tokens} in, {trial.output_tokens} out"
    if trial.text:
        parts["said" if trial.kind == "llm" else "heard"] = repr(trial.text)
    print(f"{trial.kind} {trial.name}: " + "; ".join(f"{what} {value}" for what, value in parts.items()))


def _tell_failure(kind: Kind, name: str, error: ProviderError, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps({"ok": False, "kind": kind, "name": name, "cause": error.cause, "message": str(error)})
        )
    else:
        text = f"{kind} {name}: failed ({error.cause}). {error}"
        Console(stderr=True).print(text, style="red", markup=False, highlight=False, soft_wrap=True)


def key_and_value(text: str, option: str = "--option") -> tuple[str, Any]:
    """`model=llama`, `texts=[yes, no]`: a text, or a list or mapping as the dial plan writes it."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"{option} {text!r} is no option. Write it as KEY=VALUE.")
    if value[:1] in ("[", "{"):
        try:
            return key, yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"{option} {key}: {value!r} cannot be read. Close its bracket.") from None
    return key, value


def _installed(row: ProviderInfo) -> str:
    if row.installed:
        return "yes"
    return escape(f"no: offhook[{row.extra}]" if row.extra else f"no: {', '.join(row.missing)}")


def _key(row: ProviderInfo) -> str:
    """Whether it is there, never what it is."""
    if row.key_present is None:
        return "none needed"
    return f"{' or '.join(row.keys)} {'is set' if row.key_present else 'is missing'}"


def _default(name: str, value: str) -> str:
    """As `--option` takes it; an option that is not set by itself is only named."""
    if value in ("None", "''", "()"):
        return name
    return f"{name}={_AS_YAML.get(value) or value.strip(chr(39))}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
