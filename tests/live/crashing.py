"""An agent whose own code breaks as soon as it takes a call."""

from __future__ import annotations

import asyncio

from pipeline.agent.agent import Agent


class Crashing(Agent):
    """Raises what no agent should."""

    def __init__(self) -> None:
        super().__init__(instructions="x")

    async def on_enter(self) -> None:
        raise RuntimeError("a bug in an agent's code")


class Late(Agent):
    """Can be made when the server looks whether it can, and not for a call."""

    def __init__(self) -> None:
        super().__init__(instructions="x")
        if asyncio.current_task() is not None:
            raise RuntimeError("a bug that only a call meets")
