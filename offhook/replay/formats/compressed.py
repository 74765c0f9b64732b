"""MP3, Ogg (Vorbis, Opus, Speex), FLAC, M4A, AMR and what else FFmpeg reads, through PyAV.

Decoded packet by packet. What is damaged inside is stepped over and noted. Not plain WAV (wav.py).
"""

from __future__ import annotations

from typing import BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import FFmpegError

from offhook.errors import RecordingError
from offhook.replay.formats.material import Material
from offhook.replay.formats.sound import KEPT_CHANNELS, MOST_CHANNELS, Tracks

SUFFIXES = {
    ".mp3", ".ogg", ".oga", ".opus", ".flac", ".m4a", ".mp4", ".aac", ".amr", ".awb", ".webm", ".mka", ".wma", ".au",
    ".aif", ".aiff", ".caf", ".gsm", ".spx", ".3gp", ".w64",
}  # fmt: skip
MOST_DAMAGED = 200  # packets; then the file is not worth more time
# FFmpeg's names. Not its playlists, which would open other files and addresses that a recording names.
FORMATS = (
    "mp3,ogg,flac,mov,mp4,m4a,3gp,3g2,mj2,aac,amr,amrnb,amrwb,matroska,webm,asf,au,aiff,caf,gsm"  # files
    ",wav,w64"  # with codecs that wav.py leaves to this module
)


def read(file: BinaryIO, place: str, rate_hz: int | None = None) -> Material:
    """The first audio stream. Raises RecordingError."""
    file.seek(0)
    try:
        with av.open(
            file, "r", metadata_errors="replace", options={"format_whitelist": FORMATS}
        ) as container:
            return _decoded(container, place, rate_hz)
    except FFmpegError as error:
        raise RecordingError(
            f"{place}: cannot be decoded: {error.strerror}. Is it sound, and is it whole?"
        ) from error
    except (ValueError, EOFError, OverflowError) as error:  # PyAV on streams without rate or layout
        raise RecordingError(f"{place}: cannot be decoded: {error}. Is it sound, and is it whole?") from error


def _decoded(container: InputContainer, place: str, rate_hz: int | None) -> Material:
    if not container.streams.audio:
        raise RecordingError(f"{place}: holds no sound. Give a file that does.")
    stream = container.streams.audio[0]
    if stream.codec_context is None:  # whatever PyAV's types say
        raise RecordingError(
            f"{place}: its sound is in a codec that FFmpeg does not know. Convert it, to WAV for one."
        )
    channels, from_hz = stream.codec_context.channels, stream.codec_context.sample_rate
    if not 1 <= channels <= MOST_CHANNELS:
        raise RecordingError(
            f"{place}: {channels} channels; a call has two. Keep the caller's and the agent's."
        )
    tracks = Tracks(place, from_hz, channels, rate_hz)
    plain = AudioResampler(format="s16p", layout=stream.codec_context.layout.name, rate=from_hz)
    notes = [f"{channels} channels: only the first two are used"] if channels > KEPT_CHANNELS else []
    damaged = 0
    for packet in container.demux(stream):
        try:
            for frame in packet.decode():
                if isinstance(frame, AudioFrame):
                    _add(tracks, plain, frame)
        except FFmpegError as error:
            damaged += 1
            if damaged > MOST_DAMAGED:
                raise RecordingError(
                    f"{place}: too damaged to decode: {error.strerror}. Copy it again."
                ) from error
    _add(tracks, plain, None)
    if damaged:
        notes.append(f"{damaged} damaged pieces were left out: times behind them may be early")
    sound = tracks.finish()
    return Material(tracks.rate_hz, sound, notes=notes)


def _add(tracks: Tracks, plain: AudioResampler, frame: AudioFrame | None) -> None:
    """One decoded frame as int16, at its own rate: the tracks bring it to the call's."""
    for part in plain.resample(frame):
        tracks.add(part.to_ndarray().T.astype(np.int16, copy=False))
