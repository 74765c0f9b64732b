"""Who talks to the caller: the first agent, those it hands over to, and tasks that talk in between.

Driven by session.py and by tools. One change at a time, each after the sentence that is being said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

from pipeline.agent.agent import Agent
from pipeline.agent.history import Memory, Message
from pipeline.agent.task import AgentTask, TaskFailed
from pipeline.errors import ProviderError, ToolError
from pipeline.events import AgentEntered, HandoffFailed, ModelUsed
from pipeline.options import Silence, TurnHandling
from pipeline.ports import SpeakingLlm, Stt, SttStream, TextDelta, ToolSpec, Usage
from pipeline.stage import Stage

SUMMARY_S = 4.0  # for a summary; then the next agent is told everything
SUMMARISE = "Summarise this phone call for a colleague who takes over now: who calls, what they want, what was agreed."
MAX_HANDOVERS = 4  # without a word of the caller in between: agents that pass a caller round and round


class Succession:
    """The agents of one call, one after the other."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._handovers = 0
        self._changing: set[asyncio.Task[Any] | None] = set()  # tasks that bring somebody in
        self._mouth_with: asyncio.Task[Any] | None = None  # the one of those that keeps everybody silent
        self._asking: list[AgentTask[Any]] = []  # they wait for the caller, the innermost last
        self._over = False
        self._host: Agent | None = None  # whom the outermost task works for
        self.entering = False  # the agent that talks has not finished its `on_enter`

    @property
    def host(self) -> Agent:
        """The agent that talks, or whose task does."""
        return self._host if self._asking and self._host is not None else self._stage.agent

    @property
    def moving(self) -> bool:
        """Is somebody taking over right now? Not while a task waits for the caller."""
        return bool(self._changing)

    @property
    def in_task(self) -> bool:
        """Does a task talk, and somebody wait for its result?"""
        return bool(self._asking)

    def caller_spoke(self) -> None:
        """A turn of the caller: agents may hand over again."""
        self._handovers = 0

    def close(self) -> None:
        """The call is over: nobody will answer."""
        self._over = True
        for task in self._asking:
            task.fail("The call is over.")

    async def enter(self, agent: Agent, came_from: str) -> None:
        """This agent talks from now on."""
        with self._change_of_agents():
            await self._seat(agent)
            if self._stage.tools is not None:
                await self._stage.tools.enter(agent)
            self._stage.emit(AgentEntered(self._stage.now(), agent.name, came_from))
            if agent.expects is not None:
                self._stage.ask_for(agent.expects)
            await self._let_in(agent)

    async def _let_in(self, agent: Agent) -> None:
        if isinstance(agent, AgentTask):
            await agent.on_enter()
            return
        self.entering = True
        self._stage.save()
        await agent.on_enter()
        self.entering = False

    async def resume(self, agent: Agent, *, entering: bool) -> None:
        """This agent has talked in another process. entering: it had not come to the end of its `on_enter`."""
        with self._change_of_agents():
            await self._seat(agent)
            if self._stage.tools is not None:
                await self._stage.tools.enter(agent)
            if entering:
                await self._let_in(agent)

    def hand_over(self, agent: Agent) -> None:
        """A tool returned another agent. Raises ToolError if they pass the caller round and round."""
        self._handovers += 1
        if self._handovers > MAX_HANDOVERS:
            raise ToolError(
                f"{agent.name} cannot take over: the caller has been handed over {MAX_HANDOVERS} times without"
                " saying a word. Answer yourself."
            )
        if self._stage.tasks is not None:
            self._stage.tasks.create_task(self._change(agent), name=f"hand over to {agent.name}")

    async def _change(self, agent: Agent) -> None:
        """Once the present agent has finished its sentence, the next one enters."""
        stage = self._stage
        if stage.speeches is None:
            return
        with self._change_of_agents():
            async with stage.speeches.mouth.turn():
                self._mouth_with = asyncio.current_task()
                try:
                    await self._relieve(stage.agent, agent)
                finally:
                    self._mouth_with = None

    async def _relieve(self, left: Agent, agent: Agent) -> None:
        stage = self._stage
        await left.on_exit()
        await self._brief(agent)
        try:
            await self.enter(agent, left.name)
        except Exception as error:  # the next agent's own code: the one before it goes on
            if stage.speeches is None or stage.speeches.closed:
                return
            stage.emit(HandoffFailed(stage.now(), agent.name, f"{type(error).__name__}: {error}"))
            await self._seat(left)
            stage.queue(stage.reply(instructions=f"{agent.name} is not available. Say so, and go on."))
        stage.save()

    async def _brief(self, agent: Agent) -> None:
        """Tell the next agent as much as it is to know."""
        stage = self._stage
        if agent.history == "shared":
            return
        summary = await self._summary() if agent.history == "summary" else ""
        if summary or agent.history == "private":  # better all of it than nothing
            now = stage.now()
            said = tuple(message for message in stage.history.messages if message.at >= now)
            stage.memories[agent] = Memory(now, said, summary)

    async def _summary(self) -> str:
        """The conversation so far in a few sentences, by the model of the agent that leaves; "" if it fails."""
        stage, words = self._stage, list[str]()
        messages = [
            *stage.history.for_model("", stage.memories.get(stage.agent)),
            Message("system", SUMMARISE),
        ]
        try:
            async with asyncio.timeout(SUMMARY_S), aclosing(stage.llm.chat(messages)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, TextDelta):
                        words.append(delta.text)
                    elif isinstance(delta, Usage):
                        counts = delta.input_tokens, delta.output_tokens, delta.cached_tokens
                        stage.emit(ModelUsed(stage.now(), delta.provider or stage.llm.name, *counts))
        except (ProviderError, TimeoutError):
            return ""
        return "".join(words).strip()

    async def refresh(self) -> None:
        """The agent that talks has changed."""
        await self._seat(self._stage.agent)

    async def run_task(self, task: AgentTask[Any]) -> Any:
        """Let a task talk until it has its result. Raises TaskFailed if it cannot be had."""
        stage = self._stage
        if stage.speeches is None or self._over:
            raise TaskFailed("The call is over.")
        asker, asking = stage.agent, stage.speeches.current
        task.sent_by(asker, stage.services.llm)
        result = task.begin(stage.loop)
        if not self._asking:
            self._host = asker
        self._asking.append(task)
        if asking is not None:
            await stage.speeches.lend(asking)
        entering = self._mouth_with if self._mouth_with is asyncio.current_task() else None
        if entering is not None:  # an agent that asks before it has said a word
            self._mouth_with = None
            stage.speeches.mouth.give()
        try:
            stage.conversation.expect(task.expectation)
            stage.conversation.mask_keys(task.masked)
            await self.enter(task, asker.name)
            with self._change_of_agents(False):
                return await result
        finally:
            self._asking.remove(task)
            self._expect_again()
            with self._change_of_agents():
                async with stage.speeches.mouth.turn():  # what the task says is heard to its end
                    await task.on_exit()
                    await self._seat(asker)
                    stage.emit(AgentEntered(stage.now(), asker.name, task.name))
                if asking is not None:
                    await stage.speeches.take_back(asking)
                if entering is not None:
                    await stage.speeches.mouth.take()
                    self._mouth_with = entering

    def _expect_again(self) -> None:
        """What the task around the one that ended wants to hear, nothing if there is none."""
        outer = self._asking[-1] if self._asking else None
        self._stage.conversation.expect(outer.expectation if outer is not None else None)
        self._stage.conversation.mask_keys(outer is not None and outer.masked)

    @contextmanager
    def _change_of_agents(self, now: bool = True) -> Iterator[None]:
        """This asyncio task brings somebody in, or (now=False) waits for the caller in the middle of that."""
        task = asyncio.current_task()
        before = task in self._changing
        (self._changing.add if now else self._changing.discard)(task)
        try:
            yield
        finally:
            (self._changing.add if before else self._changing.discard)(task)

    async def _seat(self, agent: Agent) -> None:
        """Have ears, voice and manners of this agent."""
        stage = self._stage
        stage.agent = agent
        agent.join(stage.conversation)
        options = _merged(stage.options, agent)
        stage.turn.handle(options, agent.voice.language)
        stage.patience.options = stage.silence.model_copy(
            update=Silence.model_validate(agent.silence).model_dump(exclude_unset=True)
        )
        stage.patience.not_waiting()
        if stage.speeches is not None:
            stage.speeches.fill_with(agent.fillers, options.filler_after_ms)
        llm = agent.llm or stage.services.llm
        if isinstance(llm, SpeakingLlm):
            llm.follow(partial(self._known, agent), stage.emit)
        stage.listening.expect(agent.hints)
        await stage.listening.use(stage.stt, opener_of(agent))

    def _known(self, agent: Agent) -> tuple[list[Message], list[ToolSpec]]:
        """What this agent is told and may use, for a model that begins to think before it is asked."""
        stage = self._stage
        messages = stage.history.known(agent.instructions, stage.memories.get(agent))
        return messages, [tool.spec for tool in agent.tools.values()]


def opener_of(agent: Agent) -> Any:
    """How this agent opens a recogniser."""

    async def opener(stt: Stt, rate_hz: int) -> SttStream:
        return await agent.stt_node(stt, rate_hz)

    return opener


def _merged(options: TurnHandling, agent: Agent) -> TurnHandling:
    """The session's options with what the agent says otherwise."""
    if not agent.turn_handling:
        return options
    kept = {} if "profile" in agent.turn_handling else options.model_dump(exclude_unset=True)
    return TurnHandling.model_validate({**kept, **agent.turn_handling})
