"""What was asked for, and whether it is all there."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.hearing.expectation import KINDS, Expectation
from pipeline.hearing.progress import Progress

LANGUAGES = ("en-US", "de-DE", "fr-FR", "es-ES", "it-IT", "", "x_y")
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
DIGIT_WORDS = ("oh", "zero", "one", "four", "seven", "42", "9", "twenty two", "double five", "fourteen")

ANY_EXPECTATION = st.builds(
    Expectation,
    st.sampled_from(KINDS),
    st.integers(0, 8),
    st.integers(0, 8),
    st.lists(st.text(max_size=10), max_size=3).map(tuple),
)


@pytest.mark.parametrize(
    ("language", "said", "complete"),
    [
        ("en", "four two seven", False),
        ("en", "four two seven one", True),
        ("en", "my pin is four two, um, seven one please", True),
        ("en", "oh double two one", True),
        ("en", "forty two seventy one", True),
        ("en", "fourteen twenty-two", True),
        ("en", "4271", True),
        ("en", "42-71", True),
        ("en", "4 2 7", False),
        ("en", "four two double", False),
        ("en", "two hundred five", True),
        ("en", "twelve hundred", True),
        ("en", "one moment please", None),
        ("en", "I have two questions about my bill", None),
        ("en", "I don't have it here", None),
        ("en", "oh I see", None),
        ("en", "four two seven no sorry", False),
        ("en", "four two seven no sorry four two eight one", True),
        ("de", "vier zwei sieben", False),
        ("de", "vier zwo sieben eins", True),
        ("de", "zweiundvierzig einundsiebzig", True),
        ("de", "Moment, einen Augenblick", None),
        ("de", "vier zwei nein vier zwei sieben eins", True),
        ("fr", "quatre deux sept", False),
        ("fr", "quarante-deux soixante et onze", True),
        ("fr", "zéro six quatre-vingt-dix-sept", True),
        ("fr", "je ne l'ai pas", None),
        ("es", "cuatro dos siete", False),
        ("es", "cuarenta y dos setenta y uno", True),
        ("es", "dos mil", True),
        ("es", "no lo tengo", None),
        ("it", "quattro due sette uno", None),
        ("it", "4271", True),
    ],
)
def test_four_digits_are_complete_however_they_are_read_out(
    language: str, said: str, complete: bool | None
) -> None:
    """Digits alone, in pairs, doubled, as figures; taken back, they are waited for again."""
    assert Expectation.digits(4).complete(said, language) is complete


@pytest.mark.parametrize(
    ("digits", "progress"),
    [
        ("five five five", Progress.BEGUN),
        ("555 123", Progress.BEGUN),
        ("555 1234", Progress.ENOUGH),
        ("555 1234 double", Progress.BEGUN),
        ("555 1234 that's it", Progress.COMPLETE),
        ("+49 711 685 1234 567", Progress.COMPLETE),
    ],
)
def test_a_phone_number_may_go_on_until_no_digit_may_follow(digits: str, progress: Progress) -> None:
    """7 to 15 digits: a pause after the seventh is waited for, less patiently than one before it."""
    assert Expectation.digits(7, 15).progress(digits) is progress


@pytest.mark.parametrize(
    ("language", "said", "complete"),
    [
        ("en", "yes", True),
        ("en", "um, yeah I think so", True),
        ("en", "no thank you", True),
        ("en", "of course", True),
        ("en", "right", True),
        ("en", "yes and", False),
        ("en", "no because", False),
        ("en", "I want to go right now", None),
        ("en", "which one do you mean", None),
        ("en", "um", None),
        ("de", "ja", True),
        ("de", "nein danke", True),
        ("de", "auf keinen Fall", True),
        ("de", "ja, aber", False),
        ("de", "was meinen Sie", None),
        ("fr", "oui", True),
        ("fr", "bien sûr", True),
        ("fr", "non mais", False),
        ("fr", "comment ça", None),
        ("es", "sí", True),
        ("es", "claro que no", True),
        ("es", "no porque", False),
        ("es", "qué quiere decir", None),
        ("it", "sì", None),
    ],
)
def test_yes_or_no_is_an_answer_unless_the_words_go_on(
    language: str, said: str, complete: bool | None
) -> None:
    """A "yes" that ends in "and" is no end."""
    assert Expectation.yes_no().complete(said, language) is complete


@pytest.mark.parametrize(
    ("language", "said", "complete"),
    [
        ("en", "on friday", True),
        ("en", "the day after tomorrow", True),
        ("en", "the twenty third of march", True),
        ("en", "March 3rd", True),
        ("en", "may the first nineteen eighty five", True),
        ("en", "03/04", True),
        ("en", "2024-05-03", True),
        ("en", "march", False),
        ("en", "the third of", False),
        ("en", "next", None),
        ("en", "friday the", False),
        ("en", "I am not sure when", None),
        ("de", "am dritten März", True),
        ("de", "am einundzwanzigsten fünften", True),
        ("de", "am 3.5.", True),
        ("de", "übermorgen", True),
        ("de", "am dritten", False),
        ("de", "nächsten Freitag im", False),
        ("fr", "le trois mars", True),
        ("fr", "le premier", False),
        ("fr", "demain", True),
        ("fr", "vingt et un août", True),
        ("es", "el tres de marzo", True),
        ("es", "pasado mañana", True),
        ("es", "el tres de", False),
        ("it", "domani", None),
    ],
)
def test_a_day_is_complete_with_day_and_month_or_a_weekday(
    language: str, said: str, complete: bool | None
) -> None:
    """The year may be left out."""
    assert Expectation.date().complete(said, language) is complete


@pytest.mark.parametrize(
    ("language", "said", "progress"),
    [
        ("en", "the third of march", Progress.BEGUN),
        ("en", "friday", Progress.BEGUN),
        ("en", "march third nineteen", Progress.BEGUN),
        ("en", "march third nineteen eighty five", Progress.COMPLETE),
        ("en", "march third two thousand", Progress.ENOUGH),
        ("en", "march third two thousand and five", Progress.COMPLETE),
        ("en", "march third 2000", Progress.COMPLETE),
        ("en", "03/04/85", Progress.COMPLETE),
        ("en", "1985-03-04", Progress.COMPLETE),
        ("de", "dritter März neunzehnhundertfünfundachtzig", Progress.COMPLETE),
        ("de", "3.4.1985", Progress.COMPLETE),
        ("de", "dritter vierter", Progress.BEGUN),
        ("fr", "trois mars mille neuf cent", Progress.ENOUGH),
        ("fr", "trois mars mille neuf cent quatre-vingt-cinq", Progress.COMPLETE),
        ("es", "tres de marzo de mil novecientos ochenta y cinco", Progress.COMPLETE),
        ("es", "tres de marzo de", Progress.BEGUN),
    ],
)
def test_a_date_of_birth_is_waited_for_until_its_year(language: str, said: str, progress: Progress) -> None:
    """`date(with_year=True)`: "nineteen" is half a year."""
    assert Expectation.date(with_year=True).progress(said, language) is progress


@pytest.mark.parametrize(
    ("language", "said", "progress"),
    [
        ("en", "three pm", Progress.COMPLETE),
        ("en", "3pm", Progress.COMPLETE),
        ("en", "three thirty", Progress.COMPLETE),
        ("en", "half past three", Progress.COMPLETE),
        ("en", "15:30", Progress.COMPLETE),
        ("en", "noon", Progress.COMPLETE),
        ("en", "at three", Progress.ENOUGH),
        ("en", "half past", Progress.BEGUN),
        ("en", "whenever you like", Progress.OTHER),
        ("de", "um drei Uhr", Progress.COMPLETE),
        ("de", "halb vier", Progress.COMPLETE),
        ("de", "um drei", Progress.ENOUGH),
        ("de", "viertel vor", Progress.BEGUN),
        ("fr", "15h30", Progress.COMPLETE),
        ("fr", "trois heures et", Progress.BEGUN),
        ("fr", "trois heures et demie", Progress.COMPLETE),
        ("es", "a las tres y media", Progress.COMPLETE),
        ("es", "a las tres y", Progress.BEGUN),
        ("it", "alle tre", Progress.OTHER),
    ],
)
def test_an_hour_alone_may_go_on(language: str, said: str, progress: Progress) -> None:
    """ "Three" may be followed by "thirty" or "pm"; "half past" must be."""
    assert Expectation.time().progress(said, language) is progress


@pytest.mark.parametrize(
    ("language", "said", "complete"),
    [
        ("en", "B 4 K 2", False),
        ("en", "B 4 K 2 X 9", True),
        ("en", "bravo four kilo two xray nine", True),
        ("en", "b as in bravo, four, k as in kilo, two, x, nine", True),
        ("en", "b as in bravo, four, k as in kilo, two, x, n as in", False),
        ("en", "B4K2X9", True),
        ("en", "double b four k two x", True),
        ("en", "I don't know where to look for it", None),
        ("de", "B wie Berta, vier, K wie Kaufmann, zwei, X, neun", True),
        ("de", "Berta vier Konrad", False),
        ("fr", "B comme Bernard, quatre, K, deux, X", False),
        ("es", "B de Barcelona, cuatro, K, dos, X, nueve", True),
    ],
)
def test_a_booking_code_is_counted_in_letters_not_in_words(
    language: str, said: str, complete: bool | None
) -> None:
    """The international and the German alphabet, "b as in anything", and digits among them."""
    assert Expectation.spelling(6).complete(said, language) is complete


def test_a_name_that_is_spelled_may_always_go_on() -> None:
    """Until the caller says that it was all."""
    name = Expectation.spelling(1, 0)
    assert name.progress("s m i t h") is Progress.ENOUGH
    assert name.progress("s m i t h as in") is Progress.BEGUN
    assert name.progress("s m i t h that's it") is Progress.COMPLETE


@pytest.mark.parametrize(
    ("said", "progress"),
    [
        ("john dot smith at example dot com", Progress.COMPLETE),
        ("john.smith@example.com", Progress.COMPLETE),
        ("john at example dot c o m", Progress.COMPLETE),
        ("john at example dot co dot uk", Progress.COMPLETE),
        ("john at example dot museum", Progress.ENOUGH),
        ("john at example dot", Progress.BEGUN),
        ("john at example", Progress.BEGUN),
        ("john at", Progress.BEGUN),
        ("john@example", Progress.BEGUN),
        ("john", Progress.BEGUN),
        ("j o h n underscore", Progress.BEGUN),
        ("I would rather not tell you that", Progress.OTHER),
    ],
)
def test_an_address_is_complete_with_a_domain_that_exists(said: str, progress: Progress) -> None:
    """Said, spelled or written."""
    assert Expectation.email().progress(said) is progress


@pytest.mark.parametrize(
    ("kind", "language", "said", "progress"),
    [
        ("number", "en", "twenty five", Progress.COMPLETE),
        ("number", "en", "about three people", Progress.COMPLETE),
        ("number", "en", "two hundred and", Progress.BEGUN),
        ("number", "en", "a few", Progress.OTHER),
        ("number", "de", "zweihundertfünf", Progress.COMPLETE),
        ("number", "fr", "trois virgule", Progress.BEGUN),
        ("money", "en", "twenty dollars", Progress.COMPLETE),
        ("money", "en", "$20", Progress.COMPLETE),
        ("money", "en", "twenty", Progress.ENOUGH),
        ("money", "en", "twenty dollars and", Progress.BEGUN),
        ("money", "de", "zwanzig Euro", Progress.COMPLETE),
        ("money", "es", "veinte con", Progress.BEGUN),
        ("name", "en", "my name is John", Progress.ENOUGH),
        ("name", "en", "John Smith", Progress.OTHER),
        ("name", "de", "Müller", Progress.ENOUGH),
    ],
)
def test_amounts_and_names(kind: str, language: str, said: str, progress: Progress) -> None:
    """Money without its currency, and the first word of a name, may go on."""
    assert Expectation.parse(kind).progress(said, language) is progress


@pytest.mark.parametrize(
    ("said", "progress"),
    [
        ("billing please", Progress.COMPLETE),
        ("I'd like sales", Progress.ENOUGH),
        ("sales support", Progress.COMPLETE),
        ("technical", Progress.BEGUN),
        ("technical help", Progress.COMPLETE),
        ("something else", Progress.OTHER),
    ],
)
def test_a_choice_that_begins_like_another_may_go_on(said: str, progress: Progress) -> None:
    """ "Sales" may become "sales support"."""
    asked = Expectation.choice("sales", "sales support", "billing", "technical help")
    assert asked.progress(said) is progress


@pytest.mark.parametrize(
    ("line", "expectation"),
    [
        ("digits 4", Expectation.digits(4)),
        ("digits 4-6", Expectation.digits(4, 6)),
        ("digits 7 to 15", Expectation.digits(7, 15)),
        ("digits 3+", Expectation("digits", 3, 0)),
        ("digits", Expectation("digits", 1, 0)),
        ("spelling 6", Expectation.spelling(6)),
        ("yes_no", Expectation.yes_no()),
        ("full_date", Expectation.date(with_year=True)),
        ("choice sales, billing", Expectation.choice("sales", "billing")),
    ],
)
def test_a_line_of_yaml_says_what_is_expected(line: str, expectation: Expectation) -> None:
    assert Expectation.parse(line) == expectation


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("digit 4", r"no kind 'digit'. Known: digits, number, yes_no.*Use one of them"),
        ("", "no kind ''"),
        ("digits four", r"'four' is no count. Write digits 4, digits 4-6, digits 4\+"),
        ("digits 6-4", "is no count"),
        ("digits 0", "is no count"),
        ("digits 65", "is no count"),
        ("yes_no please", "yes_no takes nothing after it. Write `expects: yes_no`"),
        ("choice", "a choice has no words"),
        ("choice ?, !", "a choice has no words"),
    ],
)
def test_a_wrong_line_is_refused_with_what_would_be_right(line: str, told: str) -> None:
    """Whoever writes the plan reads this."""
    with pytest.raises(ConfigError, match=told):
        Expectation.parse(line)


@given(ANY_EXPECTATION, st.text(max_size=80), st.sampled_from(LANGUAGES))
def test_any_text_is_read_without_an_error(asked: Expectation, said: str, language: str) -> None:
    """Recognisers write what they like."""
    assert asked.complete(said, language) in (True, False, None)


@given(
    ANY_EXPECTATION,
    st.lists(st.sampled_from([*DIGIT_WORDS, "double", "at", "b", "march", "uno", "und", "cent"])),
)
def test_number_words_in_any_order_are_read_without_an_error(asked: Expectation, said: list[str]) -> None:
    """Broken numbers, and those of other languages."""
    for language in LANGUAGES:
        assert asked.complete(" ".join(said), language) in (True, False, None)


@given(st.integers(1, 12), st.lists(st.sampled_from(DIGIT_WORDS), max_size=20), st.sampled_from(DIGIT_WORDS))
def test_more_digits_leave_a_complete_number_complete(wanted: int, said: list[str], more: str) -> None:
    """Beyond the maximum too: somebody who says too many is asked again, not waited for."""
    asked = Expectation.digits(wanted)
    if asked.complete(" ".join(said)):
        assert asked.complete(" ".join([*said, more])) is True


@given(st.lists(st.sampled_from(DIGITS), min_size=1, max_size=20))
def test_single_digits_are_counted_one_by_one(said: list[str]) -> None:
    """Complete at the last, not before."""
    asked = Expectation.digits(len(said))
    assert asked.complete(" ".join(said)) is True
    assert not asked.complete(" ".join(said[:-1]))


def test_a_vote_costs_next_to_nothing() -> None:
    """It is asked at every partial of the recogniser: 60 words in well below a millisecond."""
    asked, said = Expectation.digits(40), "four two seven one and then " * 10
    asked.complete(said)
    best = float("inf")
    for _ in range(20):
        start = perf_counter()
        asked.complete(said)
        best = min(best, perf_counter() - start)
    assert best < 1e-3
