"""A server that speaks ElevenLabs' WebSocket protocols: multi-context speech and realtime Scribe.

After the vendor's AsyncAPI descriptions, its SDK's types and what users report of its behaviour (five contexts a
connection, final messages after a close only, contexts that any message opens). Its voice is a tone as long as the
text; its ears understand the next of `texts` at each commit. Knobs make it slow, broke, forgetful or mad. Records what
it was asked. For tests in this process, or as a process of its own:
`python -m tests.pipeline.providers.servers.elevenlabs --port N`."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from aiohttp import WSMsgType, web

MOST_CONTEXTS = 5
TONE_HZ, TONE_PEAK = 440, 6000
KEY = "xi-test-key-0123456789"


@dataclass
class Knobs:
    """What may be wrong with it. Times in s.

    first_byte_s: from a flush to the first sound. chunk_s: between two messages with sound. ms_per_char: how slowly it
    speaks. chunk_chars: letters a message with sound covers. alignment: both, own, normalised, restarting (from the
    front of the piece, with every second message fuller) or none. refuse: status and body instead of a handshake.
    error: name, words and close code instead of the first sound. drop_after: messages with sound before the
    connection is cut, drops: how many connections are cut so. garbage: nonsense, list, or audio, instead of the first
    sound. hold: contexts wait for the next one's sound. silent: nothing is ever answered; deaf: no commit is.
    imagines: digital silence has a text as well. inactivity_s: instead of the query's. final: are contexts ended?
    texts, stt_s, stt_error, stt_drop_at: Scribe's words, delay to them, error instead of the nth answer, and the
    commit at which it hangs up.
    """

    first_byte_s: float = 0.0
    chunk_s: float = 0.0
    ms_per_char: int = 60
    chunk_chars: int = 7
    alignment: str = "both"
    refuse: tuple[int, Mapping[str, Any]] | None = None
    error: tuple[str, str, int] | None = None
    drop_after: int | None = None
    drops: int = 1
    garbage: str = ""
    hold: bool = False
    silent: bool = False
    deaf: bool = False
    imagines: bool = True
    inactivity_s: float | None = None
    final: bool = True
    texts: Sequence[str] = ("hello",)
    stt_s: float = 0.0
    stt_error: tuple[int, str, str] | None = None
    stt_drop_at: int | None = None
    stt_garbage_at: int | None = None
    stt_refuses_session: tuple[str, str] | None = None
    logprob: float = -0.1


@dataclass
class Spoken:
    """One context as the server saw it. Times are loop times."""

    name: str
    settings: dict[str, Any]
    connection: int
    opened_at: float
    text: str = ""
    flushes: int = 0
    closed_at: float | None = None
    cancelled: bool = False  # closed before its text was flushed
    final_at: float | None = None


@dataclass
class Call:
    """One WebSocket. messages: what the client sent, and when. pcm: what Scribe was sent; commits: at which byte."""

    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    socket: web.WebSocketResponse | None = None
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    pcm: bytearray = field(default_factory=bytearray)
    commits: list[int] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    close_code: int | None = None

    def asked(self, name: str) -> str:
        return dict(self.query).get(name, "")


class ElevenLabsServer:
    """`async with ElevenLabsServer() as server:` listens on 127.0.0.1; base_url says where."""

    def __init__(self, knobs: Knobs | None = None, *, port: int = 0) -> None:
        self.knobs = knobs or Knobs()
        self.calls: list[Call] = []
        self.contexts: list[Spoken] = []
        self._port = port
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drops = 0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v1/text-to-speech/{voice}/multi-stream-input", self._speech)
        app.router.add_get("/v1/speech-to-text/realtime", self._scribe)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.base_url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self._runner is not None
        await self._runner.cleanup()

    async def hang_up(self, code: int = 1001, reason: str = "") -> None:
        """Close every connection."""
        for call in self.calls:
            if call.socket is not None and not call.socket.closed:
                await call.socket.close(code=code, message=reason.encode())

    def cut(self) -> None:
        """Cut every connection, without a word."""
        for call in self.calls:
            _cut(call)

    @property
    def open_contexts(self) -> list[Spoken]:
        """Those that no client has closed."""
        return [context for context in self.contexts if context.closed_at is None]

    @property
    def alive(self) -> list[Call]:
        """Connections that are open."""
        return [call for call in self.calls if not call.over.is_set()]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until something that this server can see is so."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # ------------------------------------------------------------ speech

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        call = await self._greet(request)
        if isinstance(call, web.Response):
            return call
        assert call.socket is not None
        speaker = _Speaker(self, call, request.match_info["voice"], len(self.calls))
        limit = self.knobs.inactivity_s or float(call.asked("inactivity_timeout") or 20)
        try:
            while True:
                async with asyncio.timeout(limit):
                    message = await call.socket.receive()
                if message.type is not WSMsgType.TEXT:
                    break
                data = json.loads(message.data)
                call.messages.append((asyncio.get_running_loop().time(), data))
                if not await speaker.take(data):
                    break
                await self._note()
        except TimeoutError:
            words = f"Have not received a new text input within the timeout of {limit} seconds."
            await fail(call.socket, "input_timeout_exceeded", words, 1008)
        finally:
            speaker.stop()
            await self._end(call)
        return call.socket

    async def _greet(self, request: web.Request) -> Call | web.Response:
        """Accept a WebSocket, or refuse it with HTTP."""
        call = Call(request.path, list(request.query.items()), request.headers)
        self.calls.append(call)
        await self._note()
        if self.knobs.refuse is not None:
            status, body = self.knobs.refuse
            call.over.set()
            return web.json_response(body, status=status)
        if request.headers.get("xi-api-key") != KEY:
            call.over.set()
            detail = {"status": "invalid_api_key", "message": "Invalid API key"}
            return web.json_response({"detail": detail}, status=401)
        call.socket = web.WebSocketResponse(max_msg_size=0)
        await call.socket.prepare(request)
        return call

    async def _end(self, call: Call) -> None:
        assert call.socket is not None
        call.close_code = call.socket.close_code
        call.over.set()
        with suppress(ConnectionError):
            await call.socket.close()
        await self._note()

    def may_drop(self) -> bool:
        """Is another connection to be cut?"""
        self._drops += 1
        return self._drops <= self.knobs.drops

    def spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ------------------------------------------------------------ Scribe

    async def _scribe(self, request: web.Request) -> web.StreamResponse:
        call = await self._greet(request)
        if isinstance(call, web.Response):
            return call
        socket = call.socket
        assert socket is not None
        try:
            if (refusal := self.knobs.stt_refuses_session) is not None:
                await socket.send_json({"message_type": refusal[0], "error": refusal[1]})
                return socket
            if not self.knobs.silent:
                await socket.send_json({"message_type": "session_started", "session_id": "s1", "config": {}})
            ears = _Ears(self, call)
            async for message in socket:
                data = json.loads(message.data)
                call.messages.append((asyncio.get_running_loop().time(), data))
                await ears.take(data)
                await self._note()
        finally:
            await self._end(call)
        return socket


class _Speaker:
    """One connection's contexts."""

    def __init__(self, server: ElevenLabsServer, call: Call, voice: str, number: int) -> None:
        self._server, self._call, self._voice, self._number = server, call, voice, number
        self._open: dict[str, Spoken] = {}
        self._making: dict[str, asyncio.Task[None]] = {}
        self._sent = 0
        self._sounded = asyncio.Event()
        _, _, hz = call.asked("output_format").partition("_")
        self._rate_hz, self._ulaw = int(hz), call.asked("output_format").startswith("ulaw")

    async def take(self, data: dict[str, Any]) -> bool:
        """One message. Returns False when the connection is over."""
        now = asyncio.get_running_loop().time()
        socket = self._call.socket
        assert socket is not None
        if data.get("close_socket"):
            return False
        name = data.get("context_id", "default")
        context = self._open.get(name)
        if context is None:
            if len(self._open) == MOST_CONTEXTS:
                words = f"Maximum simultaneous contexts per WebSocket connection exceeded ({MOST_CONTEXTS})."
                await fail(socket, "max_active_conversations", words, 1008)
                return False
            context = self._open[name] = Spoken(name, data, self._number, now)
            if data.get("text"):  # one that is only kept alive says nothing
                self._server.contexts.append(context)
        context.text += data.get("text") or ""
        if data.get("flush"):
            context.flushes += 1
            self._making[name] = self._server.spawn(self._speak(context, self._making.get(name)))
        if data.get("close_context"):
            context.closed_at, context.cancelled = now, not context.flushes
            self._server.spawn(self._finish(context, self._making.pop(name, None)))
        return True

    def stop(self) -> None:
        for task in self._making.values():
            task.cancel()

    async def _finish(self, context: Spoken, made: asyncio.Task[None] | None) -> None:
        """What was flushed is still spoken; then the context is final and its slot free."""
        if made is not None:
            await asyncio.gather(made, return_exceptions=True)
        if self._server.knobs.final and not self._server.knobs.silent:
            self._open.pop(context.name, None)
            context.final_at = asyncio.get_running_loop().time()
            await self._send({"isFinal": True, "contextId": context.name})
            await self._server._note()

    async def _speak(self, context: Spoken, before: asyncio.Task[None] | None) -> None:
        knobs = self._server.knobs
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        if knobs.silent:
            return
        await asyncio.sleep(knobs.first_byte_s)
        if knobs.hold and context.name == "piece-1":
            await self._sounded.wait()
        socket = self._call.socket
        assert socket is not None
        if knobs.error is not None:
            await fail(socket, *knobs.error)
            return
        if knobs.garbage in ("nonsense", "list"):
            await socket.send_str("{ no json" if knobs.garbage == "nonsense" else "[1, 2]")
            return
        text = context.text.strip()
        for begin in range(0, len(text), knobs.chunk_chars):
            if knobs.drop_after is not None and self._sent >= knobs.drop_after and self._server.may_drop():
                _cut(self._call)
                return
            await self._send(self._chunk(context, text, begin))
            self._sent += 1
            self._sounded.set()
            await asyncio.sleep(knobs.chunk_s)

    async def _send(self, message: dict[str, Any]) -> None:
        socket = self._call.socket
        assert socket is not None
        with suppress(ConnectionError):
            if not socket.closed:
                await socket.send_json(message)

    def _chunk(self, context: Spoken, text: str, begin: int) -> dict[str, Any]:
        knobs = self._server.knobs
        part = text[begin : begin + knobs.chunk_chars]
        samples = len(part) * knobs.ms_per_char * self._rate_hz // 1000
        pcm = tone(samples, self._rate_hz)
        payload = ulaw(pcm) if self._ulaw else pcm.tobytes()
        audio = "*not base64*" if knobs.garbage == "audio" else base64.b64encode(payload).decode()
        times = alignment(part, knobs.ms_per_char)
        whole = alignment(text[: begin + len(part)], knobs.ms_per_char)
        own, normalised = {
            "both": (times, times),
            "own": (times, None),
            "normalised": (None, times),
            "restarting": (whole, None),
            "none": (None, None),
        }[knobs.alignment]
        return {
            "audio": audio,
            "alignment": own,
            "normalizedAlignment": normalised,
            "contextId": context.name,
        }


class _Ears:
    """One connection to Scribe."""

    def __init__(self, server: ElevenLabsServer, call: Call) -> None:
        self._server, self._call = server, call
        self._texts = deque(server.knobs.texts)
        self._partial = 0
        _, _, hz = call.asked("audio_format").partition("_")
        self._bytes_per_s = int(hz) * 2

    async def take(self, data: dict[str, Any]) -> None:
        knobs, call = self._server.knobs, self._call
        assert call.socket is not None
        call.pcm += base64.b64decode(data["audio_base_64"], validate=True)
        if not data["commit"]:
            await self._guess()
            return
        since = len(call.pcm) - (call.commits[-1] if call.commits else 0)
        if since < 0.3 * self._bytes_per_s:
            words = f"Commit request ignored: only {since / self._bytes_per_s:.2f}s of uncommitted audio."
            await call.socket.send_json({"message_type": "commit_throttled", "error": words})
            return
        call.commits.append(len(call.pcm))
        number, self._partial = len(call.commits), 0
        if knobs.silent or knobs.deaf:
            return
        await asyncio.sleep(knobs.stt_s)
        if knobs.stt_drop_at == number:
            _cut(call)
        elif knobs.stt_garbage_at == number:
            await call.socket.send_str("{ no json")
        elif knobs.stt_error is not None and knobs.stt_error[0] == number:
            await call.socket.send_json({"message_type": knobs.stt_error[1], "error": knobs.stt_error[2]})
        else:
            segment = call.pcm[-since:]
            await self._tell(
                self._texts.popleft() if self._texts and (knobs.imagines or any(segment)) else ""
            )

    async def _guess(self) -> None:
        """A word more for each 200 ms."""
        assert self._call.socket is not None
        since = len(self._call.pcm) - (self._call.commits[-1] if self._call.commits else 0)
        words = self._texts[0].split() if self._texts else []
        known = min(len(words), since * 5 // self._bytes_per_s)
        if known > self._partial and not self._server.knobs.silent:
            self._partial = known
            text = " ".join(words[:known])
            await self._call.socket.send_json({"message_type": "partial_transcript", "text": text})

    async def _tell(self, text: str) -> None:
        assert self._call.socket is not None
        await self._call.socket.send_json({"message_type": "committed_transcript", "text": text})
        if self._call.asked("include_timestamps") == "true":
            words = [
                {
                    "text": word,
                    "start": at / 5,
                    "end": at / 5 + 0.2,
                    "type": "word",
                    "logprob": self._server.knobs.logprob,
                }
                for at, word in enumerate(text.split())
            ]
            message = {"message_type": "committed_transcript_with_timestamps", "text": text, "words": words}
            await self._call.socket.send_json(message)


async def fail(socket: web.WebSocketResponse, name: str, words: str, code: int) -> None:
    """An error message, and the close that follows it."""
    with suppress(ConnectionError):
        await socket.send_json({"message": words, "error": name, "code": code})
        await socket.close(code=code, message=words.encode()[:120])


def _cut(call: Call) -> None:
    if call.socket is not None and call.socket._req is not None and call.socket._req.transport is not None:
        call.socket._req.transport.abort()


def alignment(text: str, ms_per_char: int) -> dict[str, Any]:
    """Characters as long as each other, from the beginning of the chunk."""
    return {
        "chars": list(text),
        "charStartTimesMs": [number * ms_per_char for number in range(len(text))],
        "charDurationsMs": [ms_per_char] * len(text),
    }


def tone(samples: int, rate_hz: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    return (TONE_PEAK * np.sin(2 * np.pi * TONE_HZ * np.arange(samples) / rate_hz)).astype("<i2")


def ulaw(pcm: np.ndarray[Any, np.dtype[np.int16]]) -> bytes:
    """G.711 mu-law by its formula: sign, segment and step of each sample."""
    magnitude = np.minimum(np.abs(pcm.astype(np.int32)), 32635) + 132
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    step = (magnitude >> (segment + 3)) & 0x0F
    sign = np.where(pcm < 0, 0x80, 0)
    codes: np.ndarray[Any, np.dtype[np.uint8]] = (~(sign | (segment << 4) | step) & 0xFF).astype(np.uint8)
    return codes.tobytes()


async def serve(port: int, knobs: Knobs) -> None:
    """Until killed."""
    async with ElevenLabsServer(knobs, port=port) as server:
        print(server.base_url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A server that speaks ElevenLabs' protocols.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first-byte-ms", type=float, default=80.0)
    parser.add_argument(
        "--chunk-ms", type=float, default=0.0, help="between two messages with 0.4 s of sound"
    )
    parser.add_argument("--ms-per-char", type=int, default=60, help="how slowly it speaks")
    parser.add_argument("--stt-ms", type=float, default=150.0)
    parser.add_argument(
        "--text", action="append", default=[], help="what Scribe understands, commit by commit"
    )
    options = parser.parse_args()
    knobs = Knobs(
        first_byte_s=options.first_byte_ms / 1000,
        chunk_s=options.chunk_ms / 1000,
        ms_per_char=options.ms_per_char,
        stt_s=options.stt_ms / 1000,
        texts=options.text or ("hello",),
    )
    asyncio.run(serve(options.port, knobs))


if __name__ == "__main__":
    main()
