"""The recorded caller on the line again: at the recording's own times, or in answer to what the agent does now.

Pure: the time and what the agent does come in, 20 ms of sound and key presses go out. A recorded caller does not
listen; `reactive` hangs each thing the caller did on what it hung on then (the end of the agent's turn, a place
within the agent's words, the caller's own words before). Driven by engine.py, once a tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from offhook.replay.levels import Sound, Span, spans
from offhook.replay.recording import Recording

Anchor: TypeAlias = Literal["start", "after agent", "over agent", "after own words"]
Placement: TypeAlias = Literal["fixed", "reactive"]

TICK_S = 0.02
NEAR_S = TICK_S / 2
EARLY_S, LATE_S = 0.12, 0.2  # sound kept around an utterance: soft beginnings, and the room it ends in
GAP_S = 0.6  # silence that ends one stretch of the agent's speech
SAID_NOTHING_S = 8.0  # nobody speaks: the caller does not wait for an answer for ever
LONG_GAP_S, USUAL_GAP_S = 1.5, 0.4  # where only the caller is known: it had an answer in it; from its end on
STAYS_S = 15.0  # on a line where nobody speaks any more, when the recording does not say who hung up
NOTHING = -1


@dataclass(frozen=True, slots=True)
class Act:
    """Something that the caller did: spoke, pressed a key (digit), hung up (leaves). Times in s of the recording.

    by_s: what it depended on, see Anchor; over agent: how far into the agent's words. span: which stretch of them."""

    start_s: float
    end_s: float
    anchor: Anchor
    by_s: float
    digit: str = ""
    leaves: bool = False
    span: int = -1


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an act came to lie, and why. Times in s: of the recording, and of this run."""

    what: str
    was_s: float
    is_s: float
    how: str

    def facts(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "was_s": round(self.was_s, 3),
            "is_s": round(self.is_s, 3),
            "how": self.how,
        }


class AgentSide:
    """What the caller notices of the agent. Times in s from the beginning of the call."""

    def __init__(self) -> None:
        self.began_s = self.last_s = float("-inf")  # of its newest stretch of speech
        self.at_rest = False  # it is the caller's turn

    def spoke(self, now_s: float) -> None:
        """20 ms of speech leave for the phone."""
        if now_s - self.last_s > GAP_S:
            self.began_s = now_s
        self.last_s = now_s

    def speaking(self, now_s: float) -> bool:
        return now_s - self.last_s < 2 * TICK_S


class Caller(Protocol):
    """One call's caller. position: of the newest frame in the recording, in samples; NOTHING for none."""

    position: int
    placed: list[Placed]

    def frame(self, now_s: float, agent: AgentSide) -> Sound:
        """20 ms of sound."""

    def pressed(self) -> list[str]:
        """Keys pressed in the newest tick."""

    def gone(self, now_s: float, agent: AgentSide) -> bool:
        """Has the caller hung up?"""


def make_caller(recording: Recording, placement: Placement) -> Caller:
    """The caller of this recording. Both kinds know everything that follows from the recording alone."""
    return ReactiveCaller(recording) if placement == "reactive" else FixedCaller(recording)


def stays(recording: Recording) -> bool:
    """Was it the other side that hung up, so that the caller would have stayed?"""
    return recording.facts.get("ended_by") not in (None, "caller")


class FixedCaller:
    """Everything at the recording's own times. Whoever did not hang up then stays until nobody speaks."""

    def __init__(self, recording: Recording) -> None:
        self.position = NOTHING
        self.placed: list[Placed] = []
        self._recording = recording
        self._size = recording.rate_hz // 50
        self._silence: Sound = np.zeros(self._size, np.int16)
        self._tick = 0
        self._waiting = sorted(recording.keys, key=lambda key: key.at_s)
        self._pressed: list[str] = []
        self._stays = stays(recording) or "ended_by" not in recording.facts
        self._quiet_since: float | None = None

    def frame(self, now_s: float, agent: AgentSide) -> Sound:
        at, self._tick = self._tick * self._size, self._tick + 1
        self._press(now_s)
        sound = self._recording.caller[at : at + self._size]
        self.position = at if len(sound) else NOTHING
        if len(sound) == self._size:
            return sound
        return np.concatenate((sound, self._silence[len(sound) :]))

    def _press(self, now_s: float) -> None:
        while self._waiting and self._waiting[0].at_s <= now_s + NEAR_S:
            key = self._waiting.pop(0)
            self._pressed.append(key.digit)
            self.placed.append(Placed(f"key {key.digit}", key.at_s, now_s, "fixed"))

    def pressed(self) -> list[str]:
        now, self._pressed = self._pressed, []
        return now

    def gone(self, now_s: float, agent: AgentSide) -> bool:
        if self._tick * self._size < len(self._recording.caller):
            return False
        if not self._stays:
            return True
        if not agent.at_rest:
            self._quiet_since = None
            return False
        self._quiet_since = now_s if self._quiet_since is None else self._quiet_since
        return now_s - self._quiet_since >= _patience_s(self._recording)


class ReactiveCaller:
    """Everything when what it hung on has come."""

    def __init__(self, recording: Recording) -> None:
        self.position = NOTHING
        self.placed: list[Placed] = []
        self._recording = recording
        self._size = recording.rate_hz // 50
        self._silence: Sound = np.zeros(self._size, np.int16)
        self._waiting = acts(recording)
        self._at = self._end = 0  # of the utterance that is spoken now, in samples
        self._now: Act | None = None
        self._before: Act | None = None
        self._began_s, self._ended_s = 0.0, 0.0  # of what the caller did last
        self._pressed: list[str] = []
        self._left = False
        self._idle_since: float | None = None

    def frame(self, now_s: float, agent: AgentSide) -> Sound:
        quiet = agent.at_rest and self._now is None
        self._idle_since = (now_s if self._idle_since is None else self._idle_since) if quiet else None
        while self._now is None and self._waiting and (how := self._due(self._waiting[0], now_s, agent)):
            self._begin(self._waiting.pop(0), now_s, how)
        return self._sound(now_s)

    def pressed(self) -> list[str]:
        now, self._pressed = self._pressed, []
        return now

    def gone(self, now_s: float, agent: AgentSide) -> bool:
        if self._left:
            return True
        if self._waiting or self._now is not None or self._idle_since is None:
            return False
        return now_s - self._idle_since >= _patience_s(self._recording)

    def _due(self, act: Act, now_s: float, agent: AgentSide) -> str:
        """Why it is time for it, "" if it is not."""
        by_s = act.by_s - NEAR_S
        idle_s = now_s - self._idle_since if self._idle_since is not None else 0.0
        match act.anchor:
            case "start":
                return "at the beginning" if now_s >= by_s else ""
            case "after own words":
                return "after own words" if now_s >= self._ended_s + by_s else ""
            case "over agent":
                same = self._before is not None and self._before.span == act.span
                if agent.speaking(now_s) and (same or agent.began_s > self._began_s):
                    return "over the agent" if now_s - agent.began_s >= by_s else ""
                by_s = 0.0  # the agent said less than then
        if agent.at_rest and agent.last_s > self._ended_s:
            over = act.anchor == "over agent"
            how = "after the agent, who said less" if over else "after the agent"
            return how if now_s >= agent.last_s + by_s else ""
        return "the agent said nothing" if idle_s >= max(SAID_NOTHING_S, by_s) else ""

    def _begin(self, act: Act, now_s: float, how: str) -> None:
        self._began_s = self._ended_s = now_s
        self._before = act
        what = f"key {act.digit}" if act.digit else "hang up" if act.leaves else "speech"
        self.placed.append(Placed(what, act.start_s, now_s, how))
        if act.digit:
            self._pressed.append(act.digit)
        elif act.leaves:
            self._left = True
        else:
            self._now = act
            self._at = round(act.start_s * self._recording.rate_hz)
            self._end = min(round(act.end_s * self._recording.rate_hz), len(self._recording.caller))

    def _sound(self, now_s: float) -> Sound:
        if self._now is None:
            self.position = NOTHING
            return self._silence
        at, self._at = self._at, self._at + self._size
        self.position = at
        sound = self._recording.caller[at : min(self._at, self._end)]
        if self._at >= self._end:
            self._now = None
            self._ended_s = now_s + TICK_S
        return sound if len(sound) == self._size else np.concatenate((sound, self._silence[len(sound) :]))


def _patience_s(recording: Recording) -> float:
    return STAYS_S if stays(recording) else 2.0


# ---------------------------------------------------------------- what hung on what


def acts(recording: Recording) -> list[Act]:
    """What the caller did, in order, each with what it depended on."""
    theirs = spans(recording.agent, recording.rate_hz, GAP_S) if recording.agent is not None else None
    found: list[Act] = []
    for act in _raw(recording):
        ended_s = found[-1].end_s if found else None
        found.append(_anchored(act, theirs, ended_s, recording))
    return found


def _raw(recording: Recording) -> list[Act]:
    said = [
        Act(max(0.0, one.start_s - EARLY_S), one.end_s + LATE_S, "start", 0.0) for one in recording.utterances
    ]
    keys = [Act(key.at_s, key.at_s, "start", 0.0, digit=key.digit) for key in recording.keys]
    found = sorted([*said, *keys], key=lambda act: act.start_s)
    if recording.facts.get("ended_by") == "caller":
        end_s = max(recording.duration_s, found[-1].end_s if found else 0.0)
        found.append(Act(end_s, end_s, "start", 0.0, leaves=True))
    return found


def _anchored(act: Act, theirs: Sequence[Span] | None, ended_s: float | None, recording: Recording) -> Act:
    """ended_s: when what the caller did before was over."""
    start_s = act.start_s
    if theirs is None:
        return _told(act, ended_s, recording)
    for place, span in enumerate(theirs):
        if span.start_s <= start_s < span.end_s:
            return _with(act, "over agent", start_s - span.start_s, place)
    past = [(place, span) for place, span in enumerate(theirs) if span.end_s <= start_s]
    if past and (ended_s is None or past[-1][1].end_s > ended_s):
        return _with(act, "after agent", start_s - past[-1][1].end_s, past[-1][0])
    return (
        _with(act, "start", start_s) if ended_s is None else _with(act, "after own words", start_s - ended_s)
    )


def _told(act: Act, ended_s: float | None, recording: Recording) -> Act:
    """Without the agent's side there is what the reader noted of utterances; a long gap had the agent in it."""
    for one in recording.utterances:
        if abs(one.start_s - EARLY_S - act.start_s) < NEAR_S and one.follows == "agent":
            return _with(act, "after agent", one.offset_s - EARLY_S)
    if ended_s is None:
        return _with(act, "start", act.start_s)
    gap_s = act.start_s - ended_s
    return (
        _with(act, "after own words", gap_s) if gap_s < LONG_GAP_S else _with(act, "after agent", USUAL_GAP_S)
    )


def _with(act: Act, anchor: Anchor, by_s: float, span: int = -1) -> Act:
    return Act(act.start_s, act.end_s, anchor, max(0.0, round(by_s, 3)), act.digit, act.leaves, span)
