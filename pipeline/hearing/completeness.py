"""Could these words stand as a whole turn? A look at how they end, in English, German, French and Spanish.

Pure, below 50 µs. Asked by endpointing.py, which waits longer after "my number is" than after "my number is wrong".
Knows words, not meaning: most turns get None. Not what was asked for (expectation.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.hearing.numerals import digit_groups, tongue, words_of

TAIL = 120  # characters at the end that are looked at
TAIL_WORDS = 14
RUN = range(3, 10)  # digits in a row that look like a number that is being read out
SHORT = 4  # in one or two groups these may be an amount, a year or an hour: "three thirty"
SUBORDINATE = range(4, 7)  # words of a clause that is still alone; "if you like" may be an answer
LETTERS = 2  # single letters in a row that look like spelling


@dataclass(frozen=True)
class Endings:
    """How turns end in one language; words are folded as numerals.fold folds them, phrases have spaces."""

    open: frozenset[
        str
    ]  # nobody's last word: articles, prepositions, conjunctions, contracted verbs, fillers
    fillers: frozenset[str]  # those of them that say nothing
    verbs: frozenset[str]  # open too, unless a pronoun is before them: "my number is", but "yes it is"
    pronouns: frozenset[str]
    asking: frozenset[str]  # first words of questions, which may end in a preposition: "where are you from"
    stranded: frozenset[str]  # those prepositions; "can you check if" is no question yet
    phrases: frozenset[str]  # last two or three words that announce more
    whole: frozenset[str]  # last words after which nothing is owed: "please", "thank you"
    clauses: frozenset[str] = (
        frozenset()
    )  # first words of a clause to which another belongs: "if it is possible"
    holding: frozenset[str] = frozenset()  # whole turns that ask for patience: "wait"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(*phrases: str) -> frozenset[str]:
    return frozenset(phrases)


ENDINGS = {
    "en": Endings(
        open=_words(
            "the a an my your our their of to for from with at by about into onto between without until since during"
            " and or but because if whether which while although unless than as"
            " i'm i've i'll i'd we're we've we'll you're they're it's that's there's he's she's who's let's"
            " um umm uh uhm er erm"
        ),
        fillers=_words("um umm uh uhm er erm well so"),
        verbs=_words("is are was were am will would should could has had be want need"),
        pronouns=_words("i you he she it we they that this who there"),
        asking=_words("who what which where when how why do does did is are can could"),
        stranded=_words("of to for from with at by about into onto between without"),
        phrases=_phrases(
            "and then", "would like", "i'd like", "want to", "i want", "i need", "going to", "i mean", "you know",
            "hold on", "one moment", "one second", "just a moment", "just a second", "just a minute", "let me see",
            "let me check", "let me think", "let me look", "in the", "on the", "it is about", "such as", "as in",
            "said that", "thing is that", "problem is that", "told me that", "i think that", "so that", "even though",
            "two questions", "three questions", "some questions", "few questions", "several questions",
        ),
        whole=_phrases("please", "thank you", "thanks", "bye", "goodbye", "yes", "no", "nope", "yeah", "that's all"),
        clauses=_words("if although though unless"),
        holding=_words("wait"),
    ),
    "de": Endings(
        open=_words(
            "der die das den dem des ein eine einen einem einer eines mein meine meinen meinem meiner unser unsere ihr"
            " ihre fur von bei ohne gegen zwischen wegen seit im am zum zur vom beim ins"
            " und oder aber weil dass ob wenn denn sondern sowie als"
            " ah ahm ahem oh hm ehm"
        ),
        fillers=_words("ah ahm ahem ehm also hm"),
        verbs=_words("ist sind war waren lautet heisst mochte wollte brauche hatte wurde bin habe"),
        pronouns=_words("ich du er es wir sie das"),
        asking=frozenset(),
        stranded=frozenset(),
        phrases=_phrases(
            "und dann", "ich mochte", "ich wollte", "ich brauche", "ich hatte", "ich habe", "ich bin", "ich wurde",
            "ich heisse", "moment mal", "einen moment", "ein moment", "einen augenblick", "das heisst", "wie in",
        ),
        whole=_phrases("bitte", "danke", "dankeschon", "tschuss", "wiederhoren", "wiedersehen", "ja", "nein", "nee"),
        clauses=_words("wenn falls obwohl"),
        holding=_words("warte warten moment"),
    ),
    "fr": Endings(
        open=_words(
            "le la les l un une des du de d au aux mon ma mes votre vos notre nos ce cette pour avec sans chez dans sur"
            " par vers entre depuis et ou mais que qu parce quand dont donc"
            " c'est j'ai je euh heu ben"
        ),
        fillers=_words("euh heu ben bah alors"),
        verbs=_words("est sont etait suis voudrais veux dois ai"),
        pronouns=_words("il elle"),
        asking=frozenset(),
        stranded=frozenset(),
        phrases=_phrases(
            "et puis", "et ensuite", "je voudrais", "j'aimerais", "je m'appelle", "un instant", "un moment",
            "une seconde", "une minute", "comme dans", "c'est a dire",
        ),
        whole=_phrases("merci", "s'il vous plait", "bien sur", "au revoir", "oui", "non", "d'accord"),
    ),
    "es": Endings(
        open=_words(
            "el la los las un una unos unas del al mi mis su sus nuestro nuestra de a en con por para sin sobre entre"
            " desde hasta y e o u pero porque que cuando donde aunque"
            " eh em este pues"
        ),
        fillers=_words("eh em este pues bueno"),
        verbs=_words("es son era esta soy tengo quiero quisiera necesito"),
        pronouns=_words("el ella eso"),
        asking=frozenset(),
        stranded=frozenset(),
        phrases=_phrases(
            "y luego", "y despues", "me gustaria", "me llamo", "un momento", "un segundo", "un minuto", "o sea",
            "a ver", "como en",
        ),
        whole=_phrases("gracias", "por favor", "adios", "hasta luego", "no", "vale"),
    ),
}  # fmt: skip


def is_whole(text: str, language: str = "en-US") -> bool | None:
    """False: more must come, as it ends. True: people stop there. None: unknown, as in other languages."""
    endings = ENDINGS.get(tongue(language))
    tail = text[-TAIL:].strip()
    if tail.endswith(("…", "...", ",", "-")):
        return False
    if endings is None:
        return None
    said = words_of(tail, language)[-TAIL_WORDS:]
    if not said:
        return None
    if is_collecting(said, language) or _has_only_begun(said, endings):
        return False
    if any(" ".join(said[-size:]) in endings.whole for size in (1, 2, 3)):
        return True
    if any(" ".join(said[-size:]) in endings.phrases for size in (2, 3)):
        return False
    if said[-1] in endings.open:
        asked = said[0] in endings.asking and said[-1] in endings.stranded and len(said) > 2
        return None if asked else False
    if said[-1] in endings.verbs and not (len(said) > 1 and said[-2] in endings.pronouns):
        return False
    return True if tail.endswith("?") else None


def _has_only_begun(said: Sequence[str], endings: Endings) -> bool:
    """Fillers and nothing else, "wait", or the short clause that another clause belongs to?"""
    meant = [word for word in said if word not in endings.fillers]
    if not meant or (len(meant) == 1 and meant[0] in endings.holding):
        return True
    return meant[0] in endings.clauses and len(meant) in SUBORDINATE


def is_collecting(said: Sequence[str], language: str) -> bool:
    """Do these words end in a number or a word that is being read out, a few digits or letters at a time?"""
    start, digits, groups = len(said), 0, 0
    for group in reversed(digit_groups(said, language)):
        if group.end != start:
            break
        start, digits, groups = group.start, digits + len(group.digits), groups + 1
    if digits:
        return digits in RUN and (groups > 2 or digits > SHORT)
    return len(said) >= LETTERS and all(len(word) == 1 and word.isalpha() for word in said[-LETTERS:])


def only_fillers(said: Sequence[str], language: str) -> bool:
    """Nothing was said yet: "um, well"."""
    endings = ENDINGS.get(tongue(language))
    return endings is not None and all(word in endings.fillers for word in said)
