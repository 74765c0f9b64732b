"""The files that a plan names: sounds, holidays, lists of callers. Looked at when the plan is loaded: a caller must
not be the first to find out.

Reads files; paths are seen from the plan. Driven by load.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from telephony.dialplan.compile import FilesRead
from telephony.dialplan.document import Loc
from telephony.dialplan.finding import Finding
from telephony.dialplan.holidays import NoCalendar, read_holidays
from telephony.dialplan.model import Defaults, DialPlan, Persona
from telephony.dialplan.music import BUILT_IN, THINKING, fault, located
from telephony.dialplan.number import parse_pattern
from telephony.dialplan.persona import thinking_file
from telephony.dialplan.routing import ANONYMOUS
from telephony.dialplan.saying import Saying
from telephony.dialplan.sources import DISK, Sources

MAX_CALLERS = 1_000_000
SHORTEST_S = 0.1  # of what is said out of a file


def read_files(path: str, spec: DialPlan, sources: Sources = DISK) -> tuple[FilesRead, list[Finding]]:
    """What is in the files, and what is wrong with them, each where it is named first. path: of the plan.
    sources: where what it names is read from, but for sounds."""
    findings = [*_sounds(path, spec), *_recorded(path, spec)]
    folder = Path(path).parent
    holidays: dict[str, dict[date, str]] = {}
    for name, calendar in spec.calendars.items():
        for text in calendar.holidays:
            if text.lower().endswith(".ics") and text not in holidays:
                try:
                    holidays[text] = dict(read_holidays(folder / text, sources))
                except NoCalendar as error:
                    holidays[text] = {}
                    findings.append(Finding(("calendars", name, "holidays", text), str(error), key=True))
    callers: dict[str, Sequence[str]] = {}
    for name, known in spec.lists.items():
        if known.file:
            try:
                callers[name] = list(_callers(folder / known.file, sources))
            except ValueError as error:
                findings.append(Finding(("lists", name, "file"), str(error)))
    return FilesRead(holidays, callers), findings


def _callers(path: Path, sources: Sources) -> Iterator[str]:
    """Numbers and patterns, one a line, the first column of a table. Raises ValueError with place and remedy."""
    try:
        lines = sources.read(path).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}. Check the path.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8. Save it as UTF-8.") from None
    except ValueError as error:  # a path with a NUL byte
        raise ValueError(f"{str(path)!r}: {error}. Check the path.") from None
    if len(lines) > MAX_CALLERS:
        raise ValueError(f"{path}: has more than {MAX_CALLERS} lines. Use prefixes, +49160*.")
    for at, line in enumerate(lines, 1):
        text = line.replace(";", ",").partition(",")[0].strip().strip('"')
        if not text or text.startswith("#") or (at == 1 and text.isalpha() and text.lower() != ANONYMOUS):
            continue
        if text.lower() != ANONYMOUS:
            try:
                parse_pattern(text)
            except ValueError as error:
                raise ValueError(f"{path}:{at}: {error}") from None
        yield text


def _sounds(path: str, spec: DialPlan) -> Iterator[Finding]:
    """Hold music, and what is heard while agents think."""
    music: dict[str, Loc] = {located(spec.defaults.hold_music, path): ("defaults", "hold_music")}
    for at, rule in enumerate(spec.numbers):
        if rule.hold_music is not None:
            music.setdefault(located(rule.hold_music, path), ("numbers", at, "hold_music"))
    thinking: dict[str, Loc] = {}
    owners: list[tuple[Loc, Defaults | Persona]] = [(("defaults",), spec.defaults)]
    owners += [(("agents", name), persona) for name, persona in spec.agents.items()]
    for loc, owner in owners:
        if sound := thinking_file(owner):
            own: Loc = ("sound",) if isinstance(owner.thinking_sound, dict) else ()
            thinking.setdefault(located(sound, path, THINKING), (*loc, "thinking_sound", *own))
    for named, what, built_in in (
        (music, "hold music", BUILT_IN),
        (thinking, "thinking_sound", THINKING),
    ):
        for file, place in named.items():
            if file not in built_in and (text := fault(file, what, built_in)):
                yield Finding(place, text)


def _recorded(path: str, spec: DialPlan) -> Iterator[Finding]:
    """What is said out of files."""
    for loc, saying in _sayings(spec):
        if saying.sound and (text := fault(saying.located(path).sound, "sound", (), SHORTEST_S)):
            yield Finding((*loc, "sound"), text)


def _sayings(spec: DialPlan) -> Iterator[tuple[Loc, Saying]]:
    """Everything that callers may hear out of a file, and where it stands."""
    yield ("defaults", "announcement"), spec.defaults.announcement
    yield ("defaults", "consent"), spec.defaults.consent
    for name, target in spec.targets.items():
        for kind in ("voicemail", "play", "menu", "queue"):
            for key, value in getattr(target, kind) or ():
                if isinstance(value, Saying):
                    yield ("targets", name, kind, key), value
    for at, rule in enumerate(spec.numbers):
        if rule.announcement is not None:
            yield ("numbers", at, "announcement"), rule.announcement
