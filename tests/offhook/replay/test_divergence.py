"""Fifty calls with one question changed: another question is another conversation, another wording is not.

quality.md E 13: of what is reported as "diverged at turn k", at least 90 % did diverge, and there."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import pytest

from offhook.replay.asked import question_of, same_course, subjects_of
from offhook.replay.compare import compare
from tests.offhook.replay.calls import dentist, write_call

QUESTIONS = {
    "date": (
        "Which day would suit you?",
        "What day would you like to come?",
        "On which day shall I book you in?",
        "When would you like to come in?",
    ),
    "time": (
        "What time works best for you?",
        "At what hour would you like to come?",
        "Morning or afternoon?",
        "Which time of the day suits you?",
    ),
    "name": (
        "May I have your name, please?",
        "What is your name?",
        "Who am I speaking with?",
        "Could you tell me your full name?",
    ),
    "birth": (
        "What is your date of birth?",
        "When were you born?",
        "Could you give me your birth date, please?",
        "And your birthday?",
    ),
    "phone": (
        "What number can we reach you at?",
        "May I have your phone number?",
        "Which telephone number should I note?",
        "Could you give me a mobile number?",
    ),
    "insurance": (
        "Which insurance do you have?",
        "Who are you insured with?",
        "What is the name of your insurance company?",
        "Could you tell me your insurer?",
    ),
    "reason": (
        "What brings you to us?",
        "What is the reason for your visit?",
        "Why would you like to see us?",
        "What seems to be the problem?",
    ),
    "invoice": (
        "What is your invoice number?",
        "Could you read me the number of the invoice?",
        "Please say the four digits of your bill.",
        "Which invoice is it about?",
    ),
}
LEAD_INS = (
    "",
    "Thank you. ",
    "Good. ",
    "All right, I have noted that. ",
    "Certainly. ",
    "One moment, please. ",
)
TURNS = 4
CASES = 50


class Case(NamedTuple):
    """diverges: the turn in which something else is asked, None if it is only asked in other words."""

    before: list[str]
    now: list[str]
    diverges: int | None


def cases(seed: int = 13) -> list[Case]:
    """Half of them ask something else in one turn, half of them ask the same in other words in one turn."""
    dice = random.Random(seed)
    made = []
    for number in range(CASES):
        subjects = dice.sample(sorted(QUESTIONS), TURNS)
        before = [_said(dice, subject) for subject in subjects]
        now, turn = list(before), dice.randint(1, TURNS)
        subject = subjects[turn - 1]
        if number % 2:
            subject = dice.choice([other for other in sorted(QUESTIONS) if other not in subjects])
        while now[turn - 1] == before[turn - 1]:
            now[turn - 1] = _said(dice, subject)
        made.append(Case(before, now, turn if number % 2 else None))
    return made


def _said(dice: random.Random, subject: str) -> str:
    return dice.choice(LEAD_INS) + dice.choice(QUESTIONS[subject])


def test_where_a_conversation_is_said_to_diverge_it_does(tmp_path: Path) -> None:
    reported = right = missed = 0
    for number, case in enumerate(cases()):
        found = compare(
            write_call(tmp_path / "now", dentist(case.now), f"c{number}"),
            write_call(tmp_path / "before", dentist(case.before), f"c{number}"),
        ).diverged
        reported += found is not None
        right += found is not None and found == case.diverges
        missed += found is None and case.diverges is not None
    assert reported >= 20
    assert right / reported >= 0.9, f"{right} of {reported}"
    assert missed <= 3


@pytest.mark.parametrize(
    ("now", "before", "same"),
    [
        ("We are open from nine to five.", "We are open from eight to five.", True),
        ("We are open from nine to five.", "I will put you through to billing.", False),
        ("Good. When were you born?", "Good. When would you like to come?", False),
        ("Is that right?", "Is Friday at nine correct?", True),
        ("Wie heißen Sie denn bitte?", "Wie heißen Sie?", True),
        ("Wie heißen Sie?", "Welche Schuhgröße tragen Sie?", False),
        ("Anything else?", "Is there anything else I can do for you?", True),
    ],
)
def test_another_wording_is_the_same_course_and_another_subject_is_not(
    now: str, before: str, same: bool
) -> None:
    assert same_course(now, before) is same


def test_the_last_question_counts() -> None:
    text = "Do you hear me? Good. What is your date of birth? Take your time."
    assert question_of(text) == "What is your date of birth?"
    assert subjects_of(question_of(text)) == {"birth"}
    assert question_of("Please say the four digits of your invoice number.") != ""
    assert question_of("We are open.") == ""
