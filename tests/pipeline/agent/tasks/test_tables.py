"""Tables of whole calls, one for each ready-made task: what callers say and key in, and the value that must come out.

All without a language model. Nine calls of ten must end with the right value; what fails is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from pipeline.agent.tasks import (
    Address,
    AskAddress,
    AskCard,
    AskChoice,
    AskDate,
    AskDigits,
    AskEmail,
    AskMoment,
    AskName,
    AskPhoneNumber,
    AskPin,
    AskTime,
    AskYesNo,
    Card,
    Name,
)
from tests.pipeline.agent.tasks.caller import Made, ask

Table = Sequence[tuple[list[str], Any]]
WEDNESDAY = datetime(2026, 3, 4, 9, 0)
ENOUGH = 0.9


def _right(make: Callable[[], Made], table: Table) -> None:
    missed = []
    for lines, wanted in table:
        outcome = ask(make, lines)
        value = outcome.why if outcome.failed is not None else outcome.value
        if value != wanted:
            missed.append(f"{lines} gave {value!r}, not {wanted!r}")
    assert len(table) - len(missed) >= ENOUGH * len(table), "\n".join(missed)


def test_names_are_understood_by_voice() -> None:
    john = Name("John", "Smith")
    table: Table = [
        (["john smith", "yes"], john),
        (["my name is john smith", "that's right"], john),
        (["um yes this is John Smith", "correct"], john),
        (["john", "smith", "yes"], john),
        (["first name john last name smith", "yes"], john),
        (["jon smyth", "no it's john smith", "yes"], john),
        (["mary brown", "no", "john smith", "yeah that's it"], john),
        (["john smith", "john smith"], john),
        (["john smith that's s m y t h", "yes"], Name("John", "Smyth")),
        (["why do you need that", "anne-marie o'neill", "yes"], Name("Anne-Marie", "O'Neill")),
        (["maria garcia lopez please", "over yes"], Name("Maria Garcia", "Lopez")),
        (["john smith", "keys 1"], john),
        (["i'd rather not"], "declined"),
        (["never mind"], "cancelled"),
        (["what", "why", "what do you mean"], "not_understood"),
    ]
    _right(AskName, table)


def test_spelled_names_are_understood_by_voice() -> None:
    table: Table = [
        (["john smyth", "s m y t h", "yes"], Name("John", "Smyth")),
        (["john smith s m y t h e", "yes"], Name("John", "Smythe")),
        (["john", "meyer", "m e i e r", "yes"], Name("John", "Meier")),
        (["mary brown", "b as in bravo r o w n e", "yes"], Name("Mary", "Browne")),
    ]
    _right(lambda: AskName(spelling=True), table)


def test_phone_numbers_are_understood_by_voice_and_keys() -> None:
    number = "+14155552671"
    table: Table = [
        (["four one five five five five two six seven one", "yes"], number),
        (["my number is 415-555-2671", "yes"], number),
        (["four one five triple five two six seven one", "correct"], number),
        (["it's four fifteen five five five twenty six seventy one", "yes"], number),
        (["plus one four one five five five five two six seven one", "yes"], number),
        (["four one five", "five five five two six seven one", "yes"], number),
        (["four one six no sorry four one five five five five two six seven one", "yes"], number),
        (["two one two five five five two six seven one", "no four one five five five five two six seven one", "yes"],
         number),
        (["keys 4155552671#"], number),
        (["keys 415*4155552671#"], number),
        (["keys 123#", "keys 4155552671#"], number),
        (["one two three four five six seven eight nine ten", "keys 4155552671#"], number),
        (["four one five five five five two six seven one", "keys 1"], number),
        (["four one five five five five two six seven one", "keys 2", "keys 2125552671#"], "+12125552671"),
        (["plus four four two oh seven nine four six oh nine five eight", "yes"], "+442079460958"),
        (["i don't want to say"], "declined"),
        (["over four one five five five five two six seven one", "yes"], number),
    ]  # fmt: skip
    _right(AskPhoneNumber, table)


def test_german_phone_numbers_belong_to_germany() -> None:
    table: Table = [
        (["zero three zero two five nine three oh two four six", "yes"], "+493025930246"),
        (["keys 030901820#"], "+4930901820"),
        (["plus one four one five five five five two six seven one", "yes"], "+14155552671"),
    ]
    _right(lambda: AskPhoneNumber(country="DE"), table)


def test_email_addresses_are_understood_by_voice() -> None:
    john = "john.smith@example.com"
    table: Table = [
        (["john dot smith at example dot com", "yes"], john),
        (["it's john dot smith at example dot com thank you", "yes"], john),
        (["john.smith@example.com", "yes"], john),
        (["my email is j o h n dot s m i t h at example dot com", "yes"], john),
        (["jon at example dot com", "no john dot smith at example dot com", "yes"], john),
        (["john smith at home", "john dot smith at example dot com", "yes"], john),
        (["info at offhook dot co dot uk", "yes"], "info@offhook.co.uk"),
        (
            ["mary underscore brown forty two at mail dot example dot org", "yes"],
            "mary_brown42@mail.example.org",
        ),
        (["sales dash team at example dot io", "yes"], "sales-team@example.io"),
        (["b as in bravo o b at example dot com", "yes"], "bob@example.com"),
        (["matt at home at example dot com all lower case", "yes"], "mattathome@example.com"),
        (["i'd rather not give that"], "declined"),
    ]
    _right(AskEmail, table)


def test_days_are_understood_by_voice_and_keys() -> None:
    friday = date(2026, 3, 6)
    table: Table = [
        (["friday", "yes"], friday),
        (["on friday please", "yes"], friday),
        (["the day after tomorrow", "yes"], friday),
        (["friday the sixth of march", "yes"], friday),
        (["march sixth", "yes"], friday),
        (["tomorrow no sorry friday", "yes"], friday),
        (["the sixth", "yes"], friday),
        (["in two days", "yes"], friday),
        (["monday", "no friday", "yes"], friday),
        (["yesterday", "friday", "yes"], friday),
        (["i don't know yet", "on friday", "yes"], friday),
        (["keys 0306#"], friday),
        (["next week friday", "yes"], date(2026, 3, 13)),
        (["a week from today", "yes"], date(2026, 3, 11)),
        (["in two weeks", "yes"], date(2026, 3, 18)),
        (["the third of april twenty twenty seven", "yes"], date(2027, 4, 3)),
        (["december 25th", "yes"], date(2026, 12, 25)),
        (["january first", "yes"], date(2027, 1, 1)),
        (["cancel"], "cancelled"),
    ]
    _right(lambda: AskDate(now=lambda: WEDNESDAY), table)


def test_dates_of_birth_have_a_year_and_lie_in_the_past() -> None:
    born = date(1985, 6, 21)
    table: Table = [
        (["june twenty first nineteen eighty five", "yes"], born),
        (["the twenty first of june 1985", "yes"], born),
        (["june twenty first", "nineteen eighty five", "yes"], born),
        (["6/21/85", "yes"], born),
        (["june twenty first twenty thirty", "june twenty first nineteen eighty five", "yes"], born),
        (["keys 06211985#"], born),
    ]
    _right(lambda: AskDate("When were you born?", past=True, with_year=True, now=lambda: WEDNESDAY), table)


def test_hours_are_understood_by_voice_and_keys() -> None:
    half_past_three = time(15, 30)
    table: Table = [
        (["half past three", "yes"], half_past_three),
        (["three thirty", "yes"], half_past_three),
        (["at three thirty in the afternoon", "yes"], half_past_three),
        (["3:30 pm", "yes"], half_past_three),
        (["fifteen thirty", "yes"], half_past_three),
        (["three o'clock", "no half past three", "yes"], half_past_three),
        (["eight in the evening", "half past three", "yes"], half_past_three),
        (["keys 1530#"], half_past_three),
        (["nine", "yes"], time(9)),
        (["quarter to ten", "yes"], time(9, 45)),
        (["ten past four", "yes"], time(16, 10)),
        (["noon", "yes"], time(12)),
    ]
    _right(lambda: AskTime(opens=time(9), closes=time(17)), table)


def test_a_day_and_an_hour_come_together_or_one_by_one() -> None:
    wanted = datetime(2026, 3, 6, 15, 30, tzinfo=UTC)
    table: Table = [
        (["friday at half past three", "yes"], wanted),
        (["next friday", "half past three", "yes"], wanted),
        (["at half past three", "on friday", "yes"], wanted),
        (["friday the sixth of march at three thirty pm", "yes"], wanted),
        (["friday at noon", "no at half past three on friday", "yes"], wanted),
        (["friday at eight in the evening", "friday at three thirty", "yes"], wanted),
        (["march sixth 3:30 pm", "yes"], wanted),
        (["friday at three thirty", "over yes"], wanted),
        (["today at eight in the morning", "friday at three thirty", "yes"], wanted),
        (["the day after tomorrow at fifteen thirty", "yes"], wanted),
    ]
    now = WEDNESDAY.replace(tzinfo=UTC)
    _right(lambda: AskMoment(tz=UTC, now=lambda: now, opens=time(8), closes=time(18)), table)


def test_addresses_are_understood_by_voice() -> None:
    street = "Main Street"
    home = Address(street, "12", "62704", "Springfield")
    table: Table = [
        (["twelve main street", "six two seven zero four", "springfield", "yes"], home),
        (["12 Main Street, Springfield, 62704", "yes"], home),
        (["i live at twelve main street", "62704", "it's springfield", "yes"], home),
        (["main street twelve", "six two seven oh four", "springfield", "yes"], home),
        (["main street", "twelve main street", "six two seven zero four", "springfield", "yes"], home),
        (["twelve main street", "six two seven", "six two seven zero four", "springfield", "yes"], home),
        (["ten oak road", "six two seven zero four", "springfield", "no",
          "twelve main street", "six two seven zero four", "springfield", "yes"], home),
        (["twelve b main street", "62704", "springfield", "yes"], Address(street, "12b", "62704", "Springfield")),
        (["i'd rather not"], "declined"),
    ]  # fmt: skip
    _right(AskAddress, table)


def test_postcodes_are_those_of_the_country() -> None:
    london = Address("Downing Street", "10", "SW1A2AA", "London")
    table: Table = [
        (["ten downing street", "s w one a two a a", "london", "yes"], london),
        (["10 Downing Street, London, SW1A 2AA", "yes"], london),
        (["ten downing street", "one two three", "s w one a two a a", "london", "yes"], london),
    ]
    _right(lambda: AskAddress(country="GB"), table)


def test_cards_are_understood_by_voice_and_keys() -> None:
    card = Card("4111111111111111", 2030, 12)
    said = "four one one one one one one one one one one one one one one one"
    table: Table = [
        ([said, "twelve thirty", "yes"], card),
        ([said, "december twenty thirty", "yes"], card),
        ([said, "12/30", "yes"], card),
        (["keys 4111111111111111#", "keys 1230#"], card),
        (["keys 4111111111111112#", "keys 4111111111111111#", "keys 1230#"], card),
        (["keys 4111111111111111#", "december twenty thirty", "yes"], card),
        (
            ["four one one one one one one one", "one one one one one one one one", "twelve thirty", "yes"],
            card,
        ),
        ([said, "one twenty", "twelve thirty", said, "twelve thirty", "yes"], card),
        ([said, "keys 1230#"], card),
        (["i'd rather not"], "declined"),
    ]
    _right(lambda: AskCard(today=lambda: WEDNESDAY.date(), tries=4), table)


def test_pins_are_keyed_in_or_said() -> None:
    table: Table = [
        (["keys 4711"], "4711"),
        (["four seven one one"], "4711"),
        (["forty seven eleven"], "4711"),
        (["keys 47#", "keys 4711"], "4711"),
        (["keys 9999", "keys 4711"], "4711"),
        (["four seven", "one one"], "4711"),
        (["over four seven one one"], "4711"),
        (["keys 12*4711"], "4711"),
        (["keys 1111", "keys 2222", "keys 3333"], "not_understood"),
        (["cancel"], "cancelled"),
    ]
    _right(lambda: AskPin(check=lambda pin: None if pin == "4711" else "That is not the right PIN."), table)


def test_numbers_of_some_digits_are_keyed_in_or_said() -> None:
    table: Table = [
        (["four two seven one", "yes"], "4271"),
        (["it's 4271", "yes"], "4271"),
        (["keys 4271"], "4271"),
        (["four two seven", "one", "yes"], "4271"),
        (["four two seven two", "no four two seven one", "yes"], "4271"),
        (["five", "keys 4271"], "4271"),
        (["four two seven one", "no", "keys 4271"], "4271"),
    ]
    _right(lambda: AskDigits(digits=4, label="order number"), table)


def test_yes_and_no_are_understood_by_voice_and_keys() -> None:
    table: Table = [
        (["yes"], True),
        (["yeah sure"], True),
        (["of course"], True),
        (["that's right"], True),
        (["keys 1"], True),
        (["i am not sure what you mean", "yes please"], False),
        (["no"], False),
        (["no thank you"], False),
        (["not really"], False),
        (["keys 2"], False),
        (["hello", "yes"], True),
        (["over yes"], True),
        (["never mind"], "cancelled"),
    ]
    _right(lambda: AskYesNo("Would you like a receipt?"), table)


def test_a_choice_is_made_by_its_name_its_place_or_its_key() -> None:
    table: Table = [
        (["billing"], "b"),
        (["i'd like to speak to billing please"], "b"),
        (["the second one"], "b"),
        (["number two"], "b"),
        (["keys 2"], "b"),
        (["sales no sorry billing"], "b"),
        (["i don't know", "billing"], "b"),
        (["sales or billing", "billing"], "b"),
        (["keys 7", "keys 2"], "b"),
        (["technical"], "t"),
        (["the last one"], "t"),
        (["cancel"], "cancelled"),
    ]
    choices = {"sales": "s", "billing": "b", "technical support": "t"}
    _right(lambda: AskChoice("Do you want {choices}?", choices), table)
