"""RTP packets: what the bytes on a media port are, and the twelve-byte header (RFC 3550 §5.1).

Pure. Not RTCP (rtcp.py) and not what a payload means (codecs/, tones.py). Driven by receiving.py and
sending.py, once a packet, so headers are plain tuples and payloads are named by offset, not copied.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Literal, NamedTuple, TypeAlias

from telephony.errors import MediaError

HEADER_BYTES: Final = 12

Kind: TypeAlias = Literal["rtp", "rtcp", "stun", "dtls", "other"]
Buffer: TypeAlias = bytes | bytearray | memoryview

_HEADER = Struct("!BBHII")
_EXTENSION_LENGTH = Struct("!H")


class Header(NamedTuple):
    """One received packet. The payload is buffer[start:end]; it may be empty."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    start: int
    end: int


def kind_of(buffer: Buffer, size: int) -> Kind:
    """What arrived on a media port, by its first two bytes (RFC 7983 §7, RFC 5761 §4). size: bytes valid."""
    if size < 2:
        return "other"
    first = buffer[0]
    if 128 <= first <= 191:
        return "rtcp" if 192 <= buffer[1] <= 223 else "rtp"
    if first <= 3:
        return "stun"
    return "dtls" if 20 <= first <= 63 else "other"


def parse(buffer: Buffer, size: int) -> Header:
    """Read the header of one RTP packet; CSRC list, extension and padding are stepped over.

    size: how many bytes of buffer the datagram filled. Raises MediaError if it is no whole RTP packet.
    Source: RFC 3550 §5.1, §5.3.1."""
    if size < HEADER_BYTES or size > len(buffer):
        raise MediaError(f"RTP packet of {size} bytes: the header alone takes 12. Dropped.")
    flags, kind, sequence, timestamp, ssrc = _HEADER.unpack_from(buffer, 0)
    if flags & 0xC0 != 0x80:
        raise MediaError(f"RTP version {flags >> 6}: only version 2 is defined (RFC 3550 §5.1). Dropped.")
    start, end = HEADER_BYTES, size
    if flags & 0x3F:  # rare: padding, extension or contributing sources
        start, end = _payload_limits(buffer, size, flags)
    return Header(kind & 0x7F, kind >= 0x80, sequence, timestamp, ssrc, start, end)


def _payload_limits(buffer: Buffer, size: int, flags: int) -> tuple[int, int]:
    start, end = HEADER_BYTES + 4 * (flags & 0x0F), size
    if flags & 0x10:
        if start + 4 > size:
            raise MediaError(f"RTP packet of {size} bytes: the header extension is cut off. Dropped.")
        start += 4 + 4 * int(_EXTENSION_LENGTH.unpack_from(buffer, start + 2)[0])
    if flags & 0x20:
        padding = buffer[size - 1]
        if padding == 0:
            raise MediaError("RTP padding of 0 bytes: the count includes itself (RFC 3550 §5.1). Dropped.")
        end -= padding
    if start > end:
        raise MediaError(f"RTP packet of {size} bytes: header and padding overlap. Dropped.")
    return start, end


def write_header(
    buffer: bytearray, *, payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int
) -> None:
    """Write the first 12 bytes of an RTP packet: version 2, no padding, extension or CSRC (RFC 3550 §5.1)."""
    _HEADER.pack_into(buffer, 0, 0x80, payload_type | (0x80 if marker else 0), sequence, timestamp, ssrc)
