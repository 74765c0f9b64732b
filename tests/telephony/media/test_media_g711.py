"""G.711 against the tables of the recommendation, which are written out here a second time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

import numpy as np
import pytest

from telephony.errors import MediaError
from telephony.media.codecs import open_codec
from telephony.media.codecs.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

ALL_CODES = bytes(range(256))
ALL_PCM = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)


def ulaw_decision_values() -> list[int]:
    """G.711 table 2a, column 2: 14-bit decision values x(0) to x(128)."""
    values = [0, 1]
    for segment in range(8):
        step = 2 << segment
        values += [values[-1] + step * k for k in range(1, 16 if segment == 0 else 17)]
    return values


def alaw_decision_values() -> list[int]:
    """G.711 table 1a, column 2: 13-bit decision values x(0) to x(128)."""
    values = [2 * k for k in range(33)]
    for segment in range(1, 7):
        step = 2 << segment
        values += [values[-1] + step * k for k in range(1, 17)]
    return values


def test_the_tables_here_have_the_corner_values_of_the_recommendation() -> None:
    """G.711 tables 1a and 2a: 128 intervals each, the last decision values are 4096 and 8159."""
    assert len(ulaw_decision_values()) == len(alaw_decision_values()) == 129
    assert ulaw_decision_values()[-1] == 8159
    assert alaw_decision_values()[-1] == 4096
    assert {31, 95, 223, 479, 991, 2015, 4063} < set(ulaw_decision_values())
    assert {64, 128, 256, 512, 1024, 2048} < set(alaw_decision_values())


def test_every_ulaw_code_expands_to_the_middle_of_its_interval() -> None:
    """G.711 table 2a column 7: y(0) is 0, the others half way between decision values; 16 bits: times 4."""
    x = ulaw_decision_values()
    outputs = [0] + [(low + high) // 2 for low, high in pairwise(x)][1:]
    expected = {0xFF - n: 4 * y for n, y in enumerate(outputs)} | {
        0x7F - n: -4 * y for n, y in enumerate(outputs)
    }
    assert decode_ulaw(ALL_CODES).tolist() == [expected[code] for code in range(256)]
    assert int(decode_ulaw(ALL_CODES).max()) == 32124


def test_every_alaw_code_expands_to_the_middle_of_its_interval() -> None:
    """G.711 table 1a column 7, even bits inverted on the line (§3.3); on 16 bits times 8."""
    outputs = [(low + high) // 2 for low, high in pairwise(alaw_decision_values())]
    expected = {(0x80 | n) ^ 0x55: 8 * y for n, y in enumerate(outputs)}
    expected |= {n ^ 0x55: -8 * y for n, y in enumerate(outputs)}
    assert decode_alaw(ALL_CODES).tolist() == [expected[code] for code in range(256)]
    assert int(decode_alaw(ALL_CODES).max()) == 32256


def test_every_sample_value_compresses_into_its_ulaw_interval() -> None:
    """G.711 table 2a: all 65,536 values, those beyond the last decision value clipped."""
    x = ulaw_decision_values()
    expected = bytes(
        0xFF - min(127, bisect_right(x, pcm / 4) - 1)
        if pcm >= 0
        else 0x7F - min(127, max(0, bisect_left(x, -pcm / 4) - 1))
        for pcm in range(-32768, 32768)
    )
    assert encode_ulaw(ALL_PCM) == expected


def test_every_sample_value_compresses_into_its_alaw_interval() -> None:
    """G.711 table 1a: all 65,536 values."""
    x = alaw_decision_values()
    expected = bytes(
        (0x80 | (bisect_right(x, pcm / 8) - 1)) ^ 0x55 if pcm >= 0 else (bisect_left(x, -pcm / 8) - 1) ^ 0x55
        for pcm in range(-32768, 32768)
    )
    assert encode_alaw(ALL_PCM) == expected


def test_all_codes_survive_a_tandem() -> None:
    """A second G.711 leg adds no distortion; mu-law's negative zero becomes the positive one."""
    assert encode_alaw(decode_alaw(ALL_CODES)) == ALL_CODES
    assert encode_ulaw(decode_ulaw(ALL_CODES)) == ALL_CODES.replace(b"\x7f", b"\xff")


def test_a_slice_of_a_longer_array_can_be_sent() -> None:
    """Playout hands out slices; the codec must not care where they begin."""
    long = (np.sin(np.arange(800)) * 9000).astype(np.int16)
    assert encode_ulaw(long[3:163]) == encode_ulaw(long[3:163].copy())


def test_an_empty_payload_is_refused() -> None:
    """A 12-byte RTP packet is a keepalive, not sound."""
    for name in ("PCMU", "PCMA"):
        with pytest.raises(MediaError, match="0 bytes"):
            open_codec(name).decode(b"")


def test_a_codec_is_found_by_its_sdp_name_in_any_case() -> None:
    """RFC 8866 §6.6: encoding names are case-insensitive."""
    assert open_codec("pcmu").name == "PCMU"
    assert open_codec("PCMA").units(bytes(160)) == 160
    with pytest.raises(MediaError, match="G729.*Known: PCMU, PCMA"):
        open_codec("G729")
