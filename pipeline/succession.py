"""Who talks to the caller: the first agent, those it hands over to, and tasks that talk in between.

Driven by session.py and by tools. One change at a time, each after the sentence that is being said."""

from __future__ import annotations

from typing import Any

from pipeline.agent.agent import Agent
from pipeline.agent.task import AgentTask, TaskFailed
from pipeline.errors import ToolError
from pipeline.events import AgentEntered, HandoffFailed
from pipeline.options import Silence, TurnHandling
from pipeline.ports import Stt, SttStream
from pipeline.stage import Stage

MAX_HANDOVERS = 4  # without a word of the caller in between: agents that pass a caller round and round


class Succession:
    """The agents of one call, one after the other."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._handovers = 0

    def caller_spoke(self) -> None:
        """A turn of the caller: agents may hand over again."""
        self._handovers = 0

    async def enter(self, agent: Agent, came_from: str) -> None:
        """This agent talks from now on."""
        await self._seat(agent)
        if self._stage.tools is not None:
            await self._stage.tools.enter(agent)
        self._stage.emit(AgentEntered(self._stage.now(), agent.name, came_from))
        if agent.expects is not None:
            self._stage.ask_for(agent.expects)
        await agent.on_enter()

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
        async with stage.speeches.mouth.turn():
            left = stage.agent
            await left.on_exit()
            try:
                await self.enter(agent, left.name)
            except Exception as error:  # the next agent's own code: the one before it goes on
                stage.emit(HandoffFailed(stage.now(), agent.name, f"{type(error).__name__}: {error}"))
                await self._seat(left)
                stage.queue(stage.reply(instructions=f"{agent.name} is not available. Say so, and go on."))
            stage.save()

    async def run_task(self, task: AgentTask[Any]) -> Any:
        """Let a task talk until it has its result. Raises TaskFailed if it cannot be had."""
        stage = self._stage
        if stage.speeches is None:
            raise TaskFailed("The call is over.")
        asker, asking = stage.agent, stage.speeches.current
        result = task.begin(stage.loop)
        if asking is not None:
            await stage.speeches.lend(asking)
        try:
            await self.enter(task, asker.name)
            stage.conversation.expect(task.expectation)
            stage.conversation.mask_keys(task.masked)
            return await result
        finally:
            stage.conversation.mask_keys(False)
            stage.conversation.expect(None)
            async with stage.speeches.mouth.turn():  # what the task says is heard to its end
                await task.on_exit()
                await self._seat(asker)
                stage.emit(AgentEntered(stage.now(), asker.name, task.name))
            if asking is not None:
                await stage.speeches.take_back(asking)

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
        stage.listening.expect(agent.hints)
        await stage.listening.use(stage.stt, opener_of(agent))


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
