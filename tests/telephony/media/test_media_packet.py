"""The RTP header and what else arrives on a media port, byte by byte."""

from __future__ import annotations

import struct

import pytest

from telephony.errors import MediaError
from telephony.media.packet import kind_of, parse, write_header

PLAIN = struct.pack("!BBHII", 0x80, 0, 65535, 0xFFFFFF60, 0xDEADBEEF) + b"sound"


def test_a_plain_packet_is_read() -> None:
    """RFC 3550 §5.1."""
    header = parse(PLAIN, len(PLAIN))
    assert header == (0, False, 65535, 0xFFFFFF60, 0xDEADBEEF, 12, 17)


def test_the_marker_is_not_part_of_the_payload_type() -> None:
    """RFC 3550 §5.1: one bit marker, seven bits type."""
    header = parse(b"\x80\xe5" + PLAIN[2:], len(PLAIN))
    assert (header.marker, header.payload_type) == (True, 101)


def test_contributing_sources_extension_and_padding_are_stepped_over() -> None:
    """RFC 3550 §5.1, §5.3.1: all three at once."""
    extension = struct.pack("!HH", 0xBEDE, 2) + b"12345678"
    packet = b"\xb2" + PLAIN[1:12] + b"csrccsrc" + extension + b"sound" + b"\0\0\3"
    header = parse(packet, len(packet))
    assert packet[header.start : header.end] == b"sound"


def test_only_the_filled_part_of_the_buffer_counts() -> None:
    """The receive buffer is larger than the datagram and still holds the last one."""
    header = parse(bytearray(PLAIN + b"stale"), len(PLAIN))
    assert header.end == len(PLAIN)


def test_a_bare_header_is_an_empty_packet() -> None:
    """Twelve bytes are valid RTP: some gateways send them as a keepalive (RFC 6263 §4.1)."""
    header = parse(PLAIN, 12)
    assert header.start == header.end


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (b"", "0 bytes"),
        (PLAIN[:11], "header alone takes 12"),
        (b"\x40" + PLAIN[1:], "version 1"),
        (b"\x00" + PLAIN[1:], "version 0"),
        (b"\x8f" + PLAIN[1:], "overlap"),  # fifteen contributing sources in five bytes
        (b"\x90" + PLAIN[1:14], "extension is cut off"),
        (b"\x90" + PLAIN[1:12] + b"\0\0\xff\xff", "overlap"),
        (b"\xa0" + PLAIN[1:12] + b"\0", "padding of 0"),
        (b"\xa0" + PLAIN[1:12] + b"\x09", "overlap"),
    ],
)
def test_what_does_not_add_up_is_refused(packet: bytes, said: str) -> None:
    """RFC 3550 A.1: lengths inside a packet must fit the packet."""
    with pytest.raises(MediaError, match=said):
        parse(packet, len(packet))


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x80\x00", "rtp"),
        (b"\x80\xff", "rtp"),
        (b"\x80\xc8", "rtcp"),
        (b"\x81\xc9", "rtcp"),
        (b"\x80\xdf", "rtcp"),
        (b"\x80\xe0", "rtp"),
        (b"\x00\x01", "stun"),
        (b"\x16\xfe", "dtls"),
        (b"\x40\x00", "other"),
        (b"\xff\xff", "other"),
        (b"\x80", "other"),
        (b"", "other"),
    ],
)
def test_what_shares_the_port_is_told_apart(start: bytes, kind: str) -> None:
    """RFC 7983 §7; RFC 5761 §4 for RTCP on the RTP port."""
    assert kind_of(start, len(start)) == kind


def test_what_is_written_can_be_read() -> None:
    """The header that we send, through our own parser."""
    buffer = bytearray(12)
    write_header(buffer, payload_type=101, marker=True, sequence=65535, timestamp=0xFFFFFFFF, ssrc=1)
    assert parse(buffer, 12) == (101, True, 65535, 0xFFFFFFFF, 1, 12, 12)
