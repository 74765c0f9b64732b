"""Keys with nothing behind them: a `when:` without a condition would take every call, an empty `menu:` none. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from telephony.dialplan.document import Loc
from telephony.dialplan.finding import Finding


def check_empty(model: BaseModel, loc: Loc = ()) -> Iterator[Finding]:
    """Keys that are written, may be left out, and have no value."""
    fields = type(model).model_fields
    for key in model.model_fields_set:
        value = getattr(model, key)
        if value is None:
            name = fields[key].alias or key
            fact = f"{name!r} is empty. Write a value or remove the line."
            yield Finding((*loc, name), fact, key=True)
        elif not isinstance(value, str):
            yield from _inside(value, (*loc, fields[key].alias or key))


def _inside(value: object, loc: Loc) -> Iterator[Finding]:
    if isinstance(value, BaseModel):
        yield from check_empty(value, loc)
    elif isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, BaseModel):
                yield from check_empty(item, (*loc, name))
    elif isinstance(value, tuple):
        for at, item in enumerate(value):
            if isinstance(item, BaseModel):
                yield from check_empty(item, (*loc, at))
