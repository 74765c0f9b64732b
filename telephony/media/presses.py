"""One key press is one digit, though a peer may tell of it in several ways at once.

Pure. A digit may come as telephone-event (RFC 4733), by SIP INFO and as sound; some exchanges send two of these for
each press. Driven by receiving.py. Not how each way hears a press (tones.py, inband.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Way: TypeAlias = Literal["event", "info", "inband"]

SAME_PRESS_S: Final = 1.5  # INFO often comes when the key is let go


@dataclass(slots=True)
class _Press:
    digit: str
    at: float
    ways: set[Way] = field(default_factory=set)


class Presses:
    """Says of each digit that arrives whether it is another press."""

    def __init__(self) -> None:
        self._recent: deque[_Press] = deque(maxlen=32)

    def counts(self, digit: str, way: Way, now: float) -> bool:
        """Is this a press of its own? Within one way every digit is; a second way repeats the first, in order."""
        for press in self._recent:
            if now - press.at <= SAME_PRESS_S and press.digit == digit and way not in press.ways:
                press.ways.add(way)
                return False
        self._recent.append(_Press(digit, now, {way}))
        return True
