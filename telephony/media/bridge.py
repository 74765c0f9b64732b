"""Two calls that hear each other: the sound of each is what the other is told, and an agent may join in.

Pure. Its sides have the ear and the mouth of a stream (stream.py), which drives them, one tick a stream; whoever
joins two calls gives them to the two Streams. For a warm transfer the agent talks to one side, then to both, then
leaves. Not signalling, and not who the agent is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.media.codecs.rate import Converter

Frame: TypeAlias = NDArray[np.int16]
Ear: TypeAlias = Callable[[Frame, float], None]
Mouth: TypeAlias = Callable[[float], Frame | None]

LATE_S: Final = (
    0.03  # a side that was not asked for so long was on hold or sent digits: what it missed is stale
)
WAITING: Final = 2  # frames; the ticks of the two streams may change places once, no more


class Side:
    """One of the two calls, at its own rate. Give `ear` and `mouth` to its Stream.

    agent: mouth of an agent who talks to this side, at the side's rate, or None. listener: ear of an agent who
    listens to it. open: what is said here reaches the other side. Both may change at any tick."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.agent: Mouth | None = None
        self.listener: Ear | None = None
        self.open = True
        self._other: Side | None = None
        self._convert: Converter | None = None
        self._waiting: deque[Frame] = deque(maxlen=WAITING)
        self._asked_at = 0.0

    def ear(self, frame: Frame, now: float) -> None:
        """What this side's phone has said. frame: 20 ms at rate_hz; silence while it holds us. now: loop time, s."""
        if self.listener is not None:
            self.listener(frame, now)
        other = self._other
        if other is None:
            return
        told = (
            self._convert.feed(frame) if self._convert is not None else frame
        )  # keeps its memory even when closed
        if self.open:
            other.hears(told)

    def mouth(self, now: float) -> Frame | None:
        """What this side's phone is to hear now: the other side and the agent. None: silence."""
        if now - self._asked_at > LATE_S:
            while len(self._waiting) > 1:
                self._waiting.popleft()
        self._asked_at = now
        heard = self._waiting.popleft() if self._waiting else None
        said = self.agent(now) if self.agent is not None else None
        if heard is None or said is None:
            return said if heard is None else heard
        both: Frame = np.clip(heard.astype(np.int32) + said, -32768, 32767).astype(np.int16)
        return both

    def hears(self, frame: Frame) -> None:
        """20 ms of the other side, at our rate, for the next tick. What is two ticks old is dropped."""
        self._waiting.append(frame)

    def join(self, other: Side | None) -> None:
        """From now on the other side is told what is said here; None: nobody is. Raises MediaError for rates
        without a whole ratio."""
        convert = None
        if other is not None and other.rate_hz != self.rate_hz:
            convert = Converter(self.rate_hz, other.rate_hz)
        self._other, self._convert = other, convert
        self._waiting.clear()


class Bridge:
    """Two sides that are joined until `part`."""

    def __init__(self, one_hz: int, other_hz: int) -> None:
        """Rates of the two calls. Raises MediaError if there is no whole ratio between them."""
        self.one, self.other = Side(one_hz), Side(other_hz)
        self.one.join(self.other)
        self.other.join(self.one)

    def whisper(self, mouth: Mouth, ear: Ear | None = None) -> None:
        """The agent speaks to the other side alone, which the first does not hear: "I have Ms Weber for you".

        mouth, ear: at the other side's rate."""
        self.other.agent, self.other.listener = mouth, ear
        self.one.open = self.other.open = False

    def open(self) -> None:
        """Both sides hear each other from now on; an agent may still talk."""
        self.one.open = self.other.open = True

    def leave(self) -> None:
        """No agent talks or listens any more; the two stay joined."""
        for side in (self.one, self.other):
            side.agent = side.listener = None
        self.open()

    def part(self) -> None:
        """Each side is alone again."""
        self.one.join(None)
        self.other.join(None)
