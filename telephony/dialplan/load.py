"""From a YAML file to a checked model: every problem at once, each with file, line, column, fact and remedy.

`load_plan` reads dial plans; `load_model` and `explain_errors` serve any other file (offhook/settings.py).
Reads files, otherwise pure. Not a watcher (store.py swaps plans)."""

from __future__ import annotations

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from telephony.dialplan.check import check_plan
from telephony.dialplan.document import (
    Document,
    FileProblems,
    Loc,
    Plain,
    Problem,
    nearest,
    read_document,
    read_file,
)
from telephony.dialplan.match import Plan, compile_plan
from telephony.dialplan.model import DialPlan
from telephony.dialplan.music import BUILT_IN, fault, located

M = TypeVar("M", bound=BaseModel)


def load_plan(path: str | Path) -> Plan:
    """Read and check a dial plan. Raises FileProblems (a PlanError) with everything that is wrong with it."""
    return _plan(read_file(path))


def parse_plan(data: bytes, path: str = "dialplan.yaml") -> Plan:
    """Check a dial plan in memory (an edit in the console). path: for messages. Raises as load_plan."""
    return _plan(read_document(data, path))


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


def explain_errors(
    document: Document, model: type[BaseModel], errors: Sequence[ErrorDetails]
) -> list[Problem]:
    """Pydantic's errors in an admin's words, each at its place in the file."""
    return [_explain(document, model, error) for error in errors]


# ---------------------------------------------------------------- dial plans


def _plan(document: Document) -> Plan:
    problems = list(document.problems)
    if not isinstance(document.value, dict):
        text = "a dial plan begins with keys: `version: 1`, then `agents:` and `numbers:`."
        raise FileProblems([*problems, document.problem((), text)])
    agents = document.value.get("agents")
    names = list(agents) if isinstance(agents, dict) else []
    try:
        spec = DialPlan.model_validate(document.value)
    except ValidationError as error:
        problems += explain_errors(document, DialPlan, error.errors())
        problems += _check_the_rest(document, document.value, names, error.errors())
        raise FileProblems(problems) from error
    lines = [document.spot(("numbers", at)).line for at in range(len(spec.numbers))]
    problems += [document.problem(f.loc, f.text, key=f.key) for f in check_plan(spec, names, lines)]
    problems += _music(document, spec)
    if problems:
        raise FileProblems(problems)
    name = spec.name or Path(document.path).stem
    return compile_plan(spec, name=name, path=document.path, version=document.version, lines=lines)


def _check_the_rest(
    document: Document, value: dict[str, Plain], names: list[str], errors: Sequence[ErrorDetails]
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
        unit = (
            loc
            if error["type"] == "extra_forbidden"
            else loc[:2]
            if loc[:1] in (("agents",), ("numbers",))
            else loc[:1]
        )
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
    lines = [document.spot(("numbers", at)).line for at in kept]
    problems = []
    for found in check_plan(spec, names, lines):
        loc = found.loc
        if loc[0] == "numbers" and isinstance(loc[1], int):
            loc = ("numbers", kept[loc[1]], *loc[2:])
        problems.append(document.problem(loc, found.text, key=found.key))
    return problems


def _music(document: Document, spec: DialPlan) -> list[Problem]:
    """Files that callers shall hear are looked at now; each is a problem once, where it is named first."""
    named: dict[str, Loc] = {}
    for at, rule in reversed(list(enumerate(spec.numbers))):
        if rule.hold_music is not None:
            named[located(rule.hold_music, document.path)] = ("numbers", at, "hold_music")
    named[located(spec.defaults.hold_music, document.path)] = ("defaults", "hold_music")
    return [
        document.problem(loc, text)
        for path, loc in named.items()
        if path not in BUILT_IN and (text := fault(path))
    ]


def _copy(value: Plain) -> Plain:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _drop(value: Plain, loc: Loc) -> None:
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


# ---------------------------------------------------------------- pydantic's errors in plain words


def _explain(document: Document, model: type[BaseModel], error: ErrorDetails) -> Problem:
    loc = tuple(part for part in error["loc"] if part != "[key]")
    kind, given = error["type"], error["input"]
    name = str(loc[-1]) if loc else "the file"
    if kind == "extra_forbidden":
        return document.problem(
            loc, f"unknown key {name!r}.{nearest(name, _keys_at(model, loc[:-1]))}", key=True
        )
    if kind == "missing":
        return document.problem(loc[:-1], f"{name!r} is missing. Add it.", key=len(loc) > 1)
    key = kind not in ("value_error", "literal_error") and not isinstance(given, str)
    return document.problem(loc, _words(name, error), key=key)


def _words(name: str, error: ErrorDetails) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    found = _shape(given)
    if kind == "value_error":
        text = str(context.get("error", error["msg"]))
        return text if not text.startswith("is ") else f"{name!r} {text}"
    if given is None:
        return f"{name!r} is empty. Write a value or remove the line."
    if kind == "literal_error":
        allowed = str(context.get("expected", "")).replace("'", "")
        return f"{name!r} is {found}. Allowed: {allowed}."
    wanted = _WANTED.get(kind)
    if wanted:
        return f"{name!r} must be {wanted}, found {found}."
    if kind == "too_short":
        return f"{name!r} is empty. Write at least one entry."
    return f"{name!r}: {error['msg'][:1].lower()}{error['msg'][1:]}, found {found}."


_WANTED = {
    "string_type": "text",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "yes or no",
    "bool_type": "yes or no",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping (`key: value` lines)",
    "model_type": "a mapping (`key: value` lines)",
    "model_attributes_type": "a mapping (`key: value` lines)",
}


def _shape(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "...")
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), repr(value))


def _keys_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys that the model allows at a place, for "did you mean"."""
    kind: Any = model
    for part in loc:
        kind = _bare(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        else:
            inner = [arg for arg in get_args(kind) if arg is not Ellipsis]
            kind = inner[-1] if inner else None
    kind = _bare(kind)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    return [field.alias or name for name, field in kind.model_fields.items()]


def _bare(kind: Any) -> Any:
    """Without `| None` and `Annotated`."""
    while True:
        if hasattr(kind, "__metadata__"):
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, types.UnionType):
            kind = next((arg for arg in get_args(kind) if arg is not type(None)), None)
        elif get_origin(kind) is Literal:
            return str
        else:
            return kind
