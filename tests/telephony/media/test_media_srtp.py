"""Encrypted sound over real loopback sockets, ticked by hand: who is heard, who is not, and where ours goes."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from telephony.errors import MediaError
from telephony.media import rtcp
from telephony.media.codecs.g711 import encode_ulaw
from telephony.media.crypto import PROFILES, Guard, Place
from telephony.media.report import SourceStats
from telephony.media.stream import Stream, StreamState
from telephony.sdp.crypto import SUITES, draw_keys
from telephony.sdp.plan import MediaPlan, Srtp

SHA80 = "AES_CM_128_HMAC_SHA1_80"
OURS, THEIRS, NEXT = (draw_keys(random.Random(seed).randbytes) for seed in range(3))
SOUND = encode_ulaw(np.full(160, 8000, np.int16))


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def keys(suite: str = SHA80, receive: str = "", send: str = "") -> Srtp:
    return Srtp(suite, 1, send or OURS[suite], receive or THEIRS[suite])


def mirrored(srtp: Srtp) -> Guard:
    """The far side's end of the same keys."""
    return Guard(replace(srtp, send_key=srtp.receive_key, receive_key=srtp.send_key))


def rtp(sequence: int, ssrc: int = 0xCA11, payload: bytes = SOUND) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc) + payload


class Call:
    """A stream with keys, and the phone at its other end, which may speak from more than one socket."""

    def __init__(self, srtp: Srtp | None) -> None:
        self.home, self.away, self.control = udp(), udp(), udp()
        self.phone_control = udp()
        rtp_socket = udp()
        self.at, self.control_at = rtp_socket.getsockname(), self.control.getsockname()
        self.plan = MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU"}, self.home.getsockname(), srtp=srtp)
        self.guard = mirrored(srtp) if srtp else None
        self.levels: list[int] = []
        self.now = 100.0
        self.sequence = 100
        self.stream = Stream(
            rtp_socket,
            self.control,
            self.plan,
            state=StreamState(0x0FF0, 65530, 1),
            ear=lambda frame, _: self.levels.append(int(np.abs(frame.astype(int)).max())),
            mouth=lambda _: np.full(160, 4000, np.int16),
        )

    def tick(self) -> None:
        self.now += 0.02
        self.stream.tick(self.now)

    def packet(self, ssrc: int = 0xCA11) -> bytes:
        """The phone's next packet, encrypted if it has keys."""
        self.sequence += 1
        clear = rtp(self.sequence, ssrc)
        return self.guard.protect(clear) if self.guard else clear

    def talk(self, packets: int, *, ssrc: int = 0xCA11, sock: socket.socket | None = None) -> None:
        for _ in range(packets):
            (sock or self.home).sendto(self.packet(ssrc), self.at)
            self.tick()

    def heard(self, sock: socket.socket | None = None) -> list[bytes]:
        """What arrived at the phone, as it was on the wire."""
        got: list[bytes] = []
        while True:
            try:
                got.append((sock or self.home).recv(4096))
            except BlockingIOError:
                return got

    def close(self) -> None:
        self.stream.close()
        for sock in (self.home, self.away, self.phone_control):
            sock.close()


@pytest.fixture(params=sorted(SUITES))
def call(request: pytest.FixtureRequest) -> Iterator[Call]:
    call = Call(keys(request.param))
    yield call
    call.close()


@pytest.fixture
def plain() -> Iterator[Call]:
    call = Call(None)
    yield call
    call.close()


# ------------------------------------------------------------------ both ways


def test_both_sides_hear_each_other_and_nobody_between_them_does(call: Call) -> None:
    """Row 51: what is on the wire is no mu-law of what was said; the header stays readable (RFC 3711 §3.1)."""
    call.talk(30)
    assert min(call.levels[3:]) > 7000
    on_the_wire = call.heard()
    assert len(on_the_wire) == 30
    said = encode_ulaw(np.full(160, 4000, np.int16))
    assert call.guard is not None
    for packet in on_the_wire:
        assert packet[:2] == b"\x80\x80" or packet[:2] == b"\x80\x00"
        assert len(set(packet[12:172])) > 60, "silence and tones would have few values"
        clear = call.guard.unprotect(packet)
        assert clear is not None and clear[12:] == said
    report = call.stream.report()
    assert (report.received, report.unauthenticated, report.replayed) == (30, 0, 0)
    assert call.plan.srtp is not None and report.srtp == call.plan.srtp.suite


def test_every_suite_that_is_negotiated_can_be_used() -> None:
    assert set(PROFILES) == set(SUITES)


def test_reports_are_encrypted_too_and_theirs_are_read(call: Call) -> None:
    """RFC 3711 §3.4: SRTCP is mandatory with SRTP; ours is answered to where theirs came from."""
    assert call.guard is not None
    far = rtcp.Control(0xCA11)
    far.due(0.0)
    for _ in range(150):
        call.talk(1)
    report = far.compose(1.0, 1, 2, 3, 0x0FF0, SourceStats())
    call.phone_control.sendto(call.guard.protect(report, rtcp=True), call.control_at)
    call.phone_control.sendto(report, call.control_at)  # not encrypted: anybody could have sent it
    for _ in range(260):
        call.talk(1)
    assert call.stream.report().unauthenticated == 1
    assert call.stream.report().remote_loss is not None
    (sent,) = call.heard(call.phone_control)
    assert sent[8:] != b"" and b"@offhook" not in sent
    clear = call.guard.unprotect(sent, rtcp=True)
    assert clear is not None and b"@offhook" in clear


def test_the_sequence_may_wrap_twice_in_both_directions() -> None:
    """RFC 3711 §3.3.1: how often is on no packet; both ends have to count alike."""
    for suite in (SHA80, "AEAD_AES_128_GCM"):
        near, far = Guard(keys(suite)), mirrored(keys(suite))
        for sequence in range(65500, 65500 + 2 * 65536, 50):
            clear = rtp(sequence, payload=b"sound")
            assert far.unprotect(near.protect(clear)) == clear
            assert near.unprotect(far.protect(clear)) == clear
        assert (near.unauthenticated, near.replayed, far.unauthenticated) == (0, 0, 0)


def _late_in_a_call(suite: str) -> tuple[Guard, Guard, Srtp, int]:
    """Both ends after 70,000 packets each way, the description with the next keys, and the next sequence number."""
    srtp, last = keys(suite), 70_000
    near, far = Guard(srtp), mirrored(srtp)
    for sequence in range(0, last, 500):
        assert far.unprotect(near.protect(rtp(sequence)))
        assert near.unprotect(far.protect(rtp(sequence)))
    return near, far, keys(suite, receive=NEXT[suite], send=NEXT[suite]), last


def _place(index: int) -> Place:
    return Place((0xCA11, index), (0xCA11, index - 500), 0)


@pytest.mark.parametrize("suite", [SHA80, "AEAD_AES_128_GCM"])
def test_new_keys_do_not_begin_the_count_of_wraps_anew(suite: str) -> None:
    """RFC 3711 §3.3.1: the rollover counter outlives the master key."""
    near, far, fresh, last = _late_in_a_call(suite)
    near.update(fresh, _place(last))
    far.update(replace(fresh, send_key=fresh.receive_key, receive_key=fresh.send_key), _place(last))
    for sequence in range(last, last + 70_000, 500):
        assert far.unprotect(near.protect(rtp(sequence)))
        assert near.unprotect(far.protect(rtp(sequence)))
    assert (near.unauthenticated, far.unauthenticated) == (0, 0)


@pytest.mark.parametrize("suite", [SHA80, "AEAD_AES_128_GCM"])
def test_a_phone_that_begins_it_anew_is_heard_all_the_same(suite: str) -> None:
    """Some do; what was on its way under the old key is not lost either."""
    near, far, fresh, last = _late_in_a_call(suite)
    late = far.protect(rtp(last))
    near.update(fresh, _place(last))
    anew = mirrored(fresh)
    assert near.unprotect(late)
    for sequence in range(last + 1, last + 140_000, 500):
        assert near.unprotect(anew.protect(rtp(sequence)))
    assert near.unprotect(far.protect(rtp(last + 2))) is None, "the old key is worth nothing now"
    assert near.unauthenticated + near.replayed == 1


@pytest.mark.parametrize("suite", [SHA80, "AEAD_AES_128_GCM"])
def test_new_keys_and_another_address_begin_it_anew(suite: str) -> None:
    """RFC 4568 §7.1.4: who has moved may have lost the old context."""
    near, _, fresh, last = _late_in_a_call(suite)
    near.update(fresh)
    anew = mirrored(fresh)
    assert anew.unprotect(near.protect(rtp(last)))
    assert near.unprotect(anew.protect(rtp(last)))


def test_a_wrap_in_the_middle_of_a_call_is_not_heard(call: Call) -> None:
    """Ours starts at 65530, theirs at 65500: over the edge with losses and two packets swapped."""
    call.sequence = 65500
    call.talk(30)
    call.sequence += 3  # lost
    first, second = call.packet(), call.packet()
    for packet in (second, first):
        call.home.sendto(packet, call.at)
        call.tick()
    call.talk(40)
    report = call.stream.report()
    assert (report.received, report.lost, report.unauthenticated, report.replayed) == (72, 3, 0, 0)
    assert call.guard is not None
    assert all(call.guard.unprotect(packet) for packet in call.heard())


def test_the_callers_next_source_is_heard_under_the_same_key(call: Call) -> None:
    """Row 53: after a transfer behind a border controller the SSRC is another, and may come back."""
    call.talk(10)
    call.sequence = 40000
    call.talk(10, ssrc=0xBEEF)
    call.sequence = 110
    call.talk(10)
    report = call.stream.report()
    assert (report.received, report.sources, report.unauthenticated) == (30, 3, 0)


# ------------------------------------------------------------------ who is not heard


def test_what_the_key_does_not_prove_is_dropped_and_counted(call: Call) -> None:
    """Row 51: altered, under another key, not encrypted at all, cut short, too long."""
    assert call.plan.srtp is not None
    call.talk(5)
    altered = bytearray(call.packet())
    altered[20] ^= 1
    suite = call.plan.srtp.suite
    foreign = Guard(keys(suite, send=NEXT[suite])).protect(rtp(call.sequence + 1))
    before = call.stream.report()
    wrong = [bytes(altered), foreign, rtp(call.sequence + 1), bytes(altered)[:12], b"\x80\x00" + bytes(1900)]
    for packet in wrong:
        call.home.sendto(packet, call.at)
    call.tick()
    report = call.stream.report()
    assert report.unauthenticated == len(wrong)
    assert (report.received, report.malformed) == (before.received, before.malformed)


def test_a_packet_that_was_here_already_is_dropped(call: Call) -> None:
    """RFC 3711 §3.3.2: recorded and played again, at once or much later."""
    recorded = call.packet()
    call.home.sendto(recorded, call.at)
    call.talk(3)
    call.away.sendto(recorded, call.at)
    call.talk(300)
    call.away.sendto(recorded, call.at)
    call.talk(1)
    report = call.stream.report()
    assert (report.replayed, report.received, report.moves) == (2, 305, 0)


def test_noise_alone_is_silence_on_the_wire(call: Call) -> None:
    """Row 64: a call whose caller is gone ends, whatever others send to its port."""
    for n in range(100):
        call.home.sendto(rtp(n), call.at)
        call.tick()
    assert call.stream.last_heard is None
    assert call.stream.silent_for(call.now) > 1.9


def test_damaged_packets_disturb_nobody(call: Call) -> None:
    """A thousand of them, from the caller's own address."""
    dice = random.Random(3711)
    for _ in range(1000):
        data = bytearray(call.packet())
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(2, len(data))] ^= 1 << dice.randrange(8)
        call.home.sendto(bytes(data[: dice.randrange(12, len(data) + 1)]), call.at)
        call.phone_control.sendto(dice.randbytes(dice.randint(1, 200)), call.control_at)
        if not dice.randrange(20):
            call.tick()
    call.tick()
    assert call.stream.report().received == 0
    call.levels.clear()
    call.talk(20)
    assert min(call.levels[3:]) > 7000


# ------------------------------------------------------------------ where ours goes


def test_one_packet_with_the_key_moves_the_call(call: Call) -> None:
    """Row 54: no waiting for four in a row, no silence needed: nobody else can have sent it."""
    call.talk(10)
    call.heard()
    call.talk(1, sock=call.away)
    call.talk(1, sock=call.away)
    assert call.stream.target == call.away.getsockname()
    assert call.stream.report().moves == 1
    assert len(call.heard(call.away)) == 2
    assert call.heard() == []


def test_a_thousand_packets_without_the_key_move_nothing(call: Call) -> None:
    """Row 54: not even while the caller is silent, which moves a plain call after four."""
    for n in range(1000):
        call.away.sendto(rtp(n), call.at)
        if n % 20 == 0:
            call.tick()
    call.tick()
    assert call.stream.target == call.home.getsockname()
    assert (call.stream.report().moves, call.stream.report().received) == (0, 0)


def test_a_straggler_from_the_old_address_is_heard_and_does_not_pull_the_call_back(call: Call) -> None:
    """Row 54: packets overtake each other when a phone changes from Wi-Fi to mobile."""
    call.talk(10)
    late = call.packet()
    call.talk(3, sock=call.away)
    call.home.sendto(late, call.at)
    call.talk(1, sock=call.away)
    report = call.stream.report()
    assert (call.stream.target, report.moves, report.received) == (call.away.getsockname(), 1, 15)


def test_stragglers_do_not_undo_a_new_description(call: Call) -> None:
    """Row 54: RFC 3264 §8.3.1: the new address may wait to hear us first."""
    call.talk(10)
    call.stream.update(replace(call.plan, remote=call.away.getsockname()))
    call.talk(3)
    assert call.stream.target == call.away.getsockname()
    assert call.stream.report().received == 13
    call.talk(1, sock=call.away)
    assert (call.stream.target, call.stream.report().foreign) == (call.away.getsockname(), 0)


# ------------------------------------------------------------------ new descriptions


def test_a_refresh_and_a_hold_keep_count_beyond_a_wrap(call: Call) -> None:
    """Row 51: the same keys again: a fresh context would be lost after 65536 packets."""
    call.sequence = 65500
    call.talk(60)
    call.stream.update(replace(call.plan, direction="inactive"))
    for _ in range(500):
        call.tick()
    call.stream.update(call.plan)
    call.levels.clear()
    call.talk(60)
    assert min(call.levels[10:]) > 7000
    assert call.stream.report().unauthenticated == 0
    assert call.guard is not None
    assert all(call.guard.unprotect(packet) for packet in call.heard())


def test_a_new_key_of_theirs_is_taken_and_what_was_on_its_way_is_not_lost(call: Call) -> None:
    """Row 51: RFC 4568 §7.1.4; after the first packet under the new key the old one is worth nothing."""
    assert call.plan.srtp is not None and call.guard is not None
    call.talk(10)
    old, late = call.packet(), call.packet()
    fresh = replace(call.plan.srtp, receive_key=NEXT[call.plan.srtp.suite])
    call.stream.update(replace(call.plan, srtp=fresh))
    call.home.sendto(old, call.at)
    call.tick()
    ours = call.heard()
    listening, call.guard = call.guard, mirrored(fresh)
    assert all(listening.unprotect(packet) for packet in ours)
    call.talk(10)
    call.home.sendto(late, call.at)
    call.talk(1)
    report = call.stream.report()
    assert (report.received, report.unauthenticated) == (22, 1)
    assert all(listening.unprotect(packet) for packet in call.heard()), "our key, and its count, stay"


def test_a_call_may_begin_in_plain_and_go_on_encrypted(plain: Call) -> None:
    """A re-INVITE of theirs brings keys, another takes them away; the report remembers."""
    plain.talk(10)
    assert plain.stream.report().srtp == ""
    plain.stream.update(replace(plain.plan, srtp=keys()))
    plain.home.sendto(rtp(5), plain.at)
    plain.guard = mirrored(keys())
    plain.talk(10)
    plain.stream.update(plain.plan)
    plain.guard = None
    plain.talk(10)
    report = plain.stream.report()
    assert (report.received, report.unauthenticated, report.srtp) == (30, 1, "")


@pytest.mark.parametrize("suite", [SHA80, "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"])
@pytest.mark.parametrize("mki_bytes", [1, 4])
def test_the_name_of_a_key_is_taken_off_their_packets(suite: str, mki_bytes: int) -> None:
    """Row 51: RFC 3711 §3.1, §3.4 and RFC 7714 §8.2, §9.2: where the MKI stands."""
    near, far = Guard(replace(keys(suite), receive_mki_bytes=mki_bytes)), mirrored(keys(suite))
    tag, rtcp_tag = {SHA80: (10, 10), "AES_CM_128_HMAC_SHA1_32": (4, 10)}.get(suite, (0, 0))
    name = bytes(mki_bytes)
    packet = far.protect(rtp(1))
    end = len(packet) - tag
    assert near.unprotect(packet[:end] + name + packet[end:]) == rtp(1)
    clear = rtcp.Control(1).compose(5.0, 1, 2, 3, None, SourceStats())
    report = far.protect(clear, rtcp=True)
    end = len(report) - rtcp_tag
    assert near.unprotect(report[:end] + name + report[end:], rtcp=True) == clear
    assert near.unprotect(b"\x80\x00", rtcp=False) is None


def test_keys_that_cannot_be_used_are_an_error_that_does_not_show_them() -> None:
    """A mistake of ours: what SDP lets through is longer."""
    for srtp in (keys("NONE", receive="abc", send="abc"), keys(receive="c2hvcnQ=")):
        with pytest.raises(MediaError) as error:
            Guard(srtp)
        assert "abc" not in str(error.value) and "short" not in str(error.value).replace("shorter", "")
