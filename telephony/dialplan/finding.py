"""Something wrong at a place of a plan: what the checks yield. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.dialplan.document import Loc


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a place of the file. key: the key there is meant, not its value.

    because: keys of the same agent, target or number (or of `defaults`, or of the plan) that would mend it: if one of
    them is in the file and could not be read, this is no mistake of its own. warning: worth a look, no mistake."""

    loc: Loc
    text: str
    key: bool = False
    because: tuple[str, ...] = ()
    warning: bool = False
