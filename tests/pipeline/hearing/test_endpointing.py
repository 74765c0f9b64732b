"""How long silence lasts until a turn is over."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hearing.endpointing import Endpointing
from pipeline.hearing.expectation import Expectation
from pipeline.options import TurnHandling

BALANCED = TurnHandling()
TEXTS = ("", "four two", "four two seven one", "I want a", "yes", "hello there", "my number is")
DELAYS = st.builds(
    TurnHandling,
    endpointing=st.sampled_from(["fixed", "dynamic"]),
    min_delay_ms=st.integers(50, 5000),
    max_delay_ms=st.integers(100, 10_000),
    expected_delay_ms=st.integers(50, 5000),
    incomplete_delay_ms=st.integers(100, 15_000),
)
PAUSES = st.lists(st.floats(0, 5), max_size=8)


def delay(
    text: str,
    *,
    complete: bool | None = None,
    probability: float | None = None,
    asked: Expectation | None = None,
    options: TurnHandling = BALANCED,
    pauses: list[float] | None = None,
    language: str = "en-US",
) -> float:
    """The delay after these words, in s."""
    endpointing = Endpointing(options, language)
    for pause in pauses or []:
        endpointing.went_on(pause)
    endpointing.expectation = asked
    endpointing.heard(text, complete)
    endpointing.voted(probability)
    return endpointing.delay_s()


def test_silence_alone_decides_where_nobody_votes() -> None:
    """No words, no recogniser's view, no model, nothing asked for."""
    assert delay("") == 0.4
    assert delay("hello there") == 0.4
    assert delay("quisiera un", language="xx") == 0.4


def test_a_complete_answer_ends_a_turn_early_and_an_unfinished_one_is_waited_for() -> None:
    """Row: expected answers. Knowing the count is worth more than a second of silence."""
    pin = Expectation.digits(4)
    assert delay("four two seven one", asked=pin) == 0.2
    assert delay("four two seven", asked=pin) == 2.5
    assert delay("I have lost it", asked=pin) == 0.4
    assert delay("my number is", asked=pin) == 1.5


def test_between_the_least_and_the_most_digits_there_is_a_middle_wait() -> None:
    """7 to 15 digits: a pause after the eighth could be the end."""
    phone = Expectation.digits(7, 15)
    assert delay("555 12", asked=phone) == 2.5
    assert delay("555 1234 5", asked=phone) == 1.5
    assert delay("555 1234 5678 9012", asked=phone) == 0.2


@pytest.mark.parametrize("profile", ["balanced", "patient"])
def test_a_phone_number_with_pauses_of_a_second_stays_one_turn(profile: str) -> None:
    """Whether it was asked for or not, after every group but the last."""
    options = TurnHandling.model_validate({"profile": profile})
    for said in ("oh seven one one", "oh seven one one six eight", "oh seven one one six eight five one two"):
        assert delay(said, options=options) > 1.0
        assert delay(said, options=options, asked=Expectation.digits(11)) > 1.0


def test_a_number_that_was_asked_for_stays_one_turn_in_the_fast_profile_too() -> None:
    options = TurnHandling.model_validate({"profile": "fast"})
    assert delay("oh seven one one", options=options, asked=Expectation.digits(11)) == 1.5


def test_the_recogniser_and_the_words_may_each_ask_for_more_time() -> None:
    assert delay("hello there", complete=False) == 1.5
    assert delay("I want a", complete=True) == 1.5
    assert delay("hello there", complete=True) == 0.4


def test_a_model_that_heard_it_all_overrules_both() -> None:
    assert delay("I want a", complete=False, probability=0.9) == 0.4
    assert delay("hello there", complete=True, probability=0.2) == 1.5


def test_a_model_may_have_a_threshold_for_each_language() -> None:
    options = TurnHandling(model_threshold={"en": 0.3, "de": 0.8})
    assert delay("hello there", probability=0.5, options=options) == 0.4
    assert delay("guten Tag", probability=0.5, options=options, language="de-AT") == 1.5
    assert delay("bonjour madame", probability=0.5, options=options, language="fr") == 0.4


def test_more_words_make_a_vote_old() -> None:
    """The model heard less than the caller has said by now."""
    endpointing = Endpointing(BALANCED)
    endpointing.heard("hello", None)
    endpointing.voted(0.1)
    endpointing.heard("hello there", None)
    assert endpointing.delay_s() == 0.4


def test_a_new_turn_begins_with_nothing_known() -> None:
    endpointing = Endpointing(BALANCED)
    endpointing.heard("I want a", False)
    endpointing.voted(0.1)
    endpointing.began()
    assert endpointing.delay_s() == 0.4


def test_a_caller_with_long_pauses_is_given_more_time() -> None:
    """And less again, more slowly, once the pauses are short; never less than the least."""
    options = TurnHandling(endpointing="dynamic")
    slow = delay("hello there", options=options, pauses=[0.7, 0.8])
    assert slow == pytest.approx(0.75 * 1.5)
    assert 0.4 < delay("hello there", options=options, pauses=[0.7, 0.8, 0.2, 0.2]) < slow
    assert delay("hello there", options=options, pauses=[0.1] * 5) == 0.4
    assert delay("hello there", options=options, pauses=[4.0] * 5) == 1.5
    assert delay("hello there", pauses=[0.7, 0.8]) == 0.4, "fixed"


def test_pauses_inside_a_number_that_was_asked_for_are_no_habit() -> None:
    options = TurnHandling(endpointing="dynamic")
    endpointing = Endpointing(options)
    endpointing.expectation = Expectation.digits(4)
    endpointing.heard("four two", None)
    endpointing.went_on(0.9)
    endpointing.expectation = None
    endpointing.heard("hello there", None)
    assert endpointing.delay_s() == 0.4


def test_another_agent_with_another_language_keeps_what_was_learned() -> None:
    endpointing = Endpointing(TurnHandling(endpointing="dynamic"))
    endpointing.went_on(0.6)
    endpointing.language = "de-DE"
    endpointing.heard("ich rufe morgen an", None)
    assert endpointing.delay_s() == pytest.approx(0.9)


@given(DELAYS, PAUSES, st.sampled_from(TEXTS), st.sampled_from([None, 0.0, 0.4, 0.6, 1.0]))
def test_a_recogniser_that_asks_for_more_time_never_gets_less(
    options: TurnHandling, pauses: list[float], text: str, probability: float | None
) -> None:
    delays = [
        delay(text, complete=complete, probability=probability, options=options, pauses=pauses)
        for complete in (True, None, False)
    ]
    assert delays == sorted(delays)


@given(DELAYS, PAUSES, st.sampled_from(TEXTS), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_a_lower_probability_never_shortens_the_wait(
    options: TurnHandling, pauses: list[float], text: str, probabilities: list[float]
) -> None:
    delays = [
        delay(text, probability=probability, options=options, pauses=pauses)
        for probability in sorted(probabilities, reverse=True)
    ]
    assert delays == sorted(delays)


@given(DELAYS, PAUSES, st.lists(st.booleans(), max_size=8))
def test_longer_pauses_never_shorten_the_wait(
    options: TurnHandling, pauses: list[float], longer: list[bool]
) -> None:
    stretched = [
        min(pause + 0.2, 5.0) if more else pause
        for pause, more in zip(pauses, longer + [True] * 8, strict=False)
    ]
    ours = delay("hello there", options=options, pauses=pauses)
    assert delay("hello there", options=options, pauses=stretched) >= ours - 1e-9


@given(DELAYS, PAUSES)
def test_the_less_of_an_answer_is_there_the_longer_the_wait(
    options: TurnHandling, pauses: list[float]
) -> None:
    """Complete, as nothing was asked for, perhaps all of it, part of it; whatever the options."""
    said = "4 2 7 1"
    rungs = [
        delay(said, options=options, pauses=pauses, asked=asked, probability=1.0)
        for asked in (Expectation.digits(4), None, Expectation.digits(3, 6), Expectation.digits(6))
    ]
    assert all(lower <= higher for lower, higher in pairwise(rungs))
