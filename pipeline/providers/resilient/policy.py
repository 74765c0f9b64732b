"""In which order the providers of a team are asked: as listed, by speed, by price, or by lot. Pure: `now` is passed in.

A policy only orders; who rests comes last whatever it says (team.py). `Speed` is what is known of one provider's
latency. It belongs to a Member, so all calls of a worker learn from each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

KEPT = 64  # measurements of one provider
HALF_LIFE_S = 120.0  # a measurement of two minutes ago counts half
SHARE = 0.9  # of the measurements are no slower than what counts: callers notice the slow tenth


class Speed:
    """How long one provider makes callers wait, from newer measurements more than from older ones."""

    def __init__(self) -> None:
        self._took: deque[tuple[float, float]] = deque(maxlen=KEPT)  # loop time, s
        self._tried_at: float | None = None

    def observe(self, took_s: float, now: float) -> None:
        """It took so long to the first thing that a caller would notice."""
        self._took.append((now, took_s))
        self._tried_at = now

    def tried(self, now: float) -> None:
        """It is asked, to see how fast it is: nobody else need find out for a while."""
        self._tried_at = now

    def stale(self, now: float, after_s: float) -> bool:
        """Has nobody asked it for so long?"""
        return self._tried_at is None or now - self._tried_at >= after_s

    def expected_s(self, now: float) -> float | None:
        """The wait that nine of ten requests do not exceed, None if it was never measured."""
        if not self._took:
            return None
        weighed = sorted((took, 0.5 ** ((now - at) / HALF_LIFE_S)) for at, took in self._took)
        wanted = SHARE * sum(weight for _, weight in weighed)
        for took, weight in weighed:
            wanted -= weight
            if wanted <= 0:
                return took
        return weighed[-1][0]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the dial plan says of one provider of a team: its share of calls, and its price per unit."""

    weight: float = 1.0
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a policy may know of a provider."""

    speed: Speed
    terms: Terms


class Policy(Protocol):
    """How to order providers. name: for events."""

    name: str

    def order(self, candidates: Sequence[Candidate], now: float) -> list[int]:
        """Positions, best first, each exactly once."""


class Ordered:
    """As they are listed."""

    name = "ordered"

    def order(self, candidates: Sequence[Candidate], now: float) -> list[int]:
        return list(range(len(candidates)))


class Fastest:
    """The quickest first. One that was not asked for explore_s comes first once, so that a recovered one is found.

    Another one must be quicker by a tenth to take the place of the first one listed."""

    name = "fastest"

    def __init__(self, explore_s: float = 60.0) -> None:
        self._explore_s = explore_s

    def order(self, candidates: Sequence[Candidate], now: float) -> list[int]:
        def wait_s(place: int) -> float:
            expected = candidates[place].speed.expected_s(now)
            return float("inf") if expected is None else expected * 1.1 ** (place > 0)

        return _explored(sorted(range(len(candidates)), key=wait_s), candidates, now, self._explore_s)


class Cheapest:
    """The cheapest first, among those that answer within max_s; the others behind them, the quickest first."""

    name = "cheapest"

    def __init__(self, max_s: float | None = None, explore_s: float = 60.0) -> None:
        self._max_s, self._explore_s = max_s, explore_s

    def order(self, candidates: Sequence[Candidate], now: float) -> list[int]:
        def rank(place: int) -> tuple[bool, float, float]:
            price, wait_s = candidates[place].terms.price, candidates[place].speed.expected_s(now) or 0.0
            slow = self._max_s is not None and wait_s > self._max_s
            return slow, wait_s if slow else price, price

        found = sorted(range(len(candidates)), key=rank)
        dearer = candidates[found[0]].terms.price
        cheap = {place for place in found if candidates[place].terms.price < dearer}
        return _explored(found, candidates, now, self._explore_s, lambda place: place in cheap)


class Split:
    """By lot, in proportion to the weights: the same call always draws the same. The others stand in, in order."""

    name = "split"

    def __init__(self, draws: str) -> None:
        """draws: what the lot depends on: kind of provider and id of the call."""
        self._lot = int.from_bytes(sha256(draws.encode()).digest()[:8], "big") / 2**64

    def order(self, candidates: Sequence[Candidate], now: float) -> list[int]:
        left = self._lot * sum(candidate.terms.weight for candidate in candidates)
        drawn = 0
        for place, candidate in enumerate(candidates):
            if candidate.terms.weight > 0:
                drawn = place
                left -= candidate.terms.weight
                if left < 0:
                    break
        return [drawn, *(place for place in range(len(candidates)) if place != drawn)]


def _explored(
    found: list[int],
    candidates: Sequence[Candidate],
    now: float,
    after_s: float,
    worth: Callable[[int], bool] = lambda place: True,
) -> list[int]:
    """The order, with one that nobody has asked for long, and that may deserve it, in front."""
    for place in found:
        speed = candidates[place].speed
        if worth(place) and speed.stale(now, after_s):
            speed.tried(now)
            return [place, *(other for other in found if other != place)]
    return found


@dataclass(frozen=True, slots=True)
class Routing:
    """How a team of providers shares the work. terms: of its members, in their order."""

    policy: Policy = field(default_factory=Ordered)
    terms: Sequence[Terms] = ()

    def order(self, speeds: Sequence[Speed], now: float) -> list[int]:
        """Positions of the providers with these speeds, best first."""
        terms = [*self.terms, *[Terms()] * (len(speeds) - len(self.terms))]
        return self.policy.order([Candidate(*pair) for pair in zip(speeds, terms, strict=True)], now)
