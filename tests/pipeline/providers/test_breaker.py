"""When a failing provider is left alone, and when it is tried again."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from pipeline.errors import Cause, ProviderError
from pipeline.providers.resilient import Breaker, Member, Rest, llm, stt, tts
from pipeline.providers.resilient.breaker import BreakerState
from pipeline.testing.virtual_clock import run
from tests.pipeline.flaky import FlakyLlm

REST = Rest(after=2, window_s=30.0, rest_s=10.0, longest_s=35.0)


def _failing(*at: float) -> Breaker:
    breaker = Breaker(REST)
    for now in at:
        breaker.failed(now, "connectivity")
    return breaker


def test_one_failure_is_forgiven_and_the_second_within_the_window_is_not() -> None:
    assert _failing(0.0).takes(0.1)
    assert not _failing(0.0, 5.0).takes(5.1)
    assert _failing(0.0, 31.0).takes(31.1)


def test_on_a_busy_worker_two_failures_among_many_answers_are_nothing() -> None:
    breaker = Breaker(REST)
    for now in range(10):
        breaker.succeeded(float(now))
    breaker.failed(10.0, "server")
    breaker.failed(11.0, "server")
    assert breaker.state == "closed"


@pytest.mark.parametrize("cause", ["auth", "quota"])
def test_a_provider_without_key_or_money_rests_at_once(cause: Cause) -> None:
    breaker = Breaker(REST)
    breaker.failed(0.0, cause)
    assert breaker.state == "open"


def test_a_provider_that_names_its_time_gets_it() -> None:
    """RFC 6585 §4: 429 Too Many Requests with Retry-After."""
    breaker = Breaker(REST)
    breaker.failed(0.0, "rate_limit", retry_after=20.0)
    assert not breaker.takes(19.9)
    assert breaker.takes(20.0)


def test_after_its_rest_one_request_is_the_trial_and_others_do_not_wait_for_it() -> None:
    breaker = _failing(0.0, 1.0)
    assert not breaker.takes(10.9)
    assert breaker.takes(11.0)
    assert breaker.state == "half_open"
    assert not breaker.takes(11.1)
    breaker.succeeded(11.5)
    assert breaker.takes(11.5)


def test_each_failed_trial_doubles_the_rest_up_to_a_limit() -> None:
    breaker, now, rests = _failing(0.0, 0.0), 0.0, []
    for _ in range(4):
        rests.append(breaker.until - now)
        now = breaker.until
        assert breaker.takes(now)
        breaker.failed(now, "timeout")
    assert rests == [10.0, 20.0, 35.0, 35.0]


def test_a_trial_that_the_caller_interrupted_is_left_to_the_next_request() -> None:
    breaker = _failing(0.0, 0.0)
    assert breaker.takes(10.0)
    breaker.released()
    assert breaker.takes(10.0)


def test_a_probe_finds_out_that_the_provider_is_back_before_a_caller_has_to() -> None:
    """The second probe is answered: 10 s and 20 s after the failures."""
    probed: list[float] = []
    states: list[tuple[float, str, BreakerState]] = []

    async def probe(llm: FlakyLlm) -> None:
        probed.append(asyncio.get_running_loop().time())
        if len(probed) == 1:
            raise OSError("connection refused")

    async def day() -> None:
        loop = asyncio.get_running_loop()
        member = Member(
            FlakyLlm("groq", ""),
            probe=probe,
            breaker=Breaker(REST),
            on_state=lambda name, state: states.append((loop.time(), name, state)),
        )
        for _ in range(2):
            member.failed(ProviderError("groq", "server", "500"))
        await asyncio.sleep(100)

    run(day)
    assert probed == [10.0, 30.0]
    assert states == [
        (0.0, "groq", "open"),
        (10.0, "groq", "half_open"),
        (10.0, "groq", "open"),
        (30.0, "groq", "half_open"),
        (30.0, "groq", "closed"),
    ]


def test_a_probe_that_hangs_is_a_failed_trial() -> None:
    async def probe(llm: FlakyLlm) -> None:
        await asyncio.sleep(3600)

    async def day() -> BreakerState:
        member = Member(FlakyLlm("groq", ""), probe=probe, breaker=Breaker(REST))
        member.failed(ProviderError("groq", "auth", "no such key"))
        await asyncio.sleep(16)
        return member.breaker.state

    assert run(day) == "open"


def test_the_reference_gives_the_numbers_that_are_used() -> None:
    """docs/reference.md, "When a provider fails"."""
    text = (Path(__file__).parents[3] / "docs" / "reference.md").read_text(encoding="utf-8")
    for kind, patience in (("llm", llm.PATIENCE), ("tts", tts.PATIENCE), ("stt", stt.PATIENCE)):
        row = next(
            line for line in text.splitlines() if line.startswith(f"| `{kind}` | {patience.beside_s} s")
        )
        assert f"| {patience.timeout_s:g} s |" in row
        assert re.search(rf"\b{patience.gap_s:g}(\.0)? s\b", row.split("|")[4])
    rest = Rest()
    assert rest.after == 2
    assert f"within {rest.window_s:g} s" in text
    assert f"{rest.rest_s:g} s, then twice" in text
    assert f"{rest.longest_s:g} s at most" in text
