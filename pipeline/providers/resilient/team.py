"""Who is asked first, who beside or after it, and who is left alone.

A `Team` belongs to one call; its members to all of them. It races requests and reports changes; what a request is,
is the business of llm.py, tts.py and stt.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipeline.errors import Cause, ConfigError, ProviderError
from pipeline.events import Event, ProviderChosen, ProviderRecovered, ProviderSwitched
from pipeline.providers.resilient.attempt import Attempt
from pipeline.providers.resilient.member import Member, P
from pipeline.providers.resilient.policy import Ordered, Routing

NOT_HELPED = ("timeout", "rate_limit")  # asking again at once would end the same way

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a provider may take, in s.

    beside_s: to the first thing a caller would notice, before the next provider is asked beside it; whoever is first
    then serves the request. timeout_s: after that it is given up. gap_s: the longest wait within a stream. retries:
    of the same provider, when it failed at once for a reason that may be gone the next moment.
    """

    beside_s: float
    timeout_s: float
    gap_s: float
    retries: int = 1


@dataclass(slots=True)
class Race(Generic[P, T]):
    """What came of asking.

    winner: None if nobody delivered. losers: closed, but what they delivered is left. error: the last failure.
    """

    winner: Attempt[P, T] | None = None
    losers: list[Attempt[P, T]] = field(default_factory=list)
    error: ProviderError | None = None


class Team(Generic[P]):
    """Providers of one kind in order of preference. kind: "stt", "llm" or "tts", for events.

    routing: who is preferred. A voice or a recogniser is chosen once a call, a model for every request."""

    def __init__(
        self,
        kind: str,
        members: Sequence[Member[P] | P],
        patience: Patience,
        emit: Callable[[Event], None],
        routing: Routing | None = None,
    ) -> None:
        if not members:
            raise ConfigError(f"{kind}: a fallback of no providers. Name at least one.")
        self.members: list[Member[P]] = [
            member if isinstance(member, Member) else Member(member) for member in members
        ]
        self.kind, self.patience, self._emit = kind, patience, emit
        self.name = "|".join(member.name for member in self.members)
        self.providers = tuple(member.provider for member in self.members)
        self._routing = routing or Routing()
        self._preferred: list[Member[P]] = []  # best first, as of the newest request
        self._stand_in: Member[P] | None = None  # who serves in the place of the best

    def order(self, but: Member[P] | None = None) -> Iterator[Member[P]]:
        """Whom to ask, one after the other; those that rest come last, since anything is better than silence."""
        if not self._preferred or self.kind == "llm":
            self._prefer()
        resting = []
        for member in self._preferred:
            if member is but:
                continue
            if member.takes():
                yield member
            else:
                resting.append(member)
        yield from resting

    def _prefer(self) -> None:
        now = asyncio.get_running_loop().time()
        before = self._preferred[:1]
        places = self._routing.order([member.speed for member in self.members], now)
        self._preferred = [self.members[place] for place in places]
        policy = self._routing.policy
        if not isinstance(policy, Ordered) and before != self._preferred[:1]:
            self._emit(ProviderChosen(now, self.kind, self._preferred[0].name, policy.name))

    async def race(self, order: Iterator[Member[P]], ask: Callable[[Member[P]], Attempt[P, T]]) -> Race[P, T]:
        """Ask one after the other, the next one beside a slow one, until somebody delivers."""
        race: Race[P, T] = Race()
        running: list[Attempt[P, T]] = []
        retries = dict.fromkeys(self.members, self.patience.retries)
        asked_at = -self.patience.beside_s
        nobody_left = False
        try:
            while race.winner is None:
                now = asyncio.get_running_loop().time()
                if not nobody_left and (not running or now >= asked_at + self.patience.beside_s):
                    if (member := next(order, None)) is None:
                        nobody_left = True
                    else:
                        running.append(ask(member))
                        asked_at = now
                if not running:
                    break
                await self._something(running, None if nobody_left else asked_at + self.patience.beside_s)
                for attempt in list(running):
                    if (error := self._failure(attempt)) is not None:
                        running.remove(attempt)
                        race.losers.append(attempt)
                        race.error = error
                        member = attempt.member
                        if error.retry and error.cause not in NOT_HELPED and retries[member]:
                            retries[member] -= 1
                            running.append(ask(member))
                        else:
                            member.failed(error)
                    elif attempt.began.done():
                        race.winner = attempt
                        running.remove(attempt)
                        break
        finally:
            for attempt in running:
                self._outrun(attempt)
            race.losers += running
            for attempt in race.losers:
                attempt.close()
        if race.winner is not None:
            self._serves(race.winner)
        return race

    def all_failed(self, last: ProviderError | None) -> ProviderError:
        """The error of the whole team."""
        cause: Cause = last.cause if last is not None else "server"
        last_words = f" The last one: {last}" if last is not None else ""
        wait = last.retry_after if last is not None else None
        return ProviderError(self.name, cause, f"none of these answered.{last_words}", retry_after=wait)

    async def _something(self, running: Sequence[Attempt[P, T]], beside: float | None) -> None:
        """Until one of them has begun or failed, or it is time to do something about that."""
        until = min(attempt.asked_at for attempt in running) + self.patience.timeout_s
        until = until if beside is None else min(until, beside)
        timeout = max(0.0, until - asyncio.get_running_loop().time())
        began: list[asyncio.Future[Any]] = [attempt.began for attempt in running]
        await asyncio.wait(began, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _failure(self, attempt: Attempt[P, T]) -> ProviderError | None:
        if attempt.began.done():
            return attempt.error if not attempt.delivered else None
        if asyncio.get_running_loop().time() < attempt.asked_at + self.patience.timeout_s:
            return None
        attempt.member.took(self.patience.timeout_s)
        return self.too_slow(attempt.member, self.patience.timeout_s)

    def too_slow(self, member: Member[P], waited_s: float) -> ProviderError:
        """The error of a provider that lets us wait."""
        return ProviderError(
            member.name, "timeout", f"nothing for {waited_s:g} s. Another provider is asked."
        )

    def _outrun(self, attempt: Attempt[P, T]) -> None:
        """Somebody else was first, or nobody waits any longer. Slow enough to be noticed counts as a failure."""
        waited = asyncio.get_running_loop().time() - attempt.asked_at
        if attempt.delivered:
            attempt.member.succeeded()
        elif waited >= self.patience.beside_s:
            attempt.member.took(waited)
            attempt.member.failed(self.too_slow(attempt.member, round(waited, 1)))
        else:
            attempt.member.released()

    def _serves(self, attempt: Attempt[P, T]) -> None:
        """This one delivers: say so if it is another one than the last time, and not because we want it so."""
        member = attempt.member
        member.succeeded()
        now = asyncio.get_running_loop().time()
        if self.kind != "stt":  # to open a recogniser says nothing about its answers
            member.took(now - attempt.asked_at)
        preferred = self._preferred
        old = self._stand_in or preferred[0]
        self._stand_in = None if member is preferred[0] else member
        if member is old:
            return
        if preferred.index(member) < preferred.index(old):
            self._emit(ProviderRecovered(now, self.kind, member.name))
        else:
            self._emit(ProviderSwitched(now, self.kind, old.name, member.name, old.breaker.cause))


def nobody(event: Event) -> None:
    """Where no call wants to know."""
