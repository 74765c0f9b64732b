"""The jitter buffer in virtual time: seeded networks in, what was played and how late out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from telephony.media.jitter import JitterBuffer

UNITS = 160  # 20 ms at 8000 Hz
Arrival = tuple[float, int, int, int, int]  # time, sequence, timestamp, units, which packet of the talker


@dataclass
class Heard:
    """What one simulated call gave."""

    buffer: JitterBuffer = field(default_factory=lambda: JitterBuffer(8000))
    packets: list[int] = field(default_factory=list)  # in the order they were played
    ticks: list[int] = field(default_factory=list)  # when each of them was
    missing_units: int = 0
    delays_ms: list[int] = field(default_factory=list)  # after each tick: what waits, and the frame played


def listen(arrivals: Iterable[Arrival], seconds: float, *, quiet: bool = True) -> Heard:
    """Tick every 20 ms. quiet: surplus may be left out at once; False: the caller never stops talking."""
    heard, waiting, held = Heard(), sorted(arrivals), 0
    buffer = heard.buffer
    for tick in range(round(seconds * 50)):
        now = tick * 0.02
        while waiting and waiting[0][0] <= now:
            _, sequence, timestamp, units, name = waiting.pop(0)
            buffer.push(
                sequence & 0xFFFF, timestamp & 0xFFFFFFFF, units, (0, name.to_bytes(4, "big") + bytes(units))
            )
        leave_out = quiet and buffer.surplus > 0 and buffer.queued_units + held >= 2 * UNITS
        for _ in range(1 + leave_out):
            while held < UNITS:
                got = buffer.pull(UNITS - held)
                if isinstance(got, int):
                    assert 1 <= got <= UNITS - held
                    heard.missing_units += got
                    held += got
                else:
                    held += len(got[1]) - 4
                    heard.packets.append(int.from_bytes(got[1][:4], "big"))
                    heard.ticks.append(tick)
            held -= UNITS
        if leave_out:
            buffer.left_out()
        buffer.settle(held)
        heard.delays_ms.append((buffer.queued_units + held) // 8 + 20)
    return heard


def talk(
    count: int,
    *,
    network: Callable[[random.Random], float] = lambda _: 0.0,
    lost: float = 0.0,
    fifo: bool = True,
    skew: float = 0.0,
    seed: int = 1,
    first: int = 0,
    start: float = 0.003,
) -> list[Arrival]:
    """A talker's packets as a network delivers them; sequence and timestamp wrap early on."""
    dice, arrivals, latest = random.Random(seed), [], 0.0
    for name in range(first, first + count):
        at = start + name * 0.02 * (1 + skew) + network(dice)
        latest = at = max(at, latest) if fifo else at
        if dice.random() >= lost:
            arrivals.append((at, 65500 + name, 0xFFFFF000 + name * UNITS, UNITS, name))
    return arrivals


def assert_in_order_and_once(heard: Heard) -> None:
    assert heard.packets == sorted(set(heard.packets))


def test_a_clean_line_settles_at_one_frame_and_loses_nothing_but_surplus() -> None:
    """DESIGN §5: begins at 40 ms, and within a second is at the 20 ms of the frame being played."""
    heard = listen(talk(500), 11)
    assert heard.packets == list(range(500))
    assert heard.delays_ms[2] == 40
    assert set(heard.delays_ms[60:]) == {20}
    assert heard.buffer.late == heard.buffer.stretched == 0


def test_a_caller_who_never_pauses_keeps_every_word() -> None:
    """While nothing may be left out the delay stays; it does not grow."""
    heard = listen(talk(500), 11, quiet=False)
    assert heard.packets == list(range(500))
    assert max(heard.delays_ms) == 40
    assert heard.buffer.surplus == 1


def test_lost_packets_leave_holes_of_their_length_and_cost_no_delay() -> None:
    """RFC 3550: time goes on through a loss."""
    heard = listen(talk(1000, lost=0.05), 21)
    assert_in_order_and_once(heard)
    assert len(heard.packets) == len(talk(1000, lost=0.05))
    assert heard.delays_ms[-1] == 20
    assert heard.buffer.late == 0


@pytest.mark.parametrize("worst", [0.01, 0.03, 0.06, 0.12])
def test_delay_follows_the_jitter_of_the_network(worst: float) -> None:
    """Adaptive 20-200 ms: few packets late, delay within two frames of what the network needs."""
    heard = listen(talk(3000, network=lambda dice: dice.uniform(0, worst)), 60)
    assert_in_order_and_once(heard)
    assert len(heard.packets) >= 2980
    assert heard.buffer.late == 0  # a late packet is played late, not thrown away
    assert max(heard.delays_ms[500:]) <= worst * 1000 + 60


def test_reordering_networks_are_put_in_order() -> None:
    """RFC 3550 A.1: a packet up to a hundred behind is the same stream."""
    heard = listen(talk(3000, network=lambda dice: dice.uniform(0, 0.06), fifo=False), 60)
    assert heard.buffer.reordered > 500
    assert_in_order_and_once(heard)
    assert len(heard.packets) >= 2970
    assert heard.packets[-1] >= 2990


def test_a_network_that_always_reorders_is_waited_for() -> None:
    """Every tenth packet takes a detour of 50 ms: the first few are missed, then the delay covers it."""
    arrivals = [(at + (0.05 if name % 10 == 9 else 0), *rest, name) for at, *rest, name in talk(1000)]
    heard = listen(arrivals, 21)  # type: ignore[arg-type]
    assert_in_order_and_once(heard)
    assert 1 <= heard.buffer.late <= 5
    assert max(heard.delays_ms[-200:-100]) >= 60


def test_regular_hiccups_are_waited_for_rather_than_suffered_each_time() -> None:
    """A wireless hop that stops for 90 ms every 1.5 s: the delay is not lowered between two of them."""
    arrivals = [(at + max(0.0, 0.09 - at % 1.5), *rest) for at, *rest in talk(6000, start=1.003)]
    heard = listen(arrivals, 122)  # type: ignore[arg-type]
    assert_in_order_and_once(heard)
    assert heard.buffer.stretched <= 30  # of eighty


def test_the_delay_is_lowered_for_a_caller_who_sends_nothing_in_his_pauses() -> None:
    """Silence suppression after every half second: a pause says nothing about the delay."""
    packets = [packet for packet in talk(1000) if packet[4] // 25 % 2 == 0]
    renumbered = [(at, 65500 + n, ts, u, name) for n, (at, _, ts, u, name) in enumerate(packets)]
    heard = listen(renumbered, 21)
    assert heard.packets == [packet[4] for packet in packets]
    assert max(heard.delays_ms[500:]) == 20


def test_duplicates_are_dropped_and_counted() -> None:
    """Some networks deliver everything twice, early or late."""
    once = talk(200)
    again = [(at + 0.045, *rest) for at, *rest in once]
    heard = listen([*once, *again], 5)  # type: ignore[list-item]
    assert heard.packets == list(range(200))
    assert heard.buffer.duplicates == 200


def test_a_burst_after_a_network_stall_does_not_leave_a_standing_delay() -> None:
    """Row 55: 200 ms held back and then delivered at once."""
    held_back = [(1.203 if 1.0 < at < 1.2 else at, *rest) for at, *rest in talk(1000)]
    heard = listen(held_back, 21)  # type: ignore[arg-type]
    assert_in_order_and_once(heard)
    assert 150 <= max(heard.delays_ms) <= 220
    assert max(heard.delays_ms[125:]) <= 80  # most of it within the next second
    assert set(heard.delays_ms[-100:]) == {20}


def test_backlog_older_than_200_ms_is_dropped_at_once() -> None:
    """A process that stood still for three seconds goes on with the present, not the past."""
    stalled = [(4.0 if 1.0 < at < 4.0 else at, *rest) for at, *rest in talk(500)]
    heard = listen(stalled, 11)  # type: ignore[arg-type]
    assert_in_order_and_once(heard)
    assert heard.buffer.trimmed >= 130
    first_after = heard.packets[next(i for i, tick in enumerate(heard.ticks) if tick >= 200)]
    assert first_after >= 188
    assert max(heard.delays_ms) <= 220
    assert heard.packets[-1] == 499


@pytest.mark.parametrize("skew", [1e-4, -1e-4, 1e-3, -1e-3])
def test_clock_skew_keeps_the_delay_bounded_for_an_hour(skew: float) -> None:
    """Row 65: 100 ppm and ten times that, sixty minutes."""
    count = 180_000 if abs(skew) < 1e-3 else 30_000
    heard = listen(talk(count, skew=skew), count * 0.02)
    assert_in_order_and_once(heard)
    assert max(heard.delays_ms) <= 60
    assert heard.buffer.late == 0


def test_silence_suppression_keeps_schedule_and_delay() -> None:
    """Row 55: five seconds without packets, timestamps going on through them."""
    packets = [packet for packet in talk(600) if not 100 <= packet[4] < 350]
    renumbered = [(at, 65500 + n, ts, u, name) for n, (at, _, ts, u, name) in enumerate(packets)]
    heard = listen(renumbered, 13)
    assert heard.packets == [packet[4] for packet in packets]
    assert heard.delays_ms[-1] == 20


@pytest.mark.parametrize("jump", [8000 * 60, -8000 * 60, 2**31 + 5, -480, 1])
def test_timestamps_that_break_off_play_on_without_a_hole(jump: int) -> None:
    """Row 55: gateways restart their clock in mid-call without changing sequence or SSRC."""
    packets = [(at, seq, ts + (jump if name >= 100 else 0), u, name) for at, seq, ts, u, name in talk(300)]
    heard = listen(packets, 7)
    assert heard.packets == list(range(300))
    assert max(heard.delays_ms) <= 220


def test_a_talker_who_holds_his_timestamps_while_muted_is_played_at_once() -> None:
    """Some phones stop clock and packets together; the pause must not become delay."""
    packets = [(at + (3.0 if name >= 100 else 0), seq, ts, u, name) for at, seq, ts, u, name in talk(300)]
    heard = listen(packets, 10)
    assert heard.packets == list(range(300))
    assert heard.delays_ms[-1] == 20


def test_a_source_that_starts_anew_is_believed_on_its_second_packet() -> None:
    """RFC 3550 A.1: two in a row with another sequence, same SSRC."""
    packets = [(at, seq + (30000 if name >= 100 else 0), ts, u, name) for at, seq, ts, u, name in talk(300)]
    heard = listen(packets, 7)
    assert heard.packets == [*range(100), *range(101, 300)]
    assert heard.buffer.strays == 1


def test_one_stray_sequence_number_changes_nothing() -> None:
    """RFC 3550 A.1: a corrupted header must not restart the stream."""
    heard = listen([*talk(100), (1.011, 30000, 5, UNITS, 9999)], 3)
    assert heard.packets == list(range(100))
    assert heard.buffer.strays == 1


@pytest.mark.parametrize("lengths", [(80,), (240,), (320,), (480,), (80, 240), (33, 160, 400)])
def test_packets_of_any_length_are_played_whole(lengths: tuple[int, ...]) -> None:
    """Row 49: 10, 30, 40 and 60 ms, mixed, and lengths that are no multiple of anything."""
    packets: list[Arrival] = []
    timestamp = 1000
    for name in range(200):
        units = lengths[name % len(lengths)]
        timestamp += units
        packets.append((timestamp / 8000, name, timestamp - units, units, name))  # sent when it is full
    total = timestamp - 1000
    heard = listen(packets, total / 8000 + 1)
    assert heard.packets == list(range(200))
    steady = heard.delays_ms[100 : total // UNITS - 5]
    assert not steady or max(steady) <= 20 + max(lengths) // 8 + 20


def test_reset_forgets_the_old_source_at_once() -> None:
    """Row 53: another SSRC has unrelated numbers; the first of its packets is heard 20 ms later."""
    buffer = JitterBuffer(8000)
    for name in range(5):
        buffer.push(name, name * UNITS, UNITS, (0, b"old"))
    buffer.reset()
    buffer.push(40000, 123456789, UNITS, (0, b"new"))
    assert buffer.pull(UNITS) == UNITS
    assert buffer.pull(UNITS) == (0, b"new")


def test_before_the_first_packet_everything_is_missing() -> None:
    """An answered call whose caller has not sent yet."""
    buffer = JitterBuffer(8000)
    assert [buffer.pull(UNITS) for _ in range(100)] == [UNITS] * 100
    buffer.push(1, 1, UNITS, (0, b"x"))
    assert [buffer.pull(UNITS), buffer.pull(UNITS)] == [UNITS, (0, b"x")]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_network_does_order_and_bounds_hold(seed: int) -> None:
    """Loss, bursts, jitter, reordering, duplicates and skew together."""
    dice = random.Random(seed)

    def network(dice: random.Random) -> float:
        return dice.choice((0.0, 0.0, 0.0, dice.expovariate(50), 0.15 if dice.random() < 0.01 else 0.0))

    packets = talk(1500, network=network, lost=dice.uniform(0, 0.1), fifo=dice.random() < 0.5, seed=seed)
    packets += dice.sample(packets, 100)
    heard = listen(packets, 31, quiet=dice.random() < 0.5)
    assert_in_order_and_once(heard)
    assert max(heard.delays_ms) <= 220
    assert heard.buffer.duplicates >= 90
    unique = len({packet[4] for packet in packets})
    dropped = heard.buffer.late + heard.buffer.trimmed
    assert unique - dropped - 15 <= len(heard.packets) <= unique
