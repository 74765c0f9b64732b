"""`make fuzz`: wounded traffic for as long as one likes, through every parser, the SIP stack and the media stream.

    python -m tests.fuzz --seconds 600 --seed 1          all targets in turn
    python -m tests.fuzz --only stream --seconds 60      one of them
    python -m tests.fuzz --again var/fuzz/stack-1f0c33d2.bin     one input that failed, with its traceback

An input fails if it raises anything but this package's own errors, breaks what a target asserts, or takes more than
10 ms of CPU for each reading of each datagram in three tries. It is kept in a file named by its hash. Stops by itself;
exit code 1 if anything failed. The same seed gives the same inputs on any machine; how many, depends on its speed."""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import random
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.fuzz.targets import Target, targets
from tests.fuzz.wounds import unpacked

KEPT = Path("var") / "fuzz"
BUDGET_S = 0.010  # CPU time to read one datagram of up to SHORT_BYTES once
SHORT_BYTES = 8192
HANGS_S = 5.0
HANGS_IN_C_S = 60.0
AT_ONCE = 50  # inputs before it is the next target's turn
TELL_EVERY_S = 10.0
MOST_OF_A_KIND = 3  # findings kept for one place in the code


@dataclass
class Tally:
    """One target's run."""

    inputs: int = 0
    spent_s: float = 0.0
    slowest_s: float = 0.0
    findings: int = 0


@dataclass
class Fuzzer:
    """Eats, times, and keeps what failed. Prints as it goes."""

    folder: Path
    tallies: dict[str, Tally] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    def feed(self, target: Target, data: bytes) -> None:
        """One input."""
        tally = self.tallies.setdefault(target.name, Tally())
        tally.inputs += 1
        problem, spent_s = tried(target, data)
        tally.spent_s += spent_s
        if not problem and spent_s > allowed_s(target, data):
            spent_s = min(spent_s, *(tried(target, data)[1] for _ in range(2)))
            if spent_s > allowed_s(target, data):
                problem = f"took {spent_s * 1000:.0f} ms of CPU, at most {allowed_s(target, data) * 1000:.0f} are good"
        tally.slowest_s = max(tally.slowest_s, spent_s)
        if problem:
            tally.findings += 1
            self._keep(target, data, problem)

    def _keep(self, target: Target, data: bytes, problem: str) -> None:
        place = f"{target.name} {problem.splitlines()[-1].split(':')[0]}"
        self.seen[place] += 1
        if self.seen[place] > MOST_OF_A_KIND:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{target.name}-{hashlib.sha256(data).hexdigest()[:8]}.bin"
        path.write_bytes(data)
        print(f"\n{target.name}: {problem}\n  again: python -m tests.fuzz --again {path}", flush=True)

    def tell(self, seconds: float) -> None:
        """One line on the way."""
        inputs = sum(tally.inputs for tally in self.tallies.values())
        rate = inputs / max(seconds, 1e-9)
        print(
            f"{seconds:6.0f} s  {inputs:>10} inputs  {rate:>6.0f} a second  {self.findings} failed",
            flush=True,
        )

    def sum_up(self) -> None:
        """One line for each target."""
        for name, tally in self.tallies.items():
            rate, slowest_ms = tally.inputs / max(tally.spent_s, 1e-9), tally.slowest_s * 1000
            print(
                f"  {name:<11}{tally.inputs:>10} inputs {rate:>8.0f} a second of CPU, "
                f"slowest {slowest_ms:6.1f} ms, {tally.findings} failed"
            )

    @property
    def findings(self) -> int:
        return sum(tally.findings for tally in self.tallies.values())


def allowed_s(target: Target, data: bytes) -> float:
    """10 ms for each reading of a datagram, more for those that are longer than any peer's."""
    datagrams = unpacked(data) if target.session else [data]
    rest = 0.030 if target.session else 0.0  # what the target itself does around them
    lengths = sum(max(1.0, len(datagram) / SHORT_BYTES) for datagram in datagrams)
    return rest + BUDGET_S * target.readings * lengths


def tried(target: Target, data: bytes) -> tuple[str, float]:
    """Let it eat. Returns what went wrong, if anything did, and the CPU time."""
    began = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, HANGS_S)
    try:
        target.eat(data)
    except Hangs:
        return f"does not come back within {HANGS_S:.0f} s\n{traceback.format_exc(limit=-3)}", HANGS_S
    except Exception as error:  # whatever it is, it is a finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__}: {error}\n{where.filename}:{where.lineno}",
            time.process_time() - began,
        )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "", time.process_time() - began


class Hangs(BaseException):
    """The alarm went off. Not an Exception, so that nothing that is fuzzed swallows it."""


def _alarm(number: int, frame: FrameType | None) -> None:
    raise Hangs


def run(chosen: list[Target], seconds: float, seed: int, folder: Path) -> int:
    """All targets in turn until the time is up. Returns the exit code."""
    fuzzer, began, told = Fuzzer(folder), time.monotonic(), time.monotonic()
    dice = {target.name: random.Random(f"{seed} {target.name}") for target in chosen}
    print(f"fuzzing {', '.join(dice)} for {seconds:.0f} s, seed {seed}", flush=True)
    turn = 0
    while (now := time.monotonic()) - began < seconds:
        target = chosen[turn % len(chosen)]
        turn += 1
        faulthandler.dump_traceback_later(HANGS_IN_C_S, exit=True)  # a hang that no alarm can end
        for _ in range(AT_ONCE):
            fuzzer.feed(target, target.worse(dice[target.name], large=True))
            if time.monotonic() - began >= seconds:
                break
        faulthandler.cancel_dump_traceback_later()
        if now - told >= TELL_EVERY_S:
            told = now
            fuzzer.tell(now - began)
    fuzzer.tell(time.monotonic() - began)
    fuzzer.sum_up()
    print("nothing failed" if not fuzzer.findings else f"{fuzzer.findings} inputs failed, kept in {folder}")
    return 1 if fuzzer.findings else 0


def again(path: Path, all_targets: list[Target]) -> int:
    """One kept input, without any net: its traceback is what one wants to see."""
    data, name = path.read_bytes(), path.name.partition("-")[0]
    target = next((target for target in all_targets if target.name == name), None)
    if target is None:
        print(f"{path}: no target is called {name!r}. Known: {', '.join(t.name for t in all_targets)}.")
        return 2
    began = time.process_time()
    target.eat(data)
    print(
        f"{path}: {len(data)} bytes, taken or refused as it should be, {(time.process_time() - began) * 1000:.1f} ms"
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Wounded traffic for as long as one likes.")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], help="a target; may repeat (default: all)")
    parser.add_argument(
        "--folder", type=Path, default=KEPT, help=f"where failing inputs are kept (default: {KEPT})"
    )
    parser.add_argument("--again", type=Path, help="a kept input: run it once more and show what it does")
    wanted = parser.parse_args()
    all_targets = targets()
    signal.signal(signal.SIGALRM, _alarm)
    if wanted.again:
        return again(wanted.again, all_targets)
    chosen = [target for target in all_targets if not wanted.only or target.name in wanted.only]
    if len(chosen) < len(set(wanted.only)):
        parser.error(f"--only takes: {', '.join(target.name for target in all_targets)}")
    return run(chosen, wanted.seconds, wanted.seed, wanted.folder)


if __name__ == "__main__":
    sys.exit(main())
