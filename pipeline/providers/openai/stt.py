"""Recognisers behind audio/transcriptions, as ones that listen: requests leave while the caller speaks.

The gpt-…-transcribe models stream their words, which become partials; Whisper answers once, with figures by which
whisper.py refuses what was made up. Source: OpenAI's API reference, Create transcription."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from typing import Any, ClassVar, Literal

from pipeline.errors import ConfigError
from pipeline.ports import Final, Hints, Partial, SttEvent
from pipeline.providers.blame import failed
from pipeline.providers.openai import vendors
from pipeline.providers.openai.vendors import Vendor, connection
from pipeline.providers.phantoms import may_become_phantom
from pipeline.providers.request_stt import RequestStt
from pipeline.providers.sdk_client import SdkProvider
from pipeline.providers.upload import Format, as_file
from pipeline.providers.whisper import judged, language_code, prompt_of

Answer = Literal["", "stream", "json", "verbose_json"]


class OpenAiStt(RequestStt, SdkProvider):
    """Key: OPENAI_API_KEY.

    model: gpt-4o-mini-transcribe, gpt-4o-transcribe, whisper-1, or what the server has. prompt: words of yours, before
    those of the agent. temperature: 0.0 to 1.0. answer: stream, json or verbose_json; empty for what the model's name
    suggests. silence_ms: so much silence makes a request leave before the turn is over; 0 for none. every_ms: so much
    speech makes one leave for a partial; 0 for none, which costs least. upload: wav or flac, half the size.
    concurrency: requests at once, over all calls of a worker. timeout_s: the longest silence of the server, in s.
    base_url: of another server; else OPENAI_BASE_URL, else the vendor's.
    usage: what has been sent since the start.
    """

    name = "openai"
    VENDOR: ClassVar[Vendor] = vendors.OPENAI
    MODEL: ClassVar[str] = "gpt-4o-mini-transcribe"

    def __init__(
        self,
        *,
        model: str = "",
        prompt: str = "",
        temperature: float = 0.0,
        answer: Answer = "",
        silence_ms: int = 200,
        every_ms: int = 1000,
        upload: Format = "wav",
        concurrency: int = 16,
        timeout_s: float = 5.0,
        base_url: str = "",
        api_version: str = "",
        deployment: str = "",
    ) -> None:
        self._model = model or deployment or self.MODEL
        if not self._model:
            raise ConfigError(f"stt {self.name}: option 'model' is missing. Name one that the server has.")
        self._answer = answer or ("stream" if "transcribe" in self._model else "verbose_json")
        self._prompt, self._temperature, self._upload = prompt, temperature, upload
        sdk = connection(self.VENDOR, base_url, timeout_s, api_version=api_version, deployment=deployment)
        SdkProvider.__init__(self, sdk)
        RequestStt.__init__(self, silence_ms=silence_ms, every_ms=every_ms, concurrency=concurrency)

    def may_guess(self) -> bool:
        return not self._sdk.scarce

    async def recognise(self, pcm: bytes, rate_hz: int, hints: Hints) -> AsyncGenerator[SttEvent, None]:
        self._sdk.check()
        prompt, language = prompt_of(hints, self._prompt), language_code(hints.language)
        request: dict[str, Any] = {
            "model": self._model,
            "file": await as_file(pcm, rate_hz, self._upload),
            "temperature": self._temperature,
            "response_format": "json" if self._answer == "stream" else self._answer,
        }
        request |= {key: value for key, value in (("prompt", prompt), ("language", language)) if value}
        self.usage.sent(len(pcm) / 2 / rate_hz, 0.0)
        with self._sdk.blamed():
            if self._answer == "stream":
                async for event in self._streamed(request):
                    yield event
                return
            raw = await self._sdk.client.audio.transcriptions.with_raw_response.create(**request)
            answer = await self._sdk.parsed(raw)
        said = answer.model_dump() if hasattr(answer, "model_dump") else {}
        if not isinstance(said.get("text"), str):
            raise failed(self.name, "server", "an answer without a text")
        yield judged(said, prompt)

    async def _streamed(self, request: dict[str, Any]) -> AsyncGenerator[SttEvent, None]:
        stream = await self._sdk.client.audio.transcriptions.create(
            **request, stream=True, include=["logprobs"]
        )
        words = ""
        try:
            self._sdk.note(stream.response.headers)
            async for event in stream:
                kind = getattr(event, "type", "")
                if kind == "transcript.text.delta":
                    words += str(event.delta or "")
                    if not may_become_phantom(words):
                        yield Partial(words.strip())
                elif kind == "transcript.text.done":
                    yield _final(str(event.text or ""), getattr(event, "logprobs", None))
                    return
        finally:
            await stream.close()
        raise failed(self.name, "connectivity", "the answer broke off in the middle")


def _final(text: str, logprobs: Any) -> Final:
    """Judged by its words, and by how likely they are where the server says so."""
    values = [getattr(token, "logprob", None) for token in logprobs or ()]
    known = [value for value in values if isinstance(value, int | float)]
    if not known:
        return judged({"text": text})
    return judged({"text": text, "segments": [{"text": text, "avg_logprob": math.fsum(known) / len(known)}]})


class AzureStt(OpenAiStt):
    """Key: AZURE_OPENAI_API_KEY. base_url, api_version, deployment: as for llm azure. The rest: see OpenAiStt."""

    name = "azure"
    VENDOR = vendors.AZURE
    MODEL = ""


class VllmStt(OpenAiStt):
    """VLLM_API_KEY if the server was started with one. base_url: http://127.0.0.1:8000/v1 by default."""

    name = "vllm"
    VENDOR = vendors.VLLM
    MODEL = ""
