"""A caller who answers questions: speaks a second after the agent has finished, or over it, or presses keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.agent.agent import Agent
from pipeline.agent.task import AgentTask, TaskFailed
from pipeline.agent.tasks import TaskGroup
from pipeline.ports import Final, Frame, Hints, Llm, Partial, SttEvent
from pipeline.providers.fake import FakeTts
from pipeline.providers.scripted import ScriptedLlm
from pipeline.testing.caller import Says
from pipeline.testing.virtual_clock import run
from tests.pipeline.rig import RATE, Rig

KEYS = "keys "  # a line that begins so is pressed, not said
OVER = "over "  # said while the agent speaks
SPEAKS_S = 1.0


@dataclass
class Outcome:
    """What came of a task: its value or why it failed, and the call."""

    value: Any
    failed: TaskFailed | None
    rig: Rig

    @property
    def why(self) -> str:
        return self.failed.why if self.failed is not None else ""


class StreamingStt:
    """Hears, word by word, what the caller says."""

    name = "streaming"

    def __init__(self) -> None:
        self.stream: StreamingSttStream | None = None

    async def open(self, *, rate_hz: int, hints: Hints) -> StreamingSttStream:
        self.stream = StreamingSttStream()
        return self.stream

    def say(self, text: str) -> None:
        """The next words, spread over SPEAKS_S from now."""
        assert self.stream is not None
        words = text.split()
        loop = asyncio.get_running_loop()
        for at in range(len(words)):
            delay = SPEAKS_S * (at + 1) / (len(words) + 1)
            loop.call_later(delay, self.stream.hear, " ".join(words[: at + 1]))


class StreamingSttStream:
    def __init__(self) -> None:
        self._events: asyncio.Queue[SttEvent | None] = asyncio.Queue()
        self._text = ""
        self.hints: list[Hints] = []

    def hear(self, text: str) -> None:
        self._text = text
        self._events.put_nowait(Partial(text))

    def push(self, frame: Frame) -> None: ...
    def start_turn(self) -> None: ...

    def expect(self, hints: Hints) -> None:
        self.hints.append(hints)

    def end_turn(self) -> None:
        final, self._text = Final(self._text, ends_turn=True), ""
        self._events.put_nowait(final)

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        self._events.put_nowait(None)


Made = AgentTask[Any] | TaskGroup[Any]


def ask(
    make: Callable[[], Made], lines: Sequence[str], *, llm: Llm | None = None, seconds: float = 120.0
) -> Outcome:
    """One call: an agent has the task done as soon as it enters, and hangs up afterwards."""
    return run(lambda: _call(make, lines, llm, seconds))


async def _call(make: Callable[[], Made], lines: Sequence[str], llm: Llm | None, seconds: float) -> Outcome:
    outcome: list[Any] = [None, None]

    class Desk(Agent):
        async def on_enter(self) -> None:
            try:
                outcome[0] = await make().run(self.session)
            except TaskFailed as failed:
                outcome[1] = failed
            self.session.end_call("done")

    rig = await call(Desk(), lines, llm=llm, seconds=seconds)
    return Outcome(outcome[0], outcome[1], rig)


async def call(agent: Agent, lines: Sequence[str], *, llm: Llm | None = None, seconds: float = 120.0) -> Rig:
    """One call with this agent, until it hangs up."""
    stt = StreamingStt()
    agent.stt = stt
    rig = Rig(agent, stt=stt, llm=llm or ScriptedLlm(), tts=FakeTts(RATE, 15.0))
    caller = asyncio.create_task(_talk(rig, stt, list(lines)))
    await rig.run(seconds)
    caller.cancel()
    return rig


async def _talk(rig: Rig, stt: StreamingStt, lines: list[str]) -> None:
    loop = asyncio.get_running_loop()
    spoken_since = 0  # ticks of the agent's speech after this one count
    while lines:
        await asyncio.sleep(0.02)
        heard = rig.heard[spoken_since:]
        over = lines[0].startswith(OVER)
        ready = sum(heard) > 20 if over else any(heard) and not any(rig.heard[-50:])
        if not ready:
            continue
        line = lines.pop(0)
        if line.startswith(KEYS):
            await _press(rig.session, line.removeprefix(KEYS))
        else:
            rig.call.add(Says("", loop.time(), SPEAKS_S))
            stt.say(line.removeprefix(OVER))
            await asyncio.sleep(SPEAKS_S)
        spoken_since = len(rig.heard)


async def _press(session: Any, keys: str) -> None:
    for key in keys:
        session.key(key, asyncio.get_running_loop().time())
        await asyncio.sleep(0.2)
