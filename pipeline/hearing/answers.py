"""Is the answer all there? One reader for each kind of thing an agent asks for; days and hours are in dates.py.

Pure. Asked by expectation.py with folded words. English, German, French and Spanish; figures, letters and
addresses in any language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.hearing.completeness import is_whole, only_fillers
from pipeline.hearing.numerals import amount_at, digit_groups, number_words, tongue
from pipeline.hearing.progress import Progress
from pipeline.hearing.spelling import spelled

OFF_TOPIC_WORDS = 4  # so many words after the last digit, and it is no number that is read out
SHORT_WORDS = 4  # so few words may be the beginning of an address


@dataclass(frozen=True)
class Vocabulary:
    """One language's words around answers, folded; phrases have spaces."""

    yes_no: frozenset[str]  # whole answers, at the beginning or the end of what is said
    yes_no_alone: frozenset[str]  # answers only if nothing else is said: "right"
    corrections: frozenset[str]  # what was said before is taken back
    done: frozenset[str]  # "that's all"
    lead_ins: frozenset[str]  # words before an answer that are no part of it
    refusals: frozenset[str]  # first words of something else
    currencies: frozenset[str]
    more_money: frozenset[str]  # last, they announce more: "and", "point"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(phrase.strip() for phrase in text.split(","))


VOCABULARIES = {
    "en": Vocabulary(
        yes_no=_phrases(
            "yes, no, yeah, yep, yup, nope, nah, absolutely, definitely, exactly, of course, not really, i think so,"
            " i don't think so, i do, i don't, it is, it isn't, that's right, that's correct, that is right,"
            " that is correct, that's wrong, not at all, i guess so, i'm not sure, i don't know, go ahead, please do"
        ),
        yes_no_alone=_words("sure correct right okay ok fine wrong incorrect maybe never certainly perfect"),
        corrections=_words("no sorry wait actually correction"),
        done=_phrases("that's it, that's all, that is it, that is all, thank you, thanks, done, please"),
        lead_ins=_words("my name is it's its i'm this the yes yeah it am is sure okay ok well of course"),
        refusals=_words("i no yes what why how can could do does don't sorry hello"),
        currencies=_words("dollar dollars euro euros pound pounds cent cents pence bucks usd eur gbp francs"),
        more_money=_words("and point comma plus"),
    ),
    "de": Vocabulary(
        yes_no=_phrases(
            "ja, nein, jo, jawohl, nee, ne, genau, naturlich, auf keinen fall, auf jeden fall, stimmt, das stimmt,"
            " stimmt nicht, gerne, gern, ich glaube schon, ich glaube nicht, uberhaupt nicht, eher nicht, weiss nicht"
        ),
        yes_no_alone=_words("richtig falsch sicher klar okay ok korrekt passt niemals vielleicht"),
        corrections=_words("nein entschuldigung falsch moment quatsch"),
        done=_phrases("das war's, das wars, fertig, das ist alles, das war alles, danke, bitte"),
        lead_ins=_words("mein name ist ich heisse bin es das hier ja"),
        refusals=_words("ich nein ja was warum wie konnen hallo entschuldigung"),
        currencies=_words("euro euros cent cents franken dollar rappen eur chf"),
        more_money=_words("und komma"),
    ),
    "fr": Vocabulary(
        yes_no=_phrases(
            "oui, non, ouais, si, exactement, tout a fait, bien sur, pas du tout, absolument, d'accord, c'est ca,"
            " c'est exact, je crois, je pense, je ne crois pas, je ne sais pas, pas vraiment, volontiers"
        ),
        yes_no_alone=_words("exact correct voila ok okay faux jamais certainement parfait"),
        corrections=_words("non pardon attendez attends desole"),
        done=_phrases("c'est tout, voila, merci, s'il vous plait, c'est fini"),
        lead_ins=_words("mon nom est c'est je m'appelle suis oui le"),
        refusals=_words("je non oui que pourquoi comment pouvez bonjour pardon"),
        currencies=_words("euro euros centime centimes franc francs dollar dollars eur"),
        more_money=_words("et virgule"),
    ),
    "es": Vocabulary(
        yes_no=_phrases(
            "si, no, claro, por supuesto, desde luego, exacto, exactamente, en absoluto, de acuerdo, eso es, asi es,"
            " creo que si, creo que no, no lo se, para nada, claro que si, claro que no"
        ),
        yes_no_alone=_words("correcto vale bien ok okay incorrecto seguro nunca perfecto cierto"),
        corrections=_words("no perdon espere espera digo"),
        done=_phrases("eso es todo, ya esta, nada mas, gracias, por favor, listo"),
        lead_ins=_words("mi nombre es me llamo soy si"),
        refusals=_words("yo no si que por como puede hola perdon"),
        currencies=_words("euro euros centimo centimos dolar dolares peso pesos eur"),
        more_money=_words("y con coma"),
    ),
}
_NONE = frozenset[str]()
NOTHING_KNOWN = Vocabulary(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE)
AT = _words("at arroba arobase klammeraffe chiocciola")
DOT = _words("dot punkt point punto period")
SIGNS = _words("dash hyphen underscore minus unterstrich bindestrich tiret guion underline")
TOP_DOMAINS = _words(
    "com org net edu gov info io eu de at ch fr es it nl be pt uk us ca au ie mx ar co.uk com.au com.mx com.ar"
)


def digits(words: Sequence[str], language: str, at_least: int, at_most: int) -> Progress:
    """A number read out. at_most: 0 if any number of digits may follow.

    Taken back ("no, sorry"), it is counted anew, and waited for even if only its end is said again.
    """
    known = vocabulary(language)
    anew = _behind_correction(words, language)
    groups = digit_groups(words[anew:], language)
    count = sum(len(group.digits) for group in groups)
    if not count:
        return Progress.BEGUN if anew and digit_groups(words[:anew], language) else Progress.OTHER
    behind = words[anew + groups[-1].end :]
    if at_most and count >= at_most:
        return Progress.COMPLETE
    if behind and behind[-1] in number_words(language).repeats:
        return Progress.BEGUN
    if count >= max(at_least, 1):
        return Progress.COMPLETE if _ends_in(behind, known.done) else Progress.ENOUGH
    return Progress.OTHER if len(behind) >= OFF_TOPIC_WORDS else Progress.BEGUN


def spelling(words: Sequence[str], language: str, at_least: int, at_most: int) -> Progress:
    """Letters and digits, spelled. at_most: 0 if any number may follow."""
    letters, end, is_open = spelled(words, language)
    if not letters:
        return Progress.OTHER
    behind = words[end:]
    if is_open:
        return Progress.BEGUN
    if at_most and len(letters) >= at_most:
        return Progress.COMPLETE
    if len(letters) >= max(at_least, 1):
        return Progress.COMPLETE if _ends_in(behind, vocabulary(language).done) else Progress.ENOUGH
    return Progress.OTHER if len(behind) >= OFF_TOPIC_WORDS else Progress.BEGUN


def yes_no(words: Sequence[str], language: str) -> Progress:
    """An answer to a yes-or-no question, at the beginning or the end of what is said."""
    known = vocabulary(language)
    said = _without_fillers(words, language)
    found = len(said) == 1 and said[0] in known.yes_no_alone
    found = found or any(_phrase(said[:size]) in known.yes_no for size in range(1, 5))
    found = found or any(_phrase(said[-size:]) in known.yes_no for size in range(1, 5))
    if not found:
        return Progress.OTHER
    return Progress.BEGUN if is_whole(_phrase(words), language) is False else Progress.COMPLETE


def number(words: Sequence[str], language: str) -> Progress:
    """An amount of anything."""
    end = _end_of_amount(words, language)
    if end is None:
        return Progress.OTHER
    joint = number_words(language).joint | vocabulary(language).more_money
    return Progress.BEGUN if end < len(words) and words[-1] in joint else Progress.COMPLETE


def money(words: Sequence[str], language: str, text: str) -> Progress:
    """An amount of money; without a currency it may go on."""
    known = vocabulary(language)
    if _end_of_amount(words, language) is None:
        return Progress.OTHER
    if words[-1] in known.more_money:
        return Progress.BEGUN
    named = any(word in known.currencies for word in words) or any(sign in text for sign in "$€£¥")
    return Progress.COMPLETE if named else Progress.ENOUGH


def email(words: Sequence[str], language: str, text: str) -> Progress:
    """An address: "john dot smith at example dot com", or as it is written."""
    if "@" in text:
        domain = text.rpartition("@")[2].strip().rstrip(".").lower()
        return Progress.COMPLETE if _is_domain(domain.split(".")) else Progress.BEGUN
    known = vocabulary(language)
    place = max((at for at, word in enumerate(words) if word in AT), default=-1)
    if place > 0:
        return _domain_progress(words[place + 1 :])
    if any(word in DOT or word in SIGNS for word in words) or len(spelled(words, language).letters) > 1:
        return Progress.BEGUN
    return Progress.BEGUN if len(words) <= SHORT_WORDS and words[0] not in known.refusals else Progress.OTHER


def name(words: Sequence[str], language: str) -> Progress:
    """A name is never certainly complete; after the first word of it another is likely."""
    known = vocabulary(language)
    said = [word for word in _without_fillers(words, language) if word not in known.lead_ins]
    return Progress.OTHER if len(said) > 1 or words[0] in known.refusals - known.lead_ins else Progress.ENOUGH


def choice(words: Sequence[str], phrases: Sequence[Sequence[str]]) -> Progress:
    """One of some phrases. Where one of them begins like another, the shorter may go on."""
    tails = [tuple(words[-size:]) for size in range(1, len(words) + 1)]
    options = [tuple(phrase) for phrase in phrases]
    begun = [
        option
        for option in options
        for tail in tails
        if len(tail) < len(option) and option[: len(tail)] == tail
    ]
    said = [option for option in options if _contains(words, option)]
    if said:
        return Progress.ENOUGH if begun else Progress.COMPLETE
    return Progress.BEGUN if begun else Progress.OTHER


def vocabulary(language: str) -> Vocabulary:
    """The words of a language; none for those that are not known."""
    return VOCABULARIES.get(tongue(language), NOTHING_KNOWN)


def _domain_progress(words: Sequence[str]) -> Progress:
    """What was said after the "at"."""
    dots = [at for at, word in enumerate(words) if word in DOT]
    if not dots or not dots[0]:
        return Progress.BEGUN
    labels: list[str] = []
    for start, end in zip(dots, [*dots[1:], len(words)], strict=True):
        labels.append("".join(words[start + 1 : end]))  # spelled or said: "c o m"
    known = _is_domain(["x", *labels])
    if known:
        return Progress.COMPLETE
    return Progress.BEGUN if len(labels[-1]) < 2 else Progress.ENOUGH


def _is_domain(labels: Sequence[str]) -> bool:
    return (
        len(labels) > 1
        and bool(labels[0])
        and (labels[-1] in TOP_DOMAINS or ".".join(labels[-2:]) in TOP_DOMAINS)
    )


def _end_of_amount(words: Sequence[str], language: str) -> int | None:
    ends = [found.end for at in range(len(words)) if (found := amount_at(words, at, language)) is not None]
    return ends[-1] if ends else None


def _behind_correction(words: Sequence[str], language: str) -> int:
    corrections = vocabulary(language).corrections
    return max((at + 1 for at, word in enumerate(words) if word in corrections), default=0)


def _without_fillers(words: Sequence[str], language: str) -> list[str]:
    return [word for word in words if not only_fillers([word], language)]


def _phrase(words: Sequence[str]) -> str:
    return " ".join(words)


def _ends_in(words: Sequence[str], phrases: frozenset[str]) -> bool:
    return any(_phrase(words[-size:]) in phrases for size in (1, 2, 3))


def _contains(words: Sequence[str], phrase: tuple[str, ...]) -> bool:
    return any(tuple(words[at : at + len(phrase)]) == phrase for at in range(len(words) - len(phrase) + 1))
