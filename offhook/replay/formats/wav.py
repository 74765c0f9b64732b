"""WAV files as phone systems, carriers and editors write them: RIFF, RF64 and BW64, PCM of any width, float, G.711.

Read in blocks. Tolerant where recorders are careless (lengths never filled in, a last block cut off), and says so in
notes. Rarer codecs in a WAV (GSM, ADPCM, MP3) are left to compressed.py. Not the bundle's writer.
Sources: Microsoft RIFF MCI and WAVEFORMATEXTENSIBLE; EBU Tech 3306 (RF64).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from offhook.errors import RecordingError
from offhook.replay.formats.material import Material, Pcm
from offhook.replay.formats.sound import KEPT_CHANNELS, Tracks
from telephony.media.codecs.g711 import decode_alaw, decode_ulaw

MAGIC = (b"RIFF", b"RF64", b"BW64")
PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
UNKNOWN = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFF000)  # what streaming writers leave as a length
MOST_CHUNKS = 1000
BLOCK_BYTES = 1 << 20

_FORMAT = Struct("<HHIIHH")
_CHUNK = Struct("<4sI")
_Decode = Callable[[bytes], Pcm]


@dataclass(frozen=True, slots=True)
class _Shape:
    tag: int
    channels: int
    rate_hz: int
    sample_bytes: int


class OtherCodec(Exception):
    """A WAV, but its sound is not plain. For compressed.py."""


def read(file: BinaryIO, place: str, rate_hz: int | None = None) -> Material:
    """The whole file. Raises RecordingError, or OtherCodec if somebody else can decode it."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] not in MAGIC or head[8:] != b"WAVE":
        raise RecordingError(f"{place}: is no WAV file. Give it the ending of what it is.")
    shape, start, length = _chunks(file, place, size, head[:4])
    decode = _decoder(shape, place)
    notes = []
    if length is None:
        notes.append("its header does not say how long it is: read to the end of the file")
        length = size - start
    elif start + length > size:
        seconds = length / (shape.channels * shape.sample_bytes * shape.rate_hz)
        notes.append(f"cut off: {size - start} bytes of the {length} it should have ({seconds:.1f} s)")
        length = size - start
    if shape.channels > KEPT_CHANNELS:
        notes.append(f"{shape.channels} channels: only the first two are used")
    tracks = Tracks(place, shape.rate_hz, shape.channels, rate_hz)
    _pour(file, start, length, shape, decode, tracks)
    channels = tracks.finish()
    return Material(tracks.rate_hz, channels, notes=notes)


def _pour(file: BinaryIO, start: int, length: int, shape: _Shape, decode: _Decode, tracks: Tracks) -> None:
    """From the file into the tracks, whole frames only."""
    frame_bytes = shape.channels * shape.sample_bytes
    step = max(1, BLOCK_BYTES // frame_bytes) * frame_bytes
    file.seek(start)
    left = length - length % frame_bytes
    while left > 0:
        data = file.read(min(step, left))
        left -= len(data)
        if not (data := data[: len(data) - len(data) % frame_bytes]):
            break
        tracks.add(decode(data).reshape(-1, shape.channels))


def _chunks(file: BinaryIO, place: str, size: int, magic: bytes) -> tuple[_Shape, int, int | None]:
    """Shape of the sound, where it begins, and how long it is in bytes, None if the file does not know."""
    shape, long_length = None, None
    for _ in range(MOST_CHUNKS):
        raw = file.read(_CHUNK.size)
        if len(raw) < _CHUNK.size:
            break
        name, length = _CHUNK.unpack(raw)
        at = file.tell()
        if name == b"fmt ":
            shape = _shape(file.read(min(length, 64)), place)
        elif name == b"ds64" and magic != b"RIFF":
            data = file.read(min(length, 28))
            long_length = int.from_bytes(data[8:16], "little") if len(data) >= 16 else None
        elif name == b"data":
            if shape is None:
                raise RecordingError(
                    f"{place}: its sound comes before its format. Convert it, with sox for one."
                )
            if magic != b"RIFF" and length == 0xFFFFFFFF and long_length:
                return shape, at, long_length
            unknown = length in UNKNOWN and not (length == 0 and at >= size)
            return shape, at, None if unknown else length
        file.seek(at + length + length % 2)
    raise RecordingError(
        f"{place}: a WAV without sound: no {'data' if shape else 'fmt'} in it. It may be cut off."
    )


def _shape(data: bytes, place: str) -> _Shape:
    if len(data) < _FORMAT.size:
        raise RecordingError(f"{place}: its format is cut off. Copy the file again.")
    tag, channels, rate_hz, _, align, bits = _FORMAT.unpack_from(data)
    if tag == EXTENSIBLE and len(data) >= 26:
        tag = int.from_bytes(
            data[24:26], "little"
        )  # the GUID of a subformat begins with the tag it stands for
    if not channels:
        raise RecordingError(f"{place}: 0 channels. Its header is damaged.")
    sample_bytes = align // channels if align and align % channels == 0 else (bits + 7) // 8
    return _Shape(tag, channels, rate_hz, sample_bytes)


def _decoder(shape: _Shape, place: str) -> _Decode:
    """What makes int16 of a block of samples."""
    known: dict[tuple[int, int], _Decode] = {
        (PCM, 1): lambda data: ((np.frombuffer(data, np.uint8).astype(np.int16) - 128) << 8).astype(np.int16),
        (PCM, 2): lambda data: np.frombuffer(data, "<i2").astype(np.int16, copy=False),
        (PCM, 3): lambda data: _upper(data, 3),
        (PCM, 4): lambda data: _upper(data, 4),
        (FLOAT, 4): lambda data: _from_float(np.frombuffer(data, "<f4")),
        (FLOAT, 8): lambda data: _from_float(np.frombuffer(data, "<f8")),
        (ALAW, 1): decode_alaw,
        (ULAW, 1): decode_ulaw,
    }
    if found := known.get((shape.tag, shape.sample_bytes)):
        return found
    if shape.tag in (PCM, FLOAT, ALAW, ULAW):
        raise RecordingError(
            f"{place}: {8 * shape.sample_bytes} bits a sample of format {shape.tag}: nobody writes that. Is it damaged?"
        )
    raise OtherCodec(f"format {shape.tag:#x}")


def _upper(data: bytes, width: int) -> Pcm:
    """The two upper bytes of each little-endian sample."""
    raw = np.frombuffer(data, np.uint8).reshape(-1, width)[:, width - 2 :]
    return np.ascontiguousarray(raw).view("<i2").reshape(-1).astype(np.int16, copy=False)


def _from_float(samples: NDArray[np.floating]) -> Pcm:
    """Full scale is 1.0; what is no number is silence."""
    within = np.clip(np.nan_to_num(samples, nan=0.0), -1.0, 1.0)
    out: Pcm = np.rint(within * 32767.0).astype(np.int16)
    return out
