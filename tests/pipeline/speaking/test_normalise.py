"""Text as a voice should read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.speaking.normalise import speakable

MARKUP = [
    ("**Hello** there! 😀 How *are* you?", "Hello there! How are you?"),
    ("# Opening hours", "Opening hours"),
    ("- one\n- two", "one two"),
    ("1. Press the button", "1, Press the button"),
    ("[Click here](https://example.com/a) for `code`, ~~not~~ this", "Click here for code, not this"),
    ("Say <b>hi</b><br>", "Say hi"),
    ("Wait — what - ok", "Wait, what, ok"),
    ("keep snake_case", "keep snake_case"),
    ("👍🏽🇩🇪", ""),
    ("---", ""),
    ("...", ""),
]


@pytest.mark.parametrize(("text", "wanted"), MARKUP)
def test_what_is_meant_for_the_eye_is_not_read_out(text: str, wanted: str) -> None:
    """Nobody on a phone wants to hear `asterisk asterisk`."""
    assert speakable(text) == wanted


ADDRESSES = [
    ("See https://www.example.com/help?x=1.", "See example dot com slash help."),
    ("Mail john.doe@example.co.uk, please.", "Mail john dot doe at example dot co dot uk, please."),
]


@pytest.mark.parametrize(("text", "wanted"), ADDRESSES)
def test_addresses_are_read_as_one_dictates_them(text: str, wanted: str) -> None:
    """Dot, at and slash are words."""
    assert speakable(text) == wanted


NUMBERS = [
    ("It is $86.50.", "It is 86 dollars and 50 cents."),
    ("It is 86 EUR or €86.", "It is 86 euros or 86 euros."),
    ("$1, $0.99, £2.01", "1 dollar, 99 cents, 2 pounds and 1 penny"),
    ("$1,200 or $1.5 million", "1,200 dollars or 1.5 million dollars"),
    ("Call (555) 123-4567.", "Call five five five, one two three, four five six seven."),
    ("Call +1 555 123 4567", "Call plus one, five five five, one two three, four five six seven"),
    ("Order 88213 is ready", "Order eight eight two one three is ready"),
    ("Your PIN is 4271.", "Your PIN is four two seven one."),
    ("In 2026 we had 1,000 calls and 3.14 pies", "In 2026 we had 1,000 calls and 3.14 pies"),
    ("Open 9-5, 10:00 to 12:30, 24/7", "Open 9-5, 10:00 to 12:30, 24/7"),
    ("the 1st, 2nd, 12th, 20th and 31st", "the first, second, twelfth, twentieth and thirty-first"),
    ("on 2026-05-12 at 3:00 PM", "on May 12, 2026 at 3 PM"),
    ("50% of item #5 at 20°C", "50 percent of item number 5 at 20 degrees Celsius"),
    ("Tom & Jerry, 5 * 3", "Tom and Jerry, 5 times 3"),
]


@pytest.mark.parametrize(("text", "wanted"), NUMBERS)
def test_numbers_are_read_as_what_they_are(text: str, wanted: str) -> None:
    """Money as money, telephone numbers digit by digit; what a voice can do itself is left alone."""
    assert speakable(text) == wanted


FOREIGN = [
    (
        "de-DE",
        "**Mail** an info@firma.de, 86,50 € am 3. Mai.",
        "Mail an info ät firma Punkt de, 86,50 € am 3. Mai.",
    ),
    ("de-DE", "Am 12.05.2026 um 10 Uhr, 10.000.000 Mal", "Am 12.05.2026 um 10 Uhr, 10.000.000 Mal"),
    ("fr-FR", "Appelez le 01 23 45 67 89 😀", "Appelez le 0 1, 2 3, 4 5, 6 7, 8 9"),
    ("es-ES", "¿Cómo está? Tom & Ana", "¿Cómo está? Tom y Ana"),
    ("ja-JP", "こんにちは。**元気**ですか？", "こんにちは。元気ですか？"),
]


@pytest.mark.parametrize(("language", "text", "wanted"), FOREIGN)
def test_other_languages_pass_through_cleanly(language: str, text: str, wanted: str) -> None:
    """No English words in them; their own dates and money stay as written."""
    assert speakable(text, language) == wanted


@given(st.text(max_size=80), st.sampled_from(["en-US", "de-DE", "fr-FR", "xx"]))
def test_any_text_can_be_made_speakable(text: str, language: str) -> None:
    """Whatever a model writes: no error, no markup left, no space around it."""
    spoken = speakable(text, language)
    assert spoken == spoken.strip()
    assert not set(spoken) & set("*`|<>{}[]")
    assert spoken == "" or any(map(str.isalnum, spoken))


@given(st.from_regex(r"[a-z]{1,10}( [a-z]{1,10}){0,8}[.?!]", fullmatch=True))
def test_plain_words_are_left_alone(text: str) -> None:
    """What was said must be found again in what was heard."""
    assert speakable(text) == text
