"""Voice activity by webrtcvad: 1.5 µs a frame, says yes or no.

Good on a clean line. Not for noise or tones: from 10 dB SNR down, and on ringing tones and DTMF, it hears speech
all the time. That is what silero.py is for, which has this one as its gate."""

from __future__ import annotations

import webrtcvad

from pipeline.errors import ConfigError
from pipeline.ports import FRAME_MS, Frame

RATES_HZ = (8000, 16000, 32000, 48000)


class WebrtcVad:
    """One call's detector. aggressiveness: 0 (lets everything pass) to 3 (misses some speech)."""

    def __init__(self, rate_hz: int = 8000, aggressiveness: int = 3) -> None:
        if rate_hz not in RATES_HZ:
            raise ConfigError(
                f"vad webrtcvad: cannot do {rate_hz} Hz. Known: {', '.join(map(str, RATES_HZ))}."
            )
        if aggressiveness not in range(4):
            raise ConfigError(f"vad webrtcvad: aggressiveness is {aggressiveness!r}. Choose 0, 1, 2 or 3.")
        self.rate_hz = rate_hz
        self._mode = aggressiveness
        self._samples = rate_hz * FRAME_MS // 1000
        self._vad = webrtcvad.Vad(aggressiveness)

    def probability(self, frame: Frame) -> float:
        """1.0 if the frame sounds like speech, else 0.0. A frame that is not 20 ms long counts as silence."""
        if len(frame) != self._samples:
            return 0.0
        return 1.0 if self._vad.is_speech(frame.tobytes(), self.rate_hz) else 0.0

    def reset(self) -> None:
        self._vad = webrtcvad.Vad(self._mode)
