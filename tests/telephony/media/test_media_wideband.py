"""G.722 and Opus through our own door to them, and the rates between which a call may fall."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media.codecs import open_codec
from telephony.media.codecs.rate import Converter

Frame = NDArray[np.int16]


def tone(hz: float, rate_hz: int, seconds: float = 1.0) -> Frame:
    at = np.arange(int(rate_hz * seconds)) * (2 * np.pi * hz / rate_hz)
    pcm: Frame = (8000 * np.sin(at)).astype(np.int16)
    return pcm


def level_db(pcm: Frame) -> float:
    """Against the tone that went in; the filters' first 100 ms left out."""
    settled = pcm[len(pcm) // 10 :].astype(float)
    return float(20 * np.log10(max(np.sqrt(np.mean(settled**2)), 1e-3) / (8000 / np.sqrt(2))))


def through(name: str, pcm: Frame, rate_hz: int = 16000, ptime_ms: int = 20) -> tuple[list[bytes], Frame]:
    """Packets, and what the other side hears."""
    ours, theirs, size = open_codec(name, rate_hz), open_codec(name, rate_hz), rate_hz * ptime_ms // 1000
    packets = [ours.encode(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]
    return packets, np.concatenate([theirs.decode(packet) for packet in packets])


@pytest.mark.parametrize("name", ["G722", "OPUS"])
@pytest.mark.parametrize("ptime_ms", [10, 20, 40, 60])
def test_wideband_carries_what_the_telephone_band_cannot(name: str, ptime_ms: int) -> None:
    """A tone of 5 kHz arrives; every packet decodes to exactly its length, so nothing drifts."""
    sent = tone(5000, 16000, 1.2)
    packets, heard = through(name, sent, ptime_ms=ptime_ms)
    assert len(heard) == len(sent)
    assert abs(level_db(heard)) < 3
    codec = open_codec(name)
    assert {codec.units(packet) for packet in packets} == {codec.clock_hz * ptime_ms // 1000}


def test_g722_counts_a_clock_unit_for_two_samples() -> None:
    """RFC 3551 §4.5.2: 16 kHz sound on a clock of 8 kHz, 64 kbit/s; 30 ms packets work too."""
    codec = open_codec("g722")
    assert (codec.rate_hz, codec.clock_hz, codec.stateless) == (16000, 8000, False)
    packets, heard = through("G722", tone(440, 16000, 1.2), ptime_ms=30)
    assert {len(packet) for packet in packets} == {240}
    assert len(heard) == 19200


def test_opus_tells_its_length_in_its_first_bytes() -> None:
    """RFC 6716 §3.1: configuration, and one, two or a counted number of frames."""
    units = open_codec("opus").units
    assert units(bytes([0 << 3])) == 480  # SILK 10 ms
    assert units(bytes([3 << 3])) == 2880  # SILK 60 ms
    assert units(bytes([1 << 3 | 1])) == 2 * 960
    assert units(bytes([13 << 3])) == 960  # hybrid 20 ms
    assert units(bytes([16 << 3])) == 120  # CELT 2.5 ms
    assert units(bytes([31 << 3 | 3, 6])) == 6 * 960
    for broken in (b"", bytes([31 << 3 | 3]), bytes([3]), bytes([3 << 3 | 3, 48])):
        with pytest.raises(MediaError, match="Opus payload"):
            units(broken)


@pytest.mark.parametrize("name", ["G722", "OPUS"])
def test_damaged_payloads_cost_a_packet_and_not_the_call(name: str) -> None:
    """The codec raises its own error, and hears the next good packet."""
    random, codec = np.random.default_rng(7), open_codec(name)
    for _ in range(300):
        payload = random.bytes(int(random.integers(0, 60)))
        try:
            pcm = codec.decode(payload)
        except MediaError:
            continue
        assert len(pcm) == codec.units(payload) * 16000 // codec.clock_hz
    assert len(codec.decode(open_codec(name).encode(tone(440, 16000, 0.02)))) == 320


def test_opus_refuses_a_packet_length_that_it_does_not_have() -> None:
    """RFC 7587 §4.2; negotiation never agrees on one."""
    with pytest.raises(MediaError, match="30 ms of Opus"):
        open_codec("OPUS").encode(tone(440, 16000, 0.03))


@pytest.mark.parametrize(("name", "rate_hz"), [("PCMU", 16000), ("G722", 8000), ("OPUS", 8000)])
def test_a_codec_of_another_rate_serves_the_call_at_the_calls_rate(name: str, rate_hz: int) -> None:
    """Row 48: a wideband call that goes on in G.711 after a transfer, and the other way round."""
    sent = tone(1000, rate_hz)
    _, heard = through(name, sent, rate_hz=rate_hz)
    assert len(heard) == len(sent)
    assert abs(level_db(heard)) < 1.5


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48000, 16000), (16000, 8000), (8000, 16000), (48000, 8000)])
def test_changing_the_rate_keeps_the_band_and_folds_nothing_into_it(from_hz: int, to_hz: int) -> None:
    """Frame by frame the same as at once, at a constant delay."""
    low = min(from_hz, to_hz)
    for hz, most_db, least_db in ((0.1 * low, 0.1, -0.1), (0.35 * low, 0.1, -0.5), (0.6 * low, -60, -300)):
        if hz >= from_hz / 2:
            continue
        pcm, whole, pieces = tone(hz, from_hz), Converter(from_hz, to_hz), Converter(from_hz, to_hz)
        out, size = whole.feed(pcm), from_hz // 50
        assert len(out) == to_hz
        assert least_db <= level_db(out) <= most_db
        parts = [pieces.feed(pcm[at : at + size]) for at in range(0, len(pcm), size)]
        assert np.abs(np.concatenate(parts).astype(int) - out).max() <= 1
    with pytest.raises(MediaError, match="no whole ratio"):
        Converter(44100, 16000)
