"""A whole conversation on Groq's models through the real session, SDK and wire: words, a tool, an answer about it.

On a virtual clock, with the delays that a real service has; the figures are those of the conversation."""

from __future__ import annotations

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.tools import function_tool
from pipeline.providers.groq.llm import GroqLlm
from pipeline.providers.groq.stt import GroqStt
from pipeline.providers.openai.tts import OpenAiTts
from pipeline.testing.call import VirtualCall
from pipeline.testing.caller import Says, agent_stops
from tests.pipeline.providers.servers.openai_like import OpenAiLike, Reply
from tests.pipeline.providers.servers.patient_virtual_clock import on_patient_clock

WANTED = "I would like a table for two please"
THANKS = "at eight thank you"


class FrontDesk(Agent):
    """Books tables."""

    def __init__(self) -> None:
        super().__init__(
            name="front desk", instructions="You book tables.", greeting="Trattoria Bellini, hello."
        )
        self.booked: list[int] = []

    @function_tool
    async def book(self, people: int) -> str:
        """Book a table for so many people."""
        self.booked.append(people)
        return f"booked for {people}"


async def conversation(server: OpenAiLike, *, silence_ms: int) -> tuple[VirtualCall, FrontDesk, GroqStt]:
    """Two turns of the caller, with a tool in the first."""
    server.delay_s |= {"chat": 0.2, "transcriptions": 0.15, "speech": 0.08}
    server.tokens_per_s = 100
    server.sentences = [WANTED, THANKS]
    server.replies.extend(
        [
            Reply(tools=[("book", '{"people": 2}')]),
            Reply("Your table for two is booked."),
            Reply("See you at eight."),
        ]
    )
    stt = GroqStt(base_url=server.url, silence_ms=silence_ms, every_ms=0)
    llm, tts = GroqLlm(base_url=server.url), OpenAiTts(base_url=f"{server.url}/v1")
    for provider in (stt, llm, tts):
        await provider.warm()
    agent = FrontDesk()
    acts = [Says(WANTED, agent_stops() + 0.5), Says(THANKS, agent_stops(2) + 0.5)]
    call = VirtualCall(agent, acts, stt=stt, llm=llm, tts=tts)
    await call.run()
    for provider in (stt, llm, tts):
        await provider.aclose()
    return call, agent, stt


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-test-0123456789")
    for name in ("GROQ_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@on_patient_clock
async def test_a_caller_books_a_table_with_groq_and_no_word_waits_for_its_transcript() -> None:
    async with OpenAiLike().running() as server:
        call, agent, stt = await conversation(server, silence_ms=200)
        assert agent.booked == [2]
        assert call.transcript() == [
            ("agent", "Trattoria Bellini, hello."),
            ("caller", WANTED),
            ("agent", "Your table for two is booked."),
            ("caller", THANKS),
            ("agent", "See you at eight."),
        ]
        asked = server.of("chat")[-1].body["messages"]
        assert {message["role"] for message in asked} == {"system", "user", "assistant", "tool"}
        assert next(m for m in asked if m["role"] == "tool")["content"] == "booked for 2"
        assert stt.usage.finals == stt.usage.reused == 2  # both turns were transcribed before they were over
        guessed = call.latencies_ms
    async with OpenAiLike().running() as server:
        call, _, stt = await conversation(server, silence_ms=0)
        assert stt.usage.reused == 0
        waited = call.latencies_ms
    assert [round(late - early) >= 100 for early, late in zip(guessed, waited, strict=True)] == [True, True]
