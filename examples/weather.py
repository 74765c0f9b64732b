"""An agent written in Python, with a tool. Run it:

.venv/bin/offhook serve --dialplan examples/weather.yaml
.venv/bin/offhook call sip:100@127.0.0.1:5060 --wait-for-silence
"""

from __future__ import annotations

import asyncio

from pipeline.agent.agent import Agent
from pipeline.agent.tools import RunContext, function_tool

FORECASTS = {"friday": "sunny", "saturday": "cloudy", "sunday": "wet"}


class Forecaster(Agent):
    """Knows the weather of three days."""

    def __init__(self) -> None:
        super().__init__(
            instructions="Say what the weather will be on the day the caller names. One sentence.",
            greeting="Weather line. Which day would you like to know about?",
            phrases=["on friday", "on saturday", "on sunday", "the whole week", "goodbye"],
        )

    async def on_enter(self) -> None:
        """The caller may have been here before: userdata belongs to the call, not to the agent."""
        visits = self.session.userdata["visits"] = self.session.userdata.get("visits", 0) + 1
        self.session.say(self.greeting if visits == 1 else "Back at the weather line. Which day?")

    @function_tool
    async def ask_the_office(self, context: RunContext) -> str:
        """Ask the weather office about the whole week. The caller hears music meanwhile."""
        await self.session.hold()
        await asyncio.sleep(4.0)  # in real life: a request to the office
        await self.session.resume()
        return "A mixed week."

    @function_tool
    def forecast(self, context: RunContext, day: str) -> str:
        """Say what the weather will be.

        day: a weekday in English.
        """
        context.userdata["asked"] = day
        return f"It will be {FORECASTS.get(day.lower(), 'as every year')} on {day}."
