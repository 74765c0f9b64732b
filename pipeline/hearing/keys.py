"""Keys a caller presses, collected to one entry: `#` ends it, a pause does too. Pure.

Driven by session.py. Not DTMF itself (telephony/media/tones.py)."""

from __future__ import annotations

END = "#"


class KeyEntry:
    """What was keyed in so far. timeout_s: the pause that ends an entry."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._digits = ""
        self._due = float("inf")

    @property
    def empty(self) -> bool:
        """Has nothing been keyed in?"""
        return not self._digits

    def press(self, digit: str, now: float, enough: int = 0) -> None:
        """One more key. A lone `#` is an entry of its own. enough: as many keys as are wanted, 0 for any number."""
        ends = digit == END
        if not ends or not self._digits:
            self._digits += digit
        complete = ends or (enough and len(self._digits) >= enough)
        self._due = now if complete else now + self.timeout_s

    def take(self, now: float) -> str:
        """The entry if it is complete by `now`, once; else ""."""
        if now < self._due:
            return ""
        digits, self._digits, self._due = self._digits, "", float("inf")
        return digits
