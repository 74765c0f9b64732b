"""Cartesia's speech as a double: GET /tts/websocket with contexts, POST /tts/bytes (docs.cartesia.ai, TTS)."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from tests.pipeline.providers.servers.serving import Server, run, tone

MS_PER_CHAR = 20.0


@dataclass
class Cartesia(Server):
    """Speaks a tone of 20 ms a character, with the times of its words. refusal: an error event instead."""

    refusal: dict[str, object] | None = None
    chunk_pause_s: float = 0.0
    connections: int = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/tts/websocket", self._socket)
        return app

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.asked.append({"key": request.headers.get("X-API-Key", ""), **request.query})
        if self.knobs.status and (refusal := await self.misbehave()) is not None:
            return refusal
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        spoken: dict[str, float] = {}
        async with self.counted():
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._speak(socket, json.loads(message.data), spoken)
        return socket

    async def _speak(
        self, socket: web.WebSocketResponse, asked: dict[str, object], spoken: dict[str, float]
    ) -> None:
        self.asked.append(asked)
        if self.knobs.silent:
            return
        await asyncio.sleep(self.knobs.delay_s)
        if self.knobs.garbage:
            await socket.send_str("}{ no JSON")
            return
        context, text = str(asked["context_id"]), str(asked["transcript"])
        about = {"context_id": context, "done": False, "status_code": 206}
        if self.refusal is not None:
            await socket.send_json({"type": "error", "done": True, "context_id": context, **self.refusal})
            return
        if text.strip():
            await self._sound(socket, about, text, asked, spoken)
        if not asked.get("continue"):
            await socket.send_json({**about, "type": "done", "done": True})

    async def _sound(
        self,
        socket: web.WebSocketResponse,
        about: dict[str, object],
        text: str,
        asked: dict[str, object],
        spoken: dict[str, float],
    ) -> None:
        form = asked["output_format"]
        assert isinstance(form, dict)
        begins_s = spoken.get(str(about["context_id"]), 0.0)
        words, starts, ends = text.split(), [], []
        at = 0
        for word in words:
            at = text.index(word, at)
            starts.append(begins_s + at * MS_PER_CHAR / 1000)
            at += len(word)
            ends.append(begins_s + at * MS_PER_CHAR / 1000)
        spoken[str(about["context_id"])] = begins_s + len(text) * MS_PER_CHAR / 1000
        timing = {"words": words, "start": starts, "end": ends}
        await socket.send_json({**about, "type": "timestamps", "word_timestamps": timing})
        pcm = tone(text, form["sample_rate"], MS_PER_CHAR)
        for number, at in enumerate(range(0, len(pcm), 3200)):
            if number == self.knobs.drop_after:
                await socket.close(code=1011)
                return
            data = base64.b64encode(pcm[at : at + 3200]).decode()
            await socket.send_json({**about, "type": "chunk", "data": data, "step_time": 1})
            await asyncio.sleep(self.chunk_pause_s)


if __name__ == "__main__":
    run(Cartesia())
