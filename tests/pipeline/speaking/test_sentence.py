"""Tokens of a language model to speakable pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.speaking.sentence import (
    FIRST_CLAUSE,
    MAX_LENGTH,
    MIN_LENGTH,
    SLOW_CLAUSE,
    SLOW_PER_S,
    Sentences,
)


def pieces(text: str, language: str = "en") -> list[str]:
    """The pieces, without the space around them."""
    sentences = Sentences(language)
    return [piece.strip() for piece in sentences.feed(text) + sentences.finish()]


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
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_text_is_cut_where_a_speaker_would_pause(text: str, wanted: list[str]) -> None:
    """Abbreviations, decimals, times, lists, quotes and ordinals are no ends of sentences."""
    assert pieces(text) == wanted


TONGUES = [
    ("de", "Wir treffen uns am 3. Mai um zehn. | Das kostet z.B. 20 Euro."),
    ("de", "Das war am 3. März im 19. Jahrhundert, d. h. früher. | Gut."),
    ("de", "Er nahm den 2. Zug nach Köln. | Ich wohne in Haus 5. | Bitte klingeln Sie dort."),
    ("de", "Die Adresse ist Bahnhofstr. 5 in Bern. | Danke!"),
    ("de", "Das macht 1.234,56 Euro um 9.30 Uhr. | Einverstanden?"),
    ("fr", "Bonjour, ici M. Dupont. | Comment ça va ?"),
    ("fr", "Il a dit « Bonjour tout le monde ! » et il est parti. | Voilà."),
    ("fr", "Cela coûte 1 234,56 € p. ex. ici, chez Mme. Petit. | Merci."),
    ("es", "¿Está el Sr. García en casa? | Llame al núm. 5."),
    ("es", "La Sra. López vive en EE. UU. desde 2010. | ¡Hola!"),
    ("it", "Buongiorno, sig. Rossi. | La dott.ssa Bianchi arriva alle 9.30. | Grazie."),
    ("nl", "Dag dhr. de Vries. | Bel nr. 5, bijv. morgen om 9.30 uur. | Dank u wel."),
    ("pt", "Olá Sr. Silva. | A Dra. Costa atende na Av. Paulista. | Obrigado."),
    ("ja", "もしもし、予約の件でお電話しました。| 明日は空いていますか？"),
    ("zh", "他说：「你好。」| 然后走了。"),
    ("sv", "Hej, det här är mottagningen. | Hur kan jag hjälpa dig?"),
    (
        "en",
        "Ask J. R. R. Tolkien about it. | Visit www.example.com/a?b=1 today. | Write to a.b@example.com now.",
    ),
    ("en", '"Are you sure about that?" he asked me then. | Yes, I was.'),
    ("en", "The first (i.e. Mr. Lee, at 5 p.m. or so) is free. | Choose him."),
]


@pytest.mark.parametrize(("language", "text"), TONGUES)
def test_each_language_has_dots_that_end_nothing(language: str, text: str) -> None:
    """Row 40: abbreviations, ordinals, figures, initials, addresses and quotes of that language."""
    wanted = [part.strip() for part in text.split("|")]
    assert pieces(text.replace("| ", "").replace("|", ""), language) == wanted


def test_a_slow_model_is_not_waited_for_beyond_its_first_clause() -> None:
    """Row 40: the caller hears a short clause at once; a quick model's first sentence stays whole."""
    text = "Of course, let me look that up for you."
    quick, slow = Sentences(), Sentences()
    assert quick.feed(text, 5.0) == []
    early = [
        piece for at, word in enumerate(text.split(" ")) for piece in slow.feed(f"{word} ", 5.0 + 0.2 * at)
    ]
    assert early == ["Of course, ", "let me look that up for you. "]


def test_a_clause_in_brackets_is_not_torn_apart() -> None:
    """A bracket opened in one piece and closed in the next sounds like two thoughts."""
    text = "Thank you (or your colleague, or whoever it was that rang us up) for the call, it helped."
    assert pieces(text)[0] == "Thank you (or your colleague, or whoever it was that rang us up) for the call,"


def test_the_first_sentence_leaves_with_the_space_behind_it() -> None:
    """The caller waits for it: no later word is needed to know that it is complete."""
    sentences = Sentences()
    assert sentences.feed("Sure") == []
    assert sentences.feed(".") == []
    assert sentences.feed(" ") == ["Sure. "]


def test_a_long_first_sentence_is_begun_at_a_comma() -> None:
    """Speech can start while the model still writes; later sentences stay whole."""
    first = "Thank you for calling our support line today, "
    later = "and while I look that up for you please hold, it will only take a moment."
    sentences = Sentences()
    assert sentences.feed(first) == [first]
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
    clauses = pieces("and then, with all that in mind we go on " * 20)
    assert all(part.endswith(",") for part in clauses[1:-1])
    assert len(pieces("call 0170 123 456 789 " * 40)) > 2
    assert all(len(part) <= 600 for part in pieces("字" * 900, "zh") + pieces("x" * 2000))


def test_the_lengths_in_the_handbook_are_those_in_force() -> None:
    """docs/speech.md quotes them."""
    handbook = (Path(__file__).parents[3] / "docs" / "speech.md").read_text(encoding="utf-8")
    quoted = (
        f"a comma once {FIRST_CLAUSE} characters are there",
        f"writes slower than {SLOW_PER_S:.0f} characters a second",
        f"sentences of {MIN_LENGTH}\ncharacters or more; a text without an end is cut at {MAX_LENGTH}",
    )
    assert [text for text in quoted if text not in handbook] == []
    assert SLOW_CLAUSE == 9, "and after nine characters"


def test_a_reply_after_finish_starts_afresh() -> None:
    """Its first piece is early again."""
    sentences = Sentences()
    sentences.feed("Good day to you. And")
    assert sentences.finish() == ["And"]
    assert sentences.feed("Hi. ") == ["Hi. "]
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


LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pt", "zh", "xx"]


def _split(text: str, sizes: list[int]) -> list[str]:
    deltas, at, turn = list[str](), 0, 0
    while at < len(text):
        deltas.append(text[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return deltas


@given(TEXT, st.lists(st.integers(1, 9), min_size=1, max_size=20), st.sampled_from(LANGUAGES))
def test_nothing_is_lost_and_the_tokens_do_not_matter(text: str, sizes: list[int], language: str) -> None:
    """Row 40: the same pieces come out however the text was cut, and together they are the text."""
    sentences = Sentences(language)
    whole = sentences.feed(text) + sentences.finish()
    streamed = [piece for delta in _split(text, sizes) for piece in sentences.feed(delta)]
    assert streamed + sentences.finish() == whole
    assert "".join(whole) == text
    assert all(piece for piece in whole)


@given(st.lists(TEXT, max_size=5), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_tokens_of_one_moment_are_as_good_as_one_token(deltas: list[str], sizes: list[int]) -> None:
    """Row 40: only when text came may count, not how it was cut."""
    whole, split = Sentences(), Sentences()
    for at, delta in enumerate(deltas):
        wanted = whole.feed(delta, at * 0.3)
        assert [piece for part in _split(delta, sizes) for piece in split.feed(part, at * 0.3)] == wanted
    assert split.finish() == whole.finish()
