"""One call's media over real loopback sockets: keys by sound and INFO, signals, quality. `now` is the test's."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from telephony.media import rtcp
from telephony.media.codecs.g711 import encode_ulaw
from telephony.media.report import SourceStats
from telephony.media.tones import tone_frame
from telephony.media.xr import VoipMetrics
from tests.telephony.media.test_media_stream import SSRC, Call, udp


@pytest.fixture
def call() -> Iterator[Call]:
    call = Call(with_rtcp=True)
    yield call
    call.close()


def press(call: Call, digits: str, *, ticks: int = 4, pause: int = 3) -> None:
    """The phone plays these keys, 80 ms on and 60 ms off."""
    for digit in digits:
        for tick in range(ticks):
            pcm = tone_frame(digit, tick, 8000)
            assert pcm is not None
            call.phone.send(call.phone.packet(encode_ulaw(pcm)))
            call.tick()
        call.talk(pause, 0)


def test_keys_that_come_as_sound_are_reported_and_not_heard(call: Call) -> None:
    """Row 60 and ITU-T Q.24: each press once, the recogniser hears at most its first 20 ms."""
    call.talk(5, 0)
    call.levels()
    press(call, "159D#0")
    assert call.digits == "159D#0"
    assert sum(level > 500 for level in call.levels()) <= 6
    assert call.stream.report().digits == 6


def test_a_press_by_info_and_as_sound_is_one_digit(call: Call) -> None:
    """Some exchanges send both (RFC 6086 practice)."""
    call.talk(5, 0)
    press(call, "5")
    call.stream.key_by_info("5", call.now)
    call.stream.key_by_info("6", call.now)
    press(call, "6")
    press(call, "5", pause=10)
    assert call.digits == "565"


def test_once_events_have_come_their_tones_are_only_silenced(call: Call) -> None:
    """Row 60: a gateway that leaves the tone in the sound beside its events, for a later key longer than usual."""
    call.talk(5, 0)
    event = struct.pack("!BBH", 5, 0x80 | 10, 800)
    call.phone.send(call.phone.packet(event, pt=101, units=0, marker=True))
    call.tick()
    call.talk(5, 0)
    call.now += 10
    call.levels()
    press(call, "5", pause=10)
    assert call.digits == "5"
    assert sum(level > 500 for level in call.levels()) <= 1


def test_signals_are_told_once_counted_and_timed() -> None:
    """A gateway to an analogue line says goodbye by busy tone only."""
    told: list[str] = []
    call = Call(on_tone=lambda kind, _: told.append(kind))
    at = 2 * np.pi * 425 * np.arange(160 * 24) / 8000
    tone = (4000 * np.sin(at)).astype(np.int16).reshape(24, 160)
    for _ in range(7):
        for frame in tone:
            call.phone.send(call.phone.packet(encode_ulaw(frame)))
            call.tick()
        call.talk(24, 0)
    assert told == ["busy"]
    assert call.stream.report().tones == 1
    lasting = call.stream.tone_lasting(call.now)
    assert lasting is not None
    assert lasting[0] == "busy"
    assert lasting[1] == pytest.approx(7 * 0.96, abs=0.2)
    call.close()


def test_whoever_wants_to_hear_tones_does() -> None:
    """A softphone's user listens to what the line gives."""
    call = Call(mute_tones=False)
    call.talk(5, 0)
    call.levels()
    press(call, "5", pause=5)
    assert sum(level > 5000 for level in call.levels()) >= 3
    call.close()


def test_a_good_call_is_rated_well_and_a_lossy_one_is_not(call: Call) -> None:
    """ITU-T G.107: 4.41 without loss; 10 % in pairs cost more than a point."""
    call.talk(200)
    good = call.stream.report()
    assert good.mos == 4.41
    assert good.mos_listening == 4.41
    assert good.missing == 0
    for n in range(400):
        if n % 20 in (7, 8):
            call.phone.packet(bytes(160))  # lost on the way
            call.tick()
        else:
            call.talk(1)
    bad = call.stream.report()
    assert bad.mos is not None
    assert bad.mos < 4.0
    assert bad.missing == pytest.approx(40 / 600, abs=0.002)
    assert bad.burst_ratio > 1.5
    assert bad.burst_ms == 40


def test_a_call_that_heard_nothing_is_not_rated(call: Call) -> None:
    """No number is better than a wrong one."""
    call.tick(100)
    report = call.stream.report()
    assert (report.mos, report.r_factor, report.missing) == (None, None, 0.0)


def test_both_sides_tell_each_other_how_the_call_sounds(call: Call) -> None:
    """RFC 3611 §4.7: our block is about their stream; theirs becomes our remote_mos."""
    assert call.control is not None
    theirs = udp()
    empty = rtcp.Control(call.phone.ssrc).compose(1.0, 0, 1, 160, None, SourceStats())
    theirs.sendto(empty, call.control.getsockname())  # from now on we know where they take reports
    call.talk(130)
    sent = theirs.recv(4096)
    (block,) = rtcp.parse(sent, len(sent)).voip
    assert (block.ssrc, block.r_factor, block.mos, block.missing) == (call.phone.ssrc, 93, 4.4, 0.0)
    assert call.stream.report().remote_mos is None
    view = VoipMetrics(SSRC, r_factor=70, mos_listening=3.9, mos=3.6)
    data = rtcp.Control(call.phone.ssrc).compose(1.0, 0, 1, 160, SSRC, SourceStats(), view)
    call.phone.send(data)  # muxed on the RTP port
    call.tick()
    report = call.stream.report()
    assert (report.remote_mos, report.remote_r_factor) == (3.6, 70)
    theirs.close()
