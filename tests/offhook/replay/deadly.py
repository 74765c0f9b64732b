"""An agent that takes its process with it, as a crash in a library would."""

from __future__ import annotations

import os

from pipeline.agent.agent import Agent


class Deadly(Agent):
    """Dies when it takes a call."""

    async def on_enter(self) -> None:
        os._exit(9)
