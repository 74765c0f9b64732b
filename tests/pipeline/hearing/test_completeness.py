"""Words that end a turn, and words after which more must come."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hearing.completeness import is_whole


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "I have a question about the"),
        ("en", "my number is"),
        ("en", "I would like to"),
        ("en", "I'd like an appointment with my"),
        ("en", "yes but"),
        ("en", "and then"),
        ("en", "um"),
        ("en", "so I was calling because, uh"),
        ("en", "where are you, um"),
        ("en", "hold on a second, let me see"),
        ("en", "I live in the"),
        ("en", "well the thing is that"),
        ("en", "your colleague said that"),
        ("en", "it's"),
        ("en", "well..."),
        ("en", "well"),
        ("en", "um, wait"),
        ("en", "can you check if"),
        ("en", "do you know whether"),
        ("en", "if it is possible"),
        ("en", "so if there is time"),
        ("en", "I have two questions"),
        ("en", "five five five, one two"),
        ("en", "my number is 555 123"),
        ("en", "my name is smith, s m"),
        ("de", "ich hätte eine Frage zum"),
        ("de", "meine Nummer lautet"),
        ("de", "ich möchte"),
        ("de", "ja aber"),
        ("de", "und dann"),
        ("de", "ähm"),
        ("de", "Moment mal"),
        ("de", "äh, Moment"),
        ("de", "wenn das möglich ist"),
        ("de", "null sieben eins eins"),
        ("fr", "je voudrais parler avec le"),
        ("fr", "mon numéro est"),
        ("fr", "oui mais"),
        ("fr", "euh"),
        ("fr", "c'est"),
        ("fr", "et puis"),
        ("fr", "zéro six douze"),
        ("es", "quiero hablar con el"),
        ("es", "mi número es"),
        ("es", "sí pero"),
        ("es", "este"),
        ("es", "un momento"),
        ("es", "nueve uno cuatro"),
    ],
)
def test_more_must_come_after_an_open_end(language: str, said: str) -> None:
    """Articles, prepositions, conjunctions, fillers, "my number is", a number that is being read out."""
    assert is_whole(said, language) is False


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "I have a question about my bill"),
        ("en", "where are you calling from"),
        ("en", "yes it is"),
        ("en", "yes we would"),
        ("en", "what is this about"),
        ("en", "I think so"),
        ("en", "four people"),
        ("en", "if you like"),
        ("en", "if it is possible I would rather come on Monday"),
        ("en", "I can wait"),
        ("en", "how many questions"),
        ("en", "in 1984"),
        ("en", "in nineteen eighty four"),
        ("en", "at three thirty"),
        ("en", "two hundred"),
        ("en", "0 7 1 1 6 8 5 1 2 3 4"),
        ("en", "plan b"),
        ("de", "ich rufe morgen an"),
        ("de", "machen Sie das Licht aus"),
        ("fr", "je voudrais un rendez-vous demain"),
        ("es", "quiero hablar con una persona"),
        ("it", "vorrei un"),
        ("", "the"),
        ("en", ""),
    ],
)
def test_other_words_tell_nothing(language: str, said: str) -> None:
    """Neither do those of a language that is not known."""
    assert is_whole(said, language) is None


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "thank you"),
        ("en", "can you help me please"),
        ("en", "is that the only one?"),
        ("de", "das wär's, danke"),
        ("fr", "oui bien sûr"),
        ("es", "nada más, gracias"),
    ],
)
def test_nothing_is_owed_after_a_courtesy_or_a_question(language: str, said: str) -> None:
    assert is_whole(said, language) is True


@pytest.mark.parametrize(
    "said", ["five five five one two three", "555-123-456", "oh seven double one", "0711 68 51"]
)
def test_a_phone_number_is_not_over_while_it_is_read_out(said: str) -> None:
    """With any number of words before it, and nobody having asked for it."""
    assert is_whole(f"you can reach me at {said}") is False


@given(st.text(max_size=200), st.sampled_from(["en", "de-DE", "fr", "es", "it", ""]))
def test_any_text_has_an_end_that_can_be_looked_at(said: str, language: str) -> None:
    """Recognisers write what they like."""
    assert is_whole(said, language) in (True, False, None)


def test_the_length_of_a_turn_does_not_matter() -> None:
    """Only its end is looked at, at every partial: 20 µs on an idle machine, 0.2 ms allows for a busy one."""
    said = "I was there yesterday and I wanted to see my doctor about " * 50
    best = float("inf")
    for _ in range(50):
        start = perf_counter()
        is_whole(said)
        best = min(best, perf_counter() - start)
    assert best < 200e-6
