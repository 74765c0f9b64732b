"""Groq's Whisper as a recogniser that listens: requests leave while the caller speaks (request_stt.py).

Sources: console.groq.com/docs/speech-to-text and api-reference: `verbose_json` has the segments by which whisper.py
refuses what was made up; the prompt may have 224 tokens; a request is billed as 10 s at least."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from pipeline.ports import Hints, SttEvent
from pipeline.providers.blame import failed
from pipeline.providers.groq.connection import connection
from pipeline.providers.request_stt import RequestStt
from pipeline.providers.sdk_client import SdkProvider
from pipeline.providers.upload import Format, as_file
from pipeline.providers.whisper import judged, language_code, prompt_of

MODEL = "whisper-large-v3-turbo"


class GroqStt(RequestStt, SdkProvider):
    """Key: GROQ_API_KEY.

    model: whisper-large-v3-turbo or whisper-large-v3. prompt: words of yours that Whisper should spell right, before
    those of the agent. temperature: 0.0 to 1.0. silence_ms: so much silence makes a request leave before the turn is
    over; 0 for none. every_ms: so much speech makes one leave for a partial; 0 for none, which costs least. upload: wav
    or flac, half the size. concurrency: requests at once, over all calls of a worker. timeout_s: for an answer, in s.
    base_url: of another server that speaks the same; else GROQ_BASE_URL, else Groq.
    usage: what has been sent and billed since the start.
    """

    name = "groq"
    LEAST_BILLED_S = 10.0

    def __init__(
        self,
        *,
        model: str = MODEL,
        prompt: str = "",
        temperature: float = 0.0,
        silence_ms: int = 200,
        every_ms: int = 1000,
        upload: Format = "wav",
        concurrency: int = 16,
        timeout_s: float = 5.0,
        base_url: str = "",
    ) -> None:
        self._model, self._prompt, self._temperature, self._upload = model, prompt, temperature, upload
        SdkProvider.__init__(self, connection(base_url, timeout_s))
        RequestStt.__init__(self, silence_ms=silence_ms, every_ms=every_ms, concurrency=concurrency)

    def may_guess(self) -> bool:
        return not self._sdk.scarce

    async def recognise(self, pcm: bytes, rate_hz: int, hints: Hints) -> AsyncGenerator[SttEvent, None]:
        self._sdk.check()
        file = await as_file(pcm, rate_hz, self._upload)
        prompt, language = prompt_of(hints, self._prompt), language_code(hints.language)
        options: dict[str, Any] = {"prompt": prompt, "language": language}
        self.usage.sent(len(pcm) / 2 / rate_hz, self.LEAST_BILLED_S)
        with self._sdk.blamed():
            raw = await self._sdk.client.audio.transcriptions.with_raw_response.create(
                model=self._model,
                file=file,
                response_format="verbose_json",
                temperature=self._temperature,
                **{key: value for key, value in options.items() if value},
            )
            answer = await self._sdk.parsed(raw)
        said = answer.model_dump() if hasattr(answer, "model_dump") else {}
        if not isinstance(said.get("text"), str):
            raise failed(self.name, "server", "an answer without a text")
        yield judged(said, prompt)
