"""One call's connection to a model that hears and speaks: opened, kept the same as the history, opened again.

Recogniser (ears.py), model (mind.py) and voice (mouth.py) of the call share it. Whatever the reason for a new
connection is (the socket died, the server's time limit, another voice), it is given the history again, and what the
caller was just saying. It lives as long as somebody holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.events import Event, ProviderFailed
from pipeline.ports import Frame, Known, ToolSpec, Voice
from pipeline.realtime.answer import Answer
from pipeline.realtime.exchange import Exchange, Setting, instructions_of
from pipeline.realtime.model import Ask, RealtimeModel, RealtimeStream

MAX_LOSSES = 3  # connections in a row that broke before they had answered anything
AGED_CHECK_S = 1.0  # how often is looked for a moment to renew a connection that is too old


class RealtimeCall:
    """The connection of one call. law: ulaw or alaw, which G.711 it speaks. voice: of the first agent."""

    def __init__(
        self, model: RealtimeModel, *, rate_hz: int, law: str = "ulaw", voice: Voice | None = None
    ) -> None:
        self.model, self.rate_hz, self.law = model, rate_hz, law
        self.sound_hz = model.sound_hz(rate_hz)
        self.setting = Setting(model.name, self.sound_hz)
        self._voice = voice or Voice()
        self._stream: RealtimeStream | None = None
        self._exchange: Exchange | None = None
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
        self.setting.known, self.setting.emit = known, emit
        if self._exchange is not None:
            self._exchange.catch_up()

    async def ready(self, voice: Voice | None = None) -> Exchange:
        """The connection, in this voice. Raises ProviderError if there is none to be had."""
        voice = voice or self._voice
        async with self._opening:
            if self._stream is None or self._name(voice) != self._name(self._voice):
                await self._open(voice)
        assert self._exchange is not None
        return self._exchange

    def _name(self, voice: Voice) -> str:
        return voice.name or self.model.voice

    async def _open(self, voice: Voice) -> None:
        """A new connection, that knows what the old one knew. Raises ProviderError."""
        await self._close()
        setting = self.setting
        messages, tools = setting.known()
        told = instructions_of(messages)
        stream = await self.model.open(
            rate_hz=self.rate_hz,
            law=self.law,
            voice=voice,
            instructions=told,
            tools=tools,
            hints=setting.hints,
        )
        self._stream, self._voice = stream, voice
        self._exchange = Exchange(stream, setting, told, tools)
        loop = asyncio.get_running_loop()
        self._reader = loop.create_task(self._read(stream, self._exchange), name="realtime model")
        self._timer = loop.call_later(self.model.max_session_s, self._aged)
        self._exchange.catch_up()
        if setting.ears is not None:
            setting.ears.renewed()

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
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._losses = 0 if exchange.answered else self._losses
            exchange.fail(error)

    async def _read(self, stream: RealtimeStream, exchange: Exchange) -> None:
        try:
            async for event in stream:
                exchange.on(event)
        except ProviderError as error:
            self._lost(stream, error)

    def _lost(self, stream: RealtimeStream, error: ProviderError) -> None:
        if stream is not self._stream:
            return
        loop = asyncio.get_running_loop()
        self.setting.emit(ProviderFailed(loop.time(), error.provider, "realtime", error.cause, str(error)))
        self._stream = None
        self._forget(error)
        self._losses += 1
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
        if self.setting.ears is not None:
            self.setting.ears.failed(error)

    def _aged(self) -> None:
        """The server will end this connection soon: have another one, when nobody speaks."""
        loop = asyncio.get_running_loop()
        if self.setting.talking or (self._exchange is not None and self._exchange.busy):
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
        if self._exchange is not None:
            self._exchange.commit(think=think)

    async def answer(
        self,
        voice: Voice,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        tool_choice: Literal["auto", "none", "required"],
    ) -> Answer:
        """What the model says to this; it may have begun already. Raises ProviderError."""
        return await (await self.ready(voice)).answer(messages, tools, tool_choice)

    async def aside(self, voice: Voice | None, ask: Callable[[str], Ask]) -> Answer:
        """An answer outside the conversation. Raises ProviderError."""
        return (await self.ready(voice)).aside(ask)

    def cancel(self, answer: Answer) -> None:
        """Nobody wants the rest of it."""
        if self._exchange is not None:
            self._exchange.cancel(answer)

    def discard_ahead(self) -> None:
        """The answer that was made ahead is for other words."""
        if self._exchange is not None:
            self._exchange.discard_ahead()
