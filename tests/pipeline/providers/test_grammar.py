"""The finite-state grammar of an agent's phrases."""

import random
from collections import defaultdict

import pytest

from pipeline.hearing import slots
from pipeline.providers.grammar import Grammar, compile_phrases, pronounce

DICTIONARY = {
    "hook": ["HH UH K"],
    "off": ["AO F"],
    "twenty": ["T W EH N T IY"],
    "four": ["F AO R"],
    "two": ["T UW"],
}


def known(word: str) -> list[str]:
    """A dictionary that knows every ASCII word."""
    return ["AH"] if word.isascii() and word.replace("'", "").isalpha() else []


def sentence(grammar: Grammar, dice: random.Random) -> str:
    """Some way from state 0 to state 1."""
    ways: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for begin, end, word in grammar.arcs:
        ways[begin].append((end, word))
    state, said = 0, []
    while state != 1:
        state, word = dice.choice(ways[state])
        said.append(word)
    return " ".join(word for word in said if word)


@pytest.mark.parametrize(
    "slot", ["{digits}", "{digits:1}", "{digits:7}", "{date}", "{number}", "{time}", "{yes_no}"]
)
def test_whatever_a_slot_lets_the_caller_say_is_understood_as_that_slot(slot: str) -> None:
    """Grammar and slots are two descriptions of the same things; a drift would mean heard but not understood."""
    dice = random.Random(7)
    grammar = compile_phrases([f"well {slot} then"], known)
    heard = [sentence(grammar, dice) for _ in range(400)]
    ours = [text for text in heard if text.startswith("well")]
    assert len(ours) > 20
    for text in ours:
        assert slots.match(f"well {slot} then", text) is not None, text


def test_every_sentence_of_the_grammar_is_complete() -> None:
    """And its beginnings are not: that is how a turn may end early."""
    grammar = compile_phrases(["what are your opening hours", "{digits:4}"], known)
    dice = random.Random(3)
    assert all(grammar.complete(sentence(grammar, dice)) for _ in range(100))
    assert not grammar.complete("what are your")
    assert not grammar.complete("four two seven")
    assert grammar.complete("yes please")  # nobody had to list it


def test_the_same_phrases_compile_to_the_same_grammar() -> None:
    """Replay depends on it."""
    phrases = ["on {date}", "i need {number} of them", "my number is {digits:9}"]
    assert compile_phrases(phrases, known) == compile_phrases(phrases, known)


def test_long_numbers_with_doubles_stay_small() -> None:
    """Expanded as text, 32 digits that may be doubled would be billions of arcs."""
    assert len(compile_phrases(["{digits:32}"], known).arcs) < 1500


def test_a_phrase_that_cannot_be_said_is_left_out_by_name_and_the_others_stay() -> None:
    """One bad phrase must not cost a call its ears."""
    grammar = compile_phrases(
        ["goodbye", "\u043f\u0440\u0438\u0432\u0435\u0442 there", "call {nobody}"], known
    )
    assert grammar.phrases == ("goodbye",)
    assert "\u043f\u0440\u0438\u0432\u0435\u0442" in grammar.warnings[0]
    assert "{nobody}" in grammar.warnings[1]
    assert (0, 1, "goodbye") in grammar.arcs


def test_words_that_jsgf_would_take_for_its_own_are_just_words() -> None:
    """ "public", "import" and "grammar" are things people say."""
    grammar = compile_phrases(["public grammar import"], known)
    assert [word for _, _, word in grammar.arcs[:3]] == ["public", "grammar", "import"]


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("hook", ("HH UH K",)),
        ("offhook", ("AO F HH UH K",)),
        ("hook's", ("HH UH K Z",)),
        ("24", ("T W EH N T IY F AO R", "T UW F AO R")),
        ("kowalski", ("K OW AE L S K IY",)),
        ("zane", ("Z EY N",)),
        ("\u6f22\u5b57", ()),
    ],
)
def test_a_word_the_dictionary_does_not_know_is_put_together_or_read_by_its_letters(
    word: str, sounds: tuple[str, ...]
) -> None:
    """Names of companies and people are never in the dictionary."""
    assert pronounce(word, lambda asked: DICTIONARY.get(asked, [])) == sounds
