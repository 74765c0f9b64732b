"""A caller on a bad line, seen from the ear: rows 53 to 65 of what networks and gateways do, in virtual time.

Packets in with times, frames out. The sockets around it: test_media_stream.py; what a recogniser makes of it:
tests/offhook/test_bad_lines.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.media.codecs.g711 import encode_ulaw
from telephony.media.receiving import Receiver
from telephony.sdp.plan import MediaPlan
from tests.impairment import Conditions, Timed, carried

Frame = NDArray[np.int16]

PHONE = ("192.0.2.1", 4000)
FIRST_AT = 0.003  # packets do not come on the tick
LOUD, QUIET = (encode_ulaw(np.full(160, value, np.int16)) for value in (4000, 0))
MOST_MS = 220  # the 200 ms of the jitter buffer, and the frame that is being played


def packet(
    n: int, payload: bytes = LOUD, *, kind: int = 0, marker: bool = False, timestamp: int | None = None
) -> bytes:
    """The n-th packet of a talker who counts across both wraps."""
    stamp = 0xFFFFFC00 + 160 * n if timestamp is None else timestamp
    return (
        struct.pack("!BBHII", 0x80, kind | marker << 7, 65530 + n & 0xFFFF, stamp & 0xFFFFFFFF, 0xCA11)
        + payload
    )


def talk(count: int, pause_every: int = 0, first: int = 0) -> list[Timed]:
    """A packet each 20 ms. pause_every: after so many packets the caller is quiet for as many."""
    return [
        (FIRST_AT + 0.02 * n, packet(n, QUIET if pause_every and n // pause_every % 2 else LOUD))
        for n in range(first, first + count)
    ]


@dataclass
class Ear:
    """A receiver that is ticked, and what came of it after each tick."""

    receiver: Receiver = field(init=False)
    digits: list[tuple[str, float]] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)  # of each frame
    delays_ms: list[int] = field(default_factory=list)  # what waits, and the frame played
    ticks: int = 0

    def __post_init__(self) -> None:
        plan = MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU"}, PHONE, 101, 101)
        self.receiver = Receiver(plan, lambda digit, at: self.digits.append((digit, round(at, 3))))

    def hear(self, arrivals: Sequence[Timed], ticks: int) -> None:
        """Tick so often; packets reach the receiver at the tick that follows them, as on a socket."""
        waiting = iter([*arrivals, (float("inf"), b"")])
        at, data = next(waiting)
        for _ in range(ticks):
            now = 0.02 * self.ticks
            while at <= now:
                self.receiver.datagram(memoryview(data), len(data), PHONE, now)
                at, data = next(waiting)
            self.levels.append(int(np.abs(self.receiver.frame(now)).max()))
            self.delays_ms.append(self.receiver.jitter.queued_units // 8 + 20)
            self.ticks += 1

    @property
    def heard(self) -> str:
        """The keys that were pressed."""
        return "".join(digit for digit, _ in self.digits)


# ------------------------------------------------------------------ the line itself


def test_a_line_does_the_same_each_time_and_another_seed_something_else() -> None:
    """A failure has to come back."""
    line = Conditions(loss=0.1, jitter_s=0.06, duplicated=0.1, detour=0.1)
    assert carried(talk(500), line, 1) == carried(talk(500), line, 1)
    assert carried(talk(500), line, 1) != carried(talk(500), line, 2)
    assert carried(talk(500), Conditions(), 1) == talk(500)


def test_bursts_are_as_long_and_as_frequent_as_gilbert_and_elliott_say() -> None:
    """Share lost: begins / (begins + ends); mean length: 1 / ends."""
    arrived = {data for _, data in carried(talk(60_000), Conditions(burst_begins=0.02, burst_ends=0.25), 1)}
    fate = "".join("." if data in arrived else "x" for _, data in talk(60_000))
    bursts = [run for run in fate.split(".") if run]
    assert fate.count("x") / len(fate) == pytest.approx(0.02 / 0.27, rel=0.1)
    assert sum(map(len, bursts)) / len(bursts) == pytest.approx(4, rel=0.1)


def test_a_slow_clock_a_detour_and_a_new_source_are_what_they_say() -> None:
    """100 ppm are 6 ms a minute; a detour is overtaken; a restart changes SSRC, sequence and timestamp."""
    slow = carried(talk(3001), Conditions(skew_ppm=100), 1)
    assert slow[-1][0] - talk(3001)[-1][0] == pytest.approx(0.006)
    order = [data for _, data in carried(talk(500), Conditions(detour=0.1), 1)]
    assert sorted(order) == sorted(data for _, data in talk(500))
    assert order != [data for _, data in talk(500)]
    (_, before), (_, after) = carried(talk(2), Conditions(restarts_at=(1,)), 1)
    assert before == packet(0)
    assert all(after[a:b] != packet(1)[a:b] for a, b in ((2, 4), (4, 8), (8, 12)))
    assert (after[:2], after[12:]) == (packet(1)[:2], packet(1)[12:])


# ------------------------------------------------------------------ the delay


@pytest.mark.parametrize("seed", range(8))
def test_on_the_worst_of_lines_the_delay_stays_below_200_ms(seed: int) -> None:
    """Rows 53, 55, 65: bursts, 60 ms of jitter, detours, doubles, restarts and a slow clock, for four minutes."""
    line = Conditions(
        loss=0.05,
        burst_begins=0.01,
        jitter_s=0.06,
        in_order=bool(seed % 2),
        detour=0.05,
        detour_s=0.15,
        duplicated=0.1,
        skew_ppm=500,
        restarts_at=(1000, 5000, 5003),
    )
    ear = Ear()
    ear.hear(carried(talk(12_000, pause_every=60), line, seed), 12_000)
    assert max(ear.delays_ms) <= MOST_MS
    assert ear.receiver.sources >= 3
    assert sum(level > 2000 for level in ear.levels) > 4000  # of some 6000 ticks in which the caller speaks


@pytest.mark.parametrize("seed", range(4))
def test_after_a_bad_minute_the_delay_goes_back_to_its_floor(seed: int) -> None:
    """Row 55: a minute of jitter, loss and bursts; ten seconds later the line is heard as if nothing had been."""
    bad = Conditions(loss=0.03, burst_begins=0.02, jitter_s=0.06, detour=0.05, detour_s=0.1)
    ear = Ear()
    ear.hear([*carried(talk(3000, pause_every=50), bad, seed), *talk(2000, 50, first=3005)], 5000)
    assert max(ear.delays_ms[1000:3000]) > 60
    assert set(ear.delays_ms[-1000:-10]) == {20}


@pytest.mark.parametrize("muted_ms", [200, 1000, 5000])
@pytest.mark.parametrize("marker", [True, False])
def test_a_pause_without_packets_leaves_no_delay_whether_or_not_a_marker_ends_it(
    muted_ms: int, marker: bool
) -> None:
    """Row 55: silence suppression. The timestamp goes on, the sequence does not; RFC 3551 §4.1 asks for a marker."""
    ticks = muted_ms // 20
    behind = [
        (
            FIRST_AT + 0.02 * (n + ticks),
            packet(n, marker=marker and n == 100, timestamp=0xFFFFFC00 + 160 * (n + ticks)),
        )
        for n in range(100, 200)
    ]
    ear = Ear()
    ear.hear([*talk(100, 25), *behind], 195 + ticks)
    assert ear.receiver.stats.lost == 0
    assert set(ear.delays_ms[-50:]) == {20}
    spoken = [n for n, level in enumerate(ear.levels) if level > 3500]
    assert {101 + ticks, 102 + ticks} & set(spoken)  # on the tick of the first packet, or one later
    assert ear.receiver.jitter.late == 0


def test_200_ms_held_back_and_delivered_at_once_are_heard_whole() -> None:
    """Row 55: nothing is lost, and in the next pauses the delay is made good."""
    arrivals = [(2.18 + FIRST_AT if 2.0 < at < 2.18 else at, data) for at, data in talk(600, 25)]
    ear = Ear()
    ear.hear(arrivals, 600)
    assert (ear.receiver.jitter.trimmed, ear.receiver.jitter.late) == (0, 0)
    assert 150 <= max(ear.delays_ms) <= MOST_MS
    assert set(ear.delays_ms[-200:]) == {20}


@pytest.mark.parametrize("jump", [8000 * 3600, -8000 * 3600, -480, 1])
def test_a_timestamp_that_jumps_on_a_marker_or_without_costs_no_sound(jump: int) -> None:
    """Row 55: gateways restart their clock at a talk spurt, some without saying so."""
    for marker in (True, False):
        moved = [
            (FIRST_AT + 0.02 * n, packet(n, marker=marker and n == 50, timestamp=0xFFFFFC00 + 160 * n + jump))
            for n in range(50, 150)
        ]
        ear = Ear()
        ear.hear([*talk(50), *moved], 150)
        assert min(ear.levels[3:]) > 3000
        assert max(ear.delays_ms) <= 60


@pytest.mark.parametrize("ppm", [100, -100])
def test_a_clock_that_is_wrong_by_100_ppm_costs_one_frame_of_silence_every_200_s(ppm: int) -> None:
    """Row 65: an hour drifts by 360 ms, 18 frames. They are left out of pauses, or repeated; the delay stays."""
    ear = Ear()
    ear.hear(carried(talk(180_000, pause_every=100), Conditions(skew_ppm=ppm), 1), 180_000)
    assert max(ear.delays_ms) <= 60
    receiver = ear.receiver
    assert (receiver.jitter.late, receiver.jitter.trimmed) == (0, 0)
    if ppm < 0:
        assert 15 <= receiver.left_out <= 22
        spoken = sum(level > 3500 for level in ear.levels)
        assert spoken >= 89_990  # of 90,000 loud packets: what was left out was silence
    else:
        assert receiver.left_out <= 20
        assert receiver.concealer.concealed <= 25 * 160


# ------------------------------------------------------------------ keys


def press(
    first: int,
    code: int,
    durations: Sequence[int],
    *,
    ends: int = 3,
    marker: bool = True,
    stamps: Sequence[int] | None = None,
) -> list[Timed]:
    """A key held down from packet `first` on, one event a packet, then its ends. stamps: each packet's own."""
    events = [(duration, 0) for duration in durations] + [(durations[-1], 0x80)] * ends
    return [
        (
            FIRST_AT + 0.02 * (first + n),
            packet(
                first + n,
                struct.pack("!BBH", code, 10 | end, duration),
                kind=101,
                marker=marker and n == 0,
                timestamp=stamps[n] if stamps else 160 * first,
            ),
        )
        for n, (duration, end) in enumerate(events)
    ]


GROWING = [160, 320, 480, 640, 800]


@pytest.mark.parametrize(
    ("marker", "ends", "kept"),
    [
        (True, 3, slice(None)),
        (False, 3, slice(None)),
        (True, 0, slice(None)),
        (False, 0, slice(None)),
        (False, 1, slice(-1, None)),
        (False, 3, slice(2, 4)),
    ],
)
def test_one_key_is_one_digit_without_marker_or_end(marker: bool, ends: int, kept: slice) -> None:
    """Row 59: whichever packets arrive. And the caller is heard again though the end was lost."""
    keys = press(10, 5, GROWING, marker=marker, ends=ends)[kept]
    ear = Ear()
    ear.hear([*talk(10), *keys, *talk(50, first=18)], 68)
    assert ear.heard == "5"
    assert min(ear.levels[30:]) > 3500


def test_a_gateway_whose_timestamps_move_within_a_key_sends_one_digit() -> None:
    """Row 59: rtpengine's trouble. Each packet its own timestamp, the ends yet another."""
    stamps = [1600 + 160 * n for n in range(5)] + [2560] * 3
    ear = Ear()
    ear.hear([*talk(10), *press(10, 7, GROWING, stamps=stamps, marker=False), *talk(20, first=18)], 40)
    assert ear.heard == "7"


@pytest.mark.parametrize("seed", range(6))
def test_a_number_keyed_over_a_bad_line_arrives_digit_by_digit(seed: int) -> None:
    """Rows 59, 60: ten keys, two of them twice, with loss, jitter, detours and doubles; 60 ms between keys."""
    sent: list[Timed] = []
    number = [5, 5, 0, 3, 11, 1, 1, 9, 10, 2]
    for n, code in enumerate(number):
        sent += press(20 + 11 * n, code, GROWING)
        sent += talk(3, first=28 + 11 * n)
    line = Conditions(loss=0.05, jitter_s=0.06, in_order=seed % 2 == 0, detour=0.05, duplicated=0.1)
    ear = Ear()
    ear.hear(carried([*talk(20), *sent], line, seed), 160)
    assert ear.heard == "5503#119*2"


def test_a_key_held_for_20_seconds_is_one_digit_and_the_next_one_another() -> None:
    """Row 60, RFC 4733 §2.5.1.3: a duration beyond 0xFFFF goes on in another segment, or stays at the largest."""
    segmented, first = [], 10
    for segment in range(3):
        durations = [min(160 * (n + 1), 0xFFFF) for n in range(410)]
        stamps = [1600 + 0xFFFF * segment] * 413
        segmented += press(first, 4, durations, ends=3 * (segment == 2), marker=segment == 0, stamps=stamps)
        first += 410
    ear = Ear()
    ear.hear([*segmented, *press(first + 6, 4, GROWING)], first + 20)
    assert ear.heard == "44"
    stuck = press(10, 6, [min(160 * (n + 1), 0xFFFF) for n in range(1000)])
    ear = Ear()
    ear.hear([*stuck, *press(1020, 6, GROWING)], 1040)
    assert ear.heard == "66"


def test_a_hook_flash_is_no_digit_and_silences_nobody() -> None:
    """Row 60: event 16 while the caller speaks (packets of both kinds, one timestamp)."""
    flash = press(30, 16, GROWING)
    ear = Ear()
    ear.hear(sorted([*talk(30), *flash, *talk(62, first=38)]), 95)
    assert ear.heard == ""
    assert min(ear.levels[45:]) > 3500


# ------------------------------------------------------------------ what is no sound


@pytest.mark.parametrize("kind", [13, 19, 96, 34])
def test_comfort_noise_and_unknown_types_between_words_change_neither_delay_nor_schedule(kind: int) -> None:
    """Row 61: PT 13 and 19 fill a pause with one packet each 200 ms; CN resets nothing, and is never decoded."""
    noise = [
        (FIRST_AT + 0.02 * n, packet(100 + (n - 100) // 10, b"\x40", kind=kind, timestamp=160 * n - 0x400))
        for n in range(100, 200, 10)
    ]
    behind = [
        (FIRST_AT + 0.02 * n, packet(n - 90, timestamp=160 * n - 0x400, marker=n == 200))
        for n in range(200, 300)
    ]
    ear = Ear()
    ear.hear([*talk(100, 25), *noise, *behind], 300)
    assert max(ear.levels[110:200]) == 0
    assert min(ear.levels[203:]) > 3500
    assert (ear.receiver.stats.lost, ear.receiver.sources) == (0, 1)
    assert set(ear.delays_ms[-20:]) <= {20, 40}


def test_padding_contributors_and_extensions_in_any_mixture_are_stepped_over() -> None:
    """Row 62: fifteen contributors, a one-byte extension, 255 bytes of padding, and all of them."""
    dressed = []
    for n in range(80):
        plain, flags, head, tail = packet(n), 0x80, b"", b""
        if n & 1:
            flags, head = flags | 15, b"csrc" * 15
        if n & 2:
            flags, head = flags | 0x10, head + b"\xbe\xde\0\3" + b"\x10\x7f" + bytes(10)
        if n & 4:
            flags, tail = flags | 0x20, bytes(254) + b"\xff"
        dressed.append((FIRST_AT + 0.02 * n, bytes([flags]) + plain[1:12] + head + plain[12:] + tail))
    ear = Ear()
    ear.hear(dressed, 80)
    assert set(ear.levels[3:]) == {ear.levels[10]}
    assert ear.receiver.malformed == 0
