"""One call's connection to a model that hears and speaks: opened, kept the same as the history, opened again.

Recogniser (ears.py), model (mind.py) and voice (mouth.py) of the call share it. Whatever the reason for a new
connection is (the socket died, the server's time limit, another voice), it is given the history again, and what the
caller was just saying. It lives as long as somebody holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, Protocol

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.events import AnswerDiscarded, Event, ModelUsed, ProviderFailed
from pipeline.ports import Frame, Hints, Known, ToolSpec, Voice
from pipeline.realtime.answer import Answer
from pipeline.realtime.mirror import Add, Item, Mirror
from pipeline.realtime.model import (
    UNWRITTEN,
    Ask,
    Committed,
    Done,
    Piece,
    RealtimeEvent,
    RealtimeModel,
    RealtimeStream,
    Words,
)

CANCEL_S = 1.0  # how long the server may take to end a cancelled answer
MAX_LOSSES = 3  # connections in a row that broke before they had answered anything
AGED_CHECK_S = 1.0  # how often is looked for a moment to renew a connection that is too old


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


class RealtimeCall:
    """The connection of one call. law: ulaw or alaw, which G.711 it speaks. voice: of the first agent."""

    def __init__(
        self, model: RealtimeModel, *, rate_hz: int, law: str = "ulaw", voice: Voice | None = None
    ) -> None:
        self.model, self.rate_hz, self.law = model, rate_hz, law
        self.sound_hz = model.sound_hz(rate_hz)
        self.ears: Listener | None = None
        self.talking = 0  # replies that have something to say
        self._voice = voice or Voice()
        self._emit: Callable[[Event], None] = lambda event: None
        self._known: Known = lambda: ([], [])
        self._stream: RealtimeStream | None = None
        self._mirror = Mirror()
        self._told: tuple[str, tuple[ToolSpec, ...], Hints] | None = None
        self._answers: dict[str, Answer] = {}
        self._ahead: Answer | None = None
        self._discarded: set[str] = set()
        self._asides: set[str] = set()  # answers outside the conversation
        self._asked = 0
        self._holders = 0
        self._losses = 0
        self._opening = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ the connection

    def hold(self) -> None:
        """Somebody needs the connection until `release`."""
        self._holders += 1

    async def release(self) -> None:
        self._holders -= 1
        if not self._holders:
            renewing, self._renewing = self._renewing, None
            if renewing is not None:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
            await self._close()

    def follow(self, known: Known, emit: Callable[[Event], None]) -> None:
        """What the agent knows that talks from now on, and the journal."""
        self._known, self._emit = known, emit
        if not self._main():
            self._tell(*known(), pending=True)

    async def ready(self, voice: Voice | None = None) -> RealtimeStream:
        """The connection, in this voice. Raises ProviderError if there is none to be had."""
        voice = voice or self._voice
        async with self._opening:
            if self._stream is None or self._name(voice) != self._name(self._voice):
                await self._open(voice)
        assert self._stream is not None
        return self._stream

    def _name(self, voice: Voice) -> str:
        return voice.name or self.model.voice

    async def _open(self, voice: Voice) -> None:
        """A new connection, that knows what the old one knew. Raises ProviderError."""
        await self._close()
        messages, tools = self._known()
        told = _instructions(messages), tuple(tools), self._hints
        stream = await self.model.open(
            rate_hz=self.rate_hz, law=self.law, voice=voice, instructions=told[0], tools=tools, hints=told[2]
        )
        self._stream, self._voice, self._told, self._mirror = stream, voice, told, Mirror()
        loop = asyncio.get_running_loop()
        self._reader = loop.create_task(self._read(stream), name="realtime model")
        self._timer = loop.call_later(self.model.max_session_s, self._aged)
        self._tell(messages, tools)
        if self.ears is not None:
            self.ears.renewed()

    async def _close(self) -> None:
        stream, self._stream = self._stream, None
        reader, self._reader = self._reader, None
        if self._timer is not None:
            self._timer.cancel()
        self._forget(ProviderError(self.model.name, "connectivity", "the connection was closed."))
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        if stream is not None:
            await stream.aclose()

    def _forget(self, error: ProviderError) -> None:
        answers, self._answers, self._ahead = self._answers, {}, None
        for answer in answers.values():
            answer.fail(error)

    @property
    def _hints(self) -> Hints:
        return self.ears.hints if self.ears is not None else Hints()

    async def _read(self, stream: RealtimeStream) -> None:
        try:
            async for event in stream:
                self._on(event)
        except ProviderError as error:
            self._lost(stream, error)

    def _lost(self, stream: RealtimeStream, error: ProviderError) -> None:
        if stream is not self._stream:
            return
        loop = asyncio.get_running_loop()
        self._emit(ProviderFailed(loop.time(), error.provider, "realtime", error.cause, str(error)))
        self._losses += 1
        self._stream = None
        self._forget(error)
        self._renewing = loop.create_task(self._renew(stream, error), name="realtime model again")

    async def _renew(self, lost: RealtimeStream | None, error: ProviderError | None) -> None:
        """A new connection at once. If there is none, or they break one after the other, the ears say so."""
        if lost is not None:
            await lost.aclose()
        if error is not None and (
            self._losses >= MAX_LOSSES or error.cause in ("auth", "quota", "bad_request")
        ):
            self._fail(error)
            return
        try:
            async with self._opening:
                if self._stream is None or lost is None:
                    await self._open(self._voice)
        except ProviderError as failure:
            self._fail(failure)

    def _fail(self, error: ProviderError) -> None:
        self._losses = 0
        if self.ears is not None:
            self.ears.failed(error)

    def _aged(self) -> None:
        """The server will end this connection soon: have another one, when nobody speaks."""
        loop = asyncio.get_running_loop()
        if self._answers or self.talking:
            self._timer = loop.call_later(AGED_CHECK_S, self._aged)
        else:
            self._renewing = loop.create_task(self._renew(None, None), name="realtime model anew")

    # ------------------------------------------------------------ what is sent

    def append(self, frame: Frame) -> None:
        """20 ms of the caller. Called on the clock."""
        if self._stream is not None:
            self._stream.append(frame)

    def commit(self, *, think: bool) -> None:
        """The caller has said something. think: it is probably a turn; the model may begin to answer it."""
        if self._stream is None:
            return
        self._stream.commit()
        if think and not self.talking and not any(self._main()):
            self._tell(*self._known(), pending=True)
            self._ahead = self._ask(Ask(self._tag()))

    async def answer(
        self,
        voice: Voice,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        tool_choice: Literal["auto", "none", "required"],
    ) -> Answer:
        """What the model says to this; it may have begun already. Raises ProviderError."""
        await self.ready(voice)
        changed = self._tell(messages, tools)
        ahead = self._ahead
        if ahead is not None and not changed and tool_choice == "auto":
            self._ahead = None
            return ahead
        self.discard_ahead()
        for one in self._main():  # the server answers one thing at a time
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_S):
                    await one.over.wait()
        await self.ready(voice)
        return self._ask(Ask(self._tag(), tool_choice))

    async def aside(self, voice: Voice | None, ask: Callable[[str], Ask]) -> Answer:
        """An answer outside the conversation. Raises ProviderError."""
        await self.ready(voice)
        return self._ask(ask(self._tag()))

    def cancel(self, answer: Answer) -> None:
        """Nobody wants the rest of it."""
        if self._stream is not None and answer.tag in self._answers and not answer.done:
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
        assert self._stream is not None
        answer = self._answers[ask.tag] = Answer(ask.tag, self._cut)
        if ask.aside:
            self._asides.add(ask.tag)
        self._stream.ask(ask)
        return answer

    def _tell(self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, pending: bool = False) -> bool:
        """Make the server's conversation these messages. Returns whether anything had to be changed."""
        stream = self._stream
        if stream is None:
            return False
        told = _instructions(messages), tuple(tools), self._hints
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
        if self._mirror.drop(item) and self._stream is not None:
            self._stream.remove(item)

    def _cut(self, answer: Answer, heard: list[tuple[str, int]]) -> None:
        """The caller did not hear all of it: nor does the model remember more."""
        self.cancel(answer)
        for name, samples in heard:
            item = self._mirror.find(name)
            if item is None or self._stream is None:
                continue
            if not samples:
                self._remove(name)
                continue
            item.cut = True
            self._stream.truncate(name, samples * 1000 // self.sound_hz)

    # ------------------------------------------------------------ what comes

    def _on(self, event: RealtimeEvent) -> None:
        if isinstance(event, Piece):
            self._piece(event)
        elif isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Committed):
            item = Item(event.item, "user", None, aside=bool(self.talking), spoken=True)
            self._mirror.items.append(item)
            if self.ears is not None:
                self.ears.committed(event.item)
        elif isinstance(event, Words):
            item_ = self._mirror.find(event.item)
            if item_ is not None and event.last:
                item_.text = UNWRITTEN if event.failed else event.text
            if self.ears is not None:
                self.ears.words(event)
        elif event.what == "add":
            self._mirror.drop(event.item)  # it is missing: the next answer tells it again
        elif event.what == "commit" and self.ears is not None:
            self.ears.refused()

    def _piece(self, event: Piece) -> None:
        answer = self._answers.get(event.tag)
        if answer is None or event.tag in self._discarded:
            if event.tag in self._discarded and self._stream is not None:
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
            self._losses = 0
        used = event.usage
        if used.input_tokens or used.output_tokens:
            now = asyncio.get_running_loop().time()
            counts = used.input_tokens, used.output_tokens, used.cached_tokens
            audio = used.input_audio_tokens, used.output_audio_tokens
            self._emit(ModelUsed(now, self.model.name, *counts, *audio))
        if answer is not None:
            answer.take(event)
            if event.tag in self._discarded:
                self._discarded.discard(event.tag)
                self._report_discarded(answer)

    def _report_discarded(self, answer: Answer) -> None:
        if answer.usage.output_tokens:
            now = asyncio.get_running_loop().time()
            self._emit(AnswerDiscarded(now, answer.usage.output_tokens))


def _instructions(messages: Sequence[Message]) -> str:
    """What the agent is told, which the server keeps apart from the conversation."""
    return messages[0].text if messages and messages[0].role == "system" else ""
