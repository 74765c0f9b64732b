"""What tasks say, in the languages that an agent can have: written in English where it is said, looked up here.

Pure. A text that stands in the tables is said in the agent's language; what somebody wrote for their own agent does
not, and is said as it is. In a language without a table tasks speak English. Other lines of agents: canned.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time
from typing import Any, Final

from pipeline.agent.tasks.wording_tables import DAYS, HOURS, MONTHS, SENTENCES, WEEKDAYS


class Worded(str):
    """An English text with something in it, which can be said in other languages. say: language ("de") → text."""

    say: Callable[[str], str]

    def __new__(cls, english: str, say: Callable[[str], str]) -> Worded:
        text = super().__new__(cls, english)
        text.say = say
        return text


def worded(template: str, **values: Any) -> Worded:
    """The template with its values; those that are Worded are translated as well."""

    def say(language: str) -> str:
        found = {
            name: value.say(language) if isinstance(value, Worded) else value
            for name, value in values.items()
        }
        return SENTENCES[language].get(template, template).format(**found)

    return Worded(template.format(**values), say)


def in_language(text: str, language: str) -> str:
    """What is said of it. language: BCP 47 tag."""
    tongue = language.partition("-")[0].lower()
    if tongue not in SENTENCES:
        return str(text)
    if isinstance(text, Worded):
        return text.say(tongue)
    return SENTENCES[tongue].get(text, text)


def day_worded(day: date, *, year: bool) -> Worded:
    """A day as one says it. year: with it."""
    english = f"{day:%A}, {day:%B} {day.day}"

    def say(language: str) -> str:
        months, weekdays = MONTHS[language].split(), WEEKDAYS[language].split()
        text = DAYS[language].format(
            weekday=weekdays[day.weekday()], day=day.day, month=months[day.month - 1]
        )
        between = " de " if language in ("es", "pt") else " "
        return f"{text}{between}{day.year}" if year else text

    return Worded(f"{english}, {day.year}" if year else english, say)


def month_worded(month: int) -> Worded:
    """A month's name. month: 1 to 12."""
    return Worded(f"{date(2000, month, 1):%B}", lambda language: MONTHS[language].split()[month - 1])


def hour_worded(hour: time) -> Worded:
    """3:30 PM; 15:30 where nobody says PM."""
    english = f"{hour.hour % 12 or 12}:{hour.minute:02d} {'AM' if hour.hour < 12 else 'PM'}"
    return Worded(
        english, lambda language: HOURS[language].format(hour=hour.hour, minute=f"{hour.minute:02d}")
    )


RIGHT: Final = "Is that right?"


def called(label: str) -> Worded:
    """What a thing is called, if it is one of ours."""
    return Worded(label, lambda language: SENTENCES[language].get(label, label))


def asked_back(value: object) -> Worded:
    """Something, and whether it is right."""
    return worded("{value}. Is that right?", value=value)


def listed(names: list[str]) -> str:
    """Several things to choose from: "one, two or three"."""
    if len(names) == 1:
        return names[0]
    return worded("{first} or {last}", first=", ".join(names[:-1]), last=names[-1])
