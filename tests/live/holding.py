"""An agent for the live tests that lets its caller wait, presses keys and pauses the recording. The server runs it."""

from __future__ import annotations

import asyncio

from pipeline.agent.agent import Agent

HOLD_S = 2.5
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


class Sender(Agent):
    """Sends its caller elsewhere, and says so if that fails."""

    def __init__(self) -> None:
        super().__init__(instructions="Send them away.")

    async def on_enter(self) -> None:
        await self.session.say("One moment.")
        await self.session.transfer(ELSEWHERE)
        await self.session.say("Nobody is there.")
