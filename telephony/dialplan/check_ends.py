"""Callers who are handed round for ever: agents and targets that lead to each other, and none ends the call. Pure.

Ends: hanging up, a transfer, a message taken, an agent that hands over to nobody and keeps the caller. What tools in
Python and MCP servers do nobody can know: they may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from telephony.dialplan.document import Loc
from telephony.dialplan.finding import Finding
from telephony.dialplan.model import DialPlan, Persona, TargetSpec
from telephony.dialplan.pruned import Unread

ENDING = frozenset(("hang_up", "transfer", "take_message"))


def check_ends(plan: DialPlan, unread: Unread) -> Iterator[Finding]:
    """Rings of agents, with targets between them or without. Rings of targets alone are check_ways.py's."""
    leads: dict[str, tuple[str, ...]] = {name: persona.handoff for name, persona in plan.agents.items()}
    leads |= {name: target.leads_to for name, target in plan.targets.items()}
    ending = {
        name for name, persona in plan.agents.items() if unread.lacks("agents", name) or _may_end(persona)
    }
    ending |= {
        name for name, target in plan.targets.items() if unread.lacks("targets", name) or _ends(target)
    }
    saved = _leading_to(
        ending | {name for many in leads.values() for name in many if name not in leads}, leads
    )
    told: set[str] = set()
    for name, persona in plan.agents.items():
        if name in saved or name in told:
            continue
        for at, other in enumerate(persona.handoff):
            if other == name or name not in (ring := _reached(other, leads)):
                continue
            together = [one for one in leads if one in ring and name in _reached(one, leads)]
            told.update(together)
            fact = f"{_listed(together)} hand callers to each other, and nobody there can end a call."
            loc: Loc = ("agents", name, "handoff", at)
            yield Finding(
                loc, f"{fact} Grant one of them `hang_up`, or let one lead to voicemail or a person."
            )
            break


def _may_end(persona: Persona) -> bool:
    own = any(":" in tool for tool in persona.tools) or persona.mcp or persona.python
    return bool(own) or not persona.handoff or not ENDING.isdisjoint(persona.tools)


def _ends(target: TargetSpec) -> bool:
    """Does a call end here, or may it? Nobody is rung without a chance that they answer."""
    if target.ring or target.voicemail:
        return True
    return not target.split and not getattr(target.does, "then", "")


def _leading_to(ends: set[str], leads: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Those from whom a caller can get to one of `ends`, themselves included."""
    found = set(ends)
    while more := {
        name for name, others in leads.items() if name not in found and not found.isdisjoint(others)
    }:
        found |= more
    return found


def _reached(start: str, leads: Mapping[str, tuple[str, ...]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = [name for name in leads.get(waiting.pop(), ()) if name not in found]
        found.update(new)
        waiting += new
    return found


def _listed(names: list[str]) -> str:
    return f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r}"
