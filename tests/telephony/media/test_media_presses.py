"""One key press, told of in several ways."""

from __future__ import annotations

from telephony.media.presses import Presses, Way


def counted(*arrivals: tuple[float, str, Way]) -> str:
    presses = Presses()
    return "".join(digit for at, digit, way in arrivals if presses.counts(digit, way, at))


def test_a_press_told_by_info_and_by_sound_counts_once_in_either_order() -> None:
    """RFC 6086 practice: some exchanges send both."""
    assert counted((1.0, "5", "inband"), (1.2, "5", "info")) == "5"
    assert counted((1.0, "5", "info"), (1.1, "5", "inband"), (1.1, "5", "event")) == "5"


def test_the_same_digit_twice_by_one_way_is_two_presses() -> None:
    """Row 60: 55 is no bounce."""
    assert counted((1.0, "5", "info"), (1.1, "5", "info")) == "55"


def test_quick_presses_told_twice_each_come_out_in_number() -> None:
    """Whether they alternate or one way runs behind."""
    assert (
        counted((1.0, "5", "inband"), (1.05, "5", "info"), (1.2, "5", "inband"), (1.25, "5", "info")) == "55"
    )
    assert counted((1.0, "5", "inband"), (1.2, "5", "inband"), (1.3, "5", "info"), (1.4, "5", "info")) == "55"
    assert counted((1.0, "1", "info"), (1.1, "2", "info"), (1.2, "1", "inband"), (1.3, "2", "inband")) == "12"


def test_a_digit_much_later_is_another_press_whatever_way_it_comes() -> None:
    """A peer may change its way in the middle of a call, after a transfer."""
    assert counted((1.0, "5", "inband"), (3.0, "5", "info")) == "55"
