"""Telephone keypad digits on the media path: RFC 4733 events in and out, and plain tones as a fallback.

Pure. Not menus or digit collection (call/keypad.py). `DigitListener` is driven by receiving.py, `DigitSender`
by sending.py, one step a tick.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.dialstring import KEYS, PAUSES_S, read
from telephony.errors import MediaError
from telephony.media.vitals import KeyHeard

Frame: TypeAlias = NDArray[np.int16]

DIGITS: Final = KEYS
TONE_TICKS: Final = 5  # 100 ms, well above the 40 ms of Q.24
END_PACKETS: Final = 3  # RFC 4733 §2.5.1.4
PAUSE_TICKS: Final = 3  # 60 ms between digits
WAIT_TICKS: Final = {sign: round(seconds * 50) for sign, seconds in PAUSES_S.items()}
REPEAT_S: Final = 0.04  # some gateways change the timestamp within one key press, even after its end
GONE_S: Final = 0.1  # an event that is not refreshed for this long is over, though its end was lost

_EVENT = Struct("!BBH")
_END_BIT = 0x80
_VOLUME = 10  # -10 dBm0
_LONGEST = 0xFFFF
_ROWS_HZ = (697, 770, 852, 941)
_COLUMNS_HZ = (1209, 1336, 1477, 1633)
_KEYPAD = "123A456B789C*0#D"


class DigitListener:
    """Hears each key press exactly once, whichever of its packets arrive (RFC 4733 §2.5.2.2)."""

    def __init__(self) -> None:
        self._code = -1
        self._timestamp = 0
        self._duration = 0
        self._ended = True
        self._seen_at = 0.0
        self.ignored = 0  # flash and other events that are no keypad digit

    @property
    def key(self) -> KeyHeard:
        """The event that was heard last."""
        return KeyHeard(self._code, self._timestamp, self._duration, self._ended, self._seen_at)

    def go_on(self, key: KeyHeard) -> None:
        """Another listener has heard this: the rest of the same press is no digit of its own."""
        self._code, self._timestamp, self._duration = key.code, key.timestamp, key.duration
        self._ended, self._seen_at = key.ended, key.seen_at

    def sounding(self, now: float) -> bool:
        """Is a key held down right now? Then the audio beside it is a beep, not speech."""
        return not self._ended and now - self._seen_at < GONE_S

    def packet(self, timestamp: int, marker: bool, payload: bytes, now: float) -> str | None:
        """One telephone-event payload. Returns the digit when a key press begins, else None.

        timestamp: the packet's, fixed during one key press. Raises MediaError if the payload is cut off."""
        if len(payload) < _EVENT.size:
            raise MediaError(f"telephone-event of {len(payload)} bytes: it takes 4 (RFC 4733 §2.3). Dropped.")
        code, flags, duration = _EVENT.unpack_from(payload)
        if code >= len(DIGITS):
            self.ignored += 1
            return None
        age = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        if self._code >= 0 and -_LONGEST <= age < 0 and now - self._seen_at < 1.0:
            return None  # a reordered packet of an earlier key press
        again = code == self._code and (age == 0 or self._goes_on(age, marker, duration, now))
        if again:
            self._ended = self._ended or bool(flags & _END_BIT)
        else:
            self._ended = bool(flags & _END_BIT)
        self._code, self._timestamp, self._duration, self._seen_at = code, timestamp, duration, now
        return None if again else DIGITS[code]

    def _goes_on(self, age: int, marker: bool, duration: int, now: float) -> bool:
        """Does a new timestamp belong to the key press already reported?"""
        if marker:
            return False
        if not self._ended and age == _LONGEST:  # a segment of a very long event (RFC 4733 §2.5.1.3)
            return True
        if self._ended:
            return now - self._seen_at <= REPEAT_S
        # not shorter: the end of a press repeats the duration of the packet before it
        return duration >= self._duration and now - self._seen_at < GONE_S


class DigitSender:
    """What to send, tick by tick, for a string of digits: 100 ms of tone and 60 ms of pause each."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._tick = 0

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    @property
    def left(self) -> tuple[str, int]:
        """What has not been sent, and the tick within its first digit."""
        return "".join(self._waiting), self._tick

    def go_on(self, digits: str, tick: int) -> None:
        """Send what another sender has left."""
        self._waiting = deque(digits)
        self._tick = tick if digits else 0

    def send(self, digits: str) -> None:
        """Queue digits. digits: 0-9 A-D * # in any case; `w`, `W` and `,` wait (dialstring.py).

        Raises MediaError for anything else; then nothing is sent."""
        self._waiting.extend(read(digits))

    def step(self) -> tuple[str, int]:
        """This tick's (digit, tick within the digit); a digit of "" or a tick past its packets means silence.

        Call once a tick while `busy`."""
        digit, tick = self._waiting[0], self._tick
        wait_ticks = WAIT_TICKS.get(digit)
        self._tick += 1
        if self._tick >= (wait_ticks or TONE_TICKS + PAUSE_TICKS):
            self._tick = 0
            self._waiting.popleft()
        return ("" if wait_ticks else digit), tick


def event_payload(digit: str, tick: int, step: int) -> bytes | None:
    """The RFC 4733 payload of a digit's n-th tick, or None once it has been said to be over often enough.

    step: RTP clock units in a tick. The duration grows; the last three are alike and carry the end bit."""
    if tick >= TONE_TICKS - 1 + END_PACKETS:
        return None
    ended = tick >= TONE_TICKS - 1
    duration = min(tick + 1, TONE_TICKS) * step
    return _EVENT.pack(DIGITS.index(digit), _VOLUME | (_END_BIT if ended else 0), duration)


def tone_frame(digit: str, tick: int, rate_hz: int) -> Frame | None:
    """20 ms of the digit as sound (ITU-T Q.23), for peers that agreed on no events; None in the pause.

    Returns int16, shape (rate_hz // 50,), peak about -9 dBFS."""
    if tick >= TONE_TICKS:
        return None
    size = rate_hz // 50
    row, column = divmod(_KEYPAD.index(digit), 4)
    at = np.arange(tick * size, (tick + 1) * size) * (2 * np.pi / rate_hz)
    tone: Frame = (5800.0 * (np.sin(_ROWS_HZ[row] * at) + np.sin(_COLUMNS_HZ[column] * at))).astype(np.int16)
    return tone
