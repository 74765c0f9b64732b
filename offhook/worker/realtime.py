"""Agents that one speech-to-speech model plays: `realtime:` in a plan, in the place of recogniser, model and voice.

The model is shared by all calls of the worker, a call's connection by its agents. Used by cast.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from pipeline.agent.agent import Agent
from pipeline.ports import Tts, Voice
from pipeline.providers import registry
from pipeline.providers.keys import MissingKey
from pipeline.realtime.call import RealtimeCall
from pipeline.realtime.ears import RealtimeStt
from pipeline.realtime.mind import RealtimeLlm
from pipeline.realtime.model import RealtimeModel
from pipeline.realtime.mouth import RealtimeTts
from telephony.dialplan.model import Persona, VoiceChoice

STANDS_IN = "stt, llm and tts"


class RealtimeCasting:
    """The speech-to-speech models of one worker. missed: where a missing key is noted (providing.py)."""

    def __init__(self, missed: dict[tuple[str, str], tuple[str, str]]) -> None:
        self._missed = missed
        self._models: dict[str, RealtimeModel] = {}
        self._ears: WeakValueDictionary[str, RealtimeStt] = WeakValueDictionary()

    @property
    def models(self) -> list[RealtimeModel]:
        return list(self._models.values())

    def model(self, persona: Persona) -> RealtimeModel | None:
        """Who plays this agent. None: recogniser, model and voice do; the plan says so, or a key is missing.

        Raises ConfigError."""
        choice = persona.realtime
        if choice is None:
            return None
        key = _key(choice.name, choice.options)
        if key not in self._models:
            try:
                self._models[key] = registry.create_realtime(choice.name, choice.options)
            except MissingKey as error:
                self._missed["realtime", choice.name] = error.variable, STANDS_IN
                return None
        return self._models[key]

    def play(
        self,
        agent: Agent,
        model: RealtimeModel,
        persona: Persona,
        voices: Callable[[Persona], Tts],
        *,
        call_id: str,
        rate_hz: int,
        law: str,
    ) -> None:
        """Let the model play this agent. All agents of a call that it plays share a connection.

        voices: makes the voice of a persona. The agent's own says its fixed texts; without one, ours stands by."""
        lines = agent.tts or (voices(persona) if persona.tts else None)
        standby = None
        if lines is None:
            with suppress(MissingKey):
                standby = voices(persona.model_copy(update={"tts": None}))
        key = f"{call_id} {id(model)}"
        ears = self._ears.get(key) if call_id else None
        if ears is None:
            ears = RealtimeStt(RealtimeCall(model, rate_hz=rate_hz, law=law, voice=agent.voice))
            self._ears[key] = ears
        agent.stt, agent.llm = ears, RealtimeLlm(ears.call, agent.voice)
        voice = _voice_at(persona, lines.name if lines is not None else "")
        agent.tts = RealtimeTts(ears.call, lines=lines, lines_voice=voice, standby=standby)


def law_of(media: Mapping[str, Any] | None) -> str:
    """Which G.711 a call speaks; media: StartCall.media."""
    return "alaw" if media is not None and media.get("codec") == "PCMA" else "ulaw"


def _voice_at(persona: Persona, provider: str) -> Voice:
    """The agent's voice at a provider that is not the one its `name` is of."""
    choice = persona.voice or VoiceChoice()
    return Voice(choice.per_provider.get(provider, ""), persona.language, choice.speed)


def _key(name: str, options: Mapping[str, Any]) -> str:
    return f"{name} {json.dumps(options, sort_keys=True, default=str)}"
