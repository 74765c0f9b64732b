"""A call's media in shared memory: what another process needs to go on with it within a packet's time.

Written by the worker that has the call, before each packet and after each tick (stream.py); read by the switch, which
made the memory, and by the worker that takes the call over. Not the conversation, which is checkpointed. Imports no
numpy: the switch has none. Times are of the machine's monotonic clock, which all its processes share.

Two processes may want to send at the same time: a worker that was given no time in the middle of a tick, and the switch
that fills in for it; or a worker that is being killed, and the next one. Whoever sends a packet claims the stream
first, reads its numbers here, writes those of the next packet, sends, and gives it back: no number is used twice.

Each entry is packed first and copied in one piece: `Struct.pack_into` clears the place before it writes, and who looks
just then, or whose writer dies just then, would find a call that has never ticked.

A page of plain values is followed by the recording's sound that is not on disk yet and by the caller's last ten
seconds (past.py)."""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct
from typing import Final

from telephony.media.counts import Counts
from telephony.media.sending_state import StreamState

_BEAT = Struct("<d")
_COUNTS = Struct(f"<{len(Counts._fields)}d")
_SENT = Struct("<dIHIIQQ")  # at, ssrc, seq, wraps, timestamp, packets, octets
_COUNT = Struct("<Q")
_TICK = Struct("<dQQIBIqI")  # at, ticks, recorded, waiting, flags, their ssrc, their highest number, reports
_SPOKEN = Struct("<QdQ")  # samples of speech that left; since when the caller's turn goes on; ticks then
_PEER = Struct("<B64sHB64sH")  # latched?, source; target
_KEYS = Struct("<BI64s")  # tick within the digit, timestamp of its event, digits that wait
_HEARD = Struct("<bIIBd")  # the listener's digit: code, timestamp, duration, ended, seen at
_COMFORT = Struct("<BIH400s")  # payload type, units a packet, length, a silent payload

_SENT_AT, _TICK_AT, _SPOKEN_AT, _PEER_AT, _KEYS_AT, _HEARD_AT, _COMFORT_AT = 0, 64, 128, 192, 384, 512, 1024
_ACTING_AT, _TOOLS_AT = 1536, 1537  # a byte each
_COUNTS_AT, _COUNTED_AT = 2048, 2044  # the numbers, and in a byte before them whether there are any
_PACKETS_AT = _SENT_AT + _SENT.size - 2 * _COUNT.size
_PAGE: Final = 4096
_MAX_RATE_HZ: Final = 16000
WAITING_BYTES: Final = _MAX_RATE_HZ * 4  # a second of stereo
PAST_S: Final = 10
PAST_BYTES: Final = _MAX_RATE_HZ * 2 * PAST_S
SIZE_BYTES: Final = _PAGE + WAITING_BYTES + PAST_BYTES
_RECORDING, _PAUSED, _THEM = 1, 2, 4


@dataclass(frozen=True, slots=True)
class KeyHeard:
    """Where a telephone-event was that the caller sends (tones.py, DigitListener)."""

    code: int
    timestamp: int
    duration: int
    ended: bool
    seen_at: float


@dataclass(frozen=True, slots=True)
class Left:
    """How a call's media was left. at: when its last tick was; sent_at: when its last packet was.

    recorded: samples of the recording that are on disk, waiting: those that are not; None: nothing is recorded.
    theirs: the caller's SSRC and highest extended sequence number. reports: RTCP packets we sent. past_ticks: frames
    of the caller's past. digits: still to be sent, digit_tick of the first one is next."""

    state: StreamState
    at: float
    sent_at: float
    packets: int
    octets: int
    past_ticks: int
    recorded: int | None
    waiting: int
    paused: bool
    theirs: tuple[int, int] | None
    reports: int
    source: tuple[str, int] | None
    target: tuple[str, int]
    digits: str
    digit_tick: int
    event_timestamp: int
    key: KeyHeard
    spoken: int
    turn_since: float
    turn_ticks: int
    counts: Counts


class Vitals:
    """One call's page. `create` in the switch, `attach` in a worker."""

    def __init__(self, fd: int) -> None:
        """fd: a memory file, owned from now on."""
        self.fd = fd
        self.memory = mmap.mmap(fd, SIZE_BYTES)

    @classmethod
    def create(cls) -> Vitals:
        """New memory, all zero. Raises OSError when the system has none left."""
        fd = os.memfd_create("offhook-call", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, SIZE_BYTES)
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Give the memory back, once nobody looks at it any more. A second close does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            with suppress(BufferError):  # an array still shows it: it goes with that
                self.memory.close()

    # ------------------------------------------------------------ for whoever sends the next packet

    def claim(self) -> bool:
        """Take the right to send, without waiting. False: another process is sending just now.

        A lock of the kernel's on the memory file: it ends with the process that has it (fcntl(2), F_SETLK), and it is
        between processes only."""
        if self.fd < 0:
            return False
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        if self.fd >= 0:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)

    # ------------------------------------------------------------ written by the call's worker

    def sending(self, state: StreamState, now: float, packets: int, octets: int) -> None:
        """A packet is about to leave; `state` is that of the next one. For who has claimed the stream."""
        sent = _SENT.pack(now, state.ssrc, state.seq, state.wraps, state.timestamp, packets, octets)
        self.memory[_SENT_AT : _SENT_AT + _SENT.size] = sent

    def ticked(
        self,
        now: float,
        ticks: int,
        recorded: tuple[int, int, bool] | None,
        theirs: tuple[int, int] | None,
        reports: int,
    ) -> None:
        """20 ms are done. recorded: samples on disk, samples waiting, paused."""
        flags, on_disk, waiting = 0, 0, 0
        if recorded is not None:
            on_disk, waiting, paused = recorded
            flags = _RECORDING | (_PAUSED if paused else 0)
        ssrc, highest = 0, 0
        if theirs is not None:
            ssrc, highest = theirs
            flags |= _THEM
        tick = _TICK.pack(now, ticks, on_disk, waiting, flags, ssrc, highest, reports)
        self.memory[_TICK_AT : _TICK_AT + _TICK.size] = tick

    def spoke(self, samples: int, turn_since: float, turn_ticks: int) -> None:
        """samples: of speech that have left. turn_since: loop time when the caller began a turn that nobody has
        answered yet, 0.0 if none; turn_ticks: ticks then."""
        if self.fd >= 0:
            spoken = _SPOKEN.pack(samples, turn_since, turn_ticks)
            self.memory[_SPOKEN_AT : _SPOKEN_AT + _SPOKEN.size] = spoken

    def peer(self, source: tuple[str, int] | None, target: tuple[str, int]) -> None:
        """Whom we hear, and where we send."""
        host, port = source or ("", 0)
        to_host, to_port = target
        peer = _PEER.pack(source is not None, host.encode()[:64], port, 0, to_host.encode()[:64], to_port)
        self.memory[_PEER_AT : _PEER_AT + _PEER.size] = peer

    def keying(self, digits: str, tick: int, event_timestamp: int) -> None:
        """Digits that still have to be sent."""
        keys = _KEYS.pack(tick, event_timestamp, digits.encode()[:64])
        self.memory[_KEYS_AT : _KEYS_AT + _KEYS.size] = keys

    def heard_key(self, key: KeyHeard) -> None:
        """A telephone-event of the caller."""
        heard = _HEARD.pack(key.code, key.timestamp, key.duration, key.ended, key.seen_at)
        self.memory[_HEARD_AT : _HEARD_AT + _HEARD.size] = heard

    def act(self, on: bool) -> None:
        """Code of this call runs now: if the process dies of it, it will be known whose it was."""
        if self.fd >= 0:
            self.memory[_ACTING_AT] = on

    def tools(self, running: int) -> None:
        """So many of its agent's tools run, perhaps in threads."""
        if self.fd >= 0:
            self.memory[_TOOLS_AT] = min(running, 255)

    def comfort(self, payload_type: int, units: int, payload: bytes) -> None:
        """What 20 ms of silence look like, for whoever must send them in the worker's place."""
        if len(payload) <= 400:
            comfort = _COMFORT.pack(payload_type, units, len(payload), payload)
            self.memory[_COMFORT_AT : _COMFORT_AT + _COMFORT.size] = comfort

    def count(self, counts: Counts) -> None:
        """What was counted since the call began."""
        if self.fd >= 0:
            self.memory[_COUNTS_AT : _COUNTS_AT + _COUNTS.size] = _COUNTS.pack(*counts)
            self.memory[_COUNTED_AT] = True

    # ------------------------------------------------------------ read by others

    def counts(self) -> Counts:
        """Of all workers so far, the last second of those that died left out."""
        known = bool(self.memory[_COUNTED_AT])
        return Counts(*_COUNTS.unpack_from(self.memory, _COUNTS_AT)) if known else Counts()

    @property
    def begun(self) -> bool:
        """Has a worker driven this call?"""
        return bool(_TICK.unpack_from(self.memory, _TICK_AT)[1])

    @property
    def packets_sent(self) -> int:
        """By all who have sent. Cheap: it is asked before each packet."""
        return int(_COUNT.unpack_from(self.memory, _PACKETS_AT)[0])

    def last_sent(self) -> tuple[StreamState, float, int, int]:
        """The next packet's numbers, when the last one left, and how many packets and octets there were."""
        at, ssrc, seq, wraps, timestamp, packets, octets = _SENT.unpack_from(self.memory, _SENT_AT)
        return StreamState(ssrc, seq, timestamp, wraps), at, packets, octets

    def silence(self) -> tuple[int, int, bytes]:
        """(payload type, units a packet, payload) of silence; no payload if it is not known."""
        payload_type, units, size, payload = _COMFORT.unpack_from(self.memory, _COMFORT_AT)
        return payload_type, units, payload[:size]

    @property
    def acting(self) -> bool:
        """Was its code running when the process stopped?"""
        return bool(self.memory[_ACTING_AT])

    @property
    def tools_running(self) -> int:
        """How many of its agent's tools ran."""
        return self.memory[_TOOLS_AT]

    @property
    def beat(self) -> float:
        """When the last tick was, loop time; 0.0 before the first."""
        return float(_BEAT.unpack_from(self.memory, _TICK_AT)[0])

    def target(self) -> tuple[str, int]:
        """Where our packets go."""
        *_, host, port = _PEER.unpack_from(self.memory, _PEER_AT)
        return _text(host), port

    def read(self) -> Left | None:
        """How the call was left, None if nobody has driven it yet."""
        at, ticks, on_disk, waiting, flags, ssrc, highest, reports = _TICK.unpack_from(self.memory, _TICK_AT)
        if not ticks:
            return None
        state, sent_at, packets, octets = self.last_sent()
        latched, host, port, _, to_host, to_port = _PEER.unpack_from(self.memory, _PEER_AT)
        tick, event_timestamp, digits = _KEYS.unpack_from(self.memory, _KEYS_AT)
        code, timestamp, duration, ended, seen_at = _HEARD.unpack_from(self.memory, _HEARD_AT)
        spoken, turn_since, turn_ticks = _SPOKEN.unpack_from(self.memory, _SPOKEN_AT)
        return Left(
            state=state,
            at=at,
            sent_at=sent_at,
            packets=packets,
            octets=octets,
            past_ticks=ticks,
            recorded=on_disk if flags & _RECORDING else None,
            waiting=waiting,
            paused=bool(flags & _PAUSED),
            theirs=(ssrc, highest) if flags & _THEM else None,
            reports=reports,
            source=(_text(host), port) if latched else None,
            target=(_text(to_host), to_port),
            digits=_text(digits),
            digit_tick=tick,
            event_timestamp=event_timestamp,
            key=KeyHeard(code, timestamp, duration, bool(ended), seen_at),
            spoken=spoken,
            turn_since=turn_since,
            turn_ticks=turn_ticks,
            counts=self.counts(),
        )

    # ------------------------------------------------------------ the sound behind the page

    def waiting_sound(self, rate_hz: int) -> memoryview:
        """A second of stereo at that rate: what recorder.py has not written yet."""
        return memoryview(self.memory)[_PAGE : _PAGE + rate_hz * 4]

    def past_sound(self, rate_hz: int) -> memoryview:
        """Ten seconds of the caller at that rate, for past.py."""
        begins = _PAGE + WAITING_BYTES
        return memoryview(self.memory)[begins : begins + rate_hz * 2 * PAST_S]


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("ascii", "replace")
