"""Which turn of one call is which turn of another: sequence alignment by what was said, in order.

A caller whose turn was cut in two, or who was never understood, shifts all numbers after it; the words still say who
is who. Pure. Driven by compare.py. Source: Needleman and Wunsch 1970, J. Mol. Biol. 48:443."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from offhook.replay.checking import plain
from offhook.replay.turns import Turn

CALLERS_SHARE = 0.7  # the caller's words are the same recording; the agent's are what may have changed
LEAST_ALIKE = 0.25
GAP = 0.0
NEARNESS = 0.001  # of two that are equally alike, the one that comes as early


def likeness(one: str, other: str) -> float:
    """Share of words that two texts have in common, order aside: 1.0 the same words, 0.0 none. Two empty ones agree."""
    left, right = Counter(plain(one).split()), Counter(plain(other).split())
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else 1.0


def align(now: Sequence[Turn], before: Sequence[Turn]) -> list[tuple[Turn | None, Turn | None]]:
    """Pairs (now, before) in order; None where the other call has no such turn. Turn 0 is turn 0."""
    if not now or not before:
        return [(turn, None) for turn in now] + [(None, turn) for turn in before]
    head: list[tuple[Turn | None, Turn | None]] = [(now[0], before[0])]
    now, before = now[1:], before[1:]
    gains = [[_gain(one, other) for other in before] for one in now]
    best = [[0.0] * (len(before) + 1) for _ in range(len(now) + 1)]
    for i in range(len(now)):
        for j in range(len(before)):
            best[i + 1][j + 1] = max(best[i][j] + gains[i][j], best[i][j + 1] + GAP, best[i + 1][j] + GAP)
    return head + _way_back(now, before, gains, best)


def _gain(one: Turn, other: Turn) -> float:
    alike = CALLERS_SHARE * likeness(one.text, other.text)
    alike += (1 - CALLERS_SHARE) * likeness(one.answer, other.answer)
    return alike - LEAST_ALIKE - NEARNESS * abs(one.number - other.number)


def _way_back(
    now: Sequence[Turn], before: Sequence[Turn], gains: list[list[float]], best: list[list[float]]
) -> list[tuple[Turn | None, Turn | None]]:
    pairs: list[tuple[Turn | None, Turn | None]] = []
    i, j = len(now), len(before)
    while i and j:
        if gains[i - 1][j - 1] > 0 and best[i][j] == best[i - 1][j - 1] + gains[i - 1][j - 1]:
            i, j = i - 1, j - 1
            pairs.append((now[i], before[j]))
        elif best[i][j] == best[i][j - 1] + GAP:
            j -= 1
            pairs.append((None, before[j]))
        else:
            i -= 1
            pairs.append((now[i], None))
    pairs += [(None, before[k]) for k in range(j - 1, -1, -1)]
    pairs += [(now[k], None) for k in range(i - 1, -1, -1)]
    return pairs[::-1]
