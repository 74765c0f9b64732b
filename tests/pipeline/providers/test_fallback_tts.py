"""Voices that stand in for each other: a reply goes on in one stream when its voice dies."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from pipeline.errors import ProviderError
from pipeline.events import Event, ProviderSwitched
from pipeline.ports import SpeechChunk, Tts, Voice
from pipeline.providers.resilient import FallbackTts, Member, probe_tts
from pipeline.speaking.ledger import Ledger
from pipeline.speaking.normalise import speak
from pipeline.speaking.pace import Pace
from pipeline.testing.virtual_clock import run
from tests.pipeline.flaky import Fate, FlakyTts

PIECES = ("We are open from nine to five.", "Is there anything else?")


async def _spoken(tts: Tts, *pieces: str) -> list[SpeechChunk]:
    stream = await tts.open(Voice())
    for piece in pieces:
        stream.say(piece)
    stream.finish()
    chunks = [chunk async for chunk in stream]
    await stream.aclose()
    return chunks


def _seconds(chunks: list[SpeechChunk], piece: int, rate_hz: int = 8000) -> float:
    return round(sum(len(chunk.pcm) for chunk in chunks if chunk.piece == piece) / rate_hz, 3)


def _ends(chunks: list[SpeechChunk]) -> list[int]:
    return [chunk.piece for chunk in chunks if chunk.last]


def test_a_reply_goes_on_with_the_word_that_was_cut_short() -> None:
    """0.6 s at 50 ms a character: `We are open` is 0.55 s, the voice died in `from`'s first 50 ms."""

    async def call() -> None:
        events: list[Event] = []
        first, second = FlakyTts("a", "dies", after=3), FlakyTts("b")
        chunks = await _spoken(FallbackTts([first, second], emit=events.append), *PIECES)
        assert second.said == ["from nine to five.", PIECES[1]]
        assert _ends(chunks) == [0, 1]
        assert [event.new for event in events if isinstance(event, ProviderSwitched)] == ["b"]
        assert _seconds(chunks, 0) == pytest.approx(0.6 + 18 * 0.05)
        assert _seconds(chunks, 1) == pytest.approx(len(PIECES[1]) * 0.05)

    run(call)


def test_the_history_counts_each_word_once_and_at_its_time() -> None:
    async def call() -> None:
        first, second = FlakyTts("a", "dies", after=2), FlakyTts("b")
        ledger, position = Ledger(8000, Pace("en-US")), 0
        ledger.said(speak(PIECES[0]))
        for chunk in await _spoken(FallbackTts([first, second]), PIECES[0]):
            ledger.placed(chunk.piece, position, len(chunk.pcm), chunk.words, last=chunk.last)
            position += len(chunk.pcm)
        assert second.said == ["open from nine to five."]  # 0.4 s in: `open` sounds from 0.35 s
        assert ledger.heard(round(0.38 * 8000)) == "We are open"
        assert ledger.heard(round(0.5 * 8000)) == "We are open"
        assert ledger.heard(round((0.4 + 0.26) * 8000)) == "We are open from"
        assert ledger.heard(position) == PIECES[0]

    run(call)


def test_without_word_times_the_piece_is_said_again_but_no_piece_before_it() -> None:
    async def call() -> None:
        first = FlakyTts("a", "dies", after=9, timed=False)  # 8 chunks are the first piece
        second = FlakyTts("b", timed=False)
        chunks = await _spoken(FallbackTts([first, second]), *PIECES)
        assert second.said == [PIECES[1]]
        assert _seconds(chunks, 0) == len(PIECES[0]) * 0.05

    run(call)


def test_a_voice_that_dies_behind_the_last_word_owed_nothing_but_the_end() -> None:
    async def call() -> None:
        first, second = FlakyTts("a", "dies", after=4), FlakyTts("b")
        chunks = await _spoken(FallbackTts([first, second]), "Thank you, sir.", "Bye.")
        assert _ends(chunks) == [0, 1]
        assert second.said == ["Bye."]

    run(call)


@pytest.mark.parametrize("fate", ["refused", "dies", "raises", "hangs", "ends"])
def test_a_voice_that_makes_no_sound_is_replaced_within_two_seconds(fate: Fate) -> None:
    async def call() -> None:
        first, second = FlakyTts("a", fate), FlakyTts("b")
        stream = await FallbackTts([first, second]).open(Voice())
        stream.say("Hello.")
        chunk = await anext(aiter(stream))
        assert len(chunk.pcm) > 0
        assert asyncio.get_running_loop().time() < 2.0
        await stream.aclose()
        await asyncio.sleep(0.1)
        assert (first.open_streams, second.open_streams) == (0, 0)

    run(call)


@pytest.mark.parametrize("fate", ["raises", "hangs", "ends"])
def test_a_voice_that_stops_in_the_middle_is_replaced(fate: Fate) -> None:
    async def call() -> None:
        second = FlakyTts("b")
        chunks = await _spoken(FallbackTts([FlakyTts("a", fate, after=3), second]), *PIECES)
        assert second.said == ["from nine to five.", PIECES[1]]
        assert _ends(chunks) == [0, 1]

    run(call)


def test_the_sound_of_another_rate_is_brought_to_the_first_ones() -> None:
    async def call() -> None:
        tts = FallbackTts([FlakyTts("a", "dies", after=3), FlakyTts("b", rate_hz=22050)])
        assert tts.rate_hz == 8000
        chunks = await _spoken(tts, *PIECES)
        assert abs(_seconds(chunks, 0) - 1.5) < 0.005
        assert abs(_seconds(chunks, 1) - len(PIECES[1]) * 0.05) < 0.005
        assert all(chunk.pcm.dtype == np.int16 for chunk in chunks)

    run(call)


def test_a_voice_that_hangs_up_between_two_sentences_is_asked_again() -> None:
    """A WebSocket may be closed after some seconds of silence: nothing was lost, nobody is to blame."""

    async def call() -> None:
        events: list[Event] = []
        first, second = FlakyTts("a", "ends", "well", after=2), FlakyTts("b")
        stream = await FallbackTts([first, second], emit=events.append).open(Voice())
        chunks = aiter(stream)
        stream.say("Hi there")
        assert [(await anext(chunks)).last for _ in range(2)] == [False, True]
        await asyncio.sleep(20)
        stream.say("Still there?")
        stream.finish()
        assert [chunk.piece async for chunk in chunks] == [1, 1, 1]
        assert (first.said, second.said, events) == (["Hi there", "Still there?"], [], [])

    run(call)


def test_a_voice_may_be_silent_as_long_as_the_model_thinks() -> None:
    async def call() -> None:
        first, second = FlakyTts("a"), FlakyTts("b")
        stream = await FallbackTts([first, second]).open(Voice())
        stream.say("Hi.")
        chunks = aiter(stream)
        assert (await anext(chunks)).last
        later = asyncio.get_running_loop().call_later(30, stream.say, "Here it is.")
        assert (await anext(chunks)).piece == 1
        later.cancel()
        assert second.voices == []
        await stream.aclose()

    run(call)


def test_a_voice_that_falls_silent_once_there_is_something_to_say_is_replaced() -> None:
    """It spoke the first piece, and nothing of the second one that came 30 s later."""

    async def call() -> None:
        first, second = FlakyTts("a", "hangs", after=1), FlakyTts("b")
        stream = await FallbackTts([first, second]).open(Voice())
        stream.say("Hi.")
        chunks = aiter(stream)
        assert (await anext(chunks)).last
        asyncio.get_running_loop().call_later(30, stream.say, "Here it is.")
        assert (await anext(chunks)).piece == 1
        assert asyncio.get_running_loop().time() < 30 + 2.3
        assert second.said == ["Here it is."]
        await stream.aclose()

    run(call)


def test_each_voice_is_called_by_its_own_name() -> None:
    """A name or an option of one vendor means nothing to another; language and speed do."""

    async def call() -> None:
        first, second, third = FlakyTts("a", "refused"), FlakyTts("b", "dies"), FlakyTts("c")
        tts = FallbackTts([first, second, third], voices=["Rachel", "anna"])
        stream = await tts.open(Voice("Rachel", "de-DE", 1.1, {"stability": 0.5}))
        stream.say("Hallo.")
        stream.finish()
        assert [chunk.piece async for chunk in stream] != []
        assert second.voices[0] == Voice("anna", "de-DE", 1.1)
        assert third.voices == [Voice("", "de-DE", 1.1)]

    run(call)


def test_when_no_voice_speaks_the_stream_says_so_and_ends() -> None:
    async def call() -> None:
        tts = FallbackTts([FlakyTts("a", "refused"), FlakyTts("b", "hangs")])
        stream = await tts.open(Voice())
        stream.say("Hello.")
        with pytest.raises(ProviderError, match=r"a\|b: none of these answered") as raised:
            await anext(aiter(stream))
        assert raised.value.provider == tts.name
        assert asyncio.get_running_loop().time() < 8.0
        assert [chunk async for chunk in stream] == []

    run(call)


@pytest.mark.parametrize("after", [0, 1])
def test_voices_that_die_at_every_sentence_do_not_stutter_for_ever(after: int) -> None:
    """Without word times each would begin the piece anew."""

    async def call() -> None:
        first, second = (
            FlakyTts("a", "ends", after=after, timed=False),
            FlakyTts("b", "dies", after=1, timed=False),
        )
        with pytest.raises(ProviderError, match="none of these answered"):
            await _spoken(FallbackTts([first, second]), PIECES[0])
        assert len(first.said) + len(second.said) <= 4

    run(call)


def test_an_interrupted_reply_stops_its_voice_and_blames_nobody() -> None:
    async def call() -> None:
        first = FlakyTts("a")
        member = Member[Tts](first)
        stream = await FallbackTts([member, FlakyTts("b")]).open(Voice())
        stream.say(PIECES[0])
        chunks = aiter(stream)
        await anext(chunks)
        await stream.aclose()
        await stream.aclose()
        assert [chunk async for chunk in chunks] == []
        await asyncio.sleep(0)
        assert first.open_streams == 0
        assert member.breaker.state == "closed"

    run(call)


def test_a_voice_is_not_made_to_run_far_ahead_of_its_listener() -> None:
    """What the caller interrupts was paid for: some two seconds wait here, no more."""

    async def call() -> None:
        voice = FlakyTts("a")
        stream = await FallbackTts([voice]).open(Voice())
        stream.say("word " * 200)
        chunks = aiter(stream)
        await anext(chunks)
        await asyncio.sleep(5)
        await stream.aclose()
        assert voice.made_s <= 2.6

    run(call)


def test_a_probe_of_a_dumb_voice_fails() -> None:
    async def call() -> None:
        await probe_tts(FlakyTts("a"))
        with pytest.raises(ProviderError, match="no sound"):
            await probe_tts(FlakyTts("a", "ends"))

    run(call)
