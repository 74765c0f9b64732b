"""Gemini's streamGenerateContent as a double: POST /v1/models/{model}:streamGenerateContent?alt=sse."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.pipeline.providers.servers.serving import Server, run, sse

SIGNATURE = "c2lnbmF0dXJl"


@dataclass
class Google(Server):
    """replies: a text, or a list of (name, arguments) of tools. finish: the reason of the last chunk. block: refuse the
    prompt for this reason."""

    replies: deque[str | list[tuple[str, dict[str, Any]]]] = field(default_factory=deque)
    finish: str = "STOP"
    block: str = ""
    token_pause_s: float = 0.0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{version:v1|v1beta}/models/{model}", self._generate)
        return app

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append({**asked, "key": request.headers.get("x-goog-api-key", ""), **request.match_info})
        if (refusal := await self.misbehave()) is not None:
            return refusal
        async with self.counted():
            return await self.events(request, [sse(chunk) for chunk in self._chunks()], self.token_pause_s)

    def _chunks(self) -> list[dict[str, Any]]:
        if self.block:
            return [{"promptFeedback": {"blockReason": self.block}, "usageMetadata": {"promptTokenCount": 4}}]
        reply = self.replies.popleft() if self.replies else "Hello there."
        parts: list[dict[str, Any]] = [{"text": "Hm, let me think.", "thought": True}]
        if isinstance(reply, str):
            parts += [{"text": f"{word} "} for word in reply.split(" ")]
            parts[-1]["text"] = parts[-1]["text"].rstrip()
        else:
            for number, (name, arguments) in enumerate(reply):
                signed = {} if number else {"thoughtSignature": SIGNATURE}
                parts.append({"functionCall": {"name": name, "args": arguments}, **signed})
        chunks = [
            {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]} for part in parts
        ]
        used = {"promptTokenCount": 30, "candidatesTokenCount": 8, "thoughtsTokenCount": 3}
        last: dict[str, Any] = {
            "usageMetadata": {**used, "cachedContentTokenCount": 20, "totalTokenCount": 41}
        }
        if self.finish:
            last["candidates"] = [{"content": {"role": "model"}, "finishReason": self.finish, "index": 0}]
        return [*chunks, last]


if __name__ == "__main__":
    run(Google())
