"""One run over one part of the set: scenes made, played on all cores, and added up to the figures of each row.

Driven by __main__.py. What a figure is, figures.py knows; what a scene is, scenes.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, TypeVar

from pipeline.options import TurnHandling
from tests.turns import figures, hearing, scenes
from tests.turns.call import Ears, play
from tests.turns.figures import Figure
from tests.turns.measures import Alone, Overlap, TurnEnd, alone, overlap, turn_end
from tests.turns.scenes import EXPECTED, OPEN, Spec, build
from tests.turns.sounds import HUMAN, SHIPPED, readers
from tests.turns.texts import Part

SWEEP_MS = (200, 400, 600, 700, 800, 1000, 1300)
GROUPS = ("open", "expected", "rates", "ears", "tones", "echo", "overlap")
CHUNK = 8
T = TypeVar("T")
Chosen = dict[str, Any]


class Bench:
    """One run over one part of the set."""

    def __init__(
        self,
        pool: ProcessPoolExecutor,
        part: Part,
        seed: int,
        chosen: Chosen,
        ears: Ears,
        count: int,
        by: str,
    ) -> None:
        self._pool, self._part, self._seed, self._count, self._by = pool, part, seed, count, by
        self._chosen, self._ears = chosen, ears

    def measure(self, name: str) -> list[Figure]:
        """One group of figures, by its name on the command line."""
        measures: dict[str, Callable[[], list[Figure]]] = {
            "open": self._open,
            "expected": self._expected,
            "rates": self._rates,
            "ears": self._hear,
            "tones": self._tones,
            "echo": self._echo,
            "overlap": self._overlap,
        }
        return measures[name]()

    def _open(self) -> list[Figure]:
        specs = scenes.turns(self._part, self._seed, self._count, OPEN)
        results = self._turns(specs, self._chosen)
        sweep = {
            ms: self._turns(specs, {**self._chosen, "min_delay_ms": ms, "max_delay_ms": max(1500, ms)})
            for ms in SWEEP_MS
        }
        return figures.open_speech(results, sweep) + self._more(results)

    def _expected(self) -> list[Figure]:
        results = self._turns(scenes.turns(self._part, self._seed, self._count, EXPECTED), self._chosen)
        return figures.expected(results) + self._more(results)

    def _more(self, results: Sequence[TurnEnd]) -> list[Figure]:
        return figures.by_kind(results, lambda turn: str(getattr(turn, self._by))) if self._by else []

    def _rates(self) -> list[Figure]:
        """One line at two rates: the same decisions?"""
        specs = scenes.turns(self._part, self._seed, max(20, self._count // 4), OPEN + EXPECTED)
        low = self._turns(specs, self._chosen)
        high = self._turns(specs, self._chosen, 16_000)
        same = sum(alike(one, other) for one, other in zip(low, high, strict=True))
        interval = figures.share(same, len(specs))
        value = 100 * same / len(specs)
        return [
            Figure(
                "3",
                "same turn ends at 8 and 16 kHz",
                value,
                "%",
                interval,
                len(specs),
                "",
                "≥ 95 %",
                value >= 95,
            )
        ]

    def _hear(self) -> list[Figure]:
        reader = HUMAN if HUMAN in readers() else (*readers(), SHIPPED)[0]
        return hearing.frames(self._part, self._seed, max(10, self._count // 8), reader)

    def _tones(self) -> list[Figure]:
        return figures.signals(
            self._map(run_alone, scenes.tones(self._part, self._seed, 300.0), self._chosen)
        )

    def _echo(self) -> list[Figure]:
        found = []
        for level_db, most in ((-12.0, 5.0), (-18.0, 1.0), (-26.0, None)):
            calls = max(6, self._count // 5)
            specs = scenes.echoes(self._part, self._seed, level_db, calls, 60.0)
            found += figures.echo(self._map(run_alone, specs, self._chosen), level_db, most)
        return found

    def _overlap(self) -> list[Figure]:
        found: list[Figure] = []
        for kind, what, target in (
            ("interruption", "", ""),
            ("backchannel", "backchannels", "≥ 85 %"),
            ("cough", "coughs", ""),
            ("click", "clicks", ""),
        ):
            specs = scenes.overlaps(self._part, self._seed, self._count, (kind,))
            results = self._map(run_overlap, specs, self._chosen)
            found += figures.not_meant(results, what, target) if what else figures.barge_in(results)
            if self._by:
                found += _overlaps_by(results, kind, self._by)
        return found

    def _turns(self, specs: Sequence[Spec], chosen: Chosen, rate_hz: int = 8000) -> list[TurnEnd]:
        return self._map(partial(run_turn, rate_hz=rate_hz), specs, chosen)

    def _map(self, run: Callable[..., T], specs: Iterable[Spec], chosen: Chosen) -> list[T]:
        return list(self._pool.map(partial(run, chosen=chosen, ears=self._ears), specs, chunksize=CHUNK))


# ---------------------------------------------------------------- in the other processes


def run_turn(spec: Spec, chosen: Chosen, ears: Ears, rate_hz: int = 8000) -> TurnEnd:
    """One turn of the caller."""
    scene = build(spec)
    return turn_end(scene, play(scene, TurnHandling.model_validate(chosen), ears, rate_hz), ears)


def run_overlap(spec: Spec, chosen: Chosen, ears: Ears) -> Overlap:
    """One sound over the agent."""
    scene = build(spec)
    return overlap(scene, play(scene, TurnHandling.model_validate(chosen), ears))


def run_alone(spec: Spec, chosen: Chosen, ears: Ears) -> Alone:
    """The agent and nobody else."""
    scene = build(spec)
    return alone(scene, play(scene, TurnHandling.model_validate(chosen), ears))


def alike(one: TurnEnd, other: TurnEnd) -> bool:
    """The same decision, within 100 ms?"""
    if one.cut != other.cut or (one.late_ms is None) != (other.late_ms is None):
        return False
    return one.late_ms is None or other.late_ms is None or abs(one.late_ms - other.late_ms) <= 100


def _overlaps_by(results: Sequence[Overlap], kind: str, by: str) -> list[Figure]:
    found = []
    for name in sorted({str(getattr(result, by)) for result in results}):
        some = [result for result in results if str(getattr(result, by)) == name]
        if kind == "interruption":
            found += [figures.replaced(figure, name) for figure in figures.barge_in(some)]
        else:
            found += [figures.replaced(figure, name) for figure in figures.not_meant(some, kind)]
    return found
