"""What a caller would hate, as a table: situations of turn-taking, the order in which things must happen, and a few
facts. Each is played a hundred times on the virtual clock (pipeline/testing/virtual_clock.py), the caller a fifth of a
millisecond later each time, and must always go the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.tools import function_tool
from pipeline.events import (
    AgentResumed,
    AgentSpoke,
    AgentStartedSpeaking,
    CallerInterrupted,
    CallerSilent,
    FillerSaid,
    ProviderFailed,
    SessionClosed,
    ToolFinished,
    TurnTooLong,
)
from pipeline.hearing.expectation import Expectation
from pipeline.options import Silence, TurnHandling
from pipeline.providers.fake import FakeLlm, FakeTts
from tests.pipeline.flaky import FlakyLlm, FlakyTts
from tests.pipeline.scene import Ear, Say, Scene, SceneRig, SyllablesTts, play

TIMES = 100
LATER_S = 0.0002
LONG = "Our offices are open from Monday to Friday, and on Saturday in the morning."
NOTICE = "This call is recorded and kept for ten years."
QUICK = TurnHandling(interrupt_after_ms=400)
MUTE = Ear(partials=False)  # a recogniser that tells nothing before its last word


def greeter(text: str = LONG) -> Agent:
    return Agent(greeting=text, keys={"1": "opening hours"})


class Notary(Agent):
    async def on_enter(self) -> None:
        self.session.say(NOTICE, allow_interruptions=False)


class Asking(Agent):
    async def on_enter(self) -> None:
        self.session.expect(Expectation.digits(4))
        self.session.say("Your number?")


@function_tool(timeout_s=30.0)
async def book() -> str:
    """Book."""
    await asyncio.sleep(2.0)
    return "booked"


def booking() -> FakeLlm:
    asks = {"text": "One moment.", "tools": [{"name": "book"}]}
    return FakeLlm("It is booked, for two.", script=[asks], delay_s=0.3)


def switchboard() -> Agent:
    return Agent(
        name="desk", handoffs={"billing": lambda: Agent(name="billing", greeting="This is billing.")}
    )


def moving() -> FakeLlm:
    move = {"text": "One moment.", "tools": [{"name": "hand_over", "arguments": {"agent": "billing"}}]}
    return FakeLlm("Yes.", script=[move], delay_s=0.3)


def both(*, turns: list[str], spoken: list[str] | None = None) -> Callable[[SceneRig], None]:
    def check(rig: SceneRig) -> None:
        assert rig.turns() == turns
        assert spoken is None or rig.spoken() == spoken

    return check


def unhurt(rig: SceneRig) -> None:
    """The greeting was heard in full, and nobody was answered."""
    assert rig.spoken() == [LONG]
    assert not rig.turns()
    assert not rig.of(CallerInterrupted)


def resumed(rig: SceneRig) -> None:
    unhurt(rig)
    assert len(rig.of(AgentResumed)) == 1


def early(rig: SceneRig) -> None:
    (cut,) = rig.of(CallerInterrupted)
    assert cut.at < 1.0
    assert rig.turns() == ["hello I want to pay"]


def patient(rig: SceneRig) -> None:
    assert [(event.asked, event.gave_up) for event in rig.of(CallerSilent)] == [
        (1, False),
        (2, False),
        (2, True),
    ]
    assert rig.of(SessionClosed)[0].reason == "caller_silent"


def music(rig: SceneRig) -> None:
    assert rig.of(TurnTooLong)[0].seconds == pytest.approx(60, abs=0.2)
    assert "too much noise" in rig.spoken()[1]
    assert not rig.turns()


def whole_number(rig: SceneRig) -> None:
    assert rig.turns() == ["one two three four"]
    assert rig.spoken() == ["Your number?", "That is fine."], "nobody talks into a number"


def filled(rig: SceneRig) -> None:
    assert [event.text for event in rig.of(FillerSaid)] == [
        "One moment, please.",
        "I am still working on it.",
    ]
    assert "went wrong" in rig.spoken()[-1]


def gives_up(rig: SceneRig) -> None:
    assert "Please call again later" in rig.spoken()[-1], "nobody hangs up without a word"
    assert rig.of(SessionClosed)[0].reason == "llm_failed"


def broken_voice(rig: SceneRig) -> None:
    assert rig.spoken()[0] == "This is a long answer"
    assert rig.said()[1] == ("assistant", "This is a long answer"), "what was not heard was not said"
    assert "went wrong" in rig.spoken()[1]


def tool_kept(rig: SceneRig) -> None:
    assert [event.result for event in rig.of(ToolFinished)] == ["booked"], "once"
    assert ("tool", "booked") in rig.said()
    assert rig.spoken()[-1] == "It is booked, for two."


def reopened(rig: SceneRig) -> None:
    assert [event.cause for event in rig.of(ProviderFailed)] == ["timeout"]
    assert rig.stt.opened == 2


def waits(rig: SceneRig) -> None:
    begun = rig.of(AgentStartedSpeaking)
    assert all(spoke.heard_ms <= 40 for spoke in rig.of(AgentSpoke)[:-1]), "one frame, and it fades"
    assert begun[-1].at > 3.5
    assert rig.turns() == ["how are you", "and the weather"]


SCENES = [
    Scene(
        "an answer",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you"),),
        seconds=3.5,
        checks=both(turns=["how are you"], spoken=["That is fine."]),
    ),
    Scene(
        "words over the agent",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerInterrupted AgentSpoke
        CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 2.6, "no wait I want to pay"),),
        seconds=4.1,
        checks=both(
            turns=["no wait I want to pay"], spoken=["Our offices are open from Monday", "That is fine."]
        ),
    ),
    Scene(
        "words over the agent with a breath in them, told at the end only",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking AgentPaused
        CallerStoppedSpeaking CallerStartedSpeaking CallerStoppedSpeaking CallerInterrupted AgentSpoke
        UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 2.1, "no wait"), Say(2.35, 3.0, "the other one")),
        ear=MUTE,
        options=QUICK,
        seconds=4.9,
        checks=both(turns=["no wait the other one"]),
    ),
    Scene(
        "two bits of a sentence over the agent",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerStoppedSpeaking
        AgentUnducked AgentDucked CallerStartedSpeaking CallerInterrupted AgentSpoke
        CallerStoppedSpeaking UserTurnCommitted AnswerDiscarded AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 1.75, "I want"), Say(1.95, 2.25, "to pay")),
        ear=Ear(partials=False, delay_s=0.2),
        seconds=4.2,
        checks=both(turns=["I want to pay"]),
    ),
    Scene(
        "a listening noise",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerStoppedSpeaking
        AgentUnducked NothingHeard AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 2.1, "mm-hmm okay"),),
        seconds=4.1,
        checks=unhurt,
    ),
    Scene(
        "a listening noise, told at the end only",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerStoppedSpeaking
        AgentUnducked NothingHeard AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 2.1, "mm-hmm okay"),),
        ear=MUTE,
        seconds=4.1,
        checks=unhurt,
    ),
    Scene(
        "a listening noise, told at the end only, to an agent that stops quickly",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking AgentPaused
        CallerStoppedSpeaking NothingHeard AgentResumed AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 2.1, "mm-hmm okay"),),
        ear=MUTE,
        options=QUICK,
        seconds=5.0,
        checks=resumed,
    ),
    Scene(
        "a listening noise of two words, the first of which is told alone",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerStoppedSpeaking
        AgentUnducked NothingHeard AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 2.5, "makes sense"),),
        seconds=4.1,
        checks=unhurt,
    ),
    Scene(
        "a cough",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerStoppedSpeaking
        AgentUnducked NothingHeard AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 1.62),),
        seconds=4.1,
        checks=unhurt,
    ),
    Scene(
        "a slamming door",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking AgentPaused
        CallerStoppedSpeaking NothingHeard AgentResumed AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 2.5),),
        seconds=5.3,
        checks=resumed,
    ),
    Scene(
        "a dog that barks for long",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking AgentPaused
        CallerStoppedSpeaking NothingHeard AgentResumed AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(1.5, 3.5),),
        seconds=6.4,
        checks=resumed,
    ),
    Scene(
        "a false start",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking CallerStartedSpeaking
        CallerStoppedSpeaking AnswerDiscarded UserTurnCommitted AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        says=(Say(1, 1.2, "I"), Say(1.45, 2.5, "I want to pay")),
        seconds=4.0,
        checks=both(turns=["I I want to pay"], spoken=["That is fine."]),
    ),
    Scene(
        "a long pause inside a turn",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking CallerStartedSpeaking
        CallerStoppedSpeaking AnswerDiscarded UserTurnCommitted AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        says=(Say(1, 2, "I would like"), Say(3.2, 4, "to pay it")),
        seconds=5.5,
        checks=both(turns=["I would like to pay it"], spoken=["That is fine."]),
    ),
    Scene(
        "a long pause inside a turn, known at the end only",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking CallerStartedSpeaking
        CallerStoppedSpeaking UserTurnCommitted AnswerDiscarded AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        says=(Say(1, 2, "I would like to"), Say(3.2, 4, "pay it")),
        ear=MUTE,
        seconds=5.9,
        checks=both(turns=["I would like to pay it"], spoken=["That is fine."]),
    ),
    Scene(
        "a number with pauses",
        """
        AgentEntered AgentStartedSpeaking AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking
        CallerStartedSpeaking CallerStoppedSpeaking AnswerDiscarded CallerStartedSpeaking
        CallerStoppedSpeaking AnswerDiscarded CallerStartedSpeaking CallerStoppedSpeaking
        UserTurnCommitted AnswerDiscarded AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=Asking,
        says=(Say(1.5, 2, "one"), Say(3, 3.3, "two"), Say(4.3, 4.6, "three"), Say(5.6, 5.9, "four")),
        seconds=7.5,
        checks=whole_number,
    ),
    Scene(
        "a number with pauses, told at their ends only",
        """
        AgentEntered AgentStartedSpeaking AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking
        CallerStartedSpeaking CallerStoppedSpeaking AnswerDiscarded CallerStartedSpeaking
        CallerStoppedSpeaking AnswerDiscarded CallerStartedSpeaking CallerStoppedSpeaking
        UserTurnCommitted AnswerDiscarded AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=Asking,
        says=(Say(1.5, 2, "one"), Say(3, 3.3, "two"), Say(4.3, 4.6, "three"), Say(5.6, 5.9, "four")),
        ear=MUTE,
        seconds=7.8,
        checks=whole_number,
    ),
    Scene(
        "our own voice comes back",
        """
        AgentEntered AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=greeter,
        tts=lambda: SyllablesTts(8000, 50.0),
        echo=0.1,
        seconds=4.0,
        checks=unhurt,
    ),
    Scene(
        "a caller speaks over our own voice that comes back",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerInterrupted AgentSpoke
        CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=greeter,
        tts=lambda: SyllablesTts(8000, 50.0),
        echo=0.1,
        says=(Say(1.5, 2.6, "no wait I want to pay"),),
        seconds=4.1,
        checks=both(turns=["no wait I want to pay"]),
    ),
    Scene(
        "hold music for a minute",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking AgentPaused
        CallerInterrupted AgentSpoke TurnTooLong CallerStoppedSpeaking AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        agent=greeter,
        says=(Say(1, 61),),
        silence=Silence(),
        seconds=65.1,
        checks=music,
    ),
    Scene(
        "a last word that never comes",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you"), Say(7, 8, "are you there")),
        ear=Ear(unanswered=frozenset({0})),
        seconds=9.5,
        checks=both(turns=["how are you", "are you there"]),
    ),
    Scene(
        "a last word that never comes, nothing told before",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you"), Say(7, 8, "are you there")),
        ear=Ear(partials=False, unanswered=frozenset({0})),
        seconds=9.8,
        checks=both(turns=["?", "are you there"]),
    ),
    Scene(
        "a recogniser that hangs",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted ProviderFailed
        AgentStartedSpeaking AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted
        AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "hello"), Say(7, 8, "hello"), Say(13, 14, "hello you")),
        ear=Ear(partials=False, unanswered=frozenset({0, 1})),
        seconds=15.8,
        checks=reopened,
    ),
    Scene(
        "a last word that comes late",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you"), Say(7, 8, "are you there")),
        ear=Ear(partials=False, late={0: 2.6}),
        seconds=9.8,
        checks=both(turns=["?", "are you there"]),
    ),
    Scene(
        "the caller speaks while the agent thinks",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted CallerStartedSpeaking
        CallerInterrupted CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        says=(Say(1, 2, "how are you"), Say(2.7, 3.5, "and the weather")),
        llm=lambda: FakeLlm("Fine.", delay_s=1.5),
        seconds=5.7,
        checks=both(turns=["how are you", "and the weather"], spoken=["Fine."]),
    ),
    Scene(
        "a listening noise while the agent thinks",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted CallerStartedSpeaking
        CallerStoppedSpeaking NothingHeard AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you"), Say(2.7, 3.1, "mm-hmm")),
        llm=lambda: FakeLlm("Fine.", delay_s=1.5),
        seconds=4.2,
        checks=both(turns=["how are you"], spoken=["Fine."]),
    ),
    Scene(
        "the caller goes on right after the turn was ended",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking CallerStartedSpeaking
        CallerStoppedSpeaking AnswerDiscarded UserTurnCommitted AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        says=(Say(1, 2, "how are you"), Say(2.5, 3.3, "and the weather")),
        ear=Ear(delay_s=0.3),
        seconds=4.9,
        checks=both(turns=["how are you and the weather"], spoken=["That is fine."]),
    ),
    Scene(
        "an answer that would begin while the caller speaks",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted CallerStartedSpeaking
        AgentStartedSpeaking AgentPaused CallerStoppedSpeaking CallerInterrupted AgentSpoke
        UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you"), Say(2.75, 3.5, "and the weather")),
        llm=lambda: FakeLlm("Fine.", delay_s=0.35),
        options=TurnHandling(preemptive=False),
        ear=MUTE,
        seconds=5.0,
        checks=waits,
    ),
    Scene(
        "a key while the agent speaks",
        """
        AgentEntered AgentStartedSpeaking KeyPressed CallerInterrupted AgentSpoke UserTurnCommitted
        AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=greeter,
        keys=((1.51, "1"),),
        seconds=2.9,
        checks=both(turns=["opening hours"], spoken=["Our offices are open from Monday", "That is fine."]),
    ),
    Scene(
        "a key while both speak",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking KeyPressed CallerInterrupted
        AgentSpoke UserTurnCommitted AgentStartedSpeaking AgentPaused CallerStoppedSpeaking NothingHeard
        AgentResumed AgentSpoke SessionClosed
        """,
        agent=greeter,
        keys=((1.51, "1"),),
        says=(Say(1.4, 2.0),),
        seconds=3.5,
        checks=both(turns=["opening hours"]),
    ),
    Scene(
        "barge-in in the first second",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerInterrupted AgentSpoke
        CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=greeter,
        says=(Say(0.3, 1.0, "hello I want to pay"),),
        seconds=2.5,
        checks=early,
    ),
    Scene(
        "speech over what must be heard",
        """
        AgentEntered AgentStartedSpeaking CallerStartedSpeaking CallerStoppedSpeaking AgentSpoke
        UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=Notary,
        says=(Say(1, 1.8, "I want to pay"),),
        seconds=3.7,
        checks=both(turns=["I want to pay"], spoken=[NOTICE, "That is fine."]),
    ),
    Scene(
        "speech over the end of what must be heard",
        """
        AgentEntered AgentStartedSpeaking CallerStartedSpeaking CallerStoppedSpeaking
        CallerStartedSpeaking AgentSpoke CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentSpoke SessionClosed
        """,
        agent=Notary,
        says=(Say(1, 1.4, "I want"), Say(1.9, 3.0, "to pay it")),
        seconds=4.5,
        checks=both(turns=["I want to pay it"], spoken=[NOTICE, "That is fine."]),
    ),
    Scene(
        "speech before what must be heard",
        """
        AgentEntered CallerStartedSpeaking AgentStartedSpeaking CallerStoppedSpeaking AgentSpoke
        UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=Notary,
        says=(Say(0.1, 1.4, "hello is anybody there"),),
        tts=lambda: FakeTts(8000, 50.0, delay_s=0.5),
        seconds=4.5,
        checks=both(turns=["hello is anybody there"], spoken=[NOTICE, "That is fine."]),
    ),
    Scene(
        "yes before the question is over",
        """
        AgentEntered AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerStoppedSpeaking
        AgentUnducked NothingHeard AgentSpoke UserTurnCommitted AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        agent=lambda: greeter("There is a table for two. Would you like to have it?"),
        says=(Say(1.7, 1.95, "yes"),),
        ear=Ear(delay_s=0.1),
        seconds=4.0,
        checks=both(turns=["yes"]),
    ),
    Scene(
        "two quick turns",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        AgentDucked CallerStartedSpeaking CallerInterrupted AgentSpoke CallerStoppedSpeaking
        UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        says=(Say(1, 1.6, "one thing"), Say(2.2, 2.8, "two things")),
        seconds=4.2,
        checks=both(turns=["one thing", "two things"]),
    ),
    Scene(
        "a caller who says nothing",
        """
        AgentEntered AgentStartedSpeaking AgentSpoke CallerSilent AgentStartedSpeaking AgentSpoke
        CallerSilent AgentStartedSpeaking AgentSpoke CallerSilent AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        agent=lambda: greeter("Hello."),
        silence=Silence(after_s=3.0),
        seconds=16,
        checks=patient,
    ),
    Scene(
        "a caller whose line only makes noise",
        """
        AgentEntered AgentStartedSpeaking AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking
        NothingHeard CallerSilent AgentStartedSpeaking AgentDucked CallerStartedSpeaking AgentSpoke
        AgentUnducked CallerStoppedSpeaking NothingHeard CallerStartedSpeaking CallerStoppedSpeaking
        NothingHeard CallerSilent AgentStartedSpeaking AgentDucked CallerStartedSpeaking
        CallerStoppedSpeaking AgentUnducked AgentSpoke NothingHeard CallerStartedSpeaking
        CallerStoppedSpeaking NothingHeard CallerSilent AgentStartedSpeaking AgentDucked
        CallerStartedSpeaking CallerStoppedSpeaking AgentUnducked NothingHeard AgentSpoke SessionClosed
        """,
        agent=lambda: greeter("Hello."),
        silence=Silence(after_s=3.0),
        says=tuple(Say(2.2 + 2.2 * n, 2.5 + 2.2 * n) for n in range(8)),
        seconds=18,
        checks=patient,
    ),
    Scene(
        "a tool is interrupted",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted ToolCalled
        AgentStartedSpeaking AgentDucked CallerStartedSpeaking CallerInterrupted AgentSpoke ToolFinished
        CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=lambda: Agent(tools=[book]),
        llm=booking,
        says=(Say(1, 2, "book it"), Say(3.9, 4.8, "and for two")),
        seconds=6.7,
        checks=tool_kept,
    ),
    Scene(
        "a handover while the caller speaks",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted ToolCalled
        ToolFinished AgentStartedSpeaking AgentDucked CallerStartedSpeaking AgentSpoke AgentUnducked
        AgentEntered AgentStartedSpeaking AgentPaused CallerInterrupted AgentSpoke CallerStoppedSpeaking
        UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        agent=switchboard,
        llm=moving,
        says=(Say(1, 2, "billing please"), Say(3.0, 4.2, "are you still there")),
        seconds=5.2,
        checks=both(turns=["billing please", "are you still there"]),
    ),
    Scene(
        "the recogniser fails inside a turn",
        """
        AgentEntered CallerStartedSpeaking ProviderFailed CallerStoppedSpeaking UserTurnCommitted
        AnswerDiscarded AgentStartedSpeaking AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking
        UserTurnCommitted AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        says=(Say(1, 2.5, "how are you today my friend"), Say(6, 7, "hello")),
        ear=Ear(dies_at=1.81),
        seconds=8.4,
        checks=both(turns=["how are you friend", "hello"]),
    ),
    Scene(
        "the recogniser fails inside a turn and has told nothing",
        """
        AgentEntered CallerStartedSpeaking ProviderFailed CallerStoppedSpeaking UserTurnCommitted
        AgentStartedSpeaking AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted
        AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you today"), Say(6, 7, "hello")),
        ear=Ear(partials=False, dies_at=1.81),
        seconds=8.8,
        checks=both(turns=["?", "hello"]),
    ),
    Scene(
        "a model that hangs",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted FillerSaid
        AgentStartedSpeaking FillerSaid ProviderFailed AgentSpoke AgentStartedSpeaking AgentSpoke
        SessionClosed
        """,
        says=(Say(1, 2, "how are you"),),
        llm=lambda: FlakyLlm("m", "Fine.", "hangs", "well"),
        seconds=13.9,
        checks=filled,
    ),
    Scene(
        "a model that fails again and again",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted ProviderFailed
        AgentStartedSpeaking AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted
        ProviderFailed AgentStartedSpeaking AgentSpoke CallerStartedSpeaking CallerStoppedSpeaking
        UserTurnCommitted ProviderFailed AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you"), Say(7.5, 8, "hello"), Say(14, 14.5, "hello")),
        llm=lambda: FlakyLlm("m", "Fine.", "refused"),
        seconds=22,
        checks=gives_up,
    ),
    Scene(
        "a voice that fails in the middle of a sentence",
        """
        AgentEntered CallerStartedSpeaking CallerStoppedSpeaking UserTurnCommitted AgentStartedSpeaking
        ProviderFailed AgentSpoke AgentStartedSpeaking AgentSpoke SessionClosed
        """,
        says=(Say(1, 2, "how are you"),),
        llm=lambda: FakeLlm("This is a long answer that goes on for quite a while.", delay_s=0.3),
        tts=lambda: FlakyTts("v", "dies", "well", after=5),
        seconds=7.4,
        checks=broken_voice,
    ),
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_goes_as_a_caller_would_wish_and_always_the_same_way(scene: Scene) -> None:
    """The order of events does not depend on where between two ticks of the clock the caller's deeds fall."""
    stories = {_digest(rig.story()): rig for rig in (play(scene, n * LATER_S) for n in range(TIMES))}
    first = play(scene)
    assert first.story() == scene.story.split(), first.told()
    scene.checks(first)
    others = [rig.told() for digest, rig in stories.items() if digest != _digest(first.story())]
    assert not others, f"{first.told()}\n\nbut also\n\n{others[0]}"


def test_a_caller_may_hang_up_at_any_moment() -> None:
    """While anybody speaks, thinks, waits or works: the call is over at once, and nothing happens afterwards."""
    scene = Scene(
        "everything",
        "",
        agent=lambda: Agent(tools=[book], greeting="Hello."),
        llm=booking,
        says=(Say(1, 2, "book it"), Say(3.9, 4.8, "and for two")),
        keys=((5.5, "1"),),
        silence=Silence(after_s=2.0),
        seconds=14,
    )
    for tenth in range(130):
        at = tenth / 10 + 0.03
        rig = play(replace(scene, hangs_up_at=at))
        last = rig.events[-1]
        assert isinstance(last, SessionClosed), rig.told()
        assert last.reason == "caller_hung_up", rig.told()
        tool_s = max((event.at - at for event in rig.of(ToolFinished)), default=0.0)  # it is not torn in half
        assert last.at - at <= max(0.05, tool_s + 0.02), rig.told()
        assert len(rig.of(SessionClosed)) == 1


def _digest(story: list[str]) -> str:
    return sha256(" ".join(story).encode()).hexdigest()
