"""A plan without all that the models refused, so that the rest can be checked as well: one look shows every mistake.

Taken out is as little as possible: a wrong duration, not the number that has it. What is missing then is remembered
(Unread), so that nobody complains of it a second time. Pure. Driven by load.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from telephony.dialplan.complaints import meant_key
from telephony.dialplan.document import Loc, Plain
from telephony.dialplan.finding import Finding
from telephony.dialplan.model import DialPlan, NumberRoute, Persona

ENTRIES = ("agents", "targets", "calendars", "lists", "numbers", "mcp", "trunks")
ROUNDS = 12  # what is left may be wrong in its turn, for want of what was taken out


class _Part(DialPlan):
    """What may be missing from a plan while the rest of it is looked at."""

    version: Literal["1"] = "1"
    agents: dict[str, Persona] = {}
    numbers: tuple[NumberRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class Unread:
    """What is in the file and could not be read. touched: keys of the plan of which some part is gone; sections: those
    that are gone whole. entries: name (or place, of a number) by section of those that are gone, or lack a part. keys:
    which parts each of them lacks."""

    touched: frozenset[str] = frozenset()
    sections: frozenset[str] = frozenset()
    entries: Mapping[str, Collection[str | int]] = field(default_factory=dict)
    keys: Mapping[Loc, Collection[str]] = field(default_factory=dict)

    def lacks(self, section: str, name: str | int) -> bool:
        """Is this one in the file, but not, or not whole, in the plan? Of a section that is gone, anything may be."""
        return section in self.sections or name in self.entries.get(section, ())

    def explains(self, found: Finding) -> bool:
        """Would this not be wrong if all of the file had been read?"""
        loc = found.loc
        entry = loc[:2] if loc[0] in ENTRIES else loc[:1]
        near = self.keys.get(entry, ())
        if near and len(loc) <= len(entry):
            return True
        far = self.keys.get(("defaults",), ())
        return any(key in near or key in far or key in self.sections for key in found.because)


WHOLE = Unread()


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is left of a plan. kept: list → the places that its items have in the file."""

    spec: DialPlan
    unread: Unread
    value: Mapping[str, Plain]
    kept: Mapping[Loc, Sequence[int]]

    def in_file(self, loc: Loc) -> Loc:
        """Where in the file a part of `spec` is."""
        found: Loc = ()
        for part in loc:
            places = self.kept.get(found)
            found = (
                *found,
                places[part] if places and isinstance(part, int) and part < len(places) else part,
            )
        return found


def pruned(value: dict[str, Plain], errors: Sequence[ErrorDetails]) -> Pruned | None:
    """A plan without what pydantic refused; None if nothing is left. errors: of the first look."""
    gone: set[Loc] = set()
    strangers: dict[Loc, Loc] = {}
    missing = {
        str(error["loc"][0]) for error in errors if error["type"] == "missing" and len(error["loc"]) == 1
    }
    left: Plain = value
    kept: dict[Loc, list[int]] = {}
    for _ in range(ROUNDS):
        for error in errors:
            unit = _unit(left, kept, error)
            if error["type"] == "extra_forbidden":
                strangers[unit] = (*unit[:-1], meant_key(DialPlan, unit))
            if unit:
                gone.add(unit)
        kept = {}
        left = _without(value, (), gone, {loc[:at] for loc in gone for at in range(len(loc))}, kept)
        assert isinstance(left, dict)
        try:
            spec = _Part.model_validate(left)
        except ValidationError as error:
            errors = error.errors()
            continue
        lost = (gone - set(strangers)) | {loc for loc in strangers.values() if loc[-1]}
        return Pruned(spec, _unread(lost | {(name,) for name in missing}), left, kept)
    return None


def _unit(left: Plain, kept: Mapping[Loc, Sequence[int]], error: ErrorDetails) -> Loc:
    """The smallest part of the file whose absence mends an error."""
    loc: Loc = tuple(part for part in error["loc"] if part != "[key]")
    loc = loc[:-1] if error["type"] == "missing" else loc
    found: Loc = ()
    for part in loc:
        places = kept.get(found)
        if isinstance(left, dict) and part in left:
            left = left[str(part)]
        elif isinstance(left, list) and isinstance(part, int) and part < len(left):
            left = left[part]
            part = places[part] if places else part
        else:
            break
        found = (*found, part)
    if found[:1] == ("numbers",) and found[2:] == ("priority",):
        return found[:2]  # without it the rule would stand in the way of others
    return found


def _without(
    value: Plain, loc: Loc, gone: Collection[Loc], above: Collection[Loc], kept: dict[Loc, list[int]]
) -> Plain:
    if loc not in above:
        return value
    if isinstance(value, dict):
        return {
            key: _without(item, (*loc, key), gone, above, kept)
            for key, item in value.items()
            if (*loc, key) not in gone
        }
    if isinstance(value, list):
        kept[loc] = [at for at in range(len(value)) if (*loc, at) not in gone]
        return [_without(value[at], (*loc, at), gone, above, kept) for at in kept[loc]]
    return value


def _unread(gone: Collection[Loc]) -> Unread:
    entries: dict[str, set[str | int]] = {}
    keys: dict[Loc, set[str]] = {}
    for loc in gone:
        section, rest = str(loc[0]), loc[1:]
        if section in ENTRIES and rest:
            entries.setdefault(section, set()).add(rest[0])
            if len(rest) > 1:
                keys.setdefault(loc[:2], set()).add(str(rest[1]))
        elif rest:
            keys.setdefault((section,), set()).add(str(rest[0]))
    sections = frozenset(str(loc[0]) for loc in gone if len(loc) == 1)
    return Unread(frozenset(str(loc[0]) for loc in gone), sections, entries, keys)
