"""The worker's clock: in virtual time for its arithmetic, on a real loop for its life."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from telephony.media.clock import Clock, Ticking


class VirtualHandle(asyncio.TimerHandle):
    """A timer of VirtualTimers; the loop argument of the real one is not needed."""

    def __init__(self, when: float, callback: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(when, callback, (), loop)
        self.run = callback

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled


class VirtualTimers:
    """An event loop's timers without an event loop: time moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[VirtualHandle] = []
        self.complaints: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._loop.close()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> asyncio.TimerHandle:
        handle = VirtualHandle(when, callback, self._loop)
        self.timers.append(handle)
        return handle

    def call_exception_handler(self, context: dict[str, Any], /) -> None:
        self.complaints.append(context)

    def run(self, seconds: float) -> None:
        """Fire every timer on time until then."""
        until = self.now + seconds
        while due := [timer for timer in self.timers if not timer.cancelled() and timer.when() <= until]:
            timer = min(due, key=lambda timer: timer.when())
            self.timers.remove(timer)
            self.now = max(self.now, timer.when())
            timer.run()
        self.now = max(self.now, until)

    def stall(self, seconds: float) -> None:
        """Something blocks the process: no timer fires meanwhile."""
        self.now += seconds


class Call:
    """A call that notes its ticks."""

    def __init__(self, fail_at: int = -1) -> None:
        self.ticks: list[tuple[float, int]] = []
        self.fail_at = fail_at

    def tick(self, now: float, skipped: int = 0) -> None:
        self.ticks.append((now, skipped))
        if len(self.ticks) == self.fail_at:
            raise RuntimeError("the agent's own code failed")

    @property
    def skips(self) -> int:
        return sum(skipped for _, skipped in self.ticks)


def running(*calls: Call) -> tuple[VirtualTimers, Clock]:
    timers = VirtualTimers()
    clock = Clock(timers)
    for call in calls:
        clock.add(call)
    clock.start()
    return timers, clock


def test_a_call_ticks_fifty_times_a_second_for_an_hour_without_drift() -> None:
    """Deadlines are counted from a fixed base."""
    call = Call()
    timers, clock = running(call)
    timers.run(3599.999)
    assert len(call.ticks) == 180_000
    assert all(at == pytest.approx(1000 + n * 0.02, abs=1e-6) for n, (at, _) in enumerate(call.ticks))
    assert clock.lateness()[:2] == (180_000, 0)


def test_calls_are_spread_over_four_phases_five_milliseconds_apart() -> None:
    """A hundred packets must not leave as one burst."""
    calls = [Call() for _ in range(100)]
    timers, _ = running(*calls)
    timers.run(0.0199)
    starts = Counter(round((call.ticks[0][0] - 1000) * 1000) for call in calls)
    assert starts == {0: 25, 5: 25, 10: 25, 15: 25}


def test_a_new_call_takes_the_emptiest_phase() -> None:
    """Hang-ups leave holes, new calls fill them."""
    calls = [Call() for _ in range(8)]
    timers, clock = running(*calls)
    clock.remove(calls[2])
    late = Call()
    clock.add(late)
    clock.add(late)
    assert len(clock) == 8
    timers.run(0.0199)
    assert [round((late.ticks[0][0] - 1000) * 1000), len(late.ticks)] == [10, 1]


@pytest.mark.parametrize("stall_ms", [22, 47, 100, 5000])
def test_after_a_stall_each_call_gets_one_tick_that_says_what_was_skipped(stall_ms: int) -> None:
    """Never a burst; ticks and skips together are the wall time."""
    calls = [Call() for _ in range(4)]
    timers, clock = running(*calls)
    timers.run(0.999)
    before = [len(call.ticks) for call in calls]
    timers.stall(stall_ms / 1000)
    timers.run(0)
    assert all(len(call.ticks) - count <= 1 for call, count in zip(calls, before, strict=True))
    timers.run(1)
    for phase, call in enumerate(calls):
        passed = timers.now - 1000 - phase * 0.005
        assert len(call.ticks) + call.skips == int(passed / 0.02 + 1e-6) + 1
        spacing = [
            later - sooner for (sooner, _), (later, _) in zip(call.ticks, call.ticks[1:], strict=False)
        ]
        assert len([gap for gap in spacing if gap < 0.0001]) == 0
    assert clock.lateness().skipped == sum(call.skips for call in calls) > 0


def test_being_a_little_late_skips_nothing_and_does_not_move_later_ticks() -> None:
    """5 ms of another thread's work."""
    call = Call()
    timers, clock = running(call)
    timers.run(0.0999)
    timers.stall(0.0055)
    timers.run(0.1)
    assert call.skips == 0
    assert call.ticks[-1][0] == pytest.approx(1000.2, abs=1e-6)
    assert clock.lateness().max_ms == pytest.approx(5.4, abs=0.01)


def test_lateness_is_measured_per_tick_and_can_be_reset() -> None:
    """p99 is what the bench compares with its budget."""
    call = Call()
    timers, clock = running(call)
    for n in range(100):
        timers.run(0.0199)
        timers.stall(0.0101 if n % 20 == 10 else 0.0001)
    report = clock.lateness()
    assert report.ticks == len(call.ticks)
    assert report.p50_ms <= 0.25
    assert 9.5 <= report.p99_ms <= report.max_ms <= 10.1
    clock.reset()
    assert clock.lateness() == (0, 0, 0.0, 0.0, 0.0)


def test_a_call_that_fails_is_removed_and_reported_and_no_other_notices() -> None:
    """One agent's mistake must not silence a hundred callers."""
    bad, good = Call(fail_at=3), Call()
    reported: list[tuple[Ticking, str]] = []
    timers = VirtualTimers()
    clock = Clock(timers, lambda stream, error: reported.append((stream, str(error))))
    for call in (bad, good, *(Call() for _ in range(6))):
        clock.add(call)
    clock.start()
    timers.run(0.999)
    assert (len(bad.ticks), len(good.ticks), len(clock)) == (3, 50, 7)
    assert reported == [(bad, "the agent's own code failed")]
    assert not timers.complaints


def test_a_reporter_that_fails_does_not_stop_the_clock() -> None:
    """The last resort is the loop's own handler."""

    def broken(stream: Ticking, error: Exception) -> None:
        raise OSError("log disk full")

    bad, good = Call(fail_at=1), Call()
    timers = VirtualTimers()
    clock = Clock(timers, broken)
    clock.add(bad)
    clock.add(good)
    clock.start()
    timers.run(0.999)
    assert len(good.ticks) == 50
    assert [str(complaint["exception"]) for complaint in timers.complaints] == ["log disk full"]


def test_a_call_removed_by_another_calls_tick_is_not_ticked_any_more() -> None:
    """Two legs of a transfer in one phase: the first hangs up the second."""
    timers, clock = running()
    second = Call()

    class First(Call):
        def tick(self, now: float, skipped: int = 0) -> None:
            super().tick(now, skipped)
            clock.remove(second)

    for call in (First(), Call(), Call(), Call(), second):
        clock.add(call)
    timers.run(0.999)
    assert second.ticks == []


def test_without_calls_no_timer_runs_and_the_next_call_is_on_time() -> None:
    """An idle worker sleeps; its sleep is not a stall."""
    call = Call()
    timers, clock = running(call)
    timers.run(0.5)
    clock.remove(call)
    timers.run(10)
    assert not [timer for timer in timers.timers if not timer.cancelled()]
    clock.add(call)
    count = len(call.ticks)
    timers.run(0.9999)
    assert len(call.ticks) - count == 50
    assert call.skips == 0


def test_a_stopped_clock_stands_still_and_goes_on_without_skips() -> None:
    """Draining, or the tests of others."""
    call = Call()
    timers, clock = running(call)
    timers.run(0.1)
    clock.stop()
    count = len(call.ticks)
    timers.run(5)
    assert len(call.ticks) == count
    clock.start()
    clock.start()
    timers.run(0.0999)
    assert (len(call.ticks) - count, call.skips) == (5, 0)


def test_a_loop_with_millisecond_timers_may_call_early() -> None:
    """uvloop rounds to milliseconds: half a millisecond early is on time, and is one tick, not two."""
    call = Call()
    timers, _ = running(call)
    for _ in range(400):
        timer = min((t for t in timers.timers if not t.cancelled()), key=lambda t: t.when())
        timers.timers.remove(timer)
        timers.now = max(timers.now, timer.when() - 0.0005)
        timer.run()
    assert len(call.ticks) == 100
    assert call.skips == 0


async def test_on_a_real_loop_every_call_ticks_until_it_is_removed() -> None:
    """Counts only: how late this machine is today decides nothing."""
    clock = Clock(asyncio.get_running_loop())
    done = asyncio.Event()

    class Ending(Call):
        def tick(self, now: float, skipped: int = 0) -> None:
            super().tick(now, skipped)
            if len(self.ticks) == 10:
                clock.remove(self)
                if not len(clock):
                    done.set()

    calls = [Ending() for _ in range(8)]
    for call in calls:
        clock.add(call)
    clock.start()
    await done.wait()
    clock.stop()
    assert [len(call.ticks) for call in calls] == [10] * 8
    assert all(
        later > sooner
        for call in calls
        for (sooner, _), (later, _) in zip(call.ticks, call.ticks[1:], strict=False)
    )
    assert clock.lateness().ticks == 80


async def test_on_a_real_loop_a_failure_reaches_the_reporter() -> None:
    """Through asyncio's own timer."""
    failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    clock = Clock(asyncio.get_running_loop(), lambda _, error: failed.set_result(error))
    clock.add(Call(fail_at=2))
    clock.start()
    assert isinstance(await failed, RuntimeError)
    assert len(clock) == 0
    clock.stop()
