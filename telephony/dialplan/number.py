"""The numbers an admin writes: exact, with pattern letters, with any rest; which is narrower, where two meet.

`X` is 0-9, `Z` 1-9, `N` 2-9, `[3-7]` a range or list, `*` at the end any rest (also none), `any` everything.
`tel:+4989...` is a number, `sip:alice` the user of a SIP address, letter by letter.
Spaces and `- . ( ) /` between digits are for the eye only. The letters are Asterisk's. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

DIGITS = frozenset("0123456789")
LETTERS = {"X": DIGITS, "Z": DIGITS - {"0"}, "N": DIGITS - {"0", "1"}}
ANY = "any"
REST_SIZE = 1000  # wider than any single place, so that a rest is always tried last

SEPARATORS = " \t-.()/"
MAX_PLACES = 40

MAX_USER = 100

_ONE = {char: frozenset(char) for char in "0123456789+*#"}
_FIXED = re.compile(
    r"[+*#]?[0-9][0-9*#]{0,38}[0-9#]|[0-9]", re.ASCII
)  # nothing but digits, and no `*` at the end
_SCHEME = re.compile(r"\s*(tel|sips?):", re.IGNORECASE)
_STRIP = str.maketrans("", "", SEPARATORS)
_RANGES = re.compile(r"([0-9])(?:-([0-9]))?")
_RANGES_ONLY = re.compile(r"(?:[0-9](?:-[0-9])?)+")
_HELP = "X is 0-9, Z 1-9, N 2-9, [3-7] a range, * at the end any rest; `any` is everything."


@dataclass(frozen=True, slots=True)
class Pattern:
    """One number rule. places: the characters allowed at each place; rest: anything may follow.

    text: as the admin wrote it. exact: the one number that this is, or None if there are several.
    """

    text: str
    places: tuple[frozenset[str], ...]
    rest: bool = False
    exact: str | None = None

    @property
    def prefix(self) -> str:
        """The fixed digits that it begins with."""
        fixed = takewhile(lambda place: len(place) == 1, self.places)
        return "".join(next(iter(place)) for place in fixed)

    @property
    def is_any(self) -> bool:
        return self.rest and not self.places

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts the narrower pattern first, from the left: fixed digits, then ranges, then any rest."""
        return (*(len(place) for place in self.places), REST_SIZE if self.rest else 0)

    def mismatch(self, number: str) -> str:
        """Why a normalised number does not fit, in a few words; empty if it fits."""
        for at, place in enumerate(self.places):
            if at >= len(number):
                return f"too short: {len(self.places)} digits wanted, {len(number)} dialled"
            if number[at] not in place:
                return f"{number[at]!r} at place {at + 1} is not {_name(place)}"
        if len(number) > len(self.places) and not self.rest:
            return f"too long: {len(self.places)} digits wanted, {len(number)} dialled"
        return ""


def normalise(number: str) -> str:
    """A number as it is compared: without what is for the eye only, and without the scheme and parameters of a URI."""
    if ":" in number:
        number = number.partition(":")[2].partition(";")[0].partition("@")[0]
    return number.translate(_STRIP)


def is_fixed(text: str) -> bool:
    """Nothing but digits, so that there is nothing to be wrong with it. Quick: a plan may have many."""
    return _FIXED.fullmatch(text) is not None


def parse_pattern(text: str) -> Pattern:
    """Read a number as an admin writes it. Raises ValueError with fact and remedy."""
    if _FIXED.fullmatch(text):
        return Pattern(text, tuple([_ONE[char] for char in text]), exact=text)
    if text.strip().startswith("/"):
        fact = f"number {text!r} is a regular expression, which is not supported: one may take for ever to match."
        raise ValueError(f"{fact} {_HELP}")
    compact = text.translate(_STRIP)
    if _FIXED.fullmatch(compact):
        return Pattern(text, tuple([_ONE[char] for char in compact]), exact=compact)
    if _SCHEME.match(text):
        return _uri(text)
    if compact.lower() == ANY or compact == "*":
        return Pattern(text, (), rest=True)
    if not compact:
        raise ValueError(f"the number is empty. {_HELP}")
    rest = compact.endswith("*")
    body = text.rstrip()[:-1] if rest else text
    places: list[frozenset[str]] = []
    at = 0
    while at < len(body):
        if body[at] == "[":
            end = body.find("]", at)
            if end < 0:
                raise ValueError(f"number {text!r}: '[' is not closed. Write a range like [3-7].")
            places.append(_range(body[at + 1 : end], text))
            at = end
        elif body[at] not in SEPARATORS:
            places.append(_place(body[at], first=not places, text=text))
        at += 1
    if len(places) > MAX_PLACES:
        raise ValueError(f"number {text[:20]!r}...: longer than {MAX_PLACES} digits. E.164 allows 15.")
    one = not rest and all(len(place) == 1 for place in places)
    return Pattern(text, tuple(places), rest, "".join(min(place) for place in places) if one else None)


def _uri(text: str) -> Pattern:
    """`tel:` with a pattern, or `sip:` with a user, who is exactly this one."""
    scheme, _, rest = text.strip().partition(":")
    if "@" in rest:
        user = rest.partition("@")[0]
        raise ValueError(f"number {text!r}: only the user counts, not the host. Write {scheme}:{user}.")
    if scheme.lower() == "tel":
        inner = parse_pattern(rest)
        return Pattern(text, inner.places, inner.rest, inner.exact)
    user = normalise(text)
    if not user or len(user) > MAX_USER:
        raise ValueError(f"number {text!r} has no user, or a very long one. Write it like sip:alice.")
    return Pattern(text, tuple(frozenset(char) for char in user), exact=user)


def overlap(one: Pattern, two: Pattern) -> str | None:
    """A number that fits both patterns, or None."""
    shared: list[str] = []
    for at in range(max(len(one.places), len(two.places))):
        left, right = _at(one, at), _at(two, at)
        both = (left if right is None else right if left is None else left & right) or frozenset()
        if not both:
            return None
        shared.append(min(both))
    return "".join(shared)


def narrower(one: Pattern, two: Pattern) -> bool:
    """Is `one` the narrower of two overlapping patterns? False for both ways round means a tie."""
    for at in range(max(len(one.places), len(two.places)) + 1):
        left, right = _at(one, at), _at(two, at)
        if left == right:
            continue
        if left is None:  # `one` takes any rest here
            return False
        if right is None:
            return True
        return left < right
    return False


def uncovered(pattern: Pattern, others: Sequence[Pattern]) -> str | None:
    """A number that fits `pattern` and none of `others`, or None if others leave nothing of it.

    Follows digits that the fewest others share, and no state twice: work grows with the total length of
    `others`, not with the count of numbers they stand for.
    """
    dead: set[tuple[int, tuple[int, ...]]] = set()
    longest = max((len(other.places) for other in others), default=0) + len(pattern.places) + 1

    def search(at: int, alive: tuple[int, ...], so_far: str) -> str | None:
        if at >= len(pattern.places) and not any(others[index].mismatch(so_far) == "" for index in alive):
            return so_far
        if not alive and at < len(pattern.places):
            return so_far + "".join(min(place) for place in pattern.places[at:])
        ended = at > longest if pattern.rest else at >= len(pattern.places)
        if ended or (at, alive) in dead:
            return None
        dead.add((at, alive))
        place = pattern.places[at] if at < len(pattern.places) else DIGITS
        groups: dict[tuple[int, ...], str] = {}
        for char in sorted(place):
            groups.setdefault(tuple(index for index in alive if _allows(others[index], at, char)), char)
        for group in sorted(groups, key=len):
            if (found := search(at + 1, group, so_far + groups[group])) is not None:
                return found
        return None

    if pattern.is_any:
        return ANY
    return search(0, tuple(range(len(others))), "")


def _allows(pattern: Pattern, at: int, char: str) -> bool:
    place = _at(pattern, at)
    return place is None or char in place


def _at(pattern: Pattern, at: int) -> frozenset[str] | None:
    """The characters allowed at a place; None: anything (the rest); empty: the number has ended before."""
    if at < len(pattern.places):
        return pattern.places[at]
    return None if pattern.rest else frozenset()


def _place(char: str, *, first: bool, text: str) -> frozenset[str]:
    if char in LETTERS:
        return LETTERS[char]
    if char in DIGITS or char in "*#" or (char == "+" and first):
        return frozenset(char)
    if char == "+":
        raise ValueError(f"number {text!r}: '+' may only come first. Remove it.")
    if char.upper() in LETTERS:
        raise ValueError(f"number {text!r}: {char!r} is not a pattern letter. Did you mean {char.upper()!r}?")
    raise ValueError(f"number {text!r}: {char!r} is neither a digit nor a pattern letter. {_HELP}")


def _range(inner: str, text: str) -> frozenset[str]:
    """The digits of one pair of brackets: single digits and low-high ranges, side by side."""
    chars: set[str] = set()
    for low, high in _RANGES.findall(inner):
        chars.update(str(digit) for digit in range(int(low), int(high or low) + 1))
    if (
        not chars
        or not _RANGES_ONLY.fullmatch(inner)
        or any(h and h < low for low, h in _RANGES.findall(inner))
    ):
        raise ValueError(
            f"number {text!r}: [{inner}] is not a range of digits. Write it like [3-7] or [135]."
        )
    return frozenset(chars)


def _name(place: frozenset[str]) -> str:
    for letter, digits in LETTERS.items():
        if place == digits:
            return letter
    return next(iter(place)) if len(place) == 1 else f"one of {''.join(sorted(place))}"
