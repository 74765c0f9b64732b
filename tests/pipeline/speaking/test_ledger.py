"""What was heard of a reply, from the samples that left."""

from __future__ import annotations

from pipeline.ports import WordTiming
from pipeline.speaking.ledger import Ledger

RATE = 8000


def _timed(text: str, word_s: float = 0.5) -> tuple[WordTiming, ...]:
    return tuple(WordTiming(word, i * word_s, (i + 1) * word_s) for i, word in enumerate(text.split()))


def test_nothing_was_heard_before_the_first_sample() -> None:
    ledger = Ledger(RATE)
    ledger.said("We are open.")
    assert ledger.heard(1000) == ""
    ledger.placed(0, 1000, 4000, (), last=True)
    assert ledger.heard(1000) == ""


def test_a_piece_that_left_entirely_was_heard_entirely() -> None:
    ledger = Ledger(RATE)
    ledger.said("We are open.")
    ledger.placed(0, 1000, 4000, (), last=True)
    assert ledger.heard(5000) == "We are open."


def test_word_times_cut_behind_the_last_word_that_had_begun() -> None:
    ledger = Ledger(RATE)
    text = "We are open from nine."
    ledger.said(text)
    ledger.placed(0, 0, 5 * 4000, _timed("We are open from nine"), last=True)
    assert ledger.heard(4000 * 2 + 1) == "We are open"
    assert ledger.heard(4000 * 4 + 1) == "We are open from nine"


def test_a_word_that_occurs_twice_is_found_where_it_was_said() -> None:
    ledger = Ledger(RATE)
    ledger.said("no no no thanks")
    ledger.placed(0, 0, 16000, _timed("no no no thanks"), last=True)
    assert ledger.heard(4001) == "no no"


def test_without_word_times_the_cut_is_in_proportion_and_between_words() -> None:
    ledger = Ledger(RATE)
    ledger.said("one two three four")
    ledger.placed(0, 0, 8000, (), last=True)
    assert ledger.heard(4100) == "one two"


def test_later_pieces_count_only_once_they_sound() -> None:
    ledger = Ledger(RATE)
    ledger.said("First.")
    ledger.said("Second.")
    ledger.placed(0, 0, 8000, (), last=True)
    ledger.placed(1, 8000, 8000, (), last=False)
    assert ledger.heard(8000) == "First."
    assert ledger.heard(16001).startswith("First. Second")
    assert ledger.heard(16001, 1) == "Second."
    assert not ledger.placed_all
    ledger.placed(1, 16000, 0, (), last=True)
    assert ledger.placed_all
    assert ledger.text() == "First. Second."
