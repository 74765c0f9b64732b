"""The files that a plan names: music, holidays, lists of callers. Looked at when the plan is loaded: a caller must
not be the first to find out.

Reads files; paths are seen from the plan. Driven by load.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from telephony.dialplan.assembly import Assembly
from telephony.dialplan.compile import FilesRead
from telephony.dialplan.document import Loc, Problem
from telephony.dialplan.holidays import NoCalendar, read_holidays
from telephony.dialplan.model import DialPlan
from telephony.dialplan.music import BUILT_IN, fault, located
from telephony.dialplan.number import parse_pattern
from telephony.dialplan.routing import ANONYMOUS
from telephony.dialplan.saying import Saying
from telephony.dialplan.sources import DISK, Sources

MAX_CALLERS = 1_000_000
SHORTEST_S = 0.1  # of what is said out of a file


def read_files(plan: Assembly, spec: DialPlan, sources: Sources = DISK) -> tuple[FilesRead, list[Problem]]:
    """What is in the files, and what is wrong with them, each where it is named first."""
    problems = [*_music(plan, spec), *_sounds(plan, spec)]
    folder = Path(plan.path).parent
    holidays: dict[str, dict[date, str]] = {}
    for name, calendar in spec.calendars.items():
        for text in calendar.holidays:
            if text.lower().endswith(".ics") and text not in holidays:
                try:
                    holidays[text] = dict(read_holidays(folder / text, sources))
                except NoCalendar as error:
                    holidays[text] = {}
                    problems.append(_named(plan, ("calendars", name, "holidays"), text, str(error)))
    callers: dict[str, Sequence[str]] = {}
    for name, known in spec.lists.items():
        if known.file:
            try:
                callers[name] = list(_callers(folder / known.file, sources))
            except ValueError as error:
                problems.append(plan.problem(("lists", name, "file"), str(error)))
    return FilesRead(holidays, callers), problems


def _named(plan: Assembly, loc: Loc, text: str, fact: str) -> Problem:
    """At the entry of a list or mapping that is called so."""
    value = plan.value
    for part in loc:
        value = value.get(str(part)) if isinstance(value, dict) else None
    if isinstance(value, list) and text in value:
        return plan.problem((*loc, value.index(text)), fact)
    return plan.problem((*loc, text) if isinstance(value, dict) else loc, fact, key=isinstance(value, dict))


def _callers(path: Path, sources: Sources) -> Iterator[str]:
    """Numbers and patterns, one a line, the first column of a table. Raises ValueError with place and remedy."""
    try:
        lines = sources.read(path).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}. Check the path.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8. Save it as UTF-8.") from None
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


def _sounds(plan: Assembly, spec: DialPlan) -> Iterator[Problem]:
    """What is said out of files."""
    for loc, saying in sayings(spec):
        if saying.sound and (text := fault(saying.located(plan.path).sound, "sound", (), SHORTEST_S)):
            yield plan.problem((*loc, "sound"), text)


def sayings(spec: DialPlan) -> Iterator[tuple[Loc, Saying]]:
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


def _music(plan: Assembly, spec: DialPlan) -> Iterator[Problem]:
    named: dict[str, Loc] = {}
    for at in range(len(spec.numbers) - 1, -1, -1):
        if (music := spec.numbers[at].hold_music) is not None:
            named[located(music, plan.path)] = ("numbers", at, "hold_music")
    named[located(spec.defaults.hold_music, plan.path)] = ("defaults", "hold_music")
    for path, loc in named.items():
        if path not in BUILT_IN and (text := fault(path)):
            yield plan.problem(loc, text)
