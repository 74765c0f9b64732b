"""A conversation that ElevenLabs speaks and hears, over real sockets and in real time: seconds, not milliseconds."""

from __future__ import annotations

import pytest

from pipeline.agent.agent import Agent
from pipeline.events import AgentSpoke, CallerInterrupted, ProviderSwitched, UserTurnCommitted
from pipeline.providers.elevenlabs.stt import ElevenLabsStt
from pipeline.providers.elevenlabs.tts import ElevenLabsTts
from pipeline.providers.fake import FakeLlm, FakeStt
from pipeline.providers.resilient import FallbackStt
from pipeline.testing.call import VirtualCall
from pipeline.testing.caller import Says
from tests.pipeline.providers.servers.elevenlabs import KEY, ElevenLabsServer, Knobs

MS_PER_CHAR = 40
GREETING = (
    "Good morning and welcome to the clinic of Doctor Nguyen. We are open from nine until six every day. "
    "On Sundays you will find us at the harbour, next to the old lighthouse. The last ferry leaves at "
    "seven. Please bring your card, and a list of whatever you take at the moment."
)
TICK_S = 0.02


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", KEY)


def _begun(text: str, heard_ms: int) -> str:
    """The words that had begun to sound."""
    words = text.split()
    starts = [len(" ".join([*words[:number], ""])) if number else 0 for number in range(len(words))]
    return " ".join(word for word, at in zip(words, starts, strict=True) if at * MS_PER_CHAR < heard_ms)


async def test_an_interrupted_reply_is_cut_at_the_word_and_the_next_turn_finds_a_warm_connection() -> None:
    """Everything asked for is closed within a tick, and nothing more is asked for once the caller has the floor."""
    async with ElevenLabsServer(Knobs(ms_per_char=MS_PER_CHAR, first_byte_s=0.08)) as server:
        tts = ElevenLabsTts(base_url=server.base_url)
        await tts.warm()
        call = VirtualCall(
            Agent(greeting=GREETING),
            [Says("wait please I only want to know the price", 1.0, 1.4)],
            tts=tts,
            llm=FakeLlm("It is ten euros."),
        )
        await call.run(5.5)
        await tts.aclose()
    greeting, answer = call.of(AgentSpoke)
    interrupted = call.of(CallerInterrupted)[0]
    assert greeting.interrupted
    assert greeting.text == _begun(GREETING, greeting.heard_ms)
    assert 5 < len(greeting.text) < len(GREETING) - 20
    assert answer.text == "It is ten euros."
    history = [message.text for message in call.session.history.messages if message.role == "assistant"]
    assert history == [greeting.text, answer.text]
    assert len(server.calls) == 1
    sentences = [context.text.strip() for context in server.contexts]
    planned = GREETING.replace(". ", ".|").split("|")
    assert sentences[:-1] == planned[: len(sentences) - 1]
    assert planned[-1] not in sentences  # nobody paid for it
    asked_after = [context.text.strip() for context in server.contexts if context.opened_at > interrupted.at]
    assert asked_after == ["It is ten euros."]
    for context in server.contexts:
        assert context.closed_at is not None
        assert context.closed_at - context.opened_at < TICK_S


async def test_both_ears_and_voice_are_scribe_and_flash_in_one_call() -> None:
    async with ElevenLabsServer(Knobs(ms_per_char=20, texts=("what does it cost",), stt_s=0.1)) as server:
        tts, stt = ElevenLabsTts(base_url=server.base_url), ElevenLabsStt(base_url=server.base_url)
        call = VirtualCall(
            Agent(greeting="Hello."),
            [Says("what does it cost", 0.8, 1.2)],
            stt=stt,
            tts=tts,
            llm=FakeLlm("Ten."),
        )
        await call.run(3.2)
        await tts.aclose()
    assert [event.text for event in call.of(UserTurnCommitted)] == ["what does it cost"]
    assert [event.text for event in call.of(AgentSpoke)] == ["Hello.", "Ten."]
    assert len(server.calls) == 2


async def test_the_caller_does_not_notice_that_scribe_went_away_in_the_middle_of_his_words() -> None:
    async with ElevenLabsServer(Knobs(stt_drop_at=1)) as server:
        emitted: list[object] = []
        stt = FallbackStt(
            [ElevenLabsStt(base_url=server.base_url), FakeStt(["what does it cost"])], emit=emitted.append
        )
        call = VirtualCall(
            Agent(greeting="Hello."), [Says("what does it cost", 0.8, 1.2)], stt=stt, llm=FakeLlm("Ten.")
        )
        await call.run(3.2)
        await server.until(lambda: not server.alive)
    assert [event.text for event in call.of(UserTurnCommitted)] == ["what does it cost"]
    assert [event.text for event in call.of(AgentSpoke)] == ["Hello.", "Ten."]
    assert [event.new for event in emitted if isinstance(event, ProviderSwitched)] == ["fake"]
