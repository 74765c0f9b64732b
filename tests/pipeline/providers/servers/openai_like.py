"""A server that speaks Groq's and OpenAI's API: chat, transcriptions, speech. For the real SDKs, and with bad moods.

Nothing in it is recorded from a vendor: replies come from a script, transcripts from how long the sound is loud, speech
is a tone as long as its text. One app serves all kinds under any prefix: /v1, /openai/v1, Azure's deployments. Alone:
`python -m tests.pipeline.providers.servers.openai_like --port 9000 --chat-delay 0.2`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import wave
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import av
import numpy as np
from aiohttp import BodyPartReader, web
from numpy.typing import NDArray

from tests.pipeline.providers.servers.clips import ClipEars
from tests.pipeline.providers.servers.rules import Rule, answer, read_rules

WORD_S = 0.35  # of loud sound
LOUD = 300.0  # of 32768, mean of 20 ms
SPEECH_HZ, CHAR_S = 24000, 0.06
TONE_HZ, TONE_PEAK = 440, 4600

Kind = Literal["chat", "transcriptions", "speech"]
Fate: TypeAlias = Literal["", "drop", "garbage", "truncate", "hang", "no_end", "nonsense", "empty"]


class Ears(Protocol):
    """What understands callers."""

    def heard(self, sound: NDArray[np.int16], rate_hz: int) -> str: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with an error. in_stream: 200 first, and the error as an event of the stream."""

    status: int
    message: str = "no"
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    in_stream: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        error = {
            "message": self.message,
            "type": "invalid_request_error",
            "code": self.code or None,
            **self.more,
        }
        return {"error": error}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says. tools: (name, arguments as JSON text). raw: chunks' `choices` as they are, instead."""

    text: str = ""
    tools: Sequence[tuple[str, str]] = ()
    finish: str = ""
    raw: Sequence[Sequence[Mapping[str, Any]]] = ()


@dataclass(slots=True)
class Request:
    """What came in. at: loop time, s. over: how it ended, "gone" if the client went away."""

    kind: Kind
    at: float
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict[str, Any]
    sound: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    over: str = ""

    @property
    def seconds(self) -> float:
        return len(self.sound) / 16000


class OpenAiLike:
    """The server's moods and memory. delay_s: before the first byte, by kind. fates: for the next requests, by kind."""

    def __init__(self) -> None:
        self.delay_s: dict[Kind, float] = {"chat": 0.0, "transcriptions": 0.0, "speech": 0.0}
        self.tokens_per_s = 0.0
        self.after = 2  # pieces that are sent before a fate strikes in the middle
        self.fates: dict[Kind, deque[Fate | Refusal]] = {
            "chat": deque(),
            "transcriptions": deque(),
            "speech": deque(),
        }
        self.headers: dict[str, str] = {}
        self.replies: deque[Reply] = deque()
        self.otherwise = Reply("Certainly. How can I help you?")
        self.rules: Sequence[Rule] = ()  # instead of `otherwise`
        self.sentences = ["hello I would like to book a table for two people please"]
        self.ears: Ears | None = None  # instead of sentences
        self.transcripts: deque[str] = deque()  # instead of sentences, in this order
        self.figures: dict[str, float] = {}  # of every segment: no_speech_prob and the like
        self.groq_usage = True  # in x_groq, as Groq does, besides stream_options as OpenAI does
        self.requests: list[Request] = []
        self.connections: set[object] = set()  # the clients' addresses and ports
        self.url = ""
        self._ids = count(1)

    def of(self, kind: Kind) -> list[Request]:
        return [request for request in self.requests if request.kind == kind]

    @asynccontextmanager
    async def running(
        self, port: int = 0, attach: Callable[[web.Application], None] = lambda _: None
    ) -> AsyncIterator[OpenAiLike]:
        """Listen on 127.0.0.1; `url` is known then. attach: given the application before it is set up."""
        app = web.Application(client_max_size=64 << 20)
        attach(app)
        app.on_response_prepare.append(self._connected)
        app.router.add_post("/{prefix:.*}chat/completions", self._chat)
        app.router.add_post("/{prefix:.*}audio/transcriptions", self._transcriptions)
        app.router.add_post("/{prefix:.*}audio/speech", self._speech)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    # ------------------------------------------------------------ chat

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        known = self._note("chat", request, await request.json())
        return await self._answer(known, request, self._chat_answer)

    async def _chat_answer(self, known: Request, request: web.Request, fate: Fate) -> web.StreamResponse:
        reply = self._reply(known.body["messages"])
        answer_id = f"chatcmpl-{next(self._ids)}"
        usage = {
            "prompt_tokens": sum(len(str(m.get("content") or "").split()) for m in known.body["messages"]),
            "completion_tokens": len(reply.text.split()),
            "total_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 3},
        }
        if not known.body.get("stream"):
            return web.json_response(_completion(answer_id, reply, usage), headers=self.headers)
        stream = await self._sse(request)
        for number, choices in enumerate(_choices(reply)):
            if number == self.after and fate:
                return await self._strike(stream, request, fate)
            chunk = {
                "id": answer_id,
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": choices,
            }
            if self.groq_usage and any(choice.get("finish_reason") for choice in choices):
                chunk["x_groq"] = {"id": "req_1", "usage": usage}
            await _event(stream, chunk)
            await asyncio.sleep(1 / self.tokens_per_s if self.tokens_per_s else 0)
        if known.body.get("stream_options", {}).get("include_usage"):
            last = {
                "id": answer_id,
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [],
            }
            await _event(stream, {**last, "usage": usage})
        await stream.write(b"data: [DONE]\n\n")
        return stream

    def _reply(self, messages: Sequence[Mapping[str, Any]]) -> Reply:
        if self.replies:
            return self.replies.popleft()
        return Reply(*answer(self.rules, messages)) if self.rules else self.otherwise

    # ------------------------------------------------------------ sound

    async def _transcriptions(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = {}
        file = b""
        async for (
            part
        ) in await request.multipart():  # not post(): it leaves a file behind when a client goes away
            assert isinstance(part, BodyPartReader)
            data = bytes(await part.read())
            if part.filename is None:
                body[str(part.name)] = data.decode()
            else:
                file, body["filename"], body["type"] = data, part.filename, part.headers["Content-Type"]
        known = self._note("transcriptions", request, body)
        known.sound = _decoded(file)
        return await self._answer(known, request, self._transcript)

    async def _transcript(self, known: Request, request: web.Request, fate: Fate) -> web.StreamResponse:
        text = self.transcripts.popleft() if self.transcripts else self.heard(known.sound)
        if known.body.get("stream") == "true":
            stream = await self._sse(request)
            for number, word in enumerate(_tokens(text)):
                if number == self.after and fate:
                    return await self._strike(stream, request, fate)
                await _event(stream, {"type": "transcript.text.delta", "delta": word})
                await asyncio.sleep(1 / self.tokens_per_s if self.tokens_per_s else 0)
            done = {
                "type": "transcript.text.done",
                "text": text,
                "logprobs": [{"token": "a", "logprob": -0.1}],
            }
            await _event(stream, done)
            return stream
        if fate:
            return await self._strike(await self._sse(request), request, fate)
        answer: dict[str, Any] = {"text": text}
        if known.body.get("response_format") == "verbose_json":
            figures = {"avg_logprob": -0.2, "compression_ratio": 1.2, "no_speech_prob": 0.01, **self.figures}
            segment = {
                "id": 0,
                "seek": 0,
                "start": 0.0,
                "end": known.seconds,
                "text": f" {text}",
                "tokens": [1],
            }
            answer |= {"task": "transcribe", "language": "English", "duration": known.seconds}
            answer["segments"] = [{**segment, "temperature": 0.0, **figures}]
        return web.json_response(answer, headers=self.headers)

    def heard(self, sound: NDArray[np.int16]) -> str:
        """As many words as the sound has time for: of the sentence that is just as long, else of a longer one."""
        if self.ears is not None:
            return self.ears.heard(sound, 16000)
        frames = sound[: len(sound) // 320 * 320].reshape(-1, 320).astype(np.float64)
        words = round(float((np.abs(frames).mean(axis=1) > LOUD).sum()) * 0.02 / WORD_S) if len(frames) else 0
        for sentence in sorted(self.sentences, key=lambda sentence: len(sentence.split())):
            if len(sentence.split()) >= words:
                return " ".join(sentence.split()[:words])
        return max(self.sentences, key=len)

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        known = self._note("speech", request, await request.json())
        return await self._answer(known, request, self._tone)

    async def _tone(self, known: Request, request: web.Request, fate: Fate) -> web.StreamResponse:
        samples = round(len(known.body["input"]) * CHAR_S * SPEECH_HZ / float(known.body.get("speed", 1.0)))
        tone = (
            (TONE_PEAK * np.sin(2 * np.pi * TONE_HZ * np.arange(samples) / SPEECH_HZ)).astype("<i2").tobytes()
        )
        stream = web.StreamResponse(headers={"Content-Type": "audio/pcm", **self.headers})
        await stream.prepare(request)
        if fate == "empty":
            return stream
        for number, start in enumerate(range(0, len(tone), 4801)):  # odd: a sample may be cut in two
            if number == self.after and fate:
                return await self._strike(stream, request, fate)
            await stream.write(tone[start : start + 4801])
            await asyncio.sleep(0)
        return stream

    # ------------------------------------------------------------ moods

    async def _connected(self, request: web.Request, _: web.StreamResponse) -> None:
        if request.transport is not None:
            self.connections.add(request.transport.get_extra_info("peername"))

    def _note(self, kind: Kind, request: web.Request, body: dict[str, Any]) -> Request:
        known = Request(
            kind,
            asyncio.get_running_loop().time(),
            request.path,
            dict(request.query),
            {name.lower(): value for name, value in request.headers.items()},
            body,
        )
        self.requests.append(known)
        return known

    async def _answer(self, known: Request, request: web.Request, make: Any) -> web.StreamResponse:
        fates = self.fates[known.kind]
        fate = fates.popleft() if fates else ""
        known.over = "gone"
        await asyncio.sleep(self.delay_s[known.kind])
        if isinstance(fate, Refusal):
            known.over = "refused"
            if fate.in_stream:
                stream = await self._sse(request)
                await _event(stream, fate.body)
                return stream
            return web.json_response(fate.body, status=fate.status, headers={**self.headers, **fate.headers})
        if fate == "hang":
            await asyncio.sleep(3600)
        response: web.StreamResponse = await make(known, request, fate)
        known.over = "served"
        return response

    async def _sse(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", **self.headers})
        await stream.prepare(request)
        return stream

    async def _strike(
        self, stream: web.StreamResponse, request: web.Request, fate: Fate
    ) -> web.StreamResponse:
        """In the middle of an answer."""
        match fate:
            case "garbage":
                await stream.write(b"data: {this is no JSON]]\n\n")
            case "nonsense":
                await _event(stream, {"id": 7, "choices": "none today"})
            case "truncate":
                await stream.write(b'data: {"id": "chatcmpl-1", "choi')
            case "drop":
                if request.transport is not None:
                    request.transport.abort()
            case "no_end":
                pass
        return stream


def _choices(reply: Reply) -> list[list[Mapping[str, Any]]]:
    """The `choices` of each chunk."""
    if reply.raw:
        return [list(choices) for choices in reply.raw]
    chunks: list[list[Mapping[str, Any]]] = [[_choice({"role": "assistant", "content": ""})]]
    chunks += [[_choice({"content": token})] for token in _tokens(reply.text)]
    for index, (name, arguments) in enumerate(reply.tools):
        head = {"index": index, "id": f"call_{name}_{index}", "type": "function"}
        chunks.append([_choice({"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]})])
        half = len(arguments) // 2
        for part in (arguments[:half], arguments[half:]):
            chunks.append([_choice({"tool_calls": [{"index": index, "function": {"arguments": part}}]})])
    chunks.append([_choice({}, reply.finish or ("tool_calls" if reply.tools else "stop"))])
    return chunks


def _choice(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _completion(answer_id: str, reply: Reply, usage: Mapping[str, Any]) -> dict[str, Any]:
    calls = [
        {"id": f"call_{name}_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(reply.tools)
    ]
    message = {"role": "assistant", "content": reply.text or None, "tool_calls": calls or None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish or "stop"}
    head = {"id": answer_id, "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": usage}


def _tokens(text: str) -> list[str]:
    words = text.split(" ")
    return [word if number == 0 else f" {word}" for number, word in enumerate(words)] if text else []


async def _event(stream: web.StreamResponse, data: Mapping[str, Any]) -> None:
    await stream.write(b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n")


def _decoded(file: bytes) -> NDArray[np.int16]:
    """WAV or FLAC of 16 kHz mono; anything else is the client's mistake."""
    if file[:4] == b"RIFF":
        with wave.open(io.BytesIO(file)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16000, 1, 2)
            return np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    with av.open(io.BytesIO(file), "r") as container:
        assert container.streams.audio[0].rate == 16000
        parts = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(parts).astype(np.int16)


async def _serve(arguments: argparse.Namespace) -> None:
    server = OpenAiLike()
    server.delay_s = {
        "chat": arguments.chat_delay,
        "transcriptions": arguments.stt_delay,
        "speech": arguments.tts_delay,
    }
    server.tokens_per_s = arguments.tokens_per_s
    server.otherwise = Reply(arguments.reply)
    server.sentences = arguments.sentence or server.sentences
    server.rules = read_rules(arguments.rules) if arguments.rules else ()
    if arguments.clip:
        pairs = [clip.rpartition("=") for clip in arguments.clip]
        server.ears = ClipEars.of_files({words: Path(file) for words, _, file in pairs})
    async with server.running(arguments.port):
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chat-delay", type=float, default=0.2, help="s to the first token")
    parser.add_argument("--tokens-per-s", type=float, default=100.0)
    parser.add_argument("--stt-delay", type=float, default=0.15, help="s to a transcript")
    parser.add_argument("--tts-delay", type=float, default=0.08, help="s to the first sound")
    parser.add_argument("--reply", default="Certainly. How can I help you?")
    parser.add_argument("--sentence", action="append", help="what callers say; picked by its length")
    parser.add_argument("--clip", action="append", metavar="WORDS=WAV", help="a recording that callers play")
    parser.add_argument("--rules", type=Path, help="YAML with what the model says to what (rules.py)")
    asyncio.run(_serve(parser.parse_args()))
