"""The speech-to-speech model as a call's language model: it says its answers itself, and can write others.

Answers that are heard come through `aloud`; `chat` is for what nobody hears, such as a summary for the next agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.events import Event
from pipeline.ports import Known, Llm, LlmDelta, SpokenDelta, TextDelta, ToolSpec, Voice
from pipeline.realtime.answer import Answer
from pipeline.realtime.call import RealtimeCall
from pipeline.realtime.model import Ask

Choice = Literal["auto", "none", "required"]


class RealtimeLlm:
    """One agent's. voice: the agent's."""

    def __init__(self, call: RealtimeCall, voice: Voice) -> None:
        self.name = call.model.name
        self.voice = voice
        self._call = call

    @property
    def aloud(self) -> Llm:
        return _Aloud(self._call, self.voice)

    def follow(self, known: Known, emit: Callable[[Event], None]) -> None:
        self._call.follow(known, emit)

    async def chat(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), *, tool_choice: Choice = "auto"
    ) -> AsyncGenerator[LlmDelta, None]:
        def ask(tag: str) -> Ask:
            asked, system = list(messages), ""
            if asked and asked[0].role == "system":
                system = asked.pop(0).text
            return Ask(tag, tool_choice, False, True, system, tuple(asked), tuple(tools))

        call, answer = self._call, None
        call.hold()
        try:
            answer = await call.aside(None, ask)
            async for part in answer.words():
                yield TextDelta(part) if isinstance(part, str) else part
        finally:
            if answer is not None:
                call.cancel(answer)
            await call.release()


class _Aloud:
    def __init__(self, call: RealtimeCall, voice: Voice) -> None:
        self.name = call.model.name
        self._call, self._voice = call, voice

    async def chat(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), *, tool_choice: Choice = "auto"
    ) -> AsyncGenerator[LlmDelta, None]:
        """A connection that dies before it has said anything is replaced once; the caller hears nothing of it."""
        call: RealtimeCall = self._call
        answer: Answer | None = None
        call.hold()
        try:
            for last in (False, True):
                answer = await call.answer(self._voice, messages, tools, tool_choice)
                try:
                    async for part in answer.words():
                        yield SpokenDelta(part, answer) if isinstance(part, str) else part
                    return
                except ProviderError as error:
                    if last or answer.began or error.cause != "connectivity":
                        raise
        finally:
            if answer is not None:
                call.cancel(answer)
            await call.release()
