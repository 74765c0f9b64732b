"""One side's sound out of captured RTP, as the server would have heard it.

The packets go through the very receiver that live calls have (telephony/media/receiving.py): reordering, loss, jitter,
DTX, events and tones are treated alike. Its clock is the capture's. Not which packets these are: capture.py knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offhook.replay.formats.material import KeyPress, Pcm
from offhook.replay.formats.packets import Address
from offhook.replay.formats.signalling import End
from offhook.replay.formats.sound import LONGEST_S, NARROW_HZ, WIDE_HZ
from telephony.errors import TelephonyError
from telephony.media.codecs import CODECS, FRAME_MS
from telephony.media.crypto import Guard
from telephony.media.receiving import Receiver
from telephony.sdp.crypto import agreed
from telephony.sdp.description import RtpMap
from telephony.sdp.plan import MediaPlan, Srtp

FRAME_S = FRAME_MS / 1000
# The receiver waits a tick before it plays a packet, and a packet ends 20 ms after its sound began.
SHIFT_S = 2 * FRAME_S
RUNS_DRY_S = 1.0  # without packets; then there is silence until the next one
WIDEBAND = ("G722", "OPUS")
EVENTS = "TELEPHONE-EVENT"


class Track:
    """One side of one call. Give it packets in the order of the capture, then take `finish`."""

    def __init__(
        self, begins: float, listens: End, talks: End | None, rate_hz: int, mute_tones: bool
    ) -> None:
        """begins: epoch of the recording's first sample, s. listens: the other side's wishes, where this sound goes.
        talks: this side's own. mute_tones: as live calls do with the caller's keys."""
        self.keys: list[KeyPress] = []
        self.packets = 0
        self.unopened = 0  # encrypted, with no key or a wrong one
        self.unplaced = 0  # far outside the call
        self.last = begins
        self._begins, self._rate_hz = begins, rate_hz
        self._sound = bytearray()
        self._samples = rate_hz * FRAME_MS // 1000
        self._ticks = 0
        self._mute_tones = mute_tones
        self._receiver: Receiver | None = None
        self._guard: Guard | None = None
        self._wishes(listens, talks)

    def wishes(self, listens: End, talks: End | None) -> None:
        """A new offer or answer: codecs, hold, keys."""
        self._wishes(listens, talks)
        if self._receiver is not None:
            self._receiver.update(self._plan)

    def packet(self, at: float, source: Address, payload: bytes) -> None:
        """One RTP packet of this side, captured at `at`."""
        if not self._begins - SHIFT_S <= at <= self._begins + LONGEST_S:
            self.unplaced += 1
            return
        if self._encrypted:
            opened = self._guard.unprotect(payload) if self._guard is not None else None
            if opened is None:
                self.unopened += 1
                return
            payload = opened
        if self._receiver is None:
            self._receiver = Receiver(self._plan, self._digit, self._rate_hz, mute_tones=self._mute_tones)
        self.advance(at)
        self.packets += 1
        self.last = max(self.last, at)
        self._receiver.datagram(memoryview(payload), len(payload), source, at, proven=True)

    def advance(self, until: float) -> None:
        """Time goes on to `until`, epoch, s."""
        receiver = self._receiver
        while (now := self._begins + SHIFT_S + self._ticks * FRAME_S) <= until:
            if receiver is None or now - self.last > RUNS_DRY_S:
                ticks = int((until - now) / FRAME_S) + 1
                self._sound += bytes(ticks * self._samples * 2)
                self._ticks += ticks
            else:
                self._sound += receiver.frame(now).tobytes()
                self._ticks += 1

    def finish(self, until: float) -> Pcm:
        """All sound up to `until`. The track is over."""
        self.advance(until + SHIFT_S)
        samples = max(0, round((until - self._begins) * self._rate_hz))
        missing = samples * 2 - len(self._sound)
        self._sound += bytes(max(0, missing))
        return np.frombuffer(self._sound, np.int16)[:samples]

    def notes(self, side: str) -> list[str]:
        """What was wrong with the packets."""
        found = [f"{side}: {self.unopened} encrypted packets could not be opened: no SDES key fits"] * bool(
            self.unopened
        )
        found += [f"{side}: {self.unplaced} packets outside the call were left out"] * bool(self.unplaced)
        if (receiver := self._receiver) is None:
            return [*found, f"{side}: no sound was captured"]
        if lost := receiver.stats.lost:
            found.append(f"{side}: {lost} packets are missing, {receiver.jitter.reordered} came out of order")
        if receiver.unknown_type:
            found.append(f"{side}: {receiver.unknown_type} packets of a codec that is not spoken here")
        if receiver.malformed:
            found.append(f"{side}: {receiver.malformed} damaged packets")
        return found

    def _wishes(self, listens: End, talks: End | None) -> None:
        payloads = dict(listens.media.payloads)
        if talks is not None:  # some send as they themselves listed
            payloads |= {pt: meant for pt, meant in talks.media.payloads.items() if pt not in payloads}
        self._plan = plan(payloads, listens.address, held=bool(talks and talks.holds))
        self._encrypted = "SAVP" in listens.media.protocol
        srtp: Srtp | None = None
        if self._encrypted and talks is not None:
            srtp = agreed(listens.media.cryptos, talks.media.cryptos)
        if srtp is None:
            self._guard = None
            return
        try:
            if self._guard is None:
                self._guard = Guard(srtp)
            else:
                self._guard.update(
                    srtp
                )  # a key that stays keeps its place: how often the numbers have wrapped
        except TelephonyError:
            self._guard = None

    def _digit(self, digit: str, now: float) -> None:
        self.keys.append(KeyPress(round(max(0.0, now - self._begins), 3), digit))


def plan(payloads: dict[int, RtpMap], remote: Address, held: bool) -> MediaPlan:
    """A plan that hears these payload types. held: what this side sends is music for the other one."""
    known = {pt: meant.name for pt, meant in payloads.items() if meant.name in CODECS}
    first = next(iter(known.values()), "PCMU")
    codec = CODECS[first]()
    events = next((pt for pt, meant in payloads.items() if meant.name == EVENTS), None)
    return MediaPlan(
        codec=first,
        rate_hz=codec.rate_hz,
        clock_hz=codec.clock_hz,
        send_pt=next(iter(known), 0),
        receive_pts=known,
        remote=remote,
        dtmf_receive_pt=events,
        direction="sendonly" if held else "sendrecv",
    )


def rate_of(ends: Sequence[End]) -> int:
    """8000 or 16000: what the newest answer's first codec gives."""
    for end in reversed(ends):
        names = [meant.name for meant in end.media.payloads.values() if meant.name in CODECS]
        if names:
            return WIDE_HZ if names[0] in WIDEBAND else NARROW_HZ
    return NARROW_HZ
