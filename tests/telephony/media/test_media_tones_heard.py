"""Key presses and signals that come as sound: what ITU-T Q.24, E.180 and T.30 want to be heard, and nothing else."""

from __future__ import annotations

import wave
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.media.codecs.g711 import decode_ulaw, encode_ulaw
from telephony.media.spectrum import COLUMNS_HZ, ROWS_HZ
from telephony.media.tones_heard import TonesHeard

Sound = NDArray[np.float64]

RECORDINGS = sorted((Path(__file__).parents[2] / "recordings").glob("*.wav"))
RATES = (8000, 16000)
KEYPAD = "123A456B789C*0#D"
PEAK_0_DBM0 = 22_300.0  # G.711: the loudest sine is +3.17 dBm0


@dataclass
class Line:
    """What came of some sound. muted: of each frame, whether it was kept from the ear."""

    digits: str = ""
    signals: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    muted: list[bool] = field(default_factory=list)


def hear(sound: Sound, rate_hz: int = 8000, *, shift: int = 0, noise_rms: float = 0.0) -> Line:
    """A line with this sound, `shift` samples into a frame, through G.711 at 8 kHz."""
    sound = np.concatenate([np.zeros(shift), sound, np.zeros(rate_hz // 5)])
    if noise_rms:
        sound = sound + np.random.default_rng(24).normal(0, noise_rms, len(sound))
    pcm = np.clip(np.rint(sound), -32124, 32124).astype(np.int16)
    if rate_hz == 8000:
        pcm = decode_ulaw(encode_ulaw(pcm))
    tones, line, size = TonesHeard(rate_hz), Line(), rate_hz // 50
    for n in range(len(pcm) // size):
        digit, signal = tones.hear(pcm[n * size : (n + 1) * size], (n + 1) * 0.02)
        line.digits += digit
        line.muted.append(tones.sounding)
        if signal:
            line.signals.append(signal)
            line.at.append((n + 1) * 0.02)
    return line


def key(
    digit: str,
    ms: float,
    rate_hz: int = 8000,
    *,
    row_dbm0: float = -10,
    column_dbm0: float = -10,
    row_off: float = 0.0,
    column_off: float = 0.0,
) -> Sound:
    """One key press (ITU-T Q.23). row_off, column_off: error of the pitch, 0.01 is 1 %."""
    row, column = divmod(KEYPAD.index(digit), 4)
    at = 2 * np.pi * np.arange(int(rate_hz * ms / 1000)) / rate_hz
    low = 10 ** (row_dbm0 / 20) * np.sin(ROWS_HZ[row] * (1 + row_off) * at)
    high = 10 ** (column_dbm0 / 20) * np.sin(COLUMNS_HZ[column] * (1 + column_off) * at + 1)
    sound: Sound = PEAK_0_DBM0 * (low + high)
    return sound


def tone(*hz: float, seconds: float, dbm0: float = -13, rate_hz: int = 8000) -> Sound:
    at = 2 * np.pi * np.arange(int(rate_hz * seconds)) / rate_hz
    sound: Sound = PEAK_0_DBM0 * 10 ** (dbm0 / 20) * np.sum([np.sin(one * at) for one in hz], axis=0)
    return sound


def pause(seconds: float, rate_hz: int = 8000) -> Sound:
    return np.zeros(round(rate_hz * seconds))


def speech(name: str = "bill.wav") -> Sound:
    path = next(path for path in RECORDINGS if path.name == name)
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(float)


# ---------------------------------------------------------------- key presses


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize(
    ("row_dbm0", "column_dbm0"),
    [(-10, -10), (-10, -6), (-6, -14), (-25, -25), (-17, -25), (-25, -21), (-4, 0), (0, -8), (0, 0)],
)
def test_a_key_held_for_40_ms_is_heard_once_and_one_of_less_than_20_never(
    rate_hz: int, row_dbm0: float, column_dbm0: float
) -> None:
    """ITU-T Q.24 table A-1: levels of 0 to -25 dBm0, the column up to 4 dB louder or 8 dB softer than the row.
    Wherever in a frame the press begins, and even where the codec clips the sum."""
    for digit, shift in product(KEYPAD, range(0, rate_hz // 50, rate_hz // 1600)):
        for ms, wanted in ((40, digit), (19.9, ""), (160, digit)):
            sound = key(digit, ms, rate_hz, row_dbm0=row_dbm0, column_dbm0=column_dbm0)
            assert hear(sound, rate_hz, shift=shift).digits == wanted, (digit, shift, ms)


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("noise_rms", [0.0, 150.0])
@pytest.mark.parametrize(("row_dbm0", "column_dbm0"), [(-10, -10), (-10, -6), (-6, -14)])
def test_a_pitch_is_right_within_1_5_percent_and_wrong_from_3_5_on(
    rate_hz: int, noise_rms: float, row_dbm0: float, column_dbm0: float
) -> None:
    """ITU-T Q.24 table A-1, either tone high or low."""
    right = list(product((-0.015, 0.015), repeat=2))
    wrong = [(off, 0.0) for off in (-0.035, 0.035)] + [(0.0, off) for off in (-0.035, 0.035)]
    for digit, shift in product(KEYPAD, (0, rate_hz // 200, rate_hz // 100)):
        for row_off, column_off in right + wrong:
            accepted = (row_off, column_off) in right
            levels = {"row_dbm0": row_dbm0, "column_dbm0": column_dbm0}
            offs = {"row_off": row_off, "column_off": column_off}
            sound = key(digit, 60 if accepted else 200, rate_hz, **levels, **offs)
            heard = hear(sound, rate_hz, shift=shift, noise_rms=noise_rms).digits
            assert heard == (digit if accepted else ""), (digit, shift, row_off, column_off)


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_pause_of_40_ms_parts_two_presses_and_a_gap_of_10_does_not(rate_hz: int) -> None:
    """ITU-T Q.24 table A-1: a worn key or a lost packet is one press, a quick finger two."""
    for digit, shift in product("15#D", range(0, rate_hz // 50, rate_hz // 1600)):
        twice = [key(digit, 50, rate_hz), pause(0.04, rate_hz), key(digit, 50, rate_hz)]
        assert hear(np.concatenate(twice), rate_hz, shift=shift).digits == 2 * digit
        once = key(digit, 120, rate_hz)
        once[rate_hz * 50 // 1000 : rate_hz * 60 // 1000] = 0
        assert hear(once, rate_hz, shift=shift).digits == digit


def test_a_number_dialled_by_a_machine_arrives_in_order() -> None:
    """50 ms on, 50 ms off, as diallers do."""
    number = "0123456789*#ABCD0011"
    sound = np.concatenate([part for digit in number for part in (key(digit, 50), pause(0.05))])
    for shift in range(0, 160, 7):
        assert hear(sound, shift=shift).digits == number


def test_keys_are_heard_through_noise() -> None:
    """15 dB of white noise below the tones, and what is left of each frame is none of it."""
    rms = PEAK_0_DBM0 * 10 ** (-10 / 20) * 10 ** (-15 / 20)
    sound = np.concatenate([part for digit in KEYPAD for part in (key(digit, 60), pause(0.06))])
    for shift in range(0, 160, 31):
        assert hear(sound, shift=shift, noise_rms=rms).digits == KEYPAD


@pytest.mark.parametrize("gain", [0.1, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_speech_is_neither_a_key_nor_a_signal(path: Path, gain: float) -> None:
    """Talk-off: nothing is heard in our recordings, and no more than 100 ms of one is kept from the recogniser."""
    with wave.open(str(path)) as file:
        rate_hz, raw = file.getframerate(), file.readframes(file.getnframes())
    sound = np.frombuffer(raw, np.int16).astype(float) * gain
    for shift in (0, 40, 90):
        line = hear(sound, rate_hz, shift=shift)
        assert (line.digits, line.signals) == ("", [])
        assert sum(line.muted) <= 5


def test_noise_and_music_are_no_keys() -> None:
    """Two minutes of noise, and chords with overtones that change every 150 ms."""
    dice = np.random.default_rng(180)
    assert hear(dice.normal(0, 3000, 8000 * 120)).digits == ""
    for _ in range(4):
        notes = 220 * 2 ** (dice.integers(0, 36, (200, 3)) / 12)
        chords = [
            tone(*(hz * n for hz in chord for n in (1, 2, 3)), seconds=0.15, dbm0=-20) for chord in notes
        ]
        assert hear(np.concatenate(chords)).digits == ""


@pytest.mark.parametrize("rate_hz", RATES)
def test_the_recogniser_hears_silence_while_a_key_sounds(rate_hz: int) -> None:
    """Row 60: at most the first 20 ms get through."""
    for shift in range(0, rate_hz // 50, rate_hz // 1600):
        line = hear(key("7", 200, rate_hz), rate_hz, shift=shift)
        full = line.muted[1:10]  # frames 1 to 9 are tone from end to end
        assert all(full)


# ---------------------------------------------------------------- signals


def cadence(*hz: float, on: float, off: float, times: int) -> Sound:
    return np.concatenate([tone(*hz, seconds=on), pause(off)] * times)


@pytest.mark.parametrize(
    ("hz", "on", "off", "kind"),
    [
        ((425,), 0.48, 0.48, "busy"),  # Germany
        ((425,), 0.5, 0.5, "busy"),  # most of Europe
        ((440,), 0.5, 0.5, "busy"),  # France
        ((400,), 0.375, 0.375, "busy"),  # United Kingdom
        ((450,), 0.35, 0.35, "busy"),  # China
        ((480, 620), 0.5, 0.5, "busy"),  # North America
        ((425,), 0.24, 0.24, "reorder"),
        ((480, 620), 0.25, 0.25, "reorder"),
    ],
)
def test_busy_and_reorder_are_told_apart_by_their_cadence(
    hz: tuple[float, ...], on: float, off: float, kind: str
) -> None:
    """ITU-T E.180 §5 and Supplement 2: clear with the third burst, said once."""
    for shift in range(0, 160, 15):
        line = hear(cadence(*hz, on=on, off=off, times=10), shift=shift)
        assert line.signals == [kind]
        assert line.at[0] <= 3 * on + 2 * off + 0.1


def test_how_long_busy_has_been_sounding_is_known_until_it_stops() -> None:
    """An analogue gateway says goodbye in no other way."""
    tones = TonesHeard(8000)
    sound = np.concatenate([pause(1), cadence(425, on=0.48, off=0.48, times=7), pause(3)]).astype(np.int16)
    lasting = []
    for n in range(len(sound) // 160):
        tones.hear(sound[n * 160 : (n + 1) * 160], n * 0.02)
        lasting.append(tones.lasting(n * 0.02))
    at_6_5 = lasting[325]
    assert at_6_5 is not None
    assert at_6_5[0] == "busy"
    assert at_6_5[1] == pytest.approx(5.5, abs=0.05)
    assert lasting[150] is None
    assert lasting[-1] is None


@pytest.mark.parametrize(
    "sound",
    [
        cadence(425, on=1.0, off=4.0, times=4),  # Europe
        cadence(440, 480, on=2.0, off=4.0, times=3),  # North America
        np.concatenate(
            [tone(400, 450, seconds=0.4), pause(0.2), tone(400, 450, seconds=0.4), pause(2.0)] * 3
        ),
        tone(425, seconds=10),  # dial tone
    ],
    ids=["ringing", "american ringing", "british ringing", "dial tone"],
)
def test_ringing_and_dial_tone_are_not_busy(sound: Sound) -> None:
    """ITU-T E.180 §2, §3."""
    assert hear(sound).signals == []


@pytest.mark.parametrize("row", [(950, 1400, 1800), (913.8, 1370.6, 1776.7), (985.2, 1428.5, 1776.7)])
def test_special_information_tones_are_heard(row: tuple[float, ...]) -> None:
    """ITU-T E.180 §7: three rising tones of 330 ms; Bellcore's variants as well. An announcement follows."""
    tones = [tone(hz, seconds=0.33) for hz in row]
    assert hear(np.concatenate([*tones, pause(0.3), speech()])).signals == ["sit"]


@pytest.mark.parametrize("hz", [425, 800, 1000, 1400, 1850, 2000])
@pytest.mark.parametrize("seconds", [0.25, 1.0])
def test_an_answering_machine_s_beep_is_heard_after_its_greeting(hz: float, seconds: float) -> None:
    """One tone after speech, then silence."""
    greeting = speech("opening_hours.wav")
    sound = np.concatenate([greeting, pause(0.3), tone(hz, seconds=seconds), pause(1.0)])
    assert hear(sound).signals == ["beep"]


def test_a_tone_that_nobody_spoke_before_or_that_goes_on_is_no_beep() -> None:
    """A whistle into the line, a dial tone after the other side has hung up."""
    assert hear(np.concatenate([tone(1000, seconds=0.5), pause(1)])).signals == []
    assert hear(np.concatenate([speech(), tone(1000, seconds=4), pause(1)])).signals == []


def test_busy_after_a_conversation_is_no_beep() -> None:
    """The caller hung up and the exchange says so."""
    sound = np.concatenate([speech(), pause(0.5), cadence(425, on=0.48, off=0.48, times=6)])
    assert hear(sound).signals == ["busy"]


def test_a_calling_fax_is_known_by_its_second_call() -> None:
    """ITU-T T.30 §4.3.3.2: 1100 Hz for 0.5 s every 3 s, ±38 Hz and ±15 %. Said once."""
    for hz, on, off in ((1100, 0.5, 3.0), (1138, 0.43, 3.4), (1062, 0.57, 2.6)):
        line = hear(np.concatenate([pause(1), cadence(hz, on=on, off=off, times=4)]))
        assert line.signals == ["fax_cng"]
        assert line.at[0] <= 1 + 2 * on + off + 0.1


def test_an_answering_fax_is_known_by_its_long_tone() -> None:
    """ITU-T T.30 §4.3.3.3: 2100 Hz for 2.6 s; V.8 turns the phase every 450 ms."""
    assert hear(tone(2100, seconds=2.6)).signals == ["fax_ced"]
    turned = np.concatenate([sign * tone(2100, seconds=0.45) for sign in (1, -1, 1, -1, 1, -1)])
    assert hear(turned, shift=30).signals == ["fax_ced"]
    assert hear(tone(2100, seconds=2.0)).signals == []


def test_signals_are_kept_from_the_recogniser() -> None:
    """80 ms of a tone may get through, no more."""
    for sound in (tone(425, seconds=1.0), tone(480, 620, seconds=1.0), tone(2100, seconds=1.0)):
        assert all(hear(sound).muted[4:50])
