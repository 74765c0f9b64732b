"""Many recordings: which are done already, who does the others, and what became of each.

A work item is one file with its options. It runs in this process, in several, or on a Ray cluster (cluster.py), with
the same result. A file that cannot be replayed costs itself only, even if it takes its process down. What was done with
the same inputs is not done again: `.replay/` beside the bundles says what was made of what. Not what a call comes to:
that is engine.py; nor what is thought of it: assessing.py."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import structlog

from offhook.errors import OffhookError
from offhook.replay.engine import replay
from offhook.replay.options import ReplayOptions
from offhook.replay.recording import read_all
from pipeline.errors import PipelineError
from telephony.errors import TelephonyError

log = structlog.get_logger()

LEDGER = ".replay"


@dataclass(frozen=True, slots=True)
class Item:
    """One file, or one call's folder, to be replayed."""

    path: Path
    options: ReplayOptions

    def inputs(self) -> str:
        """Changes whenever the file or anything that decides about its replay does."""
        known = [self.options.digest(), str(self.path)]
        files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        for file in files:
            if file.is_file():
                about = file.stat()
                known.append(f"{file.name} {about.st_size} {about.st_mtime_ns}")
        return hashlib.sha256("\n".join(known).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def note(self) -> Path:
        """Where it stands what was made of this file."""
        name = hashlib.sha256(str(self.path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return self.options.out / LEDGER / f"{name}.json"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an item. bundles: of its calls. error: why there is none, or not all. seconds: of calls
    as replayed. cpu_s: what they took. skipped: it had been done before."""

    path: Path
    bundles: tuple[Path, ...] = ()
    error: str = ""
    seconds: float = 0.0
    cpu_s: float = 0.0
    skipped: bool = False


def work(item: Item) -> Done:
    """Replay one file, in whatever process this is. Never raises: what is wrong stands in the answer."""
    options = item.options
    bundles: list[Path] = []
    seconds = cpu_s = 0.0
    error = ""
    inputs = ""
    try:
        inputs = item.inputs()
        options.out.mkdir(parents=True, exist_ok=True)
        for recording in read_all(item.path, options.reading):
            with tempfile.TemporaryDirectory(prefix=".part-", dir=options.out) as scratch:
                made = replay(recording, replace(options, out=Path(scratch)))
                speed = json.loads((made / "speed.json").read_bytes())
                bundles.append(_put(made, options.out / made.relative_to(scratch)))
            seconds += speed["call_s"]
            cpu_s += speed["cpu_s"]
    except (OffhookError, PipelineError, TelephonyError, OSError, MemoryError) as failure:
        error = str(failure) or type(failure).__name__
    except (
        Exception
    ) as failure:  # an agent's own code, or a file that nobody thought of: it costs this file only
        log.exception("replay_failed", path=str(item.path))
        error = f"{item.path}: {type(failure).__name__}: {failure}"
    done = Done(item.path, tuple(bundles), error, seconds, cpu_s)
    if not error:
        _note(item, inputs, done)
    return done


def before(item: Item) -> Done | None:
    """What became of it earlier, if nothing has changed since."""
    try:
        known = json.loads(item.note.read_bytes())
        if known["inputs"] != item.inputs():
            return None
    except (OSError, ValueError, KeyError):
        return None
    bundles = tuple(item.options.out / name for name in known["bundles"])
    if not bundles or not all((bundle / "call.json").is_file() for bundle in bundles):
        return None
    return Done(item.path, bundles, seconds=float(known["seconds"]), skipped=True)


def settle(item: Item, done: Done, files: Mapping[str, bytes]) -> Done:
    """Put what was made elsewhere in its place. done: with bundles relative to `out`. files: by path below it."""
    out = item.options.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=out) as scratch:
        for name, data in files.items():
            file = Path(scratch) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        bundles = tuple(_put(Path(scratch) / bundle, out / bundle) for bundle in done.bundles)
    settled = replace(done, bundles=bundles)
    if not done.error:
        _note(item, item.inputs(), settled)
    return settled


def known(items: Sequence[Item], left: list[Item], *, again: bool) -> Iterator[Done]:
    """What earlier runs have done; the others are put into `left`. again: all are to be done."""
    for item in items:
        done = None if again else before(item)
        if done is not None:
            yield done
        else:
            left.append(item)


def run(items: Sequence[Item], jobs: int = 1, *, again: bool = False) -> Iterator[Done]:
    """Do them all; answers come as they are ready, those of earlier runs first. jobs: processes, 1 for this one."""
    left: list[Item] = []
    yield from known(items, left, again=again)
    if jobs <= 1 or len(left) <= 1:
        yield from map(work, left)
    else:
        yield from _in_processes(left, jobs)


def _in_processes(items: Sequence[Item], jobs: int) -> Iterator[Done]:
    """A process that dies takes the pool with it: whoever was at work then is tried again, each alone."""
    waiting = list(reversed(items))
    while waiting:
        suspects: list[Item] = []
        with _pool(jobs) as pool:
            running: dict[Future[Done], Item] = {}
            while waiting or running:
                while waiting and len(running) < 2 * jobs and not suspects:
                    item = waiting.pop()
                    running[pool.submit(work, item)] = item
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    item = running.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        suspects.append(item)
        for item in suspects:
            yield _alone(item)


def _alone(item: Item) -> Done:
    with _pool(1) as pool:
        try:
            return pool.submit(work, item).result()
        except BrokenProcessPool:
            return Done(
                item.path, error=f"{item.path}: the process that replayed it died. Leave this file out."
            )


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def _put(made: Path, place: Path) -> Path:
    """Into its place in one step, over what was there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    os.replace(made, place)
    return place


def _note(item: Item, inputs: str, done: Done) -> None:
    names = [str(bundle.relative_to(item.options.out)) for bundle in done.bundles]
    item.note.parent.mkdir(exist_ok=True)
    text = json.dumps({"path": str(item.path), "inputs": inputs, "bundles": names, "seconds": done.seconds})
    draft = item.note.with_suffix(".part")
    draft.write_text(text + "\n", encoding="utf-8")
    os.replace(draft, item.note)
