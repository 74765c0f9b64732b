"""An agent whose own code breaks as soon as it takes a call."""

from __future__ import annotations

from pipeline.agent.agent import Agent


class Crashing(Agent):
    """Raises what no agent should."""

    def __init__(self) -> None:
        super().__init__(instructions="x")

    async def on_enter(self) -> None:
        raise RuntimeError("a bug in an agent's code")
