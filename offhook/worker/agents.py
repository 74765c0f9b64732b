"""From the plan's personas to agents that can talk: who plays, with which providers.

Providers hold no call and are shared by all calls of the worker; agents and voice activity are made per call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

from dotenv import dotenv_values
from pydantic import ValidationError

from offhook.link import StartCall
from offhook.models.client import HostedStt
from offhook.settings import Providers
from pipeline.agent.agent import Agent
from pipeline.agent.mcp import McpServer
from pipeline.agent.tools import FunctionTool, function_tool
from pipeline.errors import ConfigError
from pipeline.events import Event
from pipeline.ports import AudioOut, CallControl, Llm, Stt, Tts, Voice
from pipeline.providers import registry
from pipeline.providers.script_model import phrases_of
from pipeline.session import Services, Session
from pipeline.turn import TurnHandling
from telephony.dialplan.model import McpChoice, Persona, Route

T = TypeVar("T")
HOSTED = frozenset({"pocketsphinx"})  # recognisers too heavy for a process that keeps a clock


class Casting:
    """Makes sessions out of routes. One a worker."""

    def __init__(self, defaults: Providers, models_socket: str | None) -> None:
        self._defaults, self._models_socket = defaults, models_socket
        self._stt: dict[str, Stt] = {}
        self._llm: dict[str, Llm] = {}
        self._tts: dict[str, Tts] = {}
        self._mcp: dict[str, McpServer] = {}
        self._in_use: list[McpServer] = []

    def rehearse(self, personas: Mapping[str, Persona]) -> None:
        """Make every agent once: loads what a first call would wait for.

        Raises ConfigError for a provider, tool or class that cannot be had, naming the agent.
        """
        self._vad(8000)
        for name, persona in personas.items():
            try:
                TurnHandling.model_validate(persona.turn_handling)
                self.agent(personas, name)
            except ValidationError as error:
                faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
                raise ConfigError(
                    f"agent {name!r}: turn_handling: {faults}. Mend it in the dial plan."
                ) from error
            except ConfigError as error:
                raise ConfigError(f"agent {name!r}: {error}") from error

    async def open(self) -> None:
        """Connect the MCP servers of the rehearsed agents, for as long as this worker lives."""
        await asyncio.gather(*[self._use(server) for server in self._mcp.values()])

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
        emit: Callable[[Event], None],
        save: Callable[[dict[str, Any]], None],
    ) -> Session:
        """The conversation of one call. Raises ConfigError if the plan asks for what is not there."""
        route = Route.load(start.route)
        agent = self.agent(route.agents, route.agent)
        services = Services(vad=self._vad(start.rate_hz))
        persona = route.agents[route.agent]
        options = TurnHandling.model_validate(persona.turn_handling)
        return Session(
            agent,
            services,
            out,
            control,
            emit=emit,
            save=save,
            options=options,
            userdata={},
            call_id=start.call_id,
        )

    # ------------------------------------------------------------ agents

    def agent(self, personas: Mapping[str, Persona], name: str) -> Agent:
        """A new agent. personas: it and everyone it can hand over to. Raises ConfigError."""
        persona = personas[name]
        agent = self._from_python(name, persona) if persona.python else self._from_plan(name, persona)
        agent.name = name
        for server, choice in persona.mcp.items():
            agent.tools.add(self._server(server, choice))
        agent.stt = agent.stt or self._persona_stt(persona)
        agent.llm = agent.llm or self._persona_llm(persona)
        agent.tts = agent.tts or self._persona_tts(persona)
        agent.may(
            handoffs={other: self._maker(personas, other) for other in persona.handoff},
            transfers=persona.transfer_to,
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

    def _server(self, name: str, choice: McpChoice | None) -> McpServer:
        """One connection per worker to each server, shared by all calls."""
        if choice is None:
            raise ConfigError(f"there is no MCP server {name!r}. Describe it under `mcp:` in the dial plan.")
        key = f"{name} {choice.model_dump_json()}"
        if key not in self._mcp:
            self._mcp[key] = _mcp_server(name, choice)
        return self._mcp[key]

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
