"""Where a conversation stands, as far as shared memory tells it: what was said, since when the caller waits, tools.

A worker that takes the call over reads it (vitals.py). Driven by bridge.py, from the events of the conversation."""

from __future__ import annotations

from pipeline.events import CallerStartedSpeaking, Event, ToolCalled, ToolFinished, UserTurnCommitted
from telephony.media.past import CallerPast
from telephony.media.playout import Playout
from telephony.media.vitals import Vitals

ROLL_BACK_TICKS = 25  # a turn is noticed up to half a second after its first sound


class Standing:
    """One call's."""

    def __init__(self, vitals: Vitals, out: Playout) -> None:
        self._vitals, self._out = vitals, out
        self._caller_turn: tuple[float, int] = (0.0, 0)  # since when, and tick, the caller has had no answer
        self._tools: set[str] = set()  # of its agent, that run

    def spoke(self) -> None:
        """Some of our speech has left."""
        self._vitals.spoke(self._out.played, *self._caller_turn)

    def happened(self, event: Event, past: CallerPast | None) -> None:
        """Take note. past: the caller's last seconds."""
        match event:
            case CallerStartedSpeaking() | UserTurnCommitted():
                self._mark_turn(event, past)
            case ToolCalled():
                self._tools.add(event.id)
                self._vitals.tools(len(self._tools))
            case ToolFinished():
                self._tools.discard(event.id)
                self._vitals.tools(len(self._tools))

    def _mark_turn(self, event: CallerStartedSpeaking | UserTurnCommitted, past: CallerPast | None) -> None:
        """From when on a recogniser that starts anew must be given what the caller said."""
        if isinstance(event, UserTurnCommitted) or past is None:
            self._caller_turn = (0.0, 0)
        elif not self._caller_turn[0]:
            self._caller_turn = (event.at, max(0, past.ticks - ROLL_BACK_TICKS))
        self.spoke()
