"""A process that reads a dial plan for the switch: checks it, runs its tests, keeps its files, hands it over in pieces.

    python -m offhook.plans PATH --versions FOLDER [--trunks JSON]

Its standard output is frames, four bytes of length before each: first a `Verdict` as JSON, then, if the plan is good,
the pieces of telephony/dialplan/parcel.py, and an empty frame. It is nice to the processes that keep a clock."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from offhook.plans.playable import unplayable
from offhook.plans.verdict import LENGTH, Verdict
from offhook.plans.versions import Versions, VersionsError, snapshot
from telephony.dialplan.document import FileProblems
from telephony.dialplan.load import load_plan
from telephony.dialplan.match import Plan
from telephony.dialplan.parcel import pack
from telephony.dialplan.trial import failed_tests

NICE = 10


def read(path: Path, root: Path, trunks: Mapping[str, int] | None = None) -> tuple[Verdict, Plan | None]:
    """Everything that must be good before a plan is used, and the plan with the version of its snapshot."""
    try:
        plan = load_plan(path, trunks=trunks, also=unplayable)
        taken = snapshot(plan)
        if failed := failed_tests(plan):
            return Verdict(version=taken.version, problems=tuple(map(str, failed))), None
        Versions(root, path).keep(taken)
    except FileProblems as error:
        files = tuple(dict.fromkeys(problem.path for problem in error.problems))
        return Verdict(problems=tuple(map(str, error.problems)), files=files), None
    except VersionsError as error:
        return Verdict(problems=(str(error),)), None
    verdict = Verdict(
        version=taken.version,
        agents={name: team[name].model_dump(mode="json") for name, team in plan.teams.items()},
        files=tuple(map(str, taken.files)),
        tests=len(plan.spec.tests),
        numbers=len(plan.spec.numbers),
    )
    return verdict, replace(plan, version=taken.version)


def frames(verdict: Verdict, plan: Plan | None) -> Iterator[bytes]:
    """What goes over the pipe."""
    yield verdict.model_dump_json().encode()
    if plan is not None:
        yield from pack(plan)
        yield b""


def serve(path: Path, root: Path, out: BinaryIO, trunks: Mapping[str, int] | None = None) -> None:
    """The whole life of the process."""
    os.nice(NICE)
    for frame in frames(*read(path, root, trunks)):
        out.write(LENGTH.pack(len(frame)) + frame)
    out.flush()
