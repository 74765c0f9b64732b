"""From a checked plan's models to what calls are matched with: indexes, conditions, calendars, teams. Pure.

Files that the plan names (holidays, lists of callers) have been read by `files.py`. Driven by load.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from zoneinfo import ZoneInfo

from telephony.dialplan.condition import Callers, condition
from telephony.dialplan.document import Spot
from telephony.dialplan.hours import Hours, hours
from telephony.dialplan.index import Index
from telephony.dialplan.match import Branching, Numbering, Plan, Rule, teams
from telephony.dialplan.model import DialPlan
from telephony.dialplan.number import parse_pattern

UTC = "UTC"


@dataclass(frozen=True, slots=True)
class FilesRead:
    """What is in the files that a plan names. holidays: .ics file → days; callers: list → numbers."""

    holidays: Mapping[str, Mapping[date, str]] = field(default_factory=dict)
    callers: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plan comes from. place: of part `route` of number `position` (None: the number) → file and line.
    test_place: of what the test of that position expects."""

    name: str
    path: str
    version: str
    place: Callable[[int, int | None], tuple[str, int]]
    files: tuple[str, ...] = ()
    test_place: Callable[[int], tuple[str, Spot]] = lambda position: ("", Spot(0, 0))


def bare_rules(spec: DialPlan, source: Source) -> list[Rule]:
    """The number rules, as yet without their conditions."""
    found = []
    for position, action in enumerate(spec.numbers):
        file, line = source.place(position, None)
        found.append(Rule(parse_pattern(action.number), action, position, line, file))
    return found


def compile_plan(spec: DialPlan, source: Source, bare: Sequence[Rule], files: FilesRead) -> Plan:
    """Make a plan ready for calls. It must have been checked."""
    zone = spec.timezone or UTC
    calendars = compiled_calendars(spec, files)
    lists = {
        name: Callers((*known.numbers, *files.callers.get(name, ()))) for name, known in spec.lists.items()
    }
    levels: dict[int, Index[Rule]] = {}
    for known_rule in bare:
        rule = known_rule
        if rule.action.routes:
            branches = _branches(rule, source, lists, calendars, ZoneInfo(zone))
            rule = replace(rule, branches=branches)
        if (index := levels.get(rule.action.priority)) is None:
            index = levels[rule.action.priority] = Index()
        index.add(rule)
    return Plan(
        spec,
        source.name,
        source.path,
        source.version,
        tuple(sorted(levels.items(), key=lambda level: -level[0])),
        teams(spec, source.path),
        calendars,
        {name: numbering(use.numbers) for name, use in spec.trunks.items() if use.numbers != "as_sent"},
        source.files,
        tuple(source.test_place(position) for position in range(len(spec.tests))),
    )


def compiled_calendars(spec: DialPlan, files: FilesRead) -> dict[str, Hours]:
    """The calendars of a plan, ready to be asked."""
    return {
        name: hours(calendar, spec.timezone or UTC, files.holidays)
        for name, calendar in spec.calendars.items()
    }


def _branches(
    rule: Rule,
    source: Source,
    lists: Mapping[str, Callers],
    calendars: Mapping[str, Hours],
    zone: ZoneInfo,
) -> tuple[Branching, ...]:
    """A rule's routes, with conditions that can be asked."""
    return tuple(
        Branching(
            condition(branch.when, lists, calendars, zone) if branch.when else None,
            branch,
            source.place(rule.position, at)[1],
        )
        for at, branch in enumerate(rule.action.routes)
    )


def numbering(text: str) -> Numbering:
    """`e164`, or `national de`: what numbers of that country begin with. Raises ValueError for no country."""
    if text == "e164":
        return Numbering("", "", "00")
    import phonenumbers  # takes 50 ms, and few plans need it

    region = text.rpartition(" ")[2].upper()
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        raise ValueError(f"{region!r} is no country. Write its two letters: national de.")
    international = metadata.international_prefix or "00"
    return Numbering(
        str(metadata.country_code),
        metadata.national_prefix or "",
        international if international.isdigit() else "00",
    )
