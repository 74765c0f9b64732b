"""The hearing half of a call: datagrams in, one frame of the caller a tick out.

Pure; sequence only: who is heard is latch.py's, when a packet sounds jitter.py's, what fills a hole
conceal.py's. Not the socket (stream.py, which drives it).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from telephony.errors import MediaError
from telephony.media.codecs import FRAME_MS, Codec, Frame, open_codec
from telephony.media.conceal import Concealer, joined
from telephony.media.jitter import JitterBuffer, Packet
from telephony.media.latch import Latch, Source
from telephony.media.losses import LossPattern
from telephony.media.packet import parse
from telephony.media.presses import Presses, Way
from telephony.media.report import SourceStats
from telephony.media.signals import ToneKind
from telephony.media.tones import DigitListener
from telephony.media.tones_heard import TonesHeard
from telephony.media.vitals import KeyHeard, Left
from telephony.sdp.plan import MediaPlan

COMFORT_NOISE: Final = (13, 19)  # RFC 3389; 19 is what older gear says
QUIET_PEAK: Final = 512  # -36 dBFS: leaving out such a frame is not heard
LONGEST_SURPLUS_TICKS: Final = 50  # then a frame is left out though it is loud

OnDigit = Callable[[str, float], None]
OnTone = Callable[[ToneKind, float], None]


class Receiver:
    """One caller's sound. Counters are public and only grow."""

    def __init__(
        self,
        plan: MediaPlan,
        on_digit: OnDigit | None = None,
        rate_hz: int | None = None,
        on_tone: OnTone | None = None,
        mute_tones: bool = True,
    ) -> None:
        """rate_hz: of the PCM for the whole call; None: what the plan's codec has. mute_tones: they are no speech,
        so silence is heard instead."""
        self.stats = SourceStats()
        self.latch = Latch(plan.remote)
        self.ssrc: int | None = None
        self.last_heard: float | None = None  # loop time of the last good packet
        self.malformed = self.comfort_noise = self.unknown_type = self.empty = 0
        self.foreign = self.sources = self.digits = self.held_packets = self.left_out = 0
        self.tones = 0
        self.events = 0  # packets of telephone-events
        self._mute_tones = mute_tones
        self.losses = LossPattern()
        self._on_digit, self._on_tone = on_digit, on_tone
        self._presses = Presses()
        self._events_come = (
            False  # telephone-events of the present source: then its tones are only their echo
        )
        self._codecs: dict[int, Codec] = {}
        self._keys = DigitListener()
        self.jitter = JitterBuffer(plan.clock_hz)
        self._rate_hz, self._clock_hz = rate_hz or plan.rate_hz, plan.clock_hz
        self.concealer = Concealer(self._rate_hz)
        self.heard = TonesHeard(self._rate_hz)
        self._samples = self._rate_hz * FRAME_MS // 1000
        self._silence: Frame = np.zeros(self._samples, np.int16)
        self._silence.flags.writeable = False  # one for everybody
        self._held: list[Frame] = []  # decoded, not yet played: packets that are not 20 ms long
        self._held_samples = 0
        self.packet_units = plan.clock_hz * FRAME_MS // 1000  # of their last packet
        self._surplus_ticks = 0
        self._delay_s, self._delay_ticks = 0.0, 0
        self.update(plan)

    @property
    def delay(self) -> tuple[float, int]:
        """What is waiting when a frame is played, that frame included: seconds of all ticks together, and ticks."""
        return self._delay_s, self._delay_ticks

    @property
    def theirs(self) -> tuple[int, int] | None:
        """SSRC and highest extended sequence number of whom we hear."""
        return None if self.ssrc is None else (self.ssrc, self.stats.highest)

    @property
    def key_heard(self) -> KeyHeard:
        """The telephone-event that came last."""
        return self._keys.key

    def go_on(self, left: Left) -> None:
        """From where another receiver of this call stopped."""
        self.latch.go_on(left.source, left.target)
        if left.theirs is not None:
            self.ssrc, highest = left.theirs
            self.stats.go_on(highest)
            self.last_heard = left.at
        self._keys.go_on(left.key)
        self._events_come = left.key.code >= 0

    def update(self, plan: MediaPlan) -> None:
        """A new description was agreed on. The call keeps its PCM rate, whatever the codec."""
        if plan.clock_hz != self._clock_hz:
            self.stats.jitter *= plan.clock_hz / self._clock_hz
            self._clock_hz = plan.clock_hz
            self.jitter.retune(plan.clock_hz)
        self._units = plan.clock_hz * FRAME_MS // 1000
        opened = {codec.name: codec for codec in self._codecs.values()}
        rate = self._rate_hz
        self._codecs = {
            pt: opened.get(name) or open_codec(name, rate) for pt, name in plan.receive_pts.items()
        }
        self._event_type = plan.dtmf_receive_pt
        self._listening = plan.direction in ("sendrecv", "recvonly")
        self.latch.retarget(plan.remote)

    def datagram(
        self, view: memoryview, size: int, source: Source, now: float, *, proven: bool = False
    ) -> None:
        """One datagram that looks like RTP. What cannot be used is counted and dropped.

        proven: it came encrypted, with a key that only the caller has."""
        try:
            payload_type, marker, sequence, timestamp, ssrc, start, end = parse(view, size)
        except MediaError:
            self.malformed += 1
            return
        codec = self._codecs.get(payload_type)
        if codec is None and payload_type != self._event_type and payload_type not in COMFORT_NOISE:
            self.unknown_type += 1
            if source == self.latch.source and ssrc == self.ssrc:
                self.stats.packet(sequence)  # it is not lost, only useless
                self.losses.packet(sequence)
            return
        if source != self.latch.source and not self._admits(source, ssrc, sequence, now, proven):
            self.foreign += 1
            return
        self.last_heard = now
        if ssrc != self.ssrc:
            self._begin(ssrc, sequence)
        self.stats.packet(sequence)
        self.losses.packet(sequence)
        if not self._listening:
            self.held_packets += 1
        elif start == end:
            self.empty += 1
        elif codec is not None:
            self._sound(codec, payload_type, sequence, timestamp, bytes(view[start:end]), now)
        elif payload_type == self._event_type:
            self._key(timestamp, marker, bytes(view[start:end]), now)
        else:
            self.comfort_noise += 1

    def frame(self, now: float, skipped: int = 0) -> Frame:
        """The caller's next 20 ms: int16, shape (rate_hz // 50,), not to be changed. Call once a tick.

        skipped: ticks that did not happen before this one; the sound that piled up meanwhile is surplus."""
        jitter = self.jitter
        frame = self._next()
        if skipped:
            jitter.surplus = max(jitter.surplus, min(skipped, self._left() // self._units))
        if jitter.surplus:
            frame = self._shortened(frame)
        left = self._left()
        self._delay_s += (left + self._units) / self._clock_hz
        self._delay_ticks += 1
        jitter.settle(left - jitter.queued_units)
        digit, signal = self.heard.hear(frame, now)
        if digit and not self._events_come:
            self.key(digit, "inband", now)
        if signal is not None:
            self.tones += 1
            if self._on_tone is not None:
                self._on_tone(signal, now)
        muted = self._keys.sounding(now) or (self.heard.sounding and self._mute_tones)
        return self._silence if muted else frame

    def key(self, digit: str, way: Way, now: float) -> None:
        """A digit arrived; it is told on if it is a press of its own."""
        if self._presses.counts(digit, way, now):
            self.digits += 1
            if self._on_digit is not None:
                self._on_digit(digit, now)

    def _admits(self, source: Source, ssrc: int, sequence: int, now: float, proven: bool) -> bool:
        """Is that the caller, at an address that is new to us? The latch follows when it is sure."""
        if proven and source != self.latch.left:
            if ssrc != self.ssrc or 0 < ((sequence - self.stats.highest) & 0xFFFF) < 0x8000:
                self.latch.follow(source)  # and no straggler from where they were before
            return True
        heard_at = self.last_heard if self.last_heard is not None else now
        return self.latch.admit(source, ssrc, sequence, now, heard_at) or proven

    def _begin(self, ssrc: int, sequence: int) -> None:
        """Another source on the same call: its numbers are unrelated to the old ones (RFC 3550 §8.2)."""
        self.ssrc = ssrc
        self.sources += 1
        self.stats.begin(sequence)
        self.losses.begin()
        self.jitter.reset()
        self._keys = DigitListener()
        self._events_come = False

    def _sound(
        self, codec: Codec, kind: int, sequence: int, timestamp: int, payload: bytes, now: float
    ) -> None:
        try:
            units = codec.units(payload)
        except MediaError:
            self.malformed += 1
            return
        self.stats.arrival(timestamp, int(now * self._clock_hz))
        self.packet_units = units
        late = self.jitter.late
        self.jitter.push(sequence, timestamp, units, (kind, payload))
        if self.jitter.late != late:
            self.losses.discarded(sequence)

    def _key(self, timestamp: int, marker: bool, payload: bytes, now: float) -> None:
        try:
            digit = self._keys.packet(timestamp, marker, payload, now)
        except MediaError:
            self.malformed += 1
            return
        self._events_come = True
        self.events += 1
        if digit is not None:
            self.key(digit, "event", now)

    def _left(self) -> int:
        return self.jitter.queued_units + self._held_samples * self._clock_hz // self._rate_hz

    def _next(self) -> Frame:
        """20 ms, from one packet in the common case, else from pieces."""
        size = self._samples
        if not self._held_samples:
            pcm = self._piece(self._units)
            if len(pcm) == size:
                return pcm
            self._hold(pcm)
        while self._held_samples < size:
            lack = (size - self._held_samples) * self._clock_hz // self._rate_hz
            self._hold(self._piece(max(1, lack)))
        whole = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        rest = whole[size:]
        self._held = [rest] if len(rest) else []
        self._held_samples = len(rest)
        return whole[:size]

    def _piece(self, need_units: int) -> Frame:
        got = self.jitter.pull(need_units)
        if isinstance(got, int):
            return self.concealer.missing(got * self._rate_hz // self._clock_hz)
        return self._decoded(got)

    def _decoded(self, packet: Packet) -> Frame:
        kind, payload = packet
        try:
            return self.concealer.heard(self._codecs[kind].decode(payload))
        except (MediaError, KeyError):  # damaged, or of a codec that was given up meanwhile
            self.malformed += 1
            return self.concealer.missing(self._samples)

    def _hold(self, pcm: Frame) -> None:
        self._held.append(pcm)
        self._held_samples += len(pcm)

    def _shortened(self, frame: Frame) -> Frame:
        """Leave this frame out if it is quiet, or if it has been too long since that was due."""
        self._surplus_ticks += 1
        loud = int(frame.max()) > QUIET_PEAK or int(frame.min()) < -QUIET_PEAK
        if self._left() < self._units or (loud and self._surplus_ticks < LONGEST_SURPLUS_TICKS):
            return frame
        following = self._next()
        self.jitter.left_out()
        self.left_out += 1
        self._surplus_ticks = 0
        return joined(frame, following, self._rate_hz)
