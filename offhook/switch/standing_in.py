"""Packets that the switch itself sends, for a call whose worker stands still or is gone: silence, or a last word.

It takes the numbers of the call's stream from shared memory (media/vitals.py) and leaves them there, so that the worker
that comes back goes on behind them. Encrypted calls have to wait: their key's place is with the worker. Not when
this is due (recovery.py)."""

from __future__ import annotations

import asyncio
import base64
import binascii
from contextlib import suppress
from typing import Final

import structlog

from offhook.link import Notice
from offhook.switch.active import ActiveCall
from offhook.switch.metrics import Metrics
from telephony.media.packet import HEADER_BYTES, write_header
from telephony.media.sending_state import StreamState

log = structlog.get_logger()

TICK_S: Final = 0.02
EARLY: Final = 0.25  # of a packet's time: so much may a look be early
_BIGGEST_BYTES: Final = 1400


class Notices:
    """What callers are told whom no worker may have any more: encoded by a worker when it started."""

    def __init__(self) -> None:
        self._sound: dict[tuple[str, str], bytes] = {}

    def keep(self, message: Notice) -> None:
        """The first one of each kind counts."""
        with suppress(binascii.Error):
            sound = base64.b64decode(message.payload, validate=True)
            self._sound.setdefault((message.language, message.codec), sound)

    def sound(self, language: str, codec: str) -> bytes:
        """Payloads one after the other, in that language or English; empty if there are none."""
        spoken = language.lower().split("-")[0]
        return self._sound.get((spoken, codec)) or self._sound.get(("en", codec), b"")


class StandIn:
    """Of all calls of a switch."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._packet = bytearray(HEADER_BYTES + _BIGGEST_BYTES)

    def silence(self, active: ActiveCall, now: float) -> None:
        """What is due since the last packet: one of silence, with the time between them counted."""
        _, units, payload = active.vitals.silence()
        if payload and self._may(active):
            _, sent_at, _, _ = active.vitals.last_sent()
            clock_hz = active.call.plan.clock_hz if active.call.plan is not None else 8000
            if periods := int((now - sent_at) * clock_hz / units + EARLY):
                self._send(active, now, payload, periods)
                self._metrics.stand_ins.inc()

    async def say(self, active: ActiveCall, sound: bytes) -> None:
        """Play this to the caller's end, if it can be."""
        _, units, silence = active.vitals.silence()
        plan = active.call.plan
        if not silence or plan is None or not self._may(active):
            return
        packet_s, size = units / plan.clock_hz, len(silence)
        due = self._loop.time()
        for at in range(0, len(sound) - size + 1, size):
            _, sent_at, _, _ = active.vitals.last_sent()
            now = self._loop.time()
            self._send(active, now, sound[at : at + size], max(1, round((now - sent_at) / packet_s)))
            due += packet_s
            await asyncio.sleep(due - self._loop.time())

    def _may(self, active: ActiveCall) -> bool:
        plan = active.call.plan
        sends = plan is not None and not plan.srtp and plan.direction in ("sendrecv", "sendonly")
        return sends and active.call.rtp is not None

    def _send(self, active: ActiveCall, now: float, payload: bytes, periods: int) -> None:
        """periods: how many packets' time the stream is behind, this packet included."""
        pair, vitals = active.call.rtp, active.vitals
        if pair is None:
            return
        payload_type, units, _ = vitals.silence()
        state, _, packets, octets = vitals.last_sent()
        timestamp = (state.timestamp + (periods - 1) * units) & 0xFFFFFFFF
        following = StreamState(
            state.ssrc,
            (state.seq + 1) & 0xFFFF,
            (timestamp + units) & 0xFFFFFFFF,
            state.wraps + (state.seq == 0xFFFF),
        )
        vitals.sending(following, now, packets + 1, octets + len(payload))
        end = HEADER_BYTES + len(payload)
        self._packet[HEADER_BYTES:end] = payload
        write_header(
            self._packet,
            payload_type=payload_type,
            marker=False,
            sequence=state.seq,
            timestamp=timestamp,
            ssrc=state.ssrc,
        )
        with suppress(OSError):  # a full buffer or an ICMP error: the next one may get through
            pair.rtp.sendto(memoryview(self._packet)[:end], vitals.target())
