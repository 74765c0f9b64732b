"""What goes to and fro on one connection: the conversation as the server has it, and the answers under way.

Made anew with every connection by call.py, which owns those."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.events import AnswerDiscarded, Event, ModelUsed
from pipeline.ports import Hints, Known, ToolSpec
from pipeline.realtime.answer import Answer
from pipeline.realtime.mirror import Add, Item, Mirror
from pipeline.realtime.model import (
    UNWRITTEN,
    Ask,
    Committed,
    Done,
    Piece,
    RealtimeEvent,
    RealtimeStream,
    Words,
)

CANCEL_S = 1.0  # how long the server may take to end a cancelled answer


class Listener(Protocol):
    """Who is told of the caller's words."""

    hints: Hints

    def committed(self, item: str) -> None: ...
    def words(self, event: Words) -> None: ...
    def refused(self) -> None:
        """What was committed last is nothing."""

    def renewed(self) -> None:
        """There is a new connection, which has not heard what was not written down yet."""

    def failed(self, error: ProviderError) -> None: ...


@dataclass(slots=True, eq=False)
class Setting:
    """What all connections of a call have in common. talking: replies that have something to say. known: what the agent
    knows that talks."""

    name: str
    sound_hz: int
    ears: Listener | None = None
    talking: int = 0
    known: Known = field(default=lambda: ([], []))
    emit: Callable[[Event], None] = field(default=lambda event: None)

    @property
    def hints(self) -> Hints:
        return self.ears.hints if self.ears is not None else Hints()


class Exchange:
    """One connection's. instructions, tools: what the connection was opened with. answered: has anything been?"""

    def __init__(
        self, stream: RealtimeStream, setting: Setting, instructions: str, tools: Sequence[ToolSpec]
    ) -> None:
        self.answered = False
        self._stream, self._setting = stream, setting
        self._told = instructions, tuple(tools), setting.hints
        self._mirror = Mirror()
        self._answers: dict[str, Answer] = {}
        self._ahead: Answer | None = None
        self._discarded: set[str] = set()
        self._asides: set[str] = set()  # answers outside the conversation
        self._asked = 0

    @property
    def busy(self) -> bool:
        """Is an answer under way?"""
        return bool(self._answers)

    def fail(self, error: ProviderError) -> None:
        """The connection is gone."""
        answers, self._answers, self._ahead = self._answers, {}, None
        for answer in answers.values():
            answer.fail(error)

    # ------------------------------------------------------------ what is sent

    def catch_up(self) -> None:
        """Tell the server what is known by now, unless it is about to answer."""
        if not self._main():
            self.tell(*self._setting.known(), pending=True)

    def commit(self, *, think: bool) -> None:
        """The caller has said something. think: it is probably a turn; the model may begin to answer it."""
        self._stream.commit()
        if think and not self._setting.talking and not self._main():
            self.tell(*self._setting.known(), pending=True)
            self._ahead = self._ask(Ask(self._tag()))

    async def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        tool_choice: Literal["auto", "none", "required"],
    ) -> Answer:
        """What the model says to this; it may have begun already."""
        changed = self.tell(messages, tools)
        ahead = self._ahead
        if ahead is not None and not changed and tool_choice == "auto":
            self._ahead = None
            return ahead
        self.discard_ahead()
        for one in self._main():  # the server answers one thing at a time
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_S):
                    await one.over.wait()
        return self._ask(Ask(self._tag(), tool_choice))

    def aside(self, ask: Callable[[str], Ask]) -> Answer:
        """An answer outside the conversation."""
        return self._ask(ask(self._tag()))

    def cancel(self, answer: Answer) -> None:
        """Nobody wants the rest of it."""
        if self._answers.get(answer.tag) is answer and not answer.done:
            self._stream.cancel(answer.tag)

    def discard_ahead(self) -> None:
        """The answer that was made ahead is for other words."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return
        self.cancel(ahead)
        if ahead.done:
            self._report_discarded(ahead)
        else:
            self._discarded.add(ahead.tag)
        for item in ahead.items:
            self._remove(item)

    def _main(self) -> list[Answer]:
        """Answers in the conversation that are not over."""
        return [answer for tag, answer in self._answers.items() if tag not in self._asides]

    def _tag(self) -> str:
        self._asked += 1
        return f"answer_{self._asked}"

    def _ask(self, ask: Ask) -> Answer:
        answer = self._answers[ask.tag] = Answer(ask.tag, self._cut)
        if ask.aside:
            self._asides.add(ask.tag)
        self._stream.ask(ask)
        return answer

    def tell(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, pending: bool = False) -> bool:
        """Make the server's conversation these messages. Returns whether anything had to be changed."""
        stream = self._stream
        told = instructions_of(messages), tuple(tools), self._setting.hints
        configured = told != self._told
        if configured:
            self._told = told
            stream.configure(told[0], tools, told[2])
        ahead = self._ahead.items if self._ahead is not None else []
        held = [item for item in self._mirror.items if item.id in ahead]
        self._mirror.items = [item for item in self._mirror.items if item.id not in ahead]
        changes = self._mirror.sync(messages[1:] if told[0] else messages, pending=pending)
        self._mirror.items += held
        for change in changes:
            if isinstance(change, Add):
                stream.add(change.item, change.message, change.after)
            else:
                stream.remove(change.item)
        return bool(changes) or configured

    def _remove(self, item: str) -> None:
        if self._mirror.drop(item):
            self._stream.remove(item)

    def _cut(self, answer: Answer, heard: list[tuple[str, int]]) -> None:
        """The caller did not hear all of it: nor does the model remember more."""
        self.cancel(answer)
        for name, samples in heard:
            item = self._mirror.find(name)
            if item is None:
                continue
            if not samples:
                self._remove(name)
                continue
            item.cut = True
            self._stream.truncate(name, samples * 1000 // self._setting.sound_hz)

    # ------------------------------------------------------------ what comes

    def on(self, event: RealtimeEvent) -> None:
        if isinstance(event, Piece):
            self._piece(event)
        elif isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Committed):
            item = Item(event.item, "user", None, aside=bool(self._setting.talking), spoken=True)
            self._mirror.items.append(item)
            if self._setting.ears is not None:
                self._setting.ears.committed(event.item)
        elif isinstance(event, Words):
            item_ = self._mirror.find(event.item)
            if item_ is not None and event.last:
                item_.text = UNWRITTEN if event.failed else event.text
            if self._setting.ears is not None:
                self._setting.ears.words(event)
        elif event.what == "add":
            self._mirror.drop(event.item)  # it is missing: the next answer tells it again
        elif event.what == "commit" and self._setting.ears is not None:
            self._setting.ears.refused()

    def _piece(self, event: Piece) -> None:
        answer = self._answers.get(event.tag)
        if answer is None or event.tag in self._discarded:
            if event.tag in self._discarded:
                self._stream.remove(event.item)
            return
        if not event.aside:
            item = self._mirror.find(event.item)
            if item is None and event.item not in answer.items:
                kind: Literal["call", "assistant"] = "call" if event.call else "assistant"
                item = Item(event.item, kind, key=event.call.id if event.call else "", spoken=True)
                self._mirror.items.append(item)
            if item is not None and event.text:
                item.text = (item.text or "") + event.text
        answer.take(event)

    def _done(self, event: Done) -> None:
        answer = self._answers.pop(event.tag, None)
        self._asides.discard(event.tag)
        if event.error is None:
            self.answered = True
        used = event.usage
        if used.input_tokens or used.output_tokens:
            now = asyncio.get_running_loop().time()
            counts = used.input_tokens, used.output_tokens, used.cached_tokens
            audio = used.input_audio_tokens, used.output_audio_tokens
            self._setting.emit(ModelUsed(now, self._setting.name, *counts, *audio))
        if answer is not None:
            answer.take(event)
            if event.tag in self._discarded:
                self._discarded.discard(event.tag)
                self._report_discarded(answer)

    def _report_discarded(self, answer: Answer) -> None:
        if answer.usage.output_tokens:
            now = asyncio.get_running_loop().time()
            self._setting.emit(AnswerDiscarded(now, answer.usage.output_tokens))


def instructions_of(messages: Sequence[Message]) -> str:
    """What the agent is told, which the server keeps apart from the conversation."""
    return messages[0].text if messages and messages[0].role == "system" else ""
