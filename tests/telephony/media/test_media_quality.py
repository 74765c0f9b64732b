"""How good a call was: loss patterns (RFC 3611 §4.7.2) and the E-model (ITU-T G.107)."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from telephony.media.losses import LossPattern, LossSummary
from telephony.media.quality import (
    BEST_R,
    G711_CONCEALED,
    CodecQuality,
    HeardQuality,
    delay_impairment,
    effective_impairment,
    mos,
    rate,
)


def pattern(came: str, first: int = 65500) -> LossSummary:
    """x: the packet came; anything else: it did not."""
    losses = LossPattern()
    for n, sign in enumerate(came):
        if sign == "x":
            losses.packet((first + n) & 0xFFFF)
    return losses.summary()


# ---------------------------------------------------------------- patterns


def test_a_whole_call_has_no_bursts() -> None:
    """Across the wrap of sixteen bits."""
    assert pattern("x" * 500) == LossSummary(packets=500, gap_packets=500.0)


def test_a_burst_begins_and_ends_with_a_loss_and_sixteen_good_packets_end_it() -> None:
    """RFC 3611 §4.7.2, Gmin 16: here 10 of 20 packets of the burst are missing, none beside it."""
    summary = pattern("x" * 90 + "-x" * 9 + "x-" + "x" * 90)
    assert (summary.packets, summary.missing) == (200, 10 / 200)
    assert summary.burst_packets == 20
    assert summary.burst_density == 0.5
    assert summary.gap_density == 0
    assert summary.gap_packets == 90


def test_single_losses_far_apart_belong_to_the_gap() -> None:
    """RFC 3611 §4.7.2: one loss among sixteen is no burst."""
    summary = pattern(("x" * 49 + "-") * 10 + "x")
    assert (summary.burst_packets, summary.burst_density, summary.burst_ratio) == (0, 0, 1.0)
    assert summary.gap_density == pytest.approx(10 / 501)


def test_packets_that_overtook_each_other_are_not_missing_and_late_ones_are() -> None:
    """What counts is whether it could be played."""
    losses = LossPattern()
    for sequence in (1, 2, 4, 3, 6, 5, 7, 8):
        losses.packet(sequence)
    losses.discarded(5)
    assert (losses.summary().packets, losses.summary().missing) == (8, 1 / 8)


def test_another_source_is_counted_on_and_a_jump_is_no_loss() -> None:
    """After a transfer numbers begin elsewhere."""
    losses = LossPattern()
    for sequence in (*range(100), *range(30000, 30100)):
        losses.packet(sequence)
    losses.begin()
    for sequence in range(5, 105):
        losses.packet(sequence)
    assert (losses.summary().packets, losses.summary().missing) == (300, 0)


def test_asking_for_a_summary_changes_nothing() -> None:
    """Reports go out in the middle of a call."""
    losses = LossPattern()
    for sequence in range(300):
        if sequence % 7:
            losses.packet(sequence)
        losses.summary()
    assert losses.summary() == pattern("".join("x" if n % 7 else "-" for n in range(300)).lstrip("-"), 1)


def runs(dice: random.Random, lose: float, recover: float) -> Iterable[str]:
    """A two-state line: from good to bad with `lose`, back with `recover`."""
    bad = False
    yield "x"
    for _ in range(60_000):
        bad = dice.random() >= recover if bad else dice.random() < lose
        yield "-" if bad else "x"


def test_the_burst_ratio_is_that_of_the_line() -> None:
    """ITU-T G.107 §3.5: BurstR = 1 / (p + q) of a two-state line; 1 when losses are random."""
    dice = random.Random(107)
    bursty = pattern("".join(runs(dice, 0.02, 0.38)))
    assert bursty.burst_ratio == pytest.approx(1 / (0.02 + 0.38), rel=0.05)
    assert pattern("".join(runs(dice, 0.05, 0.95))).burst_ratio == pytest.approx(1.0, abs=0.05)


# ---------------------------------------------------------------- E-model


def test_a_line_with_all_defaults_is_rated_93_2_and_4_41() -> None:
    """ITU-T G.107: R = 93.2 with every parameter at its default; annex B makes 4.41 of it."""
    rating = rate("PCMU", missing=0, burst_ratio=1, delay_ms=0)
    assert (rating.r, rating.mos, rating.mos_listening) == (93.2, 4.41, 4.41)


@pytest.mark.parametrize(("r", "score"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_ratings_become_scores_as_the_table_says(r: float, score: float) -> None:
    """ITU-T G.107 annex B, G.109: the limits between the categories of quality."""
    assert mos(r) == pytest.approx(score, abs=0.0065)  # the published pairs are rounded, 80 upwards


def test_scores_stay_between_1_and_4_5_and_never_fall_while_the_rating_rises() -> None:
    """ITU-T G.107 annex B: below 6.5 the curve itself would dip under 1."""
    scores = [mos(r / 10) for r in range(-100, 1200)]
    assert (scores[0], scores[-1]) == (1.0, 4.5)
    assert all(1.0 <= score <= 4.5 for score in scores)
    assert scores == sorted(scores)


@pytest.mark.parametrize(
    ("percent", "plain", "concealed"),
    [(0, 0, 0), (1, 17.9, 3.6), (2, 30.2, 7.0), (3, 39.0, 10.1), (5, 51.1, 15.8), (10, 66.4, 27.1)],
)
def test_loss_harms_g711_as_g113_says(percent: float, plain: float, concealed: float) -> None:
    """ITU-T G.107 (7-29) with G.113 appendix I (G.711: Ie 0, Bpl 4.3; with concealment 25.1), worked out by hand:
    95 * Ppl / (Ppl + Bpl)."""
    assert effective_impairment(CodecQuality(0.0, 4.3), percent / 100) == pytest.approx(plain, abs=0.06)
    assert effective_impairment(G711_CONCEALED, percent / 100) == pytest.approx(concealed, abs=0.06)


def test_losses_in_bursts_harm_more_than_single_ones() -> None:
    """ITU-T G.107 (7-29): 10 % at BurstR 2 is 95 * 10 / (5 + 25.1)."""
    assert effective_impairment(G711_CONCEALED, 0.1, 2.0) == pytest.approx(31.6, abs=0.06)


def test_delay_is_free_up_to_100_ms_and_then_costs_ever_more() -> None:
    """ITU-T G.107 (7-27), (7-28): next to nothing at G.114's 150 ms, some 25 points at 400 ms."""
    assert delay_impairment(0) == delay_impairment(100) == 0
    assert delay_impairment(150) < 0.2
    assert delay_impairment(200) == pytest.approx(
        25 * (2 ** (1 / 6) - 3 * (1 + 3**-6) ** (1 / 6) + 2), abs=1e-6
    )
    assert delay_impairment(400) == pytest.approx(24.1, abs=0.5)
    costs = [delay_impairment(ms) for ms in range(0, 1000, 10)]
    assert costs == sorted(costs)


def test_delay_is_left_out_of_how_it_sounds_to_who_only_listens() -> None:
    """RFC 3611 §4.7.5: MOS-LQ and MOS-CQ."""
    rating = rate("opus", missing=0, burst_ratio=1, delay_ms=400)
    assert rating.mos_listening == 4.41
    assert rating.mos < 3.7
    assert rating.r == pytest.approx(BEST_R - delay_impairment(400), abs=0.05)


def test_a_call_too_short_to_be_rated_has_no_score() -> None:
    """Nothing is better than a wrong number in a histogram."""

    def heard(packets: int) -> HeardQuality:
        return HeardQuality("PCMU", pattern("x" * packets), 0, 0, 20, 40.0, 30.0)

    assert (heard(49).facts()["mos"], heard(49).metrics(7)) == (None, None)
    assert heard(50).facts()["mos"] == 4.41
    metrics = heard(50).metrics(7)
    assert metrics is not None
    assert (metrics.ssrc, metrics.r_factor, metrics.mos, metrics.end_system_ms) == (7, 93, 4.41, 60)
