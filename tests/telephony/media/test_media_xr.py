"""RTCP XR on the wire (RFC 3611), and RTCP as a hostile peer writes it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import MediaError
from telephony.media.report import SourceStats
from telephony.media.rtcp import Control, Reports, parse
from telephony.media.xr import VoipMetrics, read, write

FULL = VoipMetrics(
    ssrc=0xCA11,
    missing=0.25,
    discarded=0.125,
    burst_density=0.5,
    gap_density=0.0625,
    burst_ms=400,
    gap_ms=9000,
    round_trip_ms=80,
    end_system_ms=60,
    r_factor=71,
    mos_listening=3.9,
    mos=3.6,
    buffer_ms=40,
    buffer_most_ms=200,
)


def extended(blocks: bytes, ssrc: int = 2) -> bytes:
    """A receiver report and an XR packet around these blocks."""
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc) + (
        struct.pack("!BBHI", 0x80, 207, 1 + len(blocks) // 4, ssrc) + blocks
    )


def test_the_block_lies_on_the_wire_as_the_rfc_draws_it() -> None:
    """RFC 3611 §4.7: 36 bytes, type 7, length 8; shares in 256ths, scores in tenths, unknown is 127."""
    data = write(FULL)
    assert len(data) == 36
    assert data[:8] == struct.pack("!BBHI", 7, 0, 8, 0xCA11)
    assert data[8:12] == bytes((64, 32, 128, 16))
    assert data[12:20] == struct.pack("!HHHH", 400, 9000, 80, 60)
    assert data[20:28] == bytes((127, 127, 127, 16, 71, 127, 39, 36))
    assert data[30:] == struct.pack("!HHH", 40, 200, 200)


def test_what_is_written_reads_back() -> None:
    """With everything known and with nothing."""
    for metrics in (FULL, VoipMetrics(7)):
        data = write(metrics)
        assert list(read(data, 0, len(data))) == [metrics]


def test_values_beyond_their_field_stand_at_its_end() -> None:
    """A call that lost everything and burst for ever."""
    data = write(
        FULL._replace(missing=1.0, burst_ms=10**9, gap_ms=-3, r_factor=120, mos=0.5, mos_listening=9.9)
    )
    (back,) = read(data, 0, len(data))
    assert (back.missing, back.burst_ms, back.gap_ms) == (255 / 256, 65535, 0)
    assert (back.r_factor, back.mos, back.mos_listening) == (100, 1.0, 5.0)


def test_the_peer_s_view_of_us_is_read_and_that_of_others_is_not() -> None:
    """A mixer reports on every leg; unknown and reserved scores stay unknown."""
    ours = Control(0xCA11)
    other, mine = extended(write(FULL._replace(ssrc=99))), extended(write(FULL))
    ours.receive(parse(other, len(other)), 1.0)
    assert ours.remote_quality is None
    ours.receive(parse(mine, len(mine)), 1.0)
    assert ours.remote_quality == FULL


def test_our_report_carries_the_block_behind_sender_report_and_name() -> None:
    """RFC 3550 §6.1: a compound packet begins with SR or RR and has an SDES."""
    data = Control(5).compose(9.0, 0, 3, 3, 0xCA11, SourceStats(), FULL)
    kinds, at = [], 0
    while at < len(data):
        kinds.append(data[at + 1])
        at += 4 * (1 + int(struct.unpack_from("!H", data, at + 2)[0]))
    assert (kinds, at) == ([200, 202, 207], len(data))
    assert parse(data, len(data)).voip == (FULL,)


def test_other_blocks_are_stepped_over_and_a_broken_one_ends_the_reading() -> None:
    """RFC 3611 §3, §4: loss run lengths, a reference time; then a length that points behind the packet."""
    others = struct.pack("!BBHI", 1, 0, 2, 5) + b"\0\1\0\2" + struct.pack("!BBHQ", 4, 0, 2, 9)
    data = extended(others + write(FULL))
    assert parse(data, len(data)).voip == (FULL,)
    broken = extended(write(FULL) + struct.pack("!BBHI", 7, 0, 400, 1))
    assert parse(broken, len(broken)).voip == (FULL,)
    short = extended(struct.pack("!BBHI", 7, 0, 1, 0xCA11))
    assert parse(short, len(short)).voip == ()


WORDS = st.binary(max_size=80).map(lambda data: data[: len(data) // 4 * 4])
PACKETS = st.builds(
    lambda flags, kind, body, lie: (
        struct.pack("!BBH", 0x80 | flags, kind, (len(body) // 4 + lie) & 0xFFFF) + body
    ),
    st.integers(0, 63),
    st.sampled_from([200, 201, 202, 203, 204, 207, 207, 207, 255]),
    st.one_of(WORDS, WORDS.map(lambda more: b"\0\0\0\2" + write(FULL) + more)),
    st.sampled_from([0, 0, 0, 0, 1, -1, 500]),
)


def read_or_refused(data: bytes) -> Reports | None:
    try:
        return parse(data, len(data))
    except MediaError:
        return None


@given(st.lists(PACKETS, max_size=5).map(b"".join), st.binary(max_size=7))
def test_any_compound_packet_is_read_or_refused_and_the_next_report_goes_out(
    data: bytes, tail: bytes
) -> None:
    """Our own error or none, values within their range, and a Control that still composes."""
    control = Control(0xCA11)
    reports = read_or_refused(data + tail)
    if reports is not None:
        for metrics in reports.voip:
            assert 0 <= metrics.missing < 1
            assert metrics.mos is None or 1 <= metrics.mos <= 5
            assert metrics.r_factor is None or 0 <= metrics.r_factor <= 100
        control.receive(reports, 7.0)
    sent = control.compose(8.0, 0, 1, 1, 9, SourceStats(), control.remote_quality)
    assert parse(sent, len(sent)).ssrc == 0xCA11


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No struct.error, no IndexError."""
    read_or_refused(data)


@given(st.binary(max_size=300).map(lambda body: b"\x80\xcf\0\x08" + body))
def test_any_extended_report_is_read_or_refused(data: bytes) -> None:
    """RFC 3611 with everything behind its first word made up."""
    read_or_refused(data)
