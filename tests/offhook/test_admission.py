"""Who is let in when the machine has enough to do: caps first, then CPU, then lateness and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.switch.admission import COUNTS_FROM, ENOUGH, LOWER_EDGE, TOO_MUCH, Admission, Limits
from offhook.switch.server import FAREWELL_S
from offhook.switch.upgrade import PATIENCE_S
from offhook.worker.watchdog import BLOCKED_S


def measure(
    admission: Admission, times: int, cpu: float = 0.1, late_ms: float = 1.0, worker: int = 0
) -> None:
    for _ in range(times):
        admission.measured(worker, cpu, late_ms, calls=10)


def test_a_cap_is_a_cap_however_idle_the_machine_is() -> None:
    admission = Admission(Limits(max_calls=3, per_trunk={"carrier": 2}))
    assert not admission.capped(2, "", 0)
    assert admission.capped(3, "", 0)
    assert admission.capped(2, "carrier", 2)
    assert not admission.capped(2, "other", 2)
    assert not Admission(Limits()).capped(10_000, "carrier", 10_000)


@pytest.mark.parametrize(("cpu", "late_ms", "why"), [(0.95, 1.0, "cpu"), (0.1, 60.0, "lateness")])
def test_one_bad_second_is_no_overload_but_three_in_a_row_are(cpu: float, late_ms: float, why: str) -> None:
    admission = Admission()
    measure(admission, TOO_MUCH - 1, cpu, late_ms)
    assert admission.may_take(0)
    measure(admission, 1, cpu, late_ms)
    assert not admission.may_take(0) and admission.why == why


def test_room_comes_back_when_the_load_has_really_gone_down() -> None:
    """A worker that is just below its limit would be above it with the next call: callers would come in bursts."""
    admission = Admission()
    measure(admission, TOO_MUCH, cpu=0.95)
    measure(admission, 10, cpu=0.88)
    assert not admission.may_take(0)
    measure(admission, ENOUGH, cpu=0.7)
    assert admission.may_take(0) and admission.why == ""


def test_a_full_worker_does_not_close_the_others() -> None:
    admission = Admission()
    measure(admission, TOO_MUCH, cpu=0.95, worker=0)
    measure(admission, TOO_MUCH, cpu=0.5, worker=1)
    assert (admission.may_take(0), admission.may_take(1), admission.why) == (False, True, "")
    admission.forget(0)
    assert admission.may_take(0)


def test_the_machine_s_memory_closes_all_of_them() -> None:
    admission = Admission(Limits(free_memory_mb=100))
    measure(admission, 1)
    for _ in range(TOO_MUCH):
        admission.memory_left(50)
    assert not admission.may_take(0) and not admission.may_take(7) and admission.why == "memory"
    for _ in range(ENOUGH):
        admission.memory_left(500)
    assert admission.may_take(0)


def test_limits_of_zero_are_none() -> None:
    admission = Admission(Limits(cpu=0.0, late_ms=0.0, free_memory_mb=0))
    measure(admission, 10, cpu=4.0, late_ms=500.0)
    for _ in range(10):
        admission.memory_left(0.0)
    assert admission.may_take(0)


def test_a_worker_with_few_heavy_calls_is_fuller_than_one_with_many_light_ones() -> None:
    admission = Admission()
    admission.measured(0, 0.8, 1.0, calls=4)
    admission.measured(1, 0.5, 1.0, calls=20)
    assert admission.burden(0, 4) > admission.burden(1, 20)
    assert admission.burden(1, 40) > admission.burden(0, 4)  # twenty came since it was measured


def test_what_idle_workers_measure_does_not_decide_between_them() -> None:
    """Start-up and clearing up cost a worker without calls a good part of a core for a second."""
    admission = Admission()
    admission.measured(0, 0.9, 80.0, calls=0)
    admission.measured(1, 0.02, 1.0, calls=1)
    assert admission.burden(0, 0) == admission.burden(1, 1) == 0.0
    measure(admission, 2)
    assert admission.may_take(0)


def test_the_operators_page_has_the_numbers_that_the_code_has() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    text = " ".join(page.split())
    for words in (
        f"after {FAREWELL_S:.0f} s is hung up on",
        f"no tool runs, within {PATIENCE_S:.0f} s",
        f"after {BLOCKED_S * 1000:.0f} ms the log has `loop_blocked`",
        f"below {LOWER_EDGE:.0%} of it".replace("%", " %"),
        f"from {COUNTS_FROM} of a core on",
    ):
        assert words in text, words
    assert TOO_MUCH == ENOUGH == 3 and "after three seconds beyond it" in text
