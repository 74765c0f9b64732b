"""How a list of providers is written: `[groq, scripted]`, or with a policy for who serves. Pure.

`{policy: split, of: [{provider: groq, weight: 90}, {provider: openai, weight: 10}]}` becomes a list whose items carry
the policy, so that whoever only wants the providers sees a list. Used by model.py and by the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from telephony.dialplan.document import nearest

PolicyName = Literal["ordered", "fastest", "cheapest", "split"]
_OF_THE_LIST = {"split": ("weight",), "cheapest": ("price",)}  # what each item must say
_OF_THE_POLICY = {"cheapest": ("max_ms", "explore_s"), "fastest": ("explore_s",)}


class Routing(BaseModel):
    """What a policy knows of one provider of its list.

    weight: its share of the calls (split). price: per unit, the same for all (cheapest). max_ms: above this wait nine
    tenths of the time it is too slow to be cheap. explore_s: a provider that nobody asked for so long is tried once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: PolicyName
    weight: float = Field(default=1.0, ge=0)
    price: float = Field(default=0.0, ge=0)
    max_ms: float | None = Field(default=None, gt=0)
    explore_s: float = Field(default=60.0, gt=0)


def listed(value: Any) -> Any:
    """One provider or several as a list; a policy goes to each of them. For a validator: raises ValueError."""
    if isinstance(value, dict) and "policy" in value:
        return _with_policy(value)
    return value if isinstance(value, list | tuple) else (value,)


def _with_policy(value: dict[str, Any]) -> list[dict[str, Any]]:
    policy, items = value["policy"], value.get("of")
    if policy not in get_args(PolicyName):
        raise ValueError(f"there is no policy {policy!r}.{nearest(str(policy), get_args(PolicyName))}")
    if not isinstance(items, list | tuple) or not items:
        raise ValueError("a policy needs its providers. Add `of:` with a list of them.")
    own = {key: value[key] for key in _OF_THE_POLICY.get(policy, ()) if key in value}
    if unknown := set(value) - {"policy", "of", *own}:
        known = ("of", *_OF_THE_POLICY.get(policy, ()))
        raise ValueError(f"policy {policy} has no {min(unknown)!r}.{nearest(min(unknown), known)} Remove it.")
    choices = list(_choices(policy, items, own))
    if policy == "split" and not any(_positive(choice["routing"]["weight"]) for choice in choices):
        raise ValueError("every weight is 0. Give one of them a share of the calls.")
    return choices


def _choices(
    policy: str, items: list[Any] | tuple[Any, ...], own: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    for item in items:
        known = {"provider": item} if isinstance(item, str) else item
        if not isinstance(known, dict) or "provider" not in known:
            raise ValueError("an item of `of:` is a provider. Write it like {provider: groq, weight: 90}.")
        terms = {key: known[key] for key in _OF_THE_LIST.get(policy, ()) if key in known}
        if missing := set(_OF_THE_LIST.get(policy, ())) - set(terms):
            raise ValueError(
                f"policy {policy}: {known['provider']} has no {min(missing)}. Add `{min(missing)}:`."
            )
        options = {key: part for key, part in known.items() if key != "provider" and key not in terms}
        yield {
            "name": known["provider"],
            "options": options,
            "routing": {"policy": policy, **own, **terms},
        }


def _positive(weight: Any) -> bool:
    try:
        return float(weight) > 0
    except (TypeError, ValueError):  # told by its own validator
        return True
