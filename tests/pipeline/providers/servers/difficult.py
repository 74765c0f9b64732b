"""What a vendor's server can do to its clients, for every double that is an aiohttp application: the conformance
suite's Difficulties as a middleware. ElevenLabs' double has knobs of its own, which `ElevenLabsDifficulties` turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeAlias

from aiohttp import web

from pipeline.testing.conformance import Trouble
from tests.pipeline.providers.servers.elevenlabs import KEY, ElevenLabsServer, Knobs

SECRET = "sk-difficult-0123456789abcdef"
SLOW_S = 0.3
MESSAGES = 2  # of an answer that streams, before it is cut
REFUSING: tuple[Trouble, ...] = ("auth", "quota", "rate_limit", "bad_request", "server", "unreachable")
WAITING: tuple[Trouble, ...] = ("silent", "slow", "fails_once")
CUTTING: tuple[Trouble, ...] = ("malformed", "truncated", "drops")
ALL = (*REFUSING, *WAITING, *CUTTING)

Refusal: TypeAlias = tuple[int, Any, Mapping[str, str]]
Refusals: TypeAlias = Callable[[str], Refusal]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def openai_refusal(trouble: str) -> Refusal:
    """As OpenAI and Groq refuse."""
    status, code, words = {
        "auth": (401, "invalid_api_key", f"Incorrect API key provided: {SECRET}."),
        "quota": (429, "insufficient_quota", "You exceeded your current quota."),
        "rate_limit": (429, "rate_limit_exceeded", "Rate limit reached."),
        "bad_request": (404, "model_not_found", "The model does not exist."),
        "server": (500, "internal_error", "The server had an error."),
    }[trouble]
    headers = {"retry-after": "2"} if trouble == "rate_limit" else {}
    return status, {"error": {"message": words, "type": "invalid_request_error", "code": code}}, headers


def handshake_refusal(trouble: str) -> Refusal:
    """As Deepgram and Cartesia refuse a WebSocket: by the status alone."""
    return (402, {}, {}) if trouble == "quota" else openai_refusal(trouble)


def anthropic_refusal(trouble: str) -> Refusal:
    status, kind, words = {
        "auth": (401, "authentication_error", f"invalid x-api-key {SECRET}"),
        "quota": (402, "billing_error", "Your credit balance is too low."),
        "rate_limit": (429, "rate_limit_error", "This would exceed your rate limit."),
        "bad_request": (404, "not_found_error", "model: claude-none"),
        "server": (529, "overloaded_error", "Overloaded"),
    }[trouble]
    headers = {"retry-after": "2"} if trouble == "rate_limit" else {}
    return status, {"type": "error", "error": {"type": kind, "message": words}}, headers


def google_refusal(trouble: str) -> Refusal:
    status, reason, words = {
        "auth": (400, "INVALID_ARGUMENT", f"API key not valid: {SECRET}"),
        "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."),
        "rate_limit": (429, "RESOURCE_EXHAUSTED", "Quota exceeded for requests per minute."),
        "bad_request": (404, "NOT_FOUND", "models/none is not found"),
        "server": (503, "UNAVAILABLE", "The model is overloaded."),
    }[trouble]
    details = {"auth": [{"reason": "API_KEY_INVALID"}], "rate_limit": [{"retryDelay": "2s"}]}.get(trouble, [])
    return status, {"error": {"code": status, "message": words, "status": reason, "details": details}}, {}


class Difficult:
    """pipeline.testing.conformance.Difficulties in front of an application: give `attach` its application."""

    secret = SECRET

    def __init__(self, refusal: Refusals, troubles: tuple[Trouble, ...] = ALL) -> None:
        self.troubles = troubles
        self.requests = self.running = 0
        self._refusal = refusal
        self._trouble: Trouble | None = None

    def make(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def clear(self) -> None:
        self._trouble, self.requests = None, 0

    def attach(self, app: web.Application) -> None:
        """Before it is set up."""

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._serve(request, handler)

        app.middlewares.append(serve)
        app.on_response_prepare.append(self._prepare)

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        if request.method == "GET" and not upgrade:
            return await handler(request)  # to open a connection ahead
        self.requests += 1
        self.running += 1
        try:
            return await self._answer(request, handler)
        except _Ends:
            return web.Response()  # nobody is there any more, or its head has left and only the end follows
        finally:
            self.running -= 1

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        trouble = self._trouble
        if trouble == "fails_once":
            self._trouble, trouble = None, "server"
        if trouble == "unreachable":
            _cut(request)
        if trouble in REFUSING:
            status, body, headers = self._refusal(str(trouble))
            return web.json_response(body, status=status, headers=headers)
        if trouble == "silent":
            await asyncio.get_running_loop().create_future()
        if trouble == "slow":
            await asyncio.sleep(SLOW_S)
        response = await handler(request)
        if trouble in CUTTING and isinstance(response, web.Response) and not response.prepared:
            return await self._whole(request, response, trouble)
        return response

    async def _whole(
        self, request: web.Request, response: web.Response, trouble: Trouble | None
    ) -> web.StreamResponse:
        """An answer that does not stream."""
        if trouble == "malformed":
            return web.Response(text="<html>}{", content_type="text/html")
        body = response.body if isinstance(response.body, bytes) else b""
        half = body[: len(body) // 2]
        if trouble == "truncated":
            return web.Response(body=half, content_type=response.content_type)
        stream = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await stream.prepare(request)
        await stream.write(half)
        return _cut(request)

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """An answer that streams: after its first messages it is cut."""
        trouble = self._trouble
        if trouble not in CUTTING or isinstance(response, web.Response | web.WebSocketResponse):
            return
        if trouble == "malformed" and "event-stream" not in response.content_type:
            response.content_type = "text/html"
        write, left = response.write, [MESSAGES]

        async def shorter(data: Any) -> None:
            left[0] -= 1
            if left[0] >= 0:
                await write(data)
                return
            if trouble == "drops":
                _cut(request)
            if trouble == "malformed":
                await write(b"data: {this is no JSON]]\n\n")
            await response.write_eof()
            raise _Ends

        response.write = shorter  # type: ignore[method-assign]


class _Ends(Exception):
    """The answer is over before its time."""


def _cut(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise _Ends


class ElevenLabsDifficulties:
    """The same for ElevenLabs' double. kind: what it is asked for."""

    secret = KEY

    def __init__(self, server: ElevenLabsServer, kind: str) -> None:
        self._server, self._kind, self._before = server, kind, 0
        self.troubles: tuple[Trouble, ...] = (
            "auth", "quota", "rate_limit", "bad_request", "server", "silent", "slow", "malformed", "drops",
        )  # fmt: skip

    @property
    def requests(self) -> int:
        return len(self._server.calls) - self._before

    @property
    def running(self) -> int:
        return len(self._server.alive)

    def make(self, trouble: Trouble) -> None:
        refusals = {
            "auth": (401, "invalid_api_key", f"Invalid API key {KEY}"),
            "quota": (401, "quota_exceeded", "You have 0 credits remaining."),
            "rate_limit": (429, "too_many_concurrent_requests", "Too many concurrent requests."),
            "bad_request": (404, "voice_not_found", "A voice with that id was not found."),
            "server": (500, "internal_error", "An error occurred."),
        }
        knobs = self._server.knobs
        if trouble in refusals:
            status, code, words = refusals[trouble]
            knobs.refuse = (status, {"detail": {"status": code, "message": words}})
        elif trouble == "silent":
            knobs.silent, knobs.deaf = self._kind == "tts", self._kind == "stt"
        elif trouble == "slow":
            knobs.first_byte_s = knobs.stt_s = SLOW_S
        elif trouble == "malformed":
            knobs.garbage, knobs.stt_garbage_at = "nonsense", 1
        else:
            knobs.drop_after, knobs.drops, knobs.stt_drop_at = 1, 99, 1

    def clear(self) -> None:
        self._server.knobs = Knobs(texts=self._server.knobs.texts, chunk_chars=3, imagines=False)
        self._before = len(self._server.calls)
