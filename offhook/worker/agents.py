"""From the plan's personas to agents that can talk: who plays, with which providers.

Providers hold no call and are shared by all calls of the worker; agents and voice activity are made per call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from offhook.link import StartCall
from offhook.models.client import HostedStt
from offhook.settings import Providers
from pipeline.agent.agent import Agent
from pipeline.agent.tools import FunctionTool, function_tool
from pipeline.errors import ConfigError
from pipeline.events import Event
from pipeline.options import Silence, TurnHandling
from pipeline.ports import AudioOut, CallControl, Llm, Stt, Tts, Voice
from pipeline.providers import registry
from pipeline.providers.script_model import phrases_of
from pipeline.session import Services, Session
from pipeline.speaking import numerals
from telephony.dialplan.model import Persona, Route

T = TypeVar("T")
HOSTED = frozenset({"pocketsphinx"})  # recognisers too heavy for a process that keeps a clock


class Casting:
    """Makes sessions out of routes. One a worker."""

    def __init__(self, defaults: Providers, models_socket: str | None) -> None:
        self._defaults, self._models_socket = defaults, models_socket
        self._stt: dict[str, Stt] = {}
        self._llm: dict[str, Llm] = {}
        self._tts: dict[str, Tts] = {}

    def rehearse(self, personas: Mapping[str, Persona]) -> None:
        """Make every agent once: loads what a first call would wait for.

        Raises ConfigError for a provider, tool or class that cannot be had, naming the agent.
        """
        self._vad(8000)
        for name, persona in personas.items():
            try:
                _check("turn_handling", TurnHandling, persona.turn_handling)
                _check("silence", Silence, persona.silence)
                agent = self.agent(personas, name)
                agent.pronounce.check(agent.voice.language)
                numerals.warm(agent.voice.language)
            except ConfigError as error:
                raise ConfigError(f"agent {name!r}: {error}") from error

    def session(
        self,
        start: StartCall,
        out: AudioOut,
        control: CallControl,
        emit: Callable[[Event], None],
        save: Callable[[dict[str, Any]], None],
    ) -> Session:
        """The conversation of one call. Raises ConfigError if the plan asks for what is not there."""
        route = Route.load(start.route)
        agent = self.agent(route.agents, route.agent)
        services = Services(vad=self._vad(start.rate_hz))
        persona = route.agents[route.agent]
        options = TurnHandling.model_validate(persona.turn_handling)
        announces = route.recording == "announce" and start.state is None
        announcement = route.announcement if announces else ""
        return Session(
            agent,
            services,
            out,
            control,
            emit=emit,
            save=save,
            options=options,
            userdata={},
            announcement=announcement,
        )

    # ------------------------------------------------------------ agents

    def agent(self, personas: Mapping[str, Persona], name: str) -> Agent:
        """A new agent. personas: it and everyone it can hand over to. Raises ConfigError."""
        persona = personas[name]
        agent = self._from_python(name, persona) if persona.python else self._from_plan(name, persona)
        agent.name = name
        agent.turn_handling = {**persona.turn_handling, **agent.turn_handling}
        agent.silence = {**persona.silence, **agent.silence}
        agent.keys = {**persona.keys, **agent.keys}
        if persona.fillers is not None:
            agent.fillers = persona.fillers
        agent.pronounce = agent.pronounce.with_words(persona.pronounce)
        agent.stt = agent.stt or self._persona_stt(persona)
        agent.llm = agent.llm or self._persona_llm(persona)
        agent.tts = agent.tts or self._persona_tts(persona)
        agent.may(
            handoffs={other: self._maker(personas, other) for other in persona.handoff},
            transfers=persona.transfer_to,
            phone=persona.tools,
        )
        return agent

    def _maker(self, personas: Mapping[str, Persona], name: str) -> Callable[[], Agent]:
        return lambda: self.agent(personas, name)

    def _from_plan(self, name: str, persona: Persona) -> Agent:
        tts_name = (persona.tts or self._defaults.tts).name
        scripted = phrases_of(_script(persona)) if persona.script else ()
        return Agent(
            name=name,
            instructions=persona.instructions,
            greeting=persona.greeting,
            language=persona.language,
            voice=_voice(persona, tts_name),
            phrases=(*scripted, *persona.phrases),
            tools=[_tool(path) for path in persona.tools if ":" in path],
        )

    def _from_python(self, name: str, persona: Persona) -> Agent:
        kind = _import(persona.python or "")
        agent = kind()
        if not isinstance(agent, Agent):
            raise ConfigError(
                f"agent {name!r}: {persona.python} is no Agent. Derive it from pipeline.agent.Agent."
            )
        return agent

    # ------------------------------------------------------------ providers

    def _persona_stt(self, persona: Persona) -> Stt:
        choice = persona.stt or self._defaults.stt
        return self._get_stt(choice.name, choice.options)

    def _persona_llm(self, persona: Persona) -> Llm:
        choice = persona.llm or self._defaults.llm
        options = dict(choice.options)
        if choice.name == "scripted":
            options["script"] = _script(persona)
        return _cached(self._llm, choice.name, options, registry.create_llm)

    def _persona_tts(self, persona: Persona) -> Tts:
        choice = persona.tts or self._defaults.tts
        return self._get_tts(choice.name, choice.options)

    def _get_stt(self, name: str, options: Mapping[str, Any]) -> Stt:
        return _cached(self._stt, name, options, self._make_stt)

    def _make_stt(self, name: str, options: Mapping[str, Any]) -> Stt:
        if name in HOSTED and self._models_socket:
            return HostedStt(self._models_socket, name, options)
        return registry.create_stt(name, options)

    def _get_tts(self, name: str, options: Mapping[str, Any]) -> Tts:
        return _cached(self._tts, name, options, registry.create_tts)

    def _vad(self, rate_hz: int) -> Any:
        choice = self._defaults.vad
        return registry.create_vad(choice.name, {"rate_hz": rate_hz, **choice.options})


def _check(part: str, model: type[BaseModel], values: Mapping[str, Any]) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{part}: {faults}. Mend it in the dial plan.") from error


def _cached(
    known: dict[str, T],
    name: str,
    options: Mapping[str, Any],
    make: Callable[[str, Mapping[str, Any]], T],
) -> T:
    key = f"{name} {json.dumps(options, sort_keys=True, default=str)}"
    if key not in known:
        known[key] = make(name, options)
    return known[key]


def _script(persona: Persona) -> dict[str, Any]:
    return persona.script.model_dump(mode="json") if persona.script else {}


def _voice(persona: Persona, tts_name: str) -> Voice:
    if persona.voice is None:
        return Voice(language=persona.language)
    choice = persona.voice
    return Voice(choice.named(tts_name), persona.language, choice.speed, dict(choice.options))


def _tool(path: str) -> FunctionTool:
    """A tool from the plan: a function, or one that already carries @function_tool."""
    found = _import(path)
    return found if isinstance(found, FunctionTool) else function_tool(found)


def _import(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # a user's module may raise anything while it is imported
        fact = f"cannot import {path!r} ({type(error).__name__}: {error})."
        raise ConfigError(f"{fact} Is the module installed or on PYTHONPATH?") from error
