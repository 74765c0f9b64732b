"""Recognisers that stand in for each other: no word of the caller is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pipeline.errors import ProviderError
from pipeline.events import Event, ProviderSwitched
from pipeline.ports import Final, Hints, Partial, Stt, SttEvent
from pipeline.providers.resilient import FallbackStt, Member, probe_stt
from pipeline.testing.virtual_clock import run
from tests.pipeline.flaky import Fate, FlakyStt
from tests.pipeline.rig import SILENCE, VOICE


class Line:
    """A caller whose turns are given as (from, to) in s; a turn is noticed 0.2 s late and over 0.4 s after it."""

    def __init__(self, stt: Stt, turns: Sequence[tuple[float, float]]) -> None:
        self._stt, self._turns = stt, turns
        self.heard: list[tuple[float, SttEvent]] = []
        self.failed: ProviderError | None = None

    async def run(self, seconds: float) -> Line:
        loop = asyncio.get_running_loop()
        stream = await self._stt.open(rate_hz=8000, hints=Hints())
        began = loop.time()

        async def read() -> None:
            try:
                async for event in stream:
                    self.heard.append((round(loop.time() - began, 2), event))
            except ProviderError as error:
                self.failed = error

        reading = asyncio.create_task(read())
        for tick in range(round(seconds * 50)):
            await asyncio.sleep(max(0.0, began + tick * 0.02 - loop.time()))
            at = tick / 50
            if any(abs(at - start - 0.2) < 0.005 for start, _ in self._turns):
                stream.start_turn()
            if any(abs(at - end - 0.4) < 0.005 for _, end in self._turns):
                stream.end_turn()
            stream.push(VOICE if any(start <= at < end for start, end in self._turns) else SILENCE)
        await stream.aclose()
        await reading
        return self

    def finals(self) -> list[str]:
        return [event.text for _, event in self.heard if isinstance(event, Final)]

    def when(self) -> list[float]:
        return [at for at, event in self.heard if isinstance(event, Final)]


ONE_SECOND = "50"  # loud frames


def _line(first: FlakyStt, second: FlakyStt, *turns: tuple[float, float], seconds: float = 5.0) -> Line:
    line = Line(FallbackStt([first, second]), turns or [(1.0, 2.0)])
    return run(lambda: line.run(seconds))


@pytest.mark.parametrize("fate", ["dies", "raises", "ends"])
def test_a_turn_that_was_half_heard_is_heard_from_its_start_by_the_next_recogniser(fate: Fate) -> None:
    """It dies 0.6 s into a turn of 1 s; the other one gets all 50 frames of it."""
    line = _line(FlakyStt("a", fate, after=80), FlakyStt("b"))
    assert line.finals() == [ONE_SECOND]
    assert line.when() == [2.5]


def test_a_recogniser_that_dies_owing_the_end_of_a_turn_costs_no_word() -> None:
    line = _line(FlakyStt("a", "dies", after=121, delay_s=0.5), FlakyStt("b"))
    assert line.finals() == [ONE_SECOND]


def test_a_recogniser_that_says_nothing_is_replaced_a_second_after_the_turn() -> None:
    """Sooner than the session stops waiting for a transcript (2 s)."""
    line = _line(FlakyStt("a", "hangs"), FlakyStt("b"), (1.0, 2.0), (5.0, 6.0), seconds=9.0)
    assert line.finals() == [ONE_SECOND, ONE_SECOND]
    assert line.when() == [3.5, 6.5]


def test_an_answered_turn_is_not_told_again() -> None:
    line = _line(FlakyStt("a", "dies", after=200), FlakyStt("b"), (1.0, 2.0), (5.0, 6.0), seconds=8.0)
    assert line.finals() == [ONE_SECOND, ONE_SECOND]


def test_a_turn_that_begins_while_the_last_one_is_owed_is_not_lost_either() -> None:
    first = FlakyStt("a", "dies", after=140, delay_s=2.0)
    line = _line(first, FlakyStt("b"), (1.0, 2.0), (2.5, 3.5))
    assert line.finals() == [ONE_SECOND, ONE_SECOND]


def test_segments_of_a_turn_are_held_until_it_is_whole() -> None:
    """Else the next recogniser, which hears the turn from its start, would say them a second time."""
    well = _line(FlakyStt("a", segments=20), FlakyStt("b"))
    assert well.finals() == ["20 20 10"]
    assert [event.text for _, event in well.heard if isinstance(event, Partial)] == ["20", "20 20"]
    dying = _line(FlakyStt("a", "dies", after=85, segments=20), FlakyStt("b", segments=20))
    assert dying.finals() == ["20 20 10"]


def test_when_nobody_else_listens_what_was_understood_is_told() -> None:
    async def call() -> Line:
        stt = FallbackStt([FlakyStt("a", "dies", "refused", after=85, segments=20), FlakyStt("b", "refused")])
        return await Line(stt, [(1.0, 2.0)]).run(20.0)

    line = run(call)
    assert line.finals() == ["20"]
    assert line.failed is not None
    assert "none of these answered" in str(line.failed)


def test_a_short_while_without_any_recogniser_costs_no_call() -> None:
    """Both are gone for 2 s in the middle of a turn, which is heard in the end."""
    gone: list[Fate] = ["refused"] * 8
    line = _line(FlakyStt("a", "dies", *gone, "well", after=80), FlakyStt("b", "refused"), seconds=8.0)
    assert line.failed is None
    assert line.finals() == [ONE_SECOND]


def test_a_late_answer_is_taken_when_there_is_nobody_else_to_ask() -> None:
    line = _line(FlakyStt("a", delay_s=1.6), FlakyStt("b", "refused"))
    assert line.finals() == [ONE_SECOND]
    assert line.when() == [4.0]


def test_opening_goes_to_the_next_recogniser_and_says_so() -> None:
    async def call() -> None:
        events: list[Event] = []
        second = FlakyStt("b")
        stream = await FallbackStt([FlakyStt("a", "refused"), second], emit=events.append).open(
            rate_hz=8000, hints=Hints(("yes",))
        )
        assert second.hints == [Hints(("yes",))]
        assert [(event.old, event.new) for event in events if isinstance(event, ProviderSwitched)] == [
            ("a", "b")
        ]
        await stream.aclose()
        with pytest.raises(ProviderError, match=r"a\|b: none of these answered"):
            await FallbackStt([FlakyStt("a", "refused"), FlakyStt("b", "refused")]).open(
                rate_hz=8000, hints=Hints()
            )

    run(call)


def test_whoever_takes_over_knows_what_is_expected_now() -> None:
    async def call() -> None:
        first, second = FlakyStt("a", "dies", after=10), FlakyStt("b")
        stream = await FallbackStt([first, second]).open(rate_hz=8000, hints=Hints(("hello",)))
        stream.expect(Hints(("{digits:4}",)))
        for _ in range(11):
            stream.push(SILENCE)
        await asyncio.sleep(0.1)
        assert second.hints == [Hints(("{digits:4}",))]
        await stream.aclose()

    run(call)


def test_of_a_very_long_turn_the_newest_sound_is_kept() -> None:
    async def call() -> None:
        stt = FallbackStt([FlakyStt("a", "dies", after=600), FlakyStt("b")], keep_s=5.0)
        line = await Line(stt, [(1.0, 16.0)]).run(18.0)
        assert line.finals() == [str(250 + 16 * 50 - 601)]  # what was kept, and what came after it died

    run(call)


def test_the_only_recogniser_is_opened_again_without_a_word_lost() -> None:
    async def call() -> None:
        line = await Line(FallbackStt([FlakyStt("a", "dies", "well", after=80)]), [(1.0, 2.0)]).run(5.0)
        assert line.finals() == [ONE_SECOND]

    run(call)


def test_a_recogniser_that_failed_rests_for_all_calls() -> None:
    async def call() -> None:
        tired, well = FlakyStt("a", "refused"), FlakyStt("b")
        shared = [Member[Stt](tired), Member[Stt](well)]
        for _ in range(4):
            stream = await FallbackStt(shared).open(rate_hz=8000, hints=Hints())
            await stream.aclose()
        assert tired.fates.requests == 4  # twice, each with its retry
        assert shared[0].breaker.state == "open"

    run(call)


def test_a_probe_wants_the_end_of_a_turn_not_just_an_open_stream() -> None:
    """A recogniser that takes sound and never answers is not back."""

    async def call() -> None:
        await probe_stt(FlakyStt("a"))
        for fate in ("refused", "ends"):
            with pytest.raises(ProviderError):
                await probe_stt(FlakyStt("a", fate))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await probe_stt(FlakyStt("a", "hangs"))

    run(call)


def test_recognisers_that_open_and_die_at_once_are_given_up_after_ten_seconds() -> None:
    """The session must hear of it in the end: a caller whom nobody hears is no call."""

    async def call() -> None:
        first, second = FlakyStt("a", "dies"), FlakyStt("b", "ends")
        line = await Line(FallbackStt([first, second]), [(1.0, 2.0)]).run(20.0)
        assert line.failed is not None
        assert first.fates.requests < 50  # with pauses between the rounds

    run(call)


def test_a_stream_that_dies_of_silence_every_minute_is_just_opened_again() -> None:
    async def call() -> None:
        first = FlakyStt("a", "dies", after=3000)
        line = await Line(FallbackStt([first]), [(200.0, 201.0)]).run(205.0)
        assert line.failed is None
        assert line.finals() == [ONE_SECOND]
        assert first.fates.requests == 4

    run(call)
