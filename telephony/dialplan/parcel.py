"""A checked plan in pieces: packed where there is time, put together where there is a clock to keep.

A plan of a hundred thousand numbers takes seconds to check and more than half a second to be let go of. So another
process checks it (offhook/plans), and whoever routes calls takes one small piece at a time, and takes the old plan
apart in the same way. The pieces are pickles: for processes of one server, never for files or strangers."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from telephony.dialplan.condition import Callers
from telephony.dialplan.hours import Hours
from telephony.dialplan.index import Index
from telephony.dialplan.match import Plan, Rule

PIECE = 50  # rules, or callers of a list: about a millisecond's work
LARGE = 500  # callers of a list that is taken apart with care


def without_numbers(plan: Plan) -> Plan:
    """The plan without the list of its numbers as they were written: calls only need the indexes."""
    return replace(plan, spec=plan.spec.model_copy(update={"numbers": ()}))


def pack(plan: Plan) -> Iterator[bytes]:
    """The pieces of a plan, in the order in which they must be taken."""
    shared = _shared(plan)
    for number, thing in enumerate(shared.values()):
        if isinstance(thing, Hours):
            yield _pickled(("hours", number, thing), {})
            continue
        yield _pickled(("callers", number, thing.anonymous), {})
        patterns = thing.patterns
        while piece := list(islice(patterns, PIECE)):
            yield _pickled(("more callers", number, piece), {})
    numbers = {key: number for number, key in enumerate(shared)}
    for priority, index in plan.indexes:
        rules = index.rules()
        while several := list(islice(rules, PIECE)):
            yield _pickled(("rules", priority, several), numbers)
    head = replace(without_numbers(plan), indexes=(), merged={})
    yield _pickled(("plan", 0, head), numbers)


class Unpacking:
    """A plan that is being put together."""

    def __init__(self) -> None:
        self._shared: dict[int, Hours | Callers] = {}
        self._levels: dict[int, Index[Rule]] = {}
        self._head: Plan | None = None

    def take(self, piece: bytes) -> None:
        """The next piece."""
        kind, number, thing = _Unpickler(piece, self._shared).load()
        match kind:
            case "hours":
                self._shared[number] = thing
            case "callers":
                self._shared[number] = Callers(["anonymous"] if thing else [])
            case "more callers":
                callers = self._shared[number]
                assert isinstance(callers, Callers)
                for pattern in thing:
                    callers.add(pattern)
            case "rules":
                level = self._levels.setdefault(number, Index())
                for rule in thing:
                    level.add(rule)
            case "plan":
                self._head = thing

    def plan(self) -> Plan:
        """Once all pieces have been taken. Raises EOFError before."""
        if self._head is None:
            raise EOFError("the plan is not complete")
        levels = sorted(self._levels.items(), key=lambda level: -level[0])
        return replace(self._head, indexes=tuple(levels))


def dismantle(plan: Plan) -> Iterator[None]:
    """Let go of a plan that nobody asks any more, a little with each step."""
    large: dict[int, Callers] = {}
    for _, index in plan.indexes:
        for rule in index.dismantle():
            for callers in _callers(rule):
                if len(callers) > LARGE:
                    large[id(callers)] = callers
            yield
    for callers in large.values():
        for _ in callers.dismantle():
            yield


def _callers(rule: Rule) -> Iterator[Callers]:
    for branch in rule.branches:
        if branch.condition is not None:
            yield from branch.condition.callers


def _shared(plan: Plan) -> dict[int, Hours | Callers]:
    """What many rules have in common, by id: calendars, and lists of callers that are large or used twice."""
    seen: dict[int, Callers] = {}
    found: dict[int, Hours | Callers] = {id(hours): hours for hours in plan.calendars.values()}
    for _, index in plan.indexes:
        for rule in index.rules():
            for callers in _callers(rule):
                if id(callers) in seen or len(callers) > PIECE:
                    found[id(callers)] = callers
                seen[id(callers)] = callers
    return found


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, shared: dict[int, int]) -> None:
        super().__init__(file, protocol=5)
        self._shared = shared

    def persistent_id(self, obj: Any) -> int | None:
        return self._shared.get(id(obj)) if isinstance(obj, Hours | Callers) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, piece: bytes, shared: dict[int, Hours | Callers]) -> None:
        super().__init__(io.BytesIO(piece))
        self._shared = shared

    def persistent_load(self, pid: Any) -> Hours | Callers:
        return self._shared[pid]


def _pickled(thing: Any, shared: dict[int, int]) -> bytes:
    file = io.BytesIO()
    _Pickler(file, shared).dump(thing)
    return file.getvalue()
