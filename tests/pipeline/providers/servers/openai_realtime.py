"""OpenAI's Realtime API as a double: /v1/realtime, GA events (its API reference, Realtime client and server events).

It says what `replies` tell it to, and reads out what it is told to; `said` are the words of the caller's turns. It
keeps a conversation as the real one does and refuses what that refuses: two answers at once, a voice changed after
sound, a turn shorter than 100 ms, an item cut behind its end, an unknown item."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, web

from tests.pipeline.providers.servers.serving import Server, run

MS_PER_CHAR = 60
DELTA_MS = 100
RATES = {"audio/pcmu": 8, "audio/pcma": 8, "audio/pcm": 48}  # bytes a ms


@dataclass
class Says:
    """One answer: words, then calls of tools. error: the code of a failure instead. drop_after_ms: of sound."""

    text: str = ""
    tools: list[tuple[str, str]] = field(default_factory=list)
    error: str = ""
    drop_after_ms: int = -1


@dataclass
class Line:
    """One connection. events: what came, in order. items: the conversation, id → item."""

    socket: web.WebSocketResponse
    headers: dict[str, str]
    query: dict[str, str]
    events: list[dict[str, Any]] = field(default_factory=list)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)
    buffer: bytearray = field(default_factory=bytearray)
    heard: bytearray = field(default_factory=bytearray)
    spoken: bytearray = field(default_factory=bytearray)
    active: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    sounded: bool = False

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def conversation(self) -> list[tuple[str, str]]:
        """Who and what, as the model has it."""
        return [(item["role"], item["text"]) for item in self.items.values()]


@dataclass
class OpenAiRealtimeServer(Server):
    """first_s: before an answer's first sound. words_s: before the words of a turn. pace: times real time. mute:
    answers are begun and never come. failing: the transcription does. errors: what was refused."""

    first_s: float = 0.0
    words_s: float = 0.0
    pace: float = 8.0
    mute: bool = False
    failing: bool = False
    said: deque[str] = field(default_factory=deque)
    replies: deque[Says] = field(default_factory=deque)
    lines: list[Line] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    made: int = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._serve)
        return app

    @property
    def line(self) -> Line:
        return self.lines[-1]

    def drop(self) -> None:
        """Cut every connection, as a network does."""
        for line in self.lines:
            transport = line.socket._req.transport if line.socket._req is not None else None  # noqa: SLF001
            if transport is not None:
                transport.abort()

    async def end(self, reason: str) -> None:
        """Close as the server does at its time limit."""
        await self.line.socket.close(code=WSCloseCode.GOING_AWAY, message=reason.encode())

    # ------------------------------------------------------------ one connection

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if (refusal := await self.misbehave()) is not None:
            return refusal
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        line = Line(socket, dict(request.headers), dict(request.query))
        self.lines.append(line)
        async with self.counted():
            try:
                await self._send(
                    line, "session.created", session={"type": "realtime", "object": "realtime.session"}
                )
                async for message in socket:
                    event = json.loads(message.data)
                    line.events.append(event)
                    self.asked.append(event)
                    await self._take(line, event)
            except ConnectionResetError:
                pass
            finally:
                for task in line.active.values():
                    task.cancel()
                await asyncio.gather(*line.active.values(), return_exceptions=True)
        return socket

    async def _send(self, line: Line, kind: str, **body: Any) -> None:
        self.made += 1
        with suppress(ConnectionResetError):
            await line.socket.send_json({"type": kind, "event_id": f"event_{self.made}", **body})

    async def _refuse(self, line: Line, event: dict[str, Any], code: str, message: str) -> None:
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "event_id": event.get("event_id"),
        }
        self.errors.append(error)
        await self._send(line, "error", error=error)

    async def _take(self, line: Line, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                await self._update(line, event)
            case "input_audio_buffer.append":
                sound = base64.b64decode(event["audio"])
                line.buffer += sound
                line.heard += sound
            case "input_audio_buffer.commit":
                await self._commit(line, event)
            case "conversation.item.create":
                await self._create(line, event)
            case "conversation.item.delete":
                if line.items.pop(event["item_id"], None) is None:
                    await self._refuse(line, event, "item_delete_invalid_item_id", "no such item")
                else:
                    await self._send(line, "conversation.item.deleted", item_id=event["item_id"])
            case "conversation.item.truncate":
                await self._truncate(line, event)
            case "response.create":
                await self._respond(line, event)
            case "response.cancel":
                task = line.active.get(event.get("response_id", ""))
                if task is None:
                    await self._refuse(line, event, "response_cancel_not_active", "no active response")
                else:
                    task.cancel()
            case _:
                await self._refuse(line, event, "invalid_value", f"unknown event {event['type']}")

    async def _update(self, line: Line, event: dict[str, Any]) -> None:
        new = event["session"]
        voice = new.get("audio", {}).get("output", {}).get("voice")
        old = line.session.get("audio", {}).get("output", {}).get("voice")
        if line.sounded and voice and voice != old:
            await self._refuse(line, event, "cannot_update_voice", "Cannot update a conversation's voice")
            return
        audio = {**line.session.get("audio", {}), **new.get("audio", {})}
        audio["input"] = {
            **line.session.get("audio", {}).get("input", {}),
            **new.get("audio", {}).get("input", {}),
        }
        line.session = {**line.session, **new, "audio": audio}
        await self._send(line, "session.updated", session=line.session)

    def _bytes_per_ms(self, line: Line, side: str) -> int:
        return RATES[line.session["audio"][side]["format"]["type"]]

    # ------------------------------------------------------------ the conversation

    async def _commit(self, line: Line, event: dict[str, Any]) -> None:
        if len(line.buffer) < 100 * self._bytes_per_ms(line, "input"):
            await self._refuse(line, event, "input_audio_buffer_commit_empty", "buffer too small")
            return
        line.buffer.clear()
        self.made += 1
        item = f"item_{self.made}"
        text = self.said.popleft() if self.said else ""
        line.items[item] = {"role": "user", "text": text, "ms": 0}
        await self._send(line, "input_audio_buffer.committed", item_id=item, previous_item_id=None)
        task = asyncio.create_task(self._write(line, item, text))
        line.active[item] = task
        task.add_done_callback(lambda _: line.active.pop(item, None))

    async def _write(self, line: Line, item: str, text: str) -> None:
        await asyncio.sleep(self.words_s)
        kind, place = "conversation.item.input_audio_transcription", {"item_id": item, "content_index": 0}
        if self.failing:
            await self._send(line, f"{kind}.failed", **place, error={"message": "no"})
            return
        for word in text.split(" "):
            await self._send(line, f"{kind}.delta", **place, delta=f"{word} ")
        usage = {"type": "tokens", "input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        await self._send(line, f"{kind}.completed", **place, transcript=text, usage=usage)

    async def _create(self, line: Line, event: dict[str, Any]) -> None:
        body, after = event["item"], event.get("previous_item_id")
        if after not in (None, "root", *line.items):
            await self._refuse(line, event, "item_create_invalid_previous_item_id", f"no item {after}")
            return
        kind = body["type"]
        role = body["role"] if kind == "message" else kind
        text = body["content"][0]["text"] if kind == "message" else body.get("output", body.get("arguments"))
        rows = list(line.items.items())
        at = (
            0
            if after == "root"
            else len(rows)
            if after is None
            else [key for key, _ in rows].index(after) + 1
        )
        rows.insert(at, (body["id"], {"role": role, "text": text, "ms": 0}))
        line.items = dict(rows)
        await self._send(line, "conversation.item.added", item=body)

    async def _truncate(self, line: Line, event: dict[str, Any]) -> None:
        item, ms = line.items.get(event["item_id"]), event["audio_end_ms"]
        if item is None or item["role"] != "assistant":
            await self._refuse(line, event, "item_truncate_invalid_item_id", "no such item")
        elif ms > item["ms"]:
            await self._refuse(
                line, event, "invalid_value", f"Audio content of {item['ms']}ms is already shorter"
            )
        else:
            item |= {"ms": ms, "text": f"<{ms} ms>"}
            await self._send(line, "conversation.item.truncated", item_id=event["item_id"], audio_end_ms=ms)

    # ------------------------------------------------------------ answers

    async def _respond(self, line: Line, event: dict[str, Any]) -> None:
        body = event.get("response", {})
        aside = body.get("conversation") == "none"
        if not aside and any(key.startswith("resp_main") for key in line.active):
            await self._refuse(line, event, "conversation_already_has_active_response", "one at a time")
            return
        self.made += 1
        response = f"resp_{'aside' if aside else 'main'}_{self.made}"
        if aside:
            says = Says(body.get("instructions", "").rpartition("\n\n")[2])
        else:
            says = self.replies.popleft() if self.replies else Says("I see.")
        shown = {
            "id": response,
            "object": "realtime.response",
            "metadata": body.get("metadata"),
            "output": [],
        }
        await self._send(line, "response.created", response={**shown, "status": "in_progress"})
        task = asyncio.create_task(self._answer(line, response, shown, says, aside, body))
        line.active[response] = task

    async def _answer(
        self, line: Line, response: str, shown: dict[str, Any], says: Says, aside: bool, body: dict[str, Any]
    ) -> None:
        status, details = "completed", None
        try:
            await asyncio.sleep(3600 if self.mute else self.first_s)
            if says.error:
                status, details = "failed", {"type": "failed", "error": {"code": says.error, "message": "no"}}
            else:
                if says.text:
                    await self._speak(line, response, says, aside, body.get("output_modalities") == ["audio"])
                for name, arguments in says.tools:
                    await self._call(line, response, name, arguments)
        except asyncio.CancelledError:
            status, details = "cancelled", {"type": "cancelled", "reason": "client_cancelled"}
        line.active.pop(response, None)
        usage = {
            "input_tokens": 100,
            "output_tokens": 40,
            "total_tokens": 140,
            "input_token_details": {"audio_tokens": 60, "text_tokens": 40, "cached_tokens": 30},
            "output_token_details": {"audio_tokens": 30, "text_tokens": 10},
        }
        done = {**shown, "status": status, "status_details": details, "usage": usage}
        await self._send(line, "response.done", response=done)

    async def _speak(self, line: Line, response: str, says: Says, aside: bool, aloud: bool) -> None:
        self.made += 1
        item = f"item_{self.made}"
        place = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        entry: dict[str, Any] = {"role": "assistant", "text": "", "ms": 0}
        if not aside:
            line.items[item] = entry
        await self._send(
            line, "response.output_item.added", response_id=response, item={"id": item, "type": "message"}
        )
        words = [word + " " for word in says.text.split(" ")]
        words[-1] = words[-1][:-1]
        kind = "response.output_audio_transcript" if aloud else "response.output_text"
        total, per_ms = len(says.text) * MS_PER_CHAR, self._bytes_per_ms(line, "output")
        for ms in range(0, total, DELTA_MS):
            for _ in range(2):
                if words:
                    entry["text"] += words[0]
                    await self._send(line, f"{kind}.delta", **place, delta=words.pop(0))
            if not aloud:
                continue
            if says.drop_after_ms == ms:
                self.drop()
            line.sounded = True
            sound = sound_of(min(DELTA_MS, total - ms) * per_ms)
            entry["ms"] += len(sound) // per_ms
            line.spoken += sound
            await self._send(
                line, "response.output_audio.delta", **place, delta=base64.b64encode(sound).decode()
            )
            await asyncio.sleep(DELTA_MS / 1000 / self.pace)
        for word in words:
            entry["text"] += word
            await self._send(line, f"{kind}.delta", **place, delta=word)
        await self._send(line, f"{kind}.done", **place, transcript=says.text)
        await self._send(
            line, "response.output_item.done", response_id=response, item={"id": item, "type": "message"}
        )

    async def _call(self, line: Line, response: str, name: str, arguments: str) -> None:
        self.made += 1
        item = f"item_{self.made}"
        line.items[item] = {"role": "function_call", "text": arguments, "ms": 0}
        body = {
            "id": item,
            "type": "function_call",
            "call_id": f"call_{self.made}",
            "name": name,
            "arguments": arguments,
        }
        await self._send(
            line, "response.output_item.added", response_id=response, item={**body, "arguments": ""}
        )
        await self._send(line, "response.output_item.done", response_id=response, item=body)


def sound_of(size: int) -> bytes:
    """G.711 that is easy to know again: loud, and without mu-law's second zero."""
    return bytes((0x15, 0x25, 0x35, 0x95, 0xA5, 0xB5))[:6] * (size // 6) + b"\x15" * (size % 6)


if __name__ == "__main__":
    run(OpenAiRealtimeServer())
