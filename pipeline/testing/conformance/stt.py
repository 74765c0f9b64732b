"""What a recogniser must do: answer each end of a turn once, take sound without blocking, end when it is closed."""

from __future__ import annotations

import asyncio
from typing import cast

import numpy as np

from pipeline.ports import FRAME_MS, Final, Frame, Hints, Partial, Stt, SttStream, Voice
from pipeline.providers.fake import FakeStt
from pipeline.providers.registry import create_tts
from pipeline.providers.resilient import FallbackStt
from pipeline.speaking.resample import Resampler
from pipeline.testing.conformance import failing
from pipeline.testing.conformance.subject import Check, NotConforming, Subject, let_go, quickly, require

UNICODE = "Grüße aus Köln, 你好, ¿qué tal?"
BEFORE_MS, AFTER_MS = 400, 300  # of silence around the words


async def spoken(text: str, rate_hz: int) -> list[Frame]:
    """The words in the embedded voice, in frames of 20 ms, silence around them."""
    tts = create_tts("espeak")
    stream = await tts.open(Voice())
    stream.say(text)
    stream.finish()
    resampler = Resampler(tts.rate_hz, rate_hz)
    parts = [np.zeros(rate_hz * BEFORE_MS // 1000, np.int16)]
    parts += [resampler.feed(chunk.pcm) for chunk in [chunk async for chunk in stream]]
    parts += [resampler.finish(), np.zeros(rate_hz * AFTER_MS // 1000, np.int16)]
    pcm = np.concatenate(parts)
    size = rate_hz * FRAME_MS // 1000
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


async def _turn(stream: SttStream, frames: list[Frame]) -> None:
    """A turn as a session tells it: it begins a little before it is noticed."""
    for number, frame in enumerate(frames):
        if number == BEFORE_MS // FRAME_MS + 5:
            stream.start_turn()
        stream.push(frame)
        await asyncio.sleep(0)
    stream.end_turn()


async def _answer(stream: SttStream) -> str:
    """All finals to the end of the turn."""
    parts = []
    async for event in stream:
        require(isinstance(event, Partial | Final), f"it told {event!r}")
        if isinstance(event, Final):
            parts.append(event.text)
            if event.ends_turn:
                return " ".join(part for part in parts if part)
    raise NotConforming("the stream ended without an answer to the end of the turn")


async def _hear(stt: Stt, subject: Subject, turns: int = 1, text: str = "") -> list[str]:
    """Speak and listen at the same time, as calls do."""
    frames = await spoken(text or subject.text, subject.rate_hz)
    stream = await stt.open(rate_hz=subject.rate_hz, hints=Hints((subject.text,)))
    try:
        said = []
        for _ in range(turns):
            speaking = asyncio.ensure_future(_turn(stream, frames))
            try:
                said.append(await _answer(stream))
            finally:
                speaking.cancel()
        return said
    finally:
        await stream.aclose()


async def _use(provider: object, subject: Subject) -> str:
    return (await _hear(cast(Stt, provider), subject))[0]


def _words(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _right(said: str, subject: Subject) -> bool:
    return _words(said) == _words(subject.text)


async def _streaming(subject: Subject) -> None:
    stt = cast(Stt, subject.make(subject.text))
    said = await _hear(stt, subject)
    await let_go(stt)
    require(_right(said[0], subject), f"{subject.text!r} was heard as {said[0]!r}")


async def _turns(subject: Subject) -> None:
    stt = cast(Stt, subject.make(subject.text))
    said = await _hear(stt, subject, turns=3)
    await let_go(stt)
    require(all(said), f"three turns were heard as {said}")


async def _silent_turn(subject: Subject) -> None:
    stt = cast(Stt, subject.make(subject.text))
    stream = await stt.open(rate_hz=subject.rate_hz, hints=Hints((subject.text,)))
    for _ in range(20):
        stream.push(np.zeros(subject.rate_hz * FRAME_MS // 1000, np.int16))
    stream.end_turn()
    said = await _answer(stream)
    await stream.aclose()
    await let_go(stt)
    require(not said, f"nobody spoke, and it heard {said!r}")


async def _unicode(subject: Subject) -> None:
    stt = cast(Stt, subject.make(UNICODE))
    said = await _hear(stt, subject)
    await let_go(stt)
    require(said[0] == UNICODE, f"it should hear {UNICODE!r} and hears {said[0]!r}")


async def _cancel(subject: Subject, *, owing: bool) -> None:
    """owing: the end of a turn."""
    stt = cast(Stt, subject.make(subject.text))
    loop = asyncio.get_running_loop()
    frames = await spoken(subject.text, subject.rate_hz)

    async def once() -> float:
        stream = await stt.open(rate_hz=subject.rate_hz, hints=Hints((subject.text,)))
        reading = asyncio.ensure_future(_all(stream))
        if owing:
            await _turn(stream, frames)
            await asyncio.sleep(0.05)
        else:
            for frame in frames[:25]:
                stream.push(frame)
            await asyncio.sleep(0.02)
        began = loop.time()
        await stream.aclose()
        await reading
        took = loop.time() - began
        await stream.aclose()
        stream.push(frames[0])  # the clock may tick once more
        return took

    await quickly("closing the stream", once)
    await let_go(stt)


async def _all(stream: SttStream) -> None:
    async for _ in stream:
        pass


async def _side_by_side(subject: Subject) -> None:
    stt = cast(Stt, subject.make(subject.text))
    said = await asyncio.gather(*[_use(stt, subject) for _ in range(3)])
    await let_go(stt)
    require(all(_right(one, subject) for one in said), f"three calls at once were heard as {said}")


CHECKS = (
    Check("streaming", "stt", "the end of a turn is answered with its words", _streaming),
    Check("turns", "stt", "so are the second and the third", _turns),
    Check("silent_turn", "stt", "a turn in which nobody spoke is answered too, with nothing", _silent_turn),
    Check("unicode", "stt", "umlauts and Chinese arrive as they were said", _unicode),
    Check("cancel_streaming", "stt", "closing it ends the iteration within 50 ms, twice is safe",
          lambda subject: _cancel(subject, owing=False)),
    Check("cancel_waiting", "stt", "so does closing it while it owes the end of a turn",
          lambda subject: _cancel(subject, owing=True), "silent"),
    Check("side_by_side", "stt", "calls at the same time do not mix", _side_by_side),
    *failing.checks(
        failing.Manner(
            "stt",
            _use,
            lambda providers, patience: FallbackStt(cast(list[Stt], providers), patience=patience),
            lambda: FakeStt(otherwise="stand-in"),
            _right,
        )
    ),
)  # fmt: skip
