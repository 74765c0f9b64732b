"""Can the voices and recognisers that a plan names speak its languages? For those whose languages are known. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from telephony.dialplan.document import Loc
from telephony.dialplan.finding import Finding
from telephony.dialplan.model import Defaults, DialPlan, Persona

HEARS = {"pocketsphinx": frozenset({"en"})}  # the model in its wheel


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
            yield Finding((*here, "language"), f"{fact} Name another recogniser as `stt`.")
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
            yield Finding(place, f"{fact} Add `per_provider: {{{choice.name}: ...}}`.")
        if choice.name == "espeak" and name and not _speaks(name, language):
            fact = f"the voice {name!r} does not speak {whole.language}."
            yield Finding(place, f"{fact} Choose one that begins with {language!r}, or change the language.")


def _speaks(voice: str, language: str) -> bool:
    """espeak's voices are called by their language: en-us+f3."""
    spoken = voice.partition("+")[0].partition("-")[0].lower()
    return len(spoken) not in (2, 3) or spoken == language
