"""Turns are taken on telephone sound: a few scenes of `make turns`, with floors that a change must not fall below.

The shipped clips, one synthetic voice: nothing of the distribution is needed. Figures: docs/turn-taking.md."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from pipeline.options import TurnHandling
from tests.turns import figures, scenes
from tests.turns.bench import alike, run_alone, run_overlap, run_turn
from tests.turns.call import Ears, play
from tests.turns.line import CLEAN
from tests.turns.measures import Overlap, overlap
from tests.turns.scenes import EXPECTED, OPEN, Spec, build
from tests.turns.sounds import SHIPPED

EARS = Ears(wer=0.0)
OWN = (SHIPPED,)


@cache
def over(kind: str) -> tuple[Overlap, ...]:
    specs = scenes.overlaps("dev", 1, 24, (kind,), OWN)
    return tuple(run_overlap(spec, {}, EARS) for spec in specs)


def test_interruptions_are_found() -> None:
    """On eleven kinds of lines, with and without echo; the agent is silent soon."""
    found = [scene.found_ms for scene in over("interruption") if scene.found_ms is not None]
    assert len(found) >= 22
    stopped = sorted(scene.stopped_ms for scene in over("interruption") if scene.stopped_ms is not None)
    assert stopped[len(stopped) // 2] <= 600


def test_the_agent_lowers_its_voice_at_the_first_sign_of_a_caller() -> None:
    """Long before it knows what that is."""
    ducked = sorted(scene.ducked_ms for scene in over("interruption") if scene.ducked_ms is not None)
    assert len(ducked) >= 22
    assert ducked[len(ducked) // 2] <= 120


def test_a_short_yes_is_talked_through_and_does_not_take_the_floor() -> None:
    assert sum(scene.found_ms is not None for scene in over("backchannel")) == 0
    assert sum(scene.talked_through for scene in over("backchannel")) >= 22


def test_an_agent_that_stopped_for_a_short_yes_goes_on() -> None:
    """With less patience than it has by itself."""
    specs = scenes.overlaps("dev", 1, 24, ("backchannel",), OWN)
    overlaps = [run_overlap(spec, {"interrupt_after_ms": 400}, EARS) for spec in specs]
    assert sum(scene.found_ms is not None for scene in overlaps) == 0
    back = sorted(scene.back_ms for scene in overlaps if scene.back_ms is not None)
    assert back[len(back) // 2] <= 500


def test_clicks_are_talked_through() -> None:
    assert sum(scene.talked_through for scene in over("click")) >= 18


@pytest.mark.parametrize("level_db", [-12.0, -18.0, -26.0])
def test_our_echo_alone_never_stops_us(level_db: float) -> None:
    """A minute and more of agent speech each, late by 20 to 250 ms. In noise as loud as the echo it can happen."""
    specs = [replace(spec, reader=SHIPPED, line=CLEAN) for spec in scenes.echoes("dev", 1, level_db, 6, 20.0)]
    alone = [run_alone(spec, {}, EARS) for spec in specs]
    assert sum(call.spoke_s for call in alone) > 60
    assert sum(call.stops for call in alone) == 0


def test_tones_are_not_speech() -> None:
    """DTMF, ringback, busy, SIT and hum, while the agent speaks and while it listens."""
    assert [call.voices for call in (run_alone(spec, {}, EARS) for spec in scenes.tones("dev", 1, 12.0))] == [
        0
    ] * 10


def test_an_answer_that_was_asked_for_ends_the_turn_at_once() -> None:
    turns = [run_turn(spec, {}, EARS) for spec in scenes.turns("dev", 1, 20, EXPECTED, OWN)]
    assert sum(turn.cut for turn in turns) <= 1
    late = sorted(turn.late_ms for turn in turns if turn.late_ms is not None)
    assert late[len(late) // 2] <= 350


def test_turns_end_alike_on_a_narrowband_and_a_wideband_call() -> None:
    """The same line at 8 and 16 kHz: the same decision, within 100 ms, in nineteen turns of twenty."""
    specs = scenes.turns("dev", 1, 40, OPEN + EXPECTED, OWN)
    same = [alike(run_turn(spec, {}, EARS), run_turn(spec, {}, EARS, 16_000)) for spec in specs]
    assert sum(same) >= 38


def test_a_scene_is_the_same_each_time_it_is_made() -> None:
    """And so is what becomes of it: figures can be compared."""
    spec: Spec = scenes.overlaps("dev", 7, 1, ("interruption",), OWN)[0]
    one, other = (overlap(scene, play(scene, TurnHandling(), EARS)) for scene in (build(spec), build(spec)))
    assert one == other


def test_intervals_hold_what_is_known_of_them() -> None:
    """Wilson's for 0 and 5 of 10, Poisson's for 0 and 3 events, and a median read off a sweep."""
    assert figures.share(0, 10) == pytest.approx((0.0, 27.75), abs=0.1)
    assert figures.share(5, 10) == pytest.approx((23.7, 76.3), abs=0.1)
    assert figures.rate(0, 1.0) == pytest.approx((0.0, 3.69), abs=0.01)
    assert figures.rate(3, 1.0) == pytest.approx((0.62, 8.77), abs=0.01)
    sweep: dict[int, list[figures.Outcome]] = {
        400: [(True, None)] * 2 + [(False, 400.0)] * 8,
        800: [(False, 800.0)] * 10,
    }
    assert figures.at_cut_offs(sweep, 0.1)[0] == pytest.approx(600.0)
