"""One plan out of several files: `imports:` followed, parts put together, and each part still knows its file.

Agents, targets, calendars, lists, trunks and MCP servers are put together by name, numbers and tests one after the
other; name, time zone and defaults are the main file's. Reads files; driven by load.py."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from telephony.dialplan.document import (
    Document,
    FileProblems,
    Loc,
    Plain,
    Problem,
    Spot,
    nearest,
    read_file,
)
from telephony.dialplan.sources import DISK, Sources

BY_NAME = ("agents", "targets", "calendars", "lists", "trunks", "mcp")
IN_TURN = ("numbers", "tests", "allowed")
IMPORTED = ("version", "imports", *BY_NAME, *IN_TURN)
MAX_FILES = 200


@dataclass(slots=True)
class Assembly:
    """The files of a plan as one. value: as if it were one file; problems: found while reading.

    Finds the file and place of any part of it. main: the file that was asked for."""

    main: Document
    value: Plain = None
    problems: list[Problem] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    _named: dict[tuple[str, str], Document] = field(default_factory=dict)
    _starts: dict[str, tuple[list[int], list[Document]]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Of the main file."""
        return self.main.path

    @property
    def version(self) -> str:
        """12 hex digits that change with any byte of any file."""
        if len(self.documents) == 1:
            return self.main.version
        return sha256(" ".join(document.version for document in self.documents).encode()).hexdigest()[:12]

    def place(self, loc: Loc) -> tuple[str, int]:
        """File and line of a value."""
        document, there = self._find(loc)
        return document.path, document.line(there)

    def has(self, loc: Loc) -> bool:
        """Does a file say something at `loc`?"""
        document, there = self._find(loc)
        return document.has(there)

    def spot(self, loc: Loc) -> tuple[str, Spot]:
        """File, line and column of a value."""
        document, there = self._find(loc)
        return document.path, document.spot(there)

    def problem(self, loc: Loc, text: str, *, key: bool = False, warning: bool = False) -> Problem:
        """A problem with the value (or the key) at `loc`."""
        document, there = self._find(loc)
        return document.problem(there, text, key=key, warning=warning)

    def _find(self, loc: Loc) -> tuple[Document, Loc]:
        if len(loc) < 2 or len(self.documents) == 1:
            return self.main, loc
        section, part = str(loc[0]), loc[1]
        if section in self._starts and isinstance(part, int):
            starts, documents = self._starts[section]
            at = bisect_right(starts, part) - 1
            return documents[at], (section, part - starts[at], *loc[2:])
        return self._named.get((section, str(part)), self.main), loc

    def take(self, document: Document) -> None:
        """Add what one file says."""
        self.documents.append(document)
        self.problems += document.problems
        if not isinstance(document.value, dict):
            if document is self.main:
                self.value = document.value
            else:
                self.problems.append(
                    document.problem((), "an imported file has keys, `numbers:` for instance.")
                )
            return
        if self.value is None:
            self.value = dict(document.value)
        assert isinstance(self.value, dict)
        for key, value in document.value.items():
            if key in BY_NAME and isinstance(value, dict | list):
                self._by_name(document, key, value)
            elif key in IN_TURN and isinstance(value, list):
                self._in_turn(document, key, value)
            elif document is not self.main:
                self._only_main(document, key, value)

    def _by_name(self, document: Document, section: str, value: dict[str, Plain] | list[Plain]) -> None:
        if not isinstance(value, dict):  # trunks may be a list; more than names is the model's to refuse
            if document is self.main or not all(isinstance(name, str) for name in value):
                return
            value = {str(name): None for name in value}
        assert isinstance(self.value, dict)
        known = self.value.get(section)
        if isinstance(known, list):
            known = {str(name): None for name in known}
        together: dict[str, Plain] = (
            dict(known) if isinstance(known, dict) and document is not self.main else {}
        )
        for name, item in value.items():
            before = self._named.get((section, name))
            if before is not None and before is not document:
                spot = before.key_spot((section, name))
                fact = (
                    f"{section[:-1]} {name!r} is already in {before.path}:{spot.line}. Keep one of the two."
                )
                self.problems.append(document.problem((section, name), fact, key=True))
                continue
            self._named[section, name] = document
            together[name] = item
        self.value[section] = together

    def _in_turn(self, document: Document, section: str, value: list[Plain]) -> None:
        assert isinstance(self.value, dict)
        starts, documents = self._starts.setdefault(section, ([], []))
        before = self.value.get(section)
        together = before if documents and isinstance(before, list) else []
        starts.append(len(together))
        documents.append(document)
        self.value[section] = [*together, *value]

    def _only_main(self, document: Document, key: str, value: Plain) -> None:
        if key not in IMPORTED:
            fact = f"{key!r} may not stand in an imported file, only in {self.path}."
            hint = "" if key in ("name", "timezone", "defaults") else nearest(key, IMPORTED)
            self.problems.append(document.problem((key,), f"{fact}{hint} Move it there.", key=True))
        elif key == "version" and value != "1":
            self.problems.append(document.problem((key,), f"'version' is {value!r}. Allowed: 1."))


def assembled(document: Document, sources: Sources = DISK) -> Assembly:
    """A file and all that it imports. What cannot be read is among the problems, at the line that imports it."""
    assembly = Assembly(document)
    assembly.take(document)
    seen = {_identity(document.path): document.path}
    waiting = list(_imports(document))
    while waiting:
        importer, at, name = waiting.pop(0)
        path = str(Path(importer.path).parent / name)
        if (known := seen.setdefault(_identity(path), path)) is not path or len(seen) > MAX_FILES:
            fact = f"{name!r} is imported already, as {known}." if known is not path else "too many imports."
            assembly.problems.append(importer.problem(at, f"{fact} Remove it."))
            continue
        try:
            imported = read_file(path, sources)
        except FileProblems as error:
            assembly.problems += [
                found if found.line else importer.problem(at, f"{found.path} {found.text}")
                for found in error.problems
            ]
            continue
        assembly.take(imported)
        waiting += _imports(imported)
    return assembly


def _imports(document: Document) -> Iterator[tuple[Document, Loc, str]]:
    value = document.value.get("imports") if isinstance(document.value, dict) else None
    if isinstance(value, str):
        yield document, ("imports",), value
    for at, name in enumerate(value if isinstance(value, list) else ()):
        if isinstance(name, str) and name:
            yield document, ("imports", at), name


def _identity(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, ValueError, RuntimeError):
        return path
