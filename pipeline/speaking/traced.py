"""Text that is rewritten step by step and remembers which written characters each spoken one stands for.

Pure. normalise.py rewrites with it; ledger.py asks a `Spoken` how much of what the model wrote was heard."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from re import Match
from typing import TypeAlias

Part: TypeAlias = tuple[str, int, int]
"""What is said for text[begin:end] of a match: the same words (a copy) or others."""
Replacement: TypeAlias = str | list[Part] | None
"""What is said for a whole match: a text, its parts in order, or None to leave it."""
Rule: TypeAlias = tuple[re.Pattern[str], str | Callable[[Match[str]], Replacement]]
"""What to look for, and what is said for it. A text is said as it is: no group references."""

# Chinese and Japanese need no space between words: every one of these is a word by itself.
WIDE = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
_WIDE = re.compile(f"[{WIDE}]")


@dataclass(frozen=True, slots=True)
class Spoken:
    """One piece of a reply: as the model wrote it and as the voice reads it.

    origins: for each character of `text` the place in `written` where what it stands for begins; never falls.
    """

    written: str
    text: str
    origins: Sequence[int]

    def written_until(self, position: int) -> int:
        """How many characters of `written` were said once the word that ends at text[position] had begun.

        A written word counts when the last spoken word of it has begun: of `$5.20` nothing before "cents".
        """
        if position <= 0:
            return 0
        while position < len(self.text) and not _between_words(self.text, position):
            position += 1
        while position < len(self.text) and self.text[position].isspace():
            position += 1
        if position >= len(self.text):
            return len(self.written)
        cut = self.origins[position]
        while cut and not _between_words(self.written, cut):
            cut -= 1
        return len(self.written[:cut].rstrip())

    def word_before(self, position: int) -> int:
        """Where the last spoken word ends that is whole before text[position]."""
        rest = self.text[position:].split(None, 1)
        if rest and not any(map(str.isalnum, rest[0])):
            return position  # the pause behind it has begun
        while position > 0 and not _between_words(self.text, position):
            position -= 1
        while position > 0 and self.text[position - 1].isspace():
            position -= 1
        return position


def plain(text: str) -> Spoken:
    """A piece that is read as it is written."""
    return Spoken(text, text, range(len(text)))


def verbatim(text: str) -> Spoken:
    """A text that is said just as it is written."""
    return Spoken(text, text, range(len(text)))


class Traced:
    """A text that rules rewrite. `text` is what it has become."""

    def __init__(self, written: str) -> None:
        self.text = self._written = written
        self._origins: Sequence[int] = range(len(written))

    def apply(self, rules: Sequence[Rule]) -> None:
        """One rule after the other, each to all of its matches."""
        for pattern, replacement in rules:
            if pattern.search(self.text):
                self._rewrite(pattern, replacement)

    def strip(self) -> None:
        begin = len(self.text) - len(self.text.lstrip())
        end = len(self.text.rstrip())
        self.text, self._origins = self.text[begin:end], self._origins[begin:end]

    def spoken(self) -> Spoken:
        return Spoken(self._written, self.text, tuple(self._origins))

    def _rewrite(
        self, pattern: re.Pattern[str], replacement: str | Callable[[Match[str]], Replacement]
    ) -> None:
        texts, origins, at = list[str](), list[int](), 0
        for found in pattern.finditer(self.text):
            said = replacement if isinstance(replacement, str) else replacement(found)
            if said is None:
                continue
            begin, end = found.span()
            parts = [(said, begin, end)] if isinstance(said, str) else said
            for text, first, last in [(self.text[at:begin], at, begin), *parts]:
                texts.append(text)
                origins += self._origins_of(text, first, last)
            at = end
        if at:
            texts.append(self.text[at:])
            origins += self._origins[at:]
            self.text, self._origins = "".join(texts), origins

    def _origins_of(self, text: str, first: int, last: int) -> Sequence[int]:
        if text == self.text[first:last]:
            return self._origins[first:last]
        origin = self._origins[first] if first < len(self._origins) else len(self._written)
        return [origin] * len(text)


def keep(*groups: int) -> Callable[[Match[str]], Replacement]:
    """Of a match, only these groups are said, as they are."""
    return lambda found: [
        (found.group(group), *found.span(group)) for group in groups if found.group(group) is not None
    ]


def _between_words(text: str, at: int) -> bool:
    """May a text be cut here without cutting a word?"""
    if at <= 0 or at >= len(text) or text[at].isspace() or text[at - 1].isspace():
        return True
    if not (_WIDE.match(text[at]) or _WIDE.match(text[at - 1])):
        return False
    return text[at].isalnum() or text[at] in "「『（《"  # a stop stays with its word
