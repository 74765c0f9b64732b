"""A colleague on a second line, on the virtual clock: answers, listens to the briefing, says or presses something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pipeline.events import Event
from pipeline.options import ThinkingSound
from pipeline.ports import AudioOut, Consultation, Talk, TransferResult, Vad
from pipeline.providers.fake import FakeVad
from telephony.media.playout import Playout
from tests.pipeline.rig import RATE, SILENCE, VOICE


class Colleague:
    """speech: when they speak, (from, to) in s after they picked up; keys: what they press, (at, key). leaves_at: when
    they hang up. machine_at: when an answering machine beeps. takes: the caller's phone comes back from hold.

    told: what the two were told, in order. talked: ticks in which the briefing was heard."""

    def __init__(
        self,
        *,
        speech: Sequence[tuple[float, float]] = (),
        keys: Sequence[tuple[float, str]] = (),
        leaves_at: float = 1e9,
        machine_at: float = 1e9,
        takes: bool = True,
    ) -> None:
        self.log: list[str] = []
        self.events: list[Event] = []
        self.connected_at = 0.0
        self.talked = 0
        self._speech, self._keys = speech, list(keys)
        self._leaves_at, self._machine_at, self._takes = leaves_at, machine_at, takes
        self._out, self._vad = Playout(RATE), FakeVad(RATE)
        self._over: asyncio.Future[TransferResult] = asyncio.get_running_loop().create_future()
        self._ticking: asyncio.Task[None] | None = None

    @property
    def out(self) -> AudioOut:
        return self._out

    @property
    def vad(self) -> Vad:
        return self._vad

    @property
    def emit(self) -> Callable[[Event], None]:
        return self.events.append

    def carry(self, talk: Talk) -> None:
        self._ticking = asyncio.create_task(self._tick(talk))

    async def ended(self) -> TransferResult:
        return await asyncio.shield(self._over)

    async def connect(self, release: bool) -> TransferResult:
        self.log.append("connect, released" if release else "connect")
        self.connected_at = asyncio.get_running_loop().time()
        return TransferResult(True, 200) if self._takes else TransferResult(False, 480, "still on hold")

    def hang_up(self, reason: str) -> None:
        self.log.append(f"hang up: {reason}")
        self._end(TransferResult(False, 480, reason))

    async def transfer(self, target: str) -> TransferResult:
        return TransferResult(False)

    async def consult(self, target: str, ring_s: float) -> Consultation | TransferResult:
        return TransferResult(False)

    def send_digits(self, digits: str) -> None:
        self.log.append(digits)

    def start_message(self) -> str:
        return ""

    def end_message(self) -> float:
        return 0.0

    async def hold(self) -> bool:
        return False

    async def resume(self) -> bool:
        return True

    def think(self, sound: ThinkingSound | None) -> None:
        pass

    def pause_recording(self) -> bool:
        return False

    def resume_recording(self) -> bool:
        return False

    async def _tick(self, talk: Talk) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not self._over.done():
            now = loop.time()
            at = now - began
            while self._keys and self._keys[0][0] <= at:
                talk.key(self._keys.pop(0)[1], now)
            talk.hear(VOICE if any(start <= at < end for start, end in self._speech) else SILENCE, now)
            self.talked += talk.speak(now) is not None
            if at >= self._leaves_at:
                self._end(TransferResult(False, 200, "they hung up"))
            elif at >= self._machine_at:
                self._end(TransferResult(False, 480, "an answering machine picked up"))
            await asyncio.sleep(0.02)  # virtual_clock

    def _end(self, why: TransferResult) -> None:
        if not self._over.done():
            self._over.set_result(why)
