"""For tests of agents, and of Offhook itself: shipped, and documented in docs/testing.md.

text           TextCall: a dialogue in words, no sound and no waiting
call           VirtualCall: a caller who speaks, presses and coughs at given moments, on a virtual clock
caller         what that caller does, and when
story, expect  what happened, and assertions about it
mocking        other functions in the place of an agent's tools
judging        a judge for tests of tests; pipeline/judging.py and rubrics.py are the real ones
virtual_clock  time that jumps
speaker, phone the two sides of a phone without a phone

Nothing that runs in production imports this.
"""

from pipeline.judging import Verdict, judge
from pipeline.rubrics import RUBRICS, Verdicts, judge_all
from pipeline.testing.call import VirtualCall
from pipeline.testing.caller import (
    HangsUp,
    Holds,
    Moment,
    Noise,
    Presses,
    Says,
    Signals,
    agent_begins,
    agent_stops,
    caller_stops,
    sentence,
)
from pipeline.testing.expect import Result
from pipeline.testing.judging import FakeJudge
from pipeline.testing.mocking import MockedTool, mock_tools
from pipeline.testing.phone import FakePhone
from pipeline.testing.text import TextCall
from pipeline.testing.virtual_clock import on_virtual_clock

__all__ = [
    "RUBRICS",
    "FakeJudge",
    "FakePhone",
    "HangsUp",
    "Holds",
    "MockedTool",
    "Moment",
    "Noise",
    "Presses",
    "Result",
    "Says",
    "Signals",
    "TextCall",
    "Verdict",
    "Verdicts",
    "VirtualCall",
    "agent_begins",
    "agent_stops",
    "caller_stops",
    "judge",
    "judge_all",
    "mock_tools",
    "on_virtual_clock",
    "sentence",
]
