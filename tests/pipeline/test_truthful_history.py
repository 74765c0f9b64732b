"""What the caller heard, what the voice was given and what the model is told: three forms of one reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pipeline.agent.agent import Agent
from pipeline.events import AgentSpoke, CallerInterrupted
from pipeline.options import TurnHandling
from pipeline.ports import SpeechChunk, Voice
from pipeline.providers.fake import FakeLlm, FakeStt, FakeTts, FakeTtsStream
from pipeline.testing.virtual_clock import run
from tests.pipeline.rig import RATE, Rig

BILL = "You owe $5.20 now. Call (555) 123-4567 or stay on the line, **please**, Ms Nguyen."


class ReaderStream:
    """A fake voice's stream, watched."""

    def __init__(self, stream: FakeTtsStream, texts: list[str], timed: bool) -> None:
        self._stream, self._texts, self._timed = stream, texts, timed

    def say(self, text: str) -> None:
        self._texts.append(text)
        self._stream.say(text)

    def finish(self) -> None:
        self._stream.finish()

    def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        return self

    async def __anext__(self) -> SpeechChunk:
        chunk = await anext(self._stream)
        return chunk if self._timed else replace(chunk, words=())

    async def aclose(self) -> None:
        await self._stream.aclose()


class Reader:
    """A voice that keeps what it was given, and may keep the times of its words to itself."""

    name = "reader"
    rate_hz = RATE

    def __init__(self, timed: bool = True) -> None:
        self._voice, self._timed = FakeTts(RATE, 50.0), timed
        self.texts: list[str] = []

    async def open(self, voice: Voice) -> ReaderStream:
        return ReaderStream(await self._voice.open(voice), self.texts, self._timed)


QUICK = TurnHandling(interrupt_after_ms=200)


def _interrupted(at: float, tts: Reader) -> Rig:
    async def call() -> Rig:
        agent = Agent(greeting=BILL, pronounce={"Nguyen": "win"})
        stt, llm = FakeStt(["stop"]), FakeLlm("Sure.")
        return await Rig(agent, speech=[(at, at + 0.8)], stt=stt, llm=llm, tts=tts, options=QUICK).run(
            at + 5.0
        )

    return run(call)


# 50 ms a spoken character; the caller has the floor 200 ms after the first word.
CUTS = [
    (0.9, "You owe"),  # "five dollars and twenty" was heard: not yet the sum
    (1.5, "You owe $5.20"),  # "cents" had begun
    (3.4, "You owe $5.20 now. Call (555)"),  # "one two three" was heard of the second group
    (4.6, "You owe $5.20 now. Call (555) 123-4567"),
]


@pytest.mark.parametrize(("at", "heard"), CUTS)
def test_an_interrupted_sum_or_number_is_in_history_as_it_was_written(at: float, heard: str) -> None:
    """Row 25: the reply ends with the last word that had begun to leave, in the model's own words."""
    rig = _interrupted(at, Reader())
    assert rig.of(CallerInterrupted)
    assert rig.said()[:2] == [("assistant", heard), ("user", "stop")]
    spoke = rig.of(AgentSpoke)[0]
    assert (spoke.text, spoke.planned) == (heard, BILL)


@pytest.mark.parametrize(("at", "heard"), CUTS)
def test_a_voice_without_word_times_is_within_one_word_of_the_truth(at: float, heard: str) -> None:
    """Row 25: most cloud voices tell no times; the samples and the letters do."""
    (_, text), *_ = _interrupted(at, Reader(timed=False)).said()
    assert BILL.startswith(text)
    assert abs(len(text.split()) - len(heard.split())) <= 1


def test_the_voice_reads_what_history_writes() -> None:
    """Row 40: figures in words, markup gone, names as they sound; the model finds its own text again."""
    tts = Reader()
    rig = _interrupted(20.0, tts)
    assert tts.texts[0] == "You owe five dollars and twenty cents now."
    assert tts.texts[1].startswith("Call five five five, one two three, four five six seven or stay")
    assert tts.texts[1].endswith("please, Ms win.")
    assert rig.said()[0] == ("assistant", BILL)
    assert rig.of(AgentSpoke)[0].text == BILL
