"""What was heard of a reply, from the samples that left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ports import WordTiming
from pipeline.speaking.ledger import Ledger
from pipeline.speaking.normalise import speak
from pipeline.speaking.pace import PER_S, Pace, length
from pipeline.speaking.traced import plain

RATE = 8000


def _ledger(language: str = "en-US") -> Ledger:
    return Ledger(RATE, Pace(language))


def _timed(text: str, word_s: float = 0.5) -> tuple[WordTiming, ...]:
    return tuple(WordTiming(word, i * word_s, (i + 1) * word_s) for i, word in enumerate(text.split()))


def test_nothing_was_heard_before_the_first_sample() -> None:
    ledger = _ledger()
    ledger.said(plain("We are open."))
    assert ledger.heard(1000) == ""
    ledger.placed(0, 1000, 4000, (), last=True)
    assert ledger.heard(1000) == ""


def test_a_piece_that_left_entirely_was_heard_entirely() -> None:
    ledger = _ledger()
    ledger.said(plain("We are open."))
    ledger.placed(0, 1000, 4000, (), last=True)
    assert ledger.heard(5000) == "We are open."


def test_word_times_cut_behind_the_last_word_that_had_begun() -> None:
    ledger = _ledger()
    text = "We are open from nine."
    ledger.said(plain(text))
    ledger.placed(0, 0, 5 * 4000, _timed("We are open from nine"), last=True)
    assert ledger.heard(4000 * 2 + 1) == "We are open"
    assert ledger.heard(4000 * 4 + 1) == "We are open from nine.", "the stop belongs to its word"


def test_a_word_that_occurs_twice_is_found_where_it_was_said() -> None:
    ledger = _ledger()
    ledger.said(plain("no no no thanks"))
    ledger.placed(0, 0, 16000, _timed("no no no thanks"), last=True)
    assert ledger.heard(4001) == "no no"


def test_without_word_times_the_cut_is_in_proportion_and_between_words() -> None:
    ledger = _ledger()
    ledger.said(plain("one two three four"))
    ledger.placed(0, 0, 8000, (), last=True)
    assert ledger.heard(4100) == "one two"


def test_later_pieces_count_only_once_they_sound() -> None:
    ledger = _ledger()
    ledger.said(plain("First. "))
    ledger.said(plain("Second."))
    ledger.placed(0, 0, 8000, (), last=True)
    ledger.placed(1, 8000, 8000, (), last=False)
    assert ledger.heard(8000) == "First."
    assert ledger.heard(16001) == "First. Second."
    assert ledger.heard(16001, 1) == "Second."
    assert not ledger.placed_all
    ledger.placed(1, 16000, 0, (), last=True)
    assert ledger.placed_all
    assert ledger.text() == "First. Second."


# ---------------------------------------------------------------- in the model's own words

BILL = "**Your bill:** Dr. Lee is owed $5.20, call (555) 123-4567 by 3:30 PM."


def _read(text: str, language: str = "en-US", word_s: float = 0.25) -> tuple[Ledger, int]:
    """A ledger in which this was read out with word times; returns it with the number of spoken words."""
    ledger, spoken = _ledger(language), speak(text, language)
    ledger.said(spoken)
    words = _timed(spoken.text, word_s)
    ledger.placed(0, 0, round(len(words) * word_s * RATE), words, last=True)
    return ledger, len(words)


def test_history_keeps_what_was_written_not_what_was_read_out() -> None:
    """Row 25: the model must find its own words again. A sum is heard once its last word has begun."""
    ledger, words = _read("You owe $5.20 now.")
    spoken = [ledger.heard(round(word * 0.25 * RATE) + 1) for word in range(words)]
    assert spoken == [
        *("You", "You owe", "You owe", "You owe", "You owe", "You owe", "You owe $5.20"),
        "You owe $5.20 now.",
    ]


def test_of_a_telephone_number_the_groups_that_were_heard_are_kept() -> None:
    """Row 25: a caller who wrote down half of it can be told the other half."""
    ledger, words = _read("Call (555) 123-4567 today.")
    assert ledger.heard(round(3 * 0.25 * RATE) + 1) == "Call (555)"
    assert ledger.heard(round(9 * 0.25 * RATE) + 1) == "Call (555)"
    assert ledger.heard(round(10 * 0.25 * RATE) + 1) == "Call (555) 123-4567"
    assert words == 12


def test_markup_and_what_has_no_sound_come_back_with_the_words_around_them() -> None:
    """Row 25: history is the beginning of the text to the letter, list marks and blank lines too."""
    ledger = _ledger()
    ledger.silent("\U0001f600 \n")
    ledger.said(speak("- **one** thing\n"))
    ledger.silent("---\n")
    ledger.said(speak("- two"))
    ledger.placed(0, 0, 4000, _timed("one thing", 0.25), last=True)
    ledger.placed(1, 4000, 2000, _timed("two", 0.25), last=True)
    assert ledger.heard(1) == "\U0001f600 \n- **one**"
    assert ledger.heard(4001) == "\U0001f600 \n- **one** thing\n---\n- two"


def test_two_messages_of_one_reply_do_not_run_together() -> None:
    """A reply with a tool has a message before it and one behind it."""
    ledger = _ledger()
    ledger.said(plain("One moment."))
    ledger.end_message()
    ledger.said(plain("It is Friday."))
    assert ledger.text() == "One moment. It is Friday."
    assert ledger.text(0, 1) == "One moment."
    assert ledger.text(1) == "It is Friday."


def test_a_word_the_voice_spells_in_its_own_way_does_not_lose_the_place() -> None:
    """Some voices time the words they have read, not those they were given."""
    ledger = _ledger()
    ledger.said(plain("Mr Lee and the others have gone home for today"))
    times = _timed("Mister Lee and the others have gone home for today")
    ledger.placed(0, 0, 40000, times, last=True)
    assert ledger.heard(4000 * 2 + 1) == "Mr Lee and"
    assert ledger.heard(1) == ""


LANGUAGES = ["en-US", "de-DE", "fr-FR", "es-ES", "it-IT", "ja-JP"]
TEXT = st.lists(
    st.sampled_from(
        [
            "$5.20",
            "Dr.",
            "(555) 123-4567",
            "**bold**",
            "- ",
            "\n",
            "3:30 PM",
            "am 3. März",
            "2026-05-12",
            "word",
            "x,",
        ]
        + [
            "\U0001f600",
            "a.b@c.com",
            "5-10 km",
            "と言う。",
            "« oui »",
            "A-B-3",
            " ",
            "  ",
            "86,50 €",
            "`code`",
        ]
    )
    | st.text(max_size=6),
    min_size=1,
    max_size=12,
).map(" ".join)


@given(TEXT, st.sampled_from(LANGUAGES), st.booleans(), st.integers(0, 3))
def test_wherever_speech_stops_history_is_a_beginning_of_the_text(
    text: str, language: str, timed: bool, cut: int
) -> None:
    """Row 25: cut at any position it is a prefix that ends with a word, and later positions never give less."""
    ledger = _ledger(language)
    halves = [text[: len(text) * cut // 3], text[len(text) * cut // 3 :]]
    at = piece = 0
    for half in halves:
        spoken = speak(half, language)
        if not spoken.text:
            ledger.silent(half)
            continue
        ledger.said(spoken)
        words = _timed(spoken.text, 0.1) if timed else ()
        samples = max(1, round(len(spoken.text.split()) * 0.1 * RATE))
        ledger.placed(piece, at, samples, words, last=piece == 0)
        at, piece = at + samples, piece + 1
    written, before = ledger.text(), ""
    for position in range(0, at + 100, 97):
        heard = ledger.heard(position)
        assert written.startswith(heard)
        assert len(heard) >= len(before)
        before = heard
        rest = written[len(heard) :]
        boundary = not rest or not heard or rest[0].isspace() or not (heard[-1:] + rest[0]).isascii()
        assert boundary or len(halves[0]) < len(text), "a word was cut"
    assert not piece or ledger.heard(0) == ""


# ---------------------------------------------------------------- without word times


def test_the_pace_of_a_voice_is_learned_from_what_it_has_said() -> None:
    """Row 25: a slow voice is known to be slow from the second piece on."""
    pace = Pace("en-US")
    assert pace.per_s == pytest.approx(PER_S["en"])
    slow, text = PER_S["en"] / 2, "This is a sentence of some length, which takes a while."
    for _ in range(5):
        pace.learn(text, length(text) / slow)
    assert slow <= pace.per_s < slow * 1.15
    assert Pace("de-AT").per_s == PER_S["de"]
    assert Pace("en", speed=2.0).per_s == 2 * PER_S["en"]


def test_a_piece_that_still_comes_is_cut_by_the_pace_of_the_pieces_before() -> None:
    """Row 25: its length is not known yet; the estimate is within one word of the truth."""
    ledger = _ledger()
    text = "one three seven eight forty three seven eight"
    for piece in range(8):
        ledger.said(plain(text + " "))
        ledger.placed(piece, piece * 32000, 32000, (), last=piece < 7)
    heard = ledger.heard(7 * 32000 + 16000, 7)
    assert heard in ("one three seven", "one three seven eight", "one three seven eight forty")
