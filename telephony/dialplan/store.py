"""The plan that new calls are matched against. One pointer: calls on the line keep their Route."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from telephony.dialplan.condition import CallFacts
from telephony.dialplan.load import Also, load_tested
from telephony.dialplan.match import Decision, Plan, decide, match
from telephony.dialplan.model import Persona, Route


class PlanStore:
    """Holds the current plan; a broken file never replaces a good one. Driven by offhook/switch."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @classmethod
    def open(
        cls, path: str | Path, trunks: Mapping[str, int] | None = None, also: Also | None = None
    ) -> PlanStore:
        """Start with the plan in a file, whose tests must be good. trunks, also: see load_plan. Raises FileProblems."""
        return cls(load_tested(path, trunks=trunks, also=also))

    @property
    def current(self) -> Plan:
        return self._plan

    @property
    def agents(self) -> dict[str, Persona]:
        """Every agent of the current plan, with the plan's defaults."""
        return {name: team[name] for name, team in self._plan.teams.items()}

    def swap(self, plan: Plan) -> Plan:
        """Use another plan from the next call on. Returns the plan that was current."""
        before, self._plan = self._plan, plan
        return before

    def reload(self, path: str | Path | None = None) -> Plan:
        """Read the file again (or another one) and use it. Raises FileProblems and keeps the old plan."""
        plan = load_tested(path or self._plan.path)
        self.swap(plan)
        return plan

    def route(self, called: str, caller: str = "") -> Route:
        """The route of one call under the current plan. Raises NoSuchNumber."""
        return match(self._plan, called, caller)

    def decide(self, call: CallFacts) -> Decision:
        """What becomes of one call under the current plan."""
        return decide(self._plan, call)
