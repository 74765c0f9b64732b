"""What the parts of one session share: the call, the agent that talks, who has the floor, what was said.

Made by session.py; used by answering.py and succession.py. No rules here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pipeline.agent.agent import Agent
from pipeline.agent.conversation import Conversation
from pipeline.agent.history import History, Memory
from pipeline.errors import ConfigError
from pipeline.events import Event
from pipeline.hearing.expectation import Expectation
from pipeline.listening import Listening
from pipeline.options import Silence, TurnHandling
from pipeline.ports import AudioOut, Llm, Stt, Tts, TurnModel, Vad
from pipeline.replying import Means, Reply
from pipeline.silence import Patience
from pipeline.speaking.pace import Pace
from pipeline.speeches import Speeches
from pipeline.tooling import ToolRunner
from pipeline.turn import Turn, TurnEvent

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """The providers of a call. An agent may bring its own instead. vad: one instance a call. turn_model: a second
    opinion on the end of a turn, None to do without."""

    vad: Vad
    stt: Stt | None = None
    llm: Llm | None = None
    tts: Tts | None = None
    turn_model: TurnModel | None = None


@dataclass(slots=True, eq=False)
class Stage:
    """One conversation. tasks, tools and speeches are there while it runs.

    happened: tells the floor, and has its decisions carried out. save: writes a checkpoint."""

    conversation: Conversation
    services: Services
    agent: Agent
    out: AudioOut
    history: History
    options: TurnHandling
    silence: Silence
    turn: Turn
    emit: Callable[[Event], None]
    save: Callable[[], None]
    happened: Callable[[TurnEvent | None, float], None]
    paces: dict[tuple[str, str], Pace] = field(
        default_factory=dict
    )  # how fast each voice has spoken in this call
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    listening: Listening = field(init=False)
    patience: Patience = field(init=False)
    memories: dict[Agent, Memory] = field(default_factory=dict)  # of agents that were not told everything
    asked_once: bool = False  # what is expected is expected of the next turn only
    tasks: asyncio.TaskGroup | None = None
    tools: ToolRunner | None = None
    speeches: Speeches | None = None

    def now(self) -> float:
        """Loop time, s."""
        return self.loop.time()

    @property
    def stt(self) -> Stt:
        """The recogniser that the agent wants. Raises ConfigError if there is none."""
        return _there(self.agent.stt or self.services.stt, self.agent, "stt")

    @property
    def llm(self) -> Llm:
        """The language model that the agent wants. Raises ConfigError if there is none."""
        return _there(self.agent.llm or self.services.llm, self.agent, "llm")

    @property
    def tts(self) -> Tts:
        """The voice that the agent wants. Raises ConfigError if there is none."""
        return _there(self.agent.tts or self.services.tts, self.agent, "tts")

    @property
    def heeds_doubt(self) -> bool:
        """Does what answers care how sure the recogniser was of the words? Language models are given the words only."""
        own = type(self.agent).llm_node is not Agent.llm_node
        return own or not getattr(self.agent.llm or self.services.llm, "improvises", True)

    def reply(self, **how: Any) -> Reply:
        """Something for the present agent to say. how: see Reply."""
        if self.tools is None or self.speeches is None:
            raise ConfigError("the session does not run yet. Say something in on_enter or later.")
        voice, tts = self.agent.voice, self.tts
        pace = self.paces.setdefault((tts.name, repr(voice)), Pace(voice.language, voice.speed))
        means = Means(
            self.llm,
            tts,
            self.out,
            self.history,
            self.tools,
            self.emit,
            self.now,
            self.speeches.stop,
            self.ask_for,
            pace,
            self.memories.get(self.agent),
            self.save,
        )
        if how.get("allow_interruptions") is None:
            how["allow_interruptions"] = self.turn.options.allow_interruptions
        return Reply(self.agent, means, **how)

    def ask_for(self, expectation: Expectation) -> None:
        """What has just been asked for: it is waited for until the caller has said something."""
        self.turn.endpointing.expectation, self.asked_once = expectation, True

    def queue(self, reply: Reply) -> Reply:
        """Have it said when its turn comes; at once over if the call is."""
        if self.tasks is None or self.speeches is None or self.speeches.closed:
            reply.cut(self.out.played)
            return reply
        self.speeches.drop_ahead()
        return self.speeches.queue(reply)


def _there(provider: T | None, agent: Agent, kind: str) -> T:
    if provider is None:
        raise ConfigError(
            f"agent {agent.name!r} has no {kind}. Name one in the plan's defaults or the agent."
        )
    return provider
