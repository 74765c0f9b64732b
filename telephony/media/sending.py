"""The speaking half of a call: one frame a tick in, RTP packets out.

Pure. One SSRC, sequence numbers without a gap, timestamps that go with time through silence and stalls:
carriers mute streams that do otherwise. Not the socket (stream.py, which drives it) and not the queue
(playout.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import numpy as np

from telephony.errors import MediaError
from telephony.media.codecs import FRAME_MS, Frame, open_codec
from telephony.media.packet import HEADER_BYTES, write_header
from telephony.media.sending_state import StreamState
from telephony.media.tones import DigitSender, event_payload, tone_frame
from telephony.media.vitals import Left
from telephony.sdp.plan import MediaPlan

Way: TypeAlias = Literal["auto", "rtp", "inband"]
"""How digits go out: as RFC 4733 events if those were agreed on and else as sound, only as events, only as sound."""

MOST_AHEAD: Final = 2  # packets: so far may what others sent in our place put us before the clock
_BIGGEST_BYTES: Final = 2048


class Sender:
    """Our sound on its way out. `emit` gets each packet as a view that is overwritten by the next one."""

    def __init__(
        self,
        plan: MediaPlan,
        state: StreamState,
        emit: Callable[[memoryview], None],
        rate_hz: int | None = None,
        claim: Callable[[], bool] = lambda: True,
    ) -> None:
        """rate_hz: of the PCM for the whole call; None: what the plan's codec has.

        claim: asked before each packet whether its number is ours, and told by what `emit` does that it is used.
        False: another process is sending in our place; the packet is left out, for theirs has its time."""
        self.state = state
        self._rate_hz = rate_hz or plan.rate_hz
        self.packets = 0
        self.payload_bytes = 0
        self._emit, self._claim = emit, claim
        self._ahead = 0  # units that others have sent of a time which we have not counted yet
        self._buffer = bytearray(_BIGGEST_BYTES)
        self._view = memoryview(self._buffer)
        self._keys = DigitSender()
        self._in_band = False  # digits as sound, whatever was agreed on
        self._event_timestamp = 0
        self._marker = True  # the first packet of a talkspurt (RFC 3551 §4.1)
        self._codec_name = ""
        self.update(plan)

    @property
    def dialling(self) -> bool:
        """Are digits being sent? Then speech waits."""
        return self._keys.busy

    @property
    def silence(self) -> tuple[int, int, bytes]:
        """Payload type, units and payload of a packet of silence."""
        return self._payload_type, self._ptime_units, self._comfort or self._codec.encode(self._silence)

    @property
    def keys(self) -> tuple[str, int, int]:
        """Digits that wait, the tick within the first one, and the timestamp of its event."""
        return *self._keys.left, self._event_timestamp

    def go_on(self, left: Left) -> None:
        """From where another sender of this call stopped."""
        self.state.ssrc, self.state.wraps = left.state.ssrc, left.state.wraps
        self.state.seq, self.state.timestamp = left.state.seq, left.state.timestamp
        self.packets, self.payload_bytes = left.packets, left.octets
        self._marker = False
        self._event_timestamp = left.event_timestamp
        self._keys.go_on(left.digits, left.digit_tick)

    def stood_in(self, state: StreamState, packets: int, octets: int) -> None:
        """Somebody has sent silence in our place meanwhile: its numbers are used up, and its time."""
        beyond = (state.timestamp - self.state.timestamp) & 0xFFFFFFFF
        if beyond < 1 << 31:
            self._ahead += beyond
            self.state.timestamp = state.timestamp
        self.state.seq, self.state.wraps = state.seq, state.wraps
        self.packets, self.payload_bytes = packets, octets

    def update(self, plan: MediaPlan) -> None:
        """A new description was agreed on."""
        if plan.codec.upper() != self._codec_name:
            self._codec = open_codec(plan.codec, self._rate_hz)
            self._codec_name = plan.codec.upper()
            self._comfort = b""
            self._marker = True
        self._units = plan.clock_hz * FRAME_MS // 1000
        self._silence: Frame = np.zeros(self._rate_hz * FRAME_MS // 1000, np.int16)
        self._ptime_samples = self._rate_hz * plan.ptime_ms // 1000
        self._ptime_units = plan.clock_hz * plan.ptime_ms // 1000
        self._whole = plan.ptime_ms == FRAME_MS
        self._pending = self._silence[:0]  # sound that does not yet fill a packet
        self._payload_type = plan.send_pt
        self._event_type = plan.dtmf_send_pt
        if self._codec.stateless and self._whole:
            self._comfort = self._codec.encode(self._silence)

    def dial(self, digits: str, way: Way = "auto") -> None:
        """Queue digits and pauses. Raises MediaError for what is not on a keypad, or cannot go that way."""
        if way == "rtp" and self._event_type is None:
            raise MediaError(
                "No telephone-events were agreed on. Set the trunk's dtmf to auto, info or inband."
            )
        self._in_band = way == "inband"
        self._keys.send(digits)

    def speak(self, frame: Frame | None) -> None:
        """20 ms of speech, or comfort silence for None: carriers drop calls that fall silent on the wire."""
        if self._whole:
            payload = self._codec.encode(frame) if frame is not None else self._comfort
            self._sound(payload or self._codec.encode(self._silence), self._units)
            return
        size = self._ptime_samples
        pending = np.concatenate((self._pending, self._silence if frame is None else frame))
        while len(pending) >= size:
            self._sound(self._codec.encode(pending[:size]), self._ptime_units)
            pending = pending[size:]
        self._pending = pending

    def press(self) -> None:
        """20 ms of the digits that wait. Call instead of `speak` while `dialling`."""
        digit, tick = self._keys.step()
        if not digit:
            self.speak(None)
        elif self._in_band or self._event_type is None:
            self.speak(tone_frame(digit, tick, self._rate_hz))
        else:
            self._event(digit, tick, self._event_type)

    def rest(self, ticks: int = 1) -> None:
        """Time in which nothing is sent: on hold, or the clock stood still."""
        units = self._units * ticks
        counted = min(self._ahead, units)
        self._ahead -= counted
        self._advance(units - counted)
        self._marker = True

    def _event(self, digit: str, tick: int, payload_type: int) -> None:
        payload = event_payload(digit, tick, self._units)
        if payload is None:
            self.speak(None)
            return
        ours = self._claim()
        if tick == 0:
            self._advance(len(self._pending) * self._units // len(self._silence))  # never sent, but time
            self._pending = self._pending[:0]
            self._event_timestamp = self.state.timestamp
        self._advance(self._units)
        if ours:
            self._send(payload_type, tick == 0, self._event_timestamp, payload)
        self._marker = True  # for the sound that follows

    def _sound(self, payload: bytes, units: int) -> None:
        if self._ahead > MOST_AHEAD * units:  # of this time enough has been sent
            self._ahead -= units
            return
        ours = self._claim()
        timestamp, marker = self.state.timestamp, self._marker
        self._advance(units)
        if ours:
            self._marker = False
            self._send(self._payload_type, marker, timestamp, payload)

    def _advance(self, units: int) -> None:
        self.state.timestamp = (self.state.timestamp + units) & 0xFFFFFFFF

    def _send(self, payload_type: int, marker: bool, timestamp: int, payload: bytes) -> None:
        state, buffer, end = self.state, self._buffer, HEADER_BYTES + len(payload)
        sequence = state.seq
        state.seq = (sequence + 1) & 0xFFFF
        if not state.seq:
            state.wraps += 1
        write_header(
            buffer,
            payload_type=payload_type,
            marker=marker,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=state.ssrc,
        )
        buffer[HEADER_BYTES:end] = payload
        self.packets += 1
        self.payload_bytes += len(payload)
        self._emit(self._view[:end])
