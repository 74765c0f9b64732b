"""A call's recording: stereo WAV, caller left, agent right, one pair of frames a tick.

What is on disk can be played at any moment: sound is appended first, then the lengths in the header are
raised, so a process that is killed loses a second at most and spoils nothing. Not the bundle around it
(offhook/bundle.py). Driven by stream.py. Writing goes to the page cache, about 20 microseconds a second of
call.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media.vitals import Vitals

Frame: TypeAlias = NDArray[np.int16]

FRAME_MS: Final = 20
FRAMES_A_WRITE: Final = 50
HEADER_BYTES: Final = 44

_HEADER = Struct("<4sI4s4sIHHIIHH4sI")
_PAIR_BYTES = 4  # two channels of int16
_LONGEST_BYTES = 0xFFFFFFFF - HEADER_BYTES


class Recorder:
    """Writes one call to one file. A full disk ends the recording, not the call: then `error` says why."""

    def __init__(
        self,
        path: str | Path,
        rate_hz: int,
        *,
        goes_on: bool = False,
        at_sample: int | None = None,
        memory: memoryview | None = None,
        waiting: int = 0,
    ) -> None:
        """path: a new file, or one that is overwritten. Raises OSError if it cannot be created.

        goes_on, at_sample, waiting: `resume` says it better. memory: where sound waits until it is written, a second
        of it; that of another process can be gone on with."""
        self.path = Path(path)
        self.rate_hz = rate_hz
        self.error: str | None = None
        self._size = rate_hz * FRAME_MS // 1000
        sound = bytearray(FRAMES_A_WRITE * self._size * _PAIR_BYTES) if memory is None else memory
        self._pending = np.frombuffer(sound, np.dtype("<i2")).reshape(-1, 2)
        self._filled = 0  # sample pairs in pending
        self._written_bytes = 0
        self._paused = False
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if goes_on else os.O_TRUNC)
        self._file: int | None = os.open(self.path, flags, 0o640)
        try:
            if goes_on:
                self._continue(self._file, at_sample, waiting)
        except BaseException:
            os.close(self._file)
            self._file = None
            raise
        self._write()

    @classmethod
    def resume(
        cls,
        path: str | Path,
        rate_hz: int,
        at_sample: int | None = None,
        memory: memoryview | None = None,
        waiting: int = 0,
    ) -> Self:
        """Go on with a recording whose writer is gone, killed in the middle of a write perhaps.

        memory, waiting: so many samples behind at_sample were still in its memory.

        at_sample: where the next frame belongs, a sample per channel; what is missing up to there becomes silence,
        what lies behind is dropped. None: behind what is there. The header is made right at once. Raises
        MediaError if the file is something else or has another rate, OSError if it cannot be written."""
        return cls(path, rate_hz, goes_on=True, at_sample=at_sample, memory=memory, waiting=waiting)

    @property
    def kept(self) -> tuple[int, int, bool]:
        """Samples on disk, samples in memory, and whether it is paused: what a successor has to know."""
        return self._written_bytes // _PAIR_BYTES, self._filled, self._paused

    @property
    def samples(self) -> int:
        """Samples per channel so far, those not yet written included: the position of the next frame."""
        return self._written_bytes // _PAIR_BYTES + self._filled

    def frame(self, caller: Frame, agent: Frame | None) -> None:
        """The next 20 ms of both sides. None: the agent was silent."""
        if self._file is None:
            return
        start = self._filled
        end = start + self._size
        if not self._paused:
            pending = self._pending[start:end]
            pending[:, 0] = caller
            if agent is not None:
                pending[:, 1] = agent
        self._filled = end
        if end == len(self._pending):
            self._write()

    def skip(self, frames: int) -> None:
        """Ticks that did not happen: silence on both sides, so that sample positions stay wall time."""
        for _ in range(frames):
            if self._file is None:
                return
            self._filled += self._size
            if self._filled == len(self._pending):
                self._write()

    def pause(self) -> None:
        """Record silence from here (somebody is reading out a card number)."""
        self._paused = True

    def go_on(self) -> None:
        """Record again, from the next frame on."""
        self._paused = False

    def close(self) -> None:
        """Write what is left. A second close does nothing."""
        if self._file is not None:
            self._write()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _continue(self, file: int, at_sample: int | None, waiting: int) -> None:
        header, ours = os.pread(file, HEADER_BYTES, 0), _header(self.rate_hz, 0)
        lengths_apart = header[:4] + header[8:40] == ours[:4] + ours[8:40]
        if len(header) == HEADER_BYTES and not lengths_apart:
            fact = f"no stereo recording of 16 bits at {self.rate_hz} Hz"
            raise MediaError(f"{self.path}: {fact}. Move it away; the recording goes on in a new file.")
        whole = max(0, os.fstat(file).st_size - HEADER_BYTES) // _PAIR_BYTES
        on_disk = whole if at_sample is None else at_sample
        if waiting and whole >= on_disk + waiting:  # it was killed when that had been written already
            on_disk, waiting = on_disk + waiting, 0
        self._written_bytes, self._filled = on_disk * _PAIR_BYTES, waiting
        self._pending[waiting:] = 0
        os.ftruncate(file, HEADER_BYTES + self._written_bytes)  # a longer file reads as silence there

    def _write(self) -> None:
        assert self._file is not None
        sound = self._pending[: self._filled].tobytes()
        at, total = HEADER_BYTES + self._written_bytes, self._written_bytes + len(sound)
        try:
            _write_all(self._file, sound, at)
            _write_all(self._file, _header(self.rate_hz, total), 0)
        except OSError as error:
            os.close(self._file)
            self._file = None
            seconds = self._written_bytes // _PAIR_BYTES / self.rate_hz
            self.error = (
                f"{self.path}: {error.strerror}. The recording ends after {seconds:.0f} s; free the disk."
            )
            return
        self._written_bytes = total
        self._pending[: self._filled] = 0
        self._filled = 0


def reopened(path: str, rate_hz: int, vitals: Vitals) -> Recorder:
    """A call's recording, from where the worker before us has brought it, or a new one. Raises as Recorder does."""
    left, waiting = vitals.read(), vitals.waiting_sound(rate_hz)
    if left is None or left.recorded is None:
        return Recorder(path, rate_hz, memory=waiting)
    recorder = Recorder.resume(path, rate_hz, left.recorded, waiting, left.waiting)
    if left.paused:
        recorder.pause()
    return recorder


def _write_all(file: int, data: bytes, at: int) -> None:
    """A nearly full disk takes only part of the data, and says so on the next try."""
    while data:
        count = os.pwrite(file, data, at)
        data, at = data[count:], at + count


def _header(rate_hz: int, sound_bytes: int) -> bytes:
    """A RIFF/WAVE header for 16-bit stereo PCM."""
    size = min(sound_bytes, _LONGEST_BYTES)
    fmt = (b"fmt ", 16, 1, 2, rate_hz, rate_hz * _PAIR_BYTES, _PAIR_BYTES, 16)
    return _HEADER.pack(b"RIFF", size + HEADER_BYTES - 8, b"WAVE", *fmt, b"data", size)
