"""Toolsets: tools that share something which must be opened and closed, a connection or a login.

A toolset is set up by its first user and closed by its last. A call uses the toolsets of all its agents from the
moment they enter until the call is over, so they survive a handoff; a worker uses those of the dial plan (MCP
servers) as long as it lives. One that cannot be set up costs only its tools."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, MutableMapping, Sequence

from pipeline.agent.tools import FunctionTool, tools_of


class Toolset:
    """Derive from it, mark methods with `@function_tool`, and give it to an Agent: `Agent(toolsets=[Crm()])`.

    Given to the agents of one call it lives as long as that call; one object shared by many calls lives as long as
    any of them.
    """

    def __init__(self, *, name: str = "", tools: Iterable[FunctionTool] = ()) -> None:
        self.name = name or type(self).__name__
        self._tools = [*tools_of(self), *tools]
        self._users = 0
        self._busy: asyncio.Lock | None = None

    @property
    def tools(self) -> Sequence[FunctionTool]:
        """What it offers now; may change between two requests to the model."""
        return self._tools

    @property
    def ready(self) -> bool:
        """It is set up: its tools may be called."""
        return self._users > 0

    async def setup(self) -> None:
        """Open what the tools need. What it raises costs this toolset only."""

    async def aclose(self) -> None:
        """Close it again. Called once for each setup() that succeeded."""

    async def acquire(self) -> None:
        """Begin to use it. Raises what setup() raises; then it is not in use."""
        async with self._lock():
            if self._users == 0:
                await self.setup()
            self._users += 1

    async def release(self) -> None:
        """Stop using it, once for each acquire()."""
        async with self._lock():
            self._users -= 1
            if self._users == 0:
                await self.aclose()

    def _lock(self) -> asyncio.Lock:
        if self._busy is None:
            self._busy = asyncio.Lock()
        return self._busy


class ToolBox(MutableMapping[str, FunctionTool]):
    """An agent's tools by name: its own, then those of its toolsets that are ready. The first of a name counts."""

    def __init__(self, own: dict[str, FunctionTool], toolsets: Iterable[Toolset] = ()) -> None:
        self.toolsets = tuple(toolsets)
        self._own = own

    def add(self, toolset: Toolset) -> None:
        """One more toolset."""
        self.toolsets = (*self.toolsets, toolset)

    def _all(self) -> dict[str, FunctionTool]:
        found = dict(self._own)
        for toolset in self.toolsets:
            if toolset.ready:
                for tool in toolset.tools:
                    found.setdefault(tool.spec.name, tool)
        return found

    def __getitem__(self, name: str) -> FunctionTool:
        return self._all()[name]

    def __setitem__(self, name: str, tool: FunctionTool) -> None:
        self._own[name] = tool

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())
