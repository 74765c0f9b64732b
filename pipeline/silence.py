"""A caller who says nothing: asked again, and again, then told goodbye.

Pure. Driven by session.py, which says when the caller is waited for and carries out what falls due. Time that belongs
to somebody else (the agent speaks, a tool runs, the call is on hold) does not count."""

from __future__ import annotations

from enum import Enum, auto

from pipeline.options import Silence


class Due(Enum):
    """What the silence asks for."""

    ASK = auto()  # "are you still there?"
    GIVE_UP = auto()  # say goodbye and hang up


class Patience:
    """How long this caller has been silent. asked: how often they were asked since their last word."""

    def __init__(self, options: Silence) -> None:
        self.options = options
        self.asked = 0
        self._deadline: float | None = None

    def deadline(self) -> float | None:
        """Loop time at which `due` has something to say, None while nobody is waited for."""
        return self._deadline

    def waiting(self, now: float) -> None:
        """It is the caller's turn, and has been since now."""
        if self._deadline is None and self.options.after_s:
            self._deadline = now + self.options.after_s

    def not_waiting(self) -> None:
        """Somebody speaks, thinks or works, or the line is on hold."""
        self._deadline = None

    def heard(self) -> None:
        """The caller said or keyed something: all is well."""
        self.asked = 0

    def due(self, now: float) -> Due | None:
        """What to do now, once for each time it falls due."""
        if self._deadline is None or now < self._deadline:
            return None
        self._deadline = None
        if self.asked >= self.options.times:
            return Due.GIVE_UP
        self.asked += 1
        return Due.ASK
