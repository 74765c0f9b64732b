"""What a played scene is worth: cut or not, how late, found or not, stopped or not.

Plain values, so that they travel between processes. Adding them up is figures.py's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.events import (
    AgentDucked,
    AgentPaused,
    AgentResumed,
    CallerInterrupted,
    CallerStartedSpeaking,
    CallerStoppedSpeaking,
    UserTurnCommitted,
)
from tests.turns.call import TICK_S, Ears, Played
from tests.turns.scenes import Scene

EDGE_S = 0.03  # a decision within that of the true end cuts nobody off: edges are found to 10 ms
LATE_S = 1.5  # after its end an interruption is found no more
SILENCES_MS = (200, 300, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400, 1600, 2000, 2500)


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """One turn. cut: it was declared over while the caller was not done. late_ms: from the true end to the decision
    with the last word there, None if cut or never. silence: the same if only so much silence decided, by its ms."""

    kind: str
    reader: str
    line: str
    text: str
    cut: bool
    late_ms: float | None
    silence: dict[int, tuple[bool, float | None]]


@dataclass(frozen=True, slots=True)
class Overlap:
    """One sound over the agent. Times in ms after its onset, None for never. stopped_ms: the last audible packet.
    back_ms: from the sound's end until the agent went on, where it had stopped for nothing."""

    kind: str
    reader: str
    line: str
    echo_db: float | None
    text: str
    ducked_ms: float | None
    paused_ms: float | None
    found_ms: float | None
    stopped_ms: float | None
    back_ms: float | None

    @property
    def talked_through(self) -> bool:
        return self.paused_ms is None and self.found_ms is None


@dataclass(frozen=True, slots=True)
class Alone:
    """The agent with nobody but an echo or a tone. Seconds in which it was heard, and what disturbed it."""

    kind: str
    echo_db: float | None
    spoke_s: float
    seconds: float
    voices: int
    ducks: int
    stops: int


def turn_end(scene: Scene, played: Played, ears: Ears) -> TurnEnd:
    """How the caller's turn was ended."""
    commits = [event.at for event in played.events if isinstance(event, UserTurnCommitted)]
    first = commits[0] if commits else None
    cut = first is not None and first < scene.ends - EDGE_S
    late = None if cut or first is None else (first - scene.ends) * 1000
    spec = scene.spec
    words = max((end for _, end in scene.words), default=0.0)
    silence = {ms: _silence(ms / 1000, scene, played, words + ears.lag_s) for ms in SILENCES_MS}
    return TurnEnd(spec.kind, spec.reader, spec.line.name, scene.text, cut, late, silence)


def overlap(scene: Scene, played: Played) -> Overlap:
    """What the agent did when the caller made a sound over it."""
    onset, end, events = scene.begins, scene.ends, played.events

    def first(kind: type[AgentDucked] | type[AgentPaused] | type[CallerInterrupted]) -> float | None:
        times = [event.at for event in events if isinstance(event, kind)]
        return next((at for at in times if onset <= at <= end + LATE_S), None)

    found, paused = first(CallerInterrupted), first(AgentPaused)
    resumed = next(
        (event.at for event in events if isinstance(event, AgentResumed) and paused and event.at > paused),
        None,
    )
    stopped = None if found is None else _last_audible(played.audible, found + 0.03)
    spec = scene.spec
    return Overlap(
        spec.kind,
        spec.reader,
        spec.line.name,
        spec.echo.level_db if spec.echo else None,
        scene.text,
        _after(first(AgentDucked), onset),
        _after(paused, onset),
        _after(found, onset),
        _after(stopped, onset),
        _after(resumed, end),
    )


def alone(scene: Scene, played: Played) -> Alone:
    """How often nothing at all was taken for a caller. A pause that becomes an interruption counts once."""
    stops, paused = 0, False
    for event in played.events:
        if isinstance(event, AgentPaused):
            stops, paused = stops + 1, True
        elif isinstance(event, CallerInterrupted):
            stops, paused = stops + (not paused), False
        elif isinstance(event, AgentResumed):
            paused = False
    spec = scene.spec
    return Alone(
        spec.kind,
        spec.echo.level_db if spec.echo else None,
        sum(played.audible) * TICK_S,
        scene.ticks * TICK_S,
        sum(isinstance(event, CallerStartedSpeaking) for event in played.events),
        sum(isinstance(event, AgentDucked) for event in played.events),
        stops,
    )


def _silence(needed_s: float, scene: Scene, played: Played, words_at: float) -> tuple[bool, float | None]:
    """Would so much silence, from the same ears, have cut the caller off? And how late would it have been?"""
    voices = [
        event for event in played.events if isinstance(event, CallerStartedSpeaking | CallerStoppedSpeaking)
    ]
    for number, event in enumerate(voices):
        if isinstance(event, CallerStartedSpeaking):
            continue
        over = max(event.until + needed_s, event.at)
        follows = next(
            (later.at for later in voices[number + 1 :] if isinstance(later, CallerStartedSpeaking)), None
        )
        if follows is None or follows > over:
            if over < scene.ends - EDGE_S:
                return True, None
            return False, (max(over, words_at) - scene.ends) * 1000
    return False, None


def _last_audible(audible: Sequence[bool], at: float) -> float:
    """When the agent's last packet before `at` had been played out, s."""
    tick = min(len(audible) - 1, round(at / TICK_S))
    while tick > 0 and not audible[tick]:
        tick -= 1
    return (tick + 2) * TICK_S  # it left at (tick + 1), and lasts 20 ms


def _after(at: float | None, onset: float) -> float | None:
    return None if at is None else (at - onset) * 1000
