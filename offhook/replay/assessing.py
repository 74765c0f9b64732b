"""From bundles to results: measured, checked against what is expected, compared with the baseline, reported.

Sequence only: measures, expectations, comparison and report are their own modules'. Driven by
offhook/commands/replay.py."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from offhook.bundle import Bundle
from offhook.errors import OffhookError
from offhook.replay.jobs import Done

CLEAN, REGRESSED, UNDECIDED = 0, 1, 2


def assess(done: Done, baseline: Path | None) -> list[Any]:
    """A result for each call of a file, or the one that says why there is none."""
    results = _module("results")
    found = [_assessed(bundle, done.path, baseline) for bundle in done.bundles]
    if done.error:
        found.append(results.Result(done.path.name, error=done.error))
    return found


def _assessed(bundle: Path, source: Path, baseline: Path | None) -> Any:
    results, record = _module("results"), Bundle.open(bundle)
    try:
        call = _module("measures").measure(record)
        expected = _module("expectations").find_expectations(source, record)
        verdicts = tuple(_module("checking").check(call, expected)) if expected is not None else ()
        before = None if baseline is None else find_baseline(baseline, bundle.name)
        difference = None if before is None else _module("compare").compare(call, before)
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
    results: Sequence[Any], *, html: Path | None, junit: Path | None, json: Path | None, title: str
) -> None:
    """Write what was asked for."""
    if html is not None:
        _module("report.page").write_report(results, html, title=title)
    if junit is not None:
        _module("results").write_junit(results, junit)
    if json is not None:
        _module("results").write_json(results, json)


def as_json(results: Sequence[Any]) -> dict[str, Any]:
    """The whole run as plain values."""
    plain: dict[str, Any] = _module("results").as_json(results)
    return plain


def exit_code(results: Sequence[Any]) -> int:
    """0: as it should be; 1: regressed or failed; 2: not everything could be judged."""
    return int(_module("results").exit_code(results))


def available() -> bool:
    """Is there anything here that judges?"""
    try:
        _module("results")
    except OffhookError:
        return False
    return True


def _module(name: str) -> Any:
    try:
        return import_module(f"offhook.replay.{name}")
    except ModuleNotFoundError as error:
        raise OffhookError(f"this Offhook cannot judge replays: {error}. Install all of it.") from error
