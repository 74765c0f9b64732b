"""What has been said on the call, as the language model is told it. Not a transcript of sound: what the agent
said is what the caller *heard*. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool that the assistant asked for. arguments: JSON text of an object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One entry. at: loop time in s when it was complete.

    agent: who spoke, for the assistant. interrupted: the caller cut it off, `text` ends at the last word heard.
    tool_call_id: for role "tool", which request this answers. understood: for role "user", the recogniser's word.
    """

    role: Role
    text: str
    at: float = 0.0
    agent: str = ""
    interrupted: bool = False
    understood: bool = True
    tool_calls: tuple[ToolRequest, ...] = ()
    tool_call_id: str = ""


@dataclass(slots=True)
class History:
    """The messages of one call, oldest first."""

    messages: list[Message] = field(default_factory=list)

    def add(self, message: Message) -> None:
        self.messages.append(message)

    def revise(self, old: Message, new: Message | None) -> None:
        """Put `new` in the place of `old`, or take `old` out: the caller did not hear all of it."""
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index] is old:
                self.messages[index : index + 1] = [new] if new is not None else []
                return

    def for_model(self, instructions: str) -> list[Message]:
        """What the next request carries: this agent's instructions, then everything said so far."""
        head = [Message("system", instructions)] if instructions else []
        return head + self.messages

    def dump(self) -> list[dict[str, Any]]:
        """Plain values, for a checkpoint."""
        return [_dump(message) for message in self.messages]

    @classmethod
    def load(cls, rows: list[dict[str, Any]]) -> History:
        """The history that `dump` wrote."""
        return cls([_load(row) for row in rows])


def _dump(message: Message) -> dict[str, Any]:
    row = {name: getattr(message, name) for name in Message.__slots__}
    row["tool_calls"] = [[call.id, call.name, call.arguments] for call in message.tool_calls]
    return row


def _load(row: dict[str, Any]) -> Message:
    calls = tuple(ToolRequest(*call) for call in row["tool_calls"])
    return replace(Message(**{**row, "tool_calls": ()}), tool_calls=calls)
