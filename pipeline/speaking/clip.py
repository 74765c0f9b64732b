"""Words that somebody has recorded: said like any others, but out of a sound and not by the voice.

Played by pipeline/replying.py. Where the sound comes from is the business of whoever makes the clip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.ports import Frame

WORDLESS: Final[
    Mapping[str, Any]
] = {  # what another process can go on with of a clip whose words nobody knows
    "text": "",
    "thought": True,
    "noted": False,
    "protected": False,
    "ledger": {"pieces": []},
    "steps": [],
}


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording. name: stands for it in transcripts if nobody wrote down its words.

    fetch: the whole sound at the call's rate, int16 mono, not empty; None if it cannot be had: then the voice says
    the words."""

    words: str
    name: str
    fetch: Callable[[], Awaitable[Frame | None]]

    @property
    def shown(self) -> str:
        """What transcripts have of it."""
        return self.words or f"[{self.name}]"
