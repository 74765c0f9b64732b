"""The soft sound of an agent that thinks: when it begins, when it ends, and that it is no speech."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.tools import function_tool
from pipeline.events import AgentSpoke, AgentStartedSpeaking, CallerInterrupted, CallerStartedSpeaking
from pipeline.options import ThinkingSound, TurnHandling
from pipeline.providers.fake import FakeLlm
from pipeline.testing.virtual_clock import run
from tests.pipeline.rig import Rig

QUIET = TurnHandling(filler_after_ms=0, preemptive=False)


class Listener(Rig):
    """sounded: when the phone was told to play and to stop, in s."""

    def __init__(self, *args: Any, **how: Any) -> None:
        self.sounded: list[tuple[float, str]] = []
        super().__init__(*args, **how)

    def think(self, sound: ThinkingSound | None) -> None:
        super().think(sound)
        self.sounded.append((asyncio.get_running_loop().time(), self.thinking))


def play(call: Coroutine[Any, Any, Rig]) -> Any:
    return run(lambda: call)


def asked(agent: Agent, llm: FakeLlm, **how: Any) -> Listener:
    async def call() -> Rig:
        return await Listener(agent, llm=llm, options=QUIET, **{"speech": [(1.0, 2.0)], **how}).run(9.0)

    rig: Listener = play(call())
    return rig


def test_it_begins_when_the_model_is_slow_and_ends_with_the_first_packet_of_the_answer() -> None:
    rig = asked(Agent(thinking_sound="typing"), FakeLlm("Fine.", delay_s=2.0))
    (began, name), (ended, nothing) = rig.sounded
    (first,) = rig.of(AgentStartedSpeaking)
    assert (name, nothing) == ("typing", "")
    assert began == pytest.approx(2.4 + 0.8, abs=0.05), "the turn's end, and 800 ms"
    assert ended == pytest.approx(first.at, abs=0.001)


def test_a_quick_answer_needs_none_and_neither_does_an_agent_that_is_not_told() -> None:
    assert not asked(Agent(thinking_sound="tick"), FakeLlm("Fine.", delay_s=0.3)).sounded
    assert not asked(Agent(), FakeLlm("Fine.", delay_s=3.0)).sounded


def test_it_is_heard_while_a_tool_runs_behind_words_of_the_agent() -> None:
    @function_tool
    async def look_up() -> str:
        """Look up."""
        await asyncio.sleep(3.0)
        return "found"

    script: list[Any] = [{"text": "One moment.", "tools": [{"name": "look_up"}]}, "Here it is."]
    rig = asked(Agent(tools=[look_up], thinking_sound="typing"), FakeLlm(script=script))
    (began, _), (ended, _) = rig.sounded
    assert 1.0 < ended - began < 3.0
    assert [text for role, text in rig.said() if role == "assistant"] == ["One moment.", "Here it is."]


def test_a_caller_who_speaks_ends_it_and_it_begins_anew_after_their_turn() -> None:
    rig = asked(
        Agent(thinking_sound={"sound": "tick", "after_ms": 400}),
        FakeLlm("Fine.", delay_s=2.5),
        speech=[(1.0, 2.0), (3.5, 4.5)],
    )
    starts, (spoke_again,) = rig.sounded, [e.at for e in rig.of(CallerStartedSpeaking) if e.at > 3]
    assert [name for _, name in starts] == ["tick", "", "tick", ""]
    assert starts[1][0] == pytest.approx(spoke_again, abs=0.021)
    assert starts[2][0] > 4.5


def test_it_moves_no_position_and_is_in_no_history() -> None:
    """The same call with and without: what the agent is known to have said is the same to the packet."""
    with_sound = asked(Agent(thinking_sound="typing"), FakeLlm("Fine, thanks.", delay_s=2.0))
    without = asked(Agent(), FakeLlm("Fine, thanks.", delay_s=2.0))
    assert with_sound.out.played == without.out.played
    assert with_sound.events == without.events and with_sound.said() == without.said()
    assert not with_sound.of(CallerInterrupted) and len(with_sound.of(AgentSpoke)) == 1


def test_it_ends_with_the_call() -> None:
    async def call() -> Rig:
        rig = Listener(
            Agent(thinking_sound="typing"),
            speech=[(1.0, 2.0)],
            llm=FakeLlm("Fine.", delay_s=7.0),
            options=QUIET,
        )
        asyncio.get_running_loop().call_at(5.0, lambda: rig.session.close("caller_hung_up"))
        return await rig.run(6.0)

    assert [name for _, name in play(call()).sounded] == ["typing", ""]


@pytest.mark.parametrize("given", [{"sound": "tick", "level_db": 3}, {"after": 1}, 7])
def test_what_cannot_be_meant_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="ThinkingSound"):
        Agent(thinking_sound=given)
