"""From YAML files to a checked plan: every problem at once, each with file, line, column, fact and remedy.

`load` says what is wrong as a value, `load_plan` raises it; `load_model` serves any other file
(offhook/settings.py). Reads files, otherwise pure. Not a watcher (store.py swaps plans)."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from telephony.dialplan.assembly import Assembly, assembled
from telephony.dialplan.check import check_plan
from telephony.dialplan.check_secrets import check_secrets
from telephony.dialplan.compile import Source, bare_rules, compile_plan
from telephony.dialplan.complaints import explain_errors
from telephony.dialplan.document import (
    FileProblems,
    Plain,
    Problem,
    read_document,
    read_file,
)
from telephony.dialplan.files import read_files
from telephony.dialplan.match import Plan
from telephony.dialplan.model import DialPlan
from telephony.dialplan.sources import DISK, Sources
from telephony.dialplan.trial import failed_tests

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class PlanErrors:
    """Everything that is wrong with a plan, in file order."""

    problems: tuple[Problem, ...]


def load(path: str | Path, *, trunks: Mapping[str, int] | None = None) -> Plan | PlanErrors:
    """Read and check a dial plan, or say what is wrong with it.

    trunks: those of the settings, name → calls at once (0 for any number); None if they are not known."""
    try:
        return load_plan(path, trunks=trunks)
    except FileProblems as error:
        return PlanErrors(tuple(error.problems))


def load_plan(path: str | Path, *, trunks: Mapping[str, int] | None = None, sources: Sources = DISK) -> Plan:
    """Read and check a dial plan. sources: where its files are read from. Raises FileProblems (a PlanError) with
    everything that is wrong with it."""
    with _no_collections():
        return _plan(assembled(read_file(path, sources), sources), trunks, sources)


def load_tested(
    path: str | Path, *, trunks: Mapping[str, int] | None = None, sources: Sources = DISK
) -> Plan:
    """As load_plan, and its own tests are run: what calls may be routed by. Raises FileProblems, also with those that
    failed."""
    plan = load_plan(path, trunks=trunks, sources=sources)
    if failed := failed_tests(plan):
        raise FileProblems(failed)
    return plan


def parse_plan(data: bytes, path: str = "dialplan.yaml", *, trunks: Mapping[str, int] | None = None) -> Plan:
    """Check a dial plan in memory (an edit in the console). path: for messages, and what it imports lies beside it.
    Raises as load_plan."""
    with _no_collections():
        return _plan(assembled(read_document(data, path)), trunks)


def load_model(path: str | Path, model: type[M]) -> M:
    """Read a YAML file into any pydantic model. Raises FileProblems with everything that is wrong with it."""
    document = read_file(path)
    try:
        read = model.model_validate(document.value if document.value is not None else {})
    except ValidationError as error:
        raise FileProblems(document.problems + explain_errors(document, model, error.errors())) from error
    if document.problems:
        raise FileProblems(document.problems)
    return read


@contextmanager
def _no_collections() -> Iterator[None]:
    """A plan of a hundred thousand numbers is millions of objects and not one cycle: looking for garbage among them
    again and again trebles the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _plan(plan: Assembly, trunks: Mapping[str, int] | None, sources: Sources = DISK) -> Plan:
    problems = list(plan.problems)
    value = plan.value
    problems += [plan.problem(found.loc, found.text) for found in check_secrets(value)]
    if not isinstance(value, dict):
        text = "a dial plan begins with keys: `version: 1`, then `agents:` and `numbers:`."
        raise FileProblems([*problems, plan.problem((), text)])
    names = [
        str(name)
        for part in ("agents", "targets")
        if isinstance(found := value.get(part), dict)
        for name in found
    ]
    try:
        spec = DialPlan.model_validate(value)
    except ValidationError as error:
        problems += explain_errors(plan, DialPlan, error.errors())
        problems += _check_the_rest(plan, value, names, trunks, error.errors(), sources)
        raise FileProblems(problems) from error
    files, faults = read_files(plan, spec, sources)
    source = _source(plan, spec, range(len(spec.numbers)))
    bare = bare_rules(spec, source)
    problems += faults
    problems += [plan.problem(f.loc, f.text, key=f.key) for f in check_plan(spec, names, bare, files, trunks)]
    if problems:
        raise FileProblems(problems)
    return compile_plan(spec, source, bare, files)


def _source(plan: Assembly, spec: DialPlan, positions: Sequence[int]) -> Source:
    """positions: in the file, of the number rules that are left."""

    def place(position: int, branch: int | None) -> tuple[str, int]:
        at = ("numbers", positions[position])
        return plan.place(at if branch is None else (*at, "routes", branch))

    files = tuple(document.path for document in plan.documents)
    name = spec.name or Path(plan.path).stem
    return Source(name, plan.path, plan.version, place, files, lambda at: plan.place(("tests", at)))


def _check_the_rest(
    plan: Assembly,
    value: dict[str, Plain],
    names: list[str],
    trunks: Mapping[str, int] | None,
    errors: Sequence[ErrorDetails],
    sources: Sources,
) -> list[Problem]:
    """Cross-check what is left when all that pydantic refused is taken out, so that one look shows all."""
    rest = _copy(value)
    assert isinstance(rest, dict)
    gone: set[int] = set()
    for error in errors:
        loc = error["loc"]
        servers = rest.get("mcp")
        if loc[:1] == ("mcp",) and len(loc) > 1 and isinstance(servers, dict):
            servers[str(loc[1])] = {"command": "unread"}  # it is there, for agents that name it
            continue
        deep = loc[:1] in (("agents",), ("targets",), ("calendars",), ("lists",), ("numbers",))
        unit = loc if error["type"] == "extra_forbidden" else loc[:2] if deep else loc[:1]
        if loc[:1] == ("numbers",) and len(unit) == 2 and isinstance(unit[1], int):
            gone.add(unit[1])
        elif unit:
            _drop(rest, unit)
    kept: list[int] = []
    if isinstance(numbers := rest.get("numbers"), list):
        kept = [at for at in range(len(numbers)) if at not in gone]
        rest["numbers"] = [numbers[at] for at in kept]
    try:
        spec = DialPlan.model_validate(rest)
    except ValidationError:
        return []
    files, problems = read_files(plan, spec, sources)
    lost = {part for part in ("calendars", "lists", "trunks") if rest.get(part) != value.get(part)}
    for found in check_plan(
        spec, names, bare_rules(spec, _source(plan, spec, kept)), files, trunks, unread=lost
    ):
        loc = found.loc
        if loc[0] == "numbers" and isinstance(loc[1], int):
            loc = ("numbers", kept[loc[1]], *loc[2:])
        problems.append(plan.problem(loc, found.text, key=found.key))
    return problems


def _copy(value: Plain) -> Plain:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _drop(value: Plain, loc: Sequence[str | int]) -> None:
    for part in loc[:-1]:
        value = _child(value, part)
    if isinstance(value, dict) and isinstance(loc[-1], str):
        value.pop(loc[-1], None)


def _child(value: Plain, part: str | int) -> Plain:
    if isinstance(value, dict) and isinstance(part, str):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None
