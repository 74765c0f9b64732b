"""The embedded voice."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.ports import SpeechChunk, Voice
from pipeline.providers.espeak import EspeakStream, EspeakTts, PieceShape
from pipeline.providers.espeak_engine import Mark
from pipeline.speaking.normalise import speakable

LONG = "This is a rather long sentence, which goes on and on, until somebody interrupts it. " * 20


@pytest.fixture(scope="module")
def tts() -> EspeakTts:
    return EspeakTts()


async def say(tts: EspeakTts, *texts: str, voice: Voice = Voice()) -> list[SpeechChunk]:  # noqa: B008
    stream = await tts.open(voice)
    for text in texts:
        stream.say(text)
    stream.finish()
    return [chunk async for chunk in stream]


def joined(chunks: list[SpeechChunk], piece: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.concatenate([chunk.pcm for chunk in chunks if chunk.piece == piece]).astype(np.float64)


def audible(sound: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """First and last audible moment in s."""
    loud = np.flatnonzero(np.abs(sound) > 60)
    return loud[0] / 22050, loud[-1] / 22050


# ---------------------------------------------------------------- sound


async def test_a_reply_comes_in_pieces_and_each_has_one_end(tts: EspeakTts) -> None:
    """Chunks are in order, the last of each piece says so, and the iteration ends."""
    chunks = await say(tts, "Good morning.", "How can I help you?", "...")
    assert [chunk.piece for chunk in chunks] == sorted(chunk.piece for chunk in chunks)
    assert [chunk.piece for chunk in chunks if chunk.last] == [0, 1, 2]
    assert chunks[-1].last
    assert len(joined(chunks, 2)) == 0


async def test_the_first_sound_comes_at_once(tts: EspeakTts) -> None:
    """espeak's own silence at both ends would be added to every answer."""
    for text in ("Hello there.", "yes", "... well, three", "Sure!"):
        sound = joined(await say(tts, text))
        first, last = audible(sound)
        assert first <= 0.03
        assert len(sound) / 22050 - last <= 0.03


async def test_between_two_pieces_there_is_a_breath(tts: EspeakTts) -> None:
    """Longer behind a full stop than behind a comma, none before the first."""
    chunks = await say(tts, "Good morning.", "First of all,", "thank you for calling.")
    starts = [audible(joined(chunks, piece))[0] for piece in range(3)]
    assert starts[0] < 0.03
    assert 0.25 < starts[1] < 0.35
    assert 0.1 < starts[2] < 0.2


@pytest.mark.parametrize("voice", ["en-us", "en-gb", "en-us+f3", "de", "fr"])
async def test_every_voice_is_as_loud_as_a_telephone_likes_it(tts: EspeakTts, voice: str) -> None:
    """About -20 dB, and never above -3 dB of full scale: no clipping in the peer's mixer."""
    sound = joined(await say(tts, "Hello, thank you for calling us today.", voice=Voice(name=voice)))
    level = 20 * np.log10(np.sqrt(np.mean(sound**2)) / 32768)
    assert -23 < level < -17
    assert np.max(np.abs(sound)) < 32768 * 10 ** (-3 / 20)


async def test_speed_and_pitch_are_heard(tts: EspeakTts) -> None:
    """Twice as fast is about half as long; another pitch is another sound."""
    normal = joined(await say(tts, LONG[:90]))
    fast = joined(await say(tts, LONG[:90], voice=Voice(speed=2.0)))
    high = joined(await say(tts, LONG[:90], voice=Voice(options={"pitch": 99})))
    assert 0.4 < len(fast) / len(normal) < 0.65
    assert not np.array_equal(high[:20000], normal[:20000])


# ---------------------------------------------------------------- words


async def test_every_word_is_timed(tts: EspeakTts) -> None:
    """Words as written, in order, and where they are: `today` is the loud stretch at the end."""
    text = "Your balance is 86 dollars - thank you, Zoë, for calling today."
    chunks = await say(tts, text)
    words = [word for chunk in chunks for word in chunk.words]
    assert [word.text for word in words] == [word for word in text.split() if word != "-"]
    assert words[0].start_s == 0.0
    assert all(word.start_s < word.end_s for word in words)
    assert all(a.end_s <= b.start_s + 0.001 for a, b in zip(words, words[1:], strict=False))
    assert words[-1].end_s == pytest.approx(len(joined(chunks)) / 22050, abs=0.05)


async def test_figures_that_were_put_into_words_are_timed_word_by_word(tts: EspeakTts) -> None:
    """Row 25: so that history knows how much of a number was heard. espeak itself tells one time for `$5.20`."""
    text = speakable("Call (555) 123-4567, you owe $5.20.")
    words = [word for chunk in await say(tts, text) for word in chunk.words]
    assert [word.text for word in words] == text.split()
    assert len({word.start_s for word in words}) == len(words) == 18


async def test_a_word_comes_with_the_chunk_in_which_it_begins(tts: EspeakTts) -> None:
    """Else an interruption could not tell that it was heard."""
    at = 0
    for chunk in await say(tts, LONG[:200]):
        for word in chunk.words:
            assert at <= round(word.start_s * 22050) < at + max(1, len(chunk.pcm))
        at += len(chunk.pcm)


async def test_word_times_count_the_breath_before_the_piece(tts: EspeakTts) -> None:
    """Seconds run from the first sample of the piece."""
    chunks = await say(tts, "Good morning.", "Hello.")
    (hello,) = [word for chunk in chunks for word in chunk.words if chunk.piece == 1]
    assert hello.start_s == pytest.approx(0.28)


def test_cut_silence_moves_the_words() -> None:
    """Half a second of silence in front is dropped but for 10 ms; the word at 0.6 s is now at 0.11 s."""
    shape = PieceShape("one two", 1000, 0)
    sound = np.concatenate([np.zeros(500), np.full(300, 5000)]).astype(np.int16).tobytes()
    parts = shape.feed(sound, [Mark(0, 500), Mark(4, 600)])
    rest, words = shape.finish()
    times = [(word.text, word.start_s) for _, part in parts for word in part] + [
        (w.text, w.start_s) for w in words
    ]
    assert times == [("one", 0.01), ("two", 0.11)]
    assert sum(len(pcm) for pcm, _ in parts) + len(rest) == 310


# ---------------------------------------------------------------- voices


async def test_the_language_of_the_agent_chooses_the_voice(tts: EspeakTts) -> None:
    """An agent that names no voice still speaks its own language; de-CH falls back to de."""
    named = joined(await say(tts, "Guten Tag, wie geht es?", voice=Voice(name="de")))
    chosen = joined(await say(tts, "Guten Tag, wie geht es?", voice=Voice(language="de-CH")))
    assert abs(len(named) - len(chosen)) < 500
    english = joined(await say(tts, "Guten Tag, wie geht es?"))
    assert abs(len(named) - len(english)) > 500


def test_an_unknown_voice_is_refused_with_its_neighbours() -> None:
    """A typing error in the plan stops it before the first call."""
    with pytest.raises(ConfigError, match=r"no voice 'en-su'.*en-us"):
        EspeakTts(voice="en-su")
    with pytest.raises(ConfigError, match=r"no variant.*f3"):
        EspeakTts(voice="en-us+f33")
    with pytest.raises(ConfigError, match=r"speed is 9.*0.5 to 2"):
        EspeakTts(speed=9.0)
    with pytest.raises(ConfigError, match=r"pitch is 200.*0 to 99"):
        EspeakTts(pitch=200)


async def test_an_agent_s_wrong_voice_is_refused_when_it_speaks(tts: EspeakTts) -> None:
    """Its options are checked like those of the configuration."""
    with pytest.raises(ConfigError, match="no voice 'elvish'"):
        await tts.open(Voice(name="elvish"))
    with pytest.raises(ConfigError, match=r"no option 'ptch'.*pitch"):
        await tts.open(Voice(options={"ptch": 5}))


# ---------------------------------------------------------------- calls share it


async def test_an_interrupted_reply_stops_and_the_next_one_speaks(tts: EspeakTts) -> None:
    """aclose() in the middle of the synthesis: the iteration ends, twice is fine, the library is free."""
    stream = await tts.open(Voice())
    stream.say(LONG)
    assert len((await anext(aiter(stream))).pcm) > 0
    await stream.aclose()
    await stream.aclose()
    stream.say("Ignored.")
    assert [chunk async for chunk in stream] == []
    assert len(joined(await say(tts, "Next."))) > 0


async def test_closing_ends_an_iteration_that_waits(tts: EspeakTts) -> None:
    """The reply waits for the model's next words when the caller hangs up."""
    stream = await tts.open(Voice())
    reader = asyncio.create_task(collect(stream))
    await asyncio.sleep(0)
    await stream.aclose()
    assert await reader == []


async def test_a_stopped_synthesis_ends_early(tts: EspeakTts) -> None:
    """The library asks after each 200 ms of sound whether to go on; a refusal is final."""
    taken: list[int] = []

    def refuse_the_second(pcm: bytes, marks: list[Mark]) -> bool:
        taken.append(len(pcm))
        return len(taken) < 2

    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def job() -> None:
        tts._engine.speak(LONG, tts._sound(Voice()), refuse_the_second)
        loop.call_soon_threadsafe(over.set)

    tts._engine.submit(job)
    await over.wait()
    assert len(taken) == 2


async def test_a_talkative_call_does_not_keep_others_waiting(tts: EspeakTts) -> None:
    """Ten sentences are asked for first, one on another call second: it is ready before the ten are."""
    order: list[str] = []

    async def read(stream: EspeakStream, name: str) -> None:
        async for chunk in stream:
            if chunk.last:
                order.append(name)

    first, second = await tts.open(Voice()), await tts.open(Voice())
    for _ in range(10):
        first.say(LONG[:200])
    first.finish()
    second.say("Hello.")
    second.finish()
    await asyncio.gather(read(first, "first"), read(second, "second"))
    assert order.index("second") <= 2


async def test_speech_is_not_made_far_ahead_of_the_listener(tts: EspeakTts) -> None:
    """A reply that nobody takes keeps one piece, not the whole story."""
    stream = await tts.open(Voice())
    for _ in range(50):
        stream.say(LONG[:84])
    await anext(aiter(stream))
    await say(tts, "The library has come round.")
    assert stream._pieces == 1
    await stream.aclose()


async def collect(stream: EspeakStream) -> list[SpeechChunk]:
    return [chunk async for chunk in stream]


def test_a_process_may_end_while_it_speaks() -> None:
    """The library's thread is joined, no callback reaches a dead interpreter: exit code 0, nothing printed."""
    script = (
        "import asyncio\n"
        "from pipeline.ports import Voice\n"
        "from pipeline.providers.espeak import EspeakTts\n"
        "async def main():\n"
        "    stream = await EspeakTts().open(Voice())\n"
        "    stream.say('This is a long sentence, which goes on. ' * 500)\n"
        "    await anext(stream)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
