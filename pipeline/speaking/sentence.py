"""A model's tokens to speakable pieces, as they stream: sentences, or clauses where a sentence is long.

Pure. Driven by replying.py. Nothing is lost or changed but white space; numbers and markdown are normalise.py's
business. How the text was cut into tokens makes no difference. A wrong cut costs a little melody, a missing one
costs the caller a wait: so the first piece goes out early, and what is doubtful is not cut."""

from __future__ import annotations

MIN_CHARS = 20  # of later pieces: short ones join the next
FIRST_CLAUSE_CHARS = 40  # from here on the first piece may end at a comma
LONG_CHARS = 180  # from here on every piece may
MAX_CHARS = 300  # here it must end, at a space
MIN_CLAUSE_CHARS = 20  # what a comma may cut off

ENDS = ".!?…"
WIDE_ENDS = "。！？"  # no space follows these
CLOSERS = "\"'”’»)]}*_`~"
CLAUSE_ENDS = ",;:–—"

# Words whose dot never ends a sentence, because something must follow.
_TITLES = """mr mrs ms dr prof messrs rev hon gen sen rep gov capt lt sgt vs approx e.g i.e cf
    hr fr frl z.b d.h u.a bzw ca inkl exkl evtl ggf vgl sog zzgl mme mlle mgr p.ex sr sra srta dña ud uds p.ej"""
# Words whose dot ends a sentence unless a number follows.
_BEFORE_NUMBER = """no nr nos fig vol pp ext tel apt art sec ch núm num abs kap str av bd
    jan feb mar apr jun jul aug sep sept oct nov dec"""
# Words whose dot ends a sentence only if a capital follows.
_MAY_END = "a.m p.m u.s u.k e.u ee.uu etc usw inc ltd co corp jr bros llc plc gmbh st dept est blvd rd ave"
# Behind a German ordinal: am 3. Mai.
_MONTHS = "januar februar märz april mai juni juli august september oktober november dezember"

TITLES, BEFORE_NUMBER = frozenset(_TITLES.split()), frozenset(_BEFORE_NUMBER.split())
MAY_END, MONTHS = frozenset(_MAY_END.split()), frozenset(_MONTHS.split())


class Sentences:
    """One reply's text. `feed` and `finish` return the pieces that are complete, without space around them."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True
        self._doubtful: int | None = None  # an end of sentence that the next word decides

    def feed(self, text: str) -> list[str]:
        """The next token, or any amount of text."""
        pieces: list[str] = []
        for character in text:
            self._text += character
            piece = self._cut(character)
            if piece:
                pieces.append(piece)
        return pieces

    def finish(self) -> list[str]:
        """What is left. The next `feed` begins another reply."""
        rest = self._text.strip()
        self._text, self._first, self._doubtful = "", True, None
        return [rest] if rest else []

    def _cut(self, last: str) -> str:
        """The piece that this character completes, or nothing."""
        if self._doubtful is not None and (following := self._text[self._doubtful :].lstrip()):
            return self._settle(self._doubtful, following)
        if last == "\n":
            return self._take(len(self._text), even_short=not _list_number(self._text))
        if last in WIDE_ENDS:
            return self._take(len(self._text))
        if not last.isspace() or self._text[-2:-1].isspace():
            return ""
        return self._at_space()

    def _at_space(self) -> str:
        """A word is complete: does a sentence or a clause end with it?"""
        body = self._text.rstrip()
        bare = body.rstrip(CLOSERS)
        if bare and bare[-1] in ENDS:
            if not _certain(bare):
                self._doubtful = len(self._text)
                return ""
            return self._take(len(self._text))
        if len(body) >= MAX_CHARS:
            return self._take(len(self._text))
        enough = FIRST_CLAUSE_CHARS if self._first else LONG_CHARS
        if bare and bare[-1] in CLAUSE_ENDS and len(body) >= MIN_CLAUSE_CHARS and len(body) >= enough:
            return self._take(len(self._text))
        return ""

    def _settle(self, end: int, following: str) -> str:
        """The next word of a doubtful end has begun. Behind a German ordinal, all of it may be needed."""
        body = self._text[:end].rstrip().rstrip(CLOSERS)
        if _ordinal(body) and any(month.startswith(following.lower()) for month in MONTHS):
            if following.lower() in MONTHS:
                self._doubtful = None
            return ""
        self._doubtful = None
        return self._take(end) if _ends_before(body, following[0]) else ""

    def _take(self, end: int, *, even_short: bool = False) -> str:
        """Cut here, unless that would make a piece too short to sound well."""
        piece = self._text[:end].strip()
        if not piece or not (self._first or even_short or len(piece) >= MIN_CHARS):
            return ""
        if _list_number(piece) or not any(map(str.isalnum, piece)):
            return ""
        self._text = self._text[end:]
        self._first, self._doubtful = False, None
        return piece


def _word(body: str) -> str:
    """The last word before the dot, in lower case, without what opens it."""
    return body.rsplit(None, 1)[-1].lstrip("\"'“‘„«([{*_`¿¡").rstrip(".").lower()


def _certain(body: str) -> bool:
    """Does a sentence surely end here, whatever comes?"""
    if body[-1] in "!?":
        return True
    if body[-1] == "…" or body.endswith(".."):
        return False
    word = _word(body)
    known = word in TITLES or word in BEFORE_NUMBER or word in MAY_END
    return not (known or len(word) <= 1 or "." in word or word.isdigit() or word.endswith("str"))


def _ends_before(body: str, following: str) -> bool:
    """Does a doubtful end hold, now that the first character of the next word is known?"""
    word = _word(body)
    if word in TITLES or (len(word) == 1 and word.isalpha()):
        return False
    if word in BEFORE_NUMBER or word.endswith("str"):
        return not following.isdigit() and not following.islower()
    return not following.islower()


def _ordinal(body: str) -> bool:
    return body.endswith(".") and _word(body).isdigit() and len(_word(body)) <= 2


def _list_number(text: str) -> bool:
    """Is this only the number of a list's entry, `1.` or `2)`?"""
    bare = text.strip().rstrip(".)")
    return bare.isdigit() and len(bare) <= 3 and len(text.strip()) > len(bare)
