"""A conversation on a virtual clock: the VirtualCall that we ship, with the real playout, and a caller who speaks at
given times. The rig is also the call's phone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from pipeline.agent.agent import Agent
from pipeline.events import Event
from pipeline.options import Silence, TurnHandling
from pipeline.ports import Frame, Llm, Stt, Tts
from pipeline.providers.fake import FakeStt
from pipeline.session import Session
from pipeline.testing.call import VirtualCall
from pipeline.testing.caller import Act, Holds, Presses, Says
from pipeline.testing.phone import FakePhone
from telephony.media.playout import Playout

RATE = 8000
SILENCE: Frame = np.zeros(160, np.int16)
VOICE: Frame = (3000 * np.sin(2 * np.pi * 200 * np.arange(160) / RATE)).astype(np.int16)

E = TypeVar("E", bound=Event)


class Rig(FakePhone):
    """One call. speech: when the caller speaks, (from, to) in s. keys: when which is pressed."""

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
        on_failure: str = "",
        silence: Silence | None = None,
    ) -> None:
        super().__init__()
        self.held: list[tuple[float, float]] = []  # when the caller's phone holds us, (from, to) in s
        self.out = Playout(RATE)
        self.frames: list[Frame | None] = []  # that the phone got
        acts: list[Act] = [Says("", start, end - start) for start, end in speech]
        acts += [Presses(key, at) for at, key in keys]
        self.call = VirtualCall(
            agent,
            acts,
            stt=stt or FakeStt(),
            llm=llm,
            tts=tts,
            options=options,
            silence=silence,
            line=self,
            announcement=announcement,
            on_failure=on_failure,
            out=self.out,
            phone=self,
        )
        self.events, self.saved, self.heard = self.call.events, self.call.saved, self.call.heard

    @property
    def session(self) -> Session:
        return self.call.session

    async def run(self, seconds: float) -> Rig:
        """Tick for so long, or until the agent hangs up. Loop time 0 is the start of the call."""
        for start, end in self.held:
            self.call.add(Holds(start, end - start))
        await self.call.run(seconds)
        return self

    # ------------------------------------------------------------ the line

    def sends(self, frame: Frame, now: float) -> Frame:
        """What becomes of 20 ms of the caller on the way to us."""
        return frame

    def gets(self, frame: Frame | None) -> None:
        """20 ms of what the caller's phone gets."""
        self.frames.append(frame)

    # ------------------------------------------------------------ what happened

    def of(self, kind: type[E]) -> list[E]:
        return self.call.of(kind)

    def kinds(self) -> list[str]:
        return self.call.kinds()

    def said(self) -> list[tuple[str, str]]:
        return self.call.said()
