"""What an agent asks of whom: a persona's providers with their options, as text.

Two that ask the same share a provider, and an answer on tape is an answer to the same. Pure. Driven by providing.py
and cast.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from offhook.settings import Providers
from offhook.worker.parts import script_of
from offhook.worker.routing import Choice
from pipeline.ports import Llm, Stt, Tts
from telephony.dialplan.model import Persona


def asked_of(persona: Persona, defaults: Providers) -> dict[str, str]:
    """By kind: stt, llm, tts."""
    declared: dict[str, Sequence[Choice]] = {
        "stt": persona.stt or defaults.stt,
        "llm": [scripted(choice, persona) for choice in persona.llm or defaults.llm],
        "tts": persona.tts or defaults.tts,
    }
    return {
        kind: " ".join(key_of(choice.name, choice.options) for choice in choices)
        for kind, choices in declared.items()
    }


def brought(provider: Stt | Llm | Tts | None) -> str:
    """An agent's own provider, as text; "" if it has none."""
    return (
        "" if provider is None else f"{type(provider).__module__}.{type(provider).__name__} {provider.name}"
    )


def key_of(name: str, options: Mapping[str, Any]) -> str:
    return f"{name} {json.dumps(options, sort_keys=True, default=str)}"


def scripted(choice: Choice, persona: Persona) -> Choice:
    """The embedded model reads its lines from the persona."""
    if choice.name != "scripted":
        return choice
    return choice.model_copy(update={"options": {**choice.options, "script": script_of(persona)}})
