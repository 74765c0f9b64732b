"""What those who play a plan know of it and its file does not: providers, their options, how turns are handled.

Given to load_plan, so that a misspelt name has a line before a worker meets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ValidationError

from pipeline.options import Silence, ThinkingSound, TurnHandling
from pipeline.providers import registry
from pipeline.providers.shipped import Kind
from telephony.dialplan.complaints import findings
from telephony.dialplan.document import Loc
from telephony.dialplan.finding import Finding
from telephony.dialplan.model import Defaults, DialPlan, Persona
from telephony.dialplan.persona import ProviderChoice

MODELS: Mapping[str, type[BaseModel]] = {
    "turn_handling": TurnHandling,
    "silence": Silence,
    "thinking_sound": ThinkingSound,
}


def unplayable(plan: DialPlan) -> Iterator[Finding]:
    """Names of providers, their options, and keys of those that the plan's own model takes as they come."""
    yield from _of(("defaults",), plan.defaults)
    for name, persona in plan.agents.items():
        yield from _of(("agents", name), persona)


def _of(loc: Loc, owner: Defaults | Persona) -> Iterator[Finding]:
    for part, model in MODELS.items():
        value = getattr(owner, part)
        if isinstance(value, dict):
            yield from _read((*loc, part), model, value)
    for kind in registry.SPEAKING_KINDS:
        for at, choice in enumerate(getattr(owner, kind) or ()):
            yield from _made((*loc, kind, *(("of",) if choice.routing is not None else ()), at), kind, choice)
    if owner.realtime is not None:
        yield from _made((*loc, "realtime"), "realtime", owner.realtime)


def _made(loc: Loc, kind: Kind, choice: ProviderChoice) -> Iterator[Finding]:
    for option, text in registry.faults(kind, choice.name, choice.options):
        yield Finding((*loc, option) if option else loc, text, key=bool(option))


def _read(loc: Loc, model: type[BaseModel], values: object) -> Iterator[Finding]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        yield from findings(loc, model, error.errors())
