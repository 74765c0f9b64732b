"""What a voice must do: sound piece by piece, tell true word times, fall silent at once."""

from __future__ import annotations

import asyncio
from typing import cast

import numpy as np

from pipeline.ports import SpeechChunk, Tts, TtsStream, Voice
from pipeline.providers.fake import FakeTts
from pipeline.providers.resilient import FallbackTts
from pipeline.testing.conformance import failing
from pipeline.testing.conformance.subject import Check, Subject, let_go, quickly, require

PIECES = ("We are open from Monday to Friday.", "On Sunday we are closed.")
UNICODE = "Grüße aus Köln, 你好, ¿qué tal?, naïve café 🙂."
WORD_GRAIN_S = 0.1  # a word's time may be so far beyond the end of its piece


async def _spoken(tts: Tts, *pieces: str) -> list[SpeechChunk]:
    stream = await tts.open(Voice())
    try:
        for piece in pieces:
            stream.say(piece)
        stream.finish()
        return [chunk async for chunk in stream]
    finally:
        await stream.aclose()


async def _use(provider: object, subject: Subject) -> str:
    chunks = await _spoken(cast(Tts, provider), PIECES[0])
    return "sound" if chunks and chunks[-1].last and any(chunk.pcm.any() for chunk in chunks) else ""


async def _streaming(subject: Subject) -> None:
    tts = cast(Tts, subject.make(subject.text))
    chunks = await _spoken(tts, *PIECES)
    await let_go(tts)
    order = [chunk.piece for chunk in chunks]
    require(order == sorted(order), f"pieces come out of order: {order}")
    ends = [chunk.piece for chunk in chunks if chunk.last]
    require(ends == [0, 1], f"each of two pieces has one last chunk, here pieces {ends} have")
    for number in range(2):
        own = [chunk for chunk in chunks if chunk.piece == number]
        require(own[-1].last, f"sound of piece {number} follows its last chunk")
        length_s = sum(len(chunk.pcm) for chunk in own) / tts.rate_hz
        require(length_s > 0.2, f"piece {number} lasts {length_s:.2f} s")
        _words(own, length_s)
    require(
        all(chunk.pcm.dtype == np.int16 and chunk.pcm.ndim == 1 for chunk in chunks), "sound is int16 mono"
    )


def _words(chunks: list[SpeechChunk], length_s: float) -> None:
    words = [word for chunk in chunks for word in chunk.words]
    times = [word.start_s for word in words]
    require(times == sorted(times), f"words are out of order: {words}")
    late = [word for word in words if word.end_s > length_s + WORD_GRAIN_S or word.start_s > word.end_s]
    require(not late, f"these words do not lie within {length_s:.2f} s of sound: {late}")


async def _unicode(subject: Subject) -> None:
    tts = cast(Tts, subject.make(subject.text))
    chunks = await _spoken(tts, UNICODE)
    await let_go(tts)
    require(any(chunk.pcm.any() for chunk in chunks) and chunks[-1].last, "it did not sound to its end")


async def _nothing_to_say(subject: Subject) -> None:
    tts = cast(Tts, subject.make(subject.text))
    chunks = await _spoken(tts)
    await let_go(tts)
    require(not any(len(chunk.pcm) for chunk in chunks), "there was nothing to say, and it spoke")


async def _cancel(subject: Subject, *, sounding: bool) -> None:
    tts = cast(Tts, subject.make(subject.text))
    loop = asyncio.get_running_loop()

    async def once() -> float:
        stream = await tts.open(Voice())
        stream.say(PIECES[0])
        if sounding:
            require(await anext(aiter(stream), None) is not None, "it ended before it could be stopped")
        reading = asyncio.ensure_future(_rest(stream))
        await asyncio.sleep(0 if sounding else 0.05)
        began = loop.time()
        await stream.aclose()
        await reading
        took = loop.time() - began
        await stream.aclose()
        return took

    await quickly("falling silent", once)
    await let_go(tts)


async def _rest(stream: TtsStream) -> None:
    async for _ in stream:
        pass


async def _side_by_side(subject: Subject) -> None:
    tts = cast(Tts, subject.make(subject.text))
    said = await asyncio.gather(*[_use(tts, subject) for _ in range(3)])
    await let_go(tts)
    require(all(said), "of three replies at once not all sounded to their end")


CHECKS = (
    Check("streaming", "tts", "pieces sound in order, each with one end, and words have true times", _streaming),
    Check("unicode", "tts", "umlauts, Chinese and emoji do not break it", _unicode),
    Check("nothing_to_say", "tts", "a reply without text ends at once", _nothing_to_say),
    Check("cancel_streaming", "tts", "closing it while it sounds ends the iteration within 50 ms, twice is safe",
          lambda subject: _cancel(subject, sounding=True)),
    Check("cancel_waiting", "tts", "so does closing it before the first sound",
          lambda subject: _cancel(subject, sounding=False), "silent"),
    Check("side_by_side", "tts", "calls at the same time do not mix", _side_by_side),
    *failing.checks(
        failing.Manner(
            "tts",
            _use,
            lambda providers, patience: FallbackTts(cast(list[Tts], providers), patience=patience),
            FakeTts,
            lambda said, subject: said == "sound",
        )
    ),
)  # fmt: skip
