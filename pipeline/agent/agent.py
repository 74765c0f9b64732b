"""An agent: who answers, what it knows, what it may do.

Subclass it, or build one from a dial plan's persona; both are the same thing. It holds no audio and no state of
the call: that is the session's (`self.session`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pipeline.agent.conversation import Conversation
from pipeline.agent.phone import hand_over_tool, hang_up, transfer_tool
from pipeline.agent.tools import FunctionTool
from pipeline.agent.toolset import ToolBox, Toolset
from pipeline.errors import ConfigError
from pipeline.ports import Hints, Llm, Stt, Tts, Voice


class Agent:
    """One role in a conversation.

    instructions: for the language model. greeting: said on entering, unless on_enter is overridden.
    phrases: what callers tend to say, for the recogniser. handoffs: agents that may take over, by name.
    transfers: people and places a caller may be sent to, name → SIP target. stt, llm, tts: instead of the call's.
    toolsets: in use from entering until the call is over.
    """

    def __init__(
        self,
        *,
        name: str = "",
        instructions: str = "",
        greeting: str = "",
        voice: Voice | None = None,
        language: str = "en-US",
        phrases: Iterable[str] = (),
        tools: Iterable[FunctionTool] = (),
        toolsets: Iterable[Toolset] = (),
        handoffs: Mapping[str, Callable[[], Agent]] | None = None,
        transfers: Mapping[str, str] | None = None,
        stt: Stt | None = None,
        llm: Llm | None = None,
        tts: Tts | None = None,
    ) -> None:
        self.name = name or type(self).__name__
        self.instructions = instructions
        self.greeting = greeting
        self.voice = voice or Voice(language=language)
        self.hints = Hints(tuple(phrases), language)
        self.stt, self.llm, self.tts = stt, llm, tts
        self.tools = ToolBox(self._gather(tools), toolsets)
        self._session: Conversation | None = None
        self.may(handoffs=handoffs or {}, transfers=transfers or {})

    @property
    def session(self) -> Conversation:
        """The conversation this agent is in. Raises ConfigError before it has entered one."""
        if self._session is None:
            raise ConfigError(
                f"agent {self.name!r} is in no call yet. Use session in on_enter, on_exit or a tool."
            )
        return self._session

    def may(self, *, handoffs: Mapping[str, Callable[[], Agent]], transfers: Mapping[str, str]) -> None:
        """Give the agent colleagues and places to send callers, with the tools for it."""
        if handoffs:
            self.tools["hand_over"] = hand_over_tool(handoffs)
        if transfers:
            self.tools["transfer"] = transfer_tool(transfers)

    def join(self, session: Conversation) -> None:
        """The session makes this agent the one that talks. Called by the session only."""
        self._session = session

    async def on_enter(self) -> None:
        """The agent took over. Says the greeting; override it to do something else."""
        if self.greeting:
            self.session.say(self.greeting)

    async def on_exit(self) -> None:
        """Another agent takes over, or the call is over."""

    def _gather(self, extra: Iterable[FunctionTool]) -> dict[str, FunctionTool]:
        own = [
            value.bound_to(self)
            for kind in reversed(type(self).__mro__)
            for value in vars(kind).values()
            if isinstance(value, FunctionTool)
        ]
        return {tool.spec.name: tool for tool in [*own, *extra, hang_up]}
