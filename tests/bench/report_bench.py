"""How big the report of many calls is, and how long a browser takes over it.

    python -m tests.bench.report_bench [--calls 1000] [--folder DIR] [--pictures DIR]

A hundred calls of the set of replay_bench.py, replayed twice with a model that is slower the second time, stand under
as many names as asked for, each with its own sound in the page. Then Chromium opens it: until the list can be used,
until all is there, what searching, sorting and opening a call take, and the memory of its scripts. Never a test."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from offhook.logs import configure_logs
from offhook.replay.compare import compare
from offhook.replay.jobs import Item, run
from offhook.replay.measures import measure
from offhook.replay.options import ReplayOptions
from offhook.replay.report import write_report
from offhook.replay.results import Result
from offhook.settings import LogSettings
from tests.bench.replay_bench import make_calls
from tests.offhook.replay.browser import Tab, browser
from tests.offhook.replay.recorded import options

OPENS_S = 1.0  # a call's page (quality.md D)
RECORDINGS = 100
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def main() -> None:
    """Make the calls, write the page, open it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="keep calls and page here")
    parser.add_argument("--pictures", type=Path, help="put pictures of the page here")
    asked = parser.parse_args()
    configure_logs(LogSettings(level="error"))
    out = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="report-bench-") as name:
        folder = asked.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        results = results_of(folder, asked.calls)
        table = Table("what", "measured")
        page = folder / "report.html"
        began = time.perf_counter()
        write_report(results, page, title="Report bench", made="the set of replay_bench.py")
        minutes = sum(result.measures.length_s for result in results if result.measures) / 60
        table.add_row("calls", f"{len(results)}, {minutes:.0f} min of sound")
        table.add_row("written in", f"{time.perf_counter() - began:.1f} s")
        table.add_row("size", f"{page.stat().st_size / 1e6:.0f} MB")
        told, pictures = asyncio.run(opened(page.absolute(), pictured=asked.pictures is not None))
        for what, found in told.items():
            table.add_row(what, found)
        for name, content in pictures.items():
            asked.pictures.mkdir(parents=True, exist_ok=True)
            (asked.pictures / name).write_bytes(content)
        out.print(table)


def results_of(folder: Path, count: int) -> list[Result]:
    """As many results as asked for, of a hundred recordings."""
    sources = folder / "calls"
    calls = sorted(sources.glob("*.wav")) if sources.is_dir() else make_calls(folder, min(count, RECORDINGS))
    before = _replayed(calls, options(folder / "before"))
    now = _replayed(calls, options(folder / "now", delays_s={"llm": 0.6}))
    made = []
    for path, base in zip(now, before, strict=True):
        call = measure(path)
        made.append(Result(path.name, call, difference=compare(call, base)))
    return [replace(made[at % len(made)], name=f"call {at:04}") for at in range(count)]


def _replayed(calls: list[Path], how: ReplayOptions) -> list[Path]:
    done = sorted(run([Item(path, how) for path in calls]), key=lambda one: one.path)
    return [bundle for one in done for bundle in one.bundles]


async def opened(page: Path, *, pictured: bool) -> tuple[dict[str, str], dict[str, bytes]]:
    """What a browser takes over it, and pictures by name."""
    async with browser() as tab:
        told = await _loaded(tab, page)
        memory = {one["name"]: one["value"] for one in (await tab.send("Performance.getMetrics"))["metrics"]}
        told["memory of scripts"] = f"{memory['JSHeapUsedSize'] / 1e6:.0f} MB"
        told["errors"] = ", ".join(tab.errors) or "none"
        return told, await _pictures(tab) if pictured else {}


async def _loaded(tab: Tab, page: Path) -> dict[str, str]:
    told = {}
    began = time.perf_counter()
    await tab.open(page)
    told["all there after"] = f"{time.perf_counter() - began:.1f} s"
    await tab.ask(SETTLED)
    first = await tab.ask("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1")
    told["list seen after"] = f"{first / 1000:.1f} s"
    for what, script in (
        ("search takes", "$('search').value = 'four two'; listed()"),
        ("sorting takes", "document.querySelectorAll('th[data-sort]')[3].click()"),
        ("opening a call takes", "show(0)"),
    ):
        took = await tab.ask(
            f"(() => {{ const began = performance.now(); {script}; document.body.offsetHeight; "
            "return performance.now() - began; })()"
        )
        told[what] = f"{took:.0f} ms"
    plays = await tab.ask(
        "(() => { const began = performance.now(); const audio = document.querySelector('audio');"
        "if (!audio) return -1; return new Promise((done) => { const told = () => done(performance.now() - began);"
        "if (audio.readyState >= 2) told(); else audio.addEventListener('canplay', told, {once: true});"
        "audio.preload = 'auto'; audio.load(); }); })()"
    )
    told["sound ready after"] = f"{plays:.0f} ms" if plays >= 0 else "no sound in the page"
    return told


async def _pictures(tab: Tab) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    await tab.ask(f"location.hash = '#calls'; {SETTLED}")
    await tab.ask(
        "$('search').value = ''; listed(); document.querySelector('th[data-sort]').click(); scrollTo(0, 0)"
    )
    found["list.png"] = await tab.picture()
    found["list.pdf"] = await tab.print()
    await tab.ask(f"location.hash = '#call=0'; {SETTLED}")
    found["call.png"] = await tab.picture()
    found["call.pdf"] = await tab.print()
    await tab.look(1280, 900, dark=True)
    found["call-dark.png"] = await tab.picture()
    await tab.look(390, 800)
    found["call-phone.png"] = await tab.picture()
    return found


if __name__ == "__main__":
    main()
