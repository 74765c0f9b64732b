"""The agents of one call: who plays, with which tools, providers and colleagues."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from offhook.worker.asked import asked_of, brought
from offhook.worker.desks import desk
from offhook.worker.on_call import OnCall
from offhook.worker.parts import collected, destination, imported, script_of, tool_at, voice_of
from offhook.worker.providing import Providing
from pipeline.agent.agent import Agent
from pipeline.agent.tasks.collect import collect_tool
from pipeline.errors import ConfigError
from pipeline.hearing.expectation import Expectation
from pipeline.options import ThinkingSound
from pipeline.providers.cassette.deck import LIVE, Deck
from pipeline.providers.script_model import phrases_of
from pipeline.realtime.model import RealtimeModel
from telephony.dialplan.model import Desk, Persona


class Cast:
    """Makes agents out of personas. personas: all that can come on stage, by name."""

    def __init__(self, providing: Providing, personas: Mapping[str, Persona], on_call: OnCall) -> None:
        self._providing, self._personas, self._on_call = providing, personas, on_call

    def agent(self, name: str) -> Agent:
        """A new agent. Raises ConfigError."""
        persona = self._personas[name]
        if isinstance(persona, Desk):
            return self._desk(name, persona)
        model, deck = self._providing.realtime.model(persona), self._on_call.deck
        agent = self._from_python(name, persona) if persona.python else self._from_plan(name, persona, model)
        agent.name = name
        self._play(agent, persona)
        if model is not None and agent.stt is None and agent.llm is None:
            on_call = self._on_call
            self._providing.realtime.play(
                agent,
                model,
                persona,
                lambda speaks: self._providing.tts(speaks, on_call),
                call_id=on_call.call_id,
                rate_hz=on_call.rate_hz,
                law=on_call.law,
            )
            deck = LIVE  # one model hears, thinks and speaks on one line: no tape has three strands of it
        self._provide(agent, persona, deck)
        agent.may(
            handoffs=self._colleagues(persona),
            transfers={name: destination(place) for name, place in persona.transfer_to.items()},
            phone=persona.tools,
        )
        return agent

    def ready(self, name: str) -> Agent:
        """A new agent that is about to talk: its connections are opened beside everything else. Raises ConfigError."""
        agent = self.agent(name)
        self._providing.begin(agent.stt, agent.llm, agent.tts)
        return agent

    def _colleagues(self, persona: Persona) -> dict[str, Callable[[], Agent]]:
        return {other: self._maker(other) for other in persona.handoff}

    def _maker(self, name: str) -> Callable[[], Agent]:
        return lambda: self.ready(name)

    def _play(self, agent: Agent, persona: Persona) -> None:
        """What the plan says beside its class, or in its place."""
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
            agent.tools.add(self._providing.server(server, choice))
        if steps := collected(persona):
            agent.tools["collect"] = collect_tool(steps)

    def _provide(self, agent: Agent, persona: Persona, deck: Deck) -> None:
        """Ears, mind and mouth: its own, else the plan's; or the tape's."""
        providing, on_call = self._providing, self._on_call
        own = agent.stt, agent.llm, agent.tts
        asked = asked_of(persona, providing.defaults)
        agent.stt = deck.stt(
            brought(own[0]) or asked["stt"], lambda: own[0] or providing.stt(persona, on_call)
        )
        agent.llm = deck.llm(
            brought(own[1]) or asked["llm"], lambda: own[1] or providing.llm(persona, on_call)
        )
        agent.tts = deck.tts(
            brought(own[2]) or asked["tts"], lambda: own[2] or providing.tts(persona, on_call)
        )

    def _desk(self, name: str, persona: Desk) -> Agent:
        """A target of the plan. It needs no model; the scripted one costs nothing."""
        providing, on_call = self._providing, self._on_call
        declared, asked = persona.tts or providing.defaults.tts, asked_of(persona, providing.defaults)
        speaks = providing.speaker(persona)
        voice = voice_of(persona, speaks.name, own=speaks is declared[0])
        agent = desk(persona.does, name, voice, self._colleagues(persona), on_call.places, on_call.rate_hz)
        agent.stt = on_call.deck.stt(asked["stt"], lambda: providing.stt(persona, on_call))
        agent.tts = on_call.deck.tts(asked["tts"], lambda: providing.tts(persona, on_call))
        agent.llm = providing.scripted_llm()
        agent.pronounce = agent.pronounce.with_words(persona.pronounce)
        agent.turn_handling = {**agent.turn_handling, **persona.turn_handling}
        return agent

    def _from_plan(self, name: str, persona: Persona, model: RealtimeModel | None) -> Agent:
        """model: the speech-to-speech model that plays it, if one does."""
        if model is not None:
            speaks, own = model.name, True
        else:
            declared = persona.tts or self._providing.defaults.tts
            on_tape = self._on_call.deck.speaks(asked_of(persona, self._providing.defaults)["tts"])
            choice = next((choice for choice in declared if choice.name == on_tape), None)
            choice = choice or self._providing.speaker(persona)
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
