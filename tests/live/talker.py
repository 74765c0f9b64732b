"""A phone of ours in the test's own process, whose sound the test makes and measures, tick by tick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray

from telephony.call.call import Call
from telephony.call.events import CallEvent, MediaChanged
from telephony.media.clock import Clock
from telephony.media.ports import PortPool
from telephony.media.stream import Stream, StreamState
from telephony.phone import Phone

LOUD = 4500.0  # rms: a talker's noise; hold music stays far below
AUDIBLE = 60.0


class Talker:
    """One phone with at most one call. heard: (loop time, rms) of every 20 ms; gaps: likewise, s without a packet.

    talking: it makes noise, without a pause, as nobody does; so every tick that is missing is seen."""

    def __init__(self, phone: Phone, clock: Clock, seed: int) -> None:
        self.phone = phone
        self.call: Call | None = None
        self.stream: Stream | None = None
        self.talking = False
        self.heard: list[tuple[float, float]] = []
        self.gaps: list[tuple[float, float]] = []
        self._ticked = asyncio.Event()
        self._clock, self._noise = clock, np.random.default_rng(seed)

    @property
    def uri(self) -> str:
        host, port = self.phone.address
        return f"sip:desk@{host}:{port}"

    def talk_on(self, call: Call) -> None:
        """Sound from now on."""
        assert call.rtp is not None and call.plan is not None
        self.call = call
        self.stream = Stream(
            call.rtp.rtp,
            call.rtp.rtcp,
            call.plan,
            state=StreamState(7, 7, 7),
            ear=self._hear,
            mouth=self._speak,
            mute_tones=False,
        )
        call.listen(self._signalled)
        self._clock.add(self.stream)

    async def answer(self, after_s: float = 0.0) -> None:
        """Take the next call."""
        async for call in self.phone.calls():
            call.ring()
            await asyncio.sleep(after_s)
            call.answer()
            await call.settled()
            self.talk_on(call)
            return

    async def until_quiet(self, for_s: float = 0.8) -> None:
        """Wait until the other side has said something and is quiet."""
        await self.until_loud(AUDIBLE)
        loop = asyncio.get_running_loop()
        while any(level > AUDIBLE for at, level in self.heard[-200:] if at > loop.time() - for_s):
            await self._next_tick()

    async def until_loud(self, level: float = LOUD) -> float:
        """Wait until something that loud is heard, from now on; returns when."""
        start = len(self.heard)
        while not (found := [at for at, rms in self.heard[start:] if rms > level]):
            await self._next_tick()
        return found[0]

    async def until_ticks(self, count: int) -> None:
        """Wait until that many 20 ms were heard in all."""
        while len(self.heard) < count:
            await self._next_tick()

    async def _next_tick(self) -> None:
        self._ticked.clear()
        await self._ticked.wait()

    def _hear(self, frame: NDArray[np.int16], now: float) -> None:
        self.heard.append((now, float(np.sqrt(np.mean(frame.astype(np.float64) ** 2)))))
        self._ticked.set()
        last = self.stream.last_heard if self.stream is not None else None
        self.gaps.append((now, now - last if last is not None else 0.0))

    def _speak(self, now: float) -> NDArray[np.int16] | None:
        return self._noise.normal(0, 6000, 160).clip(-32000, 32000).astype(np.int16) if self.talking else None

    def _signalled(self, event: CallEvent) -> None:
        if isinstance(event, MediaChanged) and self.stream is not None:
            self.stream.update(event.plan)


@asynccontextmanager
async def talkers() -> AsyncIterator[tuple[Talker, Talker]]:
    """A caller and a desk, on free ports of 127.0.0.1."""
    clock = Clock(asyncio.get_running_loop())
    ports = [PortPool("127.0.0.1", first, first + 60) for first in (21000, 21100)]
    async with (
        Phone(host="127.0.0.1", port=0, ports=ports[0]) as one,
        Phone(host="127.0.0.1", port=0, ports=ports[1]) as other,
    ):
        clock.start()
        both = Talker(one, clock, 1), Talker(other, clock, 2)
        try:
            yield both
        finally:
            for talker in both:
                if talker.call is not None:
                    talker.call.hang_up("the test is over")
                if talker.stream is not None:
                    talker.stream.close()
            clock.stop()
