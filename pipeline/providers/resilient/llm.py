"""Language models that stand in for each other, as one Llm.

A reply comes from one model: who delivers the first token of it serves it to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.events import Event
from pipeline.ports import Llm, LlmDelta, ToolSpec, Usage
from pipeline.providers.resilient.attempt import Attempt, End
from pipeline.providers.resilient.member import Member
from pipeline.providers.resilient.policy import Routing
from pipeline.providers.resilient.team import Patience, Team, nobody

PATIENCE = Patience(beside_s=1.2, timeout_s=3.0, gap_s=6.0)

Asked = Attempt[Llm, LlmDelta]


class FallbackLlm:
    """The first of these models that answers in time. One a call; members are shared.

    members: in order of preference, or as `routing` says.
    retry_on_chunk_sent: when a model dies in the middle of a reply, have the next
    one make the reply anew, so that the caller hears its beginning twice; otherwise the reply fails. What failed
    requests report as Usage is passed on too. Raises ProviderError when none of them answers.
    """

    def __init__(
        self,
        members: Sequence[Member[Llm] | Llm],
        *,
        emit: Callable[[Event], None] = nobody,
        patience: Patience = PATIENCE,
        routing: Routing | None = None,
        retry_on_chunk_sent: bool = False,
    ) -> None:
        self._team: Team[Llm] = Team("llm", members, patience, emit, routing)
        self._again = retry_on_chunk_sent
        self.name, self.providers = self._team.name, self._team.providers

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        def ask(member: Member[Llm]) -> Asked:
            return Attempt(member, answer(member.provider, member.name), _counts)

        async def answer(llm: Llm, name: str) -> AsyncGenerator[LlmDelta, None]:
            async with aclosing(llm.chat(messages, tools, tool_choice=tool_choice)) as deltas:
                async for delta in deltas:
                    yield delta if not isinstance(delta, Usage) else replace(delta, provider=name)

        order = self._team.order()
        error: ProviderError | None = None
        while True:
            race = await self._team.race(order, ask)
            for loser in race.losers:
                for usage in _usage(loser):
                    yield usage
            if race.winner is None:
                raise self._team.all_failed(race.error or error)
            error = None
            async with aclosing(self._deltas(race.winner)) as deltas:
                try:
                    async for delta in deltas:
                        yield delta
                except ProviderError as failed:
                    error = failed
            if error is None:
                return
            for usage in _usage(race.winner):
                yield usage
            race.winner.member.failed(error)
            if not self._again:
                raise error

    async def _deltas(self, winner: Asked) -> AsyncGenerator[LlmDelta, None]:
        """What it delivers. Raises ProviderError if it fails or stops in the middle."""
        try:
            while not isinstance(delta := await self._next(winner), End):
                yield delta
        finally:
            winner.close()

    async def _next(self, winner: Asked) -> LlmDelta | End:
        try:
            async with asyncio.timeout(self._team.patience.gap_s):
                return await winner.next()
        except TimeoutError:
            raise self._team.too_slow(winner.member, self._team.patience.gap_s) from None


async def probe_llm(llm: Llm) -> None:
    """The cheapest question, and not even all of its answer. Raises ProviderError if there is none."""
    async with aclosing(llm.chat([Message("user", "Say OK.")])) as answer:
        await anext(answer, None)


def _counts(delta: LlmDelta) -> bool:
    return not isinstance(delta, Usage)


def _usage(attempt: Asked) -> list[Usage]:
    return [delta for delta in attempt.left() if isinstance(delta, Usage)]
