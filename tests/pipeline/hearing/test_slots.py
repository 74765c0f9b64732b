"""What a phrase leaves open, and what a caller puts there."""

import pytest

from pipeline.errors import ConfigError
from pipeline.hearing.slots import Slot, match, parse, words


def test_words_are_told_apart_from_punctuation_and_case() -> None:
    """A transcript of any recogniser compares with a phrase as it was written."""
    assert words("Fine, I\u2019ll call-back at 3!") == ["fine", "i'll", "call", "back", "at", "3"]


def test_a_phrase_is_its_words_and_its_slots() -> None:
    """Slots keep their place among the words."""
    assert parse("My number is {digits:4}, please") == ("my", "number", "is", Slot("digits", 4), "please")


@pytest.mark.parametrize(
    ("phrase", "told"),
    [
        ("ring {foo}", r"no slot \{foo\}.*\{digits\}.*\{yes_no\}.*\{date\}"),
        ("{digits:0}", "no count of digits"),
        ("{date:3}", "no count of digits"),
        ("a {digits", "brace without its partner"),
        (" ?! ", "no words"),
    ],
)
def test_a_wrong_phrase_is_refused_with_what_would_be_right(phrase: str, told: str) -> None:
    """Whoever writes the plan reads this."""
    with pytest.raises(ConfigError, match=told):
        parse(phrase)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("four two seven one", "4271"),
        ("Four, two, seven, one.", "4271"),
        ("4271", "4271"),
        ("42 71", "4271"),
        ("42-71", "4271"),
        ("oh double two one", "0221"),
        ("triple five o", "5550"),
        ("forty two seventy one", "4271"),
        ("four twenty one six", "4216"),
    ],
)
def test_a_number_is_understood_however_it_is_read_out(said: str, number: str) -> None:
    """Callers group, double and say "oh"; recognisers write words or figures."""
    assert match("{digits:4}", said) == {"digits": number}


def test_a_number_with_a_digit_missing_is_no_number() -> None:
    """`{digits:4}` is complete with four digits, not before."""
    assert match("{digits:4}", "four two seven") is None
    assert match("{digits:4}", "four two seven one nine") is None
    assert match("{digits}", "four two seven") == {"digits": "427"}


@pytest.mark.parametrize(
    ("said", "value"),
    [("Yeah!", "yes"), ("sure", "yes"), ("of course", "yes"), ("nope", "no"), ("of course not", "no")],
)
def test_yes_and_no_have_many_faces(said: str, value: str) -> None:
    """And "of course not" is not "of course"."""
    assert match("{yes_no}", said) == {"yes_no": value}


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("friday", "friday"),
        ("on friday", "friday"),
        ("next Monday", "next monday"),
        ("tomorrow", "tomorrow"),
        ("the day after tomorrow", "day after tomorrow"),
        ("the twenty third of march", "23 march"),
        ("March 3rd", "3 march"),
        ("may the first", "1 may"),
        ("friday the third of march", "friday 3 march"),
        ("the 31 of december", "31 december"),
    ],
)
def test_a_day_comes_out_in_one_form(said: str, day: str) -> None:
    """Weekdays, relative days, and days of a month either way round."""
    assert match("{date}", said) == {"date": day}


@pytest.mark.parametrize(
    "said", ["thirty third of march", "the 32 of may", "march", "the third", "next tomorrow"]
)
def test_what_is_no_day_is_refused(said: str) -> None:
    """Half a date must be asked for again."""
    assert match("{date}", said) is None


@pytest.mark.parametrize(
    ("said", "clock"),
    [
        ("three pm", "3:00 pm"),
        ("3:30 p.m.", "3:30 pm"),
        ("half past three", "3:30"),
        ("quarter to one", "12:45"),
        ("ten o'clock", "10:00"),
        ("nine oh five am", "9:05 am"),
        ("noon", "noon"),
    ],
)
def test_a_time_of_day_comes_out_in_one_form(said: str, clock: str) -> None:
    """am and pm stay unsaid when the caller left them unsaid."""
    assert match("at {time}", f"at {said}") == {"time": clock}


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("twenty five", "25"),
        ("a hundred and five", "105"),
        ("two thousand", "2000"),
        ("25", "25"),
        ("zero", "0"),
    ],
)
def test_a_quantity_is_added_up(said: str, number: str) -> None:
    """Unlike digits, which are strung together."""
    assert match("{number} people", f"{said} people") == {"number": number}


def test_a_phrase_must_fit_from_first_word_to_last() -> None:
    """Likeness is somebody else's business."""
    phrase = "i need {date} at {time} for {number}"
    assert match(phrase, "I need Friday at half past three for two") == {
        "date": "friday",
        "time": "3:30",
        "number": "2",
    }
    assert match(phrase, "well i need friday at noon for two") is None
    assert match(phrase, "i need friday at noon for") is None
    assert match("goodbye", "Goodbye.") == {}


def test_two_slots_of_one_kind_have_two_names() -> None:
    """From one number to another."""
    assert match("from {digits} to {digits}", "from one two to three") == {"digits": "12", "digits_2": "3"}
