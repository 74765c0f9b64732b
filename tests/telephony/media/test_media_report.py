"""Counting packets (RFC 3550 appendix A) and telling the peer (RTCP)."""

from __future__ import annotations

import struct

import pytest

from telephony.errors import MediaError
from telephony.media.report import MediaReport, SourceStats
from telephony.media.rtcp import Control, parse


def count(sequences: list[int]) -> SourceStats:
    stats = SourceStats()
    stats.begin(sequences[0])
    for sequence in sequences:
        stats.packet(sequence)
    return stats


def test_loss_is_what_the_sequence_numbers_leave_out() -> None:
    """RFC 3550 A.3, across the wrap of sixteen bits."""
    stats = count([65533, 65534, 1, 2, 3, 5])
    assert (stats.expected, stats.received, stats.lost) == (9, 6, 3)
    assert stats.highest == 65536 + 5


def test_a_stream_that_begins_at_zero_loses_nothing() -> None:
    """The first sequence number is any, zero too."""
    assert count([0, 1, 2]).lost == 0


def test_reordered_packets_are_not_lost_and_duplicates_do_not_hide_loss_below_zero() -> None:
    """RFC 3550 A.3: duplicates make the loss negative for RTCP; our own count stops at none."""
    assert count([1, 3, 2, 4]).lost == 0
    stats = count([1, 2, 2, 2])
    assert (stats.lost, stats.lost_now) == (0, -2)


def test_totals_go_on_when_another_source_begins() -> None:
    """After a transfer the call's loss is that of both."""
    stats = count([10, 12])
    stats.begin(5000)
    for sequence in (5000, 5001, 5003):
        stats.packet(sequence)
    assert (stats.expected, stats.received, stats.lost, stats.lost_now) == (7, 5, 2, 1)


def test_the_fraction_lost_is_that_of_the_last_interval() -> None:
    """RFC 3550 A.3: 256ths since the last report."""
    stats = count([1, 2, 4])
    assert stats.fraction_lost() == 64
    for sequence in (5, 6, 7):
        stats.packet(sequence)
    assert stats.fraction_lost() == 0


def test_jitter_is_zero_on_an_even_line_and_settles_on_an_uneven_one() -> None:
    """RFC 3550 A.8: J += (|D| - J) / 16; here |D| is always 80 units."""
    even, uneven = SourceStats(), SourceStats()
    for n in range(200):
        even.arrival(0xFFFFFF00 + n * 160 & 0xFFFFFFFF, n * 160)
        uneven.arrival(n * 160, n * 160 + 80 * (n % 2))
    assert even.jitter == 0
    assert uneven.jitter == pytest.approx(80, rel=0.01)


def test_broken_off_timestamps_are_no_jitter() -> None:
    """A gateway that restarts its clock must not report an hour of jitter."""
    stats = SourceStats()
    for n in range(100):
        stats.arrival(n * 160 + (10_000_000 if n >= 50 else 0), n * 160)
    assert stats.jitter == 0


def test_a_report_is_plain_values() -> None:
    """It goes into the journal and the call record."""
    row = MediaReport(sent=3, round_trip_ms=20.5).dump()
    assert row["sent"] == 3
    assert all(value is None or isinstance(value, int | float | str) for value in row.values())


def test_our_sender_report_reads_back() -> None:
    """RFC 3550 §6.4.1, §6.5: SR with one block, then SDES with a CNAME, each a multiple of four bytes."""
    stats = count([100, 101, 103, 104])
    stats.jitter = 33.7
    data = Control(0xABCD).compose(1000.5, 160_000, 50, 8000, 0x1234, stats)
    assert len(data) % 4 == 0
    reports = parse(data, len(data))
    assert reports.ssrc == 0xABCD
    assert reports.sent_at == 1000 << 16 | 0x8000
    (block,) = reports.blocks
    assert (block.ssrc, block.fraction_lost, block.lost, block.highest) == (0x1234, 256 // 5, 1, 104)
    assert (block.jitter, block.last_report, block.delay) == (33, 0, 0)
    assert struct.unpack_from("!IIII", data, 8)[2:] == (160_000, 50)
    assert b"0000abcd@offhook\0" in data


def test_who_has_sent_nothing_reports_as_a_receiver() -> None:
    """RFC 3550 §6.4.2: on hold, or before anything was heard."""
    data = Control(7).compose(1.0, 0, 0, 0, None, SourceStats())
    assert data[:8] == struct.pack("!BBHI", 0x80, 201, 1, 7)
    assert parse(data, len(data)).blocks == ()


def test_negative_loss_survives_the_24_bits() -> None:
    """RFC 3550 A.3: more duplicates than losses."""
    data = Control(7).compose(1.0, 0, 0, 0, 9, count([1, 1, 1]))
    assert parse(data, len(data)).blocks[0].lost == -2


def test_the_round_trip_is_what_lies_between_report_and_echo() -> None:
    """RFC 3550 §6.4.1, figure 2: A - LSR - DLSR, here 130 ms of which the peer held it for 100 ms."""
    ours, theirs = Control(1), Control(2)
    stats = count([1, 3])
    sent = ours.compose(100.0, 0, 5, 800, 2, SourceStats())
    theirs.receive(parse(sent, len(sent)), 5000.015)
    back = theirs.compose(5000.115, 0, 5, 800, 1, stats)
    ours.receive(parse(back, len(back)), 100.13)
    assert ours.round_trip_s == pytest.approx(0.03, abs=0.0001)
    assert ours.remote_loss == pytest.approx(1 / 3, abs=0.01)


def test_reports_about_others_are_not_ours() -> None:
    """A mixer reports on every leg."""
    ours = Control(1)
    other = Control(2).compose(1.0, 0, 1, 1, 999, count([1, 9]))
    ours.receive(parse(other, len(other)), 1.0)
    assert ours.remote_loss is None


def test_reports_are_due_every_five_seconds_and_not_in_a_burst_after_a_stall() -> None:
    """RFC 3550 §6.2; the first after half an interval."""
    control = Control(1)
    due = [n / 10 for n in range(200) if control.due(n / 10)]
    assert due == [2.5, 7.5, 12.5, 17.5]
    assert [control.due(100.0), control.due(100.02), control.due(104.9)] == [True, False, False]


@pytest.mark.parametrize(
    "packet",
    [b"", b"\x80\xc8\0\0", b"\x80\xc8\0\x09" + bytes(8), b"\x40\xc9\0\x01" + bytes(4)],
)
def test_lengths_that_do_not_add_up_are_refused(packet: bytes) -> None:
    """RFC 3550 A.2."""
    with pytest.raises(MediaError, match="RTCP"):
        parse(packet, len(packet))


def test_a_count_larger_than_the_packet_reads_what_is_there() -> None:
    """31 blocks promised, none present."""
    packet = struct.pack("!BBHI", 0x9F, 201, 1, 7)
    assert parse(packet, len(packet)).blocks == ()
