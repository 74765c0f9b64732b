"""Words that listeners say to keep a speaker going: no claim to the floor. Seven languages. Pure.

What stops, refuses or corrects is never in these lists: "no", "stop", "wait", "nein", "arrête", "espera"."""

from __future__ import annotations

from pipeline.hearing.numerals import tongue, words_of

LONGEST = 80  # characters: nobody listens so loudly
MOST_WORDS = 3  # of a phrase

SOUNDS = "uh huh uhuh uhhuh mhm mmhm mmhmm hm hmm hmmm mm mmm mh aha ah oh ooh"
WORDS = {
    "en": "yeah yep yup yes okay ok right sure alright gotcha cool great fine exactly absolutely good wow nice",
    "de": "ja jaja jo genau okay ok gut klar stimmt richtig achso sicher verstehe gerne",
    "fr": "oui ouais ok okay voila exactement exact parfait super d'accord",
    "es": "si sip ok okay vale claro bien bueno aja ya exacto cierto entiendo perfecto",
    "it": "si ok okay bene certo esatto capito giusto d'accordo perfetto chiaro gia",
    "nl": "ja jaja ok oke okay goed prima precies inderdaad juist klopt oja",
    "pt": "sim ok okay certo claro bom bem exato pois ta entendi percebo perfeito",
}
PHRASES = {
    "en": "i see, got it, all right, of course, makes sense, i understand, go on, sounds good, that's right",
    "de": "ach so, alles klar, ich verstehe, in ordnung, na klar, sehr gut",
    "fr": "tres bien, je vois, je comprends, bien sur, c'est ca, ah bon, bien entendu, tout a fait",
    "es": "de acuerdo, muy bien, ya veo, eso es, por supuesto, claro que si, esta bien",
    "it": "va bene, ho capito, eh gia, molto bene",
    "nl": "snap ik, ik snap het, ik begrijp het, ja hoor, is goed, dat klopt",
    "pt": "esta bem, esta bom, ta bom, estou a ver, muito bem, com certeza",
}
SAID = {
    language: frozenset([*SOUNDS.split(), *words.split(), *PHRASES[language].split(", ")])
    for language, words in WORDS.items()
}
ONLY_SOUNDS = frozenset(SOUNDS.split())


def is_backchannel(text: str, language: str = "en-US") -> bool:
    """Is all of this only listening noise? language: BCP 47 tag; of one that is not known, only sounds are."""
    words = words_of(text, "")
    return bool(words) and _unsaid(text, words, SAID.get(tongue(language), ONLY_SOUNDS)) == len(words)


def may_become_backchannel(text: str, language: str = "en-US") -> bool:
    """Do these words end in the beginning of a listening noise, as "i" of "i see" and "of" of "of course"?"""
    said, words = SAID.get(tongue(language), ONLY_SOUNDS), words_of(text, "")
    rest = " ".join(words[_unsaid(text, words, said) :])
    return bool(rest) and any(phrase.startswith(f"{rest} ") for phrase in said)


def _unsaid(text: str, words: list[str], said: frozenset[str]) -> int:
    """The first word that belongs to no listening noise; the number of words if all do."""
    at = 0
    while at < len(words) and len(text) <= LONGEST:
        sizes = range(min(MOST_WORDS, len(words) - at), 0, -1)
        size = next((size for size in sizes if " ".join(words[at : at + size]) in said), 0)
        if not size:
            break
        at += size
    return at
