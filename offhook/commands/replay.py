"""`offhook replay`: recorded calls through the bot as it is now, and what came of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from offhook.commands.providers import key_and_value
from offhook.errors import OffhookError
from offhook.logs import configure_logs
from offhook.replay import assessing, jobs
from offhook.replay.agreement import agreement
from offhook.replay.cluster import run_on_ray
from offhook.replay.jobs import Done, Item
from offhook.replay.options import KINDS, CassetteMode, ReplayOptions
from offhook.replay.recording import Mono, Reading, Side, find
from offhook.replay.results import Result
from offhook.settings import LogSettings, load_settings

app = typer.Typer(add_completion=False)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@app.command()
def replay(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, calls' folders, or folders of them.")],
    to: Annotated[
        str, typer.Option(help="Call this number of the plan; else the one of the recording.")
    ] = "",
    agent: Annotated[str, typer.Option(help="Let this agent of the plan answer, whatever was called.")] = "",
    plan: Annotated[Path | None, typer.Option(help="Dial plan; else that of the settings.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.")] = None,
    into: Annotated[Path, typer.Option("--out", help="Where the bundles go.")] = Path("var/replays"),
    caller_channel: Annotated[
        Side | None,
        typer.Option(help="Which channel of two is the caller's; else as the file says, else left."),
    ] = None,
    mono: Annotated[
        Mono | None,
        typer.Option(help="Whose sound a single channel is; mixed: both sides', taken for the caller's."),
    ] = None,
    caller: Annotated[
        Literal["fixed", "reactive"],
        typer.Option(
            help="fixed: at the recording's times. reactive: when what each thing hung on has come."
        ),
    ] = "fixed",
    cassette: Annotated[
        CassetteMode,
        typer.Option(
            help="Answers of providers on tape: replay, replay-or-live, record, off; auto: if there is one."
        ),
    ] = "auto",
    delay: Annotated[
        list[str] | None, typer.Option(help="Make a provider slower: llm=800ms, tts=0.2s, stt=150ms.")
    ] = None,
    seed: Annotated[int, typer.Option(help="For the ids of the run.")] = 0,
    number_of_jobs: Annotated[int, typer.Option("--jobs", help="Processes; 0 is one per core.")] = 1,
    ray: Annotated[str, typer.Option(help="Run on the Ray cluster at this address, or `local`.")] = "",
    again: Annotated[bool, typer.Option(help="Replay also what was replayed with the same inputs.")] = False,
    realtime: Annotated[bool, typer.Option(help="On the wall clock instead of a virtual one.")] = False,
    via: Annotated[str, typer.Option(help="Phone a running server: sip:NUMBER@HOST:PORT.")] = "",
    server_calls: Annotated[
        Path | None, typer.Option(help="With --via: the server's calls_dir, if it can be read here.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="Compare with the bundles in this folder.")] = None,
    update_baseline: Annotated[bool, typer.Option(help="Make this run the baseline.")] = False,
    judge: Annotated[
        str, typer.Option(help="The model that answers `judge:` of the expectations: a provider's name.")
    ] = "",
    judge_option: Annotated[
        list[str] | None, typer.Option(help="An option of that provider, KEY=VALUE; again for more.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Results for programs, on standard output.")
    ] = False,
) -> None:
    """Replay recorded calls. Exits with 0 if all is well, 1 if something regressed or failed, 2 if a call could not be
    replayed or judged."""
    configure_logs(LogSettings(level="error"))
    if update_baseline and baseline is None:
        raise OffhookError("--update-baseline needs --baseline DIR.")
    settings = load_settings(config)
    options = ReplayOptions(
        out=into.absolute(),
        plan=(plan or settings.dialplan).absolute(),
        providers=settings.providers,
        to=to,
        agent=agent,
        reading=Reading(caller_channel, mono),
        seed=seed,
        caller=caller,
        cassette=cassette,
        delays_s=dict(_delay(text) for text in delay or []),
        realtime=realtime,
        via=via,
        server_calls=server_calls.absolute() if server_calls is not None else None,
    )
    items = [Item(path.absolute(), options) for path in find(recordings)]
    if not items:
        raise OffhookError(f"no recordings in {', '.join(map(str, recordings))}.")
    count = number_of_jobs or os.cpu_count() or 1
    told = dict(key_and_value(text, "--judge-option") for text in judge_option or ())
    with assessing.judge(judge, told, options.out / jobs.LEDGER / "judged") as ask:
        done = _run(items, count, ray, again)
        results = [result for one in done for result in assessing.assess(one, baseline, ask)]
    _finish(done, results, baseline, update_baseline, report, junit, as_json)


def _run(items: list[Item], count: int, ray: str, again: bool) -> list[Done]:
    if ray:
        running = run_on_ray(items, ray, again=again, workers=count if count > 1 else None)
    else:
        running = jobs.run(items, count, again=again)
    return _watched(running, len(items))


def _delay(text: str) -> tuple[str, float]:
    kind, _, amount = text.partition("=")
    for unit, factor in (("ms", 0.001), ("s", 1.0)):
        number = amount.strip().removesuffix(unit)
        if kind in KINDS and amount.endswith(unit) and number.replace(".", "", 1).isdigit():
            return kind, float(number) * factor
    raise typer.BadParameter(
        f"{text!r}: write one of {', '.join(KINDS)} and a time: llm=800ms.", param_hint="--delay"
    )


def _watched(running: Iterable[Done], count: int) -> list[Done]:
    """Show how far it is while it runs."""
    done: list[Done] = []
    columns = (
        TextColumn("replaying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("", total=count, rate="")
        for one in running:
            done.append(one)
            spent = progress.tasks[0].elapsed or 0.0
            fresh = sum(each.seconds for each in done if not each.skipped)
            rate = f"{fresh / spent:.0f} x real time" if spent > 0.5 and fresh else ""
            progress.update(task, advance=1, rate=rate)
    return sorted(done, key=lambda one: str(one.path))


def _finish(
    done: list[Done],
    results: list[Result],
    baseline: Path | None,
    update: bool,
    html: Path | None,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Write, say, and end with the exit code."""
    failed = [one for one in done if one.error]
    assessing.report(results, html=html, junit=junit, json=None, title="Replay")
    if update and baseline is not None:
        kept = assessing.update_baseline([bundle for one in done for bundle in one.bundles], baseline)
        err.print(f"baseline {baseline}: {kept} calls")
    if as_json:
        print(json.dumps(assessing.as_json(results), indent=2))
    else:
        for one in done:
            for bundle in one.bundles:
                out.print(f"{one.path.name}  {_shown(bundle)}{'  (done before)' if one.skipped else ''}")
        for result in results:
            if result.status != "passed":
                out.print(f"{result.status}  {result.name}: {result.headline}", style="red", markup=False)
        if (agrees := agreement(verdict for result in results for verdict in result.verdicts)) is not None:
            out.print(f"the judge agrees with people: {agrees}", markup=False)
    for one in failed:
        err.print(f"not replayed: {one.error}", style="red", markup=False)
    code = assessing.exit_code(results) if results else (assessing.UNDECIDED if failed else assessing.CLEAN)
    raise typer.Exit(code)


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
