"""What a call takes of its providers is told turn by turn: tokens, seconds of sound, characters; of stand-ins too."""

from __future__ import annotations

from collections import defaultdict

import pytest

from pipeline.agent.agent import Agent
from pipeline.events import (
    AgentSpoke,
    AnswerDiscarded,
    Event,
    ModelUsed,
    RecogniserUsed,
    SessionClosed,
    UserTurnCommitted,
    VoiceUsed,
)
from pipeline.options import TurnHandling
from pipeline.ports import Usage
from pipeline.providers.resilient import FallbackLlm, FallbackStt, FallbackTts
from pipeline.testing import Says, VirtualCall
from pipeline.testing.virtual_clock import run
from tests.pipeline.flaky import FlakyLlm, FlakyStt, FlakyTts
from tests.pipeline.rig import Rig

GREETING = "Good morning, how may I help you?"


def _sums(rig: Rig) -> dict[str, float]:
    """By provider: seconds, characters and output tokens."""
    sums: defaultdict[str, float] = defaultdict(float)
    for event in rig.events:
        match event:
            case RecogniserUsed():
                sums[event.provider] += event.seconds
            case VoiceUsed():
                sums[event.provider] += event.characters
            case ModelUsed():
                sums[event.provider] += event.output_tokens
    return {name: round(amount, 2) for name, amount in sums.items()}


def test_every_turn_tells_the_sound_that_was_recognised_and_the_call_s_end_the_rest() -> None:
    """Silence costs as much as speech where a recogniser listens always."""

    async def call() -> Rig:
        stt = FlakyStt("ears")
        return await Rig(Agent(), speech=[(1.0, 2.0), (5.0, 6.0)], stt=stt, llm=FlakyLlm("m", "Yes.")).run(
            9.0
        )

    rig = run(call)
    told, turns = rig.of(RecogniserUsed), rig.of(UserTurnCommitted)
    assert [event.at for event in told[:2]] == [turn.at for turn in turns]
    assert told[0].seconds == pytest.approx(turns[0].at, abs=0.05)
    assert told[1].seconds == pytest.approx(turns[1].at - turns[0].at, abs=0.05)
    assert len(told) == 3 and _sums(rig)["ears"] == pytest.approx(rig.of(SessionClosed)[0].at, abs=0.05)


def test_a_reply_tells_the_characters_of_its_voice_also_when_it_was_interrupted() -> None:
    """What was synthesised is paid for, heard or not."""

    async def call() -> Rig:
        agent = Agent(greeting=GREETING)
        return await Rig(agent, speech=[(0.5, 1.5)], tts=FlakyTts("voice"), llm=FlakyLlm("m", "Yes.")).run(
            5.0
        )

    rig = run(call)
    assert rig.of(AgentSpoke)[0].interrupted
    assert [event.characters for event in rig.of(VoiceUsed)] == [len(GREETING), len("Yes.")]


def test_an_answer_that_nobody_heard_tells_its_tokens() -> None:
    """Made ahead of the turn's end for words that were not the last ones."""
    said = [Says("I would like", 1.0), Says("to pay my bill", 3.3)]
    options = TurnHandling(max_delay_ms=3000, min_delay_ms=1500)
    llm = FlakyLlm("model", "Sure.", usage=Usage(10, 3))
    call = VirtualCall(Agent(), said, llm=llm, options=options).play()
    assert len(call.of(UserTurnCommitted)) == 1
    discarded, used = call.of(AnswerDiscarded), call.of(ModelUsed)
    assert discarded and len(used) == len(discarded) + 1 == llm.fates.requests
    assert {event.provider for event in used} == {"model"}


def test_stand_ins_are_told_by_their_own_names() -> None:
    """The recogniser dies in the first turn, the voice in the first reply, the model at once: both of each are paid."""

    async def call() -> Rig:
        events: list[Event] = []
        stt = FallbackStt([FlakyStt("ear 1", "dies", after=80), FlakyStt("ear 2")], emit=events.append)
        llm = FallbackLlm(
            [
                FlakyLlm("model 1", "", "refused", cause="auth", usage=Usage(5, 2)),
                FlakyLlm("model 2", "From nine to five.", usage=Usage(7, 6)),
            ]
        )
        tts = FallbackTts([FlakyTts("voice 1", "dies", after=2), FlakyTts("voice 2")])
        return await Rig(Agent(), speech=[(1.0, 2.0)], stt=stt, llm=llm, tts=tts).run(7.0)

    rig = run(call)
    sums = _sums(rig)
    assert sums["ear 1"] == pytest.approx(1.62, abs=0.05)
    assert sums["ear 2"] == pytest.approx(rig.of(SessionClosed)[0].at - 1.62 + 1.0, abs=0.3), "heard again"
    assert (sums["model 1"], sums["model 2"]) == (2, 6)
    assert sums["voice 1"] == len("From nine to five.")
    assert sums["voice 2"] == len("nine to five."), "from the word on that was cut short"


def test_a_voice_that_is_asked_beside_a_slow_one_is_paid_as_well() -> None:
    async def call() -> Rig:
        tts = FallbackTts([FlakyTts("slow", "hangs"), FlakyTts("quick")])
        return await Rig(Agent(greeting=GREETING), tts=tts).run(6.0)

    sums = _sums(run(call))
    assert (sums["slow"], sums["quick"]) == (len(GREETING), len(GREETING))
