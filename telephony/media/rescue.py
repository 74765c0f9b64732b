"""A recording whose worker died and gets no other one: the sound in memory is put behind what is on disk.

Driven by the switch, so without numpy. Not how a worker goes on with a recording (recorder.py, Recorder.resume)."""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from typing import Final

from telephony.media.vitals import Vitals

HEADER_BYTES: Final = 44
_PAIR_BYTES: Final = 4  # two channels of int16
_LENGTH = Struct("<I")
_RIFF_AT, _DATA_AT = 4, 40  # where a header says how long the file is


def rescue(vitals: Vitals, path: Path, rate_hz: int) -> bool:
    """Make the recording whole. False if there is nothing to be done, or the disk does not take it."""
    left = vitals.read()
    if left is None or left.recorded is None or not path.exists():
        return False
    begins = HEADER_BYTES + left.recorded * _PAIR_BYTES
    size = left.waiting * _PAIR_BYTES
    if not size or path.stat().st_size >= begins + size:  # it was killed when that had been written already
        return False
    with vitals.waiting_sound(rate_hz) as waiting:
        sound = bytes(waiting[:size])
    ends = min(begins + size, 0xFFFFFFFF)
    try:
        with open(path, "r+b") as file:
            file.seek(begins)
            file.write(sound)
            file.truncate()
            for at, length in ((_RIFF_AT, ends - 8), (_DATA_AT, ends - HEADER_BYTES)):
                file.seek(at)
                file.write(_LENGTH.pack(length))
    except OSError:
        return False
    return True


def seconds(path: Path, rate_hz: int) -> float:
    """Length of a stereo recording of ours, by its size."""
    try:
        size = os.stat(path).st_size
    except OSError:
        return 0.0
    return max(0, size - HEADER_BYTES) / _PAIR_BYTES / rate_hz
