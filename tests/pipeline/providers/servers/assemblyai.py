"""AssemblyAI's streaming v3 as a double: GET /v3/ws (assemblyai.com, Universal Streaming, Message Sequence).

A turn is said once 0.3 s of sound that is not silent has come, in growing partials; it ends at ForceEndpoint."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from aiohttp import WSMsgType, web

from tests.pipeline.providers.servers.serving import Server, run

SPEECH_S = 0.3


@dataclass
class AssemblyAi(Server):
    """texts: what callers say, one a turn. close_code: end the session with it at once."""

    texts: deque[str] = field(default_factory=deque)
    close_code: int = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v3/ws", self._listen)
        return app

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        self.asked.append({"query": dict(request.query), "auth": request.headers.get("Authorization", "")})
        if self.knobs.status and (refusal := await self.misbehave()) is not None:
            return refusal
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "Begin", "id": "s-1", "expires_at": 2_000_000_000})
        if self.close_code:
            await socket.close(code=self.close_code, message=b"Unauthorized Connection")
            return socket
        heard_s = 0.0
        rate_hz = int(request.query["sample_rate"])
        async with self.counted():
            async for message in socket:
                if message.type == WSMsgType.BINARY:
                    sound = np.frombuffer(message.data, np.int16).astype(int)
                    before = heard_s
                    heard_s += len(sound) / rate_hz if np.abs(sound).max(initial=0) > 500 else 0.0
                    if before < SPEECH_S <= heard_s and self.texts:
                        await self._turn(socket, self.texts[0].rpartition(" ")[0], end=False)
                    continue
                control = json.loads(message.data)
                self.asked.append(control)
                if control["type"] == "Terminate":
                    await socket.send_json({"type": "Termination", "audio_duration_seconds": 1})
                    await socket.close()
                elif control["type"] == "ForceEndpoint" and heard_s >= SPEECH_S:
                    await asyncio.sleep(self.knobs.delay_s)
                    await self._turn(socket, self.texts.popleft(), end=True)
                    heard_s = 0.0
        return socket

    async def _turn(self, socket: web.WebSocketResponse, text: str, *, end: bool) -> None:
        words = [
            {"text": word, "start": n * 200, "end": n * 200 + 180, "confidence": 0.8, "word_is_final": end}
            for n, word in enumerate(text.split())
        ]
        turn = {"type": "Turn", "turn_order": 0, "turn_is_formatted": end, "end_of_turn": end, "words": words}
        await socket.send_json({**turn, "transcript": text, "end_of_turn_confidence": 0.7, "utterance": ""})


if __name__ == "__main__":
    run(AssemblyAi(texts=deque(["I want to order a pizza"] * 100)))
