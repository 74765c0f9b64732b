"""Capture files down to what UDP and TCP carried: pcap and pcapng; Ethernet, VLAN, Linux cooked, raw IP; IPv4, IPv6.

Pure but for reading the file, packet by packet. Fragments are put together, TCP segments are handed on as they are.
Not SIP and not RTP. Damage ends a file early or drops a packet, and is counted. Sources: draft-ietf-opsawg-pcap and
-pcapng; tcpdump.org/linktypes; RFC 791, RFC 8200.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from struct import Struct, error
from typing import BinaryIO, NamedTuple

from offhook.errors import RecordingError

UDP, TCP = 17, 6
LONGEST_PACKET = 1 << 18
MOST_FRAGMENTS = 256  # datagrams waiting for their rest

_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e6),
    b"\xa1\xb2\xc3\xd4": (">", 1e6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e9),
    b"\xa1\xb2\x3c\x4d": (">", 1e9),
}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6
_TSRESOL = 9

_NULL, _ETHERNET, _RAW, _LOOP, _SLL, _SLL2, _IP4, _IP6 = 0, 1, 101, 108, 113, 276, 228, 229
_RAWS = (12, 14, _RAW, _IP4, _IP6)
_VLANS = (0x8100, 0x88A8, 0x9100)
_V4, _V6 = 0x0800, 0x86DD
_EXTENSIONS = (0, 43, 60, 135)  # hop-by-hop, routing, destination options, mobility
_FRAGMENT = 44
_IPV4, _IPV6 = Struct("!BBHHHBBH4s4s"), Struct("!IHBB16s16s")
_TWO = Struct("!HH")
_TCP = Struct("!HHIIBB")

Address = tuple[str, int]


class Datagram(NamedTuple):
    """What one packet carried. at: epoch, s. sequence: TCP's, of the payload's first byte. begins: a TCP SYN."""

    at: float
    protocol: int
    source: Address
    target: Address
    payload: bytes
    sequence: int = 0
    begins: bool = False


def is_capture(head: bytes) -> bool:
    return head[:4] in _PCAP or head[:4] == _PCAPNG


class Packets:
    """One capture file. Iterate it as often as wanted; the counts are the last pass's."""

    def __init__(self, file: BinaryIO, place: str) -> None:
        self.damage = ""  # why the file ended early
        self.unread = 0  # packets of a kind nobody here knows, or damaged ones
        self._file, self._place = file, place
        self._pieces: dict[tuple[object, ...], dict[int, tuple[bytes, bool]]] = {}
        self._names: dict[bytes, str] = {}

    def __iter__(self) -> Iterator[Datagram]:
        self.damage, self.unread = "", 0
        self._pieces.clear()
        self._file.seek(0)
        ng = self._file.read(4) == _PCAPNG
        self._file.seek(0)
        for at, link, frame in self._blocks() if ng else self._records():
            try:
                found = self._network(at, link, frame)
            except (error, IndexError):
                found = None
                self.unread += 1
            if found is not None:
                yield found

    # ---- containers

    def _records(self) -> Iterator[tuple[float, int, bytes]]:
        """pcap: one header a file, one a packet."""
        head = self._file.read(24)
        if len(head) < 24:
            raise RecordingError(f"{self._place}: its header is cut off. Capture it again.")
        order, unit = _PCAP[head[:4]]
        link = Struct(order + "I").unpack_from(head, 20)[0] & 0x0FFFFFFF
        record = Struct(order + "IIII")
        while raw := self._file.read(record.size):
            if len(raw) < record.size:
                self.damage = "the capture is cut off inside a packet"
                return
            seconds, part, length, _ = record.unpack(raw)
            if length > LONGEST_PACKET:
                self.damage = f"a packet of {length} bytes: the capture is damaged from there on"
                return
            data = self._file.read(length)
            if len(data) < length:
                self.damage = "the capture is cut off inside a packet"
            yield seconds + part / unit, link, data

    def _blocks(self) -> Iterator[tuple[float, int, bytes]]:
        """pcapng: blocks; each interface has its own link type and clock."""
        order, links = "<", list[tuple[int, float]]()
        while True:
            head = self._file.read(8)
            if len(head) < 8:
                self.damage = "the capture is cut off inside a block" if head else ""
                return
            if head[:4] == _PCAPNG:
                magic = self._file.read(4)
                order = "<" if magic == b"\x4d\x3c\x2b\x1a" else ">"
                self._file.seek(-4, 1)
                links = []
            kind, length = Struct(order + "II").unpack(head)
            if length < 12 or length > LONGEST_PACKET * 2 or length % 4:
                self.damage = f"a block of {length} bytes: the capture is damaged from there on"
                return
            body = self._file.read(length - 8)
            if len(body) < length - 8:
                self.damage = "the capture is cut off inside a block"
                return
            body = body[:-4]
            if kind == _INTERFACE and len(body) >= 8:
                links.append((Struct(order + "H").unpack_from(body)[0], _ticks(body[8:], order)))
            elif kind == _ENHANCED and len(body) >= 20:
                which, high, low, captured, _ = Struct(order + "IIIII").unpack_from(body)
                if which < len(links):
                    link, ticks = links[which]
                    yield (high << 32 | low) / ticks, link, body[20 : 20 + captured]
            elif kind == _SIMPLE and links:
                self.unread += 1  # has no time

    # ---- layers

    def _network(self, at: float, link: int, frame: bytes) -> Datagram | None:
        if link == _ETHERNET:
            start, kind = 14, frame[12] << 8 | frame[13]
        elif link in _RAWS:
            start, kind = 0, 0
        elif link == _SLL:
            start, kind = 16, frame[14] << 8 | frame[15]
        elif link == _SLL2:
            start, kind = 20, frame[0] << 8 | frame[1]
        elif link in (_NULL, _LOOP):
            start, kind = 4, 0
        else:
            self.unread += 1
            return None
        while kind in _VLANS:
            kind, start = frame[start + 2] << 8 | frame[start + 3], start + 4
        version = frame[start] >> 4 if kind in (0, _V4, _V6) else 0
        if version == 4:
            return self._ipv4(at, frame[start:])
        return self._ipv6(at, frame[start:]) if version == 6 else None

    def _ipv4(self, at: float, packet: bytes) -> Datagram | None:
        first, _, total, ident, flags, _, protocol, _, source, target = _IPV4.unpack_from(packet)
        body = packet[(first & 15) * 4 : total or len(packet)]
        offset, more = (flags & 0x1FFF) * 8, bool(flags & 0x2000)
        if offset or more:
            joined = self._join((source, target, protocol, ident), offset, more, body)
            return None if joined is None else self._transport(at, protocol, source, target, joined)
        return self._transport(at, protocol, source, target, body)

    def _ipv6(self, at: float, packet: bytes) -> Datagram | None:
        _, length, protocol, _, source, target = _IPV6.unpack_from(packet)
        body = packet[40 : 40 + length] if length else packet[40:]
        while protocol in _EXTENSIONS:
            protocol, body = body[0], body[(body[1] + 1) * 8 :]
        if protocol == _FRAGMENT:
            protocol, place = body[0], body[2] << 8 | body[3]
            joined = self._join((source, target, protocol, body[4:8]), place & ~7, bool(place & 1), body[8:])
            if joined is None:
                return None
            body = joined
        return self._transport(at, protocol, source, target, body)

    def _transport(
        self, at: float, protocol: int, source: bytes, target: bytes, body: bytes
    ) -> Datagram | None:
        if protocol == UDP:
            from_port, to_port = _TWO.unpack_from(body)
            length = body[4] << 8 | body[5]
            payload = body[8:length] if length >= 8 else body[8:]
            return Datagram(at, UDP, (self._name(source), from_port), (self._name(target), to_port), payload)
        if protocol == TCP:
            from_port, to_port, sequence, _, offset, flags = _TCP.unpack_from(body)
            syn = bool(flags & 2)
            ends = (self._name(source), from_port), (self._name(target), to_port)
            payload = body[(offset >> 4) * 4 :]
            return Datagram(at, TCP, *ends, payload, (sequence + syn) & 0xFFFFFFFF, syn)
        return None

    def _name(self, raw: bytes) -> str:
        if raw not in self._names:
            self._names[raw] = str(ip_address(raw))
        return self._names[raw]

    def _join(self, key: tuple[object, ...], offset: int, more: bool, body: bytes) -> bytes | None:
        """The whole datagram, once its last missing fragment is here."""
        pieces = self._pieces.setdefault(key, {})
        pieces[offset] = (body, more)
        if len(self._pieces) > MOST_FRAGMENTS:
            del self._pieces[next(iter(self._pieces))]
        whole, at = bytearray(), 0
        while at in pieces:
            part, goes_on = pieces[at]
            whole += part
            if not goes_on:
                self._pieces.pop(key, None)
                return bytes(whole)
            if not part:
                return None
            at += len(part)
        return None


def _ticks(options: bytes, order: str) -> float:
    """How many ticks of an interface's clock are a second: 1e6 if it does not say (if_tsresol)."""
    option, at = Struct(order + "HH"), 0
    while at + 4 <= len(options):
        code, length = option.unpack_from(options, at)
        if code == _TSRESOL and length == 1 and at + 4 < len(options):
            value = options[at + 4]
            return float(2 ** (value & 0x7F) if value & 0x80 else 10 ** min(value, 30))
        if code == 0:
            break
        at += 4 + (length + 3) // 4 * 4
    return 1e6
