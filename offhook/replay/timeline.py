"""Who made sound when: stretches of speech, what lies over each other, what lies between.

Pure arithmetic over intervals, in seconds from the beginning of the call. Not voice activity detection: the
journal already says who spoke. Driven by measures.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

LEAST_OVERLAP_S = 0.1  # less is the uncertainty of voice activity, not two people talking


class Span(NamedTuple):
    """A stretch of time in s from the beginning of the call."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


class Silence(NamedTuple):
    """Nobody spoke. after: who spoke last, "caller", "agent" or "" at the beginning."""

    start_s: float
    end_s: float
    after: str

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time without overlaps, in order."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start_s <= found[-1].end_s:
            found[-1] = Span(found[-1].start_s, max(found[-1].end_s, span.end_s))
        elif span.end_s > span.start_s:
            found.append(span)
    return found


def total_s(spans: Iterable[Span]) -> float:
    """How long they are together, each moment counted once."""
    return sum(span.length_s for span in merged(spans))


def overlaps(one: Sequence[Span], other: Sequence[Span], least_s: float = LEAST_OVERLAP_S) -> list[Span]:
    """When both made sound, for `least_s` or longer."""
    found, left, right = [], merged(one), merged(other)
    i = j = 0
    while i < len(left) and j < len(right):
        start = max(left[i].start_s, right[j].start_s)
        end = min(left[i].end_s, right[j].end_s)
        if end - start >= least_s:
            found.append(Span(round(start, 3), round(end, 3)))
        if left[i].end_s < right[j].end_s:
            i += 1
        else:
            j += 1
    return found


def silences(caller: Iterable[Span], agent: Iterable[Span], length_s: float, least_s: float) -> list[Silence]:
    """When neither made sound for `least_s` or longer, until the call's end."""
    spoken = sorted([(*span, "caller") for span in caller] + [(*span, "agent") for span in agent])
    found, until, last = [], 0.0, ""
    for start, end, who in [*spoken, (length_s, length_s, "")]:
        if start > until and start - until >= least_s:
            found.append(Silence(round(until, 3), round(start, 3), last))
        if end >= until:
            until, last = end, who
    return found
