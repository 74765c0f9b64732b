"""OpenAI's Realtime API: one WebSocket a call to a model that hears and speaks, through the official SDK.

What a call does with it is pipeline/realtime's business; this page opens connections and keeps their order, what the
events look like is realtime_wire.py's. Source: OpenAI's API reference, Realtime (client and server events) of the GA
interface, and the types in the SDK."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Literal

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from pipeline.agent.history import Message
from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import Frame, Hints, ToolSpec, Voice
from pipeline.providers.blame import failed, refused
from pipeline.providers.openai import realtime_wire as wire
from pipeline.providers.openai import vendors
from pipeline.providers.openai.g711 import Law, encode
from pipeline.providers.openai.vendors import Vendor, connection
from pipeline.providers.sdk_client import CONNECT_S, SdkProvider
from pipeline.realtime.model import Ask, RealtimeEvent
from pipeline.speaking.resample import Resampler

CLOSE_S = 0.3  # for the closing handshake of a server that may be gone
EXPIRED = ("session_expired", "maximum duration")


class OpenAiRealtime(SdkProvider):
    """Key: OPENAI_API_KEY.

    model: gpt-realtime, or another realtime model. voice: marin, cedar, alloy, ...; the agent's `voice:` wins.
    transcription: the model that writes down what callers say. turn_detection: none: our own turn-taking decides alone;
    server_vad or semantic_vad: the server also cuts what it hears, so that words come earlier; we still decide who
    speaks. noise_reduction: none, near_field or far_field. max_output_tokens: of an answer, 0 for no limit.
    reasoning: minimal, low, medium, high for models that reason, empty for others. timeout_s: the longest wait for a
    connection to be ready, in s. max_session_s: a connection that old is renewed when nobody speaks; the server ends it
    after 60 minutes. base_url: of another server; else OPENAI_BASE_URL, else the vendor's.
    """

    name = "openai"
    VENDOR: ClassVar[Vendor] = vendors.OPENAI

    def __init__(
        self,
        *,
        model: str = "gpt-realtime",
        voice: str = "marin",
        transcription: str = "gpt-4o-mini-transcribe",
        turn_detection: Literal["none", "server_vad", "semantic_vad"] = "none",
        noise_reduction: Literal["none", "near_field", "far_field"] = "none",
        max_output_tokens: int = 0,
        reasoning: str = "",
        timeout_s: float = 5.0,
        max_session_s: float = 3300.0,
        base_url: str = "",
    ) -> None:
        if not transcription:
            raise ConfigError(
                "realtime openai: transcription is empty, but the history needs the caller's words. Name a model."
            )
        self.voice, self.max_session_s = voice, max_session_s
        self.hears_always = turn_detection != "none"
        self._model, self._timeout_s = model, timeout_s
        self._options = wire.Options(
            transcription, turn_detection, noise_reduction, max_output_tokens, reasoning
        )
        super().__init__(connection(self.VENDOR, base_url, timeout_s))

    def sound_hz(self, rate_hz: int) -> int:
        return 8000 if rate_hz == 8000 else wire.PCM_HZ

    async def open(
        self,
        *,
        rate_hz: int,
        law: str,
        voice: Voice,
        instructions: str,
        tools: Sequence[ToolSpec],
        hints: Hints,
    ) -> OpenAiRealtimeStream:
        spoken: Law | None = None if rate_hz != 8000 else "alaw" if law == "alaw" else "ulaw"
        session = wire.session(
            self._options, spoken, voice.name or self.voice, voice.speed, instructions, tools, hints
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                with self._sdk.blamed():
                    manager = self._sdk.client.realtime.connect(
                        model=self._model,
                        max_retries=0,
                        websocket_connection_options={
                            "open_timeout": min(CONNECT_S, self._timeout_s),
                            "close_timeout": CLOSE_S,
                        },
                    )
                    socket = await _connected(self.name, manager)
                stream = OpenAiRealtimeStream(self.name, socket, spoken, rate_hz, self._options)
                try:
                    await stream.begin(session)
                except BaseException:
                    await stream.aclose()
                    raise
        except TimeoutError as error:
            raise failed(self.name, "timeout", f"no session within {self._timeout_s:g} s") from error
        return stream


class AzureRealtime(OpenAiRealtime):
    """Key: AZURE_OPENAI_API_KEY.

    base_url: https://NAME.openai.azure.com/openai/v1. model: the deployment's name. The rest: see OpenAiRealtime."""

    name = "azure"
    VENDOR = vendors.AZURE_V1


class OpenAiRealtimeStream:
    """A RealtimeStream. What is to be sent waits in order; one task sends it."""

    def __init__(self, name: str, socket: Any, law: Law | None, rate_hz: int, options: wire.Options) -> None:
        self._name, self._socket, self._law, self._options = name, socket, law, options
        self._up = Resampler(rate_hz, wire.PCM_HZ)
        self._reader = wire.Reader(name, law)
        self._out: deque[dict[str, Any] | bytearray] = deque()
        self._news = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    async def begin(self, session: dict[str, Any]) -> None:
        """Have the session as we want it. Raises ProviderError if the server refuses."""
        self._put({"type": "session.update", "session": session})
        self._sender = asyncio.get_running_loop().create_task(self._send(), name="realtime out")
        while (event := await self._receive()).get("type") != "session.updated":
            if event.get("type") == "error":
                raise wire.blamed(self._name, event.get("error"))

    def append(self, frame: Frame) -> None:
        payload = encode(frame, self._law) if self._law is not None else self._up.feed(frame).tobytes()
        if self._out and isinstance(self._out[-1], bytearray):
            self._out[-1] += payload
        else:
            self._out.append(bytearray(payload))
        self._news.set()

    def commit(self) -> None:
        self._put({"type": "input_audio_buffer.commit", "event_id": "commit"})

    def configure(self, instructions: str, tools: Sequence[ToolSpec], hints: Hints) -> None:
        self._put(
            {"type": "session.update", "session": wire.changed(self._options, instructions, tools, hints)}
        )

    def add(self, item: str, message: Message, after: str) -> None:
        body = {"id": item, **wire.item(message)}
        place = {"type": "conversation.item.create", "previous_item_id": after or "root"}
        self._put({**place, "event_id": f"add:{item}", "item": body})

    def remove(self, item: str) -> None:
        self._put({"type": "conversation.item.delete", "event_id": f"remove:{item}", "item_id": item})

    def truncate(self, item: str, ms: int) -> None:
        cut = {"type": "conversation.item.truncate", "event_id": f"truncate:{item}", "item_id": item}
        self._put({**cut, "content_index": 0, "audio_end_ms": ms})

    def ask(self, ask: Ask) -> None:
        event = {"type": "response.create", "event_id": f"ask:{ask.tag}", "response": wire.response(ask)}
        self._reader.asked(ask)
        self._put(event)

    def cancel(self, tag: str) -> None:
        if response := self._reader.response_of(tag):
            self._put({"type": "response.cancel", "event_id": f"cancel:{tag}", "response_id": response})
        else:
            self._reader.cancel_when_created(tag)

    async def __aiter__(self) -> AsyncIterator[RealtimeEvent]:
        while True:
            for event in self._reader.read(await self._receive()):
                yield event
            for tag in self._reader.to_cancel():
                self.cancel(tag)

    async def aclose(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        closing = asyncio.ensure_future(self._socket.close())
        closing.add_done_callback(_ended)
        await asyncio.wait([closing], timeout=CLOSE_S)

    def _put(self, event: dict[str, Any]) -> None:
        self._out.append(event)
        self._news.set()

    async def _send(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._out:
                event = self._out.popleft()
                if isinstance(event, bytearray):
                    event = {"type": "input_audio_buffer.append", "audio": base64.b64encode(event).decode()}
                try:
                    await self._socket.send(event)
                except (ConnectionClosed, OSError):
                    return  # whoever reads is told

    async def _receive(self) -> dict[str, Any]:
        """The next event. Raises ProviderError when the connection is over."""
        try:
            payload = await self._socket.recv_bytes()
        except ConnectionClosed as error:
            raise _closed(self._name, error) from error
        except OSError as error:
            raise failed(self._name, "connectivity", str(error)) from error
        return wire.parsed(self._name, payload)


async def _connected(name: str, manager: Any) -> Any:
    try:
        return await manager.enter()
    except InvalidStatus as error:
        response = error.response
        words = (response.body or b"").decode("utf-8", "replace")
        raise refused(name, response.status_code, words, dict(response.headers.raw_items())) from error
    except InvalidHandshake as error:
        raise failed(name, "server", f"the handshake failed: {error}") from error


def _closed(name: str, error: ConnectionClosed) -> ProviderError:
    """The server ended the connection; 1001 with words of a maximum duration is its limit of 60 minutes."""
    if error.rcvd is None:
        return failed(name, "connectivity", "the connection was cut")
    fact = f"the connection was closed ({error.rcvd.code} {error.rcvd.reason})".strip()
    cause = wire.cause_of(error.rcvd.reason)
    if any(word in error.rcvd.reason for word in EXPIRED):
        cause = "connectivity"
    return failed(name, cause or "connectivity", fact)


def _ended(closing: asyncio.Future[None]) -> None:
    if not closing.cancelled():
        closing.exception()  # a connection that was gone already
