"""The plan that a server starts with: the file, if it is as good as a reload asks for; else the newest version that was
in use and still is good.

A server that is started again at night, by a machine, must answer the phone although somebody saved half a file in the
evening. Reads files, before the first call. Driven by server.py; what is wrong is then told by reloading.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import structlog

from offhook.errors import OffhookError
from offhook.plans.versions import Versions, VersionsError, snapshot
from offhook.settings import Settings
from telephony.dialplan.document import FileProblems, Problem
from telephony.dialplan.load import load_plan, load_tested
from telephony.dialplan.match import Plan
from telephony.dialplan.parcel import without_numbers
from telephony.dialplan.sources import Sources
from telephony.dialplan.trial import failed_tests

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why the file is not used. version: "" if it could not be read. files: that must change before it can be."""

    problems: tuple[str, ...]
    version: str = ""
    files: tuple[str, ...] = ()


class Beginning:
    """Offers plans, the best first. unfit: what is wrong with the file itself, None while it will do."""

    def __init__(self, settings: Settings) -> None:
        self._path, self._trunks = settings.dialplan, settings.lines
        self._versions = Versions(settings.plan_versions, settings.dialplan)
        self._offered = ""
        self._older = self._kept()
        self.unfit: Unfit | None = None

    def first(self) -> Plan:
        """The plan to begin with. Raises OffhookError with everything that is wrong if there is none."""
        try:
            plan = load_plan(self._path, trunks=self._trunks)
            self._offered = version = snapshot(plan).version
            if not (failed := failed_tests(plan)):
                return replace(without_numbers(plan), version=version)
            self.unfit = _unfit(failed, version)
        except FileProblems as error:
            self.unfit = _unfit(error.problems)
        except VersionsError as error:
            self.unfit = Unfit((str(error),))
        return self._instead()

    def other(self, reason: str) -> Plan:
        """The plan offered last is of no use to the workers. Raises OffhookError if there is no other."""
        if self.unfit is None:
            self.unfit = Unfit((f"{self._path}: {reason}",), self._offered)
        return self._instead()

    def _instead(self) -> Plan:
        assert self.unfit is not None
        if (plan := next(self._older, None)) is not None:
            return plan
        where = self._versions.folder
        fact = f"The server does not start: {where} has no version of this plan that was in use and is good."
        remedy = f"Mend what is named above; `offhook dialplan check {self._path}` looks again."
        raise OffhookError("\n".join([*self.unfit.problems, fact, remedy]))

    def _kept(self) -> Iterator[Plan]:
        for version in self._versions.used():
            if version == self._offered:
                continue
            try:
                sources = Sources(self._versions.files(version))
                plan = load_tested(self._path, trunks=self._trunks, sources=sources)
            except (FileProblems, VersionsError) as error:
                log.warning("kept_plan_not_used", version=version, why=str(error).partition("\n")[0])
                continue
            self._offered = version
            yield replace(without_numbers(plan), version=version)


def _unfit(problems: Sequence[Problem], version: str = "") -> Unfit:
    files = tuple(dict.fromkeys(problem.path for problem in problems))
    return Unfit(tuple(map(str, problems)), version, files)
