"""What the server holds of a conversation, and what must change there so that it is what the call's history says.

Pure. The history is the truth: what the caller did not hear was not said, what was taken for noise was not heard,
another agent may know less. Driven by call.py, which sends the changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pipeline.agent.history import Message

Kind = Literal["user", "assistant", "call", "tool", "system"]


@dataclass(slots=True, eq=False)
class Item:
    """One item of the server's conversation. text: None while the words of the caller are not known.

    key: of a tool call and of its answer. cut: it was truncated, `text` is more than was heard. aside: said over the
    agent; whether it counts is not known. spoken: it is sound, not text."""

    id: str
    kind: Kind
    text: str | None = ""
    key: str = ""
    cut: bool = False
    aside: bool = False
    spoken: bool = False


@dataclass(frozen=True, slots=True)
class Add:
    """Put this message behind the item `after`, "" for first."""

    item: str
    message: Message
    after: str


@dataclass(frozen=True, slots=True)
class Remove:
    item: str


Change: TypeAlias = Add | Remove


class Mirror:
    """The items of one connection, in order."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._made = 0

    def find(self, item: str) -> Item | None:
        return next((one for one in self.items if one.id == item), None)

    def drop(self, item: str) -> bool:
        """It is gone from the server. Returns whether it was there."""
        found = self.find(item)
        if found is not None:
            self.items.remove(found)
        return found is not None

    def sync(self, messages: Sequence[Message], *, pending: bool = False) -> list[Change]:
        """Become these messages, the agent's instructions left out. Returns what the server must be told, in order.

        pending: what the caller said last is not in the messages yet, and stays."""
        wanted = [part for message in messages for part in _parts(message)]
        changes: list[Change] = []
        kept: list[Item] = []
        at = 0
        for message in wanted:
            found = self._match(message, at)
            if found is None:
                item = self._new(message)
                changes.append(Add(item.id, message, kept[-1].id if kept else ""))
                kept.append(item)
                continue
            first, end = found
            changes[:0] = [Remove(item.id) for item in self.items[at:first]]
            kept += self.items[first:end]
            at = end
        for item in self.items[at:]:
            if pending and item.kind == "user" and not item.aside and item.text != "":
                kept.append(item)
            else:
                changes.insert(0, Remove(item.id))
        self.items = kept
        return changes

    def _match(self, message: Message, begin: int) -> tuple[int, int] | None:
        """Which items say this, from `begin` on. A turn of the caller may be several."""
        for first in range(begin, len(self.items)):
            if self.items[first].kind != _kind(message):
                continue
            if message.role == "user":
                if end := self._said(message, first):
                    return first, end
            elif _same(self.items[first], message):
                return first, first + 1
        return None

    def _said(self, message: Message, first: int) -> int:
        """Behind the last of the items that make up this turn of the caller, 0 if they do not."""
        said, wanted = "", _plain(message.text)
        for end in range(first, len(self.items)):
            item = self.items[end]
            if item.kind != "user":
                break
            if item.text is None or (item.spoken and not wanted):
                return end + 1 if not message.understood or not wanted else 0
            said = _plain(f"{said} {item.text}")
            if said == wanted:
                return end + 1
            if not wanted.startswith(said):
                break
        return 0

    def _new(self, message: Message) -> Item:
        self._made += 1
        key = message.tool_calls[0].id if message.tool_calls else message.tool_call_id
        text = message.tool_calls[0].arguments if message.tool_calls else message.text
        return Item(f"offhook_{self._made}", _kind(message), text, key)


def _parts(message: Message) -> Iterator[Message]:
    """One message as the items that the server makes of it: words, and each tool call by itself."""
    if message.text.strip() or message.role in ("user", "tool"):
        yield replace(message, tool_calls=())
    for call in message.tool_calls:
        yield replace(message, text="", tool_calls=(call,))


def _kind(message: Message) -> Kind:
    return "call" if message.tool_calls else message.role


def _same(item: Item, message: Message) -> bool:
    if item.kind == "call":
        return item.key == message.tool_calls[0].id
    if item.kind == "tool" and item.key != message.tool_call_id:
        return False
    text, wanted = _plain(item.text or ""), _plain(message.text)
    return text == wanted or (item.cut and text.startswith(wanted))


def _plain(text: str) -> str:
    return " ".join(text.split())
