"""How much faster than real time calls are replayed, on one core, and where the time goes.

    python -m tests.bench.replay_bench [--calls N] [--profile]

A set of calls is made from the shipped clips, the prompts of asterisk-core-sounds-en-wav if they are installed (another
voice on the line), and seeded silence; each is replayed once with the embedded providers and a tape, which is not
counted, and then from its tape. CPU time of this process, everything included: reading, plan, pipeline, bundle, stereo
sound. Never a test."""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from offhook.logs import configure_logs
from offhook.replay.jobs import Done, Item, work
from offhook.replay.options import ReplayOptions
from offhook.settings import LogSettings
from offhook.softphone import Frame, read_clip
from tests.offhook.replay.recorded import CLIPS, RATE_HZ, options, write_wav

BUDGET = 50.0  # times real time (DESIGN.md §8)
ASTERISK = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPTS = ("vm-goodbye", "please-try-again", "vm-password", "hello-world", "demo-thanks", "tt-monkeys")
PARTS = {
    "tones_heard": "keys and signals in the sound",
    "spectrum": "keys and signals in the sound",
    "inband": "keys and signals in the sound",
    "silero": "voice activity",
    "vad": "voice activity",
    "webrtcvad": "voice activity",
    "echo": "echo guard",
    "recorder": "recording",
    "playout": "playout",
    "resample": "resampling",
    "cassette": "tape",
    "dialplan": "dial plan",
    "ruamel": "dial plan",
    "yaml": "dial plan",
    "pydantic": "dial plan",
    "asyncio": "event loop",
    "selectors": "event loop",
    "virtual_clock": "event loop",
    "replay": "replay itself",
    "bundle": "journal",
    "json": "journal",
}


def main() -> None:
    """Make the set, replay it, say how fast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument(
        "--profile", action="store_true", help="say where the time goes; slower by the measuring"
    )
    asked = parser.parse_args()
    configure_logs(LogSettings(level="error"))
    out = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="replay-bench-") as name:
        folder = Path(name)
        calls = make_calls(folder, asked.calls)
        others = (
            f"and {len(prompts())} prompts of another voice"
            if prompts()
            else f"alone: {ASTERISK} is not there"
        )
        out.print(f"{len(calls)} calls of the shipped clips {others}; taping them first...")
        table = Table("replayed with", "calls", "CPU time", "times real time", box=None)
        began = time.process_time()
        taped = _run(calls, options(folder / "tapes", cassette="record"))
        seconds, spent = _sums(taped, time.process_time() - began)
        table.add_row("embedded providers", f"{seconds:.0f} s", f"{spent:.1f} s", f"{seconds / spent:.0f}")
        tapes = [bundle for one in taped for bundle in one.bundles]
        began = time.process_time()
        played = _run(tapes, options(folder / "played", to=""))
        seconds, spent = _sums(played, time.process_time() - began)
        rate = seconds / spent
        verdict = "within" if rate >= BUDGET else "BELOW"
        table.add_row("providers on tape", f"{seconds:.0f} s", f"{spent:.1f} s", f"{rate:.0f}", style="bold")
        out.print(table)
        out.print(f"  {verdict} the budget of {BUDGET:.0f} x on one core")
        if asked.profile:
            _where(tapes, options(folder / "profiled", to=""), out)


def make_calls(folder: Path, count: int) -> list[Path]:
    """The same set every time: two to five things said, some over the agent, in calls of 15 to 60 s."""
    dice = np.random.default_rng(8)
    clips = [read_clip(path) for path in sorted(CLIPS.glob("*.wav"))]
    others = [read_clip(path) for path in prompts()]
    calls = folder / "calls"
    calls.mkdir()
    made: list[Path] = []
    for number in range(count):
        parts: list[Frame] = []
        for _ in range(dice.integers(2, 6)):
            source = others if others and dice.random() < 0.2 else clips
            parts += [
                _quiet(dice, float(dice.uniform(3.0, 9.0))),
                source[dice.integers(len(source))][: 6 * RATE_HZ],
            ]
        parts.append(_quiet(dice, 4.0))
        made.append(write_wav(calls / f"call-{number:03}.wav", np.concatenate(parts)))
    return made


def prompts() -> list[Path]:
    """Sentences of another voice, as far as the package is installed."""
    return [path for name in PROMPTS if (path := ASTERISK / f"{name}.wav").is_file()]


def _quiet(dice: np.random.Generator, seconds: float) -> Frame:
    """A line on which nobody speaks, at about -70 dB."""
    noise: Frame = dice.normal(0.0, 10.0, round(seconds * RATE_HZ)).astype(np.int16)
    return noise


def _run(paths: list[Path], how: ReplayOptions) -> list[Done]:
    done = [work(Item(path, how)) for path in paths]
    failed = [one.error for one in done if one.error]
    if failed:
        raise SystemExit(f"{len(failed)} calls failed, the first: {failed[0]}")
    return done


def _sums(done: list[Done], spent: float) -> tuple[float, float]:
    return sum(one.seconds for one in done), spent


def _where(tapes: list[Path], how: ReplayOptions, out: Console) -> None:
    """Time of each function, summed by what it is for."""
    profile = cProfile.Profile()
    profile.runcall(_run, tapes[:20], how)
    shares: dict[str, float] = defaultdict(float)
    stats = pstats.Stats(profile)
    for (file, _, name), (_, _, own, *_) in stats.stats.items():  # type: ignore[attr-defined]  # undocumented in typeshed
        place = f"{file} {name}".replace("site-packages", "")
        what = next((label for part, label in PARTS.items() if part in place), "conversation and the rest")
        shares[what] += own
    total = sum(shares.values())
    for what, own in sorted(shares.items(), key=lambda pair: -pair[1]):
        out.print(f"  {own / total:5.1%}  {what}")


if __name__ == "__main__":
    main()
