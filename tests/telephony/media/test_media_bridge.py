"""Two calls joined in memory, then two Streams on loopback sockets; ticked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media.bridge import Bridge, Side
from telephony.media.codecs.g711 import decode_ulaw, encode_ulaw
from telephony.media.stream import Stream, StreamState
from telephony.sdp.plan import MediaPlan
from tests.telephony.media.test_media_stream import Phone, udp

Frame = NDArray[np.int16]


def sound(value: int, samples: int = 160) -> Frame:
    return np.full(samples, value, np.int16)


def tick(side: Side, said: Frame, now: float) -> Frame | None:
    """What a stream does in its tick: hear, then speak."""
    side.ear(said, now)
    return side.mouth(now)


def value(frame: Frame | None) -> int | None:
    """The middle sample, None for silence."""
    return None if frame is None else int(frame[len(frame) // 2])


def test_each_side_hears_the_other_within_a_tick() -> None:
    """What one says is told to the other at its next tick: no queue grows, nothing is lost."""
    bridge = Bridge(8000, 8000)
    told_one, told_other = [], []
    for n in range(50):
        told_one.append(value(tick(bridge.one, sound(100 + n), n * 0.02)))
        told_other.append(value(tick(bridge.other, sound(1000 + n), n * 0.02 + 0.005)))
    assert told_one == [None, *range(1000, 1049)]
    assert told_other == list(range(100, 150))


def test_rates_are_converted_both_ways() -> None:
    """A wideband phone and a narrow one: 20 ms stay 20 ms, and a tone keeps its level and pitch."""
    bridge = Bridge(16000, 8000)
    wide, narrow = [], []
    for n in range(25):
        at_16k = np.arange(n * 320, (n + 1) * 320) / 16000
        at_8k = np.arange(n * 160, (n + 1) * 160) / 8000
        tone_16k, tone_8k = ((8000 * np.sin(2 * np.pi * 500 * t)).astype(np.int16) for t in (at_16k, at_8k))
        wide.append(tick(bridge.one, tone_16k, n * 0.02))
        narrow.append(tick(bridge.other, tone_8k, n * 0.02 + 0.005))
    for frames, size in ((wide[1:], 320), (narrow, 160)):
        assert all(frame is not None and len(frame) == size for frame in frames)
        settled = np.concatenate([frame for frame in frames[5:] if frame is not None]).astype(float)
        spectrum = np.abs(np.fft.rfft(settled * np.hanning(len(settled))))
        pitch_hz = spectrum.argmax() * size * 50 / len(settled)
        assert pitch_hz == pytest.approx(500, abs=5)
        assert np.sqrt((settled**2).mean()) == pytest.approx(8000 / np.sqrt(2), rel=0.02)


def test_rates_without_a_whole_ratio_are_refused() -> None:
    with pytest.raises(MediaError, match="no whole ratio"):
        Bridge(16000, 44100)


def test_an_agent_introduces_and_leaves() -> None:
    """A warm transfer: to the colleague alone, then to both, then not at all; the two go on."""
    bridge = Bridge(8000, 8000)
    heard: list[int] = []
    bridge.whisper(lambda now: sound(7), lambda frame, now: heard.append(int(frame[0])))
    assert value(tick(bridge.one, sound(100), 0.0)) is None
    assert value(tick(bridge.other, sound(1000), 0.005)) == 7, "the caller does not disturb the introduction"
    assert value(tick(bridge.one, sound(101), 0.02)) is None, "nor hears it"
    assert heard == [1000]

    bridge.one.agent = lambda now: sound(9)
    bridge.open()
    tick(bridge.other, sound(1001), 0.025)
    assert value(tick(bridge.one, sound(102), 0.04)) == 1001 + 9
    assert value(tick(bridge.other, sound(1002), 0.045)) == 102 + 7

    bridge.leave()
    assert value(tick(bridge.one, sound(103), 0.06)) == 1002
    assert value(tick(bridge.other, sound(1003), 0.065)) == 103
    assert heard == [1000, 1001, 1002]

    bridge.part()
    tick(bridge.one, sound(104), 0.08)
    assert value(tick(bridge.other, sound(1004), 0.085)) is None


def test_voices_that_are_loud_together_do_not_wrap_around() -> None:
    """int16 would turn 40000 into a crack."""
    bridge = Bridge(8000, 8000)
    bridge.other.agent = lambda now: sound(20000)
    tick(bridge.one, sound(20000), 0.0)
    assert value(tick(bridge.other, sound(0), 0.005)) == 32767


def test_a_side_that_comes_back_from_hold_hears_the_present() -> None:
    """On hold a mouth is not asked: what was said meanwhile is dropped, and no delay stays behind."""
    bridge = Bridge(8000, 8000)
    for n in range(10):
        tick(bridge.one, sound(n), n * 0.02)
        bridge.other.ear(sound(0), n * 0.02 + 0.005)  # holds us: silence, and nothing is asked
    told = []
    for n in range(10, 15):
        tick(bridge.one, sound(n), n * 0.02)
        told.append(value(tick(bridge.other, sound(0), n * 0.02 + 0.005)))
    assert told == [10, 11, 12, 13, 14]


def test_a_stalled_stream_costs_the_other_sound_and_never_delay() -> None:
    """One worker's tick comes late: at most two frames wait, and the oldest goes."""
    bridge = Bridge(8000, 8000)
    for n in range(5):
        bridge.one.ear(sound(n), n * 0.02)
    assert value(bridge.other.mouth(0.1)) == 4
    assert bridge.other.mouth(0.12) is None


def test_two_streams_carry_a_conversation_between_two_phones() -> None:
    """From RTP in at one call to RTP out at the other, each with its own numbers."""
    bridge = Bridge(8000, 8000)
    phones, streams = [], []
    for side in (bridge.one, bridge.other):
        sock = udp()
        phone = Phone(sock.getsockname())
        plan = MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU"}, phone.address)
        streams.append(Stream(sock, None, plan, state=StreamState(1, 1, 1), ear=side.ear, mouth=side.mouth))
        phones.append(phone)
    now = 0.0
    for _ in range(50):
        now += 0.02
        phones[0].say(4000)
        phones[1].say(-2000)
        for stream in streams:
            stream.tick(now)
    for stream in streams:
        stream.close()
    last = [decode_ulaw(phone.heard()[-1][1]) for phone in phones]
    for phone in phones:
        phone.sock.close()
    assert (value(last[0]), value(last[1])) == tuple(
        value(decode_ulaw(encode_ulaw(sound(level)))) for level in (-2000, 4000)
    )
