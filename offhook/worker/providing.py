"""The providers of a worker: recognisers, models, voices and MCP servers, made once and shared by all its calls.

They hold no call. What is known of their failures is shared too; the order in which they stand in for each other is
made per call. Used by cast.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import structlog

from offhook.models.client import HostedStt
from offhook.settings import Providers
from offhook.worker.asked import key_of, scripted
from offhook.worker.on_call import OnCall
from offhook.worker.parts import mcp_server
from offhook.worker.realtime import RealtimeCasting
from offhook.worker.routing import Choice, alone, member_name, routing
from offhook.worker.warming import Warmer
from pipeline.agent.mcp import McpServer
from pipeline.errors import ConfigError
from pipeline.ports import Llm, Stt, Tts, TurnModel
from pipeline.providers import registry
from pipeline.providers.keys import MissingKey, hide
from pipeline.providers.resilient import (
    FallbackLlm,
    FallbackStt,
    FallbackTts,
    Member,
    probe_llm,
    probe_stt,
    probe_tts,
)
from telephony.dialplan.model import McpChoice, Persona

log = structlog.get_logger()

T = TypeVar("T")
P = TypeVar("P", Stt, Llm, Tts)
# Recognisers too heavy for a process that keeps a clock, and how long they may owe the end of a turn, in s.
HOSTED = {"pocketsphinx": 3.0, "whisper": 10.0}


class Providing:
    """All providers of one worker. defaults: those of agents whose plan names none. models_socket: where the model
    host listens, None to run heavy models here. late: a missing key is logged when it is found, not only noted."""

    def __init__(self, defaults: Providers, models_socket: str | None) -> None:
        hide(registry.key_variables())
        self.defaults, self._models_socket = defaults, models_socket
        self.late = False
        self._stt: dict[str, Stt] = {}
        self._llm: dict[str, Llm] = {}
        self._tts: dict[str, Tts] = {}
        self._turn_models: dict[str, TurnModel] = {}
        self._mcp: dict[str, McpServer] = {}
        self._in_use: list[McpServer] = []
        # kind, key and name → Member: one for each provider of the worker
        self._members: dict[tuple[str, str, str], Any] = {}
        self._warmer = Warmer()
        # kind, provider → variable, who serves instead
        self._missed: dict[tuple[str, str], tuple[str, str]] = {}
        self.realtime = RealtimeCasting(self._missed)

    @property
    def resting(self) -> int:
        """Providers that are left alone at the moment because they failed too often."""
        return sum(member.breaker.state != "closed" for member in self._members.values())

    @property
    def notes(self) -> str:
        """Which keys are missing and who serves instead, in one line; "" if none is."""
        variables = sorted({variable for variable, _ in self._missed.values()})
        who = [f"{kind} {instead} for {name}" for (kind, name), (_, instead) in sorted(self._missed.items())]
        return f"{', '.join(variables)} not set: {', '.join(who)}" if who else ""

    async def open(self) -> None:
        """Connect all that were made, for as long as this worker lives."""
        warming = self._warmer.warm(*self._all())
        new = [server for server in self._mcp.values() if server not in self._in_use]
        await asyncio.gather(warming, *[self._use(server) for server in new])

    async def aclose(self) -> None:
        """Disconnect them; those that we started are gone when this returns."""
        in_use, self._in_use = self._in_use, []
        for member in self._members.values():
            member.close()
        closing = self._warmer.aclose(*self._all())
        await asyncio.gather(closing, *[server.release() for server in in_use])

    def begin(self, *providers: object) -> None:
        """These are about to be used: their connections are opened beside everything else."""
        self._warmer.begin(*providers)

    def _all(self) -> list[object]:
        return [*self._stt.values(), *self._llm.values(), *self._tts.values(), *self.realtime.models]

    async def _use(self, server: McpServer) -> None:
        await server.acquire()
        self._in_use.append(server)

    def server(self, name: str, choice: McpChoice | None) -> McpServer:
        """One connection per worker to each server, shared by all calls. Raises ConfigError."""
        if choice is None:
            raise ConfigError(f"there is no MCP server {name!r}. Describe it under `mcp:` in the dial plan.")
        key = f"{name} {choice.model_dump_json()}"
        if key not in self._mcp:
            self._mcp[key] = mcp_server(name, choice)
        return self._mcp[key]

    def stt(self, persona: Persona, on_call: OnCall) -> Stt:
        """Who hears for this agent on that call: one, or a team. Raises ConfigError; so do `llm` and `tts`."""
        declared = persona.stt or self.defaults.stt
        choices, found = self._found("stt", declared, self._stt, self._make_stt)
        if alone(choices):
            return found[0]
        team = self._team("stt", choices, found, probe_stt)
        return FallbackStt(team, emit=on_call.emit, routing=routing("stt", choices, on_call.call_id))

    def llm(self, persona: Persona, on_call: OnCall) -> Llm:
        """Who thinks for it."""
        declared = [scripted(choice, persona) for choice in persona.llm or self.defaults.llm]
        choices, found = self._found("llm", declared, self._llm, registry.create_llm)
        if alone(choices):
            return found[0]
        team = self._team("llm", choices, found, probe_llm)
        return FallbackLlm(team, emit=on_call.emit, routing=routing("llm", choices, on_call.call_id))

    def tts(self, persona: Persona, on_call: OnCall) -> Tts:
        """Who speaks for it."""
        declared = [_at_rate(choice, on_call.rate_hz) for choice in persona.tts or self.defaults.tts]
        choices, found = self._found("tts", declared, self._tts, registry.create_tts)
        if alone(choices):
            return found[0]
        names = persona.voice.per_provider if persona.voice else {}
        voices = [names.get(choice.name, "") for choice in choices]
        team = self._team("tts", choices, found, probe_tts)
        return FallbackTts(
            team, emit=on_call.emit, voices=voices, routing=routing("tts", choices, on_call.call_id)
        )

    def speaker(self, persona: Persona) -> Choice:
        """The first of its voices that can be made. Raises ConfigError."""
        declared = persona.tts or self.defaults.tts
        return self._found("tts", declared, self._tts, registry.create_tts)[0][0]

    def scripted_llm(self) -> Llm:
        """The model that plays scripts and costs nothing."""
        return _cached(self._llm, "scripted", {}, registry.create_llm)

    def _found(
        self,
        kind: str,
        declared: Sequence[Choice],
        known: dict[str, P],
        make: Callable[[str, Mapping[str, Any]], P],
    ) -> tuple[list[Choice], list[P]]:
        """Those of a list that can be made: one whose key is not there is left out, unless nobody stands in for it.

        Raises MissingKey, or another ConfigError."""
        choices: list[Choice] = []
        found: list[P] = []
        missing: dict[str, MissingKey] = {}
        for choice in declared:
            try:
                found.append(_cached(known, choice.name, choice.options, make))
            except MissingKey as error:
                missing[choice.name] = error
            else:
                choices.append(choice)
        if not found:
            raise next(iter(missing.values()))
        for name, cause in missing.items():
            if (kind, name) not in self._missed:
                self._missed[kind, name] = cause.variable, choices[0].name
                if self.late:  # by a plan that came later; until then the switch says it once for all
                    log.warning("provider_without_key", missing=self.notes)
        return choices, found

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
            name = member_name(choice)
            key = (kind, key_of(choice.name, choice.options), name)
            if key not in self._members:
                on_state = partial(_log_state, kind)
                self._members[key] = Member(provider, name=name, probe=probe, on_state=on_state)
            team.append(cast("Member[P]", self._members[key]))
        return team

    def _make_stt(self, name: str, options: Mapping[str, Any]) -> Stt:
        if name in HOSTED and self._models_socket:
            return HostedStt(self._models_socket, name, options, final_timeout_s=HOSTED[name])
        return registry.create_stt(name, options)

    def turn_model(self) -> TurnModel | None:
        """Who guesses whether a turn is over, if the settings name one."""
        choice = self.defaults.turn
        if choice is None:
            return None
        return _cached(self._turn_models, choice.name, choice.options, registry.create_turn)

    def vad(self, rate_hz: int) -> Any:
        """Voice activity for one call at that rate."""
        choice = self.defaults.vad
        return registry.create_vad(choice.name, {"rate_hz": rate_hz, **choice.options})


def _cached(
    known: dict[str, T],
    name: str,
    options: Mapping[str, Any],
    make: Callable[[str, Mapping[str, Any]], T],
) -> T:
    key = key_of(name, options)
    if key not in known:
        known[key] = make(name, options)
    return known[key]


def _log_state(kind: str, name: str, state: str) -> None:
    """A provider rests for all calls of this worker, is on trial, or is back."""
    log.warning("provider_state", kind=kind, provider=name, state=state)


def _at_rate(choice: Choice, rate_hz: int) -> Choice:
    """A voice that can be made for the call's rate is, once for each rate, so that nothing is resampled."""
    if not registry.takes("tts", choice.name, "rate_hz"):
        return choice
    return choice.model_copy(update={"options": {"rate_hz": rate_hz, **choice.options}})
