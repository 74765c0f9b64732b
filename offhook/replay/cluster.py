"""The same work items on a Ray cluster: for fleets of recordings. Needs the extra `offhook[ray]`.

Recordings and dial plan are read by the workers, so they lie where every node finds them under the same path; bundles
come back through Ray, so that nothing need be shared for writing. Driven by offhook/commands/replay.py."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from offhook.errors import OffhookError
from offhook.replay.jobs import Done, Item, known, settle, work

Files = dict[str, bytes]


def run_on_ray(
    items: Sequence[Item], address: str, *, again: bool = False, workers: int | None = None
) -> Iterator[Done]:
    """As jobs.run, on the cluster at this address; `local` starts one here, with so many workers, None: one per core.

    Raises OffhookError without Ray."""
    try:
        import ray  # noqa: PLC0415 (an extra, and 2 s of loading)
    except ImportError as error:
        raise OffhookError("--ray needs Ray. Install the extra: pip install 'offhook[ray]'.") from error
    left: list[Item] = []
    yield from known(items, left, again=again)
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    ray.init(
        address=None if address == "local" else address,
        num_cpus=workers if address == "local" else None,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
        log_to_driver=False,
        include_dashboard=False,
    )
    try:
        yield from _run(ray, left)
    finally:
        ray.shutdown()


def _run(ray: Any, items: Sequence[Item]) -> Iterator[Done]:
    remote = ray.remote(max_retries=1, num_cpus=1)(elsewhere)
    running = {remote.remote(item): item for item in items}
    while running:
        ready, _ = ray.wait(list(running), num_returns=1)
        item = running.pop(ready[0])
        try:
            done, files = ray.get(ready[0])
        except ray.exceptions.RayError as error:
            yield Done(
                item.path, error=f"{item.path}: lost on the cluster ({type(error).__name__}). Try it alone."
            )
            continue
        yield settle(item, done, files)


def elsewhere(item: Item) -> tuple[Done, Files]:
    """On a worker: replay, and give the bundles' files back, by path below `out`."""
    with tempfile.TemporaryDirectory(prefix="offhook-replay-") as scratch:
        out = Path(scratch)
        done = work(Item(item.path, replace(item.options, out=out)))
        files = {
            str(file.relative_to(out)): file.read_bytes()
            for bundle in done.bundles
            for file in sorted(bundle.rglob("*"))
            if file.is_file()
        }
        names = tuple(bundle.relative_to(out) for bundle in done.bundles)
        return replace(done, bundles=names), files
