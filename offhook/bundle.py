"""A call's record on disk: one folder a call, written as the call happens, complete after a crash.

    <calls_dir>/<YYYY-MM-DD>/<call_id>/
        call.json      who called whom, on which plan; at the end: how long, who ended it and why
        journal.jsonl  every event, one JSON object a line: at (loop time, s), wall (UTC), type, fields
        audio.wav      caller left, agent right; a worker writes it

`Bundle` is the writing side, driven by the switch: one write(2) an event, and nothing heavy is imported.
`Record` is the reading side, for the console, the command line and replay. Not a database: that is
`console/records.py`, an index which can be rebuilt from bundles at any time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from offhook.errors import BundleError

JOURNAL = "journal.jsonl"
AUDIO = "audio.wav"
FACTS = "call.json"

FOLDER_MODE = 0o750  # what people said is nothing for other users of the machine; a group may make backups

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Bundle:
    """The folder of a call that is going on. Closing it is not needed for it to be readable."""

    def __init__(self, path: Path, facts: dict[str, Any], journal: FileIO) -> None:
        self.path = path
        self.lost = 0  # events that could not be written: the disk was full or gone
        self.problem: OSError | None = None  # the first reason
        self._facts = facts
        self._journal = journal
        self._torn = False
        self.rows: tuple[dict[str, Any], ...] = ()  # what a process before us has written
        self._last: dict[str, Any] | None = None  # of them, the last one

    @classmethod
    def create(cls, root: Path, call_id: str, started: datetime, facts: Mapping[str, Any]) -> Bundle:
        """Make the folder of a call that begins now.

        call_id: our own, file-name safe (not the peer's Call-ID header). started: with a time zone.
        facts: plain values: direction, caller, called, route, plan version. Raises BundleError."""
        if not SAFE_ID.fullmatch(call_id):
            raise BundleError(
                f"call id {call_id!r} is not a safe folder name: use letters, digits, '.', '_', '-'"
            )
        path = root / started.astimezone(UTC).strftime("%Y-%m-%d") / call_id
        known = {**facts, "id": call_id, "started": iso(started)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(FOLDER_MODE)
            _write_facts(path, known)
            journal = open(path / JOURNAL, "ab", buffering=0)  # noqa: SIM115 - lives as long as the call
        except FileExistsError:
            raise BundleError(
                f"{path}: there is a call with this id already; ids must never repeat"
            ) from None
        except OSError as error:
            raise BundleError(
                f"{path}: cannot be written: {error.strerror}. Check calls_dir and its disk"
            ) from error
        return cls(path, known, journal)

    @classmethod
    def reopen(cls, path: Path) -> Bundle:
        """Go on with the record of a call that another process has begun. What that one was writing when it died is
        ended; an event that it has written already is not written twice. Raises BundleError."""
        record = Record.read(path)
        if record.ended:
            raise BundleError(f"{path}: this call is over; its record is complete")
        try:
            journal = open(path / JOURNAL, "ab", buffering=0)  # noqa: SIM115 - lives as long as the call
        except OSError as error:
            raise BundleError(f"{path}: cannot be written: {error.strerror}. Check its disk") from error
        bundle = cls(path, record.facts, journal)
        bundle._torn = bool(record.damage)
        bundle.rows = record.events
        bundle._last = _plain(record.events[-1]) if record.events else None
        return bundle

    @staticmethod
    def open(path: Path) -> Record:
        """Read a bundle, finished or not. Raises BundleError if there is none."""
        return Record.read(path)

    @property
    def audio_path(self) -> Path:
        """Where the worker writes the recording."""
        return self.path / AUDIO

    def fileno(self) -> int:
        """The journal's descriptor, -1 once the call is over."""
        return -1 if self._journal.closed else self._journal.fileno()

    def append(self, event: Mapping[str, Any], at: float, wall: datetime) -> None:
        """Write one event: `type` and plain values. at: loop time, s; it stands for the event's own `at`.

        Once this returns, killing the process does not lose the event. A full disk loses events (counted in
        `lost`), never the call."""
        row = {"at": at, "wall": iso(wall), **event}
        row["at"] = at
        if self._last is not None and _plain(json.loads(json.dumps(row))) == self._last:
            return
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        # A lone surrogate (bytes of a peer that were not UTF-8) becomes \udcXX, which JSON reads back.
        raw = line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            written = self._journal.write(b"\n" + raw if self._torn else raw)
        except OSError as error:
            self._lose(error)
            return
        if written < len(raw):  # the disk ran full inside the line
            self._torn = True
            self._lose(OSError("the disk is full"))
        else:
            self._torn = False

    def close(self, outcome: Mapping[str, Any]) -> None:
        """The call is over. outcome: ended (ISO UTC), duration_s, ended_by, ended_reason, code, cause, media report.

        Safe to call twice; the first outcome stays."""
        if self._journal.closed:
            return
        self._journal.close()
        self._facts |= outcome
        if self.lost:
            self._facts["events_lost"] = self.lost
        try:
            _write_facts(self.path, self._facts)
        except OSError as error:
            self.problem = self.problem or error

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()

    def _lose(self, error: OSError) -> None:
        self.lost += 1
        self.problem = self.problem or error


@dataclass(frozen=True, slots=True)
class Record:
    """A bundle as it was read. facts: call.json. events: the journal in order, unknown types included.

    damage: what was unreadable and skipped, in words, with its place; empty for a whole journal.
    """

    path: Path
    facts: dict[str, Any]
    events: tuple[dict[str, Any], ...]
    damage: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read the bundle in folder `path`. Raises BundleError if there is none."""
        events, damage = _read_journal(path / JOURNAL)
        return cls(path, read_facts(path), events, damage)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def ended(self) -> bool:
        """False while the call lasts, and for ever if the switch died during it."""
        return "ended" in self.facts

    @property
    def audio_path(self) -> Path | None:
        """The recording, None if the call has none."""
        path = self.path / AUDIO
        return path if path.is_file() else None


class Line(NamedTuple):
    """One thing that was said. at: when it began, in seconds since the first event.

    speaker: "caller", or the agent's name. text: of an agent's reply, what was *heard*.
    understood: False when the recogniser was not sure.
    """

    at: float
    speaker: str
    text: str
    interrupted: bool
    understood: bool = True


def transcript(record: Record) -> list[Line]:
    """What caller and agents said to each other, in the order of the journal."""
    lines: list[Line] = []
    first = float(record.events[0]["at"]) if record.events else 0.0
    began: dict[str, float] = {}  # who is speaking, since when
    for event in record.events:
        at = float(event["at"])
        aside = event.get("line") == "consultation"
        who, ours = ("colleague", "agent to colleague") if aside else ("caller", "agent")
        match event["type"]:
            case "CallerStartedSpeaking":
                began.setdefault(who, number(event.get("since")) or at)
            case "AgentStartedSpeaking":
                began.setdefault(ours, at)
            case "NothingHeard":
                began.pop(who, None)
            case "UserTurnCommitted":
                since, text = began.pop(who, at) - first, str(event.get("text", ""))
                lines.append(Line(round(since, 3), who, text, False, bool(event.get("understood", True))))
            case "AgentSpoke":
                since, text = began.pop(ours, at) - first, str(event.get("text", ""))
                speaker, cut = str(event.get("agent") or "agent"), bool(event.get("interrupted", False))
                lines.append(Line(round(since, 3), speaker, text, cut))
    return lines


def bundles(root: Path) -> Iterator[Path]:
    """The folders of all calls under `root`, oldest day first. An absent root holds none."""
    for facts in sorted(root.glob(f"????-??-??/*/{FACTS}")):
        yield facts.parent


def read_facts(path: Path) -> dict[str, Any]:
    """call.json of the bundle in folder `path`. Raises BundleError naming the file."""
    file = path / FACTS
    try:
        facts = json.loads(file.read_bytes())
    except OSError as error:
        raise BundleError(
            f"{file}: cannot be read: {error.strerror}. Is {path} the folder of a call?"
        ) from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise BundleError(f"{file}: is not JSON: {error}. Restore it, or move {path} away") from error
    if not isinstance(facts, dict):
        raise BundleError(
            f"{file}: holds {type(facts).__name__}, not an object. Restore it, or move {path} away"
        )
    return facts


def iso(moment: datetime) -> str:
    """A moment as bundles write it: UTC, to the millisecond, `Z` at the end."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def number(value: object) -> float | None:
    """A value out of an event as a finite number, None if it is anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def _write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Replace call.json in one step: a reader, and a crash, see the old one or the new one."""
    draft = path / f".{FACTS}"
    text = json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
    draft.write_bytes(text.encode("utf-8", "backslashreplace"))
    os.replace(draft, path / FACTS)


def _read_journal(path: Path) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:  # killed between making the folder and opening the journal
        return (), (f"{path}: there is no journal; nothing of this call was written",)
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read: {error.strerror}. Check the file's owner and disk"
        ) from error
    events, damage = [], []
    lines = raw.split(b"\n")  # the last one is empty if the journal is whole
    for count, line in enumerate(lines, 1):
        if event := _event(line):
            events.append(event)
        elif line:
            why = "cut off: the process died while writing it" if count == len(lines) else "not an event"
            damage.append(f"{path}:{count}: {why}; skipped")
    return tuple(events), tuple(damage)


def _event(line: bytes) -> dict[str, Any] | None:
    """The event on one line, or None if the line does not hold one."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return None
    return event if number(event.get("at")) is not None else None


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event without when it was written."""
    return {name: value for name, value in event.items() if name != "wall"}
