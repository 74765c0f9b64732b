"""From YAML files to a checked plan: every problem at once, each with file, line, column, fact and remedy.

`load` says what is wrong as a value, `load_plan` raises it; `load_model` serves any other file
(offhook/settings.py). Reads files, otherwise pure. Not a watcher (store.py swaps plans)."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from telephony.dialplan.assembly import Assembly, assembled
from telephony.dialplan.check import check_plan
from telephony.dialplan.check_past import check_past
from telephony.dialplan.check_secrets import check_secrets
from telephony.dialplan.compile import FilesRead, Source, bare_rules, compile_plan
from telephony.dialplan.complaints import explain_errors, without_echoes
from telephony.dialplan.document import (
    FileProblems,
    Plain,
    Problem,
    read_document,
    read_file,
)
from telephony.dialplan.files import read_files
from telephony.dialplan.finding import Finding
from telephony.dialplan.match import Plan
from telephony.dialplan.model import DialPlan
from telephony.dialplan.pruned import pruned
from telephony.dialplan.sources import DISK, Sources
from telephony.dialplan.trial import failed_tests

M = TypeVar("M", bound=BaseModel)
Also: TypeAlias = Callable[[DialPlan], Iterable[Finding]]
"""What is wrong with a plan in the eyes of who will play it."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What load_plan was told beside the file."""

    trunks: Mapping[str, int] | None
    today: date | None
    sources: Sources = DISK
    also: Also | None = None

    def more(self, spec: DialPlan, files: FilesRead) -> Iterator[Finding]:
        """What is found beside check_plan's."""
        yield from check_past(spec, files, self.today) if self.today else ()
        yield from self.also(spec) if self.also else ()


@dataclass(frozen=True, slots=True)
class PlanErrors:
    """Everything that is wrong with a plan, in file order."""

    problems: tuple[Problem, ...]


def load(
    path: str | Path, *, trunks: Mapping[str, int] | None = None, today: date | None = None
) -> Plan | PlanErrors:
    """Read and check a dial plan, or say what is wrong with it.

    trunks: those of the settings, name → calls at once (0 for any number); None if they are not known. today: warns of
    dates that are past; None for not to."""
    try:
        return load_plan(path, trunks=trunks, today=today)
    except FileProblems as error:
        return PlanErrors(tuple(error.problems))


def load_plan(
    path: str | Path,
    *,
    trunks: Mapping[str, int] | None = None,
    today: date | None = None,
    sources: Sources = DISK,
    also: Also | None = None,
) -> Plan:
    """Read and check a dial plan, as `load`. Raises FileProblems (a PlanError) with everything that is wrong with it;
    of a good one, `warnings` are what is worth a look. sources: where its files are read from. also: more checks."""
    with _no_collections():
        return _plan(assembled(read_file(path, sources), sources), _Asked(trunks, today, sources, also))


def load_tested(
    path: str | Path,
    *,
    trunks: Mapping[str, int] | None = None,
    sources: Sources = DISK,
    also: Also | None = None,
) -> Plan:
    """As load_plan, and its own tests are run: what calls may be routed by. Raises FileProblems, also with those that
    failed."""
    plan = load_plan(path, trunks=trunks, sources=sources, also=also)
    if failed := failed_tests(plan):
        raise FileProblems(failed)
    return plan


def parse_plan(
    data: bytes,
    path: str = "dialplan.yaml",
    *,
    trunks: Mapping[str, int] | None = None,
    today: date | None = None,
    also: Also | None = None,
) -> Plan:
    """Check a dial plan in memory (an edit in the console). path: for messages, and what it imports lies beside it.
    Raises as load_plan."""
    with _no_collections():
        return _plan(assembled(read_document(data, path)), _Asked(trunks, today, also=also))


def load_model(path: str | Path, model: type[M]) -> M:
    """Read a YAML file into any pydantic model. Raises FileProblems with everything that is wrong with it."""
    document = read_file(path)
    try:
        read = model.model_validate(document.value if document.value is not None else {})
    except ValidationError as error:
        errors = without_echoes(model, error.errors())
        raise FileProblems(document.problems + explain_errors(document, model, errors)) from error
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


def _plan(plan: Assembly, asked: _Asked) -> Plan:
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
        errors = error.errors()
        problems += explain_errors(plan, DialPlan, without_echoes(DialPlan, errors))
        problems += _check_the_rest(plan, value, names, errors, asked)
        raise FileProblems(problems) from error
    files, found_in_files = read_files(plan.path, spec, asked.sources)
    source = _source(plan, spec, range(len(spec.numbers)))
    bare = bare_rules(spec, source)
    findings = [
        *found_in_files,
        *check_plan(spec, names, bare, files, asked.trunks),
        *asked.more(spec, files),
    ]
    told = [_problem(plan, one) for one in findings]
    if problems or not all(one.warning for one in told):
        raise FileProblems([*problems, *told])
    return replace(compile_plan(spec, source, bare, files), warnings=tuple(sorted(set(told))))


def _source(plan: Assembly, spec: DialPlan, positions: Sequence[int]) -> Source:
    """positions: in the file, of the number rules that are left."""

    def place(position: int, branch: int | None) -> tuple[str, int]:
        at = ("numbers", positions[position])
        return plan.place(at if branch is None else (*at, "routes", branch))

    files = tuple(document.path for document in plan.documents)
    name = spec.name or Path(plan.path).stem
    return Source(name, plan.path, plan.version, place, files, lambda at: plan.spot(("tests", at, "expect")))


def _check_the_rest(
    plan: Assembly,
    value: dict[str, Plain],
    names: list[str],
    errors: Sequence[ErrorDetails],
    asked: _Asked,
) -> list[Problem]:
    """Check what is left when all that pydantic refused is taken out, so that one look shows all."""
    rest = pruned(value, errors)
    if rest is None:
        return []
    spec, unread = rest.spec, rest.unread
    files, findings = read_files(plan.path, spec, asked.sources)
    positions = rest.kept.get(("numbers",), range(len(spec.numbers)))
    findings += check_plan(
        spec, names, bare_rules(spec, _source(plan, spec, positions)), files, asked.trunks, unread
    )
    findings += asked.more(spec, files)
    placed = [replace(one, loc=rest.in_file(one.loc)) for one in findings]
    return [_problem(plan, one) for one in placed if not unread.explains(one)]


def _problem(plan: Assembly, found: Finding) -> Problem:
    """At its place. One that stands alone is a list of one for the model: `stt: groq`."""
    alone = tuple(part for part in found.loc if part != 0)
    loc = found.loc if plan.has(found.loc) or not plan.has(alone) else alone
    return plan.problem(loc, found.text, key=found.key, warning=found.warning)
