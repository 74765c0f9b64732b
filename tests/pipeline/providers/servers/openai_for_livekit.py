"""OpenAI's chat, speech and transcription endpoints as a double, as far as LiveKit's plugin uses them.

POST /chat/completions streamed, /audio/speech as PCM, /audio/transcriptions (platform.openai.com, API reference)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.pipeline.providers.servers.serving import Server, run, sse, tone


@dataclass
class OpenAi(Server):
    """replies: a text, or a list of (id, name, arguments) of tools, one a request. texts: what callers said."""

    replies: deque[str | list[tuple[str, str, str]]] = field(default_factory=deque)
    texts: deque[str] = field(default_factory=deque)
    token_pause_s: float = 0.0
    rate_hz: int = 24000

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/chat/completions", self._chat)
        app.router.add_post("/audio/speech", self._speech)
        app.router.add_post("/audio/transcriptions", self._transcribe)
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        if (refusal := await self.misbehave()) is not None:
            return refusal
        reply = self.replies.popleft() if self.replies else "Hello there."
        about = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if isinstance(reply, str):
            words = reply.split(" ")
            deltas += [{"content": word if n == 0 else f" {word}"} for n, word in enumerate(words)]
        else:
            for index, (call, name, arguments) in enumerate(reply):
                function = {"name": name, "arguments": ""}
                deltas.append(
                    {"tool_calls": [{"index": index, "id": call, "type": "function", "function": function}]}
                )
                for part in (arguments[:3], arguments[3:]):
                    deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        lines = [sse({**about, "choices": [{"index": 0, "delta": d, "finish_reason": None}]}) for d in deltas]
        why = "stop" if isinstance(reply, str) else "tool_calls"
        lines.append(sse({**about, "choices": [{"index": 0, "delta": {}, "finish_reason": why}]}))
        used = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
        used |= {"prompt_tokens_details": {"cached_tokens": 16}}  # type: ignore[dict-item]
        lines += [sse({**about, "choices": [], "usage": used}), "data: [DONE]\n\n"]
        async with self.counted():
            return await self.events(request, lines, self.token_pause_s)

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append(asked)
        if (refusal := await self.misbehave()) is not None:
            return refusal
        return web.Response(body=tone(asked["input"], self.rate_hz), content_type="audio/pcm")

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        form_text = {name: value for name, value in form.items() if isinstance(value, str)}
        self.asked.append({**form_text, "bytes": len(file.file.read())})
        if (refusal := await self.misbehave()) is not None:
            return refusal
        return web.json_response({"text": self.texts.popleft() if self.texts else ""})


if __name__ == "__main__":
    run(OpenAi(texts=deque(["I want to order a pizza"] * 100)))
