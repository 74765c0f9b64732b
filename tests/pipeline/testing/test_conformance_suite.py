"""The conformance suite itself: it passes whoever keeps the contract, and finds each fault of those who do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Literal

import pytest

from pipeline.agent.history import Message
from pipeline.errors import ProviderError
from pipeline.ports import LlmDelta, SpeechChunk, TextDelta, ToolSpec, Usage, Voice
from pipeline.providers.fake import FakeTts, FakeTtsStream
from pipeline.providers.registry import Kind
from pipeline.testing.conformance import CHECKS, Check, NotConforming, Subject, checks_for, examine
from tests.pipeline.providers.troubled import TroubledLlm, TroubledServer, TroubledStt, TroubledTts


def subject(kind: Kind) -> Subject:
    server = TroubledServer()

    def make(text: str) -> object:
        if kind == "tts":
            return TroubledTts(server)
        return TroubledStt(server, text) if kind == "stt" else TroubledLlm(server, text)

    return Subject(kind, make, server)


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.kind != "vad"], ids=lambda check: f"{check.kind}-{check}"
)
async def test_a_provider_that_keeps_the_contract_passes_every_check(check: Check) -> None:
    result = await examine(subject(check.kind), check)
    assert result.verdict == "passed", result


async def fails(kind: Kind, name: str, make: Callable[[TroubledServer, str], object]) -> str:
    """What the check `name` has to say about a faulty provider. make(server, text)."""
    server = TroubledServer()
    (check,) = [check for check in checks_for(kind) if check.name == name]
    result = await examine(Subject(kind, lambda text: make(server, text), server), check)
    assert result.verdict == "failed", result
    with pytest.raises(NotConforming, match=name):
        result.must_pass()
    return result.why


Fault = Literal["in one piece", "counts nothing", "swallows", "leaks", "raises", "retries", "cuts", "lingers"]


class FaultyLlm(TroubledLlm):
    """Keeps the contract but for one thing."""

    fault: Fault
    left: asyncio.Task[bool] | None = None

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        if self.fault == "in one piece":
            yield TextDelta(self._reply)
            return
        if self.fault == "lingers":
            self.left = asyncio.create_task(asyncio.Event().wait(), name="keep the socket")
        answer = super().chat(messages, tools, tool_choice=tool_choice)
        if self.fault == "retries":
            with suppress(ProviderError):
                async for delta in super().chat(messages):
                    yield delta
                return
        try:
            async for delta in answer:
                if not (self.fault == "counts nothing" and isinstance(delta, Usage)):
                    yield delta
        except ProviderError as error:
            if self.fault == "leaks":
                raise ProviderError("faulty", error.cause, "refused") from RuntimeError(self._server.secret)
            if self.fault == "raises":
                raise KeyError("choices") from None
            if self.fault != "cuts":
                raise
        except asyncio.CancelledError:
            if self.fault != "swallows":
                raise
            done = asyncio.Event()
            asyncio.get_running_loop().call_later(0.2, done.set)
            await done.wait()  # says goodbye to a dead server
            raise


@pytest.mark.parametrize(
    ("fault", "check", "said"),
    [
        ("in one piece", "streaming", "in one piece"),
        ("counts nothing", "usage", "here 0 times"),
        ("swallows", "cancel_waiting", "ms, 50 are allowed"),
        ("leaks", "secrets", "a traceback quotes the key"),
        ("raises", "error_quota", "it raised KeyError"),
        ("retries", "asks_once", "one request became 2"),
        ("cuts", "truncated", "there was no ProviderError"),
        ("cuts", "drops", "there was no ProviderError"),
        ("lingers", "streaming", "left tasks behind: keep the socket"),
    ],
)
async def test_a_model_that_breaks_the_contract_is_told_where(fault: Fault, check: str, said: str) -> None:
    made: list[FaultyLlm] = []

    def make(server: TroubledServer, text: str) -> FaultyLlm:
        made.append(FaultyLlm(server, text))
        made[-1].fault = fault
        return made[-1]

    assert said in await fails("llm", check, make)
    for llm in made:
        if llm.left is not None:
            llm.left.cancel()


class DeafTts:
    """A voice that goes on although it was closed."""

    name, rate_hz = "deaf", 8000

    def __init__(self, server: TroubledServer, text: str) -> None:
        self._fake = FakeTts(delay_s=0.3)

    async def open(self, voice: Voice) -> _Deaf:
        return _Deaf(await self._fake.open(voice))


class _Deaf:
    def __init__(self, stream: FakeTtsStream) -> None:
        self._stream = stream

    def say(self, text: str) -> None:
        self._stream.say(text)
        self._stream.finish()

    def finish(self) -> None:
        """It is over after one piece."""

    def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        return self._stream

    async def aclose(self) -> None:
        """Forgotten."""


async def test_a_voice_that_goes_on_after_it_was_closed_is_found() -> None:
    said = await fails("tts", "cancel_waiting", DeafTts)
    assert "50 are allowed" in said


async def test_what_needs_a_server_does_not_apply_without_one() -> None:
    (check,) = [check for check in checks_for("tts") if check.name == "drops"]
    result = await examine(Subject("tts", lambda _: FakeTts()), check)
    assert (result.verdict, result.why) == ("not applicable", "no server")
    result.must_pass()
