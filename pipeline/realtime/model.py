"""What a vendor of a speech-to-speech model implements: one connection that is given sound and gives sound.

Protocols and plain values. How a call is held on it is the business of the rest of this package; who speaks the wire is
under pipeline/providers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.ports import Frame, Hints, ToolCall, ToolSpec, Usage, Voice


@dataclass(frozen=True, slots=True)
class Ask:
    """What a RealtimeModel is to answer. tag: ours, comes back with all that belongs to the answer.

    aloud: in sound, else in writing. aside: outside the conversation, of these messages alone."""

    tag: str
    tool_choice: Literal["auto", "none", "required"] = "auto"
    aloud: bool = True
    aside: bool = False
    instructions: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """What the caller said is an item of the server's conversation."""

    item: str


@dataclass(frozen=True, slots=True)
class Words:
    """What such an item says. last: that is all of it; failed: it could not be written down."""

    item: str
    text: str  # what is new, or (last) all
    last: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: words (`text`), sound, or a tool call. item: of the conversation, unless `aside`."""

    tag: str
    item: str
    text: str = ""
    pcm: Frame | None = None
    call: ToolCall | None = None
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """An answer is complete, cancelled, or (error) failed."""

    tag: str
    usage: Usage = Usage()
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The server would not do something that is not an answer. what: the kind of thing, such as `commit`."""

    what: str
    item: str
    error: ProviderError


UNWRITTEN = "…"  # stands for words that the model heard and nobody could write down

RealtimeEvent: TypeAlias = Committed | Words | Piece | Done | Refused


class RealtimeStream(Protocol):
    """One connection to a model that hears and speaks. Nothing here blocks; iterating raises ProviderError when the
    connection fails, also when it ends."""

    def append(self, frame: Frame) -> None:
        """20 ms of the caller. Called on the clock."""

    def commit(self) -> None:
        """What was appended since the last commit is something the caller said: `Committed` follows."""

    def configure(self, instructions: str, tools: Sequence[ToolSpec], hints: Hints) -> None: ...
    def add(self, item: str, message: Message, after: str) -> None:
        """Put a message into the conversation. item: its id there, ours to choose. after: behind which, "" first."""

    def remove(self, item: str) -> None: ...
    def truncate(self, item: str, ms: int) -> None:
        """So much of it was heard, and no more."""

    def ask(self, ask: Ask) -> None: ...
    def cancel(self, tag: str) -> None: ...
    def __aiter__(self) -> AsyncIterator[RealtimeEvent]: ...
    async def aclose(self) -> None: ...


class RealtimeModel(Protocol):
    """Hears, thinks and speaks (speech to speech). One serves all calls of a worker."""

    name: str
    voice: str
    max_session_s: float
    hears_always: bool  # the server decides where an item ends, so it is sent silence too

    def sound_hz(self, rate_hz: int) -> int:
        """The rate at which it speaks on a call at rate_hz."""

    async def open(
        self,
        *,
        rate_hz: int,
        law: str,
        voice: Voice,
        instructions: str,
        tools: Sequence[ToolSpec],
        hints: Hints,
    ) -> RealtimeStream:
        """A connection, ready. law: ulaw or alaw, which G.711 the call speaks. Raises ProviderError."""
