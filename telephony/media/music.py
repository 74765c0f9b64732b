"""Music while somebody waits: a WAV file, or a piece of our own for those who have none.

Reads files and computes, so it is called while a call is prepared, in a thread, never on the clock. What it returns
is at the call's rate and shared by all calls; each plays it through its own `Loop` (background.py). Which file, and
whether it will do, is the dial plan's business (dialplan/music.py).
"""

from __future__ import annotations

import os
import wave
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media.background import Frame, Loop
from telephony.media.progress import tone

KEPT: Final = 8  # pieces, of one rate each, that are held ready
OWN_LEVEL: Final = 0.09  # of full scale: well below the voice that comes back

_BLOCK: Final = 65536
# Four soft chords, each note below 700 Hz: no keypad tone has all its energy there, and no voice is so steady.
_CHORDS_HZ: Final = (
    (196.00, 246.94, 293.66, 392.00),  # G
    (164.81, 246.94, 329.63, 392.00),  # e
    (130.81, 261.63, 329.63, 523.25),  # C
    (146.83, 220.00, 293.66, 440.00),  # D
)
_CHORD_S: Final = 4.0


def music(name: str, rate_hz: int, country: str = "us") -> Loop | None:
    """What one call hears while it waits, from its beginning. None: silence.

    name: `default`, `none`, `ringback` (the country's tone), or a file's path. Raises MediaError if it cannot be
    read: 16-bit PCM WAV, one or two channels."""
    if name == "none":
        return None
    if name == "ringback":
        return tone("ringback", rate_hz, country)
    return Loop(_own(rate_hz) if name == "default" else file_sound(name, rate_hz), rate_hz)


def file_sound(path: str, rate_hz: int) -> Frame:
    """A WAV file as one channel at rate_hz, not to be changed. Raises MediaError if it cannot be read."""
    try:
        return _read(path, os.stat(path).st_mtime_ns, rate_hz)
    except (OSError, EOFError, wave.Error) as error:
        raise MediaError(f"sound file {path}: {error}. Give a 16-bit PCM WAV file.") from error


@lru_cache(maxsize=KEPT)
def _read(path: str, changed_ns: int, rate_hz: int) -> Frame:
    """The file as one channel at rate_hz. changed_ns: a file that was replaced is read again."""
    with wave.open(path, "rb") as file:
        channels, width, from_hz = file.getnchannels(), file.getsampwidth(), file.getframerate()
        data = file.readframes(file.getnframes())
    if width != 2 or channels not in (1, 2) or from_hz < 1:
        raise MediaError(f"sound file {path}: {channels} channels of {8 * width} bits. Give 16-bit PCM WAV.")
    whole = data[: len(data) // (2 * channels) * (2 * channels)]
    sound = np.frombuffer(whole, "<i2").reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return _shared(_resampled(sound, from_hz, rate_hz))


def _resampled(sound: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[Any]:
    """The whole piece at another rate, through its spectrum: exact, and round like the loop that it is.

    In blocks of at most some seconds that overlap, so that an hour of music takes no hour of memory."""
    if from_hz == to_hz or not len(sound):
        return sound
    unit = from_hz // int(np.gcd(from_hz, to_hz))  # whole input samples that make whole output samples
    block = max(1, _BLOCK // unit) * unit
    margin = max(1, 2048 // unit) * unit
    count = -(-len(sound) // unit) * unit
    padded = np.pad(np.pad(sound, (0, count - len(sound))), margin, mode="wrap")
    parts = []
    for start in range(0, count, block):
        size = min(block, count - start)
        piece = padded[start : start + size + 2 * margin]
        wanted = len(piece) * to_hz // from_hz
        spectrum = np.fft.rfft(piece)
        bins = np.zeros(wanted // 2 + 1, complex)
        kept = min(len(spectrum), len(bins))
        bins[:kept] = spectrum[:kept]
        if to_hz < from_hz:  # a soft edge below the new limit, so that nothing rings
            edge = max(1, kept // 16)
            bins[kept - edge : kept] *= np.linspace(1.0, 0.0, edge)
        out = np.fft.irfft(bins, wanted) * (wanted / len(piece))
        skip = margin * to_hz // from_hz
        parts.append(out[skip : skip + size * to_hz // from_hz])
    whole = np.concatenate(parts)
    return whole[: len(sound) * to_hz // from_hz]


@lru_cache(maxsize=KEPT)
def _own(rate_hz: int) -> Frame:
    """Sixteen seconds of slow chords. They swell and fade alone, so the end meets the beginning in silence."""
    size = round(_CHORD_S * rate_hz)
    at = np.arange(size) / rate_hz
    swell = np.sin(np.pi * at / _CHORD_S) ** 2
    chords = []
    for chord in _CHORDS_HZ:
        sound = np.zeros(size)
        for voice, hz in enumerate(chord):
            tremble = 1.0 + 0.15 * np.sin(2 * np.pi * (0.25 + 0.25 * voice) * at)
            sound += np.sin(2 * np.pi * hz * at) * tremble / (1 + 0.5 * voice)
        chords.append(sound * swell / np.abs(sound).max())
    return _shared(np.concatenate(chords) * (32767 * OWN_LEVEL))


def _shared(sound: NDArray[Any]) -> Frame:
    pcm: Frame = np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
    pcm.flags.writeable = False
    return pcm
