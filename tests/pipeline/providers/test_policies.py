"""Who is asked first: by speed, by price, by lot. Pure tables first, then teams on the virtual clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from pipeline.agent.history import Message
from pipeline.events import Event, ProviderChosen, ProviderRecovered, ProviderSwitched
from pipeline.ports import Hints, Llm, Stt, Tts, Voice
from pipeline.providers.fake import FakeLlm
from pipeline.providers.resilient import (
    Cheapest,
    FallbackLlm,
    FallbackStt,
    FallbackTts,
    Fastest,
    Member,
    Policy,
    Routing,
    Split,
    Terms,
)
from pipeline.providers.resilient.policy import Candidate, Ordered, Speed
from pipeline.testing.virtual_clock import on_virtual_clock
from tests.pipeline.flaky import FlakyLlm, FlakyStt, FlakyTts, text_of


def speed(*took: float, at: float = 0.0) -> Speed:
    measured = Speed()
    for seconds in took:
        measured.observe(seconds, at)
    return measured


def order(policy: Policy, speeds: Sequence[Speed], now: float = 1.0, prices: Sequence[float] = ()) -> str:
    """The order as letters: "ba" is the second one first."""
    terms = [Terms(price=price) for price in prices]
    return "".join("abc"[place] for place in Routing(policy, terms).order(speeds, now))


def test_what_counts_is_the_slow_tenth_and_old_measurements_fade() -> None:
    measured = speed(*[0.2] * 17, *[0.9] * 3)
    assert measured.expected_s(1.0) == 0.9
    assert speed(*[0.2] * 19, 0.9).expected_s(1.0) == 0.2, "one slow answer in twenty is no habit"
    for _ in range(5):
        measured.observe(0.2, 1200.0)  # ten half lives later, twenty old ones weigh nothing
    assert measured.expected_s(1200.0) == 0.2
    assert Speed().expected_s(0.0) is None


def test_the_quickest_is_asked_first() -> None:
    policy = Fastest(explore_s=60.0)
    assert order(policy, [speed(0.5), speed(0.3), speed(0.4)]) == "bca"
    assert order(policy, [speed(0.50), speed(0.48)]) == "ab", "no change for a hair's breadth"


def test_one_that_nobody_asked_for_long_is_tried_once_so_that_a_recovered_one_is_found() -> None:
    policy, quick, slow = Fastest(explore_s=60.0), speed(0.3), speed(2.0)
    assert order(policy, [slow, quick], now=10.0) == "ba"
    quick.observe(0.3, 70.0)
    assert order(policy, [slow, quick], now=71.0) == "ab", "its turn to show what it can"
    assert order(policy, [slow, quick], now=72.0) == "ba", "once, whatever came of it"
    for second in range(30):
        slow.observe(0.1, 73.0 + second)
    assert order(policy, [slow, quick], now=103.0) == "ab", "it was found to be quick again"


def test_of_those_that_were_never_measured_each_is_tried() -> None:
    policy, speeds = Fastest(), [Speed(), Speed(), Speed()]
    assert [order(policy, speeds, now=0.1 * number)[0] for number in range(3)] == ["a", "b", "c"]


def test_the_cheapest_is_asked_first_unless_it_is_too_slow() -> None:
    policy = Cheapest(max_s=0.8, explore_s=60.0)
    assert order(policy, [speed(0.3), speed(0.7), speed(0.5)], prices=[9, 1, 2]) == "bca"
    assert order(policy, [speed(0.3), speed(1.7), speed(0.5)], prices=[9, 1, 2]) == "cab"
    assert order(policy, [speed(2.3), speed(1.7)], prices=[1, 9]) == "ba", "all too slow: the least slow"


def test_a_cheap_one_that_was_too_slow_is_tried_again_and_a_dear_one_is_not() -> None:
    policy = Cheapest(max_s=0.8, explore_s=60.0)
    slow, middle, dear = speed(1.7), speed(0.3, at=99.0), speed(0.1)
    assert order(policy, [slow, middle, dear], now=100.0, prices=[1, 2, 9]) == "abc"
    assert order(policy, [slow, middle, dear], now=101.0, prices=[1, 2, 9]) == "bca"


def test_a_split_draws_the_same_for_the_same_call_and_keeps_its_shares() -> None:
    """Deterministic by call id: a call that goes on in another worker keeps its arm."""
    candidates = [Candidate(Speed(), Terms(weight)) for weight in (90, 10, 0)]
    drawn = Counter(Split(f"llm call-{number}").order(candidates, 0.0)[0] for number in range(5000))
    assert 0.88 < drawn[0] / 5000 < 0.92
    assert set(drawn) == {0, 1}, "a weight of 0 only stands in"
    assert all(
        Split(f"llm call-{number}").order(candidates, 0.0)
        == Split(f"llm call-{number}").order(candidates, 9.0)
        for number in range(20)
    )


def test_recogniser_model_and_voice_are_drawn_apart() -> None:
    """Else two A/B tests in one plan would be one."""
    candidates = [Candidate(Speed(), Terms()), Candidate(Speed(), Terms())]
    pairs = {
        (Split(f"llm {n}").order(candidates, 0)[0], Split(f"tts {n}").order(candidates, 0)[0])
        for n in range(50)
    }
    assert len(pairs) == 4


# ---------------------------------------------------------------- teams


async def reply(llm: FallbackLlm) -> str:
    return text_of([delta async for delta in llm.chat([Message("user", "hello")])])


@on_virtual_clock
async def test_calls_learn_from_each_other_which_model_is_quick() -> None:
    """Speed is the members', who are shared; each call has its own journal."""
    slow: Member[Llm] = Member(FakeLlm("slow", delay_s=0.9), name="slow")
    quick: Member[Llm] = Member(FakeLlm("quick", delay_s=0.2), name="quick")
    journal: list[Event] = []

    def team() -> FallbackLlm:
        return FallbackLlm([slow, quick], emit=journal.append, routing=Routing(Fastest()))

    said = [await reply(team()) for _ in range(4)]
    assert said == ["slow", "quick", "quick", "quick"]
    chosen = [event.provider for event in journal if isinstance(event, ProviderChosen)]
    assert chosen == ["slow", "quick", "quick", "quick"]
    assert not [event for event in journal if isinstance(event, ProviderSwitched)], "nobody failed"


@on_virtual_clock
async def test_the_chosen_one_that_fails_is_stood_in_for_and_comes_back() -> None:
    """In the journal: chosen by lot, replaced for its failure, recovered."""
    journal: list[Event] = []
    steady: Member[Llm] = Member(FakeLlm("from b"), name="b")
    fails = FlakyLlm("a", "from a", "refused", "well", cause="rate_limit")
    policy = Split("llm 0")
    terms = [Terms(weight=0), Terms(weight=1)]
    team = FallbackLlm([steady, fails], emit=journal.append, routing=Routing(policy, terms))
    assert [await reply(team), await reply(team)] == ["from b", "from a"]
    assert [type(event) for event in journal] == [ProviderChosen, ProviderSwitched, ProviderRecovered]
    switched = journal[1]
    assert isinstance(switched, ProviderSwitched)
    assert (switched.old, switched.new, switched.cause) == ("a", "b", "rate_limit")


@on_virtual_clock
async def test_a_call_keeps_its_voice_and_its_recogniser() -> None:
    """An agent that changes its voice from sentence to sentence because another one is quicker is a nuisance."""
    journal: list[Event] = []
    voices: list[Member[Tts]] = [Member(FlakyTts("a")), Member(FlakyTts("b"))]
    tts = FallbackTts(voices, emit=journal.append, routing=Routing(Fastest(explore_s=0.0)))
    for _ in range(3):
        stream = await tts.open(Voice())
        stream.say("Hello.")
        stream.finish()
        assert [chunk async for chunk in stream][-1].last
    assert [event.provider for event in journal if isinstance(event, ProviderChosen)] == ["a"]
    assert voices[0].speed.expected_s(9.0) == pytest.approx(0.1)
    assert voices[1].speed.expected_s(9.0) is None


@on_virtual_clock
async def test_a_recogniser_is_measured_by_its_answers() -> None:
    """From the end of the turn to its text, not by how quickly it opens."""
    ear: Member[Stt] = Member(FlakyStt("a", delay_s=0.4))
    stt = FallbackStt([ear, FlakyStt("b")], routing=Routing(Ordered()))
    stream = await stt.open(rate_hz=8000, hints=Hints())
    assert ear.speed.expected_s(0.0) is None
    stream.start_turn()
    stream.end_turn()
    await anext(aiter(stream))
    assert ear.speed.expected_s(1.0) == pytest.approx(0.4)
    await stream.aclose()
