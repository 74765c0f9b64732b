"""G.722 at 64 kbit/s: wideband speech, 16 kHz PCM on an RTP clock of 8 kHz.

Pure. The clock is a historical mistake that RFC 3551 §4.5.2 keeps: one byte is two samples and one clock unit.
Opened through codecs/. FFmpeg does the work: about 27 µs to encode 20 ms, 10 µs to decode.
"""

from __future__ import annotations

from av import AudioCodecContext

from telephony.media.codecs import ffmpeg
from telephony.media.codecs.ffmpeg import Frame


class G722:
    """G722, payload type 9 (RFC 3551 §6)."""

    name = "G722"
    rate_hz = 16000
    clock_hz = 8000
    stateless = False
    units = staticmethod(len)

    def __init__(self) -> None:
        self._encoder: AudioCodecContext | None = None
        self._decoder: AudioCodecContext | None = None

    def decode(self, payload: bytes) -> Frame:
        """One packet's payload to int16 PCM, two samples a byte. Raises MediaError if empty."""
        if self._decoder is None:
            self._decoder = ffmpeg.decoder("g722", self.rate_hz)
        return ffmpeg.decode(self._decoder, payload)

    def encode(self, pcm: Frame) -> bytes:
        """An even number of samples to half as many bytes. The length may change from packet to packet."""
        if self._encoder is None or self._encoder.frame_size != len(pcm):
            self._encoder = ffmpeg.encoder("g722", self.rate_hz, {"frame_size": str(len(pcm))})
        return ffmpeg.encode(self._encoder, pcm)
