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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.errors import PipelineError
from pipeline.options import TurnHandling
from tests.turns import figures, texts
from tests.turns.bench import GROUPS, Bench
from tests.turns.call import Ears
from tests.turns.figures import Figure
from tests.turns.sounds import HUMAN, SHIPPED, VOICES, readers, say
from tests.turns.texts import PARTS, Part, of_part

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


# ---------------------------------------------------------------- what is printed


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
        table.add_row(
            one.row,
            one.what,
            value,
            f"{low} to {high}",
            str(one.n),
            one.baseline,
            one.target,
            mark,
            style=style,
        )
    out.print(table)


def _rehearse(part: Part) -> None:
    """Have the synthetic voices say everything once, before the processes part: they then share it."""
    pools = (texts.SENTENCES, texts.WORDS, texts.YES_NO, texts.DATES, texts.INTERRUPTIONS, texts.BACKCHANNELS)
    said = [text for pool in pools for text in of_part(pool, part)]
    said += [text for pool in (texts.CLAUSES, texts.FILLERS) for pair in of_part(pool, part) for text in pair]
    voices = [reader for reader in readers() if reader in VOICES]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        list(threads.map(lambda pair: say(*pair), [(voice, text) for voice in voices for text in said]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.turns", description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, default="dev", help="tune on dev, report test, once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=400, help="scenes of a kind")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="some of the figures")
    parser.add_argument("--set", nargs="+", default=[], metavar="OPTION=VALUE", help="other turn_handling")
    parser.add_argument(
        "--by", choices=["kind", "reader", "line", "text", "echo_db"], default="", help="also apart, by this"
    )
    parser.add_argument("--lag-ms", type=float, default=250.0, help="of the recogniser, behind a word's end")
    parser.add_argument("--wer", type=float, default=0.05, help="share of words it gets wrong")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="the figures for machines")
    try:
        main(parser.parse_args())
    except (PipelineError, ValueError) as error:
        sys.exit(f"turns: {error}")
