"""A stream that goes on where another process stopped, over real loopback sockets, ticked by hand.

The first one is left as a killed process leaves it: nobody says goodbye, only its vitals are there."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.media.codecs.g711 import encode_ulaw
from telephony.media.counts import Counts
from telephony.media.crypto import Guard, Place
from telephony.media.packet import Header, parse
from telephony.media.recorder import Recorder, reopened
from telephony.media.rescue import rescue
from telephony.media.sending_state import StreamState
from telephony.media.stream import Stream
from telephony.media.vitals import KeyHeard, Vitals
from telephony.sdp.crypto import draw_keys
from telephony.sdp.plan import MediaPlan, Srtp

Frame = NDArray[np.int16]
SHA80 = "AES_CM_128_HMAC_SHA1_80"
OURS, THEIRS = (draw_keys(random.Random(seed).randbytes)[SHA80] for seed in range(2))
EVENT = struct.Struct("!BBH")
HOLDS = """
import sys
from telephony.media.vitals import Vitals
vitals = Vitals(int(sys.argv[1]))
assert vitals.claim()
print("held", flush=True)
sys.stdin.readline()
vitals.release()
"""
FILLS = """
import os, select, socket, struct, sys, time
from telephony.media.sending_state import StreamState
from telephony.media.vitals import Vitals
vitals, sock = Vitals(int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2]))
print("filling", flush=True)
filled = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    if not vitals.claim():
        continue
    state, at, packets, octets = vitals.last_sent()
    seq = state.seq + 1 & 0xFFFF
    stamp = state.timestamp + 160 & 0xFFFFFFFF
    vitals.sending(StreamState(state.ssrc, seq, stamp, state.wraps + (not seq)), at, packets + 1, octets + 160)
    sock.sendto(struct.pack("!BBHII", 0x80, 0, state.seq, state.timestamp, state.ssrc), ("127.0.0.1", int(sys.argv[3])))
    vitals.release()
    filled += 1
    time.sleep(0.0002)
print(filled, flush=True)
"""


def udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


class Line:
    """A phone, a pair of sockets that outlives workers, and the stream of the present one."""

    def __init__(self, folder: Path | None = None, host: str = "127.0.0.1", **plan: object) -> None:
        self.rtp, self.rtcp, self.phone = udp(host), udp(host), udp(host)
        self.vitals = Vitals.create()
        where = self.phone.getsockname()[:2]
        agreed = MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU"}, where, 101, 101)
        self.plan = replace(agreed, **plan)  # type: ignore[arg-type]
        self.now = 100.0
        self.digits = ""
        self.heard: list[int] = []
        self.during_next_mouth: Callable[[], None] = lambda: None
        self.voice: Frame | None = np.full(160, 1000, np.int16)
        self.sequence, self.stamp = 65530, 0xFFFFFF00
        self.path = folder / "audio.wav" if folder is not None else None
        keys = self.plan.srtp
        self.guard = Guard(replace(keys, send_key=THEIRS, receive_key=OURS)) if keys else None
        self.streams: list[Stream] = []
        self.views: list[Vitals] = []
        self._begin(StreamState(7, 65533, 0xFFFFFE00))

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    def _begin(self, state: StreamState) -> None:
        """A process has the call: its own descriptors, its own view of the memory."""
        vitals = Vitals(os.dup(self.vitals.fd))
        self.views.append(vitals)
        self.streams.append(
            Stream(
                self.rtp.dup(),
                self.rtcp.dup(),
                self.plan,
                state=state,
                ear=lambda frame, _: self.heard.append(int(frame.max())),
                mouth=self._speak,
                on_digit=self._digit,
                recorder=reopened(str(self.path), 8000, vitals) if self.path is not None else None,
                vitals=vitals,
            )
        )

    @property
    def address(self) -> str:
        """The phone's port."""
        return str(self.phone.getsockname()[1])

    def _speak(self, now: float) -> Frame | None:
        then, self.during_next_mouth = self.during_next_mouth, lambda: None
        then()
        return self.voice

    def _digit(self, digit: str, now: float) -> None:
        self.digits += digit

    def ticks(self, count: int, *, level: int = 4000) -> None:
        """20 ms each, with a packet of the phone's; none for level 0."""
        for _ in range(count):
            self.now += 0.02
            if level:
                self.say(encode_ulaw(np.full(160, level, np.int16)))
            self.stream.tick(self.now)

    def say(self, payload: bytes, kind: int = 0, stamp: int | None = None) -> None:
        at = self.stamp if stamp is None else stamp
        data = struct.pack("!BBHII", 0x80, kind, self.sequence, at, 99) + payload
        data = self.guard.protect(data) if self.guard is not None else data
        self.phone.sendto(data, self.rtp.getsockname())
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.stamp = (self.stamp + 160) & 0xFFFFFFFF

    def dies(self, gap_s: float = 0.04) -> None:
        """The worker is gone; so much later the next one has the call, and ticks."""
        self.now += gap_s - 0.02
        self._begin(StreamState(1, 1, 1))

    def packets(self) -> list[tuple[Header, bytes]]:
        """What came to the phone, in clear."""
        got: list[tuple[Header, bytes]] = []
        while True:
            try:
                data = self.phone.recv(2048)
            except BlockingIOError:
                return got
            clear = self.guard.unprotect(data) if self.guard is not None else data
            assert clear is not None, "the phone does not take it"
            header = parse(clear, len(clear))
            got.append((header, clear[header.start : header.end]))

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
        for vitals in (*self.views, self.vitals):
            vitals.close()
        for sock in (self.rtp, self.rtcp, self.phone):
            sock.close()


@contextmanager
def a_line(folder: Path | None = None, host: str = "127.0.0.1", **plan: object) -> Iterator[Line]:
    line = Line(folder, host, **plan)
    try:
        yield line
    finally:
        line.close()


def steps(packets: list[tuple[Header, bytes]]) -> set[tuple[int, int]]:
    """How sequence numbers and timestamps go on from packet to packet."""
    heads = [header for header, _ in packets]
    return {
        ((after.sequence - before.sequence) & 0xFFFF, (after.timestamp - before.timestamp) & 0xFFFFFFFF)
        for before, after in pairwise(heads)
    }


def test_sequence_ssrc_and_timestamp_go_on_across_a_wrap() -> None:
    """One packet after the other; the timestamp counts the time in which nobody sent."""
    with a_line() as line:
        line.ticks(10)
        line.dies(gap_s=0.06)
        line.ticks(10)
        packets = line.packets()
    assert len(packets) == 20 and {header.ssrc for header, _ in packets} == {7}
    assert steps(packets[:10]) == steps(packets[10:]) == {(1, 160)}
    assert steps(packets[9:11]) == {(1, 3 * 160)}
    assert packets[0][0].sequence == 65533


def test_what_the_switch_sent_meanwhile_is_gone_on_from_even_at_the_last_moment() -> None:
    """It may have sent after the next worker had read the vitals, before its first tick: no number is used twice."""
    with a_line() as line:
        line.ticks(5)
        line.dies(gap_s=0.10)
        state, _, packets, octets = line.vitals.last_sent()
        line.vitals.sending(
            StreamState(7, state.seq + 1, state.timestamp + 640, 1), line.now, packets + 1, octets
        )
        line.packets()
        line.ticks(3)
        got = line.packets()
    assert [header.sequence for header, _ in got] == [(state.seq + at) & 0xFFFF for at in (1, 2, 3)]
    assert got[0][0].timestamp == (state.timestamp + 640) & 0xFFFFFFFF


def test_silence_that_was_sent_in_the_middle_of_a_tick_uses_no_number_twice() -> None:
    """The worker got no time between hearing and sending, or its agent's mouth took long: the switch filled in. What
    it sends then comes behind. However often that happens, the stream is never far before the clock."""
    with a_line() as line:
        line.ticks(1)
        began, got = line.now, []
        for _ in range(40):
            line.ticks(4)
            line.during_next_mouth = lambda: silence(
                line.vitals, line.rtp, line.phone, line.now, (0.06, 0.08, 0.10)
            )
            line.ticks(1)
            line.now += 0.10  # it took so long: four ticks were skipped, the fifth is due
            line.stream.tick(line.now, 4)
            got += [header for header, _ in line.packets()]
        lasted = round((line.now - began) / 0.02)
    assert steps_of([header.sequence for header in got], 16) == [1] * (len(got) - 1)
    stamps = steps_of([header.timestamp for header in got], 32)
    assert min(stamps) == 160, "each later than the one before"
    assert 0 <= sum(stamps) - lasted * 160 <= 3 * 160


def test_nothing_is_sent_while_another_process_sends() -> None:
    """The packet is left out and its time is counted; the next one goes on with the numbers."""
    with a_line() as line:
        line.ticks(3)
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(line.vitals.fd)],
            pass_fds=[line.vitals.fd],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        line.ticks(2)
        holder.communicate(b"\n", timeout=10)
        line.ticks(3)
        got = [header for header, _ in line.packets()]
    assert len(got) == 6
    assert steps_of([header.sequence for header in got], 16) == [1] * 5
    assert steps_of([header.timestamp for header in got], 32) == [160, 160, 480, 160, 160]


def test_two_processes_that_both_send_draw_each_number_once() -> None:
    """A worker in a hurry and a switch that fills in without end: one stream, every number once."""
    with a_line() as line:
        line.ticks(1)
        switch = subprocess.Popen(
            [sys.executable, "-c", FILLS, *map(str, (line.vitals.fd, line.rtp.fileno())), line.address],
            pass_fds=[line.vitals.fd, line.rtp.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert switch.stdout is not None and switch.stdout.readline() == b"filling\n"
        got: list[int] = []
        ours = theirs = 0
        while min(ours, theirs) < 300:
            line.ticks(1, level=0)
            for header, payload in line.packets():
                got.append(header.sequence)
                ours, theirs = ours + bool(payload), theirs + (not payload)
        filled = int(switch.communicate(b"\n", timeout=10)[0])
        got += [header.sequence for header, _ in line.packets()]
        assert len(got) == line.vitals.packets_sent == len(set(got)), "no number twice"
    assert filled >= theirs
    assert steps_of(sorted((at - got[0]) & 0xFFFF for at in got), 16) == [1] * (len(got) - 1), "none left out"


def steps_of(numbers: list[int], bits: int) -> list[int]:
    return [(after - before) % (1 << bits) for before, after in pairwise(numbers)]


def silence(
    vitals: Vitals, sock: socket.socket, phone: socket.socket, began: float, late: tuple[float, ...]
) -> None:
    """As the switch fills in, so long after that tick began."""
    for after in late:
        state, sent_at, packets, octets = vitals.last_sent()
        now = began + after
        stamp = state.timestamp + (int((now - sent_at) / 0.02 + 0.25) - 1) * 160 & 0xFFFFFFFF
        seq = state.seq + 1 & 0xFFFF
        following = StreamState(state.ssrc, seq, stamp + 160 & 0xFFFFFFFF, state.wraps + (not seq))
        vitals.sending(following, now, packets + 1, octets + 160)
        header = struct.pack("!BBHII", 0x80, 0, state.seq, stamp, state.ssrc)
        sock.sendto(header + bytes(160), phone.getsockname())


def test_a_stream_of_40_ms_packets_keeps_their_size() -> None:
    """Half a packet that was pending is lost with the worker, as time, not as a hole in the numbers."""
    with a_line(ptime_ms=40) as line:
        line.ticks(9)
        line.dies()
        line.ticks(8)
        packets = line.packets()
    assert {len(payload) for _, payload in packets} == {320}
    heads = [header for header, _ in packets]
    assert {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(heads)} == {1}
    assert {((b.timestamp - a.timestamp) & 0xFFFFFFFF) % 160 for a, b in pairwise(heads)} == {0}


def test_on_hold_nothing_is_sent_before_and_after() -> None:
    with a_line(direction="recvonly") as line:
        line.ticks(5)
        line.dies()
        line.ticks(5)
        assert line.packets() == []
        assert line.stream.report().sent == 0


def test_digits_that_were_being_sent_are_finished() -> None:
    """The event in progress keeps its timestamp and goes on in duration; those behind it follow."""
    with a_line() as line:
        line.stream.send_digits("12")
        line.ticks(4)
        line.dies(gap_s=0.02)
        line.ticks(40)
        events = [(header, payload) for header, payload in line.packets() if header.payload_type == 101]
    stamps = list(dict.fromkeys(header.timestamp for header, _ in events))
    codes = [
        {EVENT.unpack(payload)[0] for header, payload in events if header.timestamp == at} for at in stamps
    ]
    assert codes == [{1}, {2}]
    durations = [EVENT.unpack(payload)[2] for header, payload in events if header.timestamp == stamps[0]]
    assert durations == sorted(durations)
    assert sum(bool(EVENT.unpack(payload)[1] & 0x80) for _, payload in events) == 6, "each end three times"
    assert {(b.sequence - a.sequence) & 0xFFFF for (a, _), (b, _) in pairwise(events[:4])} == {1}


def test_a_key_that_was_held_down_counts_once() -> None:
    """Its packets before and after are one press; the next one is another."""
    with a_line() as line:
        line.ticks(5)
        held = line.stamp
        for tick in range(6):
            if tick == 3:
                line.dies(gap_s=0.02)
            line.say(EVENT.pack(5, 10, 160 * (tick + 1)), kind=101, stamp=held)
            line.ticks(1, level=0)
        for _ in range(3):
            line.say(EVENT.pack(5, 0x80 | 10, 1120), kind=101, stamp=held)
        line.ticks(5)
        assert line.digits == "5"
        line.say(EVENT.pack(6, 0x80 | 10, 800), kind=101)
        line.ticks(2)
        assert line.digits == "56"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_caller_is_heard_and_addressed_where_they_were(host: str) -> None:
    """The address that was learned counts, not the one in SDP; no stranger gets in while the worker changes."""
    with a_line(host=host, remote=("::2" if host == "::1" else "127.0.0.9", 9)) as line:
        line.ticks(10)
        home = line.phone.getsockname()[:2]
        assert line.stream.target == home
        line.dies()
        assert line.stream.target == home
        line.packets()
        line.ticks(1)
        assert line.heard and len(line.packets()) == 1
        assert line.stream.report().foreign == 0


def test_the_caller_s_words_between_two_workers_are_heard() -> None:
    """What waits in the socket goes to the caller's past, a frame for each 20 ms."""
    with a_line() as line:
        line.ticks(50, level=1000)
        mark = line.stream.past.ticks if line.stream.past is not None else 0
        for _ in range(20):
            line.say(encode_ulaw(np.full(160, 9000, np.int16)))
        line.dies(gap_s=0.42)
        line.ticks(5, level=1000)
        past = line.stream.past
        assert past is not None and past.ticks == mark + 20 + 5
        loud = [int(frame.max()) > 5000 for frame in past.since(mark)]
    assert 18 <= sum(loud) <= 20


def test_a_recording_of_two_workers_is_one(tmp_path: Path) -> None:
    """Sound that waited in the memory of the dead one, and the silence until the next, are in it."""
    with a_line(tmp_path) as line:
        line.ticks(70)
        line.dies(gap_s=0.10)
        line.ticks(50)
        line.stream.close()
        sides = read(tmp_path / "audio.wav")
    assert len(sides) == (70 + 4 + 50) * 160
    assert (sides[: 70 * 160, 1] > 900).all() and not sides[70 * 160 : 74 * 160, 1].any()
    assert (sides[74 * 160 :, 1] > 900).all()


def test_a_paused_recording_stays_paused(tmp_path: Path) -> None:
    with a_line(tmp_path) as line:
        line.ticks(20)
        assert line.stream.recorder is not None
        line.stream.recorder.pause()
        line.ticks(20)
        line.dies(gap_s=0.02)
        line.ticks(20)
        assert line.stream.recorder is not None
        line.stream.recorder.go_on()
        line.ticks(10)
        line.stream.close()
        sides = read(tmp_path / "audio.wav")
    assert len(sides) == 70 * 160
    assert sides[: 20 * 160, 1].all() and not sides[20 * 160 : 60 * 160].any() and sides[60 * 160 :, 1].all()


def test_a_recording_that_nobody_goes_on_with_is_made_whole(tmp_path: Path) -> None:
    """The caller hung up when the worker was gone: the switch writes what was in memory, once."""
    with a_line(tmp_path) as line:
        line.ticks(70)
        assert len(read(tmp_path / "audio.wav")) == 50 * 160
        assert rescue(line.vitals, tmp_path / "audio.wav", 8000)
        assert not rescue(line.vitals, tmp_path / "audio.wav", 8000)
        sides = read(tmp_path / "audio.wav")
    assert len(sides) == 70 * 160 and (sides[:, 1] > 900).all()


def test_a_write_that_the_vitals_do_not_know_of_is_not_repeated(tmp_path: Path) -> None:
    """Killed between the write and the end of the tick: the file is longer than the vitals say. The next
    worker has that tick's place to fill itself."""
    vitals = Vitals.create()
    path = tmp_path / "audio.wav"
    with Recorder(path, 8000, memory=vitals.waiting_sound(8000)) as recorder:
        for _ in range(49):
            recorder.frame(np.full(160, 5, np.int16), None)
        vitals.ticked(1.0, 49, recorder.kept, None, 0)
        recorder.frame(np.full(160, 5, np.int16), None)  # the fiftieth: written
        assert not rescue(vitals, path, 8000)
        with reopened(str(path), 8000, vitals) as second:
            assert second.samples == 49 * 160
            assert read(path)[:, 0].tolist() == [5] * 49 * 160
    vitals.close()


@pytest.mark.parametrize("first", [65530, 65500, 100])
def test_an_encrypted_call_goes_on_across_wraps_of_both_sides(first: int) -> None:
    """The count of wraps is on no packet (RFC 3711 §3.3.1); both guards are led to it. No index is used twice."""
    srtp = Srtp(SHA80, 1, OURS, THEIRS)
    with a_line(srtp=srtp) as line:
        line.sequence = first
        for _ in range(4):
            line.ticks(25)
            line.dies(gap_s=0.02)
        line.ticks(25)
        packets, report = line.packets(), line.stream.report()
        loud = line.heard[-20:]
    assert len(packets) == 125 and steps(packets) == {(1, 160)}
    assert (report.unauthenticated, report.replayed) == (0, 0)
    assert min(loud) > 3000


@pytest.mark.parametrize("let_go", [True, False])
def test_what_was_counted_goes_on_from_worker_to_worker(let_go: bool) -> None:
    """The report is the call's, not its last worker's: exact if the call was let go, else but for a second at most."""
    with a_line(srtp=Srtp(SHA80, 1, OURS, THEIRS)) as line:
        line.sequence, line.stamp = 100, 0
        for part in range(3):
            line.ticks(60)
            line.sequence, line.stamp = line.sequence + 3, line.stamp + 480  # these are lost
            line.ticks(30)
            line.phone.sendto(b"\x80\x00 not under the key", line.rtp.getsockname())
            line.ticks(30)
            if part < 2:
                if let_go:
                    line.stream.close()
                line.dies(gap_s=0.02)
        report = line.stream.report()
        kept = line.vitals.counts().report(line.plan, 8000, line.vitals.packets_sent)
    assert report.sent == 360 and report.sources == 1
    seen = (report.received, report.lost, report.unauthenticated)
    assert seen == ((360, 9, 3) if let_go else (300, 9, 2))
    assert report.concealed_ms >= 9 * 20 and report.delay_ms >= 20
    assert report.missing == round(9 / (report.received + 9), 4)
    assert report.mos is not None and 3.0 < report.mos < 4.4
    assert (kept.sent, kept.lost) == (360, 9) and kept.received == report.received - 10


def test_a_packet_that_the_dead_worker_has_heard_is_a_replay_for_the_next() -> None:
    srtp = Srtp(SHA80, 1, OURS, THEIRS)
    with a_line(srtp=srtp) as line:
        assert line.guard is not None
        line.ticks(20)
        stale = line.guard.protect(struct.pack("!BBHII", 0x80, 0, line.sequence, line.stamp, 99) + bytes(160))
        line.phone.sendto(stale, line.rtp.getsockname())
        line.sequence, line.stamp = line.sequence + 1 & 0xFFFF, line.stamp + 160 & 0xFFFFFFFF
        line.ticks(10)
        line.dies()
        line.phone.sendto(stale, line.rtp.getsockname())
        line.ticks(2)
        assert line.stream.report().replayed == 1


def test_encrypted_reports_go_on_in_their_numbers() -> None:
    """SRTCP counts its packets itself: an index that was used is a replay to the far side (RFC 3711 §3.4)."""
    srtp = Srtp(SHA80, 1, OURS, THEIRS)
    ours = Guard(srtp)
    theirs = Guard(replace(srtp, send_key=THEIRS, receive_key=OURS))
    report = struct.pack("!BBHI", 0x80, 201, 1, 7)
    assert all(theirs.unprotect(ours.protect(report, rtcp=True), rtcp=True) for _ in range(3))
    second = Guard(srtp)
    second.go_on(Place((7, 70000), None, 3))
    assert theirs.unprotect(second.protect(report, rtcp=True), rtcp=True) is not None
    assert theirs.replayed == 0


def test_what_was_written_into_vitals_is_what_another_process_reads() -> None:
    """Nobody has driven it: nothing. Then every field, as it was."""
    vitals = Vitals.create()
    assert vitals.read() is None and not vitals.begun
    other = Vitals(os.dup(vitals.fd))
    vitals.sending(StreamState(1, 65535, 3, 4), 5.0, 6, 7)
    vitals.ticked(8.0, 9, (10, 11, True), (12, -13), 14)
    vitals.peer(("2001:db8::1", 15), ("192.0.2.1", 16))
    vitals.keying("12#", 17, 18)
    vitals.heard_key(KeyHeard(19, 20, 21, True, 22.0))
    vitals.spoke(23, 24.0, 25)
    vitals.count(Counts(*range(26, 26 + len(Counts._fields))))
    vitals.act(True)
    vitals.tools(300)
    left = other.read()
    assert left is not None and other.acting and other.tools_running == 255
    assert (left.state, left.sent_at, left.packets, left.octets) == (StreamState(1, 65535, 3, 4), 5.0, 6, 7)
    assert (left.at, left.past_ticks, left.recorded, left.waiting, left.paused) == (8.0, 9, 10, 11, True)
    assert (left.theirs, left.reports) == ((12, -13), 14)
    assert (left.source, left.target) == (("2001:db8::1", 15), ("192.0.2.1", 16))
    assert (left.digits, left.digit_tick, left.event_timestamp) == ("12#", 17, 18)
    assert left.key == KeyHeard(19, 20, 21, True, 22.0)
    assert (left.spoken, left.turn_since, left.turn_ticks) == (23, 24.0, 25)
    assert left.counts == Counts(*range(26, 26 + len(Counts._fields)))
    vitals.close()
    vitals.act(True)  # a task that ends late
    other.close()


def test_memory_is_given_back_when_a_call_ends(tmp_path: Path) -> None:
    """Arrays that look into it would keep it, and its descriptor."""
    before = memory_files()
    with a_line(tmp_path) as line:
        line.ticks(60)
        assert memory_files() > before
    assert memory_files() == before


def memory_files() -> int:
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found += "offhook-call" in os.readlink(f"/proc/self/fd/{fd}")
    return found


def read(path: Path) -> Frame:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


TICKS = """
import sys
from telephony.media.vitals import Vitals
vitals, now = Vitals(int(sys.argv[1])), 1000.0
print("ticks", flush=True)
while True:
    now += 0.02
    vitals.ticked(now, 7, None, None, 0)
"""


def test_whoever_looks_while_a_worker_writes_never_sees_a_call_that_has_not_ticked() -> None:
    """A worker that is given no time in the middle of writing is not taken for one that stands still, and killed."""
    vitals = Vitals.create()
    vitals.ticked(1000.0, 7, None, None, 0)
    with subprocess.Popen(
        [sys.executable, "-c", TICKS, str(vitals.fd)], pass_fds=[vitals.fd], stdout=subprocess.PIPE
    ) as worker:
        try:
            assert worker.stdout is not None and worker.stdout.readline() == b"ticks\n"
            before, wrong, moved, looks = 1000.0, 0, 0, 0
            while looks < 200_000 or moved < 500:  # on a busy machine it has a turn now and then
                looks += 1
                beat = vitals.beat
                wrong += beat < before or not vitals.begun
                moved += beat > before
                before = max(before, beat)
        finally:
            worker.kill()
    vitals.close()
    assert wrong == 0
