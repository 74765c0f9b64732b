"""Hold, announcements, keys and the recording, on a virtual clock: when nobody listens, and that they listen again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.phone import PHONE_TOOLS
from pipeline.errors import ProviderError
from pipeline.events import (
    AgentSpoke,
    CallerStartedSpeaking,
    CallHeld,
    CallResumed,
    DigitsSent,
    KeyPressed,
    ProviderFailed,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
    ToolFinished,
    UserTurnCommitted,
)
from pipeline.ports import Frame, Hints, SttEvent, Voice
from pipeline.providers.fake import FakeLlm, FakeStt, FakeSttStream, FakeTts, FakeTtsStream
from pipeline.testing.virtual_clock import run
from tests.pipeline.rig import Rig

Script = list[str | dict[str, Any]]


def play(rig: Coroutine[Any, Any, Rig]) -> Rig:
    return run(lambda: rig)


class CountingStt(FakeStt):
    """Notes when each recogniser was opened and closed, and each frame it got."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(texts)
        self.left = texts
        self.log: list[str] = []
        self.frames_at: list[float] = []

    async def open(self, *, rate_hz: int, hints: Hints) -> FakeSttStream:
        self.log.append("open")
        return CountedStream(self)


class CountedStream(FakeSttStream):
    def __init__(self, stt: CountingStt) -> None:
        super().__init__(stt.left, "hello", 0.0)
        self._stt = stt

    def push(self, frame: Frame) -> None:
        self._stt.frames_at.append(asyncio.get_running_loop().time())

    def end_turn(self) -> None:
        super().end_turn()
        self._stt.left = self._stt.left[1:]

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return super().__aiter__()

    async def aclose(self) -> None:
        self._stt.log.append("close")
        await super().aclose()


def test_on_their_hold_nobody_listens_and_afterwards_the_recogniser_is_fresh() -> None:
    """Row 46: hold music from the caller's PBX is no turn; the recogniser is closed meanwhile and opened again."""
    stt = CountingStt(["before", "after"])

    async def call() -> Rig:
        # what sounds from 3 to 8 s is their music
        rig = Rig(Agent(), speech=[(1.0, 1.6), (3.0, 8.0), (12.0, 12.6)], stt=stt, llm=FakeLlm("Yes."))
        rig.held = [(2.6, 10.0)]
        return await rig.run(16.0)

    rig = play(call())
    assert [(event.by, round(event.at, 2)) for event in rig.of(CallHeld)] == [("caller", 2.6)]
    assert [(event.by, round(event.at, 2)) for event in rig.of(CallResumed)] == [("caller", 10.0)]
    assert [turn.text for turn in rig.of(UserTurnCommitted)] == ["before", "after"]
    assert len(rig.of(CallerStartedSpeaking)) == 2
    assert not [at for at in stt.frames_at if 2.6 <= at < 10.0]
    assert stt.log == ["open", "close", "open", "close"]
    assert rig.of(ProviderFailed) == []


def test_a_short_hold_keeps_the_recogniser() -> None:
    """An attendant who presses the wrong button must not cost a reconnection."""
    stt = CountingStt(["after"])

    async def call() -> Rig:
        rig = Rig(Agent(), speech=[(5.0, 5.6)], stt=stt, llm=FakeLlm("Yes."))
        rig.held = [(1.0, 2.0), (3.0, 4.0)]
        return await rig.run(8.0)

    rig = play(call())
    assert stt.log == ["open", "close"]
    assert [turn.text for turn in rig.of(UserTurnCommitted)] == ["after"]


def test_words_that_a_hold_cuts_off_still_get_their_answer() -> None:
    """The caller says something and presses hold in the same breath."""

    async def call() -> Rig:
        rig = Rig(Agent(), speech=[(1.0, 9.0)], stt=FakeStt(["hang on"]), llm=FakeLlm("Sure."))
        rig.held = [(2.0, 9.0)]
        return await rig.run(12.0)

    rig = play(call())
    assert rig.said() == [("user", "hang on"), ("assistant", "Sure.")]
    (turn,) = rig.of(UserTurnCommitted)
    assert turn.spoke_until == pytest.approx(2.0, abs=0.05)


def test_the_agent_lets_the_caller_wait_and_comes_back() -> None:
    """What is being said is heard first; then nobody listens until resume, not even to keys."""

    class Busy(Agent):
        async def on_enter(self) -> None:
            self.session.say("One moment please.")
            await asyncio.sleep(0.1)
            await self.session.hold()
            await asyncio.sleep(5.0)
            assert await self.session.resume()
            self.session.say("Here I am.")

    async def call() -> Rig:
        rig = Rig(Busy(), speech=[(2.0, 3.0), (9.0, 9.6)], keys=[(4.0, "5")], stt=FakeStt(["thanks"]))
        return await rig.run(13.0)

    rig = play(call())
    spoke = rig.of(AgentSpoke)
    (held,), (resumed,) = rig.of(CallHeld), rig.of(CallResumed)
    assert rig.control == ["hold", "resume"]
    assert (held.by, resumed.by) == ("agent", "agent")
    assert held.at >= spoke[0].at - 0.03
    assert resumed.at - held.at == pytest.approx(5.0, abs=0.05)
    assert [event.text for event in spoke[:2]] == ["One moment please.", "Here I am."]
    assert [turn.text for turn in rig.of(UserTurnCommitted)] == ["thanks"], (
        "neither the speech nor the key before"
    )
    assert [event.digit for event in rig.of(KeyPressed)] == ["5"]


def test_a_model_that_forgets_to_resume_does_not_leave_the_caller_with_the_music() -> None:
    """The hold tool lasts for the present answer at the longest."""

    async def call() -> Rig:
        agent = Agent(tools=PHONE_TOOLS.values())
        script: Script = [
            {"text": "One moment.", "tools": [{"name": "hold", "arguments": {}}]},
            "It is blue.",
        ]
        rig = Rig(
            agent, speech=[(1.0, 1.6), (8.0, 8.6)], stt=FakeStt(["which", "ok"]), llm=FakeLlm("Bye.", script)
        )
        return await rig.run(12.0)

    rig = play(call())
    assert rig.control == ["hold", "resume"]
    assert [event.text for event in rig.of(AgentSpoke)] == ["One moment. It is blue.", "Bye."]
    assert [turn.text for turn in rig.of(UserTurnCommitted)] == ["which", "ok"]


def test_a_phone_that_does_not_come_back_can_be_asked_again() -> None:
    """A re-INVITE that is refused leaves the call on hold (RFC 3261 §14.1); the model is told."""

    async def call() -> Rig:
        agent = Agent(tools=PHONE_TOOLS.values())
        steps: Script = [{"tools": [{"name": name, "arguments": {}}]} for name in ("hold", "resume")]
        rig = Rig(agent, speech=[(1.0, 1.6)], stt=FakeStt(["which"]), llm=FakeLlm("Hm.", [*steps, "Hm."]))
        rig.comes_back = False
        return await rig.run(6.0)

    rig = play(call())
    held, resumed = rig.of(ToolFinished)
    assert (held.ok, resumed.ok) == (True, False)
    assert "Try once more" in resumed.result
    assert rig.of(CallResumed) == []


def test_keys_that_the_agent_presses_are_on_record() -> None:
    """Row 58: with their pauses; as personal data, for they may be a card number."""

    async def call() -> Rig:
        agent = Agent(tools=PHONE_TOOLS.values())
        script: Script = [{"tools": [{"name": "send_digits", "arguments": {"digits": "ww12#"}}]}, "Done."]
        rig = Rig(agent, speech=[(1.0, 1.6)], stt=FakeStt(["go"]), llm=FakeLlm("Done.", script))
        return await rig.run(5.0)

    rig = play(call())
    assert rig.dialled == "ww12#"
    assert [event.pii_digits for event in rig.of(DigitsSent)] == ["ww12#"]
    assert rig.of(ToolFinished)[0].ok


def test_a_recording_is_paused_and_goes_on() -> None:
    """A card number is not kept (PCI DSS 3.2); the record says that, when, and that it went on."""

    async def call() -> Rig:
        agent = Agent(tools=PHONE_TOOLS.values())
        steps: Script = [
            {"tools": [{"name": f"{verb}_recording", "arguments": {}}]} for verb in ("pause", "resume")
        ]
        rig = Rig(agent, speech=[(1.0, 1.6)], stt=FakeStt(["card"]), llm=FakeLlm("Yes.", [*steps, "Yes."]))
        return await rig.run(5.0)

    rig = play(call())
    assert rig.control == ["pause recording", "resume recording"]
    assert [len(rig.of(RecordingPaused)), len(rig.of(RecordingResumed))] == [1, 1]


def test_a_call_that_is_not_recorded_pauses_nothing() -> None:
    """And says so to the model."""

    async def call() -> Rig:
        agent = Agent(tools=PHONE_TOOLS.values())
        script: Script = [{"tools": [{"name": "pause_recording", "arguments": {}}]}, "Yes."]
        rig = Rig(agent, speech=[(1.0, 1.6)], stt=FakeStt(["card"]), llm=FakeLlm("Yes.", script))
        rig.recorded = False
        return await rig.run(5.0)

    rig = play(call())
    assert rig.of(ToolFinished)[0].result == "This call is not recorded."
    assert rig.of(RecordingPaused) == []


def test_the_announcement_is_heard_in_full_before_the_recording_begins() -> None:
    """Consent: neither a voice nor a key cuts it short, and the greeting follows."""

    async def call() -> Rig:
        agent = Agent(greeting="Hello.")
        rig = Rig(
            agent,
            speech=[(0.2, 0.8), (4.0, 4.6)],
            keys=[(0.5, "1")],
            stt=FakeStt(["good day"]),
            llm=FakeLlm("Yes."),
            announcement="This call is recorded.",
        )
        return await rig.run(8.0)

    rig = play(call())
    announced, greeted, *_ = rig.of(AgentSpoke)
    (started,) = rig.of(RecordingStarted)
    assert (announced.text, announced.interrupted) == ("This call is recorded.", False)
    assert announced.at - 0.03 <= started.at < greeted.at
    assert greeted.text == "Hello."
    assert rig.control == ["resume recording"]
    assert [turn.text for turn in rig.of(UserTurnCommitted)] == ["good day"]


def test_a_caller_who_hangs_up_during_the_announcement_is_not_recorded() -> None:
    async def call() -> Rig:
        return await Rig(Agent(greeting="Hello."), announcement="This call is recorded.").run(0.5)

    rig = play(call())
    assert rig.of(RecordingStarted) == []
    assert rig.control == []


class Mute(FakeTts):
    """A voice whose provider is down."""

    async def open(self, voice: Voice) -> FakeTtsStream:
        raise ProviderError(self.name, "connectivity", "nobody answers. Choose another.")


def test_an_announcement_that_cannot_be_spoken_records_nothing() -> None:
    """The voice fails: the call goes on with the apology, and no agent can begin to record."""

    async def call() -> Rig:
        rig = Rig(Agent(), tts=Mute(8000, 50.0), announcement="This call is recorded.")
        return await rig.run(3.0)

    rig = play(call())
    assert rig.of(ProviderFailed)
    assert rig.of(RecordingStarted) == []
    assert not rig.session.resume_recording()
    assert rig.control == []
