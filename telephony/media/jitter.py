"""The jitter buffer: packets as the network delivers them in, an even stream out.

Pure: it counts in units of the RTP clock and in ticks, and never asks what time it is. It neither decodes nor
conceals (codecs/, conceal.py): for sound that is missing it says how much. Driven by receiving.py: `push` for
each packet, `pull` until a frame is full, `settle` at the end of the tick.

How it decides. Sound is due at a timestamp that moves on by one frame a tick. A gap with later sound behind
it is a loss: time moves on. When nothing at all has arrived, time moves on too, but late sound may turn it
back (*stretch*): nothing is lost and the delay has grown by what the network needs. What never got used
during a whole window of ticks is surplus: the reader leaves out frames, in silence if it can. So a clean line
settles at one frame (20 ms), a bad one at what it needs, 200 ms at most; the window grows with each late
packet, so that the delay does not swing.
"""

from __future__ import annotations

from bisect import insort
from typing import Final, TypeAlias

FRAME_MS: Final = 20
MOST_MS: Final = 200  # sound older than this is dropped at once
MISORDER: Final = 100  # RFC 3550 A.1: a packet this far back is a reordered one
DROPOUT: Final = 3000  # RFC 3550 A.1: a packet this far ahead still belongs to the stream

CALM_TICKS: Final = 50  # how long sound must lie unused before it is surplus, on a good line
WARY_TICKS: Final = 300  # the same after many late packets
NEVER: Final = 1000  # frames: no sound left over was seen yet
FLOOD_FRAMES: Final = 3  # a surplus this large is seen in half the time

Packet: TypeAlias = tuple[int, bytes]  # payload type, payload

_SEEN_MASK = (1 << MISORDER) - 1


class JitterBuffer:
    """One source's packets, in order of their timestamps. Counters are public and only grow."""

    def __init__(self, clock_hz: int) -> None:
        self.late = 0  # came after their time and were dropped
        self.stretched = 0  # came after their time and were played all the same, at the price of delay
        self.duplicates = 0
        self.reordered = 0
        self.trimmed = 0  # dropped because more than 200 ms were waiting
        self.strays = 0  # far outside the sequence, alone
        self.jumps = 0  # timestamps that broke off and went on elsewhere
        self.surplus = 0  # frames that the reader should leave out when it is quiet
        self._patience = CALM_TICKS
        self._window = 0  # ticks since the last verdict
        self._low = 0  # least sound left over meanwhile
        self._draining = 0  # the same since the last packet: it may have been the last before a pause
        self.retune(clock_hz)

    def retune(self, clock_hz: int) -> None:
        """Another RTP clock from here on: a codec of another family was agreed on. Forgets as `reset` does."""
        self._step = clock_hz * FRAME_MS // 1000
        self._most = clock_hz * MOST_MS // 1000
        self.reset()

    def reset(self) -> None:
        """Another source begins (RFC 3550 §8.2): forget sound, sequence and schedule, keep the counters."""
        self._queue: list[tuple[int, int, Packet]] = []  # (position, units, packet), by position
        self._queued = 0  # units in the queue
        self._due = 0  # position of the next sound to be pulled
        self._starved = 0  # units the schedule went on with nothing in the queue
        self._owed = False  # the next frame of delay is to be bought with a concealed frame
        self._begun = False
        self._high_sequence = 0
        self._high_timestamp = 0
        self._high_position = 0
        self._end = 0  # position behind the newest packet
        self._seen = 0  # bit n: sequence number high - n has arrived
        self._restart_sequence = -1
        self.surplus = 0
        self._calm()

    @property
    def queued_units(self) -> int:
        """Sound that is waiting, in units of the RTP clock."""
        return self._queued

    def push(self, sequence: int, timestamp: int, units: int, packet: Packet) -> None:
        """One packet. units: its length in RTP clock units. What cannot be used is dropped and counted."""
        if not self._begun:
            self._begin(sequence, timestamp, units)
        ahead = ((sequence - self._high_sequence + 0x8000) & 0xFFFF) - 0x8000
        if not -MISORDER < ahead < DROPOUT:
            if sequence != self._restart_sequence:
                self._restart_sequence = (sequence + 1) & 0xFFFF
                self.strays += 1
                return
            self.reset()  # two in a row: the source started anew without changing its SSRC (RFC 3550 A.1)
            self.jumps += 1
            self._begin(sequence, timestamp, units)
            ahead = 0
        position = self._place(ahead, timestamp, units)
        if position is None:
            return
        if position < self._due and not self._turn_back(position, units):
            return
        self._observe()
        self._insert(position, units, packet)

    def pull(self, need: int) -> Packet | int:
        """The next packet, or how many units (1 to need) are missing before there is one.

        need: units the reader still lacks for this tick's frame."""
        queue = self._queue
        if not queue:
            if self._begun:
                self._due += need
                self._starved += need
            return need
        position, units, packet = queue[0]
        gap = position - self._due
        if gap <= 0 and not self._owed:
            del queue[0]
            self._queued -= units
            self._due = max(self._due, position + units)
            self._starved = 0
            return packet
        if self._owed:  # a frame late: wait for it this once, and be later from now on
            self._owed = False
            return need
        if gap > self._most:  # not a loss but another beginning: do not wait for it to come round
            self._due, gap = position - need, need
        missing = min(gap, need)
        self._due += missing
        return missing

    def settle(self, held: int) -> None:
        """The tick is over. held: units pulled but not yet played. Finds out what sound nobody needed."""
        if self._starved or not self._begun:
            return
        self._draining = min(self._draining, self._queued + held)
        self._window += 1
        if self._window == self._patience // 2:
            self.surplus = max(self.surplus, self._unneeded() - FLOOD_FRAMES + 1)
        elif self._window >= self._patience:
            self._patience = max(CALM_TICKS, self._patience * 9 // 10)
            self.surplus = self._unneeded()
            self._calm()

    def left_out(self) -> None:
        """The reader left one frame out to lower the delay."""
        self.surplus = max(0, self.surplus - 1)
        self._low -= self._step
        self._draining -= self._step

    def _begin(self, sequence: int, timestamp: int, units: int) -> None:
        """The first packet of a source: it waits for one tick, so that a delay of 40 ms is the beginning."""
        self._begun = True
        self._high_sequence = sequence
        self._high_timestamp = timestamp
        self._high_position, self._end, self._due = 0, units, -self._step

    def _place(self, ahead: int, timestamp: int, units: int) -> int | None:
        """Where a packet belongs, None for a duplicate. Timestamps that jump back go on at the end."""
        if ahead <= 0:
            bit = 1 << -ahead
            if self._seen & bit:
                self.duplicates += 1
                return None
            self._seen |= bit
            if ahead == 0:  # the very first packet
                return self._high_position
            self.reordered += 1
            return self._high_position - ((self._high_timestamp - timestamp) & 0x7FFFFFFF)
        self._seen = (self._seen << ahead | 1) & _SEEN_MASK
        forward = (timestamp - self._high_timestamp) & 0xFFFFFFFF
        if 0 < forward < 0x80000000:
            position = self._high_position + forward
        else:
            position = self._end
            self.jumps += 1
        self._high_sequence = (self._high_sequence + ahead) & 0xFFFF
        self._high_timestamp = timestamp
        self._high_position = position
        self._end = position + units
        return position

    def _turn_back(self, position: int, units: int) -> bool:
        """May sound from before the due time still be played? If only nothing has sounded since."""
        behind = self._due - position
        if behind <= self._starved:
            self._starved -= behind
            self._due = position
            self.stretched += 1
            self._alarm()
            return True
        if units > behind:  # only its beginning is late
            return True
        self.late += 1
        self._owed = self._queued < self._most
        self._alarm()
        return False

    def _unneeded(self) -> int:
        """Frames that were left over all through the window, 0 if nothing is known."""
        frames = self._low // self._step
        return frames if frames < NEVER // 2 else 0

    def _observe(self) -> None:
        """A packet: the sound left over before it counts, unless it ran out because the talker paused."""
        if not self._starved:
            self._low = min(self._low, self._draining)
        self._draining = NEVER * self._step

    def _insert(self, position: int, units: int, packet: Packet) -> None:
        queue, entry = self._queue, (position, units, packet)
        if queue and position < queue[-1][0]:
            insort(queue, entry)
        else:
            queue.append(entry)
        self._queued += units
        while len(queue) > 1 and (self._queued > self._most or len(queue) > MISORDER):
            self._queued -= queue[0][1]
            del queue[0]
            self._due = queue[0][0]
            self._starved = 0
            self.trimmed += 1

    def _alarm(self) -> None:
        """Sound came late: look longer before the delay is lowered again."""
        self._patience = min(WARY_TICKS, self._patience * 2)
        self.surplus = 0
        self._calm()

    def _calm(self) -> None:
        self._window = 0
        self._low = self._draining = NEVER * self._step
