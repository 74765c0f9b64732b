"""Whole conversations while a recogniser, a model or a voice fails: the caller must not notice."""

from __future__ import annotations

from functools import cache

import pytest

from pipeline.agent.agent import Agent
from pipeline.events import (
    AgentSpoke,
    AgentStartedSpeaking,
    ProviderFailed,
    ProviderSwitched,
    SessionClosed,
    UserTurnCommitted,
)
from pipeline.ports import Llm, Stt, Tts
from pipeline.providers.resilient import FallbackLlm, FallbackStt, FallbackTts, Member
from pipeline.testing.virtual_clock import run
from tests.pipeline.flaky import Fate, FlakyLlm, FlakyStt, FlakyTts
from tests.pipeline.rig import Rig

EXTRA_S = 2.0  # of silence that a failing provider may cost
REPLY = "We are open from nine to five. Is there anything else I can do?"
TURNS = [(2.0, 3.0), (10.0, 11.0)]


async def _call(stt: list[Stt], llm: list[Llm], tts: list[Tts], seconds: float = 22.0) -> Rig:
    """Two turns. The first provider of each kind is the one that fails."""
    rig = Rig(
        Agent(),
        speech=TURNS,
        stt=FallbackStt(stt, emit=lambda event: rig.events.append(event)),
        llm=FallbackLlm(llm, emit=lambda event: rig.events.append(event)),
        tts=FallbackTts(tts, emit=lambda event: rig.events.append(event)),
    )
    return await rig.run(seconds)


def _play(stt: list[Stt] | None = None, llm: list[Llm] | None = None, tts: list[Tts] | None = None) -> Rig:
    ears: list[Stt] = stt or [FlakyStt("ear")]
    models: list[Llm] = llm or [FlakyLlm("model", REPLY)]
    voices: list[Tts] = tts or [FlakyTts("voice")]
    return run(lambda: _call(ears, models, voices))


def _delays(rig: Rig) -> list[float]:
    """From the end of each turn to the first packet of its answer, s."""
    return [(event.response_delay_ms or 0.0) / 1000 for event in rig.of(AgentStartedSpeaking)]


def _gaps(rig: Rig, since: float, until: float) -> float:
    """The longest silence between two packets of speech within that time, s."""
    spoken = [tick for tick, heard in enumerate(rig.heard) if heard and since <= tick / 50 < until]
    return max(later - earlier for earlier, later in zip(spoken, spoken[1:], strict=False)) / 50


@cache
def _healthy() -> list[float]:
    return _delays(_play())


def _served(rig: Rig, kind: str) -> None:
    """Both turns were understood and answered in full, in time, and the call went on."""
    assert len(rig.of(UserTurnCommitted)) == 2
    assert [event.text for event in rig.of(AgentSpoke)] == [REPLY, REPLY]
    assert rig.of(SessionClosed)[0].reason == "test_over"
    assert rig.of(ProviderFailed) == []
    assert {event.kind for event in rig.of(ProviderSwitched)} == {kind}
    for delay, healthy in zip(_delays(rig), _healthy(), strict=True):
        assert delay < healthy + EXTRA_S


@pytest.mark.parametrize("fate", ["refused", "raises", "hangs"])
def test_a_model_that_dies_before_its_answer_costs_less_than_two_seconds_of_silence(fate: Fate) -> None:
    _served(_play(llm=[FlakyLlm("first", "No.", fate), FlakyLlm("second", REPLY)]), "llm")


@pytest.mark.parametrize("fate", ["refused", "raises", "hangs", "ends"])
def test_a_voice_that_makes_no_sound_costs_less_than_two_seconds_of_silence(fate: Fate) -> None:
    _served(_play(tts=[FlakyTts("first", fate), FlakyTts("second")]), "tts")


@pytest.mark.parametrize("fate", ["dies", "raises", "hangs", "ends"])
def test_a_voice_that_dies_in_mid_reply_is_not_noticed(fate: Fate) -> None:
    """Another voice goes on with the same word, before what was made has been played."""
    rig = _play(tts=[FlakyTts("first", fate, after=3), FlakyTts("second", rate_hz=22050)])
    _served(rig, "tts")
    assert _gaps(rig, 3.0, 9.0) < EXTRA_S


@pytest.mark.parametrize("fate", ["dies", "raises", "hangs", "ends"])
def test_a_recogniser_that_dies_in_mid_turn_loses_no_word_and_costs_less_than_two_seconds(fate: Fate) -> None:
    rig = _play(stt=[FlakyStt("first", fate, after=130), FlakyStt("second")])
    _served(rig, "stt")
    assert [event.text for event in rig.of(UserTurnCommitted)] == ["50", "50"]


@pytest.mark.parametrize(
    ("fates", "speech"),
    [
        (("dies", "well"), (2.0, 3.0)),  # opened again in mid-turn
        (("dies", "refused", "well"), (2.0, 2.4)),  # opened again when the caller has said all
    ],
)
def test_what_is_said_while_a_lone_recogniser_is_opened_again_is_heard(
    fates: tuple[Fate, ...], speech: tuple[float, float]
) -> None:
    async def call() -> Rig:
        ear = FlakyStt("ear", *fates, after=90)  # 1.8 s
        voice, model = FlakyTts("voice"), FlakyLlm("model", REPLY)
        return await Rig(Agent(), speech=[speech], stt=ear, llm=model, tts=voice).run(10.0)

    rig = run(call)
    assert [event.text for event in rig.of(UserTurnCommitted)] == [f"{round((speech[1] - speech[0]) * 50)}"]
    assert len(rig.of(ProviderFailed)) == len(fates) - 1
    assert [event.text for event in rig.of(AgentSpoke)] == [REPLY]


def test_all_three_may_fail_in_one_call() -> None:
    rig = _play(
        stt=[FlakyStt("ear", "dies", after=130), FlakyStt("other ear")],
        llm=[FlakyLlm("model", "", "refused"), FlakyLlm("other model", REPLY)],
        tts=[FlakyTts("voice", "dies", after=3), FlakyTts("other voice")],
    )
    assert [event.text for event in rig.of(AgentSpoke)] == [REPLY, REPLY]
    assert {event.kind for event in rig.of(ProviderSwitched)} == {"stt", "llm", "tts"}
    assert rig.of(ProviderFailed) == []


def test_the_second_call_of_a_worker_does_not_wait_for_a_model_that_is_known_to_hang() -> None:
    """The first call found out in its two turns; the breaker is shared."""
    members = [Member[Llm](FlakyLlm("first", "", "hangs")), Member[Llm](FlakyLlm("second", REPLY))]

    async def calls() -> list[Rig]:
        first = Rig(Agent(), speech=TURNS, stt=FlakyStt("ear"), llm=FallbackLlm(members), tts=FlakyTts("v"))
        await first.run(18.0)
        second = Rig(
            Agent(), speech=[(2.0, 3.0)], stt=FlakyStt("ear"), llm=FallbackLlm(members), tts=FlakyTts("v")
        )
        return [first, await second.run(8.0)]

    first, second = run(calls)
    assert all(delay > healthy + 1.0 for delay, healthy in zip(_delays(first), _healthy(), strict=True))
    assert _delays(second)[0] < _healthy()[0] + 0.05


def test_a_model_that_dies_in_the_middle_of_its_answer_is_excused_and_the_call_goes_on() -> None:
    """What was said cannot be taken back: the agent apologises, and answers the next turn."""
    rig = _play(llm=[FlakyLlm("first", REPLY, "dies", "well", after=8), FlakyLlm("second", REPLY)])
    spoke = [event.text for event in rig.of(AgentSpoke)]
    assert any("went wrong" in text for text in spoke)
    assert spoke[-1] == REPLY
    assert rig.of(SessionClosed)[0].reason == "test_over"
