"""Pydantic's errors in an admin's words, each at its place in the file. Pure. For dial plans and settings."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from telephony.dialplan.document import Loc, Problem, closest, nearest
from telephony.dialplan.finding import Finding


class Places(Protocol):
    """A file, or several as one, that knows where its parts stand: Document, Assembly."""

    def has(self, loc: Loc) -> bool:
        """Does the file say something at `loc`?"""

    def problem(self, loc: Loc, text: str, *, key: bool = False) -> Problem:
        """A problem with the value (or the key) at `loc`."""


def explain_errors(document: Places, model: type[BaseModel], errors: Sequence[ErrorDetails]) -> list[Problem]:
    """Pydantic's errors in plain words."""
    return [_explain(document, model, error) for error in errors]


def without_echoes(model: type[BaseModel], errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """The errors without those that others bring about: of a list whose every entry is wrong pydantic says that it is
    empty, and of a key that is misspelt that it is missing."""
    places = {_loc(error) for error in errors}
    meant = {(*_loc(error)[:-1], meant_key(model, _loc(error))) for error in errors if _is_stranger(error)}

    def echoes(error: ErrorDetails) -> bool:
        loc = _loc(error)
        if error["type"] == "too_short":
            return any(place[: len(loc)] == loc and len(place) > len(loc) for place in places)
        return error["type"] == "missing" and loc in meant

    return [error for error in errors if not echoes(error)]


def meant_key(model: type[BaseModel], loc: Loc) -> str:
    """The key that somebody meant who wrote the last one of `loc`; "" if nothing is close."""
    return closest(str(loc[-1]), keys_at(model, loc[:-1]))


def _is_stranger(error: ErrorDetails) -> bool:
    return error["type"] == "extra_forbidden"


def _loc(error: ErrorDetails) -> Loc:
    return tuple(part for part in error["loc"] if part != "[key]")


def findings(at: Loc, model: type[BaseModel], errors: Sequence[ErrorDetails]) -> Iterator[Finding]:
    """The same of a part of the file that a model of its own reads. at: where that part stands."""
    for error in errors:
        loc, text, key = _told(model, error, str(_loc(error)[-1] if error["loc"] else at[-1]))
        yield Finding((*at, *loc), text, key=key)


def _explain(document: Places, model: type[BaseModel], error: ErrorDetails) -> Problem:
    written = loc = _loc(error)
    while written and not document.has(written):  # `max_calls: 5` has no `limit`
        written = written[:-1]
    name = str(written[-1] if written else loc[-1]) if loc else "the file"
    loc, text, key = _told(model, error, name)
    return document.problem(loc, text, key=key)


def _told(model: type[BaseModel], error: ErrorDetails, name: str) -> tuple[Loc, str, bool]:
    """Where it is, what, and whether the key is meant. name: what the file calls it."""
    loc = _loc(error)
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return loc, f"unknown key {str(loc[-1])!r}.{nearest(name, keys_at(model, loc[:-1]))}", True
    if kind == "missing":
        return loc[:-1], f"{str(loc[-1])!r} is missing. Add it.", len(loc) > 1
    key = kind not in ("value_error", "literal_error") and not isinstance(given, str | int | float)
    key = key or error["loc"][-1:] == ("[key]",)
    return loc, _words(name, error), key


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


def keys_at(model: type[BaseModel], loc: Loc) -> list[str]:
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
