"""Keys a caller presses, collected to one entry: `#` ends it, a pause does too. Pure.

Driven by session.py. Not DTMF itself (telephony/media/tones.py)."""

from __future__ import annotations

END = "#"


class KeyEntry:
    """What was keyed in so far. timeout_s: the pause that ends an entry."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._digits = ""
        self._due = float("inf")

    def press(self, digit: str, now: float) -> None:
        """One more key. A lone `#` is an entry of its own."""
        ends = digit == END
        if not ends or not self._digits:
            self._digits += digit
        self._due = now if ends else now + self._timeout_s

    def take(self, now: float) -> str:
        """The entry if it is complete by `now`, once; else ""."""
        if now < self._due:
            return ""
        digits, self._digits, self._due = self._digits, "", float("inf")
        return digits
