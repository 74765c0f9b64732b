"""From what the plan says of a list of providers to the policy that orders them. Driven by providing.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from offhook.settings import ProviderSettings
from pipeline.providers.resilient import Cheapest, Fastest, Ordered, Policy, Routing, Split, Terms
from telephony.dialplan.model import ProviderChoice

Choice: TypeAlias = ProviderChoice | ProviderSettings


def alone(choices: Sequence[Choice]) -> bool:
    """Is there nobody to choose from, and nothing to record of the choice?"""
    return len(choices) == 1 and choices[0].routing is None


def member_name(choice: Choice) -> str:
    """For events: two models of one vendor, and two arms of a split, must be told apart."""
    model = choice.options.get("model")
    name = f"{choice.name}/{model}" if model else choice.name
    if choice.routing is None:
        return name
    rest = [f"{key}={value}" for key, value in choice.options.items() if key not in ("model", "script")]
    return " ".join([name, *rest])


def routing(kind: str, choices: Sequence[Choice], call_id: str) -> Routing | None:
    """The policy that the plan gives a list of providers."""
    if (said := choices[0].routing) is None:
        return None
    policies: dict[str, Callable[[], Policy]] = {
        "ordered": Ordered,
        "fastest": lambda: Fastest(said.explore_s),
        "cheapest": lambda: Cheapest(said.max_ms / 1000 if said.max_ms else None, said.explore_s),
        "split": lambda: Split(f"{kind} {call_id}"),
    }
    terms = [Terms(one.routing.weight, one.routing.price) for one in choices if one.routing is not None]
    return Routing(policies[said.policy](), terms)
