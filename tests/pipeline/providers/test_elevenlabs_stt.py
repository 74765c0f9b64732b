"""The recogniser of ElevenLabs, Scribe, through the SDK's own client against a server that speaks its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from pipeline.errors import Cause, ConfigError, ProviderError
from pipeline.ports import Final, Frame, Hints, Partial, SttEvent, SttStream
from pipeline.providers import registry
from pipeline.providers.elevenlabs.stt import ElevenLabsStt
from pipeline.providers.fake import FakeStt
from pipeline.providers.keys import MissingKey
from pipeline.providers.resilient import FallbackStt, probe_stt
from tests.pipeline.providers.servers.elevenlabs import KEY, ElevenLabsServer

ENGLISH = Hints()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", KEY)


@pytest.fixture
async def server() -> AsyncIterator[ElevenLabsServer]:
    async with ElevenLabsServer() as server:
        yield server
    async with asyncio.timeout(2.0):  # a stream that a team gave up is closed beside the call
        while left := _tasks():
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)


def _tasks() -> list[asyncio.Task[Any]]:
    """What works for a recogniser, ours and the SDK's."""
    names = ("ElevenLabs", "RealtimeConnection", "Attempt")
    return [task for task in asyncio.all_tasks() if any(name in repr(task.get_coro()) for name in names)]


@pytest.fixture
def make(server: ElevenLabsServer) -> Callable[..., ElevenLabsStt]:
    return lambda **options: ElevenLabsStt(base_url=server.base_url, **options)


def _frames(seconds: float, rate_hz: int = 8000, level: int = 1000) -> list[Frame]:
    return [np.full(rate_hz // 50, level, np.int16) for _ in range(round(seconds * 50))]


def _turn(stream: SttStream, seconds: float = 1.0, rate_hz: int = 8000) -> None:
    stream.start_turn()
    for frame in _frames(seconds, rate_hz):
        stream.push(frame)
    stream.end_turn()


async def _final(events: AsyncIterator[SttEvent]) -> Final:
    async for event in events:
        if isinstance(event, Final):
            return event
    raise AssertionError("the stream ended")


# ---------------------------------------------------------------- turns


async def test_each_turn_is_answered_once_by_the_words_of_its_commit(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.texts = ("Good morning.", "Tomorrow at nine.", "Zażółć gęślą jaźń, 你好.")
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    events = aiter(stream)
    for text in server.knobs.texts:
        _turn(stream)
        assert await _final(events) == Final(text, ends_turn=True)
    await stream.aclose()
    assert [event async for event in events] == []


async def test_partials_tell_what_the_caller_seems_to_say(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.texts = ("one two three four",)
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    for frame in _frames(0.5):
        stream.push(frame)
    events = aiter(stream)
    assert await anext(events) == Partial("one")
    assert await anext(events) == Partial("one two")
    await stream.aclose()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000, 48000])
async def test_sound_goes_up_untouched_and_complete_at_the_rate_of_the_call(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer, rate_hz: int
) -> None:
    stream = await make().open(rate_hz=rate_hz, hints=ENGLISH)
    pushed = [np.full(rate_hz // 50, number, np.int16) for number in range(53)]
    for frame in pushed:
        stream.push(frame)
    stream.end_turn()
    await _final(aiter(stream))
    call = server.calls[0]
    assert call.asked("audio_format") == f"pcm_{rate_hz}"
    assert bytes(call.pcm) == np.concatenate(pushed).tobytes()
    assert {message["sample_rate"] for _, message in call.messages} == {rate_hz}
    sizes = [len(message["audio_base_64"]) for _, message in call.messages]
    assert max(sizes) == -(-rate_hz // 5 // 3) * 4  # 100 ms of int16 in base64
    await stream.aclose()


async def test_a_short_turn_is_made_up_with_silence_since_less_than_300_ms_are_refused(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.texts = ("yes", "no")
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    _turn(stream, 0.1)
    stream.end_turn()
    events = aiter(stream)
    assert [(await _final(events)).text, (await _final(events)).text] == ["yes", "no"]
    assert server.calls[0].commits == [5120, 10240]
    await stream.aclose()


@pytest.mark.parametrize("name", ["commit_throttled", "insufficient_audio_activity"])
async def test_a_turn_in_which_nothing_was_to_be_heard_is_answered_by_nothing(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer, name: str
) -> None:
    server.knobs.stt_error = (1, name, "nothing")
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    events = aiter(stream)
    _turn(stream)
    assert await _final(events) == Final("", ends_turn=True)
    _turn(stream)
    assert await _final(events) == Final("hello", ends_turn=True)
    await stream.aclose()


async def test_what_the_server_commits_by_itself_belongs_to_the_turn_that_goes_on(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    """After 90 s it does."""
    server.knobs.texts = ("the rest",)
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    await server.until(lambda: server.calls[0].socket is not None)
    socket = server.calls[0].socket
    assert socket is not None
    await socket.send_json({"message_type": "committed_transcript", "text": "a long story"})
    await socket.send_json({"message_type": "committed_transcript", "text": ""})
    await socket.send_json({"message_type": "a_message_of_next_year", "text": "x"})
    events = aiter(stream)
    assert await anext(events) == Final("a long story")
    _turn(stream)
    assert await _final(events) == Final("the rest", ends_turn=True)
    await stream.aclose()


async def test_word_times_give_each_turn_a_confidence(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.logprob = float(np.log(0.5))
    stream = await make(timestamps=True).open(rate_hz=8000, hints=ENGLISH)
    _turn(stream)
    assert await _final(aiter(stream)) == Final("hello", 0.5, ends_turn=True)
    await stream.aclose()


# ---------------------------------------------------------------- what it is told


async def test_language_key_terms_and_options_reach_the_server(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    hints = Hints(
        (
            "my number is {digits:4}",
            "{yes_no}",
            "Dr. Nguyen",
            "a phrase of more than twenty letters",
            "Dr. Nguyen",
        ),
        "de-AT",
    )
    stream = await make(keyterms=["Offhook"], no_verbatim=True, enable_logging=False).open(
        rate_hz=8000, hints=hints
    )
    await stream.aclose()
    call = server.calls[0]
    assert call.headers["xi-api-key"] == KEY
    assert call.path == "/v1/speech-to-text/realtime"
    assert call.query == [
        ("model_id", "scribe_v2_realtime"),
        ("audio_format", "pcm_8000"),
        ("commit_strategy", "manual"),
        ("language_code", "de"),
        ("include_timestamps", "false"),
        ("keyterms", "Offhook"),
        ("keyterms", "my number is"),
        ("keyterms", "Dr. Nguyen"),
        ("no_verbatim", "true"),
        ("enable_logging", "false"),
    ]


async def test_no_more_key_terms_are_sent_than_are_taken(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    stream = await make().open(rate_hz=8000, hints=Hints(tuple(f"word {number}" for number in range(99))))
    await stream.aclose()
    assert sum(name == "keyterms" for name, _ in server.calls[0].query) == 50


async def test_other_phrases_keep_the_connection_and_another_language_changes_it(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.texts = ("hallo",)
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    stream.expect(Hints(("something else",)))
    events = aiter(stream)
    _turn(stream)
    assert (await _final(events)).text == "hallo"
    assert len(server.calls) == 1
    stream.expect(Hints((), "fr-FR"))
    _turn(stream, 0.5)
    assert await _final(events) == Final("hallo", ends_turn=True)
    assert [call.asked("language_code") for call in server.calls] == ["en", "fr"]
    assert len(server.calls[1].pcm) == 8000  # what was said while it connected came along
    await server.until(lambda: len(server.alive) == 1)
    await stream.aclose()


async def test_a_turn_in_the_old_language_is_answered_before_the_new_one_is_listened_for(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.stt_s = 0.1
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    _turn(stream)
    stream.expect(Hints((), "fr-FR"))
    _turn(stream)
    events = aiter(stream)
    assert [(await _final(events)).text for _ in range(2)] == ["hello", "hello"]
    assert [len(call.commits) for call in server.calls] == [1, 1]
    await stream.aclose()


# ---------------------------------------------------------------- closing


async def test_closing_ends_the_connection_and_the_iteration_within_50_ms(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.stt_s = 5.0
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    _turn(stream)
    await server.until(lambda: bool(server.calls[0].commits))  # from now on it does not even read our close
    reading = asyncio.ensure_future(_events(stream))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await stream.aclose()
    assert [event for event in await reading if isinstance(event, Final)] == []
    assert loop.time() - before < 0.05
    await stream.aclose()


async def _events(stream: SttStream) -> list[SttEvent]:
    return [event async for event in stream]


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("status", "detail", "cause"),
    [
        (401, {"status": "invalid_api_key", "message": "Invalid API key"}, "auth"),
        (401, {"status": "quota_exceeded", "message": "nothing left"}, "quota"),
        (429, {"status": "too_many_concurrent_requests", "message": "later"}, "rate_limit"),
        (503, {"message": "down"}, "server"),
    ],
)
async def test_a_refused_handshake_says_who_is_to_blame(
    make: Callable[..., ElevenLabsStt],
    server: ElevenLabsServer,
    status: int,
    detail: dict[str, str],
    cause: Cause,
) -> None:
    server.knobs.refuse = (status, {"detail": detail})
    with pytest.raises(ProviderError, match=detail["message"]) as caught:
        await make().open(rate_hz=8000, hints=ENGLISH)
    assert (caught.value.provider, caught.value.cause) == ("elevenlabs", cause)


async def test_a_session_that_is_refused_after_the_handshake_fails_to_open(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.stt_refuses_session = ("quota_exceeded", "You have exceeded your quota.")
    with pytest.raises(ProviderError, match="quota") as caught:
        await make().open(rate_hz=8000, hints=ENGLISH)
    assert caught.value.cause == "quota"


async def test_a_session_that_does_not_begin_is_a_timeout(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.silent = True
    with pytest.raises(ProviderError) as caught:
        await make().open(rate_hz=8000, hints=ENGLISH)
    assert caught.value.cause == "timeout"


async def test_nobody_at_that_address_is_said_so() -> None:
    with pytest.raises(ProviderError) as caught:
        await ElevenLabsStt(base_url="http://127.0.0.1:9").open(rate_hz=8000, hints=ENGLISH)
    assert caught.value.cause == "connectivity"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("auth_error", "auth"),
        ("unaccepted_terms", "auth"),
        ("quota_exceeded", "quota"),
        ("rate_limited", "rate_limit"),
        ("resource_exhausted", "rate_limit"),
        ("queue_overflow", "rate_limit"),
        ("input_error", "bad_request"),
        ("invalid_request", "bad_request"),
        ("chunk_size_exceeded", "bad_request"),
        ("session_time_limit_exceeded", "connectivity"),
        ("transcriber_error", "server"),
        ("error", "server"),
    ],
)
async def test_an_error_in_the_middle_says_who_is_to_blame(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer, name: str, cause: Cause
) -> None:
    server.knobs.stt_error = (1, name, f"words about it and {KEY}")
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    _turn(stream)
    with pytest.raises(ProviderError, match=f"{name}: words") as caught:
        await _events(stream)
    assert caught.value.cause == cause
    assert KEY not in str(caught.value)
    assert await _events(stream) == []
    await stream.aclose()


async def test_a_connection_that_goes_away_is_a_failure_and_not_an_end(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.stt_drop_at = 1
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    _turn(stream)
    with pytest.raises(ProviderError) as caught:
        await _events(stream)
    assert caught.value.cause == "connectivity"
    _turn(stream)  # nobody hears it, and nothing happens
    await stream.aclose()


async def test_a_message_that_makes_no_sense_is_the_servers_fault(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.stt_garbage_at = 1
    stream = await make().open(rate_hz=8000, hints=ENGLISH)
    _turn(stream)
    with pytest.raises(ProviderError, match="parse") as caught:
        await _events(stream)
    assert caught.value.cause == "server"
    await stream.aclose()


async def test_a_stand_in_hears_the_turn_again_that_died_with_the_connection(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    server.knobs.stt_drop_at = 2
    server.knobs.texts = ("first",)
    stream = await FallbackStt([make(), FakeStt(["second"])]).open(rate_hz=8000, hints=ENGLISH)
    events = aiter(stream)
    _turn(stream)
    assert (await _final(events)).text == "first"
    _turn(stream)
    assert await _final(events) == Final("second", ends_turn=True)
    await stream.aclose()
    await server.until(lambda: not server.alive)


async def test_the_turn_is_told_again_to_scribe_itself_where_nobody_else_is(
    make: Callable[..., ElevenLabsStt], server: ElevenLabsServer
) -> None:
    stream = await FallbackStt([make()]).open(rate_hz=8000, hints=ENGLISH)
    events = aiter(stream)
    server.knobs.stt_drop_at = 1
    _turn(stream)
    await server.until(lambda: not server.alive)
    server.knobs.stt_drop_at = None
    assert await _final(events) == Final("hello", ends_turn=True)
    assert bytes(server.calls[1].pcm) == np.concatenate(_frames(1.0)).tobytes()
    await stream.aclose()


async def test_a_trial_request_is_half_a_second_of_silence(make: Callable[..., ElevenLabsStt]) -> None:
    await probe_stt(make())


# ---------------------------------------------------------------- settings


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    with pytest.raises(MissingKey, match="ELEVENLABS_API_KEY"):
        registry.create_stt("elevenlabs")


async def test_a_rate_that_scribe_does_not_take_is_said_so() -> None:
    with pytest.raises(ConfigError, match="11025 Hz"):
        await ElevenLabsStt().open(rate_hz=11025, hints=ENGLISH)


def test_a_wrong_setting_is_said_before_the_first_call() -> None:
    options: dict[str, Any] = {"keyterm": ["x"]}
    with pytest.raises(ConfigError, match="Did you mean 'keyterms'"):
        registry.create_stt("elevenlabs", options)
