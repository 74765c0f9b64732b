"""Results of many scenes, added up: shares, medians and rates, each with its 95 % interval, beside their targets.

Shares: Wilson's interval. Rates of rare events: the exact Poisson one. Medians and what is read off a sweep: a seeded
bootstrap over scenes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, inf, isfinite, sqrt
from typing import Any

import numpy as np

from tests.turns.measures import SILENCES_MS, Alone, Overlap, TurnEnd

Z = 1.96
RESAMPLES = 400
BASELINES_MS = (500, 1000)
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. baseline: what silence alone does. met: None where there is no target. n: scenes."""

    row: str
    what: str
    value: float
    unit: str
    interval: Interval
    n: int
    baseline: str = ""
    target: str = ""
    met: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def share(hits: int, n: int) -> Interval:
    """Wilson's 95 % interval of a share, in per cent."""
    if not n:
        return (0.0, 100.0)
    p, z2 = hits / n, Z * Z
    middle, half = p + z2 / (2 * n), Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return tuple(100 * max(0.0, min(1.0, (middle + sign * half) / (1 + z2 / n))) for sign in (-1, 1))  # type: ignore[return-value]


def rate(events: int, hours: float) -> Interval:
    """The exact 95 % interval of a rate, an hour."""

    def below(mean: float, count: int) -> float:
        term = total = exp(-mean)
        for k in range(1, count + 1):
            term *= mean / k
            total += term
        return total

    def solve(test: Callable[[float], bool]) -> float:
        low, high = 0.0, 10.0 + 3 * events
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if test(middle) else (low, middle)
        return low

    if events > 300:
        return ((events - Z * sqrt(events)) / hours, (events + Z * sqrt(events)) / hours)
    least = solve(lambda mean: 1 - below(mean, events - 1) < 0.025) if events else 0.0
    return (least / hours, solve(lambda mean: below(mean, events) > 0.025) / hours)


def quantile(values: Sequence[float], at: float, seed: int = 0) -> tuple[float, Interval]:
    """A quantile and its bootstrap interval; not a number where there are no values."""
    if not values:
        return float("nan"), (float("nan"), float("nan"))
    data, dice = np.array(values), np.random.default_rng(seed)
    again = np.quantile(dice.choice(data, (RESAMPLES, len(data))), at, axis=1)
    low, high = np.quantile(again, (0.025, 0.975))
    return float(np.quantile(data, at)), (float(low), float(high))


# ---------------------------------------------------------------- turn ends


Outcome = tuple[bool, float | None]  # cut, ms late


def at_cut_offs(
    sweep: Mapping[int, Sequence[Outcome]], limit: float, seed: int = 0
) -> tuple[float, Interval]:
    """The lowest median delay with a share of cut-offs no higher than `limit`, between the points of a sweep.

    sweep: setting → outcome of each turn, the same turns for each. Infinite where no setting is so polite."""
    settings = sorted(sweep)
    cut = np.array([[outcome[0] for outcome in sweep[s]] for s in settings])
    late = np.array([[np.nan if o[1] is None else o[1] for o in sweep[s]] for s in settings], float)

    def read(chosen: Any) -> float:
        shares = cut[:, chosen].mean(axis=1)
        with np.errstate(all="ignore"):
            medians = np.nanmedian(np.where(cut[:, chosen], np.nan, late[:, chosen]), axis=1)
        best, before = inf, None
        for one, ms in zip(shares, medians, strict=True):
            if one <= limit:
                if before is None or before[0] == one:
                    best = min(best, float(ms))
                else:
                    part = (before[0] - limit) / (before[0] - one)
                    best = min(best, float(before[1] + max(0.0, min(1.0, part)) * (ms - before[1])))
                break
            before = (one, ms)
        return best

    n, dice = cut.shape[1], np.random.default_rng(seed)
    again = [read(dice.integers(0, n, n)) for _ in range(RESAMPLES // 2)]
    ordered = sorted(again)
    return read(np.arange(n)), (ordered[int(0.025 * len(ordered))], ordered[int(0.975 * len(ordered))])


def baseline(turns: Sequence[TurnEnd], ms: int) -> str:
    """What so much silence alone does to the same turns."""
    outcomes = [turn.silence[ms] for turn in turns]
    late = [outcome[1] for outcome in outcomes if outcome[1] is not None]
    cut = 100 * sum(outcome[0] for outcome in outcomes) / max(1, len(outcomes))
    return f"{ms} ms: {cut:.1f} % cut, {np.median(late) if late else float('nan'):.0f} ms"


def open_speech(turns: Sequence[TurnEnd], sweep: Mapping[int, Sequence[TurnEnd]]) -> list[Figure]:
    """Nothing was asked for. turns: with the options as they come; sweep: with other settings."""
    said = "; ".join(baseline(turns, ms) for ms in BASELINES_MS)
    found = _ends("1", "open speech, as it comes", turns, said, "", "")
    silent = {ms: [turn.silence[ms] for turn in turns] for ms in SILENCES_MS}
    ours = {setting: [(turn.cut, turn.late_ms) for turn in results] for setting, results in sweep.items()}
    for limit, most in ((0.05, 900), (0.10, 650)):
        if not sweep:
            break
        value, interval = at_cut_offs(ours, limit)
        alone = at_cut_offs(silent, limit)[0]
        found.append(
            Figure(
                "1", f"open speech, p50 at {limit:.0%} cut-offs", value, "ms", interval, len(turns),
                f"{alone:.0f} ms", f"≤ {most} ms", value <= most,
            )
        )  # fmt: skip
    return found


def expected(turns: Sequence[TurnEnd]) -> list[Figure]:
    """Digits, yes or no, a date were asked for."""
    said = "; ".join(baseline(turns, ms) for ms in BASELINES_MS)
    return _ends("2", "expected answers", turns, said, "≤ 3 %", "≤ 350 ms")


def by_kind(turns: Sequence[TurnEnd], key: Callable[[TurnEnd], str]) -> list[Figure]:
    """The same, for each kind of turn, line or reader: no targets."""
    found = []
    for name in sorted({key(turn) for turn in turns}):
        some = [turn for turn in turns if key(turn) == name]
        said = "; ".join(baseline(some, ms) for ms in BASELINES_MS)
        found += _ends("", name, some, said, "", "")
    return found


def _ends(row: str, what: str, turns: Sequence[TurnEnd], said: str, most: str, latest: str) -> list[Figure]:
    n, cut = len(turns), sum(turn.cut for turn in turns)
    late = [turn.late_ms for turn in turns if turn.late_ms is not None]
    p50, interval = quantile(late, 0.5)
    p95, interval95 = quantile(late, 0.95)
    never = sum(not turn.cut and turn.late_ms is None for turn in turns)
    cut_share, limit = 100 * cut / max(1, n), _number(most)
    met = None if limit is None else cut_share <= limit
    slowest = _number(latest)
    return [
        Figure(row, f"{what}: cut off", cut_share, "%", share(cut, n), n, said, most, met),
        Figure(
            row,
            f"{what}: p50",
            p50,
            "ms",
            interval,
            n,
            "",
            latest,
            None if slowest is None else p50 <= slowest,
        ),
        Figure(row, f"{what}: p95", p95, "ms", interval95, n),
        Figure(row, f"{what}: never ended", 100 * never / max(1, n), "%", share(never, n), n),
    ]


# ---------------------------------------------------------------- speech over the agent


def barge_in(scenes: Sequence[Overlap]) -> list[Figure]:
    """Interruptions."""
    n = len(scenes)
    hits = sum(scene.found_ms is not None for scene in scenes)
    found = [_share("7", "interruption found", hits, n, "≥ 95 %")]
    for what, values, at, most in (
        ("onset → ducked, p95", [s.ducked_ms for s in scenes], 0.95, 200),
        ("onset → last audible packet, p50", [s.stopped_ms for s in scenes], 0.5, 450),
        ("onset → last audible packet, p95", [s.stopped_ms for s in scenes], 0.95, 700),
    ):
        value, interval = quantile([value for value in values if value is not None], at)
        found.append(Figure("7", what, value, "ms", interval, n, "", f"≤ {most} ms", value <= most))
    return found


def not_meant(scenes: Sequence[Overlap], what: str, target: str = "") -> list[Figure]:
    """Backchannels, coughs, clicks: the agent should go on."""
    through = sum(scene.talked_through for scene in scenes)
    lost = sum(scene.found_ms is not None for scene in scenes)
    found = [
        _share("8", f"talks on through {what}", through, len(scenes), target),
        _share("8", f"loses the floor to {what}", lost, len(scenes)),
    ]
    back = [scene.back_ms for scene in scenes if scene.back_ms is not None and scene.found_ms is None]
    if back:
        value, interval = quantile(back, 0.5)
        aim = "≤ 500 ms" if target else ""
        met = value <= 500 if target else None
        found.append(
            Figure("8", f"{what} over → goes on, p50", value, "ms", interval, len(back), "", aim, met)
        )
    return found


def echo(calls: Sequence[Alone], level_db: float, most: float | None) -> list[Figure]:
    """Stops for nothing, an hour of agent speech."""
    hours = sum(call.spoke_s for call in calls) / 3600
    stops, ducks = sum(call.stops for call in calls), sum(call.ducks for call in calls)
    target = "" if most is None else f"≤ {most:g} /h"
    met = None if most is None else stops / hours <= most
    name = f"echo at {level_db:g} dB"
    return [
        Figure(
            "6", f"{name}: false stops", stops / hours, "/h", rate(stops, hours), len(calls), "", target, met
        ),
        Figure("6", f"{name}: ducks", ducks / hours, "/h", rate(ducks, hours), len(calls)),
    ]


def signals(calls: Sequence[Alone]) -> list[Figure]:
    """Tones taken for speech."""
    found = []
    for name in sorted({call.kind for call in calls}):
        some = [call for call in calls if call.kind == name]
        voices, hours = sum(call.voices for call in some), sum(call.seconds for call in some) / 3600
        found.append(
            Figure("5", f"{name} taken for speech", voices, "times", rate(voices, hours), len(some), "",
                   f"0 in {hours * 60:.0f} min", voices == 0)
        )  # fmt: skip
    return found


def _share(row: str, what: str, hits: int, n: int, target: str = "") -> Figure:
    value, least = 100 * hits / max(1, n), _number(target)
    return Figure(
        row, what, value, "%", share(hits, n), n, "", target, None if least is None else value >= least
    )


def _number(target: str) -> float | None:
    return float(target.split()[1]) if target else None


def replaced(figure: Figure, name: str) -> Figure:
    """The same figure of some of the scenes: no target."""
    return replace(figure, row="", what=f"{name}: {figure.what}", target="", met=None)


def text(value: float, unit: str) -> str:
    """A figure as the table shows it."""
    if not isfinite(value):
        return "not reached" if value == inf else "-"
    return (
        f"{value:.1f}" if unit in ("%", "/h", "ms/s") else f"{value:.3f}" if unit == "F1" else f"{value:.0f}"
    )
