"""From the plan's personas to agents that can talk: who plays, with which providers.

Providers hold no call and are shared by all calls of the worker, and so is what is known of their failures; agents,
voice activity and the order in which providers stand in for each other are made per call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import structlog

from offhook.link import StartCall
from offhook.models.client import HostedStt
from offhook.settings import Providers
from offhook.worker.asked import asked_of, brought, key_of, scripted
from offhook.worker.desks import Places, desk
from offhook.worker.parts import (
    check,
    check_file,
    collected,
    destination,
    imported,
    mcp_server,
    script_of,
    tool_at,
    voice_of,
)
from offhook.worker.realtime import RealtimeCasting, law_of
from offhook.worker.routing import Choice, alone, member_name, routing
from offhook.worker.saving import saved_state
from offhook.worker.warming import Warmer
from pipeline.agent.agent import Agent
from pipeline.agent.history import History
from pipeline.agent.mcp import McpServer
from pipeline.agent.tasks.collect import collect_tool
from pipeline.errors import ConfigError
from pipeline.events import Event
from pipeline.hearing.expectation import Expectation
from pipeline.options import Silence, ThinkingSound, TurnHandling
from pipeline.ports import AudioOut, CallControl, Llm, Stt, Tts, TurnModel
from pipeline.providers import registry
from pipeline.providers.cassette.deck import LIVE, Deck
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
from pipeline.providers.script_model import phrases_of
from pipeline.resuming import Before
from pipeline.session import Services, Session
from pipeline.speaking import numerals
from telephony.dialplan.model import Desk, McpChoice, Persona, Route

log = structlog.get_logger()

T = TypeVar("T")
P = TypeVar("P", Stt, Llm, Tts)
Emit: TypeAlias = Callable[[Event], None]
# Recognisers too heavy for a process that keeps a clock, and how long they may owe the end of a turn, in s.
HOSTED = {"pocketsphinx": 3.0, "whisper": 10.0}
NARROWBAND_HZ = 8000  # a call's rate where none is given


class Casting:
    """Makes sessions out of routes. One a worker."""

    def __init__(self, defaults: Providers, models_socket: str | None) -> None:
        hide(registry.key_variables())
        self._defaults, self._models_socket = defaults, models_socket
        self._stt: dict[str, Stt] = {}
        self._llm: dict[str, Llm] = {}
        self._tts: dict[str, Tts] = {}
        self._turn_models: dict[str, TurnModel] = {}
        self._mcp: dict[str, McpServer] = {}
        self._in_use: list[McpServer] = []
        # kind, key and name → Member: one for each provider of the worker
        self._members: dict[tuple[str, str, str], Any] = {}
        self._warmer = Warmer()
        self._missed: dict[
            tuple[str, str], tuple[str, str]
        ] = {}  # kind, provider → variable, who serves instead
        self._realtime = RealtimeCasting(self._missed)
        self._rehearsed = False

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

    def rehearse(self, personas: Mapping[str, Persona]) -> None:
        """Make every agent once: loads what a first call would wait for.

        Raises ConfigError for a provider, tool or class that cannot be had, naming the agent.
        """
        self.vad(NARROWBAND_HZ)
        self._turn_model()
        for name in personas:
            self._rehearse(personas, name)
        self._rehearsed = True

    def _rehearse(self, personas: Mapping[str, Persona], name: str) -> None:
        persona = personas[name]
        try:
            check("turn_handling", TurnHandling, persona.turn_handling)
            check("silence", Silence, persona.silence)
            if persona.thinking_sound is not None:
                check("thinking_sound", ThinkingSound, persona.thinking_sound)
            agent = self.agent(personas, name)
            check_file(agent.thinking_sound)
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
                    _ = imported(path) if ":" in path else None
                for kind in registry.SPEAKING_KINDS:
                    for choice in getattr(persona, kind) or ():
                        registry.load(kind, choice.name)
                numerals.warm(persona.language)
            except ConfigError as error:
                raise ConfigError(f"agent {name!r}: {error}") from error

    async def open(self) -> None:
        """Connect the providers and MCP servers of the rehearsed agents, for as long as this worker lives."""
        warming = self._warmer.warm(*self._providers())
        new = [server for server in self._mcp.values() if server not in self._in_use]
        await asyncio.gather(warming, *[self._use(server) for server in new])

    def _providers(self) -> list[object]:
        return [*self._stt.values(), *self._llm.values(), *self._tts.values(), *self._realtime.models]

    async def _use(self, server: McpServer) -> None:
        await server.acquire()
        self._in_use.append(server)

    async def aclose(self) -> None:
        """Disconnect them; those that we started are gone when this returns."""
        in_use, self._in_use = self._in_use, []
        for member in self._members.values():
            member.close()
        closing = self._warmer.aclose(*self._providers())
        await asyncio.gather(closing, *[server.release() for server in in_use])

    def session(
        self,
        start: StartCall,
        out: AudioOut,
        control: CallControl,
        emit: Emit,
        save: Callable[[dict[str, Any]], None],
        gap_ms: int = 0,
        places: Places | None = None,
        deck: Deck = LIVE,
    ) -> Session:
        """The conversation of one call. gap_ms: how long it was without a worker. deck: its tape.
        Raises ConfigError if the plan asks for what is not there."""
        route = Route.load(start.route)
        state = saved_state(start)
        name = str(state.get("agent", route.agent))
        law = law_of(start.media)
        agent = self.ready(
            self.agent(route.agents, name, emit, start.call_id, start.rate_hz, places, law, deck)
        )
        services = Services(vad=self.vad(start.rate_hz), turn_model=self._turn_model())
        persona = route.agents[agent.name]
        before = Before(state, gap_ms) if start.confirmed else None
        options = TurnHandling.model_validate(persona.turn_handling)
        announces = route.recording == "announce" and not start.resumes
        announcement = route.announcement if announces else ""
        return Session(
            agent,
            services,
            out,
            control,
            emit=emit,
            save=save,
            options=options,
            userdata=state.get("userdata", {}),
            history=History.load(state["history"]) if "history" in state else None,
            before=before,
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
        call_id: str = "",
        rate_hz: int = NARROWBAND_HZ,
        places: Places | None = None,
        law: str = "ulaw",
        deck: Deck = LIVE,
    ) -> Agent:
        """A new agent. personas: it and everyone it can hand over to. emit, call_id, rate_hz, places, deck: its call's.

        Raises ConfigError."""
        persona = personas[name]
        if isinstance(persona, Desk):
            return self._desk(personas, name, persona, emit, call_id, rate_hz, places, deck)
        model = self._realtime.model(persona)
        speaks = model.name if model is not None else ""
        if persona.python:
            agent = self._from_python(name, persona)
        else:
            agent = self._from_plan(name, persona, speaks, deck)
        agent.name = name
        agent.turn_handling = {**persona.turn_handling, **agent.turn_handling}
        agent.silence = {**persona.silence, **agent.silence}
        agent.keys = {**persona.keys, **agent.keys}
        if "history" in persona.model_fields_set:
            agent.history = persona.history
        agent.expects = Expectation.parse(persona.expects) if persona.expects else agent.expects
        if persona.fillers is not None:
            agent.fillers = persona.fillers
        if persona.thinking_sound is not None:
            agent.thinking_sound = ThinkingSound.model_validate(persona.thinking_sound)
        agent.pronounce = agent.pronounce.with_words(persona.pronounce)
        for server, choice in persona.mcp.items():
            agent.tools.add(self._server(server, choice))
        if steps := collected(persona):
            agent.tools["collect"] = collect_tool(steps)
        if model is not None and agent.stt is None and agent.llm is None:
            made = partial(self._persona_tts, emit=emit, call_id=call_id, rate_hz=rate_hz)
            self._realtime.play(agent, model, persona, made, call_id=call_id, rate_hz=rate_hz, law=law)
            deck = LIVE  # one model hears, thinks and speaks on one line: no tape has three strands of it
        own = agent.stt, agent.llm, agent.tts
        asked = asked_of(persona, self._defaults)
        agent.stt = deck.stt(
            brought(own[0]) or asked["stt"], lambda: own[0] or self._persona_stt(persona, emit, call_id)
        )
        agent.llm = deck.llm(
            brought(own[1]) or asked["llm"], lambda: own[1] or self._persona_llm(persona, emit, call_id)
        )
        agent.tts = deck.tts(
            brought(own[2]) or asked["tts"],
            lambda: own[2] or self._persona_tts(persona, emit, call_id, rate_hz),
        )
        agent.may(
            handoffs={
                other: self._maker(personas, other, emit, call_id, rate_hz, places, deck)
                for other in persona.handoff
            },
            transfers={name: destination(place) for name, place in persona.transfer_to.items()},
            phone=persona.tools,
        )
        return agent

    def _maker(
        self,
        personas: Mapping[str, Persona],
        name: str,
        emit: Emit,
        call_id: str,
        rate_hz: int,
        places: Places | None,
        deck: Deck,
    ) -> Callable[[], Agent]:
        return lambda: self.ready(
            self.agent(personas, name, emit, call_id, rate_hz, places=places, deck=deck)
        )

    def ready(self, agent: Agent) -> Agent:
        """It is about to talk: its connections are opened beside everything else."""
        self._warmer.begin(agent.stt, agent.llm, agent.tts)
        return agent

    def _desk(
        self,
        personas: Mapping[str, Persona],
        name: str,
        persona: Desk,
        emit: Emit,
        call_id: str,
        rate_hz: int,
        places: Places | None,
        deck: Deck,
    ) -> Agent:
        """A target of the plan. It needs no model; the scripted one costs nothing."""
        others = {
            other: self._maker(personas, other, emit, call_id, rate_hz, places, deck)
            for other in persona.handoff
        }
        declared, asked = persona.tts or self._defaults.tts, asked_of(persona, self._defaults)
        speaks = self._found("tts", declared, self._tts, registry.create_tts)[0][0]
        voice = voice_of(persona, speaks.name, own=speaks is declared[0])
        agent = desk(persona.does, name, voice, others, places)
        agent.stt = deck.stt(asked["stt"], lambda: self._persona_stt(persona, emit, call_id))
        agent.tts = deck.tts(asked["tts"], lambda: self._persona_tts(persona, emit, call_id, rate_hz))
        agent.llm = _cached(self._llm, "scripted", {}, registry.create_llm)
        agent.pronounce = agent.pronounce.with_words(persona.pronounce)
        agent.turn_handling = dict(persona.turn_handling)
        return agent

    def _from_plan(self, name: str, persona: Persona, realtime: str, deck: Deck) -> Agent:
        """realtime: the name of the speech-to-speech model that plays it, "" for none."""
        speaks, own = realtime, True
        if not realtime:
            declared = persona.tts or self._defaults.tts
            on_tape = deck.speaks(asked_of(persona, self._defaults)["tts"])
            choice = next((choice for choice in declared if choice.name == on_tape), None)
            choice = choice or self._found("tts", declared, self._tts, registry.create_tts)[0][0]
            speaks, own = choice.name, choice is declared[0]
        scripted = phrases_of(script_of(persona)) if persona.script else ()
        return Agent(
            name=name,
            instructions=persona.instructions,
            greeting=persona.greeting,
            language=persona.language,
            voice=voice_of(persona, speaks, own=own),
            phrases=(*scripted, *persona.phrases),
            tools=[tool_at(path) for path in persona.tools if ":" in path],
        )

    def _from_python(self, name: str, persona: Persona) -> Agent:
        kind = imported(persona.python or "")
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
            self._mcp[key] = mcp_server(name, choice)
        return self._mcp[key]

    def _persona_stt(self, persona: Persona, emit: Emit, call_id: str) -> Stt:
        declared = persona.stt or self._defaults.stt
        choices, found = self._found("stt", declared, self._stt, self._make_stt)
        if alone(choices):
            return found[0]
        team = self._team("stt", choices, found, probe_stt)
        return FallbackStt(team, emit=emit, routing=routing("stt", choices, call_id))

    def _persona_llm(self, persona: Persona, emit: Emit, call_id: str) -> Llm:
        declared = [scripted(choice, persona) for choice in persona.llm or self._defaults.llm]
        choices, found = self._found("llm", declared, self._llm, registry.create_llm)
        if alone(choices):
            return found[0]
        team = self._team("llm", choices, found, probe_llm)
        return FallbackLlm(team, emit=emit, routing=routing("llm", choices, call_id))

    def _persona_tts(self, persona: Persona, emit: Emit, call_id: str, rate_hz: int) -> Tts:
        declared = [_at_rate(choice, rate_hz) for choice in persona.tts or self._defaults.tts]
        choices, found = self._found("tts", declared, self._tts, registry.create_tts)
        if alone(choices):
            return found[0]
        names = persona.voice.per_provider if persona.voice else {}
        voices = [names.get(choice.name, "") for choice in choices]
        team = self._team("tts", choices, found, probe_tts)
        return FallbackTts(team, emit=emit, voices=voices, routing=routing("tts", choices, call_id))

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
                if self._rehearsed:  # by a plan that came later; until then the switch says it once for all
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

    def _turn_model(self) -> TurnModel | None:
        choice = self._defaults.turn
        if choice is None:
            return None
        return _cached(self._turn_models, choice.name, choice.options, registry.create_turn)

    def vad(self, rate_hz: int) -> Any:
        """Voice activity for one call at that rate."""
        choice = self._defaults.vad
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
