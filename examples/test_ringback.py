"""How the agent in ringback.py is tested: with a line that gives signals."""

from __future__ import annotations

import pytest

from examples.ringback import GREETING, MESSAGE, NOBODY, Caller
from pipeline.events import ToneHeard
from pipeline.testing import Signals, VirtualCall, agent_begins


def test_a_machine_gets_the_whole_message_behind_its_beep() -> None:
    call = VirtualCall(Caller(), [Signals("beep", at=agent_begins() + 1.0)]).play()
    call.result.expect.message(interrupted=True).message(text=MESSAGE, interrupted=False).over("message_left")
    assert [event.kind for event in call.of(ToneHeard)] == ["beep"]


@pytest.mark.parametrize("kind", NOBODY)
def test_a_line_without_anybody_is_let_go(kind: str) -> None:
    call = VirtualCall(Caller(), [Signals(kind, at=agent_begins() + 0.5)]).play()
    assert call.phone.hung_up == f"nobody_there_{kind}"


def test_a_person_is_talked_to() -> None:
    call = VirtualCall(Caller(), []).play(4.0)
    assert call.transcript() == [("agent", GREETING)] and not call.phone.hung_up
