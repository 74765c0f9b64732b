"""The voice of ElevenLabs against a server that speaks its protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from pipeline.errors import Cause, ConfigError, ProviderError
from pipeline.ports import Metered, SpeechChunk, TtsStream, Voice
from pipeline.providers import registry
from pipeline.providers.elevenlabs.tts import ElevenLabsTts
from pipeline.providers.fake import FakeTts
from pipeline.providers.keys import MissingKey
from pipeline.providers.resilient import FallbackTts, probe_tts
from tests.pipeline.providers.servers.elevenlabs import KEY, ElevenLabsServer

LINES = ("Good morning, this is the clinic.", "How may I help you?", "We are open until six.")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", KEY)


@pytest.fixture
async def server() -> AsyncIterator[ElevenLabsServer]:
    async with ElevenLabsServer() as server:
        yield server


@pytest.fixture
async def make(server: ElevenLabsServer) -> AsyncIterator[Callable[..., ElevenLabsTts]]:
    """Voices at that server; closed afterwards, and nothing may be left of them."""
    made: list[ElevenLabsTts] = []

    def new(**options: Any) -> ElevenLabsTts:
        made.append(ElevenLabsTts(base_url=server.base_url, **options))
        return made[-1]

    yield new
    for tts in made:
        await tts.aclose()
    left = [task.get_name() for task in asyncio.all_tasks() if "elevenlabs" in task.get_name()]
    assert left == []


async def _all(stream: TtsStream) -> list[SpeechChunk]:
    return [chunk async for chunk in stream]


async def _speak(tts: ElevenLabsTts, *lines: str, voice: Voice | None = None) -> list[SpeechChunk]:
    stream = await tts.open(voice or Voice())
    for line in lines:
        stream.say(line)
    stream.finish()
    try:
        return await _all(stream)
    finally:
        await stream.aclose()


def _said(chunks: list[SpeechChunk]) -> dict[int, str]:
    """The words of each piece."""
    said: dict[int, list[str]] = {}
    for chunk in chunks:
        said.setdefault(chunk.piece, []).extend(word.text for word in chunk.words)
    return {piece: " ".join(words) for piece, words in said.items()}


def _samples(chunks: list[SpeechChunk], piece: int) -> int:
    return sum(len(chunk.pcm) for chunk in chunks if chunk.piece == piece)


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("rate_hz", "encoding", "output"),
    [
        (8000, "pcm", "pcm_8000"),
        (8000, "ulaw", "ulaw_8000"),
        (16000, "pcm", "pcm_16000"),
        (24000, "pcm", "pcm_24000"),
    ],
)
async def test_a_reply_is_heard_in_order_and_at_the_rate_of_the_call(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer, rate_hz: int, encoding: str, output: str
) -> None:
    tts = make(rate_hz=rate_hz, encoding=encoding)
    chunks = await _speak(tts, *LINES)
    assert tts.rate_hz == rate_hz
    assert server.calls[0].asked("output_format") == output
    assert _said(chunks) == dict(enumerate(LINES))
    assert [chunk.piece for chunk in chunks] == sorted(chunk.piece for chunk in chunks)
    assert [chunk.piece for chunk in chunks if chunk.last] == [0, 1, 2]
    for piece, line in enumerate(LINES):
        assert _samples(chunks, piece) == pytest.approx(len(line) * 0.06 * rate_hz, abs=10)
    pcm = np.concatenate([chunk.pcm for chunk in chunks])
    assert pcm.dtype == np.int16
    assert 5000 < np.abs(pcm).max() < 6500  # the tone, not its bytes


async def test_word_times_fit_the_sound(make: Callable[..., ElevenLabsTts]) -> None:
    words = [word for chunk in await _speak(make(), LINES[0]) for word in chunk.words]
    places = [0, *(at + 1 for at, letter in enumerate(LINES[0]) if letter == " ")]
    for word, at in zip(words, places, strict=True):
        assert word.start_s == pytest.approx(at * 0.06, abs=0.002)
        assert word.end_s == pytest.approx((at + len(word.text)) * 0.06, abs=0.002)


@pytest.mark.parametrize(
    ("kind", "known"), [("own", True), ("normalised", True), ("restarting", True), ("none", False)]
)
async def test_word_times_come_from_whatever_alignment_there_is(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer, kind: str, known: bool
) -> None:
    server.knobs.alignment = kind
    chunks = await _speak(make(), *LINES)
    assert _said(chunks) == (dict(enumerate(LINES)) if known else dict.fromkeys(range(3), ""))


async def test_each_piece_is_a_context_that_is_opened_flushed_and_closed_at_once(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    await _speak(make(), *LINES)
    assert [context.text.strip() for context in server.contexts] == list(LINES)
    assert [context.flushes for context in server.contexts] == [1, 1, 1]
    assert server.open_contexts == []
    first = [message for _, message in server.calls[0].messages if message["context_id"] == "piece-1"]
    assert first == [
        {"text": " ", "context_id": "piece-1"},
        {"text": f"{LINES[0]} ", "context_id": "piece-1", "flush": True},
        {"context_id": "piece-1", "close_context": True},
    ]


async def test_no_more_than_the_next_piece_is_made_ahead(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    """What the caller interrupts is paid for in vain."""
    server.knobs.first_byte_s = 0.05
    stream = await make().open(Voice())
    for line in (*LINES, *LINES):
        stream.say(line)
    assert (await anext(aiter(stream))).piece == 0
    assert len(server.contexts) <= 2
    await stream.aclose()


async def test_everything_that_can_be_set_reaches_the_server(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    tts = make(
        voice="rachel",
        stability=0.4,
        similarity_boost=0.8,
        style=0.1,
        use_speaker_boost=False,
        speed=1.1,
        chunk_length_schedule=[60, 120],
        pronunciation_dictionaries=["names:v1", "towns:v7"],
        seed=7,
        enable_logging=False,
        inactivity_timeout=90,
    )
    await _speak(tts, "Hello.", voice=Voice("emily", "de-DE", 1.05, {"style": 0.3}))
    call, context = server.calls[0], server.contexts[0]
    assert call.path == "/v1/text-to-speech/emily/multi-stream-input"
    assert call.headers["xi-api-key"] == KEY
    assert dict(call.query) == {
        "model_id": "eleven_flash_v2_5",
        "language_code": "de",
        "output_format": "pcm_8000",
        "inactivity_timeout": "90",
        "sync_alignment": "true",
        "auto_mode": "false",
        "apply_text_normalization": "off",
        "seed": "7",
        "enable_logging": "false",
    }
    assert context.settings["voice_settings"] == {
        "stability": 0.4,
        "similarity_boost": 0.8,
        "style": 0.3,
        "use_speaker_boost": False,
        "speed": 1.155,
    }
    assert context.settings["generation_config"] == {"chunk_length_schedule": [60.0, 120.0]}
    assert context.settings["pronunciation_dictionary_locators"] == [
        {"pronunciation_dictionary_id": "names", "version_id": "v1"},
        {"pronunciation_dictionary_id": "towns", "version_id": "v7"},
    ]


async def test_a_model_that_refuses_a_language_gets_none(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    await _speak(make(model="eleven_multilingual_v2"), "Hello.")
    await _speak(make(model="eleven_multilingual_v2", language_code="pl"), "Hello.")
    assert [call.asked("language_code") for call in server.calls] == ["", "pl"]
    assert server.calls[0].asked("auto_mode") == "true"


async def test_other_writings_are_said_letter_for_letter(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    text = "Zażółć gęślą jaźń — 你好, Ελλάδα 👋 done."
    assert _said(await _speak(make(), text)) == {0: text}
    assert server.contexts[0].text.strip() == text


async def test_a_piece_of_nothing_ends_without_asking_anybody(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    chunks = await _speak(make(), " ", "Yes.")
    assert [(chunk.piece, len(chunk.pcm) > 0) for chunk in chunks] == [(0, False), (1, True), (1, False)]
    assert [context.text.strip() for context in server.contexts] == ["Yes."]


async def test_words_that_come_while_it_speaks_are_said_as_well(make: Callable[..., ElevenLabsTts]) -> None:
    stream = await make().open(Voice())
    stream.say(LINES[0])
    chunks, reading = [], aiter(stream)
    while not (chunk := await anext(reading)).last:
        chunks.append(chunk)
    waiting = asyncio.ensure_future(anext(reading))
    await asyncio.sleep(0)
    stream.say(LINES[1])
    stream.finish()
    chunks += [await waiting, *await _all(stream)]
    assert _said(chunks) == {0: LINES[0], 1: LINES[1]}
    await stream.aclose()


async def test_sound_of_another_context_that_comes_first_is_kept_for_its_turn(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.hold = True
    chunks = await _speak(make(), *LINES)
    assert _said(chunks) == dict(enumerate(LINES))


async def test_the_first_sound_does_not_wait_for_the_rest(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.chunk_s = 0.2
    tts = make()
    await tts.warm()
    loop = asyncio.get_running_loop()
    stream = await tts.open(Voice())
    asked = loop.time()
    stream.say(LINES[0])
    await anext(aiter(stream))
    assert loop.time() - asked < 0.2
    await stream.aclose()


# ---------------------------------------------------------------- connections


async def test_one_connection_is_warm_for_every_turn_of_every_call(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    tts = make()
    await tts.warm()
    await tts.warm()
    for _ in range(8):
        await _speak(tts, *LINES[:2])
    assert len(server.calls) == 1
    assert len(server.contexts) == 16


async def test_warming_fails_as_speaking_would(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.refuse = (401, {"detail": {"status": "invalid_api_key", "message": "no"}})
    with pytest.raises(ProviderError, match="invalid_api_key") as caught:
        await make().warm()
    assert caught.value.cause == "auth"


async def test_each_voice_and_language_has_a_connection_of_its_own(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    tts = make()
    for voice in (Voice("a"), Voice("b"), Voice("b", "fr-FR"), Voice("a")):
        await _speak(tts, "Hello.", voice=voice)
    assert [call.path.split("/")[3] for call in server.calls] == ["a", "b", "b"]


async def test_many_calls_at_once_share_a_pool_that_keeps_to_the_vendors_limit(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    """Four pieces a connection, the fifth context keeps it alive; the server closes on a sixth."""
    server.knobs.first_byte_s = 0.05
    tts = make()
    replies = await asyncio.gather(*[_speak(tts, *LINES) for _ in range(12)])
    assert all(_said(chunks) == dict(enumerate(LINES)) for chunks in replies)
    assert 2 <= len(server.calls) <= 10
    assert all(call.close_code is None for call in server.calls)


async def test_calls_wait_for_a_slot_where_no_more_connections_are_allowed(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.first_byte_s = 0.02
    tts = make(max_connections=1)
    replies = await asyncio.gather(*[_speak(tts, *LINES) for _ in range(6)])
    assert all(_said(chunks) == dict(enumerate(LINES)) for chunks in replies)
    assert len(server.calls) == 1


async def test_a_connection_that_may_not_be_added_costs_nobody_his_reply(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.first_byte_s = 0.05
    tts = make()
    await tts.warm()
    server.knobs.refuse = (
        429,
        {"detail": {"status": "too_many_concurrent_requests", "message": "slow down"}},
    )
    replies = await asyncio.gather(*[_speak(tts, *LINES) for _ in range(4)])
    assert all(_said(chunks) == dict(enumerate(LINES)) for chunks in replies)


async def test_silence_does_not_cost_the_connection(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    """The keep-alive comes within the inactivity timeout, in a context of its own."""
    tts = make(inactivity_timeout=1)
    await tts.warm()
    await server.until(lambda: len(server.calls[0].messages) >= 4)
    assert {json.dumps(message) for _, message in server.calls[0].messages} == {
        '{"text": "", "context_id": "warm"}'
    }
    times = [at for at, _ in server.calls[0].messages]
    assert times[3] - times[0] > 0.9  # a second and more without a word
    await _speak(tts, *LINES)
    assert len(server.calls) == 1


async def test_a_connection_that_nobody_uses_any_more_is_closed(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    tts = make(inactivity_timeout=1, idle_s=0.2)
    await tts.warm()
    await server.until(lambda: not server.alive)
    assert server.calls[0].close_code == 1000
    assert _said(await _speak(tts, "Hello.")) == {0: "Hello."}


async def test_a_connection_that_never_ends_what_nobody_wants_is_replaced(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    """Else it would be full of them one day."""
    server.knobs.final = False
    tts = make(inactivity_timeout=1)
    stream = await tts.open(Voice())
    stream.say(LINES[0])
    await anext(aiter(stream))
    await stream.aclose()
    await server.until(lambda: server.calls[0].over.is_set())
    assert server.calls[0].close_code == 1000
    server.knobs.final = True
    assert _said(await _speak(tts, LINES[0])) == {0: LINES[0]}


@pytest.mark.parametrize("how", ["closed", "cut", "inactive"])
async def test_a_connection_that_the_server_ended_between_two_turns_is_not_noticed(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer, how: str
) -> None:
    if how == "inactive":
        server.knobs.inactivity_s = 0.2
    tts = make()
    await _speak(tts, LINES[0])
    if how == "closed":
        await server.hang_up()
    elif how == "cut":
        server.cut()
    await server.until(lambda: not server.alive)
    server.knobs.inactivity_s = None
    assert _said(await _speak(tts, *LINES)) == dict(enumerate(LINES))
    assert len(server.calls) == 2


async def test_a_connection_in_use_that_the_server_ends_is_opened_again_before_anybody_asks(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.inactivity_s = 1.1
    tts = make()
    await _speak(tts, LINES[0])
    await server.until(lambda: len(server.calls) == 2 and len(server.alive) == 1)
    assert _said(await _speak(tts, LINES[0])) == {0: LINES[0]}
    assert len(server.calls) == 2


async def test_what_a_dying_connection_swallowed_is_asked_for_again_over_another_one(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    tts = make()
    await _speak(tts, LINES[0])
    server.knobs.drop_after = 0
    assert _said(await _speak(tts, *LINES)) == dict(enumerate(LINES))
    assert len(server.calls) == 2


# ---------------------------------------------------------------- the caller interrupts


async def test_a_barge_in_gives_control_back_at_once_and_keeps_the_connection(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.chunk_s = 0.05
    tts = make()
    loop = asyncio.get_running_loop()
    for _ in range(6):
        stream = await tts.open(Voice())
        for line in LINES:
            stream.say(line)
        reading = aiter(stream)
        await anext(reading)
        waiting = asyncio.ensure_future(_all(stream))
        await asyncio.sleep(0)
        before, asked = loop.time(), len(server.contexts)
        await stream.aclose()
        await waiting
        assert loop.time() - before < 0.05
        assert await _all(stream) == []  # and it stays over
        await stream.aclose()
        assert len(server.contexts) <= asked + 1  # what was on its way
        assert server.open_contexts == []
    assert len(server.calls) <= 3  # what was asked for is finished before its slot is free
    assert all(call.close_code is None for call in server.calls)
    assert all(line in LINES[:2] for line in (context.text.strip() for context in server.contexts))


async def test_sound_of_an_interrupted_reply_is_never_heard_in_the_next_one(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.chunk_s = 0.02
    tts = make()
    stream = await tts.open(Voice())
    stream.say(LINES[0])
    await anext(aiter(stream))
    await stream.aclose()
    chunks = await _speak(tts, LINES[1])
    assert _said(chunks) == {0: LINES[1]}
    assert _samples(chunks, 0) == pytest.approx(len(LINES[1]) * 0.06 * 8000, abs=10)
    assert len(server.calls) == 1


async def test_a_reply_given_up_while_it_connects_asks_for_nothing(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    tts = make()
    stream = await tts.open(Voice())
    stream.say(LINES[0])
    await stream.aclose()
    assert isinstance(stream, Metered) and stream.used() == {"elevenlabs": 0}, "and costs nothing"
    assert _said(await _speak(tts, LINES[1])) == {0: LINES[1]}
    assert [context.text.strip() for context in server.contexts] == [LINES[1]]


async def test_closing_the_voice_in_the_middle_of_a_reply_ends_the_connections_within_50_ms(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.chunk_s = 0.1
    tts = make()
    stream = await tts.open(Voice())
    stream.say(LINES[0])
    await anext(aiter(stream))
    loop = asyncio.get_running_loop()
    before = loop.time()
    await tts.aclose()
    assert loop.time() - before < 0.05
    await stream.aclose()
    await server.until(lambda: not server.alive)
    assert tts.connections == 0


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("status", "detail", "cause"),
    [
        (401, {"status": "invalid_api_key", "message": "Invalid API key"}, "auth"),
        (401, {"status": "quota_exceeded", "message": "0 credits left"}, "quota"),
        (403, {"status": "missing_permissions", "message": "no text_to_speech"}, "auth"),
        (404, {"status": "voice_not_found", "message": "no such voice"}, "bad_request"),
        (429, {"status": "too_many_concurrent_requests", "message": "5 at most"}, "rate_limit"),
        (429, {"status": "system_busy", "message": "later"}, "rate_limit"),
        (500, {"message": "oops"}, "server"),
    ],
)
async def test_a_refused_handshake_says_who_is_to_blame(
    make: Callable[..., ElevenLabsTts],
    server: ElevenLabsServer,
    status: int,
    detail: dict[str, str],
    cause: Cause,
) -> None:
    server.knobs.refuse = (status, {"detail": detail})
    with pytest.raises(ProviderError, match=detail["message"]) as caught:
        await _speak(make(), *LINES)
    assert (caught.value.provider, caught.value.cause) == ("elevenlabs", cause)


@pytest.mark.parametrize(
    ("name", "words", "code", "cause"),
    [
        ("quota_exceeded", "You have 3 credits remaining.", 1008, "quota"),
        ("invalid_api_key", "Invalid API key", 1008, "auth"),
        ("max_active_conversations", "Maximum simultaneous contexts exceeded (5).", 1008, "rate_limit"),
        ("concurrent_limit_exceeded", "Too many", 1008, "rate_limit"),
        ("voice_id_does_not_exist", "A voice with that id does not exist.", 1008, "bad_request"),
        ("invalid_input_message", "Could not parse input message", 1008, "bad_request"),
        ("input_timeout_exceeded", "Have not received a new text input", 1008, "connectivity"),
        ("something_new", "An internal error", 1011, "server"),
        ("something_new", "The model is overloaded", 1011, "server"),
        ("something_new", "This voice is not supported by the model", 1008, "bad_request"),
    ],
)
async def test_an_error_in_the_middle_says_who_is_to_blame(
    make: Callable[..., ElevenLabsTts],
    server: ElevenLabsServer,
    name: str,
    words: str,
    code: int,
    cause: Cause,
) -> None:
    server.knobs.error = (name, words, code)
    with pytest.raises(ProviderError, match=name) as caught:
        await _speak(make(), *LINES)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("code", "reason", "cause"),
    [
        (1000, "", "connectivity"),
        (1008, "Maximum simultaneous contexts per WebSocket connection exceeded (5).", "rate_limit"),
        (1008, "This request exceeds your quota", "quota"),
        (1008, "something else", "server"),
        (1009, "message too big", "bad_request"),
        (1011, "", "server"),
        (1013, "", "rate_limit"),
    ],
)
async def test_a_bare_close_says_who_is_to_blame(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer, code: int, reason: str, cause: Cause
) -> None:
    server.knobs.silent = True
    stream = await make().open(Voice())
    stream.say(LINES[0])
    await server.until(lambda: bool(server.contexts) and not server.open_contexts)
    await server.hang_up(code, reason)
    with pytest.raises(ProviderError) as caught:
        await _all(stream)
    assert caught.value.cause == cause
    assert await _all(stream) == []
    await stream.aclose()


async def test_a_connection_cut_in_the_middle_of_a_word_fails_where_the_sound_ends(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.drop_after = 2
    stream = await make().open(Voice())
    stream.say(LINES[0])
    chunks: list[SpeechChunk] = []
    with pytest.raises(ProviderError) as caught:
        async for chunk in stream:
            chunks.append(chunk)
    assert caught.value.cause == "connectivity"
    assert _samples(chunks, 0) == 14 * 480
    assert _said(chunks) == {0: "Good morning,"}
    await stream.aclose()


@pytest.mark.parametrize("garbage", ["nonsense", "list", "audio"])
async def test_a_message_that_makes_no_sense_is_the_servers_fault(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer, garbage: str
) -> None:
    server.knobs.garbage = garbage
    tts = make()
    with pytest.raises(ProviderError, match="makes no sense") as caught:
        await _speak(tts, *LINES)
    assert caught.value.cause == "server"
    server.knobs.garbage = ""
    assert _said(await _speak(tts, LINES[0])) == {0: LINES[0]}


async def test_nobody_at_that_address_is_said_so(make: Callable[..., ElevenLabsTts]) -> None:
    tts = ElevenLabsTts(base_url="http://127.0.0.1:9")
    with pytest.raises(ProviderError) as caught:
        await _speak(tts, *LINES)
    assert caught.value.cause == "connectivity"
    await tts.aclose()


async def test_another_voice_takes_over_where_the_connection_was_cut(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    """Word times say where: the listener hears no word twice."""
    server.knobs.drop_after, server.knobs.drops = 2, 99
    tts = FallbackTts([make(), FakeTts()])
    stream = await tts.open(Voice())
    stream.say(LINES[0])
    stream.finish()
    assert _said(await _all(stream)) == {0: LINES[0]}
    await stream.aclose()


async def test_a_voice_that_lets_us_wait_is_replaced_in_time(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.silent = True
    tts = FallbackTts([make(), FakeTts()])
    stream = await tts.open(Voice())
    stream.say("Hello.")
    stream.finish()
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert _said(await _all(stream)) == {0: "Hello."}
    assert 0.9 < loop.time() - before < 2.0
    await stream.aclose()


async def test_a_trial_request_is_a_word(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    await probe_tts(make())
    assert [context.text.strip() for context in server.contexts] == ["Yes."]


# ---------------------------------------------------------------- settings


def test_the_key_comes_from_the_environment_and_stands_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    with pytest.raises(MissingKey, match="ELEVENLABS_API_KEY"):
        registry.create_tts("elevenlabs")


async def test_a_server_that_quotes_our_key_is_not_quoted(
    make: Callable[..., ElevenLabsTts], server: ElevenLabsServer
) -> None:
    server.knobs.error = ("invalid_api_key", f"the key {KEY} is unknown", 1008)
    with pytest.raises(ProviderError) as caught:
        await _speak(make(), *LINES)
    assert KEY not in str(caught.value)


async def test_the_key_stands_in_no_log_even_where_everything_is_logged(
    make: Callable[..., ElevenLabsTts], caplog: pytest.LogCaptureFixture
) -> None:
    """The websockets library writes down every header at level DEBUG."""
    caplog.set_level("DEBUG")
    await _speak(make(), "Hello.")
    assert "xi-api-key: ***" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "eleven_v3"}, "eleven_flash_v2_5"),
        ({"speed": 2.0}, "speed is 2.0. Choose 0.7 to 1.2"),
        ({"stability": 1.5}, "stability"),
        ({"inactivity_timeout": 200}, "1 to 180"),
        ({"chunk_length_schedule": [20]}, "50 to 500"),
        ({"pronunciation_dictionaries": ["a:1", "b:1", "c:1", "d:1"]}, "Join some"),
        ({"pronunciation_dictionaries": ["names"]}, "id:version"),
        ({"encoding": "ulaw", "rate_hz": 16000}, "Choose pcm"),
        ({"encoding": "opus"}, "encoding"),
        ({"apply_text_normalization": "maybe"}, "apply_text_normalization"),
        ({"seed": -1}, "seed"),
        ({"api_key": "x"}, "'api_key' is a secret"),
    ],
)
def test_a_wrong_setting_is_said_before_the_first_call(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        registry.create_tts("elevenlabs", options)


async def test_a_voice_with_wrong_options_is_refused_when_it_is_to_speak() -> None:
    tts = ElevenLabsTts()
    with pytest.raises(ConfigError, match="no option 'pitch'"):
        await tts.open(Voice(options={"pitch": 3}))
    with pytest.raises(ConfigError, match="speed is 1.5"):
        await tts.open(Voice(speed=1.5))
