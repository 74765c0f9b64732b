"""What happened in a call, in order: messages and events made into one list that a test can ask and a person can read.

Pure. Filled by text.py and call.py; asked by expect.py and judging.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any, Literal, TypeAlias

from pipeline.agent.arguments import BadArguments, read_arguments
from pipeline.agent.history import History, Message
from pipeline.events import (
    AgentEntered,
    AgentSpoke,
    Event,
    ProviderFailed,
    SessionClosed,
    ToolCalled,
    TransferFinished,
)

Kind: TypeAlias = Literal["message", "tool_call", "tool_result", "handoff", "transfer", "failure", "over"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that happened.

    name: the role of a message, else the tool, the agent that took over, the target, the provider, or why the call is
    over. text: the words, or the tool's result. arguments: of a tool call. ok: of a tool result or transfer.
    interrupted: the caller cut the message off. agent: who said it, or who handed over.
    """

    kind: Kind
    name: str
    text: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    ok: bool = True
    interrupted: bool = False
    agent: str = ""
    at: float = 0.0  # loop time, s

    def __str__(self) -> str:
        match self.kind:
            case "message":
                who = {"user": "caller", "assistant": f"agent {self.agent}".strip()}.get(self.name, self.name)
                return f'{who}: "{self.text}"' + (" (interrupted)" if self.interrupted else "")
            case "tool_call":
                named = ", ".join(f"{name}={dumps(value)}" for name, value in self.arguments.items())
                return f"tool call: {self.name}({named}{self.text})"
            case "tool_result":
                return f'tool result: {self.name} -> "{self.text}"' + ("" if self.ok else " (failed)")
            case "handoff":
                return f"handoff: {self.agent} -> {self.name}"
            case "transfer":
                return f"transfer: {self.name}" + ("" if self.ok else f" (failed: {self.text})")
            case "failure":
                return f"failure: {self.text}"
            case "over":
                return f"the call is over: {self.name}"


class Story:
    """Everything that happened in one call. history: give it to the session; emit: be told of its events.

    stirred: called whenever something is added.
    """

    def __init__(self, stirred: Callable[[], None] = lambda: None) -> None:
        self.events: list[Event] = []
        self.history: History = _Told(self)
        self._told: list[Message | Event] = []
        self._stirred = stirred

    def __len__(self) -> int:
        return len(self._told)

    def emit(self, event: Event) -> None:
        """Something happened."""
        self.events.append(event)
        self._add(event)

    def _add(self, entry: Message | Event) -> None:
        self._told.append(entry)
        self._stirred()

    def noted(self, message: Message) -> None:
        """A message is in the history."""
        self._add(message)

    def revised(self, old: Message, new: Message | None) -> None:
        """It was not heard as it stands there."""
        for index, entry in enumerate(self._told):
            if entry is old:
                self._told[index : index + 1] = [new] if new is not None else []
                return

    def entries(self, start: int = 0) -> list[Message | Event]:
        """Messages and events from an entry on, oldest first."""
        return self._told[start:]

    def items(self, start: int = 0) -> list[Item]:
        """What is worth telling of that."""
        tools = {event.id: event.name for event in self.events if isinstance(event, ToolCalled)}
        found: list[Item] = []
        for index, entry in enumerate(self._told):
            if isinstance(entry, Message):
                item = _of_message(entry, tools)
            elif isinstance(entry, AgentSpoke):
                item = _untold(entry, self.history.messages)
            else:
                item = _of_event(entry)
            if item is not None and index >= start:
                found.append(item)
        return found


class _Told(History):
    """A history that tells its story."""

    def __init__(self, story: Story) -> None:
        super().__init__()
        self._story = story

    def add(self, message: Message) -> None:
        History.add(self, message)
        self._story.noted(message)

    def revise(self, old: Message, new: Message | None) -> None:
        History.revise(self, old, new)
        self._story.revised(old, new)


def _of_message(message: Message, tools: dict[str, str]) -> Item | None:
    if message.role == "tool":
        name = tools.get(message.tool_call_id, message.tool_call_id)
        return Item("tool_result", name, message.text, ok=message.ok, at=message.at)
    if not message.text and message.role == "assistant":
        return None  # only asked for tools, which is told by their events
    return Item(
        "message",
        message.role,
        message.text,
        interrupted=message.interrupted,
        agent=message.agent,
        at=message.at,
    )


def _of_event(event: Event) -> Item | None:
    match event:
        case AgentEntered() if event.came_from:
            return Item("handoff", event.agent, agent=event.came_from, at=event.at)
        case ToolCalled():
            arguments, unreadable = _arguments(event.arguments)
            return Item("tool_call", event.name, unreadable, arguments, at=event.at)
        case TransferFinished():
            text = f"{event.code} {event.reason}".strip()
            return Item("transfer", event.target, text, ok=event.ok, at=event.at)
        case ProviderFailed():
            return Item("failure", event.provider, event.message, ok=False, at=event.at)
        case SessionClosed():
            return Item("over", event.reason, at=event.at)
    return None


def _untold(spoke: AgentSpoke, messages: Sequence[Message]) -> Item | None:
    """What was heard and is in no message: fillers, and `say(..., add_to_history=False)`."""
    rest = spoke.text
    for message in messages:
        if message.role == "assistant" and message.agent == spoke.agent and message.text:
            rest = rest.replace(message.text, " ")
    rest = " ".join(rest.split())
    if not any(letter.isalnum() for letter in rest):
        return None
    return Item("message", "assistant", rest, interrupted=spoke.interrupted, agent=spoke.agent, at=spoke.at)


def _arguments(text: str) -> tuple[dict[str, Any], str]:
    try:
        return read_arguments(text), ""
    except BadArguments:
        return {}, text
