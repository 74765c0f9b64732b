"""Can the voices and recognisers that a plan names speak its languages? For those whose languages are known. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from telephony.dialplan.document import Loc
from telephony.dialplan.finding import Finding
from telephony.dialplan.model import Defaults, DialPlan, Persona

HEARS = {"pocketsphinx": frozenset({"en"})}  # the model in its wheel
_ESPEAK = """
af am an ar as az ba be bg bn bpy bs ca chr cmn cs cv cy da de el en eo es et eu fa fi fo fr ga gd gn grc gu hak haw
hbs he hi hr ht hu hy hyw ia id ido io is it ja jbo ka kaa kk kl kn ko kok ku ky la lb lfn lt ltg lv mi mk ml mr ms
mt mto my nb nci ne nl no nog om or pa pap pl pt py qdb qu quc qya ro ru sd shn si sjn sk sl smj sq sr sv sw ta te
th ti tk tn tr tt ug uk ur uz vi xex yue zh
"""  # ISO 639
SPEAKS = {"espeak": frozenset(_ESPEAK.split())}  # the voices in its wheel


def check_voices(plan: DialPlan) -> Iterator[Finding]:
    """Missing voices, and languages that nobody speaks or understands."""
    for name, persona in plan.agents.items():
        yield from _agent(("agents", name), persona, plan.defaults)


def _agent(loc: Loc, own: Persona, defaults: Defaults) -> Iterator[Finding]:
    whole = own.with_defaults(defaults)
    language = whole.language.partition("-")[0].lower()
    here: Loc = loc if "language" in own.model_fields_set else ("defaults",)
    for choice in whole.stt or ():
        known = HEARS.get(choice.name)
        if known is not None and language not in known:
            fact = f"{choice.name} understands {', '.join(sorted(known))}, not {whole.language}."
            fact = f"{fact} Name another recogniser as `stt`."
            yield Finding((*here, "language"), fact, because=("language", "stt", "realtime"))
    voice = whole.voice
    place: Loc = (*(loc if "voice" in own.model_fields_set else ("defaults",)), "voice")
    several = len(whole.tts or ()) > 1
    for at, choice in enumerate(whole.tts or ()):
        name = voice.named(choice.name) if voice else ""
        if (
            several
            and at
            and choice.name != (whole.tts or ())[0].name
            and voice
            and voice.name
            and choice.name not in voice.per_provider
        ):
            fact = f"the voice {voice.name!r} is {(whole.tts or ())[0].name}'s, and {choice.name} has none."
            fact = f"{fact} Add `per_provider: {{{choice.name}: ...}}`."
            yield Finding(place, fact, because=("voice", "tts"))
        if choice.name in SPEAKS and not name and language not in SPEAKS[choice.name]:
            fact = f"{choice.name} does not speak {whole.language}. Name another voice provider as `tts`."
            yield Finding((*here, "language"), fact, because=("language", "voice", "tts"))
        if choice.name == "espeak" and name and not _speaks(name, language):
            fact = f"the voice {name!r} does not speak {whole.language}."
            fact = f"{fact} Choose one that begins with {language!r}, or change the language."
            yield Finding(place, fact, because=("language", "voice", "tts"))


def _speaks(voice: str, language: str) -> bool:
    """espeak's voices are called by their language: en-us+f3."""
    spoken = voice.partition("+")[0].partition("-")[0].lower()
    return len(spoken) not in (2, 3) or spoken == language
