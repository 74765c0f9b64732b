"""A dialogue in words: what the caller would say goes in as text, what the agent does comes out as a Result.

The session is the real one; only ears, voice and phone are silent, and speech takes no time. Tools and models take
the time they take: on the virtual clock (virtual_clock.py) they take none either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np

from pipeline.agent.agent import Agent
from pipeline.options import Silence, TurnHandling
from pipeline.ports import Frame, Llm
from pipeline.providers.fake import FakeStt, FakeTts, FakeVad
from pipeline.session import Services, Session
from pipeline.testing.expect import Result
from pipeline.testing.phone import FakePhone
from pipeline.testing.speaker import Speaker
from pipeline.testing.story import Story

RATE_HZ = 8000
TICK_S = 0.02
SILENCE: Frame = np.zeros(160, np.int16)
CALM_PASSES = 10  # of the loop, in which nothing happens: then nothing will
NEWS_S = 0.2  # a result that came late is told within this
MS_PER_CHAR = 1.0  # of silence, which is heard at once


class TextCall:
    """One call. `async with TextCall(agent, llm=...) as call:`, then `await call.say("...")` for each turn.

    llm: unless the agent has its own. timeout_s: of loop time, for one turn; then AssertionError. opening: what the
    agent did before the caller's first word. phone: what it did to the call. Errors in the agent's own code, outside of
    tools, are raised where they are met.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        llm: Llm | None = None,
        userdata: Any = None,
        options: TurnHandling | None = None,
        phone: FakePhone | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self.agent = agent
        self.phone = phone or FakePhone()
        self._llm, self._timeout_s = llm, timeout_s
        self._userdata = {} if userdata is None else userdata
        self._options = options
        self._stirred = asyncio.Event()
        self._story = Story(self._stirred.set)

    async def __aenter__(self) -> Self:
        services = Services(FakeVad(RATE_HZ), FakeStt(), self._llm, FakeTts(RATE_HZ, MS_PER_CHAR))
        self._sounds = asyncio.Event()
        self._out = _Voice(self._sounds.set)
        self.session = Session(
            self.agent,
            services,
            self._out,
            self.phone,
            emit=self._story.emit,
            options=self._options,
            silence=Silence(after_s=0.0),
            userdata=self._userdata,
            history=self._story.history,
            call_id="text-call",
        )
        self.phone.connect(self.session)
        await self.session.prepare()
        self._talking = asyncio.create_task(self.session.run(), name="text call")
        self._listening = asyncio.create_task(self._listen(), name="text call's caller")
        try:
            self.opening = await self._turn(lambda: None)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()
        if error is None:
            self._raise_what_broke()

    @property
    def userdata(self) -> Any:
        """What the agents of this call keep."""
        return self.session.userdata

    @property
    def result(self) -> Result:
        """The whole call so far, the caller's words included; a new one each time."""
        return Result(self._story, whole=True)

    async def say(self, text: str) -> Result:
        """The caller says this, and the agent does what it does, until it is the caller's turn again."""
        return await self._turn(lambda: self.session.typed(text, self._now()))

    async def press(self, keys: str) -> Result:
        """The caller presses keys. End an entry with #, unless the agent knows how many digits it asked for."""

        def press() -> None:
            for key in keys:
                self.session.key(key, self._now())
            self.session.hear(SILENCE, self._now())

        return await self._turn(press)

    async def wait(self) -> Result:
        """The caller says nothing until all tools have finished, and what came of them was said."""
        return await self._turn(lambda: None, tools_too=True)

    async def hang_up(self) -> Result:
        """The caller hangs up."""
        start = len(self._story)
        self.session.close("caller_hung_up")
        await self._end()
        self._raise_what_broke()
        return Result(self._story, start)

    # ------------------------------------------------------------ one turn

    async def _turn(self, act: Callable[[], None], *, tools_too: bool = False) -> Result:
        start = len(self._story)
        if self._talking.done():
            self._raise_what_broke()
            raise AssertionError(f"The call is over, nobody hears the caller.\n{self.result}")
        act()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._rest()
                while tools_too and not self._talking.done():
                    tools = self.session.tools_running
                    await asyncio.sleep(NEWS_S)
                    if tools == 0 and self.session.at_rest:
                        break
                    await self._rest()
        except TimeoutError:
            fact = f"The agent did not come to an end within {self._timeout_s:g} s (timeout_s)."
            raise AssertionError(f"{fact}\n{self.result}") from None
        if self._talking.done():
            self._raise_what_broke()
        return Result(self._story, start)

    async def _rest(self) -> None:
        """Until it is the caller's turn, or the call is over."""
        calm = 0
        while calm < CALM_PASSES and not self._talking.done():
            self._stirred.clear()
            await asyncio.sleep(0)
            calm = calm + 1 if self.session.at_rest else 0
            if not calm:
                await self._nap(self._stirred, TICK_S / 4)

    async def _listen(self) -> None:
        """Hear at once whatever the agent says; look at the clock now and then. Nobody counts how long it is silent, so
        it has no use for fillers."""
        while not self._talking.done():
            self._sounds.clear()
            while self._out.queued:
                while self.session.speak(self._now()) is not None:
                    pass
            if not await self._nap(self._sounds, TICK_S):
                self.session.hear(SILENCE, self._now())

    async def _nap(self, event: asyncio.Event, at_most_s: float) -> bool:
        try:
            async with asyncio.timeout(at_most_s):
                return await event.wait()
        except TimeoutError:
            return False

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ------------------------------------------------------------ the end

    async def _end(self) -> None:
        self.session.close("test_over")
        await asyncio.gather(self._talking, return_exceptions=True)
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    def _raise_what_broke(self) -> None:
        """The agent's own code, or the session, met an error that is not for the model."""
        for task in (self._talking, self._listening):
            error = task.exception() if task.done() and not task.cancelled() else None
            while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]
            if error is not None:
                error.add_note(f"What happened before:\n{self.result}")
                raise error


class _Voice(Speaker):
    """Tells when there is something to hear."""

    def __init__(self, sounds: Callable[[], None]) -> None:
        super().__init__(RATE_HZ)
        self._sounds = sounds

    def play(self, pcm: Frame) -> int:
        begins = super().play(pcm)
        self._sounds()
        return begins
