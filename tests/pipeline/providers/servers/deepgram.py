"""Deepgram's live transcription as a double: GET /v1/listen as WebSocket (developers.deepgram.com, Live Audio).

Hears the next of `texts` once half a second of sound that is not silent has come: interim words first, a final at
Finalize or after `endpointing` of silence."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from tests.pipeline.providers.servers.serving import Server, run

SPEECH_S = 0.3


@dataclass
class Deepgram(Server):
    """texts: what callers say, one a turn. endpoints: finals come after silence, not only at Finalize."""

    texts: deque[str] = field(default_factory=deque)
    endpoints: bool = True
    confidence: float = 0.9

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/listen", self._listen)
        return app

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        self.asked.append({"query": dict(request.query), "auth": request.headers.get("Authorization", "")})
        if (refusal := await self.misbehave()) is not None:
            return refusal
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async with self.counted():
            await self._hear(socket, int(request.query["sample_rate"]))
        return socket

    async def _hear(self, socket: web.WebSocketResponse, rate_hz: int) -> None:
        heard_s = silent_s = 0.0
        sent = 0
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                seconds = len(message.data) / 2 / rate_hz
                loud = bool(np.abs(np.frombuffer(message.data, np.int16).astype(int)).max(initial=0) > 500)
                silent_s = 0.0 if loud else silent_s + seconds
                before, heard_s = heard_s, heard_s + (seconds if loud else 0.0)
                if before < SPEECH_S <= heard_s and self.texts:
                    await socket.send_json({"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.1})
                    await self._result(socket, self.texts[0].rpartition(" ")[0], final=False)
                    sent += 1
                    if sent == self.knobs.drop_after:
                        assert socket._req is not None and socket._req.transport is not None
                        socket._req.transport.abort()
                        return
                if not (self.endpoints and heard_s >= SPEECH_S and silent_s > 0.1):
                    continue
            else:
                control = json.loads(message.data)["type"]
                self.asked.append(control)
                if control == "CloseStream":
                    await socket.close()
                    return
                if control != "Finalize":
                    continue
            if heard_s >= SPEECH_S and self.texts and not self.knobs.silent:
                await asyncio.sleep(self.knobs.delay_s)
                await self._result(socket, self.texts.popleft(), final=True)
            heard_s = silent_s = 0.0

    async def _result(self, socket: web.WebSocketResponse, text: str, *, final: bool) -> None:
        words: list[dict[str, Any]] = [
            {"word": word.lower().strip(".,"), "start": n * 0.2, "end": n * 0.2 + 0.2, "confidence": 0.9}
            for n, word in enumerate(text.split())
        ]
        best = {"transcript": text, "confidence": self.confidence, "words": words}
        result = {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": 1.0,
            "start": 0.0,
            "is_final": final,
            "speech_final": final,
            "channel": {"alternatives": [best]},
            "metadata": {"request_id": "r-1", "model_uuid": "m-1"},
        }
        await socket.send_json(result)


if __name__ == "__main__":
    run(Deepgram(texts=deque(["I want to order a pizza"] * 100)))
