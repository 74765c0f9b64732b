"""Decoded sound on its way to a Recording: blocks of any rate in, int16 channels at 8000 or 16000 Hz out.

Pure. Holds one copy of what a call needs (3 h of stereo at 8000 Hz are 346 MB) and refuses what cannot be a call: so a
small file that unpacks to days of silence stops at LONGEST_S. Not a decoder: wav.py, compressed.py and rtp.py are.
"""

from __future__ import annotations

import numpy as np
from av import AudioFrame, AudioResampler
from numpy.typing import NDArray

from offhook.errors import RecordingError
from offhook.replay.formats.material import Pcm

NARROW_HZ, WIDE_HZ = 8000, 16000
SLOWEST_HZ, FASTEST_HZ = 4000, 192_000
MOST_CHANNELS = 16  # of which two are kept
KEPT_CHANNELS = 2
LONGEST_S = 6 * 3600
_BLOCK = 1 << 16  # samples given to the resampler at once


def call_rate(rate_hz: int) -> int:
    """The rate a call of this sound would have: 16000 Hz if there is anything above 4 kHz to be heard."""
    return WIDE_HZ if rate_hz >= WIDE_HZ else NARROW_HZ


class Tracks:
    """Channels that grow. place: how errors name the file."""

    def __init__(self, place: str, from_hz: int, channels: int, rate_hz: int | None = None) -> None:
        """rate_hz: wanted; None: what fits. Raises RecordingError for what no call has."""
        if not SLOWEST_HZ <= from_hz <= FASTEST_HZ:
            raise RecordingError(
                f"{place}: {from_hz} Hz is no rate of a recording. Write it with {SLOWEST_HZ} to {FASTEST_HZ} Hz."
            )
        if not 1 <= channels <= MOST_CHANNELS:
            raise RecordingError(
                f"{place}: {channels} channels; a call has two. Keep the caller's and the agent's."
            )
        self.rate_hz = rate_hz or call_rate(from_hz)
        self._place = place
        self._sound = [bytearray() for _ in range(min(channels, KEPT_CHANNELS))]
        self._resamplers = [
            AudioResampler(format="s16", layout="mono", rate=self.rate_hz) for _ in self._sound
        ]
        self._from_hz, self._most_bytes = from_hz, LONGEST_S * self.rate_hz * 2

    def add(self, block: NDArray[np.int16]) -> None:
        """The next samples, shape (samples, channels). Channels behind the second are left out."""
        for start in range(0, len(block), _BLOCK):
            part = block[start : start + _BLOCK]
            for channel in range(len(self._sound)):
                self._append(channel, np.ascontiguousarray(part[:, channel]))

    def finish(self) -> list[Pcm]:
        """All channels, equally long; they may not be changed after. Raises RecordingError if there is no sound."""
        if self._from_hz != self.rate_hz:
            for channel, resampler in enumerate(self._resamplers):
                for frame in resampler.resample(None):
                    self._sound[channel] += frame.to_ndarray().tobytes()
        if not self._sound[0]:
            raise RecordingError(
                f"{self._place}: holds no sound. Is it the right file, and was it written to the end?"
            )
        return [np.frombuffer(sound, np.int16) for sound in self._sound]

    def _append(self, channel: int, pcm: Pcm) -> None:
        sound = self._sound[channel]
        if self._from_hz == self.rate_hz:
            sound += pcm.tobytes()
        else:
            frame = AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = self._from_hz
            for out in self._resamplers[channel].resample(frame):
                sound += out.to_ndarray().tobytes()
        if len(sound) > self._most_bytes:
            hours = LONGEST_S // 3600
            raise RecordingError(
                f"{self._place}: longer than {hours} h, which is no call. Cut it into its calls."
            )


def resampled(pcm: Pcm, from_hz: int, to_hz: int, place: str = "") -> Pcm:
    """One channel at another rate, without a delay."""
    if from_hz == to_hz or not len(pcm):
        return pcm
    tracks = Tracks(place, from_hz, 1, to_hz)
    tracks.add(pcm.reshape(-1, 1))
    return tracks.finish()[0]


def laid(parts: list[tuple[float, Pcm]], rate_hz: int) -> Pcm:
    """Pieces of one channel, each at its time in s, mixed where they overlap. Raises RecordingError if too long."""
    ends = [round(at_s * rate_hz) + len(pcm) for at_s, pcm in parts]
    if max(ends, default=0) > LONGEST_S * rate_hz:
        raise RecordingError(
            f"a piece at {max(at for at, _ in parts):.0f} s: no call is that long. Check its time."
        )
    out: Pcm = np.zeros(max(ends, default=0), np.int16)
    for at_s, pcm in parts:
        begin = round(at_s * rate_hz)
        there = out[begin : begin + len(pcm)]
        np.copyto(there, np.clip(there.astype(np.int32) + pcm, -32768, 32767).astype(np.int16))
    return out
