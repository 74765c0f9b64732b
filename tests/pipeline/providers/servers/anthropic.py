"""Anthropic's Messages API as a double: POST /v1/messages, streamed (Anthropic's documentation of streaming)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.pipeline.providers.servers.serving import Server, run, sse


@dataclass
class Anthropic(Server):
    """replies: a text, or a list of (id, name, arguments as JSON) of tools. midway: an error event after two words."""

    replies: deque[str | list[tuple[str, str, str]]] = field(default_factory=deque)
    stop_reason: str = ""
    midway: dict[str, str] | None = None
    token_pause_s: float = 0.0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/messages", self._messages)
        return app

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.asked.append({**asked, "key": request.headers.get("x-api-key", bearer)})
        if (fault := _fault(asked)) and not self.knobs.status:
            error = {"type": "invalid_request_error", "message": fault}
            return web.json_response({"type": "error", "error": error}, status=400)
        if (refusal := await self.misbehave()) is not None:
            return refusal
        async with self.counted():
            return await self.events(request, self._lines(), self.token_pause_s)

    def _lines(self) -> list[str]:
        reply = self.replies.popleft() if self.replies else "Hello there."
        used = {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5}
        about = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude"}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**about, "usage": {**used, "output_tokens": 1}}},
            {"type": "ping"},
        ]
        if isinstance(reply, str):
            deltas = [{"type": "text_delta", "text": f"{word} "} for word in reply.split(" ")]
            deltas[-1]["text"] = deltas[-1]["text"].rstrip()
            events += _block(0, {"type": "text", "text": ""}, deltas)
        else:
            for index, (call, name, arguments) in enumerate(reply):
                parts = [arguments[at : at + 4] for at in range(0, len(arguments), 4)]
                inputs = [{"type": "input_json_delta", "partial_json": part} for part in ["", *parts]]
                events += _block(index, {"type": "tool_use", "id": call, "name": name, "input": {}}, inputs)
        if self.midway is not None:
            events[4:] = [{"type": "error", "error": self.midway}]
        else:
            why = self.stop_reason or ("end_turn" if isinstance(reply, str) else "tool_use")
            delta = {"stop_reason": why, "stop_sequence": None}
            events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 12}})
            events.append({"type": "message_stop"})
        return [sse(event, event["type"]) for event in events]


def _block(index: int, start: dict[str, Any], deltas: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


def _fault(asked: dict[str, Any]) -> str:
    """What the real one refuses: roles that do not alternate, tool results that are missing or late."""
    roles = [message["role"] for message in asked["messages"]]
    if roles != (["user", "assistant"] * len(roles))[: len(roles)] or roles[-1] != "user":
        return f"roles must alternate and begin and end with user: {roles}"
    for before, after in zip(asked["messages"], asked["messages"][1:], strict=False):
        wanted = [block["id"] for block in before["content"] if block["type"] == "tool_use"]
        given = [block.get("tool_use_id") for block in after["content"]][: len(wanted)]
        if sorted(wanted) != sorted(map(str, given)):
            return f"tool_use {wanted} without tool_result blocks immediately after: {given}"
    if any(
        not block.get("text", "x").strip() for message in asked["messages"] for block in message["content"]
    ):
        return "text content blocks must be non-empty"
    return ""


if __name__ == "__main__":
    run(Anthropic())
