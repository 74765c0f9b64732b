"""A judge for tests of tests; the real one is pipeline/judging.py."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal

from pipeline.agent.history import Message
from pipeline.judging import Outcome
from pipeline.ports import LlmDelta, TextDelta, ToolSpec


class FakeJudge:
    """An Llm that judges by a list: a part of the expectation → outcome. asked: how often it was asked."""

    name = "fake-judge"

    def __init__(
        self,
        verdicts: Mapping[str, Outcome] | None = None,
        *,
        otherwise: Outcome = "unsure",
        lines: Sequence[int] = (),
    ) -> None:
        self.asked = 0
        self._verdicts, self._otherwise, self._lines = dict(verdicts or {}), otherwise, list(lines)

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        self.asked += 1
        question = messages[-1].text.partition("\n")[0]
        outcome = next((found for part, found in self._verdicts.items() if part in question), self._otherwise)
        yield TextDelta(json.dumps({"verdict": outcome, "reason": "as told", "lines": self._lines}))
