"""Something wrong at a place of a plan: what the checks yield. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.dialplan.document import Loc


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a place of the file. key: the key there is meant, not its value."""

    loc: Loc
    text: str
    key: bool = False
