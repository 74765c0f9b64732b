"""Who speaks when, and over whom: a caller that keeps to moments of the call, on a virtual clock."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.agent.agent import Agent
from pipeline.events import (
    AgentDucked,
    AgentPaused,
    AgentResumed,
    AgentStartedSpeaking,
    CallerInterrupted,
    CallerPartlyHeard,
    CallerStartedSpeaking,
    CallHeld,
    CallResumed,
    NothingHeard,
    UserTurnCommitted,
)
from pipeline.options import TurnHandling
from pipeline.providers.fake import FakeLlm
from pipeline.testing import (
    HangsUp,
    Holds,
    Noise,
    Presses,
    Says,
    VirtualCall,
    agent_begins,
    agent_stops,
    caller_stops,
    sentence,
)
from pipeline.testing.caller import CallerStt

GREETING = "Welcome to the clinic. This call is recorded. How can I help you today?"


def test_what_the_caller_says_is_understood_and_answered() -> None:
    call = VirtualCall(
        Agent(name="desk", greeting=GREETING),
        [Says("I want to pay", at=agent_stops() + 0.5)],
        llm=FakeLlm("Gladly."),
    ).play()
    assert call.transcript() == [("agent", GREETING), ("caller", "I want to pay"), ("agent", "Gladly.")]
    call.result.expect.message(text=GREETING).message(role="user", text="I want to pay").message(
        text="Gladly."
    )
    call.result.expect.over("test_over").no_more()
    assert [event.text for event in call.of(CallerPartlyHeard)] == [
        "I",
        "I want",
        "I want to",
        "I want to pay",
    ]
    (delay,) = call.latencies_ms
    assert 300 < delay < 700


def test_the_caller_speaks_so_long_after_the_greeting_began() -> None:
    call = VirtualCall(Agent(greeting=GREETING), [Says("stop", at=agent_begins() + 2.0)]).play()
    began = call.of(AgentStartedSpeaking)[0].at
    (cut,) = call.of(CallerInterrupted)
    assert cut.spoke_since == pytest.approx(began + 2.0, abs=0.07)


def test_the_caller_speaks_into_a_sentence() -> None:
    call = VirtualCall(Agent(greeting=GREETING), [Says("no recording", at=sentence("recorded") + 0.3)]).play()
    begun = dict(call.sentences)
    assert begun["This call is recorded."] == pytest.approx(len("Welcome to the clinic.") * 0.05, abs=0.08)
    assert call.of(CallerStartedSpeaking)[0].since == pytest.approx(
        begun["This call is recorded."] + 0.3, abs=0.07
    )
    call.result.expect.message(interrupted=True, contains="This").message(role="user", text="no recording")


def test_one_utterance_may_follow_another() -> None:
    acts = [Says("I would like", at=1.0), Says("to pay", at=caller_stops() + 0.25)]
    call = VirtualCall(Agent(), acts, llm=FakeLlm("Sure.")).play()
    assert [event.text for event in call.of(UserTurnCommitted)] == ["I would like to pay"]


def test_what_is_misheard_is_misheard() -> None:
    call = VirtualCall(
        Agent(), [Says("a bill", at=1.0, heard_as="a pill")], stt=CallerStt(partials=False)
    ).play()
    assert [event.text for event in call.of(UserTurnCommitted)] == ["a pill"]
    assert not call.of(CallerPartlyHeard)


def test_a_slamming_door_stops_the_agent_only_for_a_moment() -> None:
    call = VirtualCall(Agent(greeting=GREETING), [Noise(at=1.0, seconds=1.0)]).play()
    assert len(call.of(AgentPaused)) == 1
    assert len(call.of(AgentResumed)) == 1
    assert not call.of(CallerInterrupted)
    assert call.transcript() == [("agent", GREETING)]


def test_a_soft_noise_is_not_noticed() -> None:
    call = VirtualCall(Agent(greeting=GREETING), [Noise(at=1.0, seconds=0.5, level_db=-60.0)]).play()
    assert not call.of(AgentDucked) and not call.of(NothingHeard)


def test_keys_are_pressed_one_after_the_other() -> None:
    call = VirtualCall(Agent(), [Presses("12#", at=1.0)], llm=FakeLlm("Thanks.")).play()
    (turn,) = call.of(UserTurnCommitted)
    assert (turn.text, turn.by) == ("12", "keys")
    assert turn.at == pytest.approx(1.6, abs=0.03)


def test_a_caller_who_holds_us_is_not_heard() -> None:
    call = VirtualCall(Agent(), [Holds(at=1.0, seconds=3.0), Says("hello", at=2.0)]).play(6.0)
    (held,), (resumed,) = call.of(CallHeld), call.of(CallResumed)
    assert resumed.at - held.at == pytest.approx(3.0, abs=0.03)
    assert not call.of(UserTurnCommitted)


def test_a_caller_who_hangs_up_ends_the_call_at_once() -> None:
    call = VirtualCall(Agent(greeting=GREETING), [HangsUp(at=agent_begins() + 1.0)]).play()
    call.result.expect.message(interrupted=True).over("caller_hung_up").no_more()
    assert len(call.heard) == pytest.approx(51, abs=3)


def test_what_the_agent_does_to_the_call_is_on_the_phone() -> None:
    bye = {"text": "Goodbye.", "tools": [{"name": "hang_up"}]}
    call = VirtualCall(Agent(), [Says("bye", at=1.0)], llm=FakeLlm(script=[bye])).play()
    assert call.phone.hung_up == "agent_hung_up"
    assert call.heard[-2:] == [True, False]


def test_a_moment_that_never_comes_fails_the_test_with_its_story() -> None:
    call = VirtualCall(Agent(name="desk", greeting="Hello."), [Says("yes", at=sentence("really sure"))])
    with pytest.raises(AssertionError, match=r"in vain.*sentence 'really sure'(.|\n)*agent desk: \"Hello.\""):
        call.play(5.0)


def test_an_overlap_has_the_same_events_in_a_hundred_runs() -> None:
    """Interruption, listening noise, noise, a pause within a turn, keys: nothing is left to chance."""

    def once() -> str:
        acts = [
            Noise(at=0.5, seconds=0.3),
            Says("mm-hmm", at=sentence("recorded") + 0.1),
            Says("no wait", at=sentence("How can I") + 0.4),
            Says("I want", at=agent_stops(2) + 0.3),
            Says("to pay", at=caller_stops(3) + 0.3),
            Presses("42", at=agent_begins(3) + 0.2),
        ]
        options = TurnHandling(profile="fast", interrupt_after_ms=200)
        llm = FakeLlm("And now for something quite different.", delay_s=0.1)
        return repr(VirtualCall(Agent(greeting=GREETING), acts, llm=llm, options=options).play(12.0).events)

    runs = Counter(once() for _ in range(100))
    assert len(runs) == 1
    (events,) = runs
    assert "CallerInterrupted" in events and "KeyPressed" in events
