"""What callers mean, word by word: yes and no, refusals, digits, letters, names, e-mail addresses. English.

Pure; no model. A parser returns None where it is not sure: it is better to ask again than to guess. Days and hours are
in when.py. Figures and number words are read by hearing/numerals.py, in the languages that it knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipeline.agent.tasks import wording_tables
from pipeline.hearing.numerals import digit_groups, words_of
from pipeline.hearing.spelling import ALPHABETS, DOUBLES, LINKS, spelled


def _words(text: str) -> list[str]:
    return text.split(" ")


YES = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "ok",
    "okay",
    "correct",
    "right",
    "exactly",
    "sure",
    "absolutely",
    "definitely",
    "perfect",
    "fine",
    "indeed",
    "certainly",
    "aye",
]
NO = _words("no nope nah wrong incorrect not never")
YES_PHRASES = (
    "that's it",
    "that is it",
    "of course",
    "i do",
    "it is",
    "go ahead",
    "i think so",
    "you got it",
)
NO_PHRASES = (
    "i don't",
    "it isn't",
    "it's not",
    "isn't right",
    "isn't correct",
    "don't think so",
    "that isn't",
)
ONLY_NO = ("not right", "not correct", "that's not", "that is not", "is not")  # "right" in them is no yes
CORRECTION = re.compile(
    r"^.*(?:\bno,? (?:sorry|wait|i mean|it's|it is|make that)|\bsorry,? i mean\b|\bi mean\b|\bcorrection\b"
    r"|\bmake that\b|\bactually\b|\bscratch that\b|\brather\b|\bno,?(?= \S)|\bsorry\b|\bwait\b)",
    re.IGNORECASE | re.DOTALL,
)
DECLINES = (
    "rather not", "prefer not", "won't say", "won't tell", "not telling", "don't want to", "do not want to",
    "not comfortable", "none of your business", "don't have one", "do not have one", "don't have a", "no comment",
    "don't like to", "skip it", "skip that", "can't tell you", "refuse",
)  # fmt: skip
CANCELS = (
    "cancel", "cancel that", "cancel it", "cancel please", "please cancel", "never mind", "nevermind", "forget it",
    "forget about it", "stop", "stop it", "stop that", "i want to cancel", "i changed my mind", "let's stop",
)  # fmt: skip
FILLERS = frozenset(_words("um uh er erm hmm well so okay ok sure yes yeah hello hi alright oh and"))
POLITE = frozenset(_words("please thanks thank you bye"))

_NAME_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_NAME_LEADS = (
    "you can call me", "my full name is", "my first name is", "my last name is", "my surname is", "my name is",
    "the last name is", "the first name is", "the name is", "the name's", "my name's", "name is", "call me", "this is",
    "first name is", "last name is", "surname is", "it would be", "it is", "it's", "that's", "that is", "i am", "i'm",
    "first name", "last name", "surname", "name", "of course",
)  # fmt: skip
_NO_NAMES = frozenset(
    [
        "a",
        "an",
        "the",
        "i",
        "you",
        "he",
        "she",
        "we",
        "they",
        "what",
        "why",
        "how",
        "who",
        "when",
        "where",
        "which",
        "no",
        "not",
        "can",
        "could",
        "would",
        "do",
        "does",
        "did",
        "is",
        "are",
        "was",
        "my",
        "your",
        "me",
        "it",
        "to",
        "for",
        "with",
        "about",
        "because",
        "want",
        "need",
        "have",
        "has",
        "please",
        "sorry",
        "don't",
        "know",
        "said",
        "that",
        "this",
        "there",
        "here",
        "yes",
        "wrong",
        "correct",
        "right",
        "nothing",
        "none",
        "speak",
        "talk",
        "person",
        "help",
        "question",
        "repeat",
        "again",
        "pardon",
        "hold",
        "wait",
        "change",
    ]
)
_EMAIL = re.compile(r"[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
_EMAIL_LEADS = (
    "my e mail address is", "my email address is", "the email address is", "my e mail is", "my email is",
    "the email is", "the address is", "my address is", "you can use", "send it to", "it would be", "that would be",
    "email is", "address is", "that's", "that is", "it's", "it is",
)  # fmt: skip
_SIGNS = {
    "dot": ".", "point": ".", "period": ".", "at": "@", "dash": "-", "hyphen": "-", "minus": "-",
    "underscore": "_", "plus": "+",
}  # fmt: skip
_EMAIL_NOISE = ("all lower case", "all lowercase", "lower case", "lowercase", "all one word", "one word")


def yes_no(text: str, language: str = "en-US") -> bool | None:
    """Was that a yes or a no? The first word for it counts: "no, that's right, I meant ..." is rare. language: a tag of
    those in wording_tables.py, else English."""
    if (tongue := language.partition("-")[0].lower()) in wording_tables.YES:
        return _yes_no_in(words_of(text, tongue), tongue)
    said = " ".join(words_of(text, "en"))
    if any(phrase in said for phrase in (*ONLY_NO, *NO_PHRASES)):
        return False
    if any(_has(said, phrase) for phrase in YES_PHRASES):
        return True
    for word in said.split():
        if word in NO:
            return False
        if word in YES or word in ("that's", "thats") and _has(said, "right"):
            return True
    return None


def _yes_no_in(said: Sequence[str], tongue: str) -> bool | None:
    """By single words: a "not" behind or before a "right" is a no."""
    yes = set(words_of(f"ok okay {wording_tables.YES[tongue]}", tongue))
    no = set(words_of(wording_tables.NO[tongue], tongue))
    if said and said[0] in yes and not no.intersection(said[1:2]):
        return True
    if no.intersection(said):
        return False
    return True if yes.intersection(said) else None


def behind_answer(text: str) -> str:
    """What follows a "no" or a "yes": "no, it's four" leaves "it's four"."""
    return re.sub(
        r"^\W*(?:(?:no|nope|nah|yes|yeah|wrong|sorry|that's (?:not )?(?:right|wrong)|not quite|wait)\b[\s,.!]*)+",
        "",
        text,
        flags=re.IGNORECASE,
    )


def corrected(text: str) -> str:
    """Only what was said last, where the caller took something back: "one two, no sorry, one three"."""
    behind = CORRECTION.sub("", text).strip(" ,.")
    return behind or text


def declines(text: str) -> bool:
    """Would the caller rather not say it?"""
    said = " ".join(words_of(text, "en"))
    return any(_has(said, phrase) for phrase in DECLINES)


def cancels(text: str) -> bool:
    """Does the caller want nothing of it any more? Only where nothing else is said."""
    said = [word for word in words_of(text, "en") if word not in FILLERS]
    return " ".join(said) in CANCELS


def digits(text: str, language: str = "en-US") -> str:
    """All digits that were read out or written, "" if there are none; those before a correction do not count."""
    words = words_of(corrected(text), language)
    groups = digit_groups(words, language)
    found = "".join(group.digits for group in groups)
    others = len(words) - sum(group.end - group.start for group in groups)
    return "" if len(found) < 3 and others >= 2 * len(found) else found  # "the usual one"


def letters(text: str, language: str = "en-US") -> str:
    """Letters and digits that were spelled, lower case."""
    return spelled(words_of(corrected(text), language), language).letters


# ---------------------------------------------------------------- names


def name(text: str) -> tuple[str, ...] | None:
    """The words of a person's name, as they are written; the last may have been spelled behind it."""
    tokens = _NAME_TOKEN.findall(corrected(text).replace("\u2019", "'"))
    tokens = _name_lead(tokens)
    tokens, spelt = _spelt(tokens)
    while tokens and (tokens[-1].lower() in POLITE or tokens[-1].lower() in ("speaking", "here")):
        tokens.pop()
    tokens = [
        token for token in tokens if token.lower() not in ("first", "last", "surname", "is", "and", "name")
    ]
    if any(token.lower() in _NO_NAMES for token in tokens) or len(tokens) > 4:
        return None
    if spelt and tokens and tokens[-1][0].lower() == spelt[0]:
        tokens[-1] = spelt
    elif spelt:
        tokens.append(spelt)
    return tuple(map(_written, tokens)) or None


def _name_lead(tokens: list[str]) -> list[str]:
    """The tokens behind "um, yes, my name is"."""
    while tokens:
        if tokens[0].lower() in FILLERS and len(tokens) > 1:
            tokens = tokens[1:]
            continue
        said = " ".join(tokens).lower() + " "
        lead = next((lead for lead in _NAME_LEADS if said.startswith(f"{lead} ")), "")
        if not lead:
            return tokens
        tokens = tokens[len(lead.split()) :]
    return tokens


def _spelt(tokens: list[str]) -> tuple[list[str], str]:
    """The tokens before the spelling at the end, and what was spelled: "smith, that's s m y t h"."""
    first = len(tokens)
    while first and (len(tokens[first - 1]) == 1 or _is_code(tokens, first - 1)):
        first -= 1
    tail = tokens[first:]
    if len(tail) < 2:
        return tokens, ""
    head = tokens[:first]
    while head and head[-1].lower() in (
        "that's",
        "is",
        "it's",
        "spelled",
        "spelt",
        "spell",
        "spelling",
        "as",
        "i",
    ):
        head.pop()
    return head, spelled([word.lower() for word in tail], "en").letters


def _is_code(tokens: Sequence[str], at: int) -> bool:
    """Is it a word of a spelling: "double", "as in", "bravo" behind letters?"""
    word = tokens[at].lower()
    if word in DOUBLES:
        return at + 1 < len(tokens) and len(tokens[at + 1]) == 1
    around = [token.lower() for token in tokens[max(0, at - 2) : at + 1]]
    as_in = any(
        tuple(around[-len(link) :]) == link and len(around) > len(link) and len(around[0]) == 1
        for link in LINKS
    )
    behind_link = at >= 2 and tokens[at - 1].lower() in ("in", "for", "like", "as") and len(tokens) > 3
    alphabet = word in ALPHABETS and (at + 1 == len(tokens) or tokens[at + 1].lower() in ALPHABETS)
    alphabet = alphabet and at > 0 and tokens[at - 1].lower() in ALPHABETS
    return as_in or (behind_link and any(len(token) == 1 for token in tokens[:at])) or alphabet


def _written(token: str) -> str:
    """With a capital, where the recogniser writes none."""
    if token != token.lower():
        return token
    return re.sub(r"(?:^|(?<=['-]))[^\W\d_](?=[^\W\d_])", lambda found: found[0].upper(), token)


# ---------------------------------------------------------------- e-mail


def email(text: str) -> str | None:
    """An e-mail address, as it is written: "jon dot smith at example dot com", spelled, or in its signs."""
    text = corrected(text).lower()
    if "@" in text:
        found = _EMAIL.search(re.sub(r"\s*([@.])\s*(?=\w)", r"\1", text))
        return _checked_email(found[0]) if found else None
    said = " ".join(words_of(re.sub(r"(?<=\w)[-](?=\w)", " ", text), "en"))
    for noise in _EMAIL_NOISE:
        said = f" {said} ".replace(f" {noise} ", " ").strip()
    words = said.split(" ")
    while words and words[0] in FILLERS and len(words) > 1:
        words = words[1:]
    said = " ".join(words)
    lead = next((lead for lead in _EMAIL_LEADS if said.startswith(f"{lead} ")), "")
    words = said[len(lead) :].split(" ")
    while words and (words[-1] in POLITE or " ".join(words[-2:]) in ("that's it", "that's all")):
        words = words[:-2] if " ".join(words[-2:]) in ("that's it", "that's all", "thank you") else words[:-1]
    return _checked_email("".join(_email_parts(words)))


def _email_parts(words: list[str]) -> Iterable[str]:
    """The signs of an address. Only the last "at" before a dot is the sign for it."""
    ats = [at for at, word in enumerate(words) if word == "at" and "dot" in words[at:] + ["dot"]]
    groups = {group.start: group for group in digit_groups(words, "en")}
    at = 0
    while at < len(words):
        word = words[at]
        if at in groups and word != "oh":
            yield groups[at].digits
            at = groups[at].end
        elif word in DOUBLES and at + 1 < len(words) and len(words[at + 1]) == 1:
            yield words[at + 1] * DOUBLES[word]
            at += 2
        elif len(word) == 1 and (
            link := next((k for k in LINKS if tuple(words[at + 1 : at + 1 + len(k)]) == k), None)
        ):
            yield word
            at += len(link) + 2
        else:
            yield "at" if word == "at" and ats and at != ats[-1] else _SIGNS.get(word, word.replace("'", ""))
            at += 1


def _checked_email(address: str) -> str | None:
    """The address if it can be one (RFC 5321 §4.5.3.1 for the lengths), else None."""
    good = _EMAIL.fullmatch(address) and ".." not in address and ".@" not in address and len(address) <= 254
    return address if good else None


def _has(said: str, phrase: str) -> bool:
    return f" {phrase} " in f" {said} "
