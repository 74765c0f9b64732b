"""What another worker has to know of a conversation that a checkpoint does not say: kept in the call's vitals.

Since when the caller has had no answer, how much of the agent's speech has left, and how many tools run. Driven by
bridge.py; read by the worker that takes over, and by switch/recovery.py. Not what is said (saving.py)."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.events import CallerStartedSpeaking, Event, ToolCalled, ToolFinished, UserTurnCommitted
from telephony.media.past import CallerPast
from telephony.media.playout import Playout
from telephony.media.vitals import Vitals

ROLL_BACK_TICKS = 25  # a turn is noticed up to half a second after its first sound


class Marks:
    """One call's. past: what was heard lately, None without packets."""

    def __init__(self, vitals: Vitals, out: Playout, past: Callable[[], CallerPast | None]) -> None:
        self._vitals, self._out, self._past = vitals, out, past
        self._caller_turn: tuple[float, int] = (0.0, 0)  # since when, and tick, the caller has had no answer
        self._tools: set[str] = set()  # of its agent, that run

    def spoke(self) -> None:
        """Another frame of speech has left."""
        self._vitals.spoke(self._out.played, *self._caller_turn)

    def saw(self, event: Event) -> None:
        """Something has happened in the conversation."""
        match event:
            case CallerStartedSpeaking() | UserTurnCommitted():
                self._turn(event)
            case ToolCalled():
                self._tools.add(event.id)
                self._vitals.tools(len(self._tools))
            case ToolFinished():
                self._tools.discard(event.id)
                self._vitals.tools(len(self._tools))

    def _turn(self, event: CallerStartedSpeaking | UserTurnCommitted) -> None:
        """From when on a recogniser that starts anew must be given what the caller said."""
        past = self._past()
        if isinstance(event, UserTurnCommitted) or past is None:
            self._caller_turn = (0.0, 0)
        elif not self._caller_turn[0]:
            self._caller_turn = (event.at, max(0, past.ticks - ROLL_BACK_TICKS))
        self.spoke()
