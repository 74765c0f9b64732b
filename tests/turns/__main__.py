"""`make turns`: how well turns are taken on telephone sound, in one table beside targets and beside silence alone.

    python -m tests.turns [--part dev] [--json FILE] [--set min_delay_ms=500] [--by kind]

Faster than real time: calls run on the virtual clock, on all cores. Needs the distribution's flite;
asterisk-core-sounds-en-wav adds a human reader; with neither, the shipped clips are all there is. Exits with 0 whatever
the figures are: it measures, `make test` judges."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from pipeline.errors import PipelineError
from pipeline.options import TurnHandling
from tests.turns import figures, hearing, scenes, texts
from tests.turns.call import Ears, play
from tests.turns.figures import Figure
from tests.turns.measures import Alone, Overlap, TurnEnd, alone, overlap, turn_end
from tests.turns.scenes import EXPECTED, OPEN, Spec, build
from tests.turns.sounds import HUMAN, SHIPPED, VOICES, readers, say
from tests.turns.texts import PARTS, Part, of_part

SWEEP_MS = (100, 200, 300, 400, 500, 600, 700, 800, 1000, 1200, 1500)
CHUNK = 8
T = TypeVar("T")
Chosen = dict[str, Any]
out = Console(highlight=False, width=max(150, Console().width))


def main(arguments: argparse.Namespace) -> None:
    """Measure what is asked for, and print it."""
    part: Part = arguments.part
    chosen = dict(setting.split("=", 1) for setting in arguments.set)
    ears = Ears(arguments.lag_ms / 1000, arguments.wer)
    TurnHandling.model_validate(chosen)
    began = time.perf_counter()
    _rehearse(part)
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("fork")) as pool:
        bench = Bench(pool, part, arguments.seed, chosen, ears, arguments.count, arguments.by)
        found = [figure for name in arguments.only for figure in bench.measure(name)]
    _show(found, arguments, time.perf_counter() - began)
    if arguments.json:
        report = {
            "set": "phone-turns", "part": part, "seed": arguments.seed, "readers": _who(), "options": chosen,
            "stt": {"lag_ms": arguments.lag_ms, "wer": arguments.wer}, "figures": [f.as_dict() for f in found],
        }  # fmt: skip
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


class Bench:
    """One run over one part of the set."""

    def __init__(
        self, pool: ProcessPoolExecutor, part: Part, seed: int, chosen: Chosen, ears: Ears, count: int, by: str
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
        same = sum(_alike(one, other) for one, other in zip(low, high, strict=True))
        interval = figures.share(same, len(specs))
        value = 100 * same / len(specs)
        return [
            Figure("3", "same turn ends at 8 and 16 kHz", value, "%", interval, len(specs), "", "≥ 95 %", value >= 95)
        ]

    def _hear(self) -> list[Figure]:
        reader = HUMAN if HUMAN in readers() else (*readers(), SHIPPED)[0]
        return hearing.frames(self._part, self._seed, max(10, self._count // 8), reader)

    def _tones(self) -> list[Figure]:
        return figures.signals(self._map(run_alone, scenes.tones(self._part, self._seed, 300.0), self._chosen))

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

    def _map(self, run: Callable[[Spec, Chosen, Ears], T], specs: Iterable[Spec], chosen: Chosen) -> list[T]:
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


# ---------------------------------------------------------------- what is printed


def _overlaps_by(results: Sequence[Overlap], kind: str, by: str) -> list[Figure]:
    found = []
    for name in sorted({str(getattr(result, by)) for result in results}):
        some = [result for result in results if str(getattr(result, by)) == name]
        if kind == "interruption":
            found += [figures.replaced(figure, name) for figure in figures.barge_in(some)]
        else:
            found += [figures.replaced(figure, name) for figure in figures.not_meant(some, kind)]
    return found


def _alike(one: TurnEnd, other: TurnEnd) -> bool:
    if one.cut != other.cut or (one.late_ms is None) != (other.late_ms is None):
        return False
    return one.late_ms is None or other.late_ms is None or abs(one.late_ms - other.late_ms) <= 100


def _who() -> list[str]:
    return list(readers()) or [SHIPPED]


def _origin() -> str:
    who = _who()
    synthetic = [reader for reader in who if reader not in (HUMAN, SHIPPED)]
    parts = [f"{len(synthetic)} synthetic voices (flite)"] if synthetic else []
    parts += ["one human reader of prompts"] if HUMAN in who else []
    return " and ".join(parts) or "one synthetic voice (the shipped clips)"


def _show(found: Sequence[Figure], arguments: argparse.Namespace, took_s: float) -> None:
    table = Table(
        title=f"phone-turns, part {arguments.part}, seed {arguments.seed}: {_origin()}. No real callers.",
        caption=f"recogniser: words {arguments.lag_ms:.0f} ms after their end, {arguments.wer:.0%} wrong; "
        f"{took_s:.0f} s on {arguments.jobs} processes; intervals: 95 %",
    )
    for title in ("", "what", "ours", "95 %", "n", "silence alone", "target", ""):
        table.add_column(title)
    for one in found:
        mark = "" if one.met is None else "met" if one.met else "missed"
        low, high = (figures.text(bound, one.unit) for bound in one.interval)
        value = f"{figures.text(one.value, one.unit)} {one.unit}"
        style = "red" if one.met is False else ""
        table.add_row(one.row, one.what, value, f"{low} to {high}", str(one.n), one.baseline, one.target, mark, style=style)
    out.print(table)


def _rehearse(part: Part) -> None:
    """Have the synthetic voices say everything once, before the processes part: they then share it."""
    said = [text for pool in (texts.SENTENCES, texts.WORDS, texts.YES_NO, texts.DATES, texts.INTERRUPTIONS, texts.BACKCHANNELS)
            for text in of_part(pool, part)]  # fmt: skip
    said += [text for pool in (texts.CLAUSES, texts.FILLERS) for pair in of_part(pool, part) for text in pair]
    voices = [reader for reader in readers() if reader in VOICES]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        list(threads.map(lambda pair: say(*pair), [(voice, text) for voice in voices for text in said]))


GROUPS = ("open", "expected", "rates", "ears", "tones", "echo", "overlap")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.turns", description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, default="dev", help="tune on dev, report test, once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=400, help="scenes of a kind")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="some of the figures")
    parser.add_argument("--set", nargs="+", default=[], metavar="OPTION=VALUE", help="other turn_handling")
    parser.add_argument("--by", choices=["kind", "reader", "line", "text", "echo_db"], default="", help="also apart, by this")
    parser.add_argument("--lag-ms", type=float, default=250.0, help="of the recogniser, behind a word's end")
    parser.add_argument("--wer", type=float, default=0.05, help="share of words it gets wrong")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="the figures for machines")
    try:
        main(parser.parse_args())
    except (PipelineError, ValueError) as error:
        sys.exit(f"turns: {error}")
