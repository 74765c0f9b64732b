"""What a dial plan may say as a whole, and the Route that comes out of it. Pure data.

Its parts are in persona.py (who talks), routing.py (where calls go), hours.py (when), values.py (single texts); what
others need of them is named here. Cross references are `check.py`'s business; which number wins is `match.py`'s."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, TypeAdapter

from telephony.dialplan.hours import Calendar, Zone
from telephony.dialplan.persona import (
    Collect,
    Defaults,
    Destination,
    GiveUp,
    Intent,
    McpChoice,
    OnFailure,
    Persona,
    ProviderChoice,
    Script,
    VoiceChoice,
)
from telephony.dialplan.routing import (
    Branch,
    CallerLists,
    Limit,
    NumberRoute,
    NumberText,
    PlanTest,
    TargetSpec,
    Trunks,
    When,
)
from telephony.dialplan.saying import Saying
from telephony.dialplan.values import (
    BUILT_IN_TOOLS,
    COLLECTED,
    SLOTS,
    BeforeAnswer,
    Cassette,
    Country,
    Names,
    PlanModel,
    Recording,
)

__all__ = [
    "BUILT_IN_TOOLS", "COLLECTED", "CONSENT", "SLOTS", "TEAM", "Branch", "Calendar", "Collect", "Consent", "Defaults",
    "Desk", "Destination", "DialPlan", "GiveUp", "Intent", "Limit", "McpChoice", "NumberRoute", "OnFailure", "Persona",
    "PlanModel", "PlanTest", "ProviderChoice", "Route", "Saying", "Script", "TargetSpec", "VoiceChoice", "When",
]  # fmt: skip

CONSENT = "(consent)"  # who asks whether the call may be recorded; no agent can have that name


class DialPlan(PlanModel):
    """A whole file, with what it imports. version: of this format, always 1. allowed: where callers may be sent."""

    version: Literal["1"]
    name: str = ""
    timezone: Zone | None = None
    imports: Names = ()
    defaults: Defaults = Defaults()
    trunks: Trunks = {}
    allowed: tuple[NumberText, ...] = ()
    calendars: dict[str, Calendar] = {}
    lists: CallerLists = {}
    mcp: dict[str, McpChoice] = {}
    agents: dict[str, Persona] = Field(min_length=1)
    targets: dict[str, TargetSpec] = {}
    numbers: tuple[NumberRoute, ...] = Field(min_length=1)
    tests: tuple[PlanTest, ...] = ()


# ---------------------------------------------------------------- what a call gets


class Consent(PlanModel):
    """The question whether the call may be recorded, and who takes the call then."""

    question: Saying
    then: str
    if_refused: Literal["continue", "hang_up"] = "continue"


class Desk(Persona):
    """A target as whoever talks to the caller: it says what the plan says, in the plan's voice, without a model."""

    does: TargetSpec | Consent


TEAM: TypeAdapter[dict[str, Desk | Persona]] = TypeAdapter(dict[str, Desk | Persona])
"""Agents and targets by name, from plain values."""


class Route(PlanModel):
    """Where one call goes: everything a worker needs, nothing that a later edit of the plan could change.

    number: the rule as written, line: where it stands, in file. agent: who takes the call, an agent or a target.
    agents: it, all it can hand over to, and those of `fallback`. plan, plan_version: the plan's name and content hash.
    max_call_s: None if calls may last for ever. hold_music: a built-in name or a file's path as this process sees it.
    arm: which share of a split the call got, "" for none. on_failure: the SIP address for callers whom recogniser,
    model or voice have failed. fallback: who takes the call when it cannot go on: names in `agents`, or SIP addresses.
    """

    called: str
    caller: str = ""
    number: str
    line: int
    file: str = ""
    agent: str
    agents: dict[str, Desk | Persona]
    plan: str
    plan_version: str
    max_call_s: float | None = None
    hold_music: str = "default"
    tones: Country = "us"
    before_answer: BeforeAnswer = "ringing"
    recording: Recording = "on"
    cassette: Cassette = "off"
    announcement: Saying = Saying()
    on_failure: str = ""
    arm: str = ""
    fallback: OnFailure = OnFailure()

    def dump(self) -> dict[str, Any]:
        """Plain values, for the link to a worker and the call's bundle."""
        return self.model_dump(mode="json")

    @classmethod
    def load(cls, row: dict[str, Any]) -> Route:
        """The route that `dump` wrote."""
        return cls.model_validate(row)
