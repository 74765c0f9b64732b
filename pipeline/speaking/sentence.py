"""A model's tokens to speakable pieces, as they stream: sentences, or clauses where a sentence is long.

Pure. Driven by replying.py. The pieces are the text, to the last space; numbers and markdown are normalise.py's
business. How the text was cut into tokens makes no difference, only when it came. A wrong cut costs a little melody, a
missing one costs the caller a wait: so the first piece goes out early, and what is doubtful is not cut."""

from __future__ import annotations

import re

from pipeline.speaking.abbreviations import DOTS, NO_DOTS
from pipeline.speaking.traced import WIDE

MIN_LENGTH = 20  # of later pieces: short ones join the next
FIRST_CLAUSE = 40  # from here on the first piece may end at a comma
SLOW_CLAUSE = 9  # and from here on if the model is slow
SLOW_PER_S = 30.0  # a model that writes fewer characters a second: twice the pace of speech
SLOW_AFTER_S = 0.25  # known to be slow no earlier than this
LONG = 180  # from here on every piece may end at a comma
MAX_LENGTH = 300  # here it must end, at a clause or a space
HARD_LENGTH = 600  # and here wherever it is
MIN_CLAUSE = 20  # what a comma may cut off
WIDE_LETTER = 3  # a Chinese or Japanese sign is worth so many letters

ENDS = ".!?…؟।۔"
WIDE_ENDS = "。！？｡"  # no space follows these
CLOSERS = "\"'”’»«›)]}*_`~"
WIDE_CLOSERS = "」』）”’》】"
CLAUSE_ENDS = ",;:–—،؛"
WIDE_CLAUSE_ENDS = "，、；："
OPENERS = "\"'“‘„«‹»›([{*_`~¿¡-"
_WIDE = re.compile(f"[{WIDE}]")


class Sentences:
    """One reply's text. `feed` and `finish` return the pieces that are complete; together they are the text."""

    def __init__(self, language: str = "en-US") -> None:
        """language: BCP 47 tag of what the model writes."""
        self._dots = DOTS.get(language.partition("-")[0].lower(), NO_DOTS)
        self._text = ""
        self._first = True
        self._doubtful: int | None = None  # an end of sentence that the next word decides
        self._clause = 0  # the last end of a clause
        self._began: float | None = None  # when the first token came
        self._last: float | None = None  # and the last one so far
        self._slow = False

    def feed(self, text: str, now: float | None = None) -> list[str]:
        """The next token, or any amount of text. now: when it came, loop time in s; without it, all came at once."""
        if now is not None and self._first and text and now != self._last:
            self._began = now if self._began is None else self._began
            took, self._last = now - self._began, now
            self._slow = took >= SLOW_AFTER_S and len(self._text) < took * SLOW_PER_S
        pieces: list[str] = []
        for character in text:
            self._text += character
            if end := self._end(character):
                pieces.append(self._cut(end))
        return pieces

    def finish(self) -> list[str]:
        """What is left. The next `feed` begins another reply."""
        rest = self._text
        self._text, self._first, self._doubtful, self._clause = "", True, None, 0
        self._began, self._last, self._slow = None, None, False
        return [rest] if rest else []

    # ------------------------------------------------------------ where a piece ends

    def _cut(self, end: int) -> str:
        piece, self._text = self._text[:end], self._text[end:]
        self._first, self._doubtful, self._clause = False, None, 0
        return piece

    def _end(self, last: str) -> int:
        """How much of the text this character completes, 0 if nothing."""
        if self._doubtful is not None and not last.isspace():
            following = self._text[self._doubtful :].lstrip()
            if end := self._settled(self._doubtful, following):
                return end
        if last == "\n":
            return self._fit(len(self._text), even_short=not _list_number(self._text)) or self._too_long()
        if last in WIDE_ENDS:
            self._doubtful = len(self._text)
            return 0
        if last.isspace() and not self._text[-2:-1].isspace():
            return self._at_space()
        if last in WIDE_CLAUSE_ENDS and not self._in_brackets():
            return self._at_clause(len(self._text))
        if self._slow and self._first and self._clause:
            return self._fit(self._clause)
        return self._too_long()

    def _at_space(self) -> int:
        """A word is complete: does a sentence or a clause end with it?"""
        end = len(self._text)
        body = self._text.rstrip()
        bare = body.rstrip(CLOSERS + " \u00a0\u202f")
        if bare and bare[-1] in ENDS:
            if bare != body or not self._certain(bare):
                self._doubtful = end
                return 0
            return self._fit(end)
        if bare and bare[-1] in CLAUSE_ENDS and not self._in_brackets():
            return self._at_clause(end)
        return self._too_long()

    def _at_clause(self, end: int) -> int:
        size = _length(self._text[:end].strip())
        least = SLOW_CLAUSE if self._first else MIN_CLAUSE
        if size < least:
            return 0
        self._clause = end
        enough = (SLOW_CLAUSE if self._slow else FIRST_CLAUSE) if self._first else LONG
        return self._fit(end) if size >= enough else 0

    def _too_long(self) -> int:
        """Text without an end: at a clause, else at a space that parts no number, else anywhere."""
        if len(self._text) < MAX_LENGTH // WIDE_LETTER or _length(self._text) < MAX_LENGTH:
            return 0
        if _length(self._text) >= HARD_LENGTH:
            return len(self._text)
        if self._clause:
            return self._fit(self._clause)
        between = self._text[-1].isspace() and not self._text[-2:-1].isdigit()
        return self._fit(len(self._text)) if between or _length(self._text[-1]) > 1 else 0

    def _fit(self, end: int, *, even_short: bool = False) -> int:
        """Cut here, unless that would make a piece too short to sound well."""
        piece = self._text[:end].strip()
        if not (self._first or even_short or _length(piece) >= MIN_LENGTH):
            return 0
        if _list_number(piece) or not any(map(str.isalnum, piece)):
            return 0
        return end

    def _in_brackets(self) -> bool:
        return self._text.count("(") > self._text.count(")")

    # ------------------------------------------------------------ what is doubtful

    def _settled(self, end: int, following: str) -> int:
        """The next word of a doubtful end has begun. Behind a German ordinal, all of it may be needed."""
        body = self._text[:end].rstrip()
        if body[-1:] in WIDE_ENDS or (
            body[-1:] in WIDE_CLOSERS and body.rstrip(WIDE_CLOSERS)[-1:] in WIDE_ENDS
        ):
            if following[0] in WIDE_CLOSERS + WIDE_ENDS:
                self._doubtful = len(self._text)
                return 0
            self._doubtful = None
            return self._fit(end)
        if following[0] in "»›”)" or (following[0] == "«" and body.count("»") > body.count("«")):
            self._doubtful = None  # the quotation closes behind a space; its end is judged there
            return 0
        bare = body.rstrip(CLOSERS + " \u00a0\u202f")
        if self._is_ordinal(bare) and any(month.startswith(following.lower()) for month in self._dots.months):
            if following.lower() in self._dots.months:
                self._doubtful = None
            return 0
        self._doubtful = None
        return self._fit(end) if self._ends_before(bare, following[0]) else 0

    def _certain(self, body: str) -> bool:
        """Does a sentence surely end here, whatever comes?"""
        if body.count("«") > body.count("»") and body[-1] in "!?":
            return False
        if body[-1] != ".":
            return body[-1] != "…"
        if body.endswith(".."):
            return False
        word, dots = _word(body), self._dots
        known = word in dots.never or word in dots.number or word in dots.capital
        return not (known or len(word) <= 1 or "." in word or word[-1].isdigit() or self._street(word))

    def _ends_before(self, body: str, following: str) -> bool:
        """Does a doubtful end hold, now that the first character of the next word is known?"""
        word, dots = _word(body), self._dots
        if body[-1] == "." and not body.endswith(".."):
            if word in dots.never or (len(word) == 1 and word.isalpha()):
                return False
            if word in dots.number or self._street(word):
                return not following.isdigit() and not following.islower()
            if self._is_ordinal(body) and _word_before(body) in dots.ranked:
                return False
        return not following.islower()

    def _is_ordinal(self, body: str) -> bool:
        word = _word(body)
        return bool(self._dots.months) and body.endswith(".") and word.isdigit() and len(word) <= 2

    def _street(self, word: str) -> bool:
        return bool(self._dots.months) and word.endswith("str")


def _word(body: str) -> str:
    """The last word before the dot, in small letters, without what opens it."""
    words = body.rsplit(None, 1)
    return words[-1].lstrip(OPENERS).rstrip(".").lower() if words else ""


def _word_before(body: str) -> str:
    words = body.rsplit(None, 2)
    return words[-2].lower() if len(words) > 1 else ""


def _list_number(text: str) -> bool:
    """Is this only the number of a list's entry, `1.` or `2)` or `a)`?"""
    stripped = text.strip().lstrip("*_(")
    bare = stripped.rstrip(".)*_")
    return len(stripped) > len(bare) and (
        (bare.isdigit() and len(bare) <= 3) or (len(bare) == 1 and bare.isalpha())
    )


def _length(text: str) -> int:
    """In letters: a Chinese or Japanese sign says more than one."""
    if text.isascii():
        return len(text)
    return len(text) + (WIDE_LETTER - 1) * len(_WIDE.findall(text))
