"""From bundles to results: measured, checked against what is expected, compared with the baseline, reported.

Sequence only: measures, expectations, comparison and report are their own modules'. Driven by
offhook/commands/replay.py."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from offhook.bundle import Bundle
from offhook.errors import OffhookError
from offhook.replay import checking, compare, expectations, measures, results
from offhook.replay.jobs import Done
from offhook.replay.report.page import write_report
from pipeline.providers import registry

CLEAN, REGRESSED, UNDECIDED = 0, 1, 2

Ask: TypeAlias = Callable[[measures.CallMeasures, expectations.Expectations], list[checking.Verdict]]


@contextmanager
def judge(name: str, options: Mapping[str, Any], cache: Path) -> Iterator[Ask]:
    """Somebody who answers the judge's questions: a model by its provider's name, "" for nobody, who is unsure.

    cache: a folder; what was asked of the same model about the same call is not asked again. Raises ConfigError."""
    llm = registry.create_llm(name, options) if name else None
    model = sha256(repr((name, sorted(options.items()))).encode()).hexdigest()[:12]
    with asyncio.Runner() as runner:
        yield lambda call, expected: runner.run(
            checking.ask_judge(call, expected, llm, cache=cache / f"{name}-{model}" if name else None)
        )
        if (closes := getattr(llm, "aclose", None)) is not None:
            runner.run(closes())


def nobody(call: measures.CallMeasures, expected: expectations.Expectations) -> list[checking.Verdict]:
    """Without a judge nothing that needs one can pass."""
    with judge("", {}, Path()) as ask:
        return ask(call, expected)


def assess(done: Done, baseline: Path | None, ask: Ask = nobody) -> list[results.Result]:
    """A result for each call of a file, or the one that says why there is none. ask: the judge."""
    found = [_assessed(bundle, done.path, baseline, ask) for bundle in done.bundles]
    if done.error:
        found.append(results.Result(done.path.name, error=done.error))
    return found


def _assessed(bundle: Path, source: Path, baseline: Path | None, ask: Ask) -> results.Result:
    record = Bundle.open(bundle)
    try:
        call = measures.measure(record)
        expected = expectations.find_expectations(source, record)
        verdicts: tuple[checking.Verdict, ...] = ()
        if expected is not None:
            verdicts = (*checking.check(call, expected), *(ask(call, expected) if expected.judge else ()))
        before = None if baseline is None else find_baseline(baseline, bundle.name)
        difference = None if before is None else compare.compare(call, before)
    except OffhookError as error:
        return results.Result(bundle.name, error=str(error))
    return results.Result(bundle.name, call, verdicts, difference)


def find_baseline(folder: Path, name: str) -> Path | None:
    """The bundle of the same recording among the baseline's."""
    return next((path for path in sorted(folder.glob(f"*/{name}")) if path.is_dir()), None)


def update_baseline(bundles: Iterable[Path], folder: Path) -> int:
    """Make these bundles the baseline from now on. Returns how many."""
    count = 0
    for bundle in bundles:
        place = folder / bundle.parent.name / bundle.name
        if place.resolve() == bundle.resolve():
            continue
        if place.exists():
            shutil.rmtree(place)
        shutil.copytree(bundle, place)
        count += 1
    return count


def report(
    found: Sequence[results.Result], *, html: Path | None, junit: Path | None, json: Path | None, title: str
) -> None:
    """Write what was asked for."""
    if html is not None:
        write_report(found, html, title=title)
    if junit is not None:
        results.write_junit(found, junit)
    if json is not None:
        results.write_json(found, json)


def as_json(found: Sequence[results.Result]) -> dict[str, Any]:
    """The whole run as plain values."""
    return results.as_json(found)


def exit_code(found: Sequence[results.Result]) -> int:
    """0: as it should be; 1: regressed or failed; 2: not everything could be judged."""
    return results.exit_code(found)
