"""A conversation on a virtual clock (pipeline/testing/virtual_clock.py):
a caller who speaks at given times, fakes for providers, the rest real."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from pipeline.agent.agent import Agent
from pipeline.events import Event
from pipeline.options import Silence, TurnHandling
from pipeline.ports import Frame, Llm, Stt, TransferResult, Tts
from pipeline.providers.fake import FakeLlm, FakeStt, FakeTts, FakeVad
from pipeline.session import Services, Session
from telephony.media.playout import Playout

RATE = 8000
SILENCE: Frame = np.zeros(160, np.int16)
VOICE: Frame = (3000 * np.sin(2 * np.pi * 200 * np.arange(160) / RATE)).astype(np.int16)

E = TypeVar("E", bound=Event)


class Rig:
    """One call. speech: when the caller speaks, (from, to) in s. Also the call's control."""

    def __init__(
        self,
        agent: Agent,
        *,
        speech: Sequence[tuple[float, float]] = (),
        keys: Sequence[tuple[float, str]] = (),
        stt: Stt | None = None,
        llm: Llm | None = None,
        tts: Tts | None = None,
        options: TurnHandling | None = None,
        announcement: str = "",
        silence: Silence | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.saved: list[dict[str, Any]] = []
        self.heard: list[bool] = []  # per tick: did the phone get speech?
        self.out = Playout(RATE)
        self.transfers: list[str] = []
        self.transfer_result = TransferResult(True, 200)
        self.hung_up = ""
        self.dialled = ""
        self.control: list[str] = []  # what the agent did to the call, in order
        self.comes_back = self.recorded = True
        self.held: list[tuple[float, float]] = []  # when the caller's phone holds us, (from, to) in s
        self._speech, self._keys = speech, list(keys)
        self.session = Session(
            agent,
            Services(FakeVad(RATE), stt or FakeStt(), llm or FakeLlm(), tts or FakeTts(RATE, 50.0)),
            self.out,
            self,
            emit=self.events.append,
            save=self.saved.append,
            options=options,
            silence=silence or Silence(after_s=0.0),
            userdata={},
            announcement=announcement,
        )

    # ------------------------------------------------------------ CallControl

    def hang_up(self, reason: str) -> None:
        self.hung_up = reason
        self.session.close(reason)

    async def transfer(self, target: str) -> TransferResult:
        self.transfers.append(target)
        return self.transfer_result

    def send_digits(self, digits: str) -> None:
        self.dialled += digits

    async def hold(self) -> bool:
        self.control.append("hold")
        return True

    async def resume(self) -> bool:
        self.control.append("resume")
        return self.comes_back

    def pause_recording(self) -> bool:
        self.control.append("pause recording")
        return self.recorded

    def resume_recording(self) -> bool:
        self.control.append("resume recording")
        return self.recorded

    # ------------------------------------------------------------ time

    async def run(self, seconds: float) -> Rig:
        """Tick for so long, or until the agent hangs up. Loop time 0 is the start of the call."""
        await self.session.prepare()
        talking = asyncio.create_task(self.session.run())
        loop = asyncio.get_running_loop()
        for tick in range(round(seconds * 50)):
            await asyncio.sleep(max(0.0, tick * 0.02 - loop.time()))
            if talking.done():
                break
            self._tick(loop.time())
        self.session.close("test_over")
        await talking
        return self

    def _tick(self, now: float) -> None:
        while self._keys and self._keys[0][0] <= now:
            self.session.key(self._keys.pop(0)[1], now)
        self.session.caller_held(any(start <= now < end for start, end in self.held), now)
        self.session.hear(self.line(now), now)
        frame = self.session.speak(now)
        self.left(frame)
        self.heard.append(frame is not None)

    def line(self, now: float) -> Frame:
        """20 ms of what the caller's phone sends."""
        return VOICE if any(start <= now < end for start, end in self._speech) else SILENCE

    def left(self, frame: Frame | None) -> None:
        """20 ms of what the caller's phone gets."""

    # ------------------------------------------------------------ what happened

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def said(self) -> list[tuple[str, str]]:
        return [(message.role, message.text) for message in self.session.history.messages]
