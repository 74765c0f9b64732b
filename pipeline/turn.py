"""Who has the floor: the caller, the agent, nobody, or both for a moment.

A table and one method; no audio, no clock, no tasks. Driven by pipeline/session.py, which feeds it voice
activity, replies and time, and carries out its decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from pydantic import BaseModel, ConfigDict, Field

from pipeline.hearing.vad import VoiceStarted, VoiceStopped


class TurnHandling(BaseModel):
    """When a turn ends and what counts as an interruption. All times in ms; the same in every environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_delay_ms: int = Field(default=400, ge=50, le=5000)
    """Silence that ends a turn when what was said could stand as a whole."""
    max_delay_ms: int = Field(default=1500, ge=100, le=10_000)
    """Silence that ends a turn when the recogniser says that more must come."""
    interrupt_after_ms: int = Field(default=200, ge=40, le=5000)
    """Speech over the agent that takes the floor from it."""
    transcript_timeout_ms: int = Field(default=2000, ge=200, le=20_000)
    """How long the recogniser may owe its last word after a turn ended."""
    keys_timeout_ms: int = Field(default=2500, ge=500, le=30_000)
    """Pause after which keys pressed so far count as a turn; `#` ends it at once."""


class Floor(Enum):
    """Who may be heard."""

    OPEN = auto()  # nobody speaks, nobody is owed anything
    CALLER = auto()  # the caller speaks
    MAYBE_DONE = auto()  # the caller is silent; perhaps it was only a pause
    THINKING = auto()  # the turn is over, an answer is on its way
    AGENT = auto()  # the agent is heard
    OVERLAP = auto()  # the caller speaks while an answer is on its way or heard


@dataclass(frozen=True, slots=True)
class ReplyAudible:
    """The first packet of a reply left."""


@dataclass(frozen=True, slots=True)
class ReplyOver:
    """The last packet of a reply left, or there will be none."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """The caller pressed a key: as good as speaking, and never an accident."""


@dataclass(frozen=True, slots=True)
class Understood:
    """Words came out of speech over the agent that deserve an answer."""


@dataclass(frozen=True, slots=True)
class TimeUp:
    """`deadline()` has passed. voiced: the newest 20 ms are speech."""

    voiced: bool = True


TurnEvent = VoiceStarted | VoiceStopped | ReplyAudible | ReplyOver | Keyed | Understood | TimeUp


class Decision(Enum):
    """What the session must do now."""

    START_TURN = auto()  # the recogniser should take down what is being said
    END_TURN = auto()  # the caller is done: get the last word and answer
    END_OVERLAP = auto()  # the caller was done before it was an interruption: were there words in it?
    DUCK = auto()
    UNDUCK = auto()
    INTERRUPT = auto()  # stop the agent now


_F, _D = Floor, Decision

NEXT: dict[tuple[Floor, type[TurnEvent]], tuple[Floor, tuple[Decision, ...]]] = {
    (_F.OPEN, VoiceStarted): (_F.CALLER, (_D.START_TURN,)),
    (_F.OPEN, ReplyAudible): (_F.AGENT, ()),
    (_F.OPEN, Understood): (_F.THINKING, ()),
    (_F.CALLER, VoiceStopped): (_F.MAYBE_DONE, ()),
    (_F.CALLER, ReplyAudible): (_F.OVERLAP, (_D.DUCK,)),
    (_F.MAYBE_DONE, VoiceStarted): (_F.CALLER, ()),
    (_F.MAYBE_DONE, TimeUp): (_F.THINKING, (_D.END_TURN,)),
    (_F.MAYBE_DONE, ReplyAudible): (_F.AGENT, (_D.END_OVERLAP,)),
    (_F.MAYBE_DONE, Understood): (_F.MAYBE_DONE, ()),
    (_F.THINKING, VoiceStarted): (_F.OVERLAP, (_D.START_TURN,)),
    (_F.THINKING, ReplyAudible): (_F.AGENT, ()),
    (_F.THINKING, ReplyOver): (_F.OPEN, ()),
    (_F.THINKING, Keyed): (_F.OPEN, (_D.INTERRUPT,)),
    (_F.THINKING, Understood): (_F.THINKING, (_D.INTERRUPT,)),
    (_F.AGENT, VoiceStarted): (_F.OVERLAP, (_D.START_TURN, _D.DUCK)),
    (_F.AGENT, ReplyOver): (_F.OPEN, ()),
    (_F.AGENT, Keyed): (_F.OPEN, (_D.INTERRUPT,)),
    (_F.AGENT, Understood): (_F.THINKING, (_D.INTERRUPT,)),
    (_F.OVERLAP, ReplyAudible): (_F.OVERLAP, (_D.DUCK,)),
    (_F.OVERLAP, ReplyOver): (_F.CALLER, (_D.UNDUCK,)),
    (_F.OVERLAP, VoiceStopped): (_F.AGENT, (_D.UNDUCK, _D.END_OVERLAP)),  # or THINKING, see receive()
    (_F.OVERLAP, TimeUp): (_F.CALLER, (_D.INTERRUPT,)),
    (_F.OVERLAP, Keyed): (_F.CALLER, (_D.INTERRUPT,)),
}
"""What is not listed changes nothing: sound keeps no order."""


class Turn:
    """The floor of one call. Only `receive` assigns `floor`."""

    def __init__(self, options: TurnHandling) -> None:
        self.options = options
        self.floor = Floor.OPEN
        self.spoke_since = 0.0  # loop time: the caller's current or last speech began
        self.spoke_until = 0.0  # and ended
        self._audible = False
        self._complete: bool | None = None  # could the words so far stand as a whole turn?
        self._deadline: float | None = None

    def deadline(self) -> float | None:
        """Loop time at which a TimeUp is due, None if nothing waits."""
        return self._deadline

    def receive(self, event: TurnEvent, now: float) -> tuple[Decision, ...]:
        """What follows from an event. Voice events carry the time to which they were traced back."""
        if isinstance(event, VoiceStarted) and self.floor is not Floor.MAYBE_DONE:
            self.spoke_since = event.at
        elif isinstance(event, VoiceStopped):
            self.spoke_until = event.at
        elif isinstance(event, Keyed):
            self.spoke_since = self.spoke_until = now
        elif isinstance(event, ReplyAudible):
            self._audible = True
        elif isinstance(event, ReplyOver):
            self._audible = False
        elif isinstance(event, TimeUp) and self.floor is Floor.OVERLAP and not event.voiced:
            return ()  # a cough is over before its end is noticed: wait for VoiceStopped, or for more
        step = NEXT.get((self.floor, type(event)))
        if step is None:
            return ()
        return self._enter(*step, now)

    def heard(self, complete: bool | None) -> None:
        """The recogniser's view of the words so far moves the end of the turn."""
        self._complete = complete
        if self.floor is Floor.MAYBE_DONE:
            self._deadline = self.spoke_until + self._patience()

    def _enter(self, floor: Floor, decisions: tuple[Decision, ...], now: float) -> tuple[Decision, ...]:
        if floor is Floor.AGENT and not self._audible:
            floor = Floor.THINKING
        if Decision.INTERRUPT in decisions:
            self._audible = False
        if Decision.START_TURN in decisions:
            self._complete = None
        self._deadline = self._due(floor, now)
        self.floor = floor
        return decisions

    def _due(self, floor: Floor, now: float) -> float | None:
        if floor is Floor.MAYBE_DONE:
            return self.spoke_until + self._patience()
        if floor is Floor.OVERLAP:
            return max(now, self.spoke_since + self.options.interrupt_after_ms / 1000)
        return None

    def _patience(self) -> float:
        ms = self.options.max_delay_ms if self._complete is False else self.options.min_delay_ms
        return ms / 1000
