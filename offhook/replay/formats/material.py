"""What one file held of a call, before anybody has listened to it.

Pure data. Made by the modules beside this one, made into a Recording by recording.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pcm: TypeAlias = NDArray[np.int16]
Follows: TypeAlias = Literal["start", "agent", "silence"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of the caller's speech, in s from the beginning of the recording. text: "" if nobody knows.

    follows: `agent` if the agent spoke last, `silence` if the caller did (they waited and went on), `start` if
    nobody had. offset_s: from the end of what it follows; below 0 they talked into the agent's speech, and into_s says
    how long that had been going on. After `start` it is the time since the call began.
    """

    start_s: float
    end_s: float
    text: str = ""
    follows: Follows = "start"
    offset_s: float = 0.0
    into_s: float | None = None


@dataclass(frozen=True, slots=True)
class KeyPress:
    """One DTMF digit, in s from the beginning of the recording."""

    at_s: float
    digit: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Somebody spoke without a longer pause, in s from the beginning of the recording."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Material:
    """Sound of one call, and what the file says beside it.

    channels: int16, one array a channel, all equally long. sides: who is on each channel, "" where the file does not
    say. utterances, agent_speech: None if somebody has to listen for them. texts: said when and by whom, if known.
    """

    rate_hz: int
    channels: list[Pcm]
    sides: tuple[str, ...] = ()
    keys: list[KeyPress] = field(default_factory=list)
    utterances: list[Utterance] | None = None
    agent_speech: list[Stretch] | None = None
    texts: list[tuple[float, float, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    name: str = ""
