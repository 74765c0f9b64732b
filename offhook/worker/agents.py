"""From the plan's personas to agents that can talk: who plays, with which providers.

Providers hold no call and are shared by all calls of the worker, and so is what is known of their failures; agents,
voice activity and the order in which providers stand in for each other are made per call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias, TypeVar, cast

import structlog
from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError

from offhook.link import StartCall
from offhook.models.client import HostedStt
from offhook.settings import Providers, ProviderSettings
from offhook.worker.desks import Places, desk
from pipeline.agent.agent import Agent
from pipeline.agent.mcp import McpServer
from pipeline.agent.tasks.collect import collect_tool
from pipeline.agent.tools import FunctionTool, function_tool
from pipeline.errors import ConfigError
from pipeline.events import Event
from pipeline.hearing.expectation import Expectation
from pipeline.options import Silence, TurnHandling
from pipeline.ports import AudioOut, CallControl, Destination, Llm, Stt, Tts, TurnModel, Voice
from pipeline.providers import registry
from pipeline.providers.resilient import (
    FallbackLlm,
    FallbackStt,
    FallbackTts,
    Member,
    probe_llm,
    probe_stt,
    probe_tts,
)
from pipeline.providers.script_model import phrases_of
from pipeline.session import Services, Session
from pipeline.speaking import numerals
from telephony.dialplan.model import Desk, McpChoice, Persona, ProviderChoice, Route
from telephony.dialplan.model import Destination as PlanDestination

log = structlog.get_logger()

T = TypeVar("T")
P = TypeVar("P", Stt, Llm, Tts)
Choice: TypeAlias = ProviderChoice | ProviderSettings
Emit: TypeAlias = Callable[[Event], None]
HOSTED = frozenset({"pocketsphinx"})  # recognisers too heavy for a process that keeps a clock


class Casting:
    """Makes sessions out of routes. One a worker."""

    def __init__(self, defaults: Providers, models_socket: str | None) -> None:
        self._defaults, self._models_socket = defaults, models_socket
        self._stt: dict[str, Stt] = {}
        self._llm: dict[str, Llm] = {}
        self._tts: dict[str, Tts] = {}
        self._turn_models: dict[str, TurnModel] = {}
        self._mcp: dict[str, McpServer] = {}
        self._in_use: list[McpServer] = []
        self._members: dict[
            tuple[str, str], Any
        ] = {}  # kind and key → Member: one for each provider of the worker

    @property
    def resting(self) -> int:
        """Providers that are left alone at the moment because they failed too often."""
        return sum(member.breaker.state != "closed" for member in self._members.values())

    def rehearse(self, personas: Mapping[str, Persona]) -> None:
        """Make every agent once: loads what a first call would wait for.

        Raises ConfigError for a provider, tool or class that cannot be had, naming the agent.
        """
        self.vad(8000)
        self._turn_model()
        for name in personas:
            self._rehearse(personas, name)

    def _rehearse(self, personas: Mapping[str, Persona], name: str) -> None:
        persona = personas[name]
        try:
            _check("turn_handling", TurnHandling, persona.turn_handling)
            _check("silence", Silence, persona.silence)
            agent = self.agent(personas, name)
            for intent in persona.script.intents if persona.script else ():
                _ = intent.expects and Expectation.parse(intent.expects)
            agent.pronounce.check(agent.voice.language)
            numerals.warm(agent.voice.language)
        except ConfigError as error:
            raise ConfigError(f"agent {name!r}: {error}") from error

    async def learn(self, personas: Mapping[str, Persona]) -> None:
        """As `rehearse` and `open`, for a new plan while calls are talking: what takes long is loaded beside the
        clock, then one agent is made in each turn of the loop. Raises ConfigError."""
        await asyncio.to_thread(self._load, personas)
        for name in personas:
            self._rehearse(personas, name)
            await asyncio.sleep(0)
        await self.open()

    def _load(self, personas: Mapping[str, Persona]) -> None:
        """Import what these agents need and no agent needed before. Raises ConfigError."""
        for name, persona in personas.items():
            try:
                for path in (*persona.tools, persona.python or ""):
                    _ = _import(path) if ":" in path else None
                for kind in registry.SPEAKING_KINDS:
                    for choice in getattr(persona, kind) or ():
                        registry.load(kind, choice.name)
                numerals.warm(persona.language)
            except ConfigError as error:
                raise ConfigError(f"agent {name!r}: {error}") from error

    async def open(self) -> None:
        """Connect the MCP servers of the rehearsed agents, for as long as this worker lives."""
        new = [server for server in self._mcp.values() if server not in self._in_use]
        await asyncio.gather(*[self._use(server) for server in new])

    async def _use(self, server: McpServer) -> None:
        await server.acquire()
        self._in_use.append(server)

    async def aclose(self) -> None:
        """Disconnect them; those that we started are gone when this returns."""
        in_use, self._in_use = self._in_use, []
        await asyncio.gather(*[server.release() for server in in_use])

    def session(
        self,
        start: StartCall,
        out: AudioOut,
        control: CallControl,
        emit: Emit,
        save: Callable[[dict[str, Any]], None],
        places: Places | None = None,
    ) -> Session:
        """The conversation of one call. Raises ConfigError if the plan asks for what is not there."""
        route = Route.load(start.route)
        agent = self.agent(route.agents, route.agent, emit, places)
        services = Services(vad=self.vad(start.rate_hz), turn_model=self._turn_model())
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
            on_failure=route.on_failure,
            call_id=start.call_id,
        )

    # ------------------------------------------------------------ agents

    def agent(
        self,
        personas: Mapping[str, Persona],
        name: str,
        emit: Emit = lambda _: None,
        places: Places | None = None,
    ) -> Agent:
        """A new agent. personas: it and everyone it can hand over to. emit, places: its call's. Raises ConfigError."""
        persona = personas[name]
        if isinstance(persona, Desk):
            return self._desk(personas, name, persona, emit, places)
        agent = self._from_python(name, persona) if persona.python else self._from_plan(name, persona)
        agent.name = name
        agent.turn_handling = {**persona.turn_handling, **agent.turn_handling}
        agent.silence = {**persona.silence, **agent.silence}
        agent.keys = {**persona.keys, **agent.keys}
        if "history" in persona.model_fields_set:
            agent.history = persona.history
        agent.expects = Expectation.parse(persona.expects) if persona.expects else agent.expects
        if persona.fillers is not None:
            agent.fillers = persona.fillers
        agent.pronounce = agent.pronounce.with_words(persona.pronounce)
        for server, choice in persona.mcp.items():
            agent.tools.add(self._server(server, choice))
        if steps := _collected(persona):
            agent.tools["collect"] = collect_tool(steps)
        agent.stt = agent.stt or self._persona_stt(persona, emit)
        agent.llm = agent.llm or self._persona_llm(persona, emit)
        agent.tts = agent.tts or self._persona_tts(persona, emit)
        agent.may(
            handoffs={other: self._maker(personas, other, emit, places) for other in persona.handoff},
            transfers={name: _destination(place) for name, place in persona.transfer_to.items()},
            phone=persona.tools,
        )
        return agent

    def _maker(
        self, personas: Mapping[str, Persona], name: str, emit: Emit, places: Places | None
    ) -> Callable[[], Agent]:
        return lambda: self.agent(personas, name, emit, places)

    def _desk(
        self, personas: Mapping[str, Persona], name: str, persona: Desk, emit: Emit, places: Places | None
    ) -> Agent:
        """A target of the plan. It needs no model; the scripted one costs nothing."""
        others = {other: self._maker(personas, other, emit, places) for other in persona.handoff}
        tts_name = (persona.tts or self._defaults.tts)[0].name
        agent = desk(persona.does, name, _voice(persona, tts_name), others, places)
        agent.stt, agent.tts = self._persona_stt(persona, emit), self._persona_tts(persona, emit)
        agent.llm = _cached(self._llm, "scripted", {}, registry.create_llm)
        agent.pronounce = agent.pronounce.with_words(persona.pronounce)
        agent.turn_handling = dict(persona.turn_handling)
        return agent

    def _from_plan(self, name: str, persona: Persona) -> Agent:
        tts_name = (persona.tts or self._defaults.tts)[0].name
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

    def _server(self, name: str, choice: McpChoice | None) -> McpServer:
        """One connection per worker to each server, shared by all calls."""
        if choice is None:
            raise ConfigError(f"there is no MCP server {name!r}. Describe it under `mcp:` in the dial plan.")
        key = f"{name} {choice.model_dump_json()}"
        if key not in self._mcp:
            self._mcp[key] = _mcp_server(name, choice)
        return self._mcp[key]

    def _persona_stt(self, persona: Persona, emit: Emit) -> Stt:
        choices = persona.stt or self._defaults.stt
        found = [_cached(self._stt, choice.name, choice.options, self._make_stt) for choice in choices]
        return (
            found[0]
            if len(found) == 1
            else FallbackStt(self._team("stt", choices, found, probe_stt), emit=emit)
        )

    def _persona_llm(self, persona: Persona, emit: Emit) -> Llm:
        choices = [_scripted(choice, persona) for choice in persona.llm or self._defaults.llm]
        found = [_cached(self._llm, choice.name, choice.options, registry.create_llm) for choice in choices]
        return (
            found[0]
            if len(found) == 1
            else FallbackLlm(self._team("llm", choices, found, probe_llm), emit=emit)
        )

    def _persona_tts(self, persona: Persona, emit: Emit) -> Tts:
        choices = persona.tts or self._defaults.tts
        found = [_cached(self._tts, choice.name, choice.options, registry.create_tts) for choice in choices]
        if len(found) == 1:
            return found[0]
        names = persona.voice.per_provider if persona.voice else {}
        voices = [names.get(choice.name, "") for choice in choices]
        return FallbackTts(self._team("tts", choices, found, probe_tts), emit=emit, voices=voices)

    def _team(
        self,
        kind: str,
        choices: Sequence[Choice],
        providers: Sequence[P],
        probe: Callable[[P], Awaitable[None]],
    ) -> list[Member[P]]:
        """The providers with what all calls know of them."""
        team = []
        for choice, provider in zip(choices, providers, strict=True):
            key = (kind, _key(choice.name, choice.options))
            if key not in self._members:
                model = choice.options.get("model")
                name = f"{choice.name}/{model}" if model else choice.name
                on_state = partial(_log_state, kind)
                self._members[key] = Member(provider, name=name, probe=probe, on_state=on_state)
            team.append(cast("Member[P]", self._members[key]))
        return team

    def _make_stt(self, name: str, options: Mapping[str, Any]) -> Stt:
        if name in HOSTED and self._models_socket:
            return HostedStt(self._models_socket, name, options)
        return registry.create_stt(name, options)

    def _turn_model(self) -> TurnModel | None:
        choice = self._defaults.turn
        if choice is None:
            return None
        return _cached(self._turn_models, choice.name, choice.options, registry.create_turn)

    def vad(self, rate_hz: int) -> Any:
        """Voice activity for one call at that rate."""
        choice = self._defaults.vad
        return registry.create_vad(choice.name, {"rate_hz": rate_hz, **choice.options})


def _destination(place: PlanDestination) -> Destination:
    return Destination(place.target, place.attended, place.ring, place.release, place.fallback)


def _check(part: str, model: type[BaseModel], values: Mapping[str, Any]) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{part}: {faults}. Mend it in the dial plan.") from error


def _mcp_server(name: str, choice: McpChoice) -> McpServer:
    """A server as the plan describes it, secrets from the environment or `.env`. Raises ConfigError."""
    environ = {**dotenv_values(".env"), **os.environ}
    if missing := [key for key in (*choice.env_from, *choice.headers_env.values()) if not environ.get(key)]:
        raise ConfigError(f"MCP server {name!r} needs {missing[0]} from the environment. Put it into .env.")
    return McpServer(
        name,
        command=(_interpreter(choice.command[0]), *choice.command[1:]) if choice.command else (),
        url=choice.url,
        env={**choice.env, **{key: str(environ[key]) for key in choice.env_from}},
        headers={**choice.headers, **{head: str(environ[key]) for head, key in choice.headers_env.items()}},
        allow=choice.allow,
        prefix=choice.prefix,
        connect_timeout_s=choice.connect_timeout,
        call_timeout_s=choice.call_timeout,
    )


def _interpreter(program: str) -> str:
    """`python` is the one that runs us, with the packages that are installed beside us."""
    return sys.executable if program in ("python", "python3") else program


def _cached(
    known: dict[str, T],
    name: str,
    options: Mapping[str, Any],
    make: Callable[[str, Mapping[str, Any]], T],
) -> T:
    key = _key(name, options)
    if key not in known:
        known[key] = make(name, options)
    return known[key]


def _key(name: str, options: Mapping[str, Any]) -> str:
    return f"{name} {json.dumps(options, sort_keys=True, default=str)}"


def _log_state(kind: str, name: str, state: str) -> None:
    """A provider rests for all calls of this worker, is on trial, or is back."""
    log.warning("provider_state", kind=kind, provider=name, state=state)


def _scripted(choice: Choice, persona: Persona) -> Choice:
    """The embedded model reads its lines from the persona."""
    if choice.name != "scripted":
        return choice
    return choice.model_copy(update={"options": {**choice.options, "script": _script(persona)}})


def _script(persona: Persona) -> dict[str, Any]:
    return persona.script.model_dump(mode="json") if persona.script else {}


def _collected(persona: Persona) -> dict[str, dict[str, Any]]:
    """What its intents ask callers for: intent → arguments of `make_task`."""
    intents = persona.script.intents if persona.script else ()
    return {intent.name: intent.collect.model_dump() for intent in intents if intent.collect}


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
