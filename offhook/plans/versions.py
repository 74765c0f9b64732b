"""Every version of a dial plan that was in use or offered: its files, who, when, why, and what became of it.

A folder a plan: `history.jsonl`, one line a fact, never rewritten; and one folder a version with all files of the plan,
`files.json`, which says where each belongs. Written by the switch's reader (files), the switch, the console's API
and the command line (facts). Knows nothing of what is in a plan but the names of its files."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

from offhook.errors import OffhookError
from telephony.dialplan.match import Plan

What: TypeAlias = Literal["saved", "in_use", "refused"]

HISTORY = "history.jsonl"
MANIFEST = "files.json"
ORIGIN = "origin"  # where the main file was: plans of one name share a folder
BY_HAND = "edited in place"


class VersionsError(OffhookError):
    """A version cannot be kept, found or put back."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the history. what: saved (by API or command), in_use (calls are routed by it), refused.

    at: ISO 8601 UTC. problems: why it was refused, one a line of text."""

    at: str
    what: What
    version: str
    author: str
    reason: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A plan's files. version: 12 hex digits that change with any byte of any of them."""

    version: str
    main: Path
    files: tuple[Path, ...]


def snapshot(plan: Plan, main: bytes | None = None) -> Snapshot:
    """The files that a plan was read from. main: of the main file, if it is not the one on disk. Raises VersionsError
    if one is gone by now."""
    files = files_of(plan)
    try:
        return Snapshot(_version_of(files, main), files[0], files)
    except OSError as error:
        raise VersionsError(f"{error.filename}: {error.strerror}. Put it back.") from None


def files_of(plan: Plan) -> tuple[Path, ...]:
    """The main file, its imports, and the calendars and lists that they name."""
    folder = Path(plan.path).parent
    named = [text for each in plan.spec.calendars.values() for text in each.holidays if _is_file(text)]
    named += [known.file for known in plan.spec.lists.values() if known.file]
    return tuple(dict.fromkeys([*map(Path, plan.files or (plan.path,)), *(folder / name for name in named)]))


def _is_file(text: str) -> bool:
    return text.lower().endswith(".ics")


class Versions:
    """The versions of one plan. root: where those of all plans are kept; plan: its main file."""

    def __init__(self, root: Path, plan: Path) -> None:
        self._plan = plan
        self.folder = root / plan.stem

    # ------------------------------------------------------------ history

    def note(
        self, what: What, version: str, *, author: str = "", reason: str = "", problems: Sequence[str] = ()
    ) -> Fact:
        """Add a fact. author, reason: "" for those of whoever saved this version last, or for who owns the file."""
        said = self._saved(version)
        author = author or (said.author if said else owner(self._plan))
        reason = reason or (said.reason if said else BY_HAND)
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        fact = Fact(at, what, version, author, reason, tuple(problems))
        append_line(self.folder / HISTORY, asdict(fact))
        return fact

    def history(self) -> list[Fact]:
        """All facts, the oldest first. A line that is no fact is left out: a crash may have cut it."""
        facts = []
        for line in _lines(self.folder / HISTORY):
            try:
                row = json.loads(line)
                facts.append(Fact(**{**row, "problems": tuple(row.get("problems", ()))}))
            except (ValueError, TypeError, AttributeError):
                continue
        return facts

    def last(self, *what: What) -> Fact | None:
        """The newest fact of these kinds."""
        return next((fact for fact in reversed(self.history()) if fact.what in what), None)

    def _saved(self, version: str) -> Fact | None:
        """Who saved this version, if no other was saved or used since."""
        for fact in reversed(self.history()):
            if fact.what == "saved":
                return fact if fact.version == version else None
            if fact.what == "in_use" and fact.version != version:
                return None
        return None

    # ------------------------------------------------------------ files

    def keep(self, taken: Snapshot) -> None:
        """Copy a plan's files. Raises VersionsError if that cannot be done, or if they have changed meanwhile."""
        folder = self.folder / taken.version
        if (folder / MANIFEST).exists():
            return
        fresh = self.folder / f".{taken.version}.{os.getpid()}"
        try:
            fresh.mkdir(parents=True)
            names = {}
            for at, file in enumerate(taken.files):
                name = f"{at:02d}-{file.name}"
                shutil.copyfile(file, fresh / name)
                names[name] = os.path.relpath(file, taken.main.parent)
            if _version_of([fresh / name for name in names]) != taken.version:
                raise VersionsError(f"{taken.main}: was changed while it was read. Save it again.")
            (fresh / ORIGIN).write_text(os.path.abspath(taken.main), encoding="utf-8")
            (fresh / MANIFEST).write_text(json.dumps(names, indent=1), encoding="utf-8")
            if not folder.exists():
                fresh.rename(folder)
        except OSError as error:
            raise VersionsError(f"{self.folder}: {error.strerror}. Versions cannot be kept.") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def kept(self) -> list[str]:
        """The versions whose files are there."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{MANIFEST}"))

    def used(self) -> Iterator[str]:
        """Versions of the plan at this path that were in use and whose files are there, the newest first."""
        seen = set()
        for fact in reversed(self.history()):
            folder = self.folder / fact.version
            if fact.what != "in_use" or fact.version in seen or not (folder / MANIFEST).exists():
                continue
            seen.add(fact.version)
            origin = "".join(_lines(folder / ORIGIN))
            if origin in ("", os.path.abspath(self._plan)):
                yield fact.version

    def find(self, version: str) -> str:
        """The version that begins so. "": the one that was in use before the present one. Raises VersionsError."""
        if not version:
            used = [fact.version for fact in self.history() if fact.what == "in_use"]
            before = [one for one in used if used and one != used[-1]]
            if not before:
                raise VersionsError("there is no version before this one. See `offhook dialplan history`.")
            return before[-1]
        found = [one for one in self.kept() if one.startswith(version)]
        if len(found) != 1:
            fact = "no version" if not found else f"{len(found)} versions"
            raise VersionsError(f"{fact} {version!r}. See `offhook dialplan history`.")
        return found[0]

    def files(self, version: str) -> dict[Path, bytes]:
        """The files of a version by where they belong, the main file first. Raises VersionsError."""
        folder = self.folder / version
        try:
            names = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            return {
                Path(os.path.normpath(self._plan.parent / place)): (folder / name).read_bytes()
                for name, place in names.items()
            }
        except (OSError, ValueError, AttributeError) as error:
            raise VersionsError(f"{folder}: version {version} cannot be read ({error}).") from None

    def put_back(self, version: str, *, author: str, reason: str) -> Fact:
        """Make a version's files the plan's again, as somebody's change. The switch takes them as any other."""
        with self.locked():
            files = self.files(version)
            fact = self.note("saved", version, author=author, reason=reason)
            for path, data in reversed(files.items()):  # the main file last: it is what names the others
                write(path, data)
            return fact

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One change at a time, over all processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def write(path: Path, data: bytes) -> None:
    """Put a file in place as a whole: whoever reads it sees the old one or the new one. Raises VersionsError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(data)
        if path.exists():
            shutil.copymode(path, fresh)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise VersionsError(f"{path}: {error.strerror}. May we write there?") from error


def append_line(path: Path, row: dict[str, object]) -> None:
    """One JSON line at the end of a file, in one write. Raises VersionsError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise VersionsError(f"{path}: {error.strerror}. May we write there?") from error


def owner(path: Path) -> str:
    """Who owns a file: the best guess at who saved it."""
    try:
        uid = path.stat().st_uid
        return pwd.getpwuid(uid).pw_name
    except OSError:
        return "unknown"
    except KeyError:
        return str(uid)


def _version_of(files: Sequence[Path], main: bytes | None = None) -> str:
    texts = (file.read_bytes() if at or main is None else main for at, file in enumerate(files))
    hashes = [sha256(text).hexdigest() for text in texts]
    return (hashes[0] if len(hashes) == 1 else sha256(" ".join(hashes).encode()).hexdigest())[:12]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
