"""Packets that the switch itself sends, for a call whose worker stands still or is gone: silence, or a last word.

It takes the numbers of the call's stream from shared memory (media/vitals.py) and leaves them there, so that the worker
that comes back goes on behind them; neither sends while the other does. An encrypted stream is gone on with under its
own key, each index once. Not when this is due (recovery.py)."""

from __future__ import annotations

import asyncio
import base64
import binascii
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

import structlog

from offhook.link import Notice
from offhook.switch.metrics import Metrics
from telephony.call.call import Call
from telephony.errors import MediaError
from telephony.media.crypto import Outgoing
from telephony.media.packet import HEADER_BYTES, write_header
from telephony.media.sending_state import StreamState
from telephony.media.vitals import Vitals
from telephony.sdp.plan import Srtp

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
    """Of all legs of a switch: a leg is its call and the vitals of its stream."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._packet = bytearray(HEADER_BYTES + _BIGGEST_BYTES)
        self._ciphers: WeakKeyDictionary[Vitals, Outgoing] = WeakKeyDictionary()

    def silence(self, call: Call, vitals: Vitals, now: float) -> None:
        """What is due since the last packet: one of silence, with the time between them counted."""
        _, units, payload = vitals.silence()
        if not payload or not _sends(call) or not vitals.claim():
            return
        try:
            _, sent_at, _, _ = vitals.last_sent()
            clock_hz = call.plan.clock_hz if call.plan is not None else 8000
            if periods := int((now - sent_at) * clock_hz / units + EARLY):
                self._send(call, vitals, now, payload, periods)
                self._metrics.stand_ins.inc()
        finally:
            vitals.release()

    async def say(self, call: Call, vitals: Vitals, sound: bytes) -> None:
        """Play this to the far end, if it can be."""
        _, units, silence = vitals.silence()
        plan = call.plan
        if not silence or plan is None or not _sends(call):
            return
        packet_s, size = units / plan.clock_hz, len(silence)
        due = self._loop.time()
        for at in range(0, len(sound) - size + 1, size):
            if vitals.claim():
                _, sent_at, _, _ = vitals.last_sent()
                now = self._loop.time()
                periods = max(1, round((now - sent_at) / packet_s))
                try:
                    self._send(call, vitals, now, sound[at : at + size], periods)
                finally:
                    vitals.release()
            due += packet_s
            await asyncio.sleep(due - self._loop.time())

    def _send(self, call: Call, vitals: Vitals, now: float, payload: bytes, periods: int) -> None:
        """For who has claimed the stream. periods: how many packets' time it is behind, this packet included."""
        pair, plan = call.rtp, call.plan
        if pair is None or plan is None:
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
        clear = memoryview(self._packet)[:end]
        try:
            data = clear if plan.srtp is None else self._sealed(vitals, plan.srtp, state, bytes(clear))
            pair.rtp.sendto(data, vitals.target())
        except (OSError, MediaError):  # a full buffer or an ICMP error: the next one may get through
            return

    def _sealed(self, vitals: Vitals, srtp: Srtp, state: StreamState, packet: bytes) -> bytes:
        """Under the index that follows the last one (RFC 3711 §3.3.1), which nobody else has used or will."""
        cipher, index = self._ciphers.get(vitals), state.wraps << 16 | state.seq
        if cipher is None or not cipher.follows(srtp, state.ssrc, index):
            cipher = self._ciphers[vitals] = Outgoing(srtp, state.ssrc, index)
        return cipher.protect(packet)


def _sends(call: Call) -> bool:
    """Is it agreed that they hear us?"""
    plan = call.plan
    return call.rtp is not None and plan is not None and plan.direction in ("sendrecv", "sendonly")
