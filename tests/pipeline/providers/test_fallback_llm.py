"""Language models that stand in for each other."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.events import Event, ProviderRecovered, ProviderSwitched
from pipeline.ports import Llm, LlmDelta, TextDelta, Usage
from pipeline.providers.resilient import Breaker, FallbackLlm, Member, Rest, probe_llm
from pipeline.testing.virtual_clock import run
from tests.pipeline.flaky import Fate, FlakyLlm, text_of

ASKED = [Message("user", "When are you open?")]


async def _answer(llm: Llm) -> tuple[str, float]:
    """The reply and when its first token came, s."""
    loop = asyncio.get_running_loop()
    began, first, deltas = loop.time(), None, list[LlmDelta]()
    async with aclosing(llm.chat(ASKED)) as stream:
        async for delta in stream:
            first = loop.time() - began if first is None and isinstance(delta, TextDelta) else first
            deltas.append(delta)
    return text_of(deltas), first or 0.0


def test_the_first_model_answers_alone_while_it_is_well() -> None:
    async def call() -> None:
        first, second = FlakyLlm("a", "From nine."), FlakyLlm("b", "From ten.")
        assert await _answer(FallbackLlm([first, second])) == ("From nine.", 0.2)
        assert (first.fates.requests, second.fates.requests) == (1, 0)

    run(call)


def test_an_error_that_may_be_gone_the_next_moment_is_retried_with_the_same_model() -> None:
    """A kept-alive connection that the peer has closed; nothing was said yet."""

    async def call() -> None:
        events: list[Event] = []
        first, second = FlakyLlm("a", "From nine.", "refused", "well"), FlakyLlm("b", "From ten.")
        text, _ = await _answer(FallbackLlm([first, second], emit=events.append))
        assert (text, second.fates.requests, events) == ("From nine.", 0, [])

    run(call)


@pytest.mark.parametrize("fate", ["refused", "raises", "hangs"])
def test_a_model_that_fails_before_its_first_word_is_replaced_within_two_seconds(fate: Fate) -> None:
    async def call() -> None:
        events: list[Event] = []
        first, second = FlakyLlm("a", "From nine.", fate), FlakyLlm("b", "From ten.")
        text, first_token = await _answer(FallbackLlm([first, second], emit=events.append))
        assert text == "From ten."
        assert first_token < 2.0
        causes = {"refused": "connectivity", "raises": "server", "hangs": "timeout"}
        switched = [(e.kind, e.old, e.new, e.cause) for e in events if isinstance(e, ProviderSwitched)]
        assert switched == [("llm", "a", "b", causes[fate])]
        await asyncio.sleep(0)
        assert first.open == 0

    run(call)


@pytest.mark.parametrize("cause", ["auth", "bad_request"])
def test_what_will_fail_again_is_not_asked_again(cause: str) -> None:
    async def call() -> None:
        first = FlakyLlm("a", "", "refused", cause="auth" if cause == "auth" else "bad_request")
        text, _ = await _answer(FallbackLlm([first, FlakyLlm("b", "From ten.")]))
        assert (text, first.fates.requests) == ("From ten.", 1)

    run(call)


def test_a_slow_model_that_still_comes_first_serves_the_reply() -> None:
    """The other one was asked beside it after 1.2 s, and is told to stop."""

    async def call() -> None:
        events: list[Event] = []
        first, second = FlakyLlm("a", "From nine.", delay_s=1.3), FlakyLlm("b", "From ten.", delay_s=0.9)
        text, _ = await _answer(FallbackLlm([first, second], emit=events.append))
        assert (text, second.fates.requests, events) == ("From nine.", 1, [])
        assert second.open == 0

    run(call)


def test_a_reply_that_was_begun_is_not_begun_again() -> None:
    async def call() -> None:
        first, second = FlakyLlm("a", "We open from nine.", "dies", after=2), FlakyLlm("b", "From ten.")
        with pytest.raises(ProviderError, match="a: connection reset"):
            await _answer(FallbackLlm([first, second]))
        assert second.fates.requests == 0

    run(call)


def test_a_reply_is_begun_again_where_the_agent_wants_that() -> None:
    async def call() -> None:
        first, second = FlakyLlm("a", "We open from nine.", "dies", after=2), FlakyLlm("b", "From ten.")
        text, _ = await _answer(FallbackLlm([first, second], retry_on_chunk_sent=True))
        assert text == "We openFrom ten."

    run(call)


def test_a_model_that_stops_in_the_middle_of_a_word_does_not_hold_the_call() -> None:
    async def call() -> None:
        first = FlakyLlm("a", "We open from nine.", "hangs", after=2)
        with pytest.raises(ProviderError, match="nothing for 6 s"):
            await _answer(FallbackLlm([first, FlakyLlm("b", "")]))

    run(call)


def test_what_failed_requests_cost_is_reported_too() -> None:
    async def call() -> None:
        first = FlakyLlm("a", "", "refused", cause="server", usage=Usage(input_tokens=7))
        second = FlakyLlm("b", "From ten.", usage=Usage(input_tokens=9))
        deltas = [delta async for delta in FallbackLlm([first, second]).chat(ASKED)]
        usage = [(delta.provider, delta.input_tokens) for delta in deltas if isinstance(delta, Usage)]
        assert usage == [("a", 7), ("a", 7), ("b", 9)]  # the first one was asked twice

    run(call)


def test_when_nobody_answers_the_error_names_all_and_the_last_cause() -> None:
    async def call() -> None:
        members = [FlakyLlm("a", "", "refused"), FlakyLlm("b", "", "hangs")]
        with pytest.raises(ProviderError, match=r"a\|b: none of these answered") as raised:
            await _answer(FallbackLlm(members))
        assert raised.value.cause == "timeout"
        assert asyncio.get_running_loop().time() < 8.0  # before the reply itself loses its patience

    run(call)


def test_a_failing_model_is_skipped_by_all_calls_until_a_probe_finds_it_back() -> None:
    async def worker() -> None:
        first = FlakyLlm("a", "From nine.", "hangs", "hangs", "hangs", "well")
        shared = [
            Member[Llm](first, probe=probe_llm, breaker=Breaker(Rest(rest_s=10.0))),
            Member[Llm](FlakyLlm("b", "From ten.")),
        ]
        events: list[Event] = []
        one, other = FallbackLlm(shared, emit=events.append), FallbackLlm(shared)
        waits = [(await _answer(llm))[1] for llm in (one, other, one, other)]
        assert [round(wait, 1) for wait in waits] == [1.4, 1.4, 0.2, 0.2]
        assert shared[0].breaker.state == "open"
        await asyncio.sleep(60)  # the probe after 10 s hangs, the one after 20 s more does not
        assert (await _answer(one))[0] == "From nine."
        assert [type(event) for event in events] == [ProviderSwitched, ProviderRecovered]

    run(worker)


def test_resting_models_are_asked_when_nobody_else_is_left() -> None:
    async def call() -> None:
        tired = Member[Llm](FlakyLlm("a", "From nine."))
        for _ in range(2):
            tired.failed(ProviderError("a", "server", "500"))
        text, _ = await _answer(FallbackLlm([tired, FlakyLlm("b", "", "refused")]))
        assert text == "From nine."
        assert tired.breaker.state == "closed"

    run(call)


def test_an_interrupted_reply_ends_its_requests_and_blames_nobody() -> None:
    async def call() -> None:
        first, second = FlakyLlm("a", "From nine.", delay_s=1.0), FlakyLlm("b", "From ten.")
        llm = FallbackLlm([first, second])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await _answer(llm)
        await asyncio.sleep(0)
        assert first.open == 0
        assert (await _answer(llm))[0] == "From nine."

    run(call)
