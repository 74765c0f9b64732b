"""Keypad digits: RFC 4733 in and out, and as sound."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from telephony.errors import MediaError
from telephony.media.tones import DIGITS, DigitListener, DigitSender, event_payload, tone_frame

Packet = tuple[float, int, bool, bytes]  # now, timestamp, marker, payload


def event(code: int, duration: int, *, end: bool = False) -> bytes:
    return struct.pack("!BBH", code, 10 | (0x80 if end else 0), duration)


def press(code: int, timestamp: int, at: float, *, ticks: int = 5) -> list[Packet]:
    """A key press as RFC 4733 §2.5.1 sends it: growing packets, then the end three times."""
    packets = [(at + 0.02 * n, timestamp, n == 0, event(code, 160 * (n + 1))) for n in range(ticks - 1)]
    return packets + [
        (at + 0.02 * (ticks - 1 + n), timestamp, False, event(code, 160 * ticks, end=True)) for n in range(3)
    ]


def hear(packets: list[Packet]) -> str:
    listener = DigitListener()
    digits = (listener.packet(ts, marker, payload, now) for now, ts, marker, payload in packets)
    return "".join(digit for digit in digits if digit)


def test_every_key_is_heard_once() -> None:
    """RFC 4733 table 3: sixteen keys, seven packets each."""
    packets = [p for code in range(16) for p in press(code, 1000 + 3200 * code, 0.4 * code)]
    assert hear(packets) == DIGITS == "0123456789*#ABCD"


@pytest.mark.parametrize("kept", [[0], [3], [4], [6], [4, 5, 6], [1, 2, 3], [0, 6]])
def test_a_key_is_heard_once_whichever_packets_arrive(kept: list[int]) -> None:
    """Row 59: marker lost, end lost, only ends left."""
    packets = press(5, 8000, 1.0)
    assert hear([packets[k] for k in kept]) == "5"


def test_the_same_key_twice_is_two_digits_even_when_quick() -> None:
    """Row 60: 50 ms apart, with another timestamp."""
    assert hear(press(7, 8000, 1.0) + press(7, 8000 + 1200, 1.19)) == "77"


def test_the_same_key_again_after_its_end_was_lost_is_two_digits() -> None:
    """Row 59: a new event begins small."""
    assert hear(press(7, 8000, 1.0)[:4] + press(7, 9600, 1.2)) == "77"


def test_a_marker_begins_a_new_digit_at_once() -> None:
    """RFC 4733 §2.5.1.1: the marker is for the first packet of an event."""
    assert hear([*press(7, 8000, 1.0), (1.13, 9000, True, event(7, 160))]) == "77"


def test_a_gateway_that_changes_the_timestamp_within_a_key_press_gives_one_digit() -> None:
    """Row 59: each packet has its own timestamp, the duration grows on."""
    packets = [
        (at, ts + 160 * n, marker, data) for n, (at, ts, marker, data) in enumerate(press(3, 8000, 1.0))
    ]
    assert hear(packets) == "3"


def test_an_end_repeated_with_another_timestamp_is_the_same_digit() -> None:
    """Row 59: same event within 40 ms of a seen end."""
    packets = [*press(3, 8000, 1.0), (1.14, 8960, False, event(3, 800, end=True))]
    assert hear(packets) == "3"


def test_a_very_long_press_in_segments_is_one_digit() -> None:
    """RFC 4733 §2.5.1.3: a duration used up moves the timestamp by 0xFFFF and begins anew."""
    packets: list[Packet] = []
    for segment in range(2):
        for n in range(1, 410):
            at, duration = 8.2 * segment + 0.02 * n, min(160 * n, 0xFFFF)
            packets.append((at, 500 + 0xFFFF * segment, not segment and n == 1, event(9, duration)))
    assert hear(packets) == "9"


def test_reordered_packets_of_the_digit_before_are_not_heard_again() -> None:
    """An end packet of `1` that arrives after `2` has begun."""
    one, two = press(1, 8000, 1.0), press(2, 9600, 1.2)
    late_end = (1.23, *one[-1][1:])
    assert hear([*one[:-1], *two[:2], late_end, *two[2:]]) == "12"


def test_flash_and_other_events_are_no_digits() -> None:
    """Row 60: event 16 is a hook flash."""
    assert hear(press(16, 8000, 1.0) + press(4, 12000, 2.0)) == "4"


def test_a_cut_off_event_is_refused() -> None:
    """RFC 4733 §2.3: four bytes."""
    with pytest.raises(MediaError, match="3 bytes"):
        DigitListener().packet(0, True, b"\x01\x0a\x00", 0.0)


def test_a_key_is_sounding_until_its_end_or_until_it_is_not_refreshed() -> None:
    """Row 60: the beep beside the events is kept from the recogniser, but not for ever."""
    listener = DigitListener()
    assert not listener.sounding(1.0)
    listener.packet(8000, True, event(1, 160), 1.0)
    assert listener.sounding(1.02)
    assert not listener.sounding(1.2)
    listener.packet(8000, False, event(1, 800, end=True), 1.21)
    assert not listener.sounding(1.21)


def dialled(digits: str) -> list[tuple[str, int]]:
    sender = DigitSender()
    sender.send(digits)
    steps = []
    while sender.busy:
        steps.append(sender.step())
    return steps


def test_a_digit_is_100_ms_of_growing_events_an_end_three_times_and_a_pause() -> None:
    """RFC 4733 §2.5.1.2-4; rows 58."""
    payloads = [event_payload(digit, tick, 160) for digit, tick in dialled("#")]
    assert payloads == [
        *(event(11, 160 * n) for n in (1, 2, 3, 4)),
        *[event(11, 800, end=True)] * 3,
        None,
    ]


def test_tone_and_pause_are_long_enough_for_any_switch() -> None:
    """Q.24: tones of 40 ms and pauses of 50 ms at least."""
    sounding = [tone_frame(digit, tick, 8000) is not None for digit, tick in dialled("12")]
    assert sounding == ([True] * 5 + [False] * 3) * 2


def test_w_waits_half_a_second() -> None:
    """25 ticks of silence between the digits."""
    steps = dialled("1w2")
    assert [digit for digit, _ in steps] == ["1"] * 8 + [""] * 25 + ["2"] * 8


@pytest.mark.parametrize(("sign", "seconds"), [("w", 0.5), ("W", 1.0), (",", 2.0)])
def test_each_sign_for_a_pause_waits_its_time(sign: str, seconds: float) -> None:
    """As PBXs (w, W) and mobile phones (comma) dial it; `w` and `W` are not the same."""
    assert len(dialled(f"{sign}1")) - len(dialled("1")) == round(seconds * 50)


def test_what_we_send_is_heard_once_by_our_own_listener() -> None:
    """Every key, small letters too."""
    listener, sender, heard, timestamp = DigitListener(), DigitSender(), "", 0
    sender.send("1123*#abcd")
    for n in range(10 * 8):
        digit, tick = sender.step()
        timestamp = 160 * n if tick == 0 else timestamp
        if (payload := event_payload(digit, tick, 160)) is not None:
            heard += listener.packet(timestamp, tick == 0, payload, 0.02 * n) or ""
    assert heard == "1123*#ABCD"
    assert not sender.busy


def test_what_is_not_on_a_keypad_is_refused_whole() -> None:
    """An agent's mistake must not half dial."""
    sender = DigitSender()
    with pytest.raises(MediaError, match="character 3: 'x'"):
        sender.send("12x4")
    assert not sender.busy


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize(
    ("digit", "low_hz", "high_hz"), [("1", 697, 1209), ("#", 941, 1477), ("D", 941, 1633)]
)
def test_a_tone_has_its_two_frequencies_without_a_seam(
    digit: str, low_hz: int, high_hz: int, rate_hz: int
) -> None:
    """ITU-T Q.23; five frames in a row are one tone."""
    frames = [tone_frame(digit, tick, rate_hz) for tick in range(5)]
    tone = np.concatenate([frame for frame in frames if frame is not None])
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
    peaks = sorted(np.argsort(spectrum)[-2:] * rate_hz / len(tone))
    assert peaks == pytest.approx([low_hz, high_hz], abs=10)
    assert np.abs(tone).max() < 12000
