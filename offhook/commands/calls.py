"""`offhook calls`, `offhook calls show ID`: what the phone has been doing; `export`, `import`, `anonymise`: records.

Works with or without a running server: the index is first brought up to date from the bundles on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from offhook.bundle import FACTS, JOURNAL
from offhook.console.records import Call, Records, Said, beside
from offhook.errors import BundleError, RecordingError
from offhook.settings import DEFAULT_PATH, load_settings
from offhook.usage import told

WIDTH = 100  # of the list at least: a cut number helps nobody
SHOWN_ID = 10  # characters of an id in a list; `show` takes the beginning of one

app = typer.Typer()

Voice = Literal["keep", "replace"]
Side = Literal["left", "right"]
Mono = Literal["mixed", "caller", "agent"]
Config = Annotated[Path | None, typer.Option("--config", help=f"Settings; {DEFAULT_PATH} if there.")]
CallsDir = Annotated[Path | None, typer.Option("--calls-dir", help="Look here, whatever the settings say.")]


@app.callback(invoke_without_command=True)
def calls(
    context: typer.Context,
    config: Config = None,
    calls_dir: CallsDir = None,
    limit: Annotated[int, typer.Option(min=1, help="How many calls to list.")] = 20,
) -> None:
    """List the newest calls, or show one of them."""
    if context.invoked_subcommand is None:
        asyncio.run(_list(*_where(config, calls_dir), limit))


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The call's id, or enough of its beginning.")],
    config: Config = None,
    calls_dir: CallsDir = None,
) -> None:
    """Show one call: facts, transcript, and where its files are."""
    asyncio.run(_show(*_where(config, calls_dir), id))


@app.command()
def export(
    id: Annotated[
        str, typer.Argument(metavar="ID", help="A call's id, the beginning of one, or a bundle's folder.")
    ],
    vcon: Annotated[bool, typer.Option("--vcon", help="As an IETF vCon, the one format there is.")] = True,
    output: Annotated[Path | None, typer.Option("--output", help="The file; ID.vcon.json if there.")] = None,
    external: Annotated[
        bool, typer.Option(help="Keep the sound in a file beside it, with its hash.")
    ] = False,
    url_base: Annotated[str, typer.Option(help="What stands before that file's name, https://…/.")] = "",
    config: Config = None,
    calls_dir: CallsDir = None,
) -> None:
    """Write a call as a vCon: parties, sound, transcript, and its journal as an attachment."""
    from offhook.replay.vcon_export import export as write

    source = asyncio.run(_bundle(*_where(config, calls_dir), id))
    target = output or Path(f"{source.name}.vcon.json")
    if target.is_dir():
        target = target / f"{source.name}.vcon.json"
    typer.echo(write(source, target, external=external, url_base=url_base))


@app.command("import")
def take_in(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="vCon, WAV, MP3, pcap …, or folders.")],
    caller_channel: Annotated[
        Side | None,
        typer.Option(help="Which channel of two is the caller's; else as the file says, else left."),
    ] = None,
    mono: Annotated[
        Mono | None, typer.Option(help="Whose sound a single channel is; mixed: both sides'.")
    ] = None,
    config: Config = None,
    calls_dir: CallsDir = None,
) -> None:
    """Make bundles of recordings, so that they are listed, measured and replayed like our own calls.

    What cannot be read is told, and the others are taken all the same; the exit code is 1 then."""
    from offhook.replay.recording import Reading, find, read_all
    from offhook.replay.vcon_export import store

    target, _ = _where(config, calls_dir)
    errors, refused = Console(stderr=True, soft_wrap=True), 0
    for path in find(files):
        try:
            recordings = read_all(path, Reading(caller_channel, mono))
        except RecordingError as error:
            refused += 1
            errors.print(f"skipped: {error}", style="yellow", markup=False, highlight=False)
            continue
        for recording in recordings:
            typer.echo(store(path, recording, target))
            for note in recording.notes:
                errors.print(f"{recording.name}: {note}", markup=False, highlight=False)
    if refused:
        raise typer.Exit(1)


@app.command()
def anonymise(
    what: Annotated[str, typer.Argument(metavar="ID|FOLDER", help="A call's id, or a folder of bundles.")],
    voice: Annotated[
        Voice, typer.Option(help="keep the caller's voice, or replace it by espeak's.")
    ] = "keep",
    espeak: Annotated[str, typer.Option(help="The voice that replaces it: en-us, de, fr+f3, …")] = "en-us",
    output: Annotated[Path, typer.Option("--output", help="Where the new bundles go.")] = Path("anonymised"),
    config: Config = None,
    calls_dir: CallsDir = None,
) -> None:
    """Copy calls without numbers, names and mail addresses, in text and in sound."""
    from offhook.replay.anonymise import anonymise as write
    from offhook.replay.formats.bundles import is_bundle

    folder = Path(what)
    if folder.is_dir() and not is_bundle(folder):
        sources = [path.parent for path in sorted(folder.rglob(FACTS))]
        if not sources:
            raise BundleError(f"{folder}: holds no bundle. Give a call's id, or a folder of calls")
    else:
        sources = [asyncio.run(_bundle(*_where(config, calls_dir), what))]
    failed = 0
    for source in sources:
        try:
            done = write(source, output, voice, espeak)
        except RecordingError as error:
            failed += 1
            Console(stderr=True).print(f"skipped: {error}", style="yellow", markup=False, highlight=False)
            continue
        typer.echo(f"{done.path}  {done.silenced} stretches silenced, {done.masked} events masked")
    if failed == len(sources):
        raise typer.Exit(1)


async def _bundle(calls_dir: Path, database: str, id: str) -> Path:
    """The folder of a call that is named by its id, the beginning of one, or the folder itself."""
    if (Path(id) / FACTS).is_file():
        return Path(id)
    async with _up_to_date(calls_dir, database) as records:
        return Path((await records.find(id)).bundle)


def _where(config: Path | None, calls_dir: Path | None) -> tuple[Path, str]:
    """The folder of the calls and the database that indexes it."""
    if calls_dir is not None:
        return calls_dir, beside(calls_dir)
    settings = load_settings(config)
    return settings.calls_dir, settings.database


async def _list(calls_dir: Path, database: str, limit: int) -> None:
    async with _up_to_date(calls_dir, database) as records:
        found = await records.recent(limit)
    if not found:
        Console().print(f"No calls in {calls_dir} yet.", highlight=False, markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "started", "caller", "called", "agent"):
        table.add_column(title, no_wrap=True)
    for title in ("length", "turns", "delay"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("end", no_wrap=True)
    for call in found:
        table.add_row(*(_plain(cell) for cell in _cells(call)))
    Console(width=max(WIDTH, Console().width)).print(table)


async def _show(calls_dir: Path, database: str, id: str) -> None:
    async with _up_to_date(calls_dir, database) as records:
        call = await records.find(id)
        lines = await records.transcript(call.id)
    out = Console(highlight=False)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(call):
        facts.add_row(f"[dim]{name}[/dim]", _plain(value))
    out.print(facts)
    out.print()
    for line in lines:
        out.print(_said(line), soft_wrap=True)
    if not lines:
        out.print("[dim]nothing was said[/dim]")


@asynccontextmanager
async def _up_to_date(calls_dir: Path, database: str) -> AsyncIterator[Records]:
    """The index, with everything in it that is on disk."""
    async with Records.open(database) as records:
        for problem in await records.catch_up(calls_dir):
            Console(stderr=True).print(f"skipped: {problem}", style="yellow", markup=False, highlight=False)
        yield records


def _cells(call: Call) -> tuple[str, ...]:
    return (
        call.id[:SHOWN_ID],
        _local(call.started_at)[5:-3],  # month to minute: the list is of these days
        call.caller,
        call.called,
        call.agent,
        _length(call.duration_s),
        str(call.turns),
        _ms(call.response_p50_ms),
        call.cause if call.ended_at else _end(call),
    )


def _facts(call: Call) -> list[tuple[str, str]]:
    delays = f"{_ms(call.response_p50_ms)} median, {_ms(call.response_p95_ms)} p95"
    return [
        ("call", f"{call.id} ({call.direction})" if call.direction else call.id),
        ("from, to", f"{call.caller} → {call.called}"),
        ("agent", f"{call.agent} (plan {call.plan})" if call.plan else call.agent),
        ("started", _local(call.started_at)),
        ("length", _length(call.duration_s)),
        ("end", _end(call)),
        ("turns", f"{call.turns}, {call.interruptions} interruptions, {call.handoffs} handoffs"),
        ("delay", delays if call.response_p50_ms is not None else "no reply was measured"),
        ("used", told(call.usage)),
        *([("arms", call.arms)] if call.arms else []),
        ("recording", call.recording or "none"),
        ("events", str(Path(call.bundle) / JOURNAL)),
    ]


def _said(line: Said) -> str:
    """One line of transcript as markup."""
    colour = "cyan" if line.speaker == "caller" else "green"
    notes = "" if line.understood else " [dim](not understood)[/dim]"
    notes += " [dim](interrupted)[/dim]" if line.interrupted else ""
    return (
        f"[dim]{line.at:7.2f}[/dim]  [{colour}]{_plain(line.speaker)}[/{colour}]  {_plain(line.text)}{notes}"
    )


def _plain(text: str) -> str:
    """Text from outside as markup, neither styled nor obeyed: a caller's name may hold escape codes."""
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))


def _end(call: Call) -> str:
    if call.ended_at is None:
        return "going on, or the server died"
    return " ".join(part for part in (call.cause, f"by {call.ended_by}" if call.ended_by else "") if part)


def _length(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _ms(delay: float | None) -> str:
    return "-" if delay is None else f"{delay:.0f} ms"


def _local(moment: str) -> str:
    """An ISO moment in the reader's own time zone; anything else as it stands."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return moment
