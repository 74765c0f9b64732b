"""An agent: who answers, what it knows, what it may do.

Subclass it, or build one from a dial plan's persona; both are the same thing. It holds no audio and no state of
the call: that is the session's (`self.session`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from pipeline.agent.conversation import Conversation
from pipeline.agent.history import History, Message
from pipeline.agent.phone import PHONE_TOOLS, hand_over_tool, hang_up, transfer_tool
from pipeline.agent.tools import FunctionTool
from pipeline.agent.toolset import ToolBox, Toolset
from pipeline.canned import lines
from pipeline.errors import ConfigError
from pipeline.hearing.expectation import Expectation
from pipeline.options import ThinkingSound
from pipeline.ports import Destination, Hints, Llm, LlmDelta, Stt, SttStream, ToolSpec, Tts, TtsStream, Voice
from pipeline.speaking.pronounce import Pronunciation


class Agent:
    """One role in a conversation.

    instructions: for the language model. greeting: said on entering, unless on_enter is overridden.
    phrases: what callers tend to say, for the recogniser. handoffs: agents that may take over, by name.
    transfers: people and places a caller may be sent to, name → SIP target. pronounce: words the voice gets wrong →
    how they sound (pipeline/speaking/pronounce.py). stt, llm, tts: instead of the call's.
    turn_handling, silence: instead of the call's, where they say something (options.py). keys: a menu, key → what the
    caller means by it. fillers: said when an answer takes long; None: those of the language, () for none. expects:
    what the greeting asks for. history: what it knows when it takes over: everything, a summary, nothing. toolsets:
    in use from entering until the call is over. thinking_sound: heard while it thinks, "typing", "tick", a WAV file,
    or what ThinkingSound (options.py) takes.
    """

    begins_again = False  # after its process died: it enters anew, instead of going on in mid-sentence

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
        transfers: Mapping[str, str | Destination] | None = None,
        pronounce: Mapping[str, str] | None = None,
        stt: Stt | None = None,
        llm: Llm | None = None,
        tts: Tts | None = None,
        turn_handling: Mapping[str, Any] | None = None,
        silence: Mapping[str, Any] | None = None,
        keys: Mapping[str, str] | None = None,
        expects: Expectation | None = None,
        history: Literal["shared", "summary", "private"] = "shared",
        fillers: Iterable[str] | None = None,
        thinking_sound: str | Mapping[str, Any] = "off",
    ) -> None:
        self.name = name or type(self).__name__
        self.instructions = instructions
        self.greeting = greeting
        self.voice = voice or Voice(language=language)
        self.hints = Hints(tuple(phrases), language)
        self.pronounce = Pronunciation(pronounce)
        self.stt, self.llm, self.tts = stt, llm, tts
        self.turn_handling, self.silence = dict(turn_handling or {}), dict(silence or {})
        self.keys = dict(keys or {})
        self.expects = expects
        self.history = history
        self.fillers = lines(self.voice.language).fillers if fillers is None else tuple(fillers)
        self.thinking_sound = ThinkingSound.model_validate(thinking_sound)
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

    def may(
        self,
        *,
        handoffs: Mapping[str, Callable[[], Agent]],
        transfers: Mapping[str, str | Destination],
        phone: Iterable[str] = (),
    ) -> None:
        """Give the agent colleagues and places to send callers, with the tools for it.

        phone: what else it may do to the call, by the names in PHONE_TOOLS; others are passed over."""
        self.tools.update({name: PHONE_TOOLS[name] for name in phone if name in PHONE_TOOLS})
        if handoffs:
            self.tools["hand_over"] = hand_over_tool(handoffs)
        if transfers:
            self.tools["transfer"] = transfer_tool(transfers)

    async def update(
        self,
        *,
        instructions: str | None = None,
        voice: Voice | None = None,
        phrases: Iterable[str] | None = None,
        stt: Stt | None = None,
        llm: Llm | None = None,
        tts: Tts | None = None,
    ) -> None:
        """Change in the middle of a call: what is given, from the next turn on. A voice with another language changes
        what the recogniser listens for; another recogniser hears from now on. Raises ProviderError if it cannot."""
        self.instructions = self.instructions if instructions is None else instructions
        self.stt, self.llm, self.tts = stt or self.stt, llm or self.llm, tts or self.tts
        self.voice = voice or self.voice
        known = self.hints.phrases if phrases is None else tuple(phrases)
        self.hints = Hints(known, self.voice.language)
        if self._session is not None:
            await self._session.refresh()

    def join(self, session: Conversation) -> None:
        """The session makes this agent the one that talks. Called by the session only."""
        self._session = session

    async def on_enter(self) -> None:
        """The agent took over. Says the greeting; override it to do something else."""
        if self.greeting:
            self.session.say(self.greeting)

    async def on_exit(self) -> None:
        """Another agent takes over, or the call is over."""

    async def on_user_turn_completed(self, history: History, message: Message) -> Message:
        """The caller's turn is complete and not yet in the history; its answer waits for this.

        Returns the message that goes into the history: the same, or one with more in it. What is added to `history` is
        there for the answer. Raise StopResponse to answer nothing; the message is then kept all the same."""
        return message

    async def on_user_turn_exceeded(self, text: str) -> None:
        """The line has been noisy for `max_turn_s`: hold music, a television, or a long story. The turn ends now, and
        is answered if there were words in it. text: the words so far."""
        if not text:
            self.session.say(lines(self.voice.language).noise, allow_interruptions=False)

    def on_keys(self, keys: str) -> bool:
        """The caller has keyed something in. True: dealt with; False: it counts as said."""
        return False

    def on_silence(self) -> bool:
        """The caller was asked as often as `silence` says, and says nothing. True: dealt with; False: they are told
        goodbye, and the call ends."""
        return False

    async def on_tone(self, kind: str) -> None:
        """The caller's line gives a signal of a network or a machine. kind: busy, reorder, sit (an announcement
        follows), beep (an answering machine records), fax_cng (a fax calls) or fax_ced (a fax answers)."""

    def llm_node(
        self,
        llm: Llm,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        tool_choice: Literal["auto", "none", "required"],
    ) -> AsyncGenerator[LlmDelta, None]:
        """Ask the model. Override it to change what goes in or comes out, or to answer without a model."""
        return llm.chat(messages, tools, tool_choice=tool_choice)

    async def stt_node(self, stt: Stt, rate_hz: int) -> SttStream:
        """Open the recogniser of the call. Override it to wrap the stream. The next agent keeps it, unless it names
        another recogniser."""
        return await stt.open(rate_hz=rate_hz, hints=self.hints)

    async def tts_node(self, tts: Tts) -> TtsStream:
        """Open the voice for one reply. Override it to change words on their way to it, or the sound it makes."""
        return await tts.open(self.voice)

    def _gather(self, extra: Iterable[FunctionTool]) -> dict[str, FunctionTool]:
        own = [
            value.bound_to(self)
            for kind in reversed(type(self).__mro__)
            for value in vars(kind).values()
            if isinstance(value, FunctionTool)
        ]
        return {tool.spec.name: tool for tool in [*own, *extra, hang_up]}
