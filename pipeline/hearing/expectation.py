"""What the agent has asked for, and whether the answer is all there.

Pure. Set by tasks, tools, menus and personas through `Session.expect`; asked by endpointing.py with the words so far.
Knowing what was asked for ends a turn earlier and cuts fewer callers off than any silence does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["digits", "yes_no"]

DIGIT_WORDS = {
    "zero": "0", "oh": "0", "o": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
YES_NO = frozenset(["yes", "no", "yeah", "yep", "nope", "sure", "correct", "right"])


@dataclass(frozen=True, slots=True)
class Expectation:
    """An answer that is waited for. at_least, at_most: digits or letters, where they are counted; 0 for any number."""

    kind: Kind
    at_least: int = 0
    at_most: int = 0

    def complete(self, text: str) -> bool | None:
        """Is the answer all there? None: these words do not look like the answer."""
        words = re.findall(r"\w+", text.lower())
        if self.kind == "yes_no":
            return True if any(word in YES_NO for word in words) else None
        count = sum(len(word) if word.isdigit() else word in DIGIT_WORDS for word in words)
        if not count:
            return None
        return count >= self.at_least if not self.at_most else count >= self.at_most
