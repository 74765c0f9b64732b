"""The short form of `make chaos`: a few kills at random instants, at the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.chaos import kill_one_by_one

KILLS = 6
MOST_MS = 1000.0  # figures of a busy machine say little: `make chaos` has the budget


@pytest.mark.alone
async def test_calls_outlive_workers_that_are_killed_at_random(tmp_path: Path) -> None:
    """No call is lost, no sequence number is missing or used twice, and recordings are as long as their calls."""
    chaos = await kill_one_by_one(tmp_path, KILLS, seed=7)
    assert (chaos.lost, chaos.faults, chaos.pjsip_lost) == (0, [], 0)
    assert chaos.unlike_s < 0.5 and max(chaos.gaps_ms) < MOST_MS
    assert len(chaos.gaps_ms) >= KILLS
