"""What has been said on the call, as the language model is told it. Not a transcript of sound: what the agent
said is what the caller *heard*. Pure."""

from __future__ import annotations

from collections.abc import Sequence
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
    ok: for role "tool", it did what was asked. interim: for role "tool", it still runs, another answer will follow.
    """

    role: Role
    text: str
    at: float = 0.0
    agent: str = ""
    interrupted: bool = False
    understood: bool = True
    tool_calls: tuple[ToolRequest, ...] = ()
    tool_call_id: str = ""
    ok: bool = True
    interim: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What an agent knows that was not to hear everything. since: loop time in s from which on it was there. before:
    what had been said just then. summary: what it was told of the time before, "" for nothing."""

    since: float
    before: tuple[Message, ...] = ()
    summary: str = ""

    def has(self, message: Message) -> bool:
        """Was it said since?"""
        return message.at >= self.since and not any(message is known for known in self.before)


@dataclass(slots=True)
class History:
    """The messages of one call, oldest first. requests: how often a model was given them."""

    messages: list[Message] = field(default_factory=list)
    requests: int = field(default=0, compare=False)
    _dumped: list[tuple[Message, dict[str, Any]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def add(self, message: Message) -> None:
        self.messages.append(message)

    def revise(self, old: Message, new: Message | None) -> None:
        """Put `new` in the place of `old`, or take `old` out: the caller did not hear all of it."""
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index] is old:
                self.messages[index : index + 1] = [new] if new is not None else []
                return

    def for_model(self, instructions: str, memory: Memory | None = None) -> list[Message]:
        """What the next request carries: this agent's instructions, then everything said so far, or what it knows."""
        self.requests += 1
        return self.known(instructions, memory)

    def known(self, instructions: str, memory: Memory | None = None) -> list[Message]:
        """The same without a request."""
        head = [Message("system", instructions)] if instructions else []
        if memory is None:
            return head + as_told(self.messages)
        if memory.summary:
            head.append(Message("system", f"What was said before you took over: {memory.summary}"))
        return head + as_told([message for message in self.messages if memory.has(message)])

    def dump(self) -> list[dict[str, Any]]:
        """Plain values, for a checkpoint. A message that was dumped before gives the same object again."""
        dumped = self._dumped
        for at, message in enumerate(self.messages):
            if at == len(dumped) or dumped[at][0] is not message:
                dumped[at:] = [(message, _dump(message))]
        del dumped[len(self.messages) :]
        return [row for _, row in dumped]

    @classmethod
    def load(cls, rows: list[dict[str, Any]]) -> History:
        """The history that `dump` wrote."""
        return cls([_load(row) for row in rows])


RUNNING = "is still running. Do not call it again: its result will come."


def as_told(messages: Sequence[Message]) -> list[Message]:
    """The messages in the order that models insist on: each request for a tool is followed by its answer.

    An answer that came later, because the caller spoke meanwhile, moves up to its request; where none has come yet
    it says that the tool is running. What came after an interim answer is told as a request of its own. Words said
    while a tool ran belong to the message that asked for it.
    """
    answers: dict[str, Message] = {}
    for message in messages:
        if message.role == "tool":
            answers.setdefault(message.tool_call_id, message)
    told: list[Message] = []
    asked: dict[str, tuple[Message, ToolRequest]] = {}
    waiting: set[str] = (
        set()
    )  # requests of the newest assistant message whose answer has not come at this point
    asking = 0  # where that message is in `told`
    for message in messages:
        if message.role == "tool":
            waiting.discard(message.tool_call_id)
            if message.tool_call_id in asked and message is not answers[message.tool_call_id]:
                told += _again(*asked[message.tool_call_id], message, len(told))
        elif message.tool_calls:
            asking, waiting = len(told), {call.id for call in message.tool_calls}
            asked |= {call.id: (message, call) for call in message.tool_calls}
            told.append(message)
            told += [
                answers.get(call.id)
                or Message("tool", f"{call.name} {RUNNING}", tool_call_id=call.id, interim=True)
                for call in message.tool_calls
            ]
        elif message.role == "assistant" and waiting:
            text = f"{told[asking].text} {message.text}".strip()
            told[asking] = replace(told[asking], text=text, interrupted=message.interrupted)
        else:
            waiting = set()
            told.append(message)
    return told


def _again(asker: Message, call: ToolRequest, answer: Message, place: int) -> list[Message]:
    """A later answer to a request that has had one: models allow one for each, so the request is repeated."""
    call = replace(call, id=f"{call.id}_{place}")
    request = Message("assistant", "", answer.at, agent=asker.agent, tool_calls=(call,))
    return [request, replace(answer, tool_call_id=call.id)]


def _dump(message: Message) -> dict[str, Any]:
    row = {name: getattr(message, name) for name in Message.__slots__}
    row["tool_calls"] = [[call.id, call.name, call.arguments] for call in message.tool_calls]
    return row


def _load(row: dict[str, Any]) -> Message:
    calls = tuple(ToolRequest(*call) for call in row["tool_calls"])
    return replace(Message(**{**row, "tool_calls": ()}), tool_calls=calls)
