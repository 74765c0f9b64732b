"""Tasks ask in the language of the agent that sent them."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Any

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.tasks import (
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
    TaskGroup,
    parse,
)
from pipeline.agent.tasks.ask import Ask, More, Wrong
from pipeline.agent.tasks.collect import make_task
from pipeline.agent.tasks.people import Address, Name
from pipeline.agent.tasks.wording import in_language
from pipeline.agent.tasks.wording_tables import ENGLISH, SENTENCES
from pipeline.canned import LINES
from pipeline.events import AgentSpoke
from pipeline.testing.virtual_clock import run
from tests.pipeline.agent.tasks.caller import call

FRIDAY = date(2026, 3, 6)
TASKS: list[tuple[Ask[Any], Any]] = [
    (AskName(spelling=True), Name("Ann", "Miller")),
    (AskName(parts="first"), Name("Ann")),
    (AskName(parts="last"), Name("", "Miller")),
    (AskPhoneNumber(), "+14155552671"),
    (AskPhoneNumber(country="DE"), "+14155552671"),
    (AskEmail(), "anna@example.com"),
    (AskEmail(), "a.b@example.com"),
    (AskDate(), FRIDAY),
    (AskTime(), time(15, 30)),
    (AskMoment(), datetime.combine(FRIDAY, time(15, 30))),
    (AskAddress(), Address("Main Street", "12", "94105", "Springfield")),
    (AskDigits(digits=4), "4271"),
    (AskDigits(), "4271"),
    (AskPin(), "4271"),
    (make_task("choice sales, support"), "sales"),
    (make_task("date_of_birth"), date(1980, 5, 1)),
]
REPLIES: list[More | Wrong | Any] = [
    AskDigits(digits=6).read_keys("12"),
    AskDigits(digits=2).read_keys("1234"),
    AskPhoneNumber().read_keys("1111111111"),
    AskCard().read_keys("4111111111111112"),
    AskCard().read_keys("4111111111111111"),
    AskName().read("Ann"),
    AskDate(now=lambda: datetime(2026, 3, 1), earliest=FRIDAY).read("march second"),
    AskDate(now=lambda: datetime(2026, 3, 1), latest=FRIDAY).read("march ninth"),
    AskDate(past=True, now=lambda: datetime(2026, 3, 1)).read("2026-04-01"),
    AskTime(opens=time(9), closes=time(17)).read("06:30"),
    AskMoment(now=lambda: datetime(2026, 3, 1)).read("on friday"),
]


def test_every_language_of_the_canned_lines_has_every_sentence_with_the_same_places_to_fill() -> None:
    assert set(SENTENCES) == set(LINES) - {"en"}
    for language, table in SENTENCES.items():
        for english in ENGLISH:
            places = [sorted(re.findall(r"{\w+}", text)) for text in (english, table[english])]
            assert places[0] == places[1], (language, english)
            assert english.endswith("?") == table[english].endswith("?") or english.startswith(
                "What is your {"
            )


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_nothing_that_a_task_says_by_itself_stays_english(language: str) -> None:
    said = [text for task, value in TASKS for text in (task.question, *task.again, task.read_back(value))]
    for reply in REPLIES:
        assert isinstance(reply, More | Wrong)
        said.append(reply.question if isinstance(reply, More) else reply.reason)
    said += [AskCard().question, *AskCard().again, *AskYesNo("").again]
    for text in said:
        assert in_language(text, language) != text, text


def spoken(task: Any, lines: list[str], language: str = "de-DE") -> tuple[list[str], Any]:
    """What an agent of that language said while it had the task done, and what came of it."""
    came: list[Any] = []

    class Desk(Agent):
        async def on_enter(self) -> None:
            came.append(await task().run(self.session))
            self.session.end_call("done")

    rig = run(lambda: call(Desk(language=language), lines))
    return [event.text for event in rig.of(AgentSpoke)], came[0]


def test_a_german_agent_asks_and_is_answered_in_german() -> None:
    said, value = spoken(
        lambda: AskDigits(digits=4), ["vier zwei sieben eins", "nein", "vier zwei sieben zwei", "ja"]
    )
    assert value == "4272"
    assert said == [
        "Bitte nennen Sie mir Folgendes: Nummer.",
        "4 2 7 1. Stimmt das?",
        "Bitte sagen oder tippen Sie die 4 Ziffern einzeln: Nummer.",
        "4 2 7 2. Stimmt das?",
    ]


def test_several_at_once_are_read_back_in_german_too() -> None:
    group: TaskGroup[dict[str, Any]] = TaskGroup(
        dict,
        code=lambda: AskDigits(digits=3, confirm=False),
        sure=lambda: AskYesNo("Sind Sie sicher?", label="Sicherheit"),
    )
    said, value = spoken(lambda: group, ["eins zwei drei", "ja", "ja"])
    assert value == {"code": "123", "sure": True}
    assert said[-1] == "Ich wiederhole. Nummer: 1 2 3. Sicherheit: Das ist ein Ja. Stimmt alles?"


def test_own_words_are_said_as_they_are_and_a_language_without_a_table_hears_english() -> None:
    said, _ = spoken(lambda: AskDigits("Ihr Code?", digits=3), ["keys 123"])
    assert said == ["Ihr Code?"]
    said, _ = spoken(lambda: AskDigits(digits=3), ["keys 123"], language="pl-PL")
    assert said == ["What is your number?"]


def test_a_task_may_have_a_language_of_its_own() -> None:
    said, _ = spoken(lambda: AskYesNo("D'accord ?", language="fr-FR"), ["peut-être", "oui"])
    assert said == [
        "D'accord ?",
        "Pardon, je n'ai pas compris. Dites oui ou non, s'il vous plaît. D'accord ?",
    ]


def test_choices_are_named_in_the_agent_s_language() -> None:
    task: AskChoice[str] = AskChoice("Wohin: {choices}?", ["Verkauf", "Technik", "date"])
    assert in_language(task.question, "de-AT") == "Wohin: Verkauf, Technik oder date?"
    assert task.question == "Wohin: Verkauf, Technik or date?"


@pytest.mark.parametrize(
    ("text", "language", "answer"),
    [
        ("ja genau", "de-DE", True),
        ("stimmt nicht", "de-DE", False),
        ("nein danke", "de-CH", False),
        ("das stimmt", "de", True),
        ("oui c'est ça", "fr-FR", True),
        ("ce n'est pas juste", "fr", False),
        ("sí, claro", "es-ES", True),
        ("no", "it-IT", False),
        ("giusto", "it-IT", True),
        ("nee hoor", "nl-NL", False),
        ("não", "pt-PT", False),
        ("está certo", "pt-PT", True),
        ("vielleicht", "de-DE", None),
        ("yes", "en-GB", True),
    ],
)
def test_yes_and_no_are_known_in_the_same_languages(text: str, language: str, answer: bool | None) -> None:
    assert parse.yes_no(text, language) is answer
