"""The doubles keep the contracts, on whatever clock the loop has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.ports import Final, Hints, SpeechChunk, TextDelta, ToolCall, Voice
from pipeline.providers.fake import FakeLlm, FakeStt, FakeSttStream, FakeTts, FakeVad
from pipeline.testing.virtual_clock import run

T = TypeVar("T")


def timed(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, float]:
    """The result, and how many seconds it took on a virtual clock."""

    async def main() -> tuple[T, float]:
        return await work(), round(asyncio.get_running_loop().time(), 6)

    return run(main)


def test_the_vad_goes_by_level() -> None:
    """-45 dB is the border unless another is given."""
    loud, soft = np.full(160, 500, np.int16), np.full(160, 100, np.int16)
    assert (FakeVad().probability(loud), FakeVad().probability(soft)) == (1.0, 0.0)
    assert FakeVad(threshold_db=-60.0).probability(soft) == 1.0
    assert FakeVad().probability(np.zeros(0, np.int16)) == 0.0


async def next_final(stream: FakeSttStream) -> Final:
    event = await anext(aiter(stream))
    assert isinstance(event, Final)
    return event


def test_each_turn_of_speech_brings_the_next_text() -> None:
    """One Final for each end_turn, and after the last text always the same."""

    async def call() -> list[str]:
        stream = await FakeStt(["one", "two"]).open(rate_hz=8000, hints=Hints())
        heard = []
        for _ in range(4):
            stream.start_turn()
            stream.end_turn()
            final = await next_final(stream)
            assert final.ends_turn
            heard.append(final.text)
        return heard

    assert timed(call) == (["one", "two", "hello", "hello"], 0.0)


def test_a_silent_turn_brings_an_empty_text_and_uses_none_up() -> None:
    """end_turn() is owed a Final even if nobody spoke."""

    async def call() -> list[str]:
        stream = await FakeStt(["one"]).open(rate_hz=8000, hints=Hints())
        stream.end_turn()
        silent = await next_final(stream)
        stream.start_turn()
        stream.end_turn()
        return [silent.text, (await next_final(stream)).text]

    assert run(call) == ["", "one"]


def test_two_calls_hear_the_texts_from_the_beginning() -> None:
    """They share the provider, not its progress."""

    async def call() -> list[str]:
        stt, heard = FakeStt(["one", "two"]), []
        for _ in range(2):
            stream = await stt.open(rate_hz=8000, hints=Hints())
            stream.start_turn()
            stream.end_turn()
            heard.append((await next_final(stream)).text)
            await stream.aclose()
            assert [event async for event in stream] == []
        return heard

    assert run(call) == ["one", "one"]


def test_a_slow_recogniser_is_slow_in_loop_time() -> None:
    """Three seconds, but not of ours."""

    async def call() -> str:
        stream = await FakeStt(["late"], delay_s=3.0).open(rate_hz=8000, hints=Hints())
        stream.start_turn()
        stream.end_turn()
        return (await next_final(stream)).text

    assert timed(call) == ("late", 3.0)


def test_the_model_streams_its_reply_word_by_word() -> None:
    """Half a second to the first token, then ten tokens a second."""

    async def call() -> list[str]:
        llm = FakeLlm("one two three", delay_s=0.5, tokens_per_s=10.0)
        return [delta.text async for delta in llm.chat([]) if isinstance(delta, TextDelta)]

    assert timed(call) == (["one", " two", " three"], 0.8)


def test_the_model_follows_its_script_and_then_repeats_itself() -> None:
    """A step may call tools; a request without tools gets none."""
    script: list[str | dict[str, Any]] = [
        {"text": "Wait.", "tools": [{"name": "look_up", "arguments": {"id": 7}}, {"name": "hang_up"}]},
        "Done.",
    ]

    async def call() -> list[list[object]]:
        llm = FakeLlm("Yes?", script)
        return [[delta async for delta in llm.chat([])] for _ in range(3)]

    first, second, third = run(call)
    calls = [ToolCall("call_1", "look_up", '{"id": 7}'), ToolCall("call_2", "hang_up", "{}")]
    assert first == [TextDelta("Wait."), *calls]
    assert (second, third) == ([TextDelta("Done.")], [TextDelta("Yes?")])

    async def refused() -> list[object]:
        return [delta async for delta in FakeLlm(script=script).chat([], tool_choice="none")]

    assert run(refused) == [TextDelta("Wait.")]


async def speak(tts: FakeTts, *texts: str) -> list[SpeechChunk]:
    stream = await tts.open(Voice())
    for text in texts:
        stream.say(text)
    stream.finish()
    return [chunk async for chunk in stream]


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050])
def test_a_text_becomes_a_tone_as_long_as_it(rate_hz: int) -> None:
    """Eleven characters of 50 ms; every piece ends once, with its own words."""
    chunks, took = timed(lambda: speak(FakeTts(rate_hz, 50.0, delay_s=0.3), "hello world", "", "bye"))
    assert took == 0.3
    assert [chunk.piece for chunk in chunks if chunk.last] == [0, 1, 2]
    lengths = [sum(len(chunk.pcm) for chunk in chunks if chunk.piece == piece) for piece in range(3)]
    assert lengths == [round(0.55 * rate_hz), 0, round(0.15 * rate_hz)]
    words = [
        (word.text, round(word.start_s, 3), round(word.end_s, 3)) for chunk in chunks for word in chunk.words
    ]
    assert words == [("hello", 0.0, 0.25), ("world", 0.3, 0.55), ("bye", 0.0, 0.15)]
    sound = np.concatenate([chunk.pcm for chunk in chunks]).astype(float)
    assert 20 * np.log10(np.sqrt(np.mean(sound**2)) / 32768) == pytest.approx(-20, abs=0.5)


def test_an_interrupted_tone_ends() -> None:
    """Also for a reader that is waiting for the next piece."""

    async def call() -> list[SpeechChunk]:
        stream = await FakeTts().open(Voice())
        stream.say("a rather long text, cut short")
        first = await anext(stream)
        await stream.aclose()
        await stream.aclose()
        return [first] + [chunk async for chunk in stream]

    assert len(run(call)) == 1

    async def waiting() -> list[SpeechChunk]:
        stream = await FakeTts().open(Voice())

        async def read() -> list[SpeechChunk]:
            return [chunk async for chunk in stream]

        reader = asyncio.create_task(read())
        await asyncio.sleep(1.0)
        await stream.aclose()
        return await reader

    assert timed(waiting) == ([], 1.0)


def test_wrong_options_are_refused() -> None:
    """A double that accepted anything would hide a wrong plan."""
    for make in (
        lambda: FakeVad(threshold_db=3.0),
        lambda: FakeStt(delay_s=-1.0),
        lambda: FakeLlm(tokens_per_s=-1.0),
        lambda: FakeLlm(script=[{"tool": "x"}]),
        lambda: FakeLlm(script=[{"tools": [{"arguments": {}}]}]),
        lambda: FakeTts(ms_per_char=0.0),
    ):
        with pytest.raises(ConfigError, match=r"fake: "):
            make()
