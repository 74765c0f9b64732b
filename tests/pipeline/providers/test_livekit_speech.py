"""LiveKit's STT, TTS and VAD plugins as providers, against doubles of their vendors' servers."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ProviderError
from pipeline.ports import Final, Frame, Hints, Partial, SpeechChunk, SttEvent, SttStream, TtsStream, Voice
from pipeline.providers import registry
from tests.pipeline.providers.servers.assemblyai import AssemblyAi
from tests.pipeline.providers.servers.cartesia import Cartesia
from tests.pipeline.providers.servers.deepgram import Deepgram
from tests.pipeline.providers.servers.openai_for_livekit import OpenAi
from tests.pipeline.providers.servers.serving import Server

pytest.importorskip("livekit.agents", reason="pip install offhook[livekit]")

KEY = "dummy-key-0123456789"
HINTS = Hints()
SILENCE = np.zeros(160, np.int16)
SPEECH = (8000 * np.sin(2 * np.pi * 300 * np.arange(160) / 8000)).astype(np.int16)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in ("DEEPGRAM", "CARTESIA", "ASSEMBLYAI", "OPENAI"):
        monkeypatch.setenv(f"{vendor}_API_KEY", KEY)


def option(server: Server) -> str:
    """The plugin's base_url for this double."""
    if isinstance(server, Deepgram):
        return f"{server.url}/v1/listen"
    return server.url.replace("http", "ws") if isinstance(server, AssemblyAi) else server.url


@asynccontextmanager
async def hearing(
    server: Server, name: str, hints: Hints = HINTS, **options: Any
) -> AsyncIterator[tuple[SttStream, list[SttEvent], asyncio.Task[None]]]:
    """A recogniser on that server, and what it has heard so far."""
    async with server.serve():
        stt: Any = registry.create_stt(name, {"base_url": option(server), **options})
        stream = await stt.open(rate_hz=8000, hints=hints)
        events: list[SttEvent] = []

        async def read() -> None:
            async for event in stream:
                events.append(event)

        reading = asyncio.create_task(read())
        try:
            yield stream, events, reading
        finally:
            await stream.aclose()
            await asyncio.wait([reading], timeout=1)
            await stt.aclose()


async def say(stream: SttStream, seconds: float = 0.6) -> None:
    """Speak and fall silent, as fast as the loop allows."""
    stream.start_turn()
    for frame in [SPEECH] * int(seconds * 50) + [SILENCE] * 10:
        stream.push(frame)
        await asyncio.sleep(0)


async def until(true: Any, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 - what a server has seen rings no bell here
            await asyncio.sleep(0)


def finals(events: list[SttEvent]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]


STREAMING = [(Deepgram, "livekit/deepgram"), (AssemblyAi, "livekit/assemblyai")]


@pytest.mark.parametrize(("kind", "name"), STREAMING)
async def test_a_turn_is_heard_as_it_is_said_and_ends_with_one_final(kind: Any, name: str) -> None:
    """Twice on one connection; umlauts arrive as they are."""
    server = kind(texts=deque(["eine große Pizza", "yes please"]))
    async with hearing(server, name) as (stream, events, _):
        for text in ("eine große Pizza", "yes please"):
            await say(stream)
            await until(lambda: any(isinstance(event, Partial) for event in events))
            stream.end_turn()
            await until(lambda text=text: [final.text for final in finals(events)] == [text])
            assert finals(events)[0].ends_turn
            assert 0.7 < finals(events)[0].confidence < 1.0
            assert isinstance(events[0], Partial) and text.startswith(events[0].text)
            events.clear()
        assert server.asked[0]["query"]["sample_rate"] == "8000"
        assert KEY in server.asked[0]["auth"]
    await until(lambda: server.open == 0)


@pytest.mark.parametrize(("kind", "name"), STREAMING)
async def test_a_silent_turn_has_an_empty_final(kind: Any, name: str) -> None:
    async with hearing(kind(), name, turn_end_wait_ms=30) as (stream, events, _):
        stream.end_turn()
        await until(lambda: finals(events) != [])
        assert finals(events) == [Final("", 0.0, ends_turn=True)]


async def test_words_that_never_become_final_have_to_do() -> None:
    """A server that owes the final: after turn_end_wait_ms the interim words are the turn."""
    server = Deepgram(texts=deque(["I want to go home"]), endpoints=False)
    async with hearing(server, "livekit/deepgram", turn_end_wait_ms=50) as (stream, events, _):
        await say(stream)
        await until(lambda: events != [])
        server.knobs.delay_s = 0.5
        stream.end_turn()
        await until(lambda: finals(events) != [])
        assert finals(events)[0].text == "I want to go"


async def test_an_agents_phrases_become_key_terms() -> None:
    """Slots are no words, and sentences are no terms."""
    hints = Hints(("Margherita", "my number is {digits:4}", "I would like to order two pizzas"), "de-DE")
    server = Deepgram()
    async with hearing(server, "livekit/deepgram", hints):
        await until(lambda: server.asked != [])
    assert server.asked[0]["query"]["keyterm"] == "Margherita"
    assert server.asked[0]["query"]["language"] == "de-DE"


@pytest.mark.parametrize(("kind", "name"), STREAMING)
@pytest.mark.parametrize(("status", "cause"), [(401, "auth"), (429, "rate_limit"), (503, "server")])
async def test_a_refused_connection_says_why(kind: Any, name: str, status: int, cause: str) -> None:
    server = kind()
    server.knobs.status, server.knobs.error = status, {"err_msg": "no"}
    async with hearing(server, name) as (_, _, reading):
        with pytest.raises(ProviderError) as failure:
            await asyncio.wait_for(asyncio.shield(reading), 5)
        assert failure.value.cause == cause
        assert KEY not in str(failure.value)


async def test_a_connection_that_is_cut_or_refused_midway_says_why() -> None:
    """A reset, and AssemblyAI's close code 4001 for a key it does not know."""
    cut = Deepgram(texts=deque(["hello there"]))
    cut.knobs.drop_after = 1
    for server, name, cause in (
        (cut, "livekit/deepgram", "connectivity"),
        (AssemblyAi(close_code=4001), "livekit/assemblyai", "auth"),
    ):
        async with hearing(server, name) as (stream, _, reading):
            if server is cut:
                await say(stream)
            with pytest.raises(ProviderError) as failure:
                await asyncio.wait_for(asyncio.shield(reading), 5)
            assert failure.value.cause == cause
            stream.push(SPEECH)  # the clock goes on


async def test_nobody_listening_is_a_matter_of_connectivity() -> None:
    stt: Any = registry.create_stt("livekit/deepgram", {"base_url": "http://127.0.0.1:9/v1/listen"})
    stream = await stt.open(rate_hz=8000, hints=Hints())
    with pytest.raises(ProviderError) as failure:
        async for _ in stream:
            pass
    assert failure.value.cause == "connectivity"
    await stt.aclose()


async def test_a_plugin_that_takes_recordings_gets_each_turn() -> None:
    """OpenAI's transcriptions: one request a turn with the 400 ms before it; none for a turn without sound."""
    server = OpenAi(texts=deque(["two large ones", "no"]))
    async with hearing(server, "livekit/openai", Hints(language="en-GB")) as (stream, events, _):
        for text in ("two large ones", "no"):
            await say(stream)
            stream.end_turn()
            await until(lambda text=text: text in [final.text for final in finals(events)])
        stream.end_turn()
        await until(lambda: len(finals(events)) == 3)
    assert [final.text for final in finals(events)] == ["two large ones", "no", ""]
    assert [asked["language"] for asked in server.asked] == ["en", "en"]
    assert server.asked[1]["bytes"] == pytest.approx((0.6 + 0.2) * 16000, abs=400)


async def test_a_recording_that_is_refused_says_why() -> None:
    server = OpenAi()
    server.knobs.status, server.knobs.error = (
        429,
        {"error": {"code": "insufficient_quota", "message": "empty"}},
    )
    async with hearing(server, "livekit/openai") as (stream, _, reading):
        await say(stream)
        stream.end_turn()
        with pytest.raises(ProviderError) as failure:
            await asyncio.wait_for(asyncio.shield(reading), 5)
        assert failure.value.cause == "quota"


# ---------------------------------------------------------------- voices


@asynccontextmanager
async def speaking(server: Server, name: str, **options: Any) -> AsyncIterator[Any]:
    async with server.serve():
        tts: Any = registry.create_tts(name, {"base_url": server.url, **options})
        try:
            yield tts
        finally:
            await tts.aclose()


async def spoken(stream: TtsStream, *texts: str) -> list[SpeechChunk]:
    for text in texts:
        stream.say(text)
    stream.finish()
    return [chunk async for chunk in stream]


def sound(chunks: list[SpeechChunk], piece: int) -> Frame:
    return np.concatenate([chunk.pcm for chunk in chunks if chunk.piece == piece])


async def test_pieces_come_in_order_each_with_its_sound_and_words() -> None:
    """At the call's rate, on one warm connection at most two; word times count from the piece's beginning."""
    server = Cartesia()
    async with speaking(server, "livekit/cartesia") as tts:
        assert tts.rate_hz == 8000
        await tts.warm()
        await until(lambda: server.connections == 1)
        texts = ("Grüße aus Köln.", "Two pieces, then.", "…", "And a third one.")
        chunks = await spoken(await tts.open(Voice(name="v-1", language="de-DE")), *texts)
        again = await spoken(await tts.open(Voice(name="v-1", language="de-DE")), "Once more.")
    assert [chunk.piece for chunk in chunks] == sorted(chunk.piece for chunk in chunks)
    assert [chunk.piece for chunk in chunks if chunk.last] == [0, 1, 2, 3]
    for piece, text in enumerate(texts):
        wanted = 0 if text == "…" else len(text) + 1  # the plugin ends a sentence with a space
        assert len(sound(chunks, piece)) == pytest.approx(wanted * 160, abs=200)
    words = [word for chunk in chunks if chunk.piece == 1 for word in chunk.words]
    assert [word.text for word in words] == ["Two", "pieces,", "then."]
    assert words[0].start_s == 0.0 and words[1].start_s == pytest.approx(0.08)
    assert again[-1].last
    assert server.connections <= 3
    asked = [row for row in server.asked if row.get("transcript", "").strip()]
    assert {row["voice"]["id"] for row in asked} == {"v-1"} and {row["language"] for row in asked} == {"de"}
    assert all(row["output_format"]["sample_rate"] == 8000 for row in asked)


async def test_a_voice_that_is_interrupted_stops_within_50_ms() -> None:
    """Whoever reads finds the end; the connection goes, and no task stays."""
    server = Cartesia(chunk_pause_s=0.05)
    async with speaking(server, "livekit/cartesia") as tts:
        stream = await tts.open(Voice())
        stream.say("A very long sentence that goes on and on and on and will not end for a while.")
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream, None))
        began = time.perf_counter()
        await stream.aclose()
        assert time.perf_counter() - began < 0.05
        await stream.aclose()
        await asyncio.wait_for(reading, 1)
        assert await anext(stream, None) is None
    await until(lambda: server.open == 0)
    assert [task for task in asyncio.all_tasks() if "livekit" in task.get_name()] == []


@pytest.mark.parametrize(
    ("misbehaviour", "cause"),
    [
        ({"status": 401}, "auth"),
        ({"status": 402}, "quota"),
        ({"drop_after": 1}, "server"),
        ({"garbage": True}, "connectivity"),
    ],
)
async def test_a_voice_that_fails_says_why(misbehaviour: dict[str, Any], cause: str) -> None:
    server = Cartesia()
    for knob, value in misbehaviour.items():
        setattr(server.knobs, knob, value)
    async with speaking(server, "livekit/cartesia") as tts:
        with pytest.raises(ProviderError) as failure:
            await spoken(await tts.open(Voice()), "This goes wrong somewhere in the middle.")
        assert failure.value.cause == cause


async def test_a_refusal_that_the_plugin_swallows_is_still_a_failure() -> None:
    """Cartesia's error events say `done`, which its plugin takes for the end of the sound."""
    server = Cartesia(refusal={"title": "Invalid model", "message": "no such model", "status_code": 400})
    async with speaking(server, "livekit/cartesia") as tts:
        with pytest.raises(ProviderError, match="no audio frames"):
            await spoken(await tts.open(Voice()), "Hello.")


def test_a_status_that_a_plugin_quotes_is_read() -> None:
    from livekit.agents import APIError

    from pipeline.providers.livekit.faults import provider_error

    quoted = APIError("Acme returned error: {'status_code': 402, 'message': 'no such model'}")
    assert provider_error("livekit/acme", quoted).cause == "quota"
    assert provider_error("livekit/acme", APIError("no audio")).cause == "server"
    assert provider_error("livekit/acme", KeyError("x")).cause == "server"


async def test_a_plugin_that_only_synthesises_speaks_piece_by_piece() -> None:
    """OpenAI's speech endpoint: 24 kHz whatever the call has, one request a piece."""
    server = OpenAi()
    async with speaking(server, "livekit/openai", response_format="pcm") as tts:
        assert tts.rate_hz == 24000
        chunks = await spoken(await tts.open(Voice(name="nova", speed=1.5)), "First.", "Second.")
    assert sorted(asked["input"] for asked in server.asked) == ["First.", "Second."]
    assert {(asked["voice"], asked["speed"]) for asked in server.asked} == {("nova", 1.5)}
    assert len(sound(chunks, 1)) == pytest.approx(len("Second.") * 480, abs=500)


# ---------------------------------------------------------------- voice activity


async def test_a_detectors_newest_word_is_a_frame_or_two_old() -> None:
    """Speech of the embedded voice is found, silence is not; the stream ends with the detector."""
    tts = registry.create_tts("espeak")
    chunks = await spoken(await tts.open(Voice()), "Hello, how are you today? I would like to order a pizza.")
    voice = np.concatenate([chunk.pcm for chunk in chunks]).astype(np.float64)
    at_8k = np.interp(np.arange(0, len(voice), tts.rate_hz / 8000), np.arange(len(voice)), voice).astype(
        np.int16
    )
    detectors: list[Any] = [registry.create_vad("livekit/local", {"rate_hz": 8000})]
    before = set(asyncio.all_tasks())

    async def hear(pcm: Frame, judged: Any, most: int = 20_000) -> None:
        """The sound again and again, until the newest probability is as it should be."""
        for number in range(most):
            at = number * 160 % (len(pcm) - 160)
            if judged(detectors[0].probability(pcm[at : at + 160])):
                return
            await asyncio.sleep(0)  # inference runs in a thread
        pytest.fail("the detector never said so")

    assert detectors[0].probability(SILENCE) == 0.0
    await hear(at_8k, lambda probability: probability > 0.7)
    await hear(np.zeros(8000, np.int16), lambda probability: probability < 0.2)
    await hear(at_8k, lambda probability: probability > 0.7)
    detectors[0].reset()
    assert detectors[0].probability(SILENCE) == 0.0
    assert detectors[0].failed is None
    ours = set(asyncio.all_tasks()) - before
    assert ours
    detectors.clear()
    gc.collect()
    await until(lambda: all(task.done() for task in ours))
