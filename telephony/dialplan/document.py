"""A YAML file as an admin wrote it: every scalar is text, every node knows its line and column.

YAML's own guessing loses phone numbers (`+1415...` loses its plus, `10:00` is 600, `no` is false) and
silently keeps the last of two equal keys. Here nothing is guessed; the models in `model.py` say what a text
must be. Not a validator of meaning (load.py, check.py). Reads one file, otherwise pure."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from telephony.errors import PlanError

Loc: TypeAlias = tuple[str | int, ...]
Plain: TypeAlias = "str | None | list[Plain] | dict[str, Plain]"

MAX_DEPTH = 40  # a plan nests about 8 deep; more is a mistake or an attack on the parser


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file. line and column count from 1; line 0: not a place in the file."""

    path: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return (
            f"{self.path}:{self.line}:{self.column}: {self.text}"
            if self.line
            else f"{self.path}: {self.text}"
        )


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
class Document:
    """The file's content as text, lists and mappings, and where each of them stands.

    version: first 12 hex digits of the SHA-256 of the bytes. value: None for an empty file or an empty value.
    problems: what was found while reading and did not stop the reading (equal keys, tags).
    """

    path: str
    version: str
    value: Plain = None
    problems: list[Problem] = field(default_factory=list)
    spots: dict[Loc, Spot] = field(default_factory=dict)
    key_spots: dict[Loc, Spot] = field(default_factory=dict)

    def spot(self, loc: Loc) -> Spot:
        """Where the value at `loc` stands; where its nearest parent stands if it is not in the file."""
        while loc and loc not in self.spots:
            loc = loc[:-1]
        return self.spots.get(loc, Spot(1, 1))

    def key_spot(self, loc: Loc) -> Spot:
        """Where the key that `loc` ends in stands."""
        return self.key_spots.get(loc) or self.spot(loc)

    def problem(self, loc: Loc, text: str, *, key: bool = False) -> Problem:
        """A problem with the value (or the key) at `loc`."""
        spot = self.key_spot(loc) if key else self.spot(loc)
        return Problem(self.path, spot.line, spot.column, text)


def read_file(path: str | Path) -> Document:
    """Read one YAML file. Raises FileProblems if it cannot be read or is not YAML."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileProblems([Problem(str(path), 0, 0, f"cannot be read: {why}. Check the path.")]) from error
    return read_document(data, str(path))


def read_document(data: bytes, path: str) -> Document:
    """Read YAML from bytes. path: only for messages. Raises FileProblems if it is not YAML (1.2.2)."""
    document = Document(path, hashlib.sha256(data).hexdigest()[:12])
    _Builder(document).build(_decode(data, document))
    return document


def nearest(word: str, known: Iterable[str]) -> str:
    """The remedy of a message: `Did you mean 'x'?` if a known name is close, else the known ones."""
    names = sorted(set(known))
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    if close:
        return f" Did you mean {by_lower[close[0]]!r}?"
    return f" Known: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}." if names else ""


def _decode(data: bytes, document: Document) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
        text = f"byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        raise FileProblems([Problem(document.path, line, column, text)]) from error


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read. key: the mapping key whose value comes next."""

    value: list[Plain] | dict[str, Plain]
    loc: Loc
    anchor: str | None
    key: str | None = None


class _Builder:
    """Parser events in, one Document out. Works on events, so that no scalar is ever resolved."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: list[_Open] = []
        self._anchors: dict[str, Plain] = {}
        self._documents = 0

    def build(self, text: str) -> None:
        try:
            for event in _events(text):
                self._take(event)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            spot = Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)
            what = " ".join(str(part) for part in (error.context, error.problem) if part)
            self._fail(spot, f"not YAML: {what}. Check indentation, quotes and brackets from here upwards.")
        except ReaderError as error:
            before = text[: error.position]
            spot = Spot(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
            self._fail(spot, "a control character is not allowed in YAML. Remove it.")
        except (YAMLError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            # Some broken input trips up the library's own scanner.
            self._fail(Spot(1, 1), f"not YAML: {error}. Check quotes, brackets and lines that begin with %.")

    def _take(self, event: Any) -> None:
        kind = type(event).__name__
        if kind in ("ScalarEvent", "AliasEvent", "SequenceStartEvent", "MappingStartEvent"):
            spot = Spot(event.start_mark.line + 1, event.start_mark.column + 1)
            self._node(kind, event, spot)
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            closed = self._open.pop()
            if closed.anchor:
                self._anchors[closed.anchor] = closed.value
        elif kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                spot = Spot(event.start_mark.line + 1, event.start_mark.column + 1)
                self._fail(spot, "a second YAML document begins here. Remove the line of three dashes.")

    def _node(self, kind: str, event: Any, spot: Spot) -> None:
        if kind != "AliasEvent" and event.tag is not None:
            self._note(
                spot, f"the YAML tag {str(event.tag)!r} is not allowed. Remove it: every value is text."
            )
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._key(kind, event, spot, parent)
            return
        loc = self._next_loc(parent)
        if kind == "ScalarEvent":
            empty = event.value == "" and event.style not in ("'", '"')
            value: Plain = None if empty else str(event.value)
            if event.anchor:
                self._anchors[event.anchor] = value
        elif kind == "AliasEvent":
            value = self._alias(event, spot)
        else:
            value = [] if kind == "SequenceStartEvent" else {}
        self._document.spots[loc] = spot
        self._place(parent, value)
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            if len(self._open) >= MAX_DEPTH:
                self._fail(
                    spot, f"nested more than {MAX_DEPTH} deep. Check the brackets and the indentation."
                )
            assert isinstance(value, (list, dict))
            self._open.append(_Open(value, loc, event.anchor))

    def _key(self, kind: str, event: Any, spot: Spot, parent: _Open) -> None:
        if kind != "ScalarEvent":
            self._fail(spot, "a key must be plain text. Put quotes around it if it begins with [, { or *.")
        key = str(event.value)
        loc = (*parent.loc, key)
        if key == "<<":
            self._note(spot, "merge keys (<<) are not supported. Write the keys out, or use `defaults:`.")
        elif loc in self._document.key_spots:
            first = self._document.key_spots[loc].line
            self._note(spot, f"key {key!r} is already in line {first}. Keep one of the two.")
        else:
            self._document.key_spots[loc] = spot
        parent.key = key

    def _alias(self, event: Any, spot: Spot) -> Plain:
        if any(frame.anchor for frame in self._open):
            self._fail(spot, f"*{event.anchor} stands inside an anchored block. Write the value out.")
        if event.anchor not in self._anchors:
            self._fail(spot, f"*{event.anchor} names no anchor above it. Define &{event.anchor} first.")
        return self._anchors[event.anchor]

    @staticmethod
    def _next_loc(parent: _Open | None) -> Loc:
        if parent is None:
            return ()
        if isinstance(parent.value, list):
            return (*parent.loc, len(parent.value))
        assert parent.key is not None
        return (*parent.loc, parent.key)

    def _place(self, parent: _Open | None, value: Plain) -> None:
        if parent is None:
            self._document.value = value
        elif isinstance(parent.value, list):
            parent.value.append(value)
        else:
            assert parent.key is not None
            parent.value[parent.key] = value
            parent.key = None

    def _note(self, spot: Spot, text: str) -> None:
        self._document.problems.append(Problem(self._document.path, spot.line, spot.column, text))

    def _fail(self, spot: Spot, text: str) -> None:
        self._note(spot, text)
        raise FileProblems(self._document.problems)


def _events(text: str) -> Iterator[Any]:
    yaml = YAML(typ="safe", pure=True)
    yield from yaml.parse(text)
