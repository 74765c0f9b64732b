"""OpenAI's voice through the real SDK: streamed, ahead by a piece, stopped at once, and what if it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import SpeechChunk, Voice
from pipeline.providers import registry
from pipeline.providers.openai.tts import AzureTts, OpenAiTts, OpenAiTtsStream
from tests.pipeline.providers.servers.openai_like import OpenAiLike, Refusal
from tests.pipeline.providers.servers.patient_virtual_clock import on_patient_clock


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-test-0123456789")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def voice_of(server: OpenAiLike, **options: Any) -> OpenAiTts:
    return OpenAiTts(base_url=f"{server.url}/v1", **options)


async def spoken(stream: OpenAiTtsStream, *texts: str) -> list[SpeechChunk]:
    for text in texts:
        stream.say(text)
    stream.finish()
    chunks = [chunk async for chunk in stream]
    await stream.aclose()
    return chunks


@on_patient_clock
async def test_pieces_come_in_order_whole_and_as_a_stream() -> None:
    async with OpenAiLike().running() as server:
        tts = voice_of(server)
        texts = ["Guten Tag, grüß Gott!", "One moment.", "Here it is."]
        chunks = await spoken(await tts.open(Voice()), *texts)
        for piece, text in enumerate(texts):
            mine = [chunk for chunk in chunks if chunk.piece == piece]
            assert [chunk.last for chunk in mine] == [False] * (len(mine) - 1) + [True]
            sound = np.concatenate([chunk.pcm for chunk in mine])
            assert len(sound) == round(len(text) * 0.06 * 24000)
            assert np.argmax(np.abs(np.fft.rfft(sound))) * 24000 / len(sound) == pytest.approx(440, abs=3)
        assert [chunk.piece for chunk in chunks] == sorted(chunk.piece for chunk in chunks)
        assert sum(chunk.piece == 0 for chunk in chunks) > 5
        assert tts.rate_hz == 24000
        body = next(request.body for request in server.requests if request.body["input"] == texts[0])
        assert body == {
            "model": "gpt-4o-mini-tts",
            "voice": "marin",
            "input": texts[0],
            "response_format": "pcm",
        }
        await tts.aclose()


@on_patient_clock
async def test_the_next_sentence_is_made_while_this_one_comes() -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["speech"] = 0.4
        tts = voice_of(server)
        await tts.warm()
        began = asyncio.get_running_loop().time()
        await spoken(await tts.open(Voice()), "First.", "Second.", "Third.")
        left = [request.at - began for request in server.requests]
        assert left[1] < 0.1
        assert left[2] > 0.35
        await tts.aclose()


@on_patient_clock
async def test_voice_speed_and_manner_reach_the_server() -> None:
    async with OpenAiLike().running() as server:
        tts = voice_of(server, voice="cedar", instructions="calm", speed=1.25)
        await spoken(await tts.open(Voice(speed=1.2)), "Hello.")
        await spoken(await tts.open(Voice("ash", options={"instructions": "cheerful"})), "Hello.")
        first, second = [request.body for request in server.requests]
        assert (first["voice"], first["instructions"], first["speed"]) == ("cedar", "calm", 1.5)
        assert (second["voice"], second["instructions"], second["speed"]) == ("ash", "cheerful", 1.25)
        with pytest.raises(ConfigError, match="no option 'pitch'"):
            await tts.open(Voice(options={"pitch": 3}))
        with pytest.raises(ConfigError, match="speed is 6.25"):
            await tts.open(Voice(speed=5.0))
        await tts.aclose()
        azure = AzureTts(base_url=server.url, api_version="2025-03-01-preview", deployment="voice")
        assert len(await spoken(await azure.open(Voice()), "Hello.")) > 1
        assert server.requests[-1].path == "/openai/deployments/voice/audio/speech"
        await azure.aclose()


@on_patient_clock
async def test_a_caller_who_interrupts_stops_the_sound_and_the_requests() -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["speech"] = 0.2
        tts = voice_of(server)
        await tts.warm()
        loop = asyncio.get_running_loop()
        stream = await tts.open(Voice())
        stream.say("A first sentence.")
        stream.say("A second sentence that nobody will hear.")
        waiting = asyncio.create_task(anext(stream, None))
        await asyncio.sleep(0.1)
        before = loop.time()
        await stream.aclose()
        assert await waiting is None
        assert loop.time() - before < 0.05
        await asyncio.sleep(0.05)
        assert [request.over for request in server.requests] == ["gone", "gone"]
        stream.say("Never.")
        await stream.aclose()
        assert len(server.requests) == 2
        assert await anext(stream, None) is None
        assert len(await spoken(await tts.open(Voice()), "Hello again.")) > 1
        await tts.aclose()


@pytest.mark.parametrize(
    ("fate", "cause"),
    [
        (Refusal(401, "Invalid API Key sk-test-0123456789"), "auth"),
        (Refusal(429, "pay first", "insufficient_quota"), "quota"),
        (Refusal(400, "no such voice"), "bad_request"),
        (Refusal(500, "oh"), "server"),
        ("drop", "connectivity"),
        ("empty", "server"),
        ("hang", "timeout"),
    ],
)
@on_patient_clock
async def test_a_piece_that_fails_says_why_after_the_sound_that_came(fate: Any, cause: str) -> None:
    async with OpenAiLike().running() as server:
        server.fates["speech"].append(fate)
        tts = voice_of(server, timeout_s=1.0)
        await tts.warm()
        stream = await tts.open(Voice())
        stream.say("A sentence.")
        came: list[SpeechChunk] = []
        with pytest.raises(ProviderError) as failed:
            async for chunk in stream:
                came.append(chunk)
        assert failed.value.cause in (cause, "server" if fate == "drop" else cause)
        assert "sk-test" not in str(failed.value)
        assert bool(came) == (fate == "drop")
        await stream.aclose()
        await tts.aclose()


def test_the_registry_makes_the_voice_with_options_from_yaml() -> None:
    tts = registry.create_tts("openai", {"voice": "ash", "pcm_hz": 16000})
    assert (tts.name, tts.rate_hz) == ("openai", 16000)
    with pytest.raises(ConfigError, match="option 'model' is missing"):
        registry.create_tts("azure", {"base_url": "https://x", "api_version": "1"})
