"""Messages that callers leave after the beep, on a virtual clock: when they are over, and what is known of them."""

from __future__ import annotations

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.phone import PHONE_TOOLS
from pipeline.events import AgentSpoke, MessageTaken, ToolFinished, UserTurnCommitted
from pipeline.message import TO_BEGIN_S, LeavingMessage
from pipeline.providers.fake import FakeLlm
from pipeline.testing.virtual_clock import run
from tests.pipeline.rig import Rig

ASK = {"text": "Please speak after the beep.", "tools": [{"name": "take_message", "arguments": {}}]}


def leave(
    *speech: tuple[float, float],
    keys: list[tuple[float, str]] | None = None,
    recorded: bool = True,
    until: float = 60.0,
) -> Rig:
    """The caller asks at 1.5 s; the beep comes at about 5 s."""

    async def call() -> Rig:
        agent = Agent(greeting="Hello.", tools=[PHONE_TOOLS["take_message"]])
        rig = Rig(agent, speech=[(1.5, 2.5), *speech], keys=keys or [], llm=FakeLlm(script=[ASK, "Goodbye."]))
        rig.recorded = recorded
        return await rig.run(until)

    return run(call)


def taken(rig: Rig) -> MessageTaken:
    (message,) = rig.of(MessageTaken)
    return message


def test_a_message_is_over_when_the_caller_has_been_silent() -> None:
    """A pause for thought does not end it; the agent hears nothing of it, answers no word of it, and says goodbye."""
    rig = leave((7.0, 10.0), (12.0, 15.0))
    assert (taken(rig).ended_by, taken(rig).spoken, taken(rig).file) == ("silence", True, "message-1.wav")
    assert taken(rig).at == pytest.approx(19.0, abs=0.1)
    assert rig.control == ["beep", "message over"]
    assert len(rig.of(UserTurnCommitted)) == 1, "the message is no turn"
    assert rig.of(AgentSpoke)[-1].text.endswith("Goodbye.")


@pytest.mark.parametrize(
    ("speech", "keys", "until", "ended_by", "spoken"),
    [
        ([], [], 60.0, "silence", False),
        ([(7.0, 10.0)], [(9.0, "#")], 60.0, "key", True),
        ([(7.0, 200.0)], [], 200.0, "max_length", True),
        ([(7.0, 10.0)], [], 9.0, "hang_up", True),
    ],
)
def test_how_a_message_ends(
    speech: list[tuple[float, float]],
    keys: list[tuple[float, str]],
    until: float,
    ended_by: str,
    spoken: bool,
) -> None:
    rig = leave(*speech, keys=keys, until=until)
    assert (taken(rig).ended_by, taken(rig).spoken) == (ended_by, spoken)
    assert rig.control == ["beep", "message over"], "the file is closed in any case"


def test_a_call_without_a_folder_takes_no_message_and_the_model_knows() -> None:
    rig = leave(recorded=False)
    assert not rig.of(MessageTaken)
    (told,) = rig.of(ToolFinished)
    assert not told.ok and "No message can be recorded" in told.result


def test_a_caller_may_think_before_the_first_word() -> None:
    message = LeavingMessage(60.0, 2.0, began=10.0)
    assert message.over(0.0, 10.0 + TO_BEGIN_S - 0.1) == ""
    assert message.over(0.9, 15.0) == ""
    assert message.over(0.0, 16.9) == ""
    assert message.over(0.0, 17.0) == "silence"
