"""Voice activity by Silero, with webrtcvad as a gate that keeps it asleep while the line is quiet.

Silero decides: it is not fooled by noise, ringing tones or DTMF. It costs 35 µs for each 32 ms; the gate costs 2 µs
a frame and opens for anything that could be speech. A wideband call is heard through the network for 8000 Hz: the one
for 16000 Hz judges otherwise, most of all where the sound came through a narrowband line on its way, and is no better
where it did not (docs/turn-taking.md). Driven by hearing/vad.py. Not a matter of turns: that is turn.py's business."""

from __future__ import annotations

import numpy as np

from pipeline.errors import ConfigError
from pipeline.hearing.narrowband import NARROW_HZ, WIDE_HZ, Narrowband
from pipeline.ports import FRAME_MS, Frame, Vad
from pipeline.providers.silero_net import State, shared
from pipeline.providers.webrtcvad import WebrtcVad

FULL_SCALE = np.float32(1 / 32768)
HELD_BACK = 4  # frames the gate keeps for Silero: webrtcvad opens up to 60 ms after speech began
SHUT_AFTER = 15  # quiet frames after which the gate shuts: by then Silero has let go of the last word


class SileroVad:
    """One call's detector without a gate. 8000 or 16000 Hz, one thread. Its state is 3 kB."""

    def __init__(self, rate_hz: int = 8000) -> None:
        self.rate_hz = rate_hz
        self._net = shared(rate_hz)
        self._state = State(self._net)
        self._at = self._start = self._net.context
        self._end = self._net.context + self._net.window
        self._score = 0.0

    def probability(self, frame: Frame) -> float:
        """The score of the newest full window of 32 ms; frames may have any length."""
        samples, done = self._state.samples, 0
        while done < len(frame):
            take = min(len(frame) - done, self._end - self._at)
            np.multiply(frame[done : done + take], FULL_SCALE, out=samples[self._at : self._at + take])
            done, self._at = done + take, self._at + take
            if self._at == self._end:
                self._score = self._net.probability(self._state)
                self._at = self._start
        return self._score

    def reset(self) -> None:
        self._state.reset()
        self._at, self._score = self._start, 0.0


class GatedSileroVad:
    """One call's detector: 0.0 while the gate is shut, Silero's score while it is open.

    When the gate opens, Silero first hears the 80 ms that were held back.
    """

    def __init__(self, rate_hz: int = 8000, aggressiveness: int = 3) -> None:
        self.rate_hz = rate_hz
        self._silero = SileroVad(rate_hz)
        self._gate = WebrtcVad(rate_hz, aggressiveness)
        self._samples = rate_hz * FRAME_MS // 1000
        self._held = np.zeros((HELD_BACK, self._samples), np.int16)  # a ring
        self._next = 0
        self._quiet = SHUT_AFTER

    def probability(self, frame: Frame) -> float:
        """As SileroVad. A frame that is not 20 ms long counts as silence."""
        if self._gate.probability(frame):
            if self._quiet >= SHUT_AFTER:
                self._wake()
            self._quiet = 0
        elif self._quiet < SHUT_AFTER:
            self._quiet += 1
        if self._quiet < SHUT_AFTER:
            return self._silero.probability(frame)
        if len(frame) == self._samples:
            self._held[self._next] = frame
            self._next = (self._next + 1) % HELD_BACK
        return 0.0

    def _wake(self) -> None:
        for age in range(HELD_BACK):
            self._silero.probability(self._held[(self._next + age) % HELD_BACK])

    def reset(self) -> None:
        self._silero.reset()
        self._gate.reset()
        self._held.fill(0)
        self._quiet = SHUT_AFTER


class WidebandVad:
    """One 16000 Hz call's detector: hears what an 8000 Hz line would have brought, and decides as it would there."""

    rate_hz = WIDE_HZ

    def __init__(self, vad: Vad) -> None:
        self._vad, self._narrowband = vad, Narrowband()

    def probability(self, frame: Frame) -> float:
        """As the detector's. A frame that is not 20 ms long counts as silence."""
        return self._vad.probability(self._narrowband.halved(frame))

    def reset(self) -> None:
        self._narrowband.reset()
        self._vad.reset()


def silero_vad(rate_hz: int = 8000, gate: bool = True, aggressiveness: int = 3) -> Vad:
    """What `vad: silero` in a configuration stands for. aggressiveness: the gate's, 0 to 3."""
    if rate_hz == WIDE_HZ:
        return WidebandVad(silero_vad(NARROW_HZ, gate, aggressiveness))
    if not gate:
        if aggressiveness != 3:
            raise ConfigError("vad silero: aggressiveness is the gate's. Leave it out, or set gate to true.")
        return SileroVad(rate_hz)
    return GatedSileroVad(rate_hz, aggressiveness)
