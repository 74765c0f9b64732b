"""Calls on a speech-to-speech model through the real session, SDK and wire."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.tools import function_tool
from pipeline.errors import ProviderError
from pipeline.events import AgentSpoke, AgentStartedSpeaking, ModelUsed, ProviderFailed, UserTurnCommitted
from pipeline.ports import Hints, Voice
from pipeline.providers.fake import FakeTts
from pipeline.providers.openai.g711 import Law, encode
from pipeline.realtime.model import Committed
from tests.pipeline.providers.servers.openai_realtime import OpenAiRealtimeServer, Says
from tests.pipeline.providers.servers.patient_virtual_clock import on_patient_clock
from tests.pipeline.realtime_rig import model_of, rig_on


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


NOTICE = "This call is recorded, for training."


def desk(**how: object) -> Agent:
    return Agent(name="desk", instructions="You are a front desk.", **how)  # type: ignore[arg-type]


@on_patient_clock
async def test_a_caller_talks_and_the_answer_does_not_wait_for_their_words() -> None:
    server = OpenAiRealtimeServer(first_s=0.4, words_s=0.5)
    server.said.append("where are you")
    server.replies.append(Says("In the High Street."))
    async with server.serve():
        rig = rig_on(server, desk(greeting="Hello there."), [(3.0, 4.0)])
        await rig.run(9.0)
        assert rig.said() == [
            ("assistant", "Hello there."),
            ("user", "where are you"),
            ("assistant", "In the High Street."),
        ]
        assert not server.errors
        answer = rig.of(AgentStartedSpeaking)[1]
        assert (
            answer.response_delay_ms is not None and answer.response_delay_ms < 1150
        )  # 400 + 500, and not + 400
        line = server.lines[0]
        assert line.conversation() == [
            ("assistant", "Hello there."),
            ("user", "where are you"),
            ("assistant", "In the High Street."),
        ]
        assert len(line.of("response.create")) == 2
        assert 1.3 < len(line.heard) / 8000 < 2.5  # of nine seconds: silence is not sent
    assert [event.kind for event in rig.of(ProviderFailed)] == []


@on_patient_clock
async def test_what_the_caller_did_not_hear_is_cut_from_the_models_memory() -> None:
    """To the millisecond that left for the phone, whatever the server had sent ahead."""
    server = OpenAiRealtimeServer(first_s=0.1)
    server.said.extend(["tell me a story", "stop it please"])
    server.replies.extend(
        [Says("Once upon a time there was a very long street with many old houses."), Says("Sure.")]
    )
    async with server.serve():
        rig = rig_on(server, desk(), [(0.5, 1.5), (4.0, 5.5)])
        await rig.run(10.0)
        told, sure = rig.of(AgentSpoke)
        assert told.interrupted and told.text and told.text != told.planned
        cut = server.line.of("conversation.item.truncate")
        assert [event["audio_end_ms"] for event in cut] == [told.heard_ms]
        assert server.line.conversation() == [
            ("user", "tell me a story"),
            ("assistant", f"<{told.heard_ms} ms>"),
            ("user", "stop it please"),
            ("assistant", "Sure."),
        ]
        assert not server.errors
    assert (sure.text, sure.interrupted) == ("Sure.", False)


class Booker(Agent):
    """Books tables."""

    def __init__(self) -> None:
        super().__init__(name="booker", instructions="You book.")
        self.booked: list[int] = []

    @function_tool
    async def book(self, people: int) -> str:
        """Book a table."""
        self.booked.append(people)
        return f"booked for {people}"


@on_patient_clock
async def test_a_tool_runs_and_the_model_says_what_came_of_it() -> None:
    server = OpenAiRealtimeServer(first_s=0.1)
    server.said.append("a table for two")
    server.replies.extend([Says("One moment.", [("book", '{"people": 2}')]), Says("It is booked.")])
    async with server.serve():
        agent = Booker()
        rig = rig_on(server, agent, [(0.5, 1.5)])
        await rig.run(6.0)
        assert agent.booked == [2]
        assert server.line.conversation() == [
            ("user", "a table for two"),
            ("assistant", "One moment."),
            ("function_call", '{"people": 2}'),
            ("function_call_output", "booked for 2"),
            ("assistant", "It is booked."),
        ]
        assert not server.errors
        assert server.line.session["tools"][0]["name"] == "book"
    assert [spoke.text for spoke in rig.of(AgentSpoke)] == ["One moment. It is booked."]
    used = rig.of(ModelUsed)
    assert [(use.input_tokens, use.output_tokens, use.cached_tokens) for use in used] == [(100, 40, 30)] * 2
    assert (used[0].input_audio_tokens, used[0].output_audio_tokens) == (60, 30)


@pytest.mark.parametrize("voice", ["marin", "cedar"])
def test_another_agent_takes_over_with_its_own_instructions_and_voice(voice: str) -> None:
    """A voice cannot be changed once it was heard: another voice is another connection, told everything again."""

    @on_patient_clock
    async def call() -> None:
        server = OpenAiRealtimeServer(first_s=0.1)
        server.said.extend(["my bill please", "thanks"])
        server.replies.extend([Says(tools=[("hand_over", '{"agent": "bills"}')]), Says("You are welcome.")])
        async with server.serve():
            other = Agent(
                name="bills", instructions="You know bills.", greeting="Bills here.", voice=Voice(voice)
            )
            agent = desk(handoffs={"bills": lambda: other}, voice=Voice("marin"))
            rig = rig_on(server, agent, [(0.5, 1.5), (5.0, 6.0)], colleagues=[other])
            await rig.run(10.0)
            assert len(server.lines) == (1 if voice == "marin" else 2)
            session = server.line.session
            assert session["instructions"] == "You know bills."
            assert session["audio"]["output"]["voice"] == voice
            said = server.line.conversation()
            assert said[0] == ("user", "my bill please")
            assert said[-3:] == [
                ("assistant", "Bills here."),
                ("user", "thanks"),
                ("assistant", "You are welcome."),
            ]
            assert not server.errors
            assert rig.said()[-3:] == said[-3:]

    call()


@on_patient_clock
async def test_a_connection_that_dies_while_the_model_thinks_is_replaced_and_told_everything() -> None:
    """The caller waits less than 2 s longer."""
    server = OpenAiRealtimeServer(first_s=0.5, words_s=0.1)
    server.said.extend(["where are you"])
    server.replies.extend([Says("Lost."), Says("In the High Street.")])
    async with server.serve():
        rig = rig_on(server, desk(greeting="Hello there."), [(3.0, 4.0)])
        asyncio.get_running_loop().call_later(4.7, server.drop)
        await rig.run(10.0)
        assert len(server.lines) == 2
        assert server.line.conversation() == [
            ("assistant", "Hello there."),
            ("user", "where are you"),
            ("assistant", "In the High Street."),
        ]
    assert rig.said()[-1] == ("assistant", "In the High Street.")
    delay = rig.of(AgentStartedSpeaking)[1].response_delay_ms
    assert delay is not None and delay < 900 + 2000
    assert [(one.kind, one.cause) for one in rig.of(ProviderFailed)] == [("realtime", "connectivity")]


@on_patient_clock
async def test_what_the_caller_is_saying_when_the_connection_dies_is_not_lost() -> None:
    server = OpenAiRealtimeServer(first_s=0.1)
    server.said.append("a long sentence")
    async with server.serve():
        rig = rig_on(server, desk(), [(0.5, 3.0)])
        asyncio.get_running_loop().call_later(1.5, server.drop)
        await rig.run(7.0)
        assert len(server.line.heard) > 2.5 * 8000
    assert rig.said() == [("user", "a long sentence"), ("assistant", "I see.")]


@on_patient_clock
async def test_the_servers_time_limit_costs_nothing() -> None:
    server = OpenAiRealtimeServer()
    server.said.append("still there")
    async with server.serve():
        rig = rig_on(server, desk(greeting="Hello."), [(6.0, 7.0)], model=model_of(server, max_session_s=3.0))
        await rig.run(10.0)
        assert len(server.lines) >= 2
        assert server.line.conversation()[0] == ("assistant", "Hello.")
    assert not rig.of(ProviderFailed)
    assert rig.said()[-1] == ("assistant", "I see.")


@on_patient_clock
async def test_an_answer_that_never_comes_is_not_silence() -> None:
    """Fillers, then an apology: by a voice that stands by, for the model reads out nothing either."""
    server = OpenAiRealtimeServer(mute=True)
    server.said.append("hello")
    async with server.serve():
        standby = FakeTts()
        rig = rig_on(server, desk(fillers=["One moment."]), [(0.5, 1.5)], tts={"standby": standby})
        await rig.run(40.0)
    said = " ".join(spoke.text for spoke in rig.of(AgentSpoke))
    assert "One moment." in said
    assert rig.of(ProviderFailed)[0].cause == "timeout"
    heard = [at for at, sound in enumerate(rig.heard) if sound]
    gaps = [after - before for before, after in pairwise(heard)]
    assert max(gaps) * 0.02 < 10.0


@pytest.mark.parametrize(
    ("status", "cause"),
    [(401, "auth"), (403, "auth"), (429, "rate_limit"), (404, "bad_request"), (500, "server")],
)
def test_a_refused_connection_is_blamed_on_its_cause(status: int, cause: str) -> None:
    @on_patient_clock
    async def refused() -> None:
        server = OpenAiRealtimeServer()
        server.knobs.status, server.knobs.error = status, {"error": {"message": "no", "code": "no"}}
        async with server.serve():
            rig = rig_on(server, desk())
            with pytest.raises(ProviderError) as caught:
                await rig.run(1.0)
        assert caught.value.cause == cause

    refused()


@on_patient_clock
async def test_words_that_nobody_could_write_down_are_answered_all_the_same() -> None:
    server = OpenAiRealtimeServer(failing=True)
    async with server.serve():
        rig = rig_on(server, desk(), [(0.5, 1.5)])
        await rig.run(4.0)
        assert not server.errors
    assert rig.said() == [("user", "…"), ("assistant", "I see.")]
    assert rig.of(UserTurnCommitted)[0].text == "…"


@pytest.mark.parametrize("kind", ["ulaw", "alaw"])
def test_g711_goes_through_untouched(kind: Law) -> None:
    """Byte for byte, both ways, from the phone's law to the server's."""

    @on_patient_clock
    async def call() -> None:
        server = OpenAiRealtimeServer()
        server.said.append("hello")
        async with server.serve():
            rig = rig_on(server, desk(), [(0.5, 1.5)], law=kind)
            await rig.run(5.0)
            line = server.line
            sent = b"".join(encode(frame, kind) for frame in rig.sent)
            assert bytes(line.heard) in sent and len(line.heard) > 8000
            got = b"".join(encode(frame, kind) for frame in rig.got)
            assert bytes(line.spoken) in got and len(line.spoken) > 1000
            name = "audio/pcmu" if kind == "ulaw" else "audio/pcma"
            assert line.session["audio"]["input"]["format"] == {"type": name}

    call()


@on_patient_clock
async def test_a_server_that_talks_nonsense_costs_one_connection() -> None:
    server = OpenAiRealtimeServer()
    server.said.append("hello")
    async with server.serve():
        rig = rig_on(server, desk(), [(2.0, 3.0)])
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, lambda: loop.create_task(server.line.socket.send_str("<html>}{")))
        await rig.run(6.0)
        assert len(server.lines) == 2
    assert rig.said() == [("user", "hello"), ("assistant", "I see.")]
    assert [one.cause for one in rig.of(ProviderFailed)] == ["server"]


@on_patient_clock
async def test_a_failed_answer_is_blamed_on_its_cause_and_apologised_for() -> None:
    server = OpenAiRealtimeServer()
    server.said.append("hello")
    server.replies.append(Says(error="insufficient_quota"))
    async with server.serve():
        rig = rig_on(server, desk(), [(0.5, 1.5)])
        await rig.run(8.0)
    assert [(one.provider, one.cause) for one in rig.of(ProviderFailed)] == [("openai", "quota")]
    assert rig.of(AgentSpoke), "the apology"


@on_patient_clock
async def test_a_legal_notice_is_heard_to_its_end_whatever_the_caller_does() -> None:
    server = OpenAiRealtimeServer()
    server.said.append("hello hello")
    async with server.serve():
        agent = desk(greeting=NOTICE, turn_handling={"allow_interruptions": False})
        rig = rig_on(server, agent, [(0.5, 1.8)])
        await rig.run(8.0)
        assert not server.line.of("conversation.item.truncate")
    notice = rig.of(AgentSpoke)[0]
    assert (notice.text, notice.interrupted) == (NOTICE, False)
    assert ("user", "hello hello") in rig.said()


@on_patient_clock
async def test_other_voices_say_the_fixed_texts_where_they_are_named() -> None:
    server = OpenAiRealtimeServer()
    async with server.serve():
        rig = rig_on(server, desk(greeting="Hello there."), tts={"lines": FakeTts()})
        await rig.run(3.0)
        assert not server.line.of("response.create")
    assert rig.said() == [("assistant", "Hello there.")]


@on_patient_clock
async def test_a_model_away_for_good_ends_the_call_in_words() -> None:
    """Its server is gone: the voice that stands by says so, and the call is hung up."""
    server = OpenAiRealtimeServer()
    async with server.serve():
        rig = rig_on(server, desk(), tts={"standby": FakeTts()})

        def away() -> None:
            server.knobs.status, server.knobs.error = 503, {}
            server.drop()

        asyncio.get_running_loop().call_later(1.0, away)
        await rig.run(30.0)
    assert rig.hung_up == "stt_failed"
    assert rig.of(AgentSpoke)
    assert {one.cause for one in rig.of(ProviderFailed)} == {"connectivity", "server"}


@on_patient_clock
async def test_a_wideband_call_is_sent_as_pcm_of_24_khz() -> None:
    server = OpenAiRealtimeServer()
    async with server.serve():
        model = model_of(server)
        assert (model.sound_hz(8000), model.sound_hz(16000)) == (8000, 24000)
        stream = await model.open(
            rate_hz=16000, law="ulaw", voice=Voice("cedar"), instructions="", tools=[], hints=Hints()
        )
        for _ in range(50):
            stream.append(np.full(320, 1000, np.int16))
        stream.commit()
        committed = await anext(aiter(stream))
        assert isinstance(committed, Committed)
        assert abs(len(server.line.heard) - 48_000) < 48 * 5  # one second, less what the resampler still has
        assert server.line.session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        await stream.aclose()
