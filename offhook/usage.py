"""What a call took of its providers: tokens, seconds of sound, characters. Summed from its events, by provider.

Rows of the journal in, plain values out, so that a sum can be had of a call whose worker died. What one request took is
told by the conversation (pipeline/events.py); no prices here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from offhook.bundle import number

TOKENS = ("input_tokens", "output_tokens", "cached_tokens")


class Tally:
    """One call's sums."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._models: dict[str, dict[str, int]] = {}
        self._recognisers: dict[str, float] = {}
        self._voices: dict[str, int] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """One more event; those that say nothing of usage are passed over."""
        provider = str(row.get("provider", ""))
        match row.get("type"):
            case "ModelUsed":
                tokens = self._models.setdefault(provider, dict.fromkeys(TOKENS, 0))
                for kind in TOKENS:
                    tokens[kind] += int(number(row.get(kind)) or 0)
            case "RecogniserUsed":
                seconds = self._recognisers.get(provider, 0.0) + (number(row.get("seconds")) or 0.0)
                self._recognisers[provider] = round(seconds, 2)
            case "VoiceUsed":
                characters = self._voices.get(provider, 0) + int(number(row.get("characters")) or 0)
                self._voices[provider] = characters

    def facts(self) -> dict[str, Any]:
        """models: provider → tokens; recognisers: provider → s; voices: provider → characters. Empty for nothing."""
        sums: dict[str, Any] = {
            "models": self._models,
            "recognisers": self._recognisers,
            "voices": self._voices,
        }
        return {kind: dict(found) for kind, found in sums.items() if found}


def told(facts: Mapping[str, Any]) -> str:
    """`Tally.facts` on one line: "groq 812 + 96 tokens, deepgram 41 s, espeak 530 characters"."""
    models = [
        f"{name} {tokens['input_tokens']} + {tokens['output_tokens']} tokens"
        for name, tokens in facts.get("models", {}).items()
    ]
    heard = [f"{name} {seconds:.0f} s" for name, seconds in facts.get("recognisers", {}).items()]
    spoken = [f"{name} {count} characters" for name, count in facts.get("voices", {}).items()]
    return ", ".join([*models, *heard, *spoken]) or "nothing"
