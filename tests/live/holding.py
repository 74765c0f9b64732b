"""An agent for the live tests that lets its caller wait, presses keys and pauses the recording. The server runs it."""

from __future__ import annotations

import asyncio

from pipeline.agent.agent import Agent
from pipeline.ports import Hints
from pipeline.providers.fake import FakeStt, FakeSttStream

HOLD_S = 2.5
READY_S = 2.5
ELSEWHERE = "sip:desk@127.0.0.1:5099"


class Holder(Agent):
    """Greets, holds for HOLD_S, comes back, then dials and pauses the recording."""

    def __init__(self) -> None:
        super().__init__(instructions="Be patient.")

    async def on_enter(self) -> None:
        await self.session.say("One moment.")
        await self.session.hold()
        await asyncio.sleep(HOLD_S)
        await self.session.resume()
        self.session.send_digits("4w2#")
        self.session.pause_recording()
        await self.session.say("Here I am again.")
        self.session.resume_recording()


class SlowEar(FakeStt):
    """A recogniser that takes READY_S to open."""

    async def open(self, *, rate_hz: int, hints: Hints) -> FakeSttStream:
        await asyncio.sleep(READY_S)
        return await super().open(rate_hz=rate_hz, hints=hints)


class Slow(Agent):
    """Takes its time before it can be spoken to, as a model that is fetched first would."""

    def __init__(self) -> None:
        super().__init__(instructions="Answer.", greeting="Hello, here I am.", stt=SlowEar())


class Sender(Agent):
    """Sends its caller elsewhere, and says so if that fails."""

    def __init__(self) -> None:
        super().__init__(instructions="Send them away.")

    async def on_enter(self) -> None:
        await self.session.say("One moment.")
        await self.session.transfer(ELSEWHERE)
        await self.session.say("Nobody is there.")
