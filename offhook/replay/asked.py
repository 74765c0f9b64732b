"""What a reply asks for, so that another wording of the same question is not another conversation.

A rule, no model: the last question of a reply, and words that name a subject in it. English; of other languages, and of
subjects that are not in the table, the words themselves decide. Pure. Driven by compare.py."""

from __future__ import annotations

import re

from offhook.replay.aligning import likeness
from offhook.replay.checking import plain

SAME_COURSE = (
    0.5  # of the words of two replies that ask nothing: with fewer in common they say something else
)
SAME_QUESTION = 0.34  # of the words that matter in two questions of which no subject is known

SUBJECTS: dict[str, str] = {
    "birth": "birth born birthday birthdate old age",
    "date": "day date when week month today tomorrow monday tuesday wednesday thursday friday saturday sunday",
    "time": "time hour clock morning afternoon evening noon earlier later when",
    "name": "name surname called speaking spell",
    "phone": "phone telephone mobile cell reach callback",
    "mail": "email mail",
    "address": "address street postcode zip town live",
    "people": "people persons guests party adults",
    "insurance": "insurance insured insurer insures",
    "invoice": "invoice bill",
    "order": "order parcel delivery",
    "customer": "customer account member membership policy",
    "payment": "pay paying payment card cash",
    "reason": "reason matter problem brings why wrong symptoms purpose complaint",
    "person": "doctor dentist practitioner colleague",
    "right": "right correct confirm",
    "else": "else more further",
}
_KNOWN = {word: subject for subject in SUBJECTS for word in SUBJECTS[subject].split()}
_SEVERAL = {"when": {"date", "time"}}
_FIRST = ("birth", "else", "right")  # what else stands in such a question belongs to it: "your date of birth"
_IDLE = frozenset(
    plain(
        "a an the and or of to for in on at is are was be do does did can could may might would will shall should i "
        "you we he she it they me us your my our their please tell give say let know have has like want what which who "
        "how any this that there with so now then good thank thanks sure okay well"
    ).split()
)
_REQUEST = re.compile(r"\b(please (say|tell|give|key|enter|spell)|tell me|give me|say the|key in)\b")


def question_of(text: str) -> str:
    """The last sentence that asks for something, "" if none does."""
    sentences = re.findall(r"[^.!?]+[.!?]?", text)
    asking = [one for one in sentences if one.rstrip().endswith("?") or _REQUEST.search(one.casefold())]
    return asking[-1].strip() if asking else ""


def subjects_of(question: str) -> frozenset[str]:
    """What is asked for: names of SUBJECTS; empty if the table has no word of it."""
    found: set[str] = set()
    for word in plain(question).split():
        found |= _SEVERAL.get(word, {_KNOWN[word]} if word in _KNOWN else set())
    return frozenset(next(({one} for one in _FIRST if one in found), found))


def same_course(now: str, before: str) -> bool:
    """Does the caller, who answers what was asked then, answer what is asked now?"""
    one, other = question_of(now), question_of(before)
    if bool(one) != bool(other) or not one:
        return likeness(now, before) >= SAME_COURSE
    subjects, wanted = subjects_of(one), subjects_of(other)
    if subjects and wanted:
        return bool(subjects & wanted)
    return likeness(_weighty(one), _weighty(other)) >= SAME_QUESTION


def _weighty(text: str) -> str:
    """Without the words that any question has; all of them if there are no others."""
    words = plain(text).split()
    return " ".join([word for word in words if word not in _IDLE] or words)
