"""One call's media over real loopback sockets, ticked by hand: `now` is what the test says it is."""

from __future__ import annotations

import random
import socket
import struct
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media import rtcp
from telephony.media.background import Loop
from telephony.media.codecs import open_codec
from telephony.media.codecs.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from telephony.media.packet import Header, parse
from telephony.media.playout import Playout
from telephony.media.progress import tone
from telephony.media.receiving import OnTone
from telephony.media.recorder import Recorder
from telephony.media.report import SourceStats
from telephony.media.stream import Stream, StreamState
from telephony.sdp.plan import Direction, MediaPlan

Frame = NDArray[np.int16]

SSRC = 0x0FF0
STUN = struct.pack("!HHI", 1, 0, 0x2112A442) + bytes(12)


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def level(frame: Frame) -> int:
    return int(np.abs(frame.astype(int)).max())


@dataclass
class Phone:
    """The other end: sends what the test wants, keeps what it gets."""

    to: tuple[str, int]
    sock: socket.socket = field(default_factory=udp)
    ssrc: int = 0xCA11
    sequence: int = 65530
    timestamp: int = 0xFFFFFC00

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.sock.getsockname()
        return str(host), int(port)

    def packet(self, payload: bytes, *, pt: int = 0, units: int | None = None, marker: bool = False) -> bytes:
        flags = pt | (0x80 if marker else 0)
        head = struct.pack("!BBHII", 0x80, flags, self.sequence, self.timestamp, self.ssrc)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + (len(payload) if units is None else units)) & 0xFFFFFFFF
        return head + payload

    def say(self, value: int = 4000, *, pt: int = 0, samples: int = 160) -> None:
        encode = encode_alaw if pt == 8 else encode_ulaw
        self.send(self.packet(encode(np.full(samples, value, np.int16)), pt=pt))

    def send(self, data: bytes) -> None:
        self.sock.sendto(data, self.to)

    def heard(self) -> list[tuple[Header, bytes]]:
        got: list[tuple[Header, bytes]] = []
        while True:
            try:
                data = self.sock.recv(4096)
            except BlockingIOError:
                return got
            header = parse(data, len(data))
            got.append((header, data[header.start : header.end]))


class Call:
    """A stream with an ear that keeps everything and a mouth that is a playout."""

    def __init__(
        self,
        *,
        with_rtcp: bool = False,
        recorder: Recorder | None = None,
        on_tone: OnTone | None = None,
        mute_tones: bool = True,
        **plan: object,
    ) -> None:
        rtp = udp()
        self.control = udp() if with_rtcp else None
        self.phone = Phone(rtp.getsockname())
        self.plan = replace(
            MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU", 8: "PCMA"}, self.phone.address, 101, 101),
            **plan,  # type: ignore[arg-type]
        )
        self.frames: list[Frame] = []
        self.digits = ""
        self.playout = Playout(8000)
        self.now = 100.0
        self.state = StreamState(SSRC, 65533, 0xFFFFFF00)
        self.stream = Stream(
            rtp,
            self.control,
            self.plan,
            state=self.state,
            ear=lambda frame, _: self.frames.append(frame),
            mouth=lambda _: self.playout.pull(),
            on_digit=self._digit,
            on_tone=on_tone,
            recorder=recorder,
            mute_tones=mute_tones,
        )

    def _digit(self, digit: str, now: float) -> None:
        self.digits += digit

    def tick(self, count: int = 1, skipped: int = 0) -> None:
        for _ in range(count):
            self.now += 0.02 * (1 + skipped)
            self.stream.tick(self.now, skipped)

    def talk(self, ticks: int, value: int = 4000) -> None:
        """The phone speaks, a packet a tick."""
        for _ in range(ticks):
            self.phone.say(value)
            self.tick()

    def levels(self) -> list[int]:
        levels = [level(frame) for frame in self.frames]
        self.frames.clear()
        return levels

    def close(self) -> None:
        self.stream.close()
        self.phone.sock.close()


@pytest.fixture
def call() -> Iterator[Call]:
    call = Call()
    yield call
    call.close()


def near(value: int) -> list[int]:
    """What 4000 is after G.711."""
    return [level(decode_ulaw(encode_ulaw(np.full(160, value, np.int16))))]


# ------------------------------------------------------------------ the caller is heard


def test_the_caller_is_heard_20_ms_after_the_first_packet_and_then_every_tick(call: Call) -> None:
    """DESIGN §4.6: exactly one frame a tick, silence before the first word."""
    call.tick(5)
    call.talk(100)
    levels = call.levels()
    assert len(levels) == 105
    assert levels[:6] == [0] * 6
    assert levels[7:] == near(4000) * 98
    assert call.stream.last_heard == call.now
    report = call.stream.report()
    assert (report.received, report.lost, report.concealed_ms) == (100, 0, 0)


def test_the_delay_of_a_clean_line_goes_down_to_the_frame_being_played(call: Call) -> None:
    """The caller pauses after a second; one frame of that pause is left out, and no word."""
    call.talk(60)
    call.talk(10, value=0)
    call.talk(60, value=8000)
    assert call.stream.report().left_out_ms == 20
    call.frames.clear()
    call.phone.say(15000)
    call.tick()
    assert call.levels()[0] > 14000
    assert call.stream.report().concealed_ms == 0


def test_a_caller_who_never_pauses_loses_nothing_for_a_second_and_then_20_ms(call: Call) -> None:
    """Surplus is found after one second; loud sound is left out only when no pause came in another."""
    call.talk(95)
    assert call.stream.report().left_out_ms == 0
    call.talk(15)
    assert call.stream.report().left_out_ms == 20
    assert min(call.levels()[3:]) > 3900


def test_a_short_stall_is_made_good_in_the_next_pause(call: Call) -> None:
    """Five ticks lost to a garbage collection: not a word is missed, and the delay does not stay."""
    call.talk(80, value=0)
    for _ in range(5):
        call.phone.say(9000)
    call.tick(skipped=4)
    call.talk(3, value=9000)
    call.talk(15, value=0)
    assert len([level for level in call.levels() if level > 8000]) == 8
    call.phone.say(20000)
    call.tick()
    assert call.levels()[0] > 19000


def test_both_laws_are_heard_and_may_change_in_mid_call(call: Call) -> None:
    """Row 48: any payload type that was agreed on, at any time."""
    for n in range(20):
        call.phone.say(pt=8 if n % 2 else 0)
        call.tick()
    assert min(call.levels()[3:]) > 3900


@pytest.mark.parametrize("lengths", [(80,), (240,), (320,), (480,), (80, 240)])
def test_packets_of_any_length_make_frames_of_20_ms(call: Call, lengths: tuple[int, ...]) -> None:
    """Row 49: 10, 30, 40, 60 ms and mixed, whatever ptime was agreed on."""
    spoken = 0
    sent = 0
    for tick in range(100):
        while spoken < (tick + 1) * 160:
            samples = lengths[sent % len(lengths)]
            call.phone.say(samples=samples)
            spoken, sent = spoken + samples, sent + 1
        call.tick()
    assert {len(frame) for frame in call.frames} == {160}
    assert min(call.levels()[5:]) > 3900
    assert call.stream.report().concealed_ms == 0


def test_a_loss_is_concealed_and_counted(call: Call) -> None:
    """Rows 55: two packets missing, the voice goes on more softly."""
    call.talk(20)
    call.phone.packet(bytes(160))
    call.tick()
    call.phone.packet(bytes(160))
    call.tick()
    call.talk(20)
    levels = call.levels()[5:]
    assert 0 < min(levels) < 4000
    report = call.stream.report()
    assert (report.lost, report.concealed_ms) == (2, 40)


def test_comfort_noise_unknown_types_and_empty_packets_are_not_heard(call: Call) -> None:
    """Rows 61, 62: counted, never decoded, nothing is reset by them."""
    call.talk(10)
    for pt in (13, 19, 96, 3):
        call.phone.send(call.phone.packet(b"\x40", pt=pt, units=0))
    call.phone.send(call.phone.packet(b"", units=0))
    call.talk(10)
    report = call.stream.report()
    assert (report.comfort_noise, report.unknown_type, report.empty, report.sources) == (2, 2, 1, 1)
    assert (report.received, report.lost, report.digits) == (25, 0, 0)
    assert min(call.levels()[3:]) > 3900


def test_padding_extension_and_contributors_do_not_reach_the_ear(call: Call) -> None:
    """Row 62."""
    for _ in range(10):
        plain = call.phone.packet(encode_ulaw(np.full(160, 4000, np.int16)))
        dressed = b"\xb1" + plain[1:12] + b"csrc" + b"\xbe\xde\0\1ext." + plain[12:] + b"\0\0\0\4"
        call.phone.send(dressed)
        call.tick()
    assert set(call.levels()[2:]) == set(near(4000))


def test_stun_dtls_and_garbage_are_counted_and_the_call_goes_on(call: Call) -> None:
    """Row 62: whatever arrives on the port."""
    for junk in (STUN, b"\x16\xfe\xfd" + bytes(40), b"", b"\x80", bytes(2000), b"\x80\x00" + bytes(5)):
        call.phone.send(junk)
        call.talk(2)
    report = call.stream.report()
    assert (report.not_rtp, report.malformed, report.received) == (5, 1, 12)


def test_another_ssrc_with_unrelated_numbers_is_heard_at_once(call: Call) -> None:
    """Row 53: after a transfer the carrier starts a new stream on the same ports."""
    call.talk(50)
    call.levels()
    call.phone.ssrc, call.phone.sequence, call.phone.timestamp = 0xBEEF, 11, 0x7000_0000
    call.talk(10, value=9000)
    assert min(call.levels()[2:]) > 8500
    assert call.stream.report().sources == 2


def test_a_burst_after_a_stall_does_not_become_a_standing_delay(call: Call) -> None:
    """The process stood still for a second: the present is heard 200 ms later, and soon on time again."""
    call.talk(60)
    for n in range(50):
        call.phone.say(n * 100)
    call.tick(skipped=49)
    call.talk(200, value=0)
    call.levels()
    call.phone.say(20000)
    call.tick(2)
    assert max(call.levels()) > 19000
    report = call.stream.report()
    assert report.trimmed >= 40
    assert report.skipped_ticks == 49


# ------------------------------------------------------------------ the agent speaks


def test_packets_leave_from_the_first_tick_comfort_silence_included(call: Call) -> None:
    """Rows 56, 57: one SSRC, numbers without a gap across the wrap, timestamps through silence."""
    call.tick(10)
    call.playout.play(np.full(800, 5000, np.int16))
    call.tick(10)
    heard = call.phone.heard()
    assert len(heard) == 20
    for n, (header, payload) in enumerate(heard):
        assert header.ssrc == SSRC
        assert header.sequence == (65533 + n) & 0xFFFF
        assert header.timestamp == (0xFFFFFF00 + 160 * n) & 0xFFFFFFFF
        assert header.marker == (n == 0)
        assert header.payload_type == 0
        assert (payload == b"\xff" * 160) == (not 10 <= n < 15)
    assert level(decode_ulaw(heard[12][1])) > 4900
    assert call.stream.last_sent_at == call.now
    assert call.stream.last_spoken_at == pytest.approx(call.now - 5 * 0.02)


def test_skipped_ticks_move_the_timestamp_not_the_sequence_number(call: Call) -> None:
    """Rows 55, 56: time went on, no packet was lost; the marker says that a gap was meant."""
    call.tick(3)
    call.tick(skipped=4)
    call.tick()
    headers = [header for header, _ in call.phone.heard()]
    steps = [
        (b.sequence - a.sequence, (b.timestamp - a.timestamp) & 0xFFFFFFFF)
        for a, b in zip(headers, headers[1:], strict=False)
    ]
    assert [step[0] & 0xFFFF for step in steps] == [1, 1, 1, 1]
    assert [step[1] for step in steps] == [160, 160, 5 * 160, 160]
    assert [header.marker for header in headers] == [True, False, False, True, False]


def test_the_state_hands_a_stream_over_without_a_seam(call: Call) -> None:
    """Row 56 across a crash: another worker goes on with the numbers that were left."""
    call.tick(5)
    taken = StreamState(call.state.ssrc, call.state.seq, call.state.timestamp)
    successor = Stream(udp(), None, call.plan, state=taken, ear=lambda *_: None, mouth=lambda _: None)
    successor.tick(call.now + 0.02)
    successor.close()
    headers = [header for header, _ in call.phone.heard()]
    assert [header.sequence for header in headers] == [(65533 + n) & 0xFFFF for n in range(6)]
    assert (headers[5].timestamp - headers[4].timestamp) & 0xFFFFFFFF == 160
    assert headers[5].ssrc == SSRC


@pytest.mark.parametrize(("ptime_ms", "expected"), [(10, 120), (30, 40), (40, 30), (60, 20)])
def test_packets_have_the_length_that_the_peer_asked_for(ptime_ms: int, expected: int) -> None:
    """Row 49: a=ptime of the peer, sound without a hole."""
    call = Call(ptime_ms=ptime_ms, codec="PCMA", send_pt=8)
    call.playout.play(np.full(9600, 5000, np.int16))
    call.tick(60)
    heard = call.phone.heard()
    assert len(heard) == expected
    units = ptime_ms * 8
    assert all(len(payload) == units for _, payload in heard)
    assert {level(decode_alaw(payload)) for _, payload in heard} == {
        level(decode_alaw(encode_alaw(np.full(1, 5000, np.int16))))
    }
    stamps = [header.timestamp for header, _ in heard]
    assert all((b - a) & 0xFFFFFFFF == units for a, b in zip(stamps, stamps[1:], strict=False))
    call.close()


def test_a_new_stream_begins_with_random_numbers_that_do_not_wrap_soon() -> None:
    """RFC 3550 §5.1; RFC 3711 §3.3.1 for the sequence number."""
    dice = random.Random(5)
    states = [StreamState.drawn(dice.getrandbits) for _ in range(100)]
    assert len({state.ssrc for state in states}) == len({state.timestamp for state in states}) == 100
    assert max(state.seq for state in states) < 32768


# ------------------------------------------------------------------ where it goes


def test_a_caller_behind_nat_is_answered_where_he_really_is(call: Call) -> None:
    """Row 54, RFC 4961: SDP named another port; after four good packets ours go to the real one."""
    real = Phone(call.phone.to)
    for _ in range(3):
        real.say()
        call.tick()
    assert real.heard() == []
    for _ in range(5):
        real.say()
        call.tick()
    assert len(real.heard()) == 5
    assert call.stream.target == real.address
    call.phone.say()  # a stray from where SDP said
    real.say()
    call.tick(2)
    assert len(real.heard()) == 2
    assert (call.stream.report().moves, call.stream.report().foreign) == (1, 4)
    real.sock.close()


def test_a_re_invite_moves_the_stream_and_changes_the_codec(call: Call) -> None:
    """RFC 3264 §8.3: another address and PCMA; our numbers go on."""
    call.talk(10)
    other = Phone(call.phone.to, ssrc=77, sequence=5)
    call.phone.heard()
    call.stream.update(replace(call.plan, remote=other.address, codec="PCMA", send_pt=8))
    for _ in range(5):
        other.say(9000, pt=8)
        call.tick()
    heard = other.heard()
    assert [header.payload_type for header, _ in heard] == [8] * 5
    assert [header.marker for header, _ in heard] == [True] + [False] * 4
    assert (heard[0][0].ssrc, heard[0][0].sequence) == (SSRC, (65533 + 10) & 0xFFFF)
    assert heard[0][1] == b"\xd5" * 160
    assert max(call.levels()) > 8500
    assert call.phone.heard() == []
    other.sock.close()


def test_on_hold_nothing_is_sent_or_heard_and_no_timeout_runs(call: Call) -> None:
    """Rows 46, 64: sendonly from them is recvonly for us, inactive is neither; the agent's words wait."""
    call.talk(5)
    call.phone.heard()
    call.levels()
    call.stream.update(replace(call.plan, direction="inactive"))
    call.playout.play(np.full(1600, 5000, np.int16))
    call.talk(100)
    assert call.phone.heard() == []
    assert set(call.levels()[4:]) == {0}
    assert call.playout.queued == 1600
    assert call.stream.silent_for(call.now + 60) == 0
    assert call.stream.report().held == 100
    call.stream.update(call.plan)
    call.talk(3)
    heard = call.phone.heard()
    assert [header.marker for header, _ in heard] == [True, False, False]
    assert heard[0][0].sequence == (65533 + 5) & 0xFFFF
    assert heard[0][0].timestamp == (0xFFFFFF00 + 160 * 105) & 0xFFFFFFFF


def test_the_hold_of_old_gear_sends_nothing_to_nowhere(call: Call) -> None:
    """Row 46: c=0.0.0.0 (RFC 2543)."""
    call.stream.update(replace(call.plan, remote=("0.0.0.0", 4000)))
    call.tick(5)
    assert call.phone.heard() == []
    assert call.stream.report().send_errors == 0


@pytest.mark.parametrize(("codec", "pt", "clock_hz"), [("G722", 9, 8000), ("OPUS", 111, 48000)])
def test_a_call_keeps_its_rate_when_the_codec_changes(call: Call, codec: str, pt: int, clock_hz: int) -> None:
    """Row 48, row 53: after a transfer the other side speaks another codec; recogniser and recording go on."""
    call.talk(20)
    call.stream.update(
        replace(call.plan, codec=codec, rate_hz=16000, clock_hz=clock_hz, send_pt=pt, receive_pts={pt: codec})
    )
    call.phone.heard()
    call.levels()
    theirs = open_codec(codec)
    for count in range(30):
        at = np.arange(count * 320, (count + 1) * 320) * (2 * np.pi / 16000)
        sound = 5000 * (np.sin(500 * at) + np.sin(900 * at))  # one steady tone would be no speech
        call.phone.send(call.phone.packet(theirs.encode(sound.astype(np.int16)), pt=pt, units=clock_hz // 50))
        call.playout.play(np.full(160, 4000, np.int16))
        call.tick()
    assert {len(frame) for frame in call.frames} == {160}
    assert min(call.levels()[10:]) > 6000
    sent = call.phone.heard()
    assert {header.payload_type for header, _ in sent} == {pt}
    steps = {(b.timestamp - a.timestamp) & 0xFFFFFFFF for (a, _), (b, _) in pairwise(sent)}
    assert steps == {clock_hz // 50}
    report = call.stream.report()
    assert (report.codec, report.lost, report.delay_ms < 60) == (codec, 0, True)
    assert report.malformed <= 1  # what waited in the old codec


def test_silence_on_the_wire_is_timed_from_the_last_packet(call: Call) -> None:
    """Row 64: the owner hangs up when this grows too large."""
    assert call.stream.silent_for(call.now + 99) == 0
    call.tick(50)
    assert call.stream.silent_for(call.now) == pytest.approx(0.98)
    call.talk(1)
    call.tick(10)
    assert call.stream.silent_for(call.now) == pytest.approx(0.2)


def test_a_peer_whose_port_is_closed_does_not_end_the_call() -> None:
    """Row 63: ICMP port unreachable comes back as ConnectionRefusedError on a connected socket."""
    gone = udp()
    address = gone.getsockname()
    gone.close()
    rtp = udp()
    rtp.connect(address)
    plan = MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU"}, address)
    stream = Stream(rtp, None, plan, state=StreamState(1, 2, 3), ear=lambda *_: None, mouth=lambda _: None)
    for n in range(50):
        stream.tick(100 + n * 0.02)
    report = stream.report()
    assert report.sent == 50
    assert report.receive_errors + report.send_errors > 0
    stream.close()


def test_after_closing_ticks_do_nothing(call: Call) -> None:
    """The clock may have the call in its present round."""
    call.stream.close()
    call.stream.close()
    call.tick(3)
    assert call.frames == []


# ------------------------------------------------------------------ digits


def key(code: int, duration: int, *, end: bool = False) -> bytes:
    return struct.pack("!BBH", code, 10 | (0x80 if end else 0), duration)


def test_a_pressed_key_is_reported_once_and_its_beep_is_not_heard(call: Call) -> None:
    """Rows 59, 60: the gateway sends the tone as sound beside the events."""
    call.talk(10)
    call.levels()
    begun = call.phone.timestamp
    for n in range(1, 6):
        sequence = call.phone.sequence
        call.phone.say(20000)
        call.phone.sequence = (sequence + 1) & 0xFFFF
        here, call.phone.timestamp = call.phone.timestamp, begun
        call.phone.send(call.phone.packet(key(5, 160 * n), pt=101, units=0, marker=n == 1))
        call.phone.timestamp = here
        call.tick()
    assert call.digits == "5"
    assert set(call.levels()[1:]) == {0}
    call.phone.timestamp, here = begun, call.phone.timestamp
    for _ in range(3):
        call.phone.send(call.phone.packet(key(5, 800, end=True), pt=101, units=0))
    call.phone.timestamp = here
    call.talk(20)
    assert call.digits == "5"
    assert call.levels()[-1] > 3900
    assert (call.stream.report().digits, call.stream.report().lost) == (1, 0)


def test_digits_are_sent_as_events_while_speech_waits(call: Call) -> None:
    """Row 58: fixed timestamp, growing duration, three ends, contiguous numbers; then the agent goes on."""
    call.tick(2)
    call.playout.play(np.full(160, 5000, np.int16))
    call.stream.send_digits("1#")
    call.tick(16)
    assert not call.stream.dialling
    assert call.playout.queued == 160
    call.tick()
    heard = call.phone.heard()
    assert [header.sequence for header, _ in heard] == [(65533 + n) & 0xFFFF for n in range(19)]
    first, second = heard[2:9], heard[10:17]
    for code, start, packets in ((1, 2, first), (11, 10, second)):
        assert {header.payload_type for header, _ in packets} == {101}
        assert {header.timestamp for header, _ in packets} == {(0xFFFFFF00 + 160 * start) & 0xFFFFFFFF}
        assert [header.marker for header, _ in packets] == [True] + [False] * 6
        durations = [(160 * n, False) for n in (1, 2, 3, 4)] + [(800, True)] * 3
        assert [payload for _, payload in packets] == [key(code, d, end=e) for d, e in durations]
    assert heard[9][0].payload_type == heard[17][0].payload_type == 0
    assert [heard[n][0].marker for n in (9, 17, 18)] == [True, True, False]
    assert heard[18][0].timestamp == (0xFFFFFF00 + 160 * 18) & 0xFFFFFFFF
    assert level(decode_ulaw(heard[18][1])) > 4900


def test_digits_keep_to_time_when_packets_are_longer_than_a_tick() -> None:
    """60 ms packets: what was begun and not sent is dropped, its time is not."""
    call = Call(ptime_ms=60)
    call.tick(5)
    call.stream.send_digits("1")
    call.tick(9)  # the seven events, and two of three ticks towards the next packet
    assert call.state.timestamp == (0xFFFFFF00 + 1920) & 0xFFFFFFFF
    call.tick(4)
    stamps = [
        (header.payload_type, (header.timestamp - 0xFFFFFF00) & 0xFFFFFFFF)
        for header, _ in call.phone.heard()
    ]
    assert stamps == [(0, 0), *[(101, 800)] * 7, (0, 1920), (0, 2400)]
    call.close()


def test_without_agreed_events_digits_are_sent_as_sound() -> None:
    """Old gateways: the two frequencies of the key in the audio."""
    call = Call(dtmf_send_pt=None)
    call.stream.send_digits("5")
    call.tick(8)
    heard = call.phone.heard()
    assert {header.payload_type for header, _ in heard} == {0}
    tone = decode_ulaw(b"".join(payload for _, payload in heard[:5]))
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(800)))
    assert sorted(int(k) * 10 for k in np.argsort(spectrum)[-2:]) == pytest.approx([770, 1336], abs=10)
    assert all(payload == b"\xff" * 160 for _, payload in heard[5:])
    call.close()


def test_our_digits_are_understood_by_our_own_ear() -> None:
    """Two streams back to back: `1123*0#`, each once."""
    left, right = Call(), Call()
    left.stream.update(replace(left.plan, remote=right.phone.to))
    right.stream.update(replace(right.plan, remote=left.phone.to))
    left.stream.send_digits("1123w*0#")
    for _ in range(120):
        left.tick()
        right.tick()
    assert right.digits == "1123*0#"
    assert right.stream.report().lost == 0
    left.close()
    right.close()


# ------------------------------------------------------------------ recording and reports


def test_the_recording_is_aligned_with_what_was_heard_and_sent(tmp_path: Path) -> None:
    """DESIGN §5: caller left, agent right, one pair a tick, skipped ticks as silence."""
    path = tmp_path / "audio.wav"
    call = Call(recorder=Recorder(path, 8000))
    call.talk(10)
    call.playout.play(np.full(800, 5000, np.int16))
    call.tick(skipped=4)
    call.talk(10)
    call.close()
    with wave.open(str(path)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 160, 2)
    assert len(sound) == 10 + 5 + 10
    spoken = [k for k in range(25) if sound[k, :, 1].any()]
    assert spoken == [14, 15, 16, 17, 18]
    heard = np.concatenate(call.frames)
    live = [k for k in range(25) if not 10 <= k < 14]
    assert (np.concatenate([sound[k, :, 0] for k in live]) == heard).all()
    assert not sound[10:14].any()


def test_rtcp_goes_to_the_port_above_and_theirs_is_read() -> None:
    """Row 63, RFC 3550 §6.4: loss and round trip from the peer's report."""
    call = Call(with_rtcp=True)
    assert call.control is not None
    theirs = udp()
    control_address = call.control.getsockname()
    call.talk(10)
    theirs.sendto(rtcp.Control(0xCA11).compose(call.now, 0, 1, 1, None, SourceStats()), control_address)
    call.talk(130)
    data = theirs.recv(2048)  # ours go where theirs come from
    reports = rtcp.parse(data, len(data))
    assert (reports.ssrc, reports.blocks[0].ssrc) == (SSRC, 0xCA11)
    peer = rtcp.Control(0xCA11)
    peer.receive(reports, 50.0)
    stats = SourceStats()
    stats.begin(1)
    for sequence in (1, 2, 4):
        stats.packet(sequence)
    back = peer.compose(50.0, 0, 1, 1, SSRC, stats)
    theirs.sendto(b"\x80\xc9\xff\xff1234", control_address)  # broken
    theirs.sendto(back, control_address)
    call.tick()
    report = call.stream.report()
    assert report.remote_loss == 0.25
    assert report.round_trip_ms is not None
    assert report.malformed == 1
    call.close()
    theirs.close()


def test_rtcp_alone_keeps_the_media_timeout_away(call: Call) -> None:
    """Row 64: a silent but living peer; here its reports are muxed onto the RTP port (RFC 5761)."""
    call.tick(100)
    call.phone.send(rtcp.Control(0xCA11).compose(1.0, 0, 1, 1, None, SourceStats()))
    call.tick()
    assert call.stream.silent_for(call.now) == 0
    assert call.stream.last_heard is None


def test_hold_pause_and_a_stalled_clock_leave_no_gap_in_the_recording(tmp_path: Path) -> None:
    """Row 46: whatever happens to the call, sample positions are its time, 160 a tick."""
    path = tmp_path / "audio.wav"
    recorder = Recorder(path, 8000)
    call = Call(recorder=recorder)
    call.playout.play(np.full(160 * 10, 1000, np.int16))
    call.talk(20)
    call.stream.update(replace(call.plan, direction="sendonly"))  # we hold, with music
    call.stream.play_background(Loop(np.full(8000, 3000, np.int16), 8000))
    call.talk(30)
    call.stream.stop_background()
    call.stream.update(replace(call.plan, direction="inactive"))
    call.tick(10)
    call.stream.update(call.plan)
    call.talk(10)
    recorder.pause()
    call.talk(10)
    recorder.go_on()
    call.tick(skipped=14)
    call.talk(5)
    call.close()
    ticks = 20 + 30 + 10 + 10 + 10 + 15 + 5
    assert recorder.samples == ticks * 160
    with wave.open(str(path)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 160, 2)
    assert len(sound) == ticks
    agent = [int(frame[-1, 1]) for frame in sound]
    assert agent[:50] == [1000] * 10 + [0] * 10 + [3000] * 30
    assert not any(agent[50:])
    caller = [int(frame[80, 0]) for frame in sound]
    assert all(caller[4:20]), "heard"
    assert not any(caller[24:60]), "on hold"
    assert any(caller[60:70])
    assert not any(caller[70:94]), "paused, and the stall"


def test_music_is_sent_on_hold_while_nobody_is_listened_to(call: Call) -> None:
    """Row 46, RFC 3264 §8.4: a=sendonly. Row 57: the packets go on, and so does no timeout."""
    call.talk(10)
    call.stream.update(replace(call.plan, direction="sendonly"))
    call.stream.play_background(tone("ringback", 8000, "de"))
    call.phone.heard()
    call.levels()
    call.tick(3000)
    assert call.stream.silent_for(call.now) == 0.0
    packets = call.phone.heard()
    assert len(packets) > 100
    sound = np.concatenate([decode_ulaw(payload) for _, payload in packets[:50]])
    assert np.argmax(np.abs(np.fft.rfft(sound))) * 8000 / len(sound) == pytest.approx(425, abs=2)


def test_a_murmur_leaves_as_sound_and_counts_as_nothing_that_was_said(call: Call) -> None:
    """The sound of an agent that thinks: no position moves; speech and music have precedence."""
    call.stream.play_murmur(Loop(np.full(8000, 1000, np.int16), 8000))
    call.tick(20)
    assert len(call.phone.heard()) == 20 and call.stream.last_spoken_at is None
    assert call.playout.played == 0
    call.stream.play_background(Loop(np.full(8000, 3000, np.int16), 8000))
    call.tick(5)
    assert decode_ulaw(call.phone.heard()[-1][1])[-1] == pytest.approx(3000, rel=0.03), "the music alone"
    call.stream.stop_background()
    call.stream.stop_murmur()
    call.tick(3)
    assert not any(decode_ulaw(call.phone.heard()[-1][1]))


@pytest.mark.parametrize("direction", ["sendonly", "recvonly", "inactive"])
def test_a_long_hold_is_not_taken_for_silence_when_it_ends(call: Call, direction: Direction) -> None:
    """Row 46: the media timeout stands still on hold, whoever asked for it, and starts anew afterwards."""
    call.talk(10)
    call.stream.update(replace(call.plan, direction=direction))
    call.tick(3000)
    assert call.stream.silent_for(call.now) == 0.0
    call.stream.update(call.plan)
    call.tick(50)
    assert call.stream.silent_for(call.now) == pytest.approx(1.0)


def test_digits_go_out_as_sound_or_not_at_all_where_the_trunk_says_so(call: Call) -> None:
    """Row 58: in-band though events were agreed on; and a trunk that insists on events gets an error without."""
    call.stream.send_digits("5", "inband")
    call.tick(5)
    sound = np.concatenate([decode_ulaw(payload) for _, payload in call.phone.heard()])
    spectrum = np.abs(np.fft.rfft(sound))
    assert sorted(np.argsort(spectrum)[-2:] * 8000 / len(sound)) == pytest.approx([770, 1336], abs=8)
    call.stream.update(replace(call.plan, dtmf_send_pt=None))
    with pytest.raises(MediaError, match="No telephone-events were agreed on"):
        call.stream.send_digits("5", "rtp")
