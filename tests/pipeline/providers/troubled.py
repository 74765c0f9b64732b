"""A recogniser, a model and a voice whose server is in this process and misbehaves when it is told to.

The simplest providers that keep the whole contract; the conformance suite is tried out on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.hearing.mailbox import SttMailbox
from pipeline.ports import (
    Final,
    Frame,
    Hints,
    LlmDelta,
    SpeechChunk,
    SttEvent,
    TextDelta,
    ToolSpec,
    Usage,
    Voice,
)
from pipeline.providers.blame import failed, refused
from pipeline.providers.fake import FakeTts, FakeTtsStream
from pipeline.testing.conformance import Trouble

NAME = "troubled"
STATUS = {"auth": 401, "quota": 402, "rate_limit": 429, "bad_request": 400, "server": 500}
CUT = ("malformed", "truncated", "drops")


class TroubledServer:
    """pipeline.testing.conformance.Difficulties without a socket."""

    troubles: tuple[Trouble, ...] = (
        "auth", "quota", "rate_limit", "bad_request", "server", "unreachable",
        "silent", "slow", "malformed", "truncated", "drops", "fails_once",
    )  # fmt: skip
    secret = "sk-troubled-0123456789"

    def __init__(self) -> None:
        self.requests = self.running = 0
        self._trouble: Trouble | None = None

    def make(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def clear(self) -> None:
        self._trouble, self.requests = None, 0

    @contextmanager
    def request(self) -> Iterator[Trouble | None]:
        """One request; the trouble that it meets behind its door. Raises ProviderError for a refusal."""
        self.requests += 1
        trouble = self._trouble
        if trouble == "unreachable":
            raise failed(NAME, "connectivity", "connection refused")
        if trouble == "fails_once":
            self._trouble, trouble = None, "server"
        if trouble in STATUS:
            said = f"insufficient rights or funds of {self.secret}"
            raise refused(NAME, STATUS[trouble], said, {"retry-after": "2"})
        self.running += 1
        try:
            yield trouble
        finally:
            self.running -= 1

    async def begin(self, trouble: Trouble | None) -> None:
        """Until the first byte."""
        if trouble == "silent":
            await asyncio.get_running_loop().create_future()
        if trouble == "slow":
            done = asyncio.Event()
            asyncio.get_running_loop().call_later(0.3, done.set)
            await done.wait()


def cut(trouble: str | None) -> ProviderError | None:
    """What is noticed of an answer that is cut or makes no sense."""
    return failed(NAME, "connectivity", f"the answer was {trouble}") if trouble in CUT else None


class TroubledLlm:
    """Says `reply`."""

    name = NAME

    def __init__(self, server: TroubledServer, reply: str) -> None:
        self._server, self._reply = server, reply

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        with self._server.request() as trouble:
            await self._server.begin(trouble)
            words = self._reply.split(" ")
            for number, word in enumerate(words):
                if number and (error := cut(trouble)):
                    raise error
                yield TextDelta(f" {word}" if number else word)
                await asyncio.sleep(0)
            yield Usage(len(messages), len(words))


class TroubledTts:
    """Makes the tone of the fake voice."""

    name = NAME
    rate_hz = 8000

    def __init__(self, server: TroubledServer) -> None:
        self._server = server

    async def open(self, voice: Voice) -> _TroubledVoice:
        return _TroubledVoice(self._server, await FakeTts().open(voice))


class _TroubledVoice:
    def __init__(self, server: TroubledServer, stream: FakeTtsStream) -> None:
        self._server, self._stream = server, stream
        self._reading: asyncio.Task[None] | None = None
        self._chunks: asyncio.Queue[SpeechChunk | ProviderError | None] = asyncio.Queue()

    def say(self, text: str) -> None:
        self._stream.say(text)
        self._begin()

    def finish(self) -> None:
        self._stream.finish()
        self._begin()

    def _begin(self) -> None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="troubled voice")

    async def _read(self) -> None:
        try:
            with self._server.request() as trouble:
                await self._server.begin(trouble)
                async for chunk in self._stream:
                    self._chunks.put_nowait(chunk)
                    if error := cut(trouble):
                        raise error
            self._chunks.put_nowait(None)
        except ProviderError as error:
            self._chunks.put_nowait(error)

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        while (chunk := await self._chunks.get()) is not None:
            if isinstance(chunk, ProviderError):
                raise chunk
            yield chunk

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        await self._stream.aclose()
        self._chunks.put_nowait(None)


class TroubledStt:
    """Understands `text` in every turn of speech."""

    name = NAME

    def __init__(self, server: TroubledServer, text: str) -> None:
        self._server, self._text = server, text

    async def open(self, *, rate_hz: int, hints: Hints) -> _TroubledEar:
        return _TroubledEar(self._server, self._text)


class _TroubledEar:
    """A request for each turn, as request APIs have it."""

    def __init__(self, server: TroubledServer, text: str) -> None:
        self._server, self._text = server, text
        self._mailbox = SttMailbox()
        self._requests: set[asyncio.Task[None]] = set()
        self._spoken = False

    def push(self, frame: Frame) -> None:
        """Its text is known."""

    def start_turn(self) -> None:
        self._spoken = True

    def end_turn(self) -> None:
        if not self._mailbox.closed:
            task = asyncio.create_task(self._ask(self._spoken), name="troubled ear")
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)
        self._spoken = False

    def expect(self, hints: Hints) -> None:
        """Whatever is expected."""

    async def _ask(self, spoken: bool) -> None:
        try:
            with self._server.request() as trouble:
                await self._server.begin(trouble)
                if error := cut(trouble):
                    raise error
        except ProviderError as error:
            self._mailbox.fail(error)
        else:
            self._mailbox.put(Final(self._text if spoken else "", ends_turn=True))

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        for task in self._requests:
            task.cancel()
        self._mailbox.close()
