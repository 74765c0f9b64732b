"""`offhook dialplan`: check a plan, ask it who answers, compare it, draw it, bring one over, look back.

Everything here works on files. A running server takes a changed file by itself (offhook/switch/reloading.py)."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from zoneinfo import ZoneInfo

import typer

from offhook.errors import OffhookError
from offhook.plans.playable import unplayable
from offhook.plans.versions import Fact, Versions, snapshot
from offhook.settings import Settings, load_settings
from telephony.dialplan.asterisk import imported
from telephony.dialplan.compare import Comparison, compare, shown
from telephony.dialplan.condition import CallFacts
from telephony.dialplan.document import FileProblems, Problem, closest
from telephony.dialplan.drawing import svg
from telephony.dialplan.explain import Explanation, explain
from telephony.dialplan.graph import graph as drawn_graph
from telephony.dialplan.graph import mermaid
from telephony.dialplan.load import load_plan, parse_plan
from telephony.dialplan.match import Plan
from telephony.dialplan.routing import checked_header
from telephony.dialplan.sources import Sources
from telephony.dialplan.trial import failed_tests, tried_tests, when

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Check, ask, compare and change dial plans."
)
bringing = typer.Typer(no_args_is_help=True, help="Bring over the dial plan of another system.")
app.add_typer(bringing, name="import")

Where = Annotated[Path | None, typer.Argument(help="Dial plan; the one of the settings if not given.")]
Config = Annotated[Path | None, typer.Option(help="Settings file; config/offhook.yaml if it is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why, for the history.")]


# ---------------------------------------------------------------- is it good


@app.command()
def check(path: Where = None, config: Config = None, as_json: AsJson = False) -> None:
    """Say everything that is wrong with a plan, its failing tests too. Exit code 1 if something is."""
    settings = load_settings(config)
    path = path or settings.dialplan
    found: list[Problem] = []
    plan: Plan | None = None
    try:
        plan = load_plan(path, trunks=settings.lines, today=_today(), also=unplayable)
        found = sorted([*plan.warnings, *failed_tests(plan)])
    except FileProblems as error:
        found = error.problems
    problems = [problem for problem in found if not problem.warning]
    if as_json:
        facts: dict[str, Any] = {"good": not problems, "path": str(path)}
        if plan is not None:
            facts |= {"version": snapshot(plan).version, **_size(plan)}
        facts |= {"problems": [_plain(problem) for problem in problems]}
        _print_json(facts | {"warnings": [_plain(problem) for problem in found if problem.warning]})
        raise typer.Exit(1 if problems else 0)
    for problem in found:
        print(problem)
    warned = _count(len(found) - len(problems), "warning")
    if problems:
        print(_count(len(problems), "problem") + (f", {warned}" if len(found) > len(problems) else ""))
    elif plan is not None:
        parts = ", ".join(f"{count} {what}" for what, count in _size(plan).items())
        print(f"{path}: good, version {snapshot(plan).version}: {parts}{f', {warned}' if found else ''}")
    raise typer.Exit(1 if problems else 0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _plain(problem: Problem) -> dict[str, Any]:
    return {key: value for key, value in asdict(problem).items() if key != "warning"}


@app.command("test")
def run_tests(path: Where = None, config: Config = None, as_json: AsJson = False) -> None:
    """Run the tests that a plan carries. Exit code 1 if one fails, with where the call went and why."""
    plan = _plan(path, config)
    tried = tried_tests(plan)
    failed = [problem for problem in tried if problem is not None]
    if as_json:
        _print_json({"tests": len(plan.spec.tests), "failed": [_plain(problem) for problem in failed]})
        raise typer.Exit(1 if failed else 0)
    for one, (file, spot), problem in zip(plan.spec.tests, plan.test_places, tried, strict=True):
        if problem is None:
            print(f"good  {file}:{spot.line}: {' '.join(filter(None, (one.call, one.at)))} -> {one.expect}")
    for problem in failed:
        print(f"WRONG {problem}")
    print(f"{len(plan.spec.tests) - len(failed)} of {len(plan.spec.tests)} tests are good")
    raise typer.Exit(1 if failed else 0)


@app.command()
def who(
    number: Annotated[str, typer.Argument(help="The number that is called.")],
    caller: Annotated[str, typer.Option("--from", help="The caller; none is a hidden number.")] = "",
    trunk: Annotated[str, typer.Option(help="The trunk it comes by.")] = "",
    at: Annotated[str, typer.Option(help="2026-12-24 10:00 on the plan's clock; now if not given.")] = "",
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a SIP header; again for more.")
    ] = None,
    call_id: Annotated[str, typer.Option(help="Decides splits.")] = "",
    plan: Annotated[
        Path | None, typer.Option(help="Dial plan; the one of the settings if not given.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say who takes a call, and why: every rule tried, and why it did not fit. Exit code 1 if nobody does."""
    loaded = _plan(plan, config)
    if trunk and (close := closest(trunk, loaded.spec.trunks)) and trunk not in loaded.spec.trunks:
        typer.echo(f"note: the plan has no trunk {trunk!r}. Did you mean {close!r}?", err=True)
    try:
        time = when(at, loaded.spec.timezone) if at else datetime.now(_zone(loaded))
    except ValueError as error:
        _fail(f"--at: {error}")
    headers = {}
    for text in header or ():
        name, equals, value = text.partition("=")
        if not equals:
            _fail(f"--header {text!r}: write NAME=VALUE.")
        try:
            headers[checked_header(name.strip()).lower()] = value.strip()
        except ValueError as error:
            _fail(f"--header: {error}")
    found = explain(loaded, CallFacts(number, caller, trunk, headers, time, call_id=call_id))
    if as_json:
        _print_json({**asdict(found), "at": time.isoformat(), "version": snapshot(loaded).version})
    else:
        print(f"at {time:%a %Y-%m-%d %H:%M %Z}")
        print(_with_file(found, loaded))
    raise typer.Exit(0 if found.agent or found.redirect else 1)


# ---------------------------------------------------------------- what would change, how it hangs together


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The plan as it is, or a kept version.")],
    new: Annotated[Path, typer.Argument(help="The plan as it would be, or a kept version.")],
    week: Annotated[str, typer.Option(help="A day of the week to look at; a typical one if not given.")] = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say which calls would go elsewhere, by number, caller and time of the week. Exit code 1 if any would."""
    settings = load_settings(config)
    before, after = _plan_or_version(old, settings), _plan_or_version(new, settings)
    today = datetime.now(_zone(after)).date()
    try:
        day = date.fromisoformat(week) if week else None
    except ValueError:
        _fail(f"--week {week!r}: write a date like 2026-11-30.")
    monday = date.fromordinal(day.toordinal() - day.weekday()) if day else None
    found = compare(before, after, today, monday)
    if as_json:
        changes = [
            {**asdict(one), "spells": [_spell(spell) for spell in one.spells]} for one in found.changes
        ]
        _print_json({"changes": changes, "agents": found.agents, "notes": found.notes})
    else:
        _show_difference(found)
    raise typer.Exit(1 if found.changes else 0)


def _spell(spell: Any) -> dict[str, Any]:
    return {"from": spell.start.isoformat(), "to": spell.end.isoformat(), "weekly": spell.weekly}


def _show_difference(found: Comparison) -> None:
    for change in found.changes:
        numbers = ", ".join(change.numbers[:5])
        more = f" and {len(change.numbers) - 5:,} more" if len(change.numbers) > 5 else ""
        example = f" (for instance {change.example})" if change.numbers[0] != change.example else ""
        print(f"{numbers}{more}{example}{', ' + change.callers if change.callers else ''}")
        print(f"  {change.before} -> {change.after}")
        for line in shown(change.spells):
            print(f"    {line}")
    for name in found.agents:
        print(f"agent {name} says or does something else")
    for note in found.notes:
        print(f"note: {note}")
    if not found.changes:
        print("every call goes where it went")


@app.command()
def graph(
    path: Where = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File; .svg for a picture, else Mermaid text.")
    ] = None,
    config: Config = None,
) -> None:
    """Draw numbers, agents and handoffs: Mermaid text, or an SVG picture with --out plan.svg."""
    drawn = drawn_graph(_plan(path, config))
    if out is None:
        print(mermaid(drawn), end="")
        return
    out.write_text(svg(drawn) if out.suffix.lower() == ".svg" else mermaid(drawn), encoding="utf-8")
    print(f"{out}: {len(drawn.nodes)} boxes, {len(drawn.edges)} arrows")


# ---------------------------------------------------------------- from elsewhere


@bringing.command()
def asterisk(
    path: Annotated[Path, typer.Argument(help="extensions.conf")],
    context: Annotated[
        list[str] | None,
        typer.Option(help="Where calls come in; again for more. Those that nobody includes, if not given."),
    ] = None,
    timezone: Annotated[
        str, typer.Option(help="Of the machine that Asterisk runs on: Europe/Berlin. UTC if not given.")
    ] = "",
    pbx: Annotated[str, typer.Option(help="Host of the phones that are rung.")] = "pbx.example",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new plan; printed if not given.")
    ] = None,
) -> None:
    """Make a plan of an Asterisk extensions.conf, and list what was not carried over, with its line and why."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        _fail(f"{path}: {error.strerror}.")
    found = imported(text, str(path), tuple(context or ()), pbx, timezone)
    if not found.numbers:
        _fail(f"{path}: no extension could be carried over.\n" + "\n".join(map(str, found.left_out)))
    if out is None:
        print(found.text, end="")
    else:
        out.write_text(found.text, encoding="utf-8")
        print(f"{out}: {found.numbers} numbers from {path}")
    for problem in found.left_out:
        typer.echo(f"not carried over: {problem}", err=True)
    parse_plan(
        found.text.encode(), str(out or "dialplan.yaml")
    )  # whatever is left to mend is told with its line


# ---------------------------------------------------------------- versions


@app.command()
def history(
    path: Where = None,
    config: Config = None,
    as_json: AsJson = False,
    most: Annotated[int, typer.Option(min=1, help="So many lines.")] = 50,
) -> None:
    """List what became of the plan: versions, who, when, why, and what was refused."""
    settings = load_settings(config)
    facts = Versions(settings.plan_versions, path or settings.dialplan).history()[::-1][:most]
    if as_json:
        _print_json([asdict(fact) for fact in facts])
        return
    for fact in facts:
        print(_line(fact))
    if not facts:
        print("no history yet: it begins when the server takes the plan")


def _line(fact: Fact) -> str:
    local = datetime.fromisoformat(fact.at).astimezone()
    words = fact.what.replace("_", " ")
    head = f"{local:%Y-%m-%d %H:%M:%S}  {words:8}  {fact.version or '-':12}  {fact.author}: {fact.reason}"
    return "\n".join([head, *(f"    {problem}" for problem in fact.problems)])


@app.command()
def rollback(
    version: Annotated[
        str, typer.Argument(help="Which; the one in use before the present one if not given.")
    ] = "",
    reason: Reason = "",
    path: Annotated[Path | None, typer.Option("--plan", help="Dial plan; the one of the settings.")] = None,
    config: Config = None,
) -> None:
    """Put a version's files back. A running server takes them like any other change."""
    settings = load_settings(config)
    versions = Versions(settings.plan_versions, path or settings.dialplan)
    found = versions.find(version)
    fact = versions.put_back(found, author=getpass.getuser(), reason=reason or f"rolled back to {found}")
    print(f"{path or settings.dialplan}: version {found} is back ({fact.author}: {fact.reason})")


# ---------------------------------------------------------------- plans


def _plan(path: Path | None, config: Path | None) -> Plan:
    settings = load_settings(config)
    return load_plan(path or settings.dialplan, trunks=settings.lines)


def _plan_or_version(path: Path, settings: Settings) -> Plan:
    """A file, or a version of the settings' plan by the first digits of its name, with all its files as they were.
    Trunks may have come and gone since: they are not asked for."""
    if path.exists():
        return load_plan(path)
    versions = Versions(settings.plan_versions, settings.dialplan)
    return load_plan(settings.dialplan, sources=Sources(versions.files(versions.find(path.name))))


def _size(plan: Plan) -> dict[str, int]:
    spec = plan.spec
    return {
        "numbers": len(spec.numbers),
        "agents": len(spec.agents),
        "targets": len(spec.targets),
        "tests": len(spec.tests),
    }


def _today() -> date:
    return datetime.now(UTC).date()


def _zone(plan: Plan) -> ZoneInfo:
    return ZoneInfo(plan.spec.timezone or "UTC")


def _with_file(found: Explanation, plan: Plan) -> str:
    return f"{plan.path}\n{found}"


def _print_json(value: dict[str, Any] | Sequence[Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1, default=str))


def _fail(text: str) -> NoReturn:
    raise OffhookError(text)
