"""What an agent must know of the call it is made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from offhook.worker.desks import Places
from pipeline.events import Event
from pipeline.providers.cassette.deck import LIVE, Deck

Emit: TypeAlias = Callable[[Event], None]
NARROWBAND_HZ = 8000  # a call's rate where none is given


def _unheard(event: Event) -> None:
    """No call, no journal."""


@dataclass(frozen=True, slots=True)
class OnCall:
    """The call of an agent. law: of G.711, "ulaw" or "alaw". deck: its tape.
    places: queues, mailboxes and colleagues that the plan's targets lead to."""

    call_id: str = ""
    rate_hz: int = NARROWBAND_HZ
    emit: Emit = _unheard
    law: str = "ulaw"
    places: Places | None = None
    deck: Deck = LIVE


NO_CALL = OnCall()
