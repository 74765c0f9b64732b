"""Recorded calls of every format, made by the tests: a conversation whose times and keys are known.

Written with `wave`, `struct`, PyAV and dpkt, not with what is tested. Imported by the tests beside it.
"""

from __future__ import annotations

import io
import random
import struct
import wave
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import dpkt  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from telephony.media.codecs import open_codec
from telephony.media.codecs.g711 import encode_alaw, encode_ulaw
from telephony.media.crypto import Guard
from telephony.sdp.crypto import draw_keys
from telephony.sdp.plan import Srtp

Pcm = NDArray[np.int16]
CLIPS = Path(__file__).parents[2] / "recordings"
RATE_HZ = 8000
LENGTH_S = 12.0
AGENT_AT_S, AGENT_AGAIN_S = 0.5, 7.0
CALLER_AT_S, INTERRUPTS_AT_S = 4.0, 8.0
TICK = 160
SUITE = "AES_CM_128_HMAC_SHA1_80"
SECRETS = [draw_keys(random.Random(seed).randbytes)[SUITE] for seed in range(4)]  # SDES keys, base64


@cache
def clip(name: str) -> Pcm:
    """A sentence of tests/recordings at 8000 Hz, without the silence around it."""
    with wave.open(str(CLIPS / f"{name}.wav")) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        step = file.getframerate() // RATE_HZ
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > 300)
    return pcm[loud[0] : loud[-1] : step].copy()


@cache
def sides() -> tuple[Pcm, Pcm]:
    """Caller and agent: the agent greets, the caller asks, the agent answers and is interrupted."""
    caller, agent = (np.zeros(round(LENGTH_S * RATE_HZ), np.int16) for _ in range(2))
    for track, name, at_s in (
        (agent, "opening_hours_kal", AGENT_AT_S),
        (caller, "appointment", CALLER_AT_S),
        (agent, "appointment_kal", AGENT_AGAIN_S),
        (caller, "goodbye", INTERRUPTS_AT_S),
    ):
        start = round(at_s * RATE_HZ)
        track[start : start + len(clip(name))] = clip(name)
    return caller, agent


def at_rate(pcm: Pcm, rate_hz: int) -> Pcm:
    """By straight lines between samples: enough for speech that is compared by its envelope."""
    if rate_hz == RATE_HZ:
        return pcm
    count = len(pcm) * rate_hz // RATE_HZ
    return np.interp(np.arange(count) * RATE_HZ / rate_hz, np.arange(len(pcm)), pcm).astype(np.int16)


def stereo(rate_hz: int = RATE_HZ) -> Pcm:
    """Shape (samples, 2): caller left, agent right."""
    return np.stack([at_rate(side, rate_hz) for side in sides()], axis=1)


def lag_ms(found: Pcm, found_hz: int, wanted: Pcm, wanted_hz: int = RATE_HZ) -> float:
    """How much later the one is than the other, found where their samples agree best (at 8000 Hz)."""
    one, two = found.astype(np.float64), wanted.astype(np.float64)
    if found_hz != RATE_HZ:
        one = one[: len(one) // 2 * 2].reshape(-1, 2).mean(axis=1)
    assert wanted_hz == RATE_HZ
    size = 1 << (len(one) + len(two)).bit_length()
    both = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(two, size)), size)
    peak = int(np.argmax(np.abs(both)))
    return 1000 * (peak if peak < size // 2 else peak - size) / RATE_HZ


def level_db(pcm: Pcm) -> float:
    return float(20 * np.log10(np.sqrt((pcm.astype(np.float64) ** 2).mean()) + 1e-9))


# ---- WAV


def chunk(name: bytes, data: bytes, length: int | None = None) -> bytes:
    return name + struct.pack("<I", len(data) if length is None else length) + data + b"\0" * (len(data) % 2)


def wav(
    data: bytes,
    tag: int,
    channels: int,
    rate_hz: int,
    bits: int,
    *,
    extensible: bool = False,
    length: int | None = None,
) -> bytes:
    """A RIFF file around encoded sound."""
    align = channels * bits // 8
    fmt = struct.pack(
        "<HHIIHH", 0xFFFE if extensible else tag, channels, rate_hz, rate_hz * align, align, bits
    )
    if extensible:
        guid = struct.pack("<H", tag) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
        fmt += struct.pack("<HHI", 22, bits, 3) + guid
    body = b"WAVE" + chunk(b"fmt ", fmt) + chunk(b"LIST", b"INFOodd") + chunk(b"data", data, length)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def rf64(data: bytes, rate_hz: int = RATE_HZ) -> bytes:
    ds64 = chunk(b"ds64", struct.pack("<QQQI", len(data) + 100, len(data), len(data) // 4, 0))
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, rate_hz, rate_hz * 4, 4, 16))
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + fmt + chunk(b"data", data, 0xFFFFFFFF)


ENCODERS: dict[str, tuple[int, int, Callable[[Pcm], bytes]]] = {
    "pcm8": (1, 8, lambda pcm: ((pcm >> 8) + 128).astype(np.uint8).tobytes()),
    "pcm16": (1, 16, lambda pcm: pcm.tobytes()),
    "pcm24": (1, 24, lambda pcm: (pcm.astype("<i4") << 8).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()),
    "pcm32": (1, 32, lambda pcm: (pcm.astype("<i4") << 16).tobytes()),
    "float32": (3, 32, lambda pcm: (pcm / 32768).astype("<f4").tobytes()),
    "float64": (3, 64, lambda pcm: (pcm / 32768).astype("<f8").tobytes()),
    "ulaw": (7, 8, encode_ulaw),
    "alaw": (6, 8, encode_alaw),
}


def wav_of(kind: str, pcm: Pcm, rate_hz: int = RATE_HZ, *, extensible: bool = False) -> bytes:
    """pcm: shape (samples,) or (samples, channels)."""
    tag, bits, encode = ENCODERS[kind]
    channels = 1 if pcm.ndim == 1 else pcm.shape[1]
    return wav(
        encode(np.ascontiguousarray(pcm).reshape(-1)), tag, channels, rate_hz, bits, extensible=extensible
    )


def encoded(container: str, codec: str, pcm: Pcm, rate_hz: int) -> bytes:
    """Through PyAV. pcm: shape (samples, channels)."""
    out = io.BytesIO()
    layout = "stereo" if pcm.shape[1] == 2 else "mono"
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.options = {"strict": "experimental"}  # FFmpeg's own Vorbis
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout=layout
        )
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name,
            layout=layout,
            rate=rate_hz,
            frame_size=stream.codec_context.frame_size or None,
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


# ---- captures

CALLER_IP, SERVER_IP = "192.0.2.10", "198.51.100.5"
Packet = tuple[float, bytes]  # epoch s, IP packet


def ip(text: str) -> bytes:
    import ipaddress

    return ipaddress.ip_address(text).packed


def udp(at: float, source: tuple[str, int], target: tuple[str, int], payload: bytes) -> Packet:
    """One datagram in its IP packet, v4 or v6."""
    datagram = dpkt.udp.UDP(sport=source[1], dport=target[1], data=payload)
    datagram.ulen = len(bytes(datagram))
    if ":" in source[0]:
        body = bytes(datagram)
        packet = dpkt.ip6.IP6(src=ip(source[0]), dst=ip(target[0]), nxt=17, plen=len(body), data=body)
        packet.all_extension_headers = []
        return at, struct.pack("!IHBB", 6 << 28, len(body), 17, 64) + ip(source[0]) + ip(target[0]) + body
    return at, bytes(dpkt.ip.IP(src=ip(source[0]), dst=ip(target[0]), p=17, data=datagram))


def tcp(at: float, source: tuple[str, int], target: tuple[str, int], sequence: int, payload: bytes) -> Packet:
    segment = dpkt.tcp.TCP(
        sport=source[1], dport=target[1], seq=sequence, flags=dpkt.tcp.TH_ACK, data=payload
    )
    return at, bytes(dpkt.ip.IP(src=ip(source[0]), dst=ip(target[0]), p=6, data=segment))


def fragments(packet: Packet, size: int = 400) -> list[Packet]:
    """An IPv4 packet as a network with a small MTU carries it, the last piece first."""
    at, data = packet
    head, body = bytearray(data[:20]), data[20:]
    out = []
    for start in range(0, len(body), size):
        part = body[start : start + size]
        more = 0x2000 if start + size < len(body) else 0
        head[2:4] = struct.pack("!H", 20 + len(part))
        head[6:8] = struct.pack("!H", more | start // 8)
        out.append((at, bytes(head) + part))
    return out[::-1]


def ethernet(packet: bytes) -> bytes:
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    return b"\x02\0\0\0\0\1\x02\0\0\0\0\2" + kind + packet


def vlan(packet: bytes) -> bytes:
    plain = ethernet(packet)
    return plain[:12] + b"\x88\xa8\0\7\x81\0\0\x2a" + plain[12:]


def cooked(packet: bytes) -> bytes:
    return b"\0\0\0\1\0\6\x02\0\0\0\0\1\0\0\x08\0" + packet


def cooked2(packet: bytes) -> bytes:
    return b"\x08\0\0\0\0\0\0\2\0\1\0\6\x02\0\0\0\0\1\0\0" + packet


LINKS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "ethernet": (1, ethernet),
    "vlan": (1, vlan),
    "raw": (101, lambda packet: packet),
    "cooked": (113, cooked),
    "cooked2": (276, cooked2),
    "loopback": (0, lambda packet: b"\2\0\0\0" + packet),
}


def pcap(packets: Iterable[Packet], link: str = "ethernet", order: str = "<", nano: bool = False) -> bytes:
    number, wrap = LINKS[link]
    unit = 1e9 if nano else 1e6
    out = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65535, number)]
    for at, packet in sorted(packets, key=lambda one: one[0]):
        frame = wrap(packet)
        out.append(struct.pack(order + "IIII", int(at), int(at % 1 * unit), len(frame), len(frame)) + frame)
    return b"".join(out)


def pcapng(packets: Iterable[Packet], order: str = "<") -> bytes:
    """Two interfaces with other links and clocks, packets on both in turn."""

    def block(kind: int, body: bytes) -> bytes:
        body += b"\0" * (-len(body) % 4)
        return (
            struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)
        )

    out = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    out.append(block(1, struct.pack(order + "HHI", 1, 0, 0)))  # Ethernet, microseconds
    out.append(block(1, struct.pack(order + "HHIHHB3xHH", 101, 0, 0, 9, 1, 9, 0, 0)))  # raw IP, nanoseconds
    for index, (at, packet) in enumerate(sorted(packets, key=lambda one: one[0])):
        which = index % 2
        frame = packet if which else ethernet(packet)
        ticks = int(at * (10**9 if which else 10**6))
        head = struct.pack(order + "IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        out.append(block(6, head + frame))
    return b"".join(out)


class Talk:
    """One call as packets on the wire: INVITE, 200, ACK, RTP of both sides, keys, BYE."""

    def __init__(
        self,
        codec: str = "PCMU",
        pt: int = 0,
        begins: float = 1_700_000_000.0,
        number: int = 1,
        v6: bool = False,
        secrets: tuple[str, str] | None = None,
    ) -> None:
        """secrets: SDES keys of caller and server, base64, "" for one that is not in the descriptions."""
        self._secrets = secrets
        self._told = secrets or ("", "")
        self.guards: dict[bool, Guard] = {}
        if secrets:
            caller, server = (key or hidden for key, hidden in zip(secrets, SECRETS[2:], strict=True))
            self.guards = {
                True: Guard(Srtp(SUITE, 1, caller, server)),
                False: Guard(Srtp(SUITE, 1, server, caller)),
            }
        self.codec, self.pt, self.begins, self.number = codec, pt, begins, number
        self.caller = ("2001:db8::10" if v6 else CALLER_IP, 40000 + 10 * number)
        self.server = ("2001:db8::5" if v6 else SERVER_IP, 20000 + 10 * number)
        self.family = "IP6" if v6 else "IP4"
        self.packets: list[Packet] = []

    def sdp(self, at: tuple[str, int], direction: str = "sendrecv") -> bytes:
        clock = "48000/2" if self.codec == "opus" else "8000"
        lines = [
            "v=0", f"o=- 1 1 IN {self.family} {at[0]}", "s=-", f"c=IN {self.family} {at[0]}", "t=0 0",
            f"m=audio {at[1]} RTP/{'SAVP' if self._secrets else 'AVP'} {self.pt} 101",
            f"a=rtpmap:{self.pt} {self.codec}/{clock}", "a=rtpmap:101 telephone-event/8000", f"a={direction}", "",
        ]  # fmt: skip
        if key := self._told[at == self.server]:
            lines.insert(-1, f"a=crypto:1 {SUITE} inline:{key}")
        return "\r\n".join(lines).encode()

    def sip(self, first: str, method: str, from_caller: bool, body: bytes = b"", cseq: int = 1) -> bytes:
        """One message of the dialog. first: its first line. from_caller: who began the transaction."""
        ends = "<sip:+4930123456@carrier.example>;tag=a1", "<sip:100@offhook.example>;tag=b2"
        origin, target = ends if from_caller else ends[::-1]
        if first.startswith("INVITE") and cseq == 1:
            target = target.removesuffix(";tag=b2")
        lines = [
            first, f"Via: SIP/2.0/UDP {CALLER_IP};branch=z9hG4bK{method}{cseq}", f"From: {origin}", f"To: {target}",
            f"Call-ID: call-{self.number}", f"CSeq: {cseq} {method}", "X-Campaign: spring", "Max-Forwards: 70",
        ]  # fmt: skip
        lines += ["Content-Type: application/sdp"] * bool(body)
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def signalling(self, answered: bool = True) -> list[tuple[float, bool, bytes]]:
        """Time, from the caller, message."""
        t = self.begins
        invite = self.sip("INVITE sip:100@offhook.example SIP/2.0", "INVITE", True, self.sdp(self.caller))
        ok = self.sip("SIP/2.0 200 OK", "INVITE", True, self.sdp(self.server))
        rows = [(t - 1.0, True, invite), (t - 0.9, False, self.sip("SIP/2.0 180 Ringing", "INVITE", True))]
        if answered:
            rows += [(t, False, ok), (t + 0.01, True, self.sip("ACK sip:100@x SIP/2.0", "ACK", True))]
        return rows

    def over_udp(self, rows: list[tuple[float, bool, bytes]]) -> list[Packet]:
        ends = (self.caller[0], 5060), (self.server[0], 5060)
        return [udp(at, *(ends if from_caller else ends[::-1]), data) for at, from_caller, data in rows]

    def bye(self, at_s: float = LENGTH_S) -> list[tuple[float, bool, bytes]]:
        return [(self.begins + at_s, True, self.sip("BYE sip:100@x SIP/2.0", "BYE", True, cseq=9))]

    def rtp(
        self, pcm: Pcm, from_caller: bool, sequence: int = 65500, stamp: int = 0xFFFFF000
    ) -> list[Packet]:
        """20 ms a packet; each leaves when its sound is over, with numbers that wrap."""
        codec = open_codec(self.codec)
        sound = at_rate(pcm, codec.rate_hz)
        size = codec.rate_hz // 50
        units = codec.clock_hz // 50
        ends = (self.caller, self.server) if from_caller else (self.server, self.caller)
        out = []
        for index in range(len(sound) // size):
            head = struct.pack(
                "!BBHII",
                0x80,
                self.pt,
                (sequence + index) & 0xFFFF,
                (stamp + index * units) & 0xFFFFFFFF,
                7 + from_caller,
            )
            payload = head + codec.encode(sound[index * size : (index + 1) * size])
            if self.guards:
                payload = self.guards[from_caller].protect(payload)
            out.append(udp(self.begins + (index + 1) * 0.02, *ends, payload))
        return out

    def key(self, digit: str, at_s: float, sequence: int = 65400) -> list[Packet]:
        """RFC 4733: 100 ms, the end three times."""
        code = "0123456789*#ABCD".index(digit)
        out = []
        for index in range(7):
            ended, duration = index >= 4, 160 * min(index + 1, 5)
            event = struct.pack("!BBH", code, 0x8A if ended else 0x0A, duration)
            mark = 0x80 if index == 0 else 0
            stamp = round(at_s * 8000) & 0xFFFFFFFF
            head = struct.pack("!BBHII", 0x80, 101 | mark, (sequence + index) & 0xFFFF, stamp, 8)
            out.append(udp(self.begins + at_s + index * 0.02, self.caller, self.server, head + event))
        return out

    def whole(self, keys: str = "") -> list[Packet]:
        """The conversation of `sides`, with keys pressed from 10 s on, half a second apart."""
        caller, agent = sides()
        packets = self.over_udp(self.signalling() + self.bye())
        packets += self.rtp(caller, True) + self.rtp(agent, False)
        for index, digit in enumerate(keys):
            packets += self.key(digit, 10.0 + index / 2, 65300 + 10 * index)
        return packets
