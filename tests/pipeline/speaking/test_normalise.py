"""Text as a voice should read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.speaking.normalise import speak, speakable
from pipeline.speaking.pronounce import Pronunciation

MARKUP = [
    ("**Hello** there! 😀 How *are* you?", "Hello there! How are you?"),
    ("# Opening hours", "Opening hours"),
    ("- one\n- two", "one two"),
    ("1. Press the button", "one, Press the button"),
    ("| Day | Hours |", "Day, Hours"),
    ("| --- | :-: |", ""),
    ("<https://example.com> or [this][1]", "example dot com or this"),
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
    ("It is at offhook.com/a-b_c", "It is at offhook dot com slash a dash b underscore c"),
    ("Mail john.doe@example.co.uk, please.", "Mail john dot doe at example dot co dot uk, please."),
]


@pytest.mark.parametrize(("text", "wanted"), ADDRESSES)
def test_addresses_are_read_as_one_dictates_them(text: str, wanted: str) -> None:
    """Dot, at and slash are words."""
    assert speakable(text) == wanted


NUMBERS = [
    ("It is $86.50.", "It is eighty-six dollars and fifty cents."),
    ("It is 86 EUR or €86.", "It is eighty-six euros or eighty-six euros."),
    ("$1, $0.99, £2.01, -$3", "one dollar, ninety-nine cents, two pounds and one penny, minus three dollars"),
    ("$1,200 or $1.5 million", "one thousand two hundred dollars or one point five million dollars"),
    ("$5-10 or 5-10 km", "five to ten dollars or five to ten kilometers"),
    ("Call (555) 123-4567.", "Call five five five, one two three, four five six seven."),
    ("Call +1 555 123 4567", "Call plus one, five five five, one two three, four five six seven"),
    ("Order 88213 is ready", "Order eight eight two one three is ready"),
    ("Your PIN is 4271.", "Your PIN is four two seven one."),
    ("15000 people, 3.14 pies, -7", "fifteen thousand people, three point one four pies, minus seven"),
    ("In 2026 we had 1,000 calls", "In twenty twenty-six we had one thousand calls"),
    ("Open 9-5, 10:00 to 12:30, 24/7", "Open nine to five, ten o'clock to twelve thirty, twenty-four seven"),
    ("the 1st, 2nd, 12th and 31st", "the first, second, twelfth and thirty-first"),
    ("on 2026-05-12 at 3:00 PM", "on May twelfth, twenty twenty-six at three PM"),
    (
        "12/31/2026 at 9:05, from 2020-2025",
        "December thirty-first, twenty twenty-six at nine oh five, from twenty twenty to twenty twenty-five",
    ),
    ("May 5, 2026 until 5:30 p.m.", "May fifth, twenty twenty-six until five thirty PM."),
    ("50% of item #5 at 20°C", "fifty percent of item number five at twenty degrees Celsius"),
    ("80 km/h, 1 kg, 100 MB", "eighty kilometers per hour, one kilogram, one hundred megabytes"),
    ("Tom & Jerry, 5 * 3, 1/2 cup", "Tom and Jerry, five times three, one half cup"),
    ("Spell it A-B-3.", "Spell it A, B, three."),
    ("Booking X7Q2B9, plate ABC 123", "Booking X, seven, Q, two, B, nine, plate A B C, one two three"),
    (
        "DE89 3704 0044 0532 0130 00",
        "D E, eight nine, three seven zero four, zero zero four four, "
        "zero five three two, zero one three zero, zero zero",
    ),
    ("Dr. Lee, e.g. Mr. Fox", "Doctor Lee, for example Mister Fox"),
    ("a 5G phone, COVID-19, H2O, MP3", "a 5G phone, COVID-nineteen, H2O, MP3"),
]


@pytest.mark.parametrize(("text", "wanted"), NUMBERS)
def test_numbers_are_read_as_what_they_are(text: str, wanted: str) -> None:
    """Money as money, telephone numbers digit by digit; what a voice can do itself is left alone."""
    assert speakable(text) == wanted


TONGUES = [
    ("en-GB", "31/12/2026, £5", "the thirty-first of December, twenty twenty-six, five pounds"),
    ("de-DE", "**Mail** an info@firma.de am 3. Mai.", "Mail an info ät firma Punkt de am dritten Mai."),
    ("de-DE", "86,50 €, 2,5 Mio. €", "sechsundachtzig Euro und fünfzig Cent, zwei Komma fünf Millionen Euro"),
    ("de-DE", "1 €, 1 Tag, 1 Stunde", "ein Euro, ein Tag, eine Stunde"),
    ("de-CH", "1'250.50 CHF", "eintausendzweihundertfünfzig Franken und fünfzig Rappen"),
    (
        "de-DE",
        "Am 12.05.2026 um 15:30 Uhr",
        "Am zwölften Mai zweitausendsechsundzwanzig um fünfzehn Uhr dreißig",
    ),
    ("de-DE", "der 3. März im 19. Jahrhundert", "der dritte März im neunzehnten Jahrhundert"),
    (
        "de-DE",
        "z. B. -3 °C bei 80 km/h",
        "zum Beispiel minus drei Grad Celsius bei achtzig Kilometer pro Stunde",
    ),
    ("de-DE", "+49 89 1234567", "plus vier neun, acht neun, eins zwei drei, vier fünf sechs sieben"),
    ("de-DE", "M-AB 1234, 10.000.000 Mal", "M, A B, eins zwei drei vier, zehn Millionen Mal"),
    ("de-DE", "Bahnhofstr. 5, 3-4 Tage usw.", "Bahnhofstraße fünf, drei bis vier Tage und so weiter."),
    ("fr-FR", "01 23 45 67 89 😀", "zéro un, deux trois, quatre cinq, six sept, huit neuf"),
    (
        "fr-FR",
        "86,50 € le 12/05/2026",
        "quatre-vingt-six euros et cinquante centimes le douze mai deux mille vingt-six",
    ),
    ("fr-FR", "à 15h30 le 1er mai", "à quinze heures trente le premier mai"),
    (
        "fr-FR",
        "2 millions €, 10 000 €, 3,5 %",
        "deux millions d'euros, dix mille euros, trois virgule cinq pour cent",
    ),
    (
        "fr-FR",
        "la 2e fois, p. ex. M. Petit, n° 5",
        "la deuxième fois, par exemple Monsieur Petit, numéro cinq",
    ),
    ("es-ES", "86,50 € a las 15:30", "ochenta y seis euros con cincuenta céntimos a las quince treinta"),
    ("es-ES", "el 12/05/2026", "el doce de mayo de dos mil veintiséis"),
    ("es-ES", "912 345 678", "nueve uno dos, tres cuatro cinco, seis siete ocho"),
    ("es-ES", "1.500 personas, 21 kg, la 2ª", "mil quinientas personas, veintiún kilogramos, la segunda"),
    ("es-MX", "$1,500.50", "mil quinientos pesos con cincuenta centavos"),
    ("es-ES", "la Sra. Gil & Tom, núm. 5", "la señora Gil y Tom, número cinco"),
]


@pytest.mark.parametrize(("language", "text", "wanted"), TONGUES)
def test_figures_are_read_in_the_language_and_region_of_the_voice(
    language: str, text: str, wanted: str
) -> None:
    """Row 40: 5/12 is May in Boston and December in London; 1.000 is a thousand in Berlin and one in Boston."""
    assert speakable(text, language) == wanted


FOREIGN = [
    ("it-IT", "Sono 86,50 € il 3 maggio", "Sono 86,50 € il 3 maggio"),
    ("it-IT", "Chiami lo 06 1234 5678 & basta", "Chiami lo 0 6, 1 2 3 4, 5 6 7 8 e basta"),
    ("ja-JP", "こんにちは。**元気**ですか？", "こんにちは。元気ですか？"),
]


@pytest.mark.parametrize(("language", "text", "wanted"), FOREIGN)
def test_other_languages_pass_through_cleanly(language: str, text: str, wanted: str) -> None:
    """No English words in them; their own dates and money stay as written."""
    assert speakable(text, language) == wanted


LANGUAGES = ["en-US", "en-GB", "de-DE", "de-CH", "fr-FR", "es-MX", "it-IT", "xx", ""]
FIGURES = st.text(alphabet="0123456789.,:/-+$€£%°# ahmkgKM()'*²½٣\u00a0", max_size=40)


@given(st.text(max_size=80) | FIGURES, st.sampled_from(LANGUAGES))
def test_any_text_can_be_made_speakable(text: str, language: str) -> None:
    """Row 40: whatever a model writes: no error, no markup left, no space around it, and every origin in the text."""
    spoken = speak(text, language)
    assert spoken.text == spoken.text.strip()
    assert not set(spoken.text) & set("*`|<>{}[]")
    assert spoken.text == "" or any(map(str.isalnum, spoken.text))
    assert len(spoken.origins) == len(spoken.text)
    assert list(spoken.origins) == sorted(spoken.origins)
    assert all(0 <= origin <= len(text) for origin in spoken.origins)


SPOKEN = [(text, "en-US") for text, _ in MARKUP + ADDRESSES + NUMBERS]
SPOKEN += [(text, language) for language, text, _ in TONGUES + FOREIGN]


@pytest.mark.parametrize(("text", "language"), SPOKEN)
def test_what_can_be_spoken_stays_as_it_is(text: str, language: str) -> None:
    """Row 40: a tool may have read it out already."""
    once = speakable(text, language)
    assert speakable(once, language) == once


@given(st.from_regex(r"[a-z]{1,10}( [a-z]{1,10}){0,8}[.?!]", fullmatch=True))
def test_plain_words_are_left_alone(text: str) -> None:
    """What was said must be found again in what was heard."""
    assert speakable(text) == text


# ---------------------------------------------------------------- the pronunciation list


def _pronounced(text: str, words: dict[str, str]) -> str:
    return speak(text, "en-US", Pronunciation(words).rules).text


def test_a_word_on_the_pronunciation_list_is_read_as_it_sounds() -> None:
    """Row 40: whole words, also before 's; capitals in the key count, small letters fit any case; the longer wins."""
    words = {
        "Nguyen": "win",
        "SQL": "sequel",
        "gif": "jif",
        "New York": "noo york",
        "New": "noo",
        "東京": "toukyou",
    }
    assert _pronounced("Ms Nguyen's SQL, not MySQL or sql.", words) == "Ms win's sequel, not MySQL or sql."
    assert _pronounced("A GIF, a Gif", words) == "A jif, a jif"
    assert _pronounced("New York is New", words) == "noo york is noo"
    assert _pronounced("これは東京です", words) == "これはtoukyouです"
    assert _pronounced("one", {"one": "two", "two": "one"}) == "two", (
        "what was replaced is not looked at again"
    )


def test_the_list_comes_after_the_figures_and_history_keeps_the_name() -> None:
    """Row 25, row 40: what was heard of it is still `Nguyen`."""
    spoken = speak("Nguyen owes $5.", "en-US", Pronunciation({"Nguyen": "win", "five": "fife"}).rules)
    assert spoken.text == "win owes fife dollars."
    assert spoken.written[: spoken.written_until(3)] == "Nguyen"


@pytest.mark.parametrize(("written", "said"), [("", "x"), ("!", "x"), ("Lee ", "lee"), ("Lee", " ")])
def test_an_entry_that_says_nothing_is_refused(written: str, said: str) -> None:
    with pytest.raises(ConfigError, match="pronounce:"):
        Pronunciation({written: said})


def test_an_entry_that_is_read_out_before_the_list_is_asked_is_refused() -> None:
    """It would never be met, and nobody would know why."""
    with pytest.raises(ConfigError, match="'24/7' is never met: it has become 'twenty-four seven' before"):
        Pronunciation({"24/7": "always"}).check("en-US")
    Pronunciation({"Nguyen": "win", "3M": "three em"}).check("en-US")
