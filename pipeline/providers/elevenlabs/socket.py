"""One multi-context WebSocket: pieces of speech asked for and delivered side by side over one connection.

A piece is a context of its own. It is opened, given its text with an explicit flush, and closed, all at once: what was
flushed is still spoken, and only a close brings the final message by which the end of the piece is known. So a
context that is dropped at a barge-in has been closed long before; its slot is free when its final message comes.

The SDK has no client for this socket: address, messages and their names are the SDK's, the connection is that of the
websockets library, which the SDK uses too. Made and kept by pool.py, read by tts.py."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from elevenlabs.core.unchecked_base_model import UncheckedBaseModel
from elevenlabs.types import (
    CloseContext,
    InitializeConnectionMulti,
    KeepContextAlive,
    RealtimeVoiceSettings,
    SendTextMulti,
)
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from pipeline.errors import ProviderError
from pipeline.ports import SpeechChunk, WordTiming
from pipeline.providers.blame import failed
from pipeline.providers.elevenlabs.alignment import Aligner
from pipeline.providers.elevenlabs.refusals import NAME, closed, lost, said
from pipeline.providers.elevenlabs.sound import Encoding, Samples

MOST_CONTEXTS = 5  # the vendor's limit for a connection; a sixth is answered by a close with 1008
SLOTS = MOST_CONTEXTS - 1  # one is spent on the context that keeps the connection alive
WARM = "warm"  # its name
GOODBYE_S = 0.03  # how long a close may take before the connection is cut
FRESH_S = 1.0  # a connection that fails so soon would fail again
LINGER_S = 1.0  # for a server that said goodbye and does not hang up
BEATS = 3  # of the keep-alive within the inactivity timeout


class Context:
    """One piece being spoken. on_news(): there is a chunk, the end, or an error."""

    def __init__(
        self, text: str, number: int, *, rate_hz: int, encoding: Encoding, on_news: Callable[[], None]
    ) -> None:
        self.text, self.number = text, number
        self.chunks: deque[SpeechChunk] = deque()
        self.done = False
        self.error: ProviderError | None = None
        self.sounded = False  # somebody may have heard some of it
        self.warm = False  # asked for over a connection that was there before
        self.dropped_at: float | None = None
        self._rate_hz, self._samples, self._aligner = rate_hz, Samples(encoding), Aligner(text)
        self._received = 0  # samples
        self._on_news = on_news

    def sound(self, message: Mapping[str, Any]) -> None:
        """A message with sound came. Raises ValueError if it is none."""
        pcm = self._samples.feed(base64.b64decode(message["audio"], validate=True))
        self._received += len(pcm)
        words = self._aligner.feed(
            message.get("alignment"),
            message.get("normalizedAlignment"),
            sound_until_s=self._received / self._rate_hz,
        )
        if self.dropped_at is None and (len(pcm) or words):
            self.sounded = True
            self.chunks.append(SpeechChunk(pcm, self.number, words))
            self._on_news()

    def last_words(self) -> tuple[WordTiming, ...]:
        """What is only known to be a word because nothing follows."""
        return self._aligner.finish()

    def end(self, error: ProviderError | None = None) -> None:
        if not self.done and self.error is None:
            self.done, self.error = error is None, error
            if self.dropped_at is None:
                self._on_news()


class Socket:
    """An open connection with its two tasks. on_free(socket): a slot may be free; on_lost(socket): it is over.

    opening: what the first message of each context carries. inactivity_s: after which the server may end a context; a
    third of it without a word, and the connection says that it is there. So long without a final message of a context
    that nobody wants, and the connection leaks slots: it is closed. So it is if nobody has used it for idle_s.
    """

    def __init__(
        self,
        connection: ClientConnection,
        *,
        opening: Mapping[str, Any],
        inactivity_s: float,
        idle_s: float,
        on_free: Callable[[Socket], None],
        on_lost: Callable[[Socket], None],
    ) -> None:
        self._connection, self._opening = connection, opening
        self._inactivity_s, self._idle_s = inactivity_s, idle_s
        self._on_free, self._on_lost = on_free, on_lost
        self._loop = asyncio.get_running_loop()
        self._contexts: dict[str, Context] = {}
        self._asked = 0  # pieces so far
        self._outbox: asyncio.Queue[UncheckedBaseModel] = asyncio.Queue()
        self._error: ProviderError | None = None  # said before the server closed
        self._closing = False
        self.opened_at = self._used_at = self._loop.time()
        self._reader = asyncio.create_task(self._read(), name="elevenlabs hears")
        self._writer = asyncio.create_task(self._write(), name="elevenlabs tells")

    @property
    def free(self) -> bool:
        """May another piece be asked for?"""
        return not self._closing and len(self._contexts) < SLOTS

    def use(self) -> None:
        """It is wanted, or soon will be."""
        self._used_at = self._loop.time()

    def speak(self, context: Context, settings: RealtimeVoiceSettings | None) -> None:
        """Ask for a piece. Never blocks."""
        context.warm = self._asked > 0 or self._loop.time() - self.opened_at > FRESH_S
        self._asked += 1
        name = f"piece-{self._asked}"
        self._contexts[name] = context
        self.use()
        for message in (
            InitializeConnectionMulti(context_id=name, voice_settings=settings, **self._opening),
            SendTextMulti(text=f"{context.text.strip()} ", context_id=name, flush=True),
            CloseContext(context_id=name, close_context=True),
        ):
            self._outbox.put_nowait(message)

    def drop(self, context: Context) -> None:
        """Nobody wants this piece any more. Its slot is free when the server has finished it."""
        context.dropped_at = self._loop.time()
        context.chunks.clear()

    async def aclose(self) -> None:
        """Say goodbye, but not for long."""
        self._closing = True
        self._writer.cancel()
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._connection.close()
        except TimeoutError:
            pass
        finally:
            self._connection.transport.abort()
        await asyncio.gather(self._reader, self._writer, return_exceptions=True)

    # ------------------------------------------------------------ the tasks

    async def _write(self) -> None:
        """What is asked for, and now and then that we are still there."""
        while not self._closing:
            try:
                async with asyncio.timeout(self._inactivity_s / BEATS):
                    message = await self._outbox.get()
            except TimeoutError:
                if self._tired():
                    self._closing = True
                    await self._connection.close()
                    return
                message = KeepContextAlive(context_id=WARM)
            try:
                await self._connection.send(json.dumps(wire(message)))
            except ConnectionClosed:
                return  # the reader knows why

    def _tired(self) -> bool:
        """Is this connection better closed than kept alive?"""
        now = self._loop.time()
        wanted = [context for context in self._contexts.values() if context.dropped_at is None]
        overdue = [
            at
            for context in self._contexts.values()
            if (at := context.dropped_at) and now - at > self._inactivity_s
        ]
        return not wanted and bool(overdue or now - self._used_at > self._idle_s)

    async def _read(self) -> None:
        """Until the connection is over, for whatever reason."""
        try:
            async for message in self._connection:
                self._received(message)
            error = closed(self._connection.close_code, self._connection.close_reason or "")
        except ConnectionClosed as gone:
            error = lost(gone)
        except ValueError as nonsense:
            error = failed(NAME, "server", f"a message makes no sense ({nonsense})")
            self._connection.transport.abort()
        self._closing = True
        self._writer.cancel()
        self._loop.call_later(LINGER_S, self._connection.transport.abort)
        contexts, self._contexts = self._contexts, {}
        self._on_lost(self)  # first: who is told of the failure asks for another connection
        for context in contexts.values():
            context.end(self._error or error)

    def _received(self, raw: str | bytes) -> None:
        """One message. Raises ValueError if it is none of the protocol."""
        message = json.loads(raw)
        if not isinstance(message, dict):
            raise ValueError(f"a {type(message).__name__} instead of an object")
        name = message.get("contextId") or message.get("context_id") or ""
        if message.get("error"):
            error = said(str(message["error"]), str(message.get("message") or ""))
            if name in self._contexts:
                self._contexts.pop(name).end(error)
                self._on_free(self)
            elif name != WARM:
                self._error = error  # and the server closes
            return
        context = self._contexts.get(name)
        if context is None:
            return
        if message.get("audio"):
            try:
                context.sound(message)
            except (TypeError, binascii.Error) as error:
                raise ValueError(str(error)) from error
        if message.get("isFinal") or message.get("is_final"):
            del self._contexts[name]
            context.end()
            self._on_free(self)


def wire(message: UncheckedBaseModel) -> dict[str, Any]:
    """A message of the SDK as it travels: what is not set is left out."""
    return {key: value for key, value in message.model_dump(exclude_none=True).items() if value is not None}
