"""A YAML file as an admin wrote it: every scalar is text, every node knows its line and column.

YAML's own guessing loses phone numbers (`+1415...` loses its plus, `10:00` is 600, `no` is false) and
silently keeps the last of two equal keys. Here nothing is guessed; the models in `model.py` say what a text
must be. libyaml parses, and no value is ever resolved. Not a validator of meaning (load.py, check.py). Reads one
file, otherwise pure."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.reader import ReaderError

from telephony.dialplan.sources import DISK, Sources
from telephony.errors import PlanError

Loc: TypeAlias = tuple[str | int, ...]
Plain: TypeAlias = "str | None | list[Plain] | dict[str, Plain]"

MAX_DEPTH = 40  # a plan nests about 8 deep; more is a mistake or an attack on the parser
MAX_BYTES = 64 * 1024 * 1024  # a hundred thousand numbers with all their keys are 20 MB
MAX_REPEATED = 100_000  # values that aliases may add: nobody writes so many, an attack does (billion laughs)

_LONG = re.compile(r"(\S{60})\S{60,}")  # a word that nobody reads to its end

_COLUMN_BITS = 20
_COLUMN_MASK = (1 << _COLUMN_BITS) - 1


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file. line and column count from 1; line 0: not a place in the file.

    warning: worth a look, but the file is good."""

    path: str
    line: int
    column: int
    text: str
    warning: bool = False

    def __str__(self) -> str:
        text = f"warning: {self.text}" if self.warning else self.text
        return f"{self.path}:{self.line}:{self.column}: {text}" if self.line else f"{self.path}: {text}"


class FileProblems(PlanError):
    """A dial plan or settings file is wrong. The message lists every problem, one a line, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something stands in the file, counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Marks:
    """Where a value stands, and what is in it: a tree beside the values. Places are packed, line and column in one.

    keys, values: of a mapping or list. inside: of those values that are mappings or lists themselves."""

    at: int
    keys: dict[str, int] = field(default_factory=dict)
    values: dict[str | int, int] = field(default_factory=dict)
    inside: dict[str | int, Marks] = field(default_factory=dict)


@dataclass(slots=True)
class Document:
    """The file's content as text, lists and mappings, and where each of them stands.

    version: first 12 hex digits of the SHA-256 of the bytes. value: None for an empty file or an empty value.
    problems: what was found while reading and did not stop the reading (equal keys, tags).
    """

    path: str
    version: str
    value: Plain = None
    problems: list[Problem] = field(default_factory=list)
    marks: Marks = field(default_factory=lambda: Marks(_packed(0, 0)))

    def spot(self, loc: Loc) -> Spot:
        """Where the value at `loc` stands; where its nearest parent stands if it is not in the file."""
        return _spot(self._packed(loc))

    def line(self, loc: Loc) -> int:
        """Of its spot."""
        return (self._packed(loc) >> _COLUMN_BITS) + 1

    def _packed(self, loc: Loc) -> int:
        marks = self.marks
        for at, part in enumerate(loc):
            if (deeper := marks.inside.get(part)) is not None:
                marks = deeper
            elif part not in marks.values and marks.keys == {} and isinstance(part, str):
                return self._in_list(marks, loc[:at], loc[at:])
            else:
                return marks.values.get(part, marks.at)
        return marks.at

    def _in_list(self, marks: Marks, loc: Loc, rest: Loc) -> int:
        """Where a part stands that the file has in short: `[a, b]` for `{a: .., b: ..}` or `{names: [a, b]}`."""
        value = self.value
        for part in loc:
            value = value[part] if isinstance(value, dict | list) else None  # type: ignore[index]
        if isinstance(value, list) and rest[0] in value:
            return marks.values.get(value.index(str(rest[0])), marks.at)
        return marks.values.get(rest[1], marks.at) if len(rest) > 1 else marks.at

    def has(self, loc: Loc) -> bool:
        """Does the file say something at `loc`?"""
        marks: Marks | None = self.marks
        for at, part in enumerate(loc):
            if marks is None or part not in marks.values:
                return False
            marks = marks.inside.get(part) if at + 1 < len(loc) else None
        return True

    def key_spot(self, loc: Loc) -> Spot:
        """Where the key that `loc` ends in stands."""
        marks = self.marks
        for part in loc[:-1]:
            if (deeper := marks.inside.get(part)) is None:
                return self.spot(loc)
            marks = deeper
        at = marks.keys.get(str(loc[-1])) if loc and isinstance(loc[-1], str) else None
        return self.spot(loc) if at is None else _spot(at)

    def problem(self, loc: Loc, text: str, *, key: bool = False, warning: bool = False) -> Problem:
        """A problem with the value (or the key) at `loc`."""
        spot = self.key_spot(loc) if key else self.spot(loc)
        return Problem(self.path, spot.line, spot.column, _LONG.sub(r"\1...", text), warning)


def read_file(path: str | Path, sources: Sources = DISK) -> Document:
    """Read one YAML file. Raises FileProblems if it cannot be read or is not YAML."""
    try:
        data = sources.read(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileProblems([Problem(str(path), 0, 0, f"cannot be read: {why}. Check the path.")]) from error
    return read_document(data, str(path))


def read_document(data: bytes, path: str) -> Document:
    """Read YAML from bytes. path: only for messages. Raises FileProblems if it is not YAML (1.1 as libyaml has it)."""
    document = Document(path, hashlib.sha256(data).hexdigest()[:12])
    if len(data) > MAX_BYTES:
        fact = f"has {len(data)} bytes, {MAX_BYTES} are allowed. Split it with `imports:`."
        raise FileProblems([Problem(path, 0, 0, fact)])
    _Builder(document).build(_decode(data, document))
    return document


def nearest(word: str, known: Iterable[str]) -> str:
    """The remedy of a message: `Did you mean 'x'?` if a known name is close, else the known ones."""
    names = sorted(set(known))
    if close := closest(word, names):
        return f" Did you mean {close!r}?"
    return f" Known: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}." if names else ""


def closest(word: str, known: Iterable[str]) -> str:
    """The known name that somebody meant who wrote `word`; "" if none is close."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else ""


def _packed(line: int, column: int) -> int:
    """A place, counted from 0, in one integer."""
    return line << _COLUMN_BITS | (column if column < _COLUMN_MASK else _COLUMN_MASK)


def _spot(packed: int) -> Spot:
    return Spot((packed >> _COLUMN_BITS) + 1, (packed & _COLUMN_MASK) + 1)


def _after(before: bytes) -> Spot:
    """The place behind so many bytes of UTF-8."""
    line = before[before.rfind(b"\n") + 1 :]
    return Spot(before.count(b"\n") + 1, len(line.decode("utf-8", "replace")) + 1)


def _decode(data: bytes, document: Document) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        spot = _after(data[: error.start])
        text = f"byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        raise FileProblems([Problem(document.path, spot.line, spot.column, text)]) from error


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read. key: the mapping key whose value comes next. size: values in it."""

    value: list[Plain] | dict[str, Plain]
    marks: Marks
    anchor: str | None
    key: str | None = None
    size: int = 1


class _Builder:
    """Parser events in, one Document out. Works on events, so that no scalar is ever resolved."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Plain, Marks | None, int]] = {}
        self._documents = self._repeated = 0

    def build(self, text: str) -> None:
        try:
            next_event = CParser(text).get_event
            while (event := next_event()) is not None:
                self._take(event)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            spot = Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)
            what = " ".join(str(part) for part in (error.context, error.problem) if part)
            self._fail(spot, f"not YAML: {what}. Check indentation, quotes and brackets from here upwards.")
        except ReaderError as error:
            spot = _after(text.encode()[: error.position])
            self._fail(spot, "a control character is not allowed in YAML. Remove it.")
        except YAMLError as error:
            self._fail(Spot(1, 1), f"not YAML: {error}. Check quotes, brackets and lines that begin with %.")

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is ScalarEvent:
            self._scalar(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._begin(event, {} if kind is MappingStartEvent else [])
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            closed = self._open.pop()
            if self._open:
                self._open[-1].size += closed.size
            if closed.anchor:
                self._anchors[closed.anchor] = (closed.value, closed.marks, closed.size)
        elif kind is AliasEvent:
            self._alias(event)
        elif kind is DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self._fail(_at(event), "a second YAML document begins here. Remove the line of three dashes.")

    def _scalar(self, event: Any) -> None:
        mark = event.start_mark
        at = _packed(mark.line, mark.column)
        if event.tag is not None:
            self._tag(event)
        parent = self._open[-1] if self._open else None
        text = event.value
        if parent is not None and parent.key is None and type(parent.value) is dict:
            self._key(text, at, parent)
            return
        value = None if not text and event.style not in ("'", '"') else text
        if event.anchor:
            self._anchors[event.anchor] = (value, None, 1)
        self._place(parent, value, at, None, 1)

    def _begin(self, event: Any, value: dict[str, Plain] | list[Plain]) -> None:
        if event.tag is not None:
            self._tag(event)
        parent = self._open[-1] if self._open else None
        if parent is not None and parent.key is None:
            self._no_key(parent, event)
        mark = event.start_mark
        marks = Marks(_packed(mark.line, mark.column))
        self._place(parent, value, marks.at, marks, 0)
        if len(self._open) >= MAX_DEPTH:
            text = f"nested more than {MAX_DEPTH} deep. Check the brackets and the indentation."
            self._fail(_at(event), text)
        self._open.append(_Open(value, marks, event.anchor))

    def _tag(self, event: Any) -> None:
        text = f"the YAML tag {str(event.tag)!r} is not allowed. Remove it: every value is text."
        self._note(_at(event), text)

    def _no_key(self, parent: _Open | None, event: Any) -> None:
        if parent is not None and parent.key is None and isinstance(parent.value, dict):
            self._fail(
                _at(event), "a key must be plain text. Put quotes around it if it begins with [, { or *."
            )

    def _key(self, key: str, at: int, parent: _Open) -> None:
        known = parent.marks.keys
        if key == "<<":
            self._note(
                _spot(at), "merge keys (<<) are not supported. Write the keys out, or use `defaults:`."
            )
        elif key in known:
            first = _spot(known[key]).line
            self._note(_spot(at), f"key {key!r} is already in line {first}. Keep one of the two.")
        else:
            known[key] = at
        parent.key = key

    def _alias(self, event: Any) -> None:
        spot = _at(event)
        parent = self._open[-1] if self._open else None
        self._no_key(parent, event)
        if any(frame.anchor for frame in self._open):
            self._fail(spot, f"*{event.anchor} stands inside an anchored block. Write the value out.")
        if event.anchor not in self._anchors:
            self._fail(spot, f"*{event.anchor} names no anchor above it. Define &{event.anchor} first.")
        value, marks, size = self._anchors[event.anchor]
        self._repeated += size
        if self._repeated > MAX_REPEATED:
            self._fail(spot, f"aliases repeat more than {MAX_REPEATED} values. Write the values out.")
        self._place(parent, value, _packed(spot.line - 1, spot.column - 1), marks, size)

    def _place(self, parent: _Open | None, value: Plain, at: int, marks: Marks | None, size: int) -> None:
        if parent is None:
            self._document.value = value
            self._document.marks = marks or Marks(at)
            return
        parent.size += size
        into = parent.value
        key: str | int
        if type(into) is list:
            key = len(into)
            into.append(value)
        else:
            assert isinstance(into, dict)
            assert parent.key is not None
            key, parent.key = parent.key, None
            into[key] = value
        parent.marks.values[key] = at
        if marks is not None:
            parent.marks.inside[key] = marks
        elif parent.marks.inside:
            parent.marks.inside.pop(key, None)  # of an equal key before: the last one counts

    def _note(self, spot: Spot, text: str) -> None:
        self._document.problems.append(Problem(self._document.path, spot.line, spot.column, text))

    def _fail(self, spot: Spot, text: str) -> None:
        self._note(spot, text)
        raise FileProblems(self._document.problems)


def _at(event: Any) -> Spot:
    return Spot(event.start_mark.line + 1, event.start_mark.column + 1)
