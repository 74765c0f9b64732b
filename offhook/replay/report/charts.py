"""How values lie over all calls, as bars that a template can draw; each bar knows the calls behind it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from offhook.replay.measures import CallMeasures, Spread

BARS = 24
WIDTH, TOP, BASE = 360.0, 24.0, 100.0  # of the drawing; above stand the names of the marks, below the numbers


@dataclass(frozen=True, slots=True)
class Bar:
    """x, y, width, height: in the drawing. calls: places in the list of those that are in it."""

    x: float
    y: float
    width: float
    height: float
    label: str
    calls: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One distribution. marks: name and x of p50 and p95. ends: the numbers below the first and last bar."""

    name: str
    title: str
    summary: str
    bars: tuple[Bar, ...]
    marks: tuple[tuple[str, float], ...]
    ends: tuple[str, str]


def charts(calls: Sequence[CallMeasures | None]) -> list[Chart]:
    """The four distributions of a run; one of which nothing is known is left out."""
    drawn = [
        _chart("delay", "Response delay", calls, lambda call: (d.total_ms for d in call.delays), "ms", 100),
        _chart(
            "cut-ins", "Interruptions of the caller", calls, lambda call: [len(call.cut_ins)], "a call", 1
        ),
        _chart("silence", "Longest silence", calls, lambda call: [call.longest_silence_s], "s", 0.5),
        _chart(
            "talk",
            "Talk ratio of the agent",
            calls,
            lambda call: [] if call.talk_ratio is None else [100 * call.talk_ratio],
            "%",
            5,
        ),
    ]
    return [chart for chart in drawn if chart is not None]


def _chart(
    name: str,
    title: str,
    calls: Sequence[CallMeasures | None],
    values: Callable[[CallMeasures], Iterable[float]],
    unit: str,
    step: float,
) -> Chart | None:
    """step: what a bar covers, or a multiple of it if there would be too many."""
    found = [(value, place) for place, call in enumerate(calls) if call for value in values(call)]
    spread = Spread.of(value for value, _ in found)
    if spread is None:
        return None
    top = 99.9 if unit == "%" else spread.max  # 100 % is in the last bar of all, not behind it
    lowest = min(min(value for value, _ in found), top) // step
    while spread.max / step - lowest >= BARS:
        step, lowest = step * 2, lowest // 2

    def bin_of(value: float) -> int:
        return int(min(value, top) // step - lowest)

    bins: dict[int, list[int]] = {}
    for value, place in found:
        bins.setdefault(bin_of(value), []).append(place)
    count = bin_of(spread.max) + 1
    width, most = WIDTH / count, max(map(len, bins.values()))
    bars = tuple(
        _bar(at, places, width, most, _range((lowest + at) * step, step, unit))
        for at, places in sorted(bins.items())
    )

    counted = step == 1 and unit == "a call"  # they stand in the middle of their bar

    def x(value: float) -> float:
        middle = 0.5 if counted else 0.0
        return round(min((value / step - lowest + middle) * width, WIDTH), 1)

    summary = f"p50 {spread.p50:.4g} {unit} · p95 {spread.p95:.4g} {unit} · max {spread.max:.4g} {unit}"
    ends = (f"{lowest * step:g}", f"{(lowest + count - counted) * step:g} {unit}")
    marks = (("p50", x(spread.p50)), ("p95", x(spread.p95)))
    return Chart(name, title, summary, bars, marks, ends)


def _bar(at: int, places: list[int], width: float, most: int, label: str) -> Bar:
    height = max(2.0, (BASE - TOP) * len(places) / most)
    calls = tuple(sorted(set(places)))
    label = f"{label}: {len(places)}"
    return Bar(
        round(at * width + 1, 1), round(BASE - height, 1), round(width - 2, 1), round(height, 1), label, calls
    )


def _range(low: float, step: float, unit: str) -> str:
    return f"{low:g} {unit}" if step == 1 and unit == "a call" else f"{low:g} to {low + step:g} {unit}"
