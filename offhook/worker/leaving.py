"""How calls leave a worker: to another one, in a moment when nobody would notice, or with a goodbye.

Driven by worker/main.py when the switch says LetGo, and by bridge.py. Not what happens when the process dies: then
nothing here runs."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from pipeline import canned
from pipeline.session import Session

LOOK_AGAIN_S: Final = 0.02
APART_S: Final = 0.06  # two departures: the new worker has a call's agent to make before the next call comes


class Leaving(Protocol):
    """A call that can be let go of (bridge.py)."""

    def settled(self, at_rest: bool) -> bool: ...
    def let_go(self) -> None: ...


class Departures:
    """Calls that are to leave this worker. The first moment in which nobody speaks and no tool runs is theirs; after
    the switch's patience the first in which no tool runs, and the agent then repeats what was not heard."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until: dict[Leaving, float] = {}  # from then on a pause is not waited for any more
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, call: Leaving, patience_s: float) -> None:
        """Let go of it soon."""
        self._until.setdefault(call, self._loop.time() + patience_s)
        if self._timer is None:
            self._look()

    def forget(self, call: Leaving) -> None:
        """It has ended by itself."""
        self._until.pop(call, None)

    def _look(self) -> None:
        now, pause_s = self._loop.time(), LOOK_AGAIN_S
        for call, patient_until in list(self._until.items()):
            if call.settled(at_rest=now < patient_until):
                del self._until[call]
                call.let_go()
                pause_s = APART_S
                break
        self._timer = self._loop.call_later(pause_s, self._look) if self._until else None


def farewell(session: Session, reason: str) -> None:
    """Say goodbye instead of anything else, and hang up when it was heard."""
    session.interrupt(force=True)
    session.say(canned.lines(session.agent.voice.language).closing, allow_interruptions=False)
    session.end_call(reason)
