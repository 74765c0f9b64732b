"""Who has the floor: the caller, the agent, nobody, or both for a moment.

A table and one method; no audio, no clock, no tasks. Driven by pipeline/session.py, which feeds it voice
activity, words, replies and time, and carries out its decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from pipeline.hearing.endpointing import Endpointing
from pipeline.hearing.vad import VoiceSettled, VoiceStarted, VoiceStirred, VoiceStopped
from pipeline.options import TurnHandling

STIRS_S = 0.2  # for so long a sound that may be the caller's next word keeps a turn open


class Floor(Enum):
    """Who may be heard."""

    LISTENING = auto()  # nobody speaks, nobody is owed anything
    CALLER_SPEAKING = auto()
    MAYBE_DONE = auto()  # the caller is silent; perhaps it was only a pause
    COMMITTED = auto()  # the turn is over; the recogniser owes its last word
    THINKING = auto()  # an answer is on its way
    SPEAKING = auto()  # the agent is heard
    DUCKED = auto()  # the caller speaks while an answer is on its way or heard
    PAUSED = auto()  # the agent stopped for that, and may go on if it was nothing


@dataclass(frozen=True, slots=True)
class ReplyAudible:
    """The first packet of a reply left. protected: it must be heard in full."""

    protected: bool = False


@dataclass(frozen=True, slots=True)
class ReplyOver:
    """The last packet of a reply left, or there will be none."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """The caller pressed a key: as good as speaking, and never an accident."""


@dataclass(frozen=True, slots=True)
class WordsOver:
    """The recogniser heard words while the agent has the floor. claims: they are more than a listening noise."""

    claims: bool


@dataclass(frozen=True, slots=True)
class Understood:
    """The caller's words are complete and deserve an answer."""


@dataclass(frozen=True, slots=True)
class MoreToCome:
    """The recogniser's last word is there, and it tells that the caller is not done."""


@dataclass(frozen=True, slots=True)
class NothingSaid:
    """What sounded like speech brought no words, or only a listening noise."""


@dataclass(frozen=True, slots=True)
class TimeUp:
    """`deadline()` has passed. voiced: the newest 20 ms are speech. stirs: something began that may turn out to be."""

    voiced: bool = True
    stirs: bool = False


TurnEvent = (
    VoiceStirred
    | VoiceSettled
    | VoiceStarted
    | VoiceStopped
    | ReplyAudible
    | ReplyOver
    | Keyed
    | WordsOver
    | Understood
    | MoreToCome
    | NothingSaid
    | TimeUp
)


class Decision(Enum):
    """What the session must do now."""

    START_TURN = auto()  # the recogniser should take down what is being said
    END_TURN = auto()  # the caller is done: get the last word and answer
    END_OVERLAP = auto()  # the caller was done before it was an interruption: were there words in it?
    DUCK = auto()
    UNDUCK = auto()
    PAUSE = auto()  # stop the agent where it is
    RESUME = auto()  # let it go on from the word at which it stopped
    INTERRUPT = auto()  # the agent has lost the floor: drop what it had to say


_F, _D = Floor, Decision

NEXT: dict[tuple[Floor, type[TurnEvent]], tuple[Floor, tuple[Decision, ...]]] = {
    (_F.LISTENING, VoiceStarted): (_F.CALLER_SPEAKING, (_D.START_TURN,)),
    (_F.LISTENING, ReplyAudible): (_F.SPEAKING, ()),
    (_F.LISTENING, Understood): (_F.THINKING, ()),
    (_F.CALLER_SPEAKING, VoiceStopped): (_F.MAYBE_DONE, ()),
    (_F.CALLER_SPEAKING, ReplyAudible): (_F.PAUSED, (_D.PAUSE,)),  # nobody begins while somebody speaks
    (_F.CALLER_SPEAKING, TimeUp): (_F.COMMITTED, (_D.END_TURN,)),
    (_F.MAYBE_DONE, VoiceStarted): (_F.CALLER_SPEAKING, ()),
    (_F.MAYBE_DONE, TimeUp): (_F.COMMITTED, (_D.END_TURN,)),
    (_F.MAYBE_DONE, ReplyAudible): (_F.PAUSED, (_D.PAUSE,)),
    (_F.COMMITTED, VoiceStarted): (_F.CALLER_SPEAKING, (_D.START_TURN,)),
    (_F.COMMITTED, Understood): (_F.THINKING, ()),
    (_F.COMMITTED, MoreToCome): (_F.MAYBE_DONE, ()),
    (_F.COMMITTED, NothingSaid): (_F.LISTENING, ()),
    (_F.COMMITTED, ReplyAudible): (_F.SPEAKING, ()),
    (_F.COMMITTED, Keyed): (_F.LISTENING, ()),
    (_F.THINKING, VoiceStarted): (_F.DUCKED, (_D.START_TURN,)),
    (_F.THINKING, ReplyAudible): (_F.SPEAKING, ()),
    (_F.THINKING, ReplyOver): (_F.LISTENING, ()),
    (_F.THINKING, Keyed): (_F.LISTENING, (_D.INTERRUPT,)),
    (_F.THINKING, Understood): (_F.THINKING, (_D.INTERRUPT,)),
    (_F.SPEAKING, VoiceStarted): (_F.DUCKED, (_D.START_TURN, _D.DUCK)),
    (_F.SPEAKING, VoiceStirred): (_F.SPEAKING, (_D.DUCK,)),
    (_F.SPEAKING, VoiceSettled): (_F.SPEAKING, (_D.UNDUCK,)),
    (_F.SPEAKING, ReplyOver): (_F.LISTENING, (_D.UNDUCK,)),
    (_F.SPEAKING, Keyed): (_F.LISTENING, (_D.INTERRUPT,)),
    (_F.SPEAKING, Understood): (_F.THINKING, (_D.INTERRUPT,)),
    (_F.DUCKED, ReplyAudible): (_F.PAUSED, (_D.PAUSE,)),
    (_F.DUCKED, ReplyOver): (_F.CALLER_SPEAKING, (_D.UNDUCK,)),
    (_F.DUCKED, VoiceStopped): (_F.SPEAKING, (_D.UNDUCK, _D.END_OVERLAP)),
    (_F.DUCKED, WordsOver): (_F.CALLER_SPEAKING, (_D.INTERRUPT,)),
    (_F.DUCKED, TimeUp): (_F.PAUSED, (_D.PAUSE,)),
    (_F.DUCKED, Keyed): (_F.CALLER_SPEAKING, (_D.INTERRUPT,)),
    (_F.PAUSED, VoiceStarted): (_F.PAUSED, ()),
    (_F.PAUSED, VoiceStopped): (_F.PAUSED, ()),
    (_F.PAUSED, WordsOver): (_F.CALLER_SPEAKING, (_D.INTERRUPT,)),
    (_F.PAUSED, TimeUp): (_F.SPEAKING, (_D.RESUME,)),  # not at first, see _paused()
    (_F.PAUSED, NothingSaid): (_F.SPEAKING, (_D.RESUME,)),
    (_F.PAUSED, Understood): (_F.THINKING, (_D.INTERRUPT,)),
    (_F.PAUSED, Keyed): (_F.LISTENING, (_D.INTERRUPT,)),
    (_F.PAUSED, ReplyOver): (_F.LISTENING, ()),
}
"""What is not listed changes nothing: sound keeps no order. SPEAKING is THINKING as long as nothing is audible. A
caller who goes on after the recogniser was asked for its last word starts a turn of the recogniser, whatever is
listed."""


class Turn:
    """The floor of one call. Only `receive` assigns `floor`."""

    def __init__(self, options: TurnHandling, language: str = "en-US") -> None:
        self.options = options
        self.endpointing = Endpointing(options, language)
        self.floor = Floor.LISTENING
        self.spoke_since = 0.0  # loop time: the caller's current or last speech began
        self.spoke_until = 0.0  # and ended
        self._voiced = False
        self._taken_down = False  # the recogniser listens to a turn that has not ended
        self._audible = self._protected = False
        self._only_listening = False  # the words over the agent were no claim to the floor
        self._deadline: float | None = None

    def handle(self, options: TurnHandling, language: str) -> None:
        """Another agent, another manner. What was learned of the caller stays."""
        self.options = self.endpointing.options = options
        self.endpointing.language = language

    @property
    def caller_speaks(self) -> bool:
        """Is there speech of the caller right now, whoever has the floor?"""
        return self._voiced

    def deadline(self) -> float | None:
        """Loop time at which a TimeUp is due, None if nothing waits."""
        return self._deadline

    def receive(self, event: TurnEvent, now: float) -> tuple[Decision, ...]:
        """What follows from an event. Voice events carry the time to which they were traced back."""
        self._note(event, now)
        step = NEXT.get((self.floor, type(event)))
        if step is None or self._passes_over(event, now):
            return ()
        floor, decisions = step
        if self.floor is Floor.PAUSED:
            floor, decisions = self._paused(event, floor, decisions)
        elif self.protected and isinstance(event, VoiceStarted):
            decisions = (Decision.START_TURN,)
        elif self.protected and isinstance(event, VoiceStirred):
            decisions = ()
        elif isinstance(event, ReplyAudible) and Decision.PAUSE in decisions:
            floor, decisions = self._begins(floor, decisions)
        if isinstance(event, VoiceStarted) and not (self._taken_down or Decision.START_TURN in decisions):
            decisions = (Decision.START_TURN, *decisions)
        return self._enter(floor, decisions, now)

    def _paused(
        self, event: TurnEvent, floor: Floor, decisions: tuple[Decision, ...]
    ) -> tuple[Floor, tuple[Decision, ...]]:
        """Somebody makes the agent wait. Only words take the floor from it: a dog that barks for long does not."""
        match event:
            case WordsOver() if not self._voiced:
                return Floor.MAYBE_DONE, decisions
            case ReplyOver() | Keyed() if self._voiced:
                return Floor.CALLER_SPEAKING, decisions
            case ReplyOver() | Keyed() if self._taken_down:
                return Floor.MAYBE_DONE, decisions
            case TimeUp() if self._voiced:  # for as long as a turn may last
                return Floor.CALLER_SPEAKING, (Decision.INTERRUPT,)
            case TimeUp() if self._taken_down:
                return Floor.PAUSED, (Decision.END_OVERLAP,)
        return floor, decisions

    def _begins(self, floor: Floor, decisions: tuple[Decision, ...]) -> tuple[Floor, tuple[Decision, ...]]:
        """A reply begins while the caller speaks, or has paused. What must be heard does not wait."""
        ends = self.floor is Floor.MAYBE_DONE and (self.protected or not self._taken_down)
        if self.protected:
            floor, decisions = Floor.DUCKED if self._voiced else Floor.SPEAKING, ()
        return floor, (*decisions, Decision.END_OVERLAP) if ends else decisions

    def heard(self, text: str, complete: bool | None) -> None:
        """The recogniser's words so far, and whether they could stand as a whole turn."""
        self.endpointing.heard(text, complete)
        if self.floor is Floor.MAYBE_DONE:
            self._deadline = self.spoke_until + self.endpointing.delay_s()

    def voted(self, probability: float | None) -> None:
        """A model's view of the words and sound so far."""
        self.endpointing.voted(probability)
        if self.floor is Floor.MAYBE_DONE:
            self._deadline = self.spoke_until + self.endpointing.delay_s()

    def _note(self, event: TurnEvent, now: float) -> None:
        match event:
            case VoiceStarted():
                if self.floor in (Floor.MAYBE_DONE, Floor.COMMITTED):
                    self.endpointing.went_on(event.at - self.spoke_until)
                if self.floor is not Floor.MAYBE_DONE and not (
                    self.floor is Floor.PAUSED and self._taken_down
                ):
                    self.spoke_since = event.at
                self._voiced = True
            case VoiceStopped():
                self.spoke_until = event.at
                self._voiced = False
            case Keyed():
                self.spoke_since = self.spoke_until = now
            case ReplyAudible():
                self._audible, self._protected = True, event.protected
            case ReplyOver():
                self._audible = self._protected = False
            case WordsOver():
                self._only_listening = not event.claims
                if self.floor is Floor.DUCKED:
                    self._deadline = self._due(Floor.DUCKED, now)

    def _passes_over(self, event: TurnEvent, now: float) -> bool:
        """Is this event without consequences, though the table has a step for it?"""
        if isinstance(event, TimeUp) and self.floor is Floor.DUCKED:
            return (
                not event.voiced
            )  # a cough is over before its end is noticed: wait for VoiceStopped, or for more
        if isinstance(event, TimeUp) and self.floor is Floor.MAYBE_DONE and event.stirs:
            return self._deadline is not None and now < self._deadline + STIRS_S  # they may be going on
        if isinstance(event, WordsOver):
            return not event.claims or self.protected
        if isinstance(event, Keyed | Understood) and self.floor in (Floor.SPEAKING, Floor.DUCKED):
            return self.protected
        return False

    @property
    def protected(self) -> bool:
        """Is something said that must be heard in full?"""
        return self._audible and self._protected

    def _enter(self, floor: Floor, decisions: tuple[Decision, ...], now: float) -> tuple[Decision, ...]:
        if floor is Floor.SPEAKING and not self._audible:
            floor = Floor.THINKING
        if Decision.INTERRUPT in decisions:
            self._audible = self._protected = False
        if Decision.START_TURN in decisions:
            self.endpointing.began()
            self._only_listening, self._taken_down = False, True
        elif Decision.END_TURN in decisions or Decision.END_OVERLAP in decisions:
            self._taken_down = False
        self._deadline = self._due(floor, now)
        self.floor = floor
        return decisions

    def _due(self, floor: Floor, now: float) -> float | None:
        options = self.options
        match floor:
            case Floor.MAYBE_DONE:
                return self.spoke_until + self.endpointing.delay_s()
            case Floor.CALLER_SPEAKING:
                return max(now, self.spoke_since + options.max_turn_s)
            case Floor.DUCKED if not self.protected:
                ms = options.interrupt_surely_ms if self._only_listening else options.interrupt_after_ms
                return max(now, self.spoke_since + ms / 1000)
            case Floor.PAUSED if self._voiced:
                return max(now, self.spoke_since + options.max_turn_s)
            case Floor.PAUSED if self._taken_down:
                return max(now, self.spoke_until + self.endpointing.delay_s())
            case Floor.PAUSED:
                return now + options.resume_after_ms / 1000
        return None
