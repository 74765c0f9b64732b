"""From a route of the plan to a conversation: its agents (cast.py), with the worker's providers (providing.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from offhook.link import StartCall
from offhook.plans.playable import MODELS
from offhook.settings import Providers
from offhook.worker.cast import Cast
from offhook.worker.clips import spoken
from offhook.worker.on_call import NARROWBAND_HZ, NO_CALL, OnCall
from offhook.worker.parts import check, check_file, imported
from offhook.worker.providing import Providing
from offhook.worker.saving import saved_state
from pipeline.agent.history import History
from pipeline.errors import ConfigError
from pipeline.hearing.expectation import Expectation
from pipeline.options import TurnHandling
from pipeline.ports import AudioOut, CallControl
from pipeline.providers import registry
from pipeline.resuming import Before
from pipeline.session import Services, Session
from pipeline.speaking import numerals
from telephony.dialplan.model import Persona, Route


class Casting:
    """Makes sessions out of routes. One a worker. Parameters as Providing's."""

    def __init__(self, defaults: Providers, models_socket: str | None) -> None:
        self.providing = Providing(defaults, models_socket)

    def rehearse(self, personas: Mapping[str, Persona]) -> None:
        """Make every agent once: loads what a first call would wait for.

        Raises ConfigError for a provider, tool or class that cannot be had, naming the agent.
        """
        self.providing.vad(NARROWBAND_HZ)
        self.providing.turn_model()
        for name in personas:
            self._rehearse(personas, name)
        self.providing.late = True

    async def learn(self, personas: Mapping[str, Persona]) -> None:
        """As `rehearse` and `open`, for a new plan while calls are talking: what takes long is loaded beside the
        clock, then one agent is made in each turn of the loop. Raises ConfigError."""
        await asyncio.to_thread(self._load, personas)
        for name in personas:
            self._rehearse(personas, name)
            await asyncio.sleep(0)
        await self.open()

    async def open(self) -> None:
        """Connect the providers and MCP servers of the rehearsed agents, for as long as this worker lives."""
        await self.providing.open()

    async def aclose(self) -> None:
        """Disconnect them; those that we started are gone when this returns."""
        await self.providing.aclose()

    def cast(self, personas: Mapping[str, Persona], on_call: OnCall = NO_CALL) -> Cast:
        """Who makes the agents of that call. personas: the first one and everyone it can hand over to."""
        return Cast(self.providing, personas, on_call)

    def session(
        self,
        start: StartCall,
        route: Route,
        on_call: OnCall,
        out: AudioOut,
        control: CallControl,
        save: Callable[[dict[str, Any]], None],
        gap_ms: int = 0,
    ) -> Session:
        """The conversation of one call. gap_ms: how long it was without a worker.
        Raises ConfigError if the plan asks for what is not there."""
        state = saved_state(start)
        agent = self.cast(route.agents, on_call).ready(str(state.get("agent", route.agent)))
        announces = route.recording == "announce" and not start.resumes
        return Session(
            agent,
            Services(vad=self.providing.vad(start.rate_hz), turn_model=self.providing.turn_model()),
            out,
            control,
            emit=on_call.emit,
            save=save,
            options=TurnHandling.model_validate(route.agents[agent.name].turn_handling),
            userdata=state.get("userdata", {}),
            history=History.load(state["history"]) if "history" in state else None,
            before=Before(state, gap_ms) if start.confirmed else None,
            announcement=spoken(route.announcement, start.rate_hz) if announces else "",
            on_failure=route.on_failure,
            call_id=start.call_id,
        )

    def _rehearse(self, personas: Mapping[str, Persona], name: str) -> None:
        persona = personas[name]
        try:
            for part, model in MODELS.items():
                if (values := getattr(persona, part)) is not None:
                    check(part, model, values)
            agent = self.cast(personas).agent(name)
            check_file(agent.thinking_sound)
            for intent in persona.script.intents if persona.script else ():
                _ = intent.expects and Expectation.parse(intent.expects)
            agent.pronounce.check(agent.voice.language)
            numerals.warm(agent.voice.language)
        except ConfigError as error:
            raise ConfigError(f"agent {name!r}: {error}") from error

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
