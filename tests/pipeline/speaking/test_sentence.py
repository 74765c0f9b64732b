"""Tokens of a language model to speakable pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.speaking.sentence import Sentences


def pieces(text: str) -> list[str]:
    sentences = Sentences()
    return sentences.feed(text) + sentences.finish()


CASES = [
    ("Hello, thanks for calling. How can I help you?", ["Hello, thanks for calling.", "How can I help you?"]),
    ("Please ask for Dr. Smith or Mrs. Jones today.", ["Please ask for Dr. Smith or Mrs. Jones today."]),
    ("It costs 3.14 dollars, e.g. for a coffee.", ["It costs 3.14 dollars, e.g. for a coffee."]),
    ("We moved to the U.S. last year. It is big.", ["We moved to the U.S. last year.", "It is big."]),
    ("We moved to the U.S. We like it very much.", ["We moved to the U.S.", "We like it very much."]),
    (
        "We open at 9 a.m. and close at 5:30 p.m. Please come.",
        ["We open at 9 a.m. and close at 5:30 p.m.", "Please come."],
    ),
    ("Well... maybe not today, sorry.", ["Well... maybe not today, sorry."]),
    ("The answer is no. Please call back later.", ["The answer is no.", "Please call back later."]),
    ("Please take bus No. 5 to the station.", ["Please take bus No. 5 to the station."]),
    ("Your code is 42. Please write it down.", ["Your code is 42.", "Please write it down."]),
    (
        'He said "See you tomorrow, my friend." Then he left.',
        ['He said "See you tomorrow, my friend."', "Then he left."],
    ),
    ("You have two options:\n1. Press one\n2. Wait", ["You have two options:", "1. Press one", "2. Wait"]),
    ("1. Open the front door. 2. Press the button.", ["1. Open the front door.", "2. Press the button."]),
    ("**Good morning to you.** Who is it?", ["**Good morning to you.**", "Who is it?"]),
    (
        "Wir treffen uns am 3. Mai um zehn. Das kostet z.B. 20 Euro.",
        ["Wir treffen uns am 3. Mai um zehn.", "Das kostet z.B. 20 Euro."],
    ),
    ("Die Adresse ist Bahnhofstr. 5 in Bern. Danke!", ["Die Adresse ist Bahnhofstr. 5 in Bern.", "Danke!"]),
    ("Bonjour, ici M. Dupont. Comment ça va ?", ["Bonjour, ici M. Dupont.", "Comment ça va ?"]),
    ("¿Está el Sr. García en casa? Llame al núm. 5.", ["¿Está el Sr. García en casa?", "Llame al núm. 5."]),
    ("您好，请问有什么可以帮您？请说。", ["您好，请问有什么可以帮您？", "请说。"]),
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_text_is_cut_where_a_speaker_would_pause(text: str, wanted: list[str]) -> None:
    """Abbreviations, decimals, times, lists, quotes and ordinals are no ends of sentences."""
    assert pieces(text) == wanted


def test_the_first_sentence_leaves_with_the_space_behind_it() -> None:
    """The caller waits for it: no later word is needed to know that it is complete."""
    sentences = Sentences()
    assert sentences.feed("Sure") == []
    assert sentences.feed(".") == []
    assert sentences.feed(" ") == ["Sure."]


def test_a_long_first_sentence_is_begun_at_a_comma() -> None:
    """Speech can start while the model still writes; later sentences stay whole."""
    first = "Thank you for calling our support line today, "
    later = "and while I look that up for you please hold, it will only take a moment."
    sentences = Sentences()
    assert sentences.feed(first) == [first.strip()]
    assert sentences.feed(later) == []
    assert sentences.finish() == [later]


def test_a_greeting_is_not_torn_apart_at_its_comma() -> None:
    """`Hello,` alone sounds like a question."""
    assert pieces("Hello, this is the hotline.") == ["Hello, this is the hotline."]


def test_short_sentences_behind_the_first_are_spoken_together() -> None:
    """A voice makes a better melody of them, and there is time: the first one is being heard."""
    assert pieces("Yes. No. Maybe. I do not know that yet.") == ["Yes.", "No. Maybe. I do not know that yet."]


def test_endless_text_is_cut_at_a_space() -> None:
    """A model that forgets full stops must not silence the agent."""
    parts = pieces("word " * 200)
    assert len(parts) > 2
    assert all(len(part) <= 310 for part in parts)


def test_a_reply_after_finish_starts_afresh() -> None:
    """Its first piece is early again."""
    sentences = Sentences()
    sentences.feed("Good day to you. And")
    assert sentences.finish() == ["And"]
    assert sentences.feed("Hi. ") == ["Hi."]
    assert sentences.finish() == []


BITS = [
    "Dr.",
    "3.",
    "12",
    ".",
    " ",
    "\n",
    "Mai",
    "Ma",
    "x",
    "Hello there",
    "!",
    "?",
    "…",
    '"',
    ")",
    "1)",
    "。",
    ",",
]
TEXT = st.lists(st.sampled_from(BITS) | st.text(max_size=8), max_size=30).map("".join)


@given(TEXT, st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_nothing_is_lost_and_the_tokens_do_not_matter(text: str, sizes: list[int]) -> None:
    """The same pieces come out however the text was cut, and together they are the text."""
    whole = pieces(text)
    sentences, streamed, at, turn = Sentences(), list[str](), 0, 0
    while at < len(text):
        streamed += sentences.feed(text[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    assert streamed + sentences.finish() == whole
    assert "".join("".join(whole).split()) == "".join(text.split())
    assert all(piece and piece == piece.strip() for piece in whole)
