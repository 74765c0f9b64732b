"""Whole conversations on a virtual clock: what is heard, said, cut off, handed over and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, Literal

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.history import Message
from pipeline.agent.tools import RunContext, function_tool
from pipeline.errors import ProviderError
from pipeline.events import (
    AgentEntered,
    AgentPaused,
    AgentResumed,
    AgentSpoke,
    AgentStartedSpeaking,
    AgentUnducked,
    CallerInterrupted,
    NothingHeard,
    ProviderFailed,
    SessionClosed,
    ToolCalled,
    ToolFinished,
    TransferFinished,
    UserTurnCommitted,
)
from pipeline.options import TurnHandling
from pipeline.ports import LlmDelta, TextDelta, ToolSpec, TransferResult
from pipeline.providers.fake import FakeLlm, FakeStt, FakeTts
from pipeline.testing.virtual_clock import run
from tests.pipeline.rig import Rig


def play(rig: Coroutine[Any, Any, Rig]) -> Rig:
    return run(lambda: rig)


def test_the_agent_greets_hears_and_answers() -> None:
    async def call() -> Rig:
        agent = Agent(name="desk", greeting="Hello there.")
        rig = Rig(agent, speech=[(2.0, 3.0)], stt=FakeStt(["how are you"]), llm=FakeLlm("Fine, thanks."))
        return await rig.run(6.0)

    rig = play(call())
    assert rig.said() == [
        ("assistant", "Hello there."),
        ("user", "how are you"),
        ("assistant", "Fine, thanks."),
    ]
    assert [event.text for event in rig.of(AgentSpoke)] == ["Hello there.", "Fine, thanks."]
    assert rig.of(SessionClosed)[0].reason == "test_over"


def test_the_response_delay_is_the_sum_of_its_parts_and_ours_is_below_a_frame() -> None:
    async def call() -> Rig:
        stt, llm = FakeStt(["hi"], delay_s=0.15), FakeLlm("Yes.", delay_s=0.2)
        rig = Rig(Agent(), speech=[(1.0, 2.0)], stt=stt, llm=llm, tts=FakeTts(8000, 50.0, delay_s=0.08))
        return await rig.run(5.0)

    (started,) = play(call()).of(AgentStartedSpeaking)
    assert started.response_delay_ms is not None
    parts = (
        started.waited_ms
        + started.stt_ms
        + started.llm_ms
        + started.tool_ms
        + started.tts_ms
        + started.own_ms
    )
    assert started.response_delay_ms == pytest.approx(parts, abs=0.6)
    assert started.stt_ms == pytest.approx(150, abs=1)
    assert started.llm_ms == pytest.approx(200, abs=1)
    assert started.tts_ms == pytest.approx(80, abs=1)
    assert started.own_ms <= 21
    assert 380 <= started.waited_ms <= 440, "the minimum delay, to the frame"


def test_speaking_over_the_agent_silences_it_and_history_keeps_what_was_heard() -> None:
    async def call() -> Rig:
        greeting = "We are open from Monday to Friday, from eight in the morning until six in the evening."
        rig = Rig(Agent(greeting=greeting), speech=[(2.0, 3.0)], stt=FakeStt(["stop"]), llm=FakeLlm("Sure."))
        return await rig.run(6.0)

    rig = play(call())
    (cut,) = rig.of(CallerInterrupted)
    spoke = rig.of(AgentSpoke)[0]
    assert spoke.interrupted
    assert spoke.planned.startswith(spoke.text)
    assert spoke.text
    assert rig.said()[0] == ("assistant", spoke.text)
    # 50 ms a character: what was heard is what had left, to the word
    assert abs(len(spoke.text) * 50 - cut.heard_ms) <= 8 * 50
    (paused,) = rig.of(AgentPaused)
    assert paused.at - cut.spoke_since == pytest.approx(0.8, abs=0.021)
    silent_from = round((paused.at + 0.02) / 0.02) + 1
    assert not any(rig.heard[silent_from : silent_from + 20]), (
        "one fading frame after the decision, then silence"
    )
    assert rig.said()[1:] == [("user", "stop"), ("assistant", "Sure.")]


def test_a_cough_over_the_agent_ducks_it_for_a_moment_and_loses_nothing() -> None:
    async def call() -> Rig:
        rig = Rig(
            Agent(greeting="This is quite a long greeting that goes on for a while."),
            speech=[(1.0, 1.1)],
            stt=FakeStt(["mhm"]),
        )
        return await rig.run(6.0)

    rig = play(call())
    assert rig.of(AgentUnducked)
    assert not rig.of(CallerInterrupted)
    assert [event.interrupted for event in rig.of(AgentSpoke)] == [False]
    assert rig.of(NothingHeard)[0].reason == "backchannel"


def test_a_short_word_over_the_agent_that_means_something_is_answered() -> None:
    async def call() -> Rig:
        rig = Rig(
            Agent(greeting="Would you like to pay now, or would you rather pay at the end of the month?"),
            speech=[(1.0, 1.12)],
            stt=FakeStt(["later"]),
            llm=FakeLlm("Fine."),
        )
        return await rig.run(6.0)

    rig = play(call())
    assert [event.text for event in rig.of(UserTurnCommitted)] == ["later"]
    assert rig.of(AgentSpoke)[0].interrupted
    assert rig.said()[-1] == ("assistant", "Fine.")


def test_a_pause_shorter_than_the_delay_does_not_end_the_turn() -> None:
    async def call() -> Rig:
        return await Rig(Agent(), speech=[(1.0, 2.0), (2.3, 3.0)], stt=FakeStt(["one turn"])).run(6.0)

    rig = play(call())
    assert [event.text for event in rig.of(UserTurnCommitted)] == ["one turn"]


def test_noise_without_words_owes_nobody_an_answer() -> None:
    async def call() -> Rig:
        return await Rig(Agent(), speech=[(1.0, 2.0)], stt=FakeStt([""])).run(5.0)

    rig = play(call())
    assert rig.of(NothingHeard)
    assert not rig.of(AgentSpoke)


def test_an_agent_that_stopped_for_a_slamming_door_goes_on_from_the_same_word() -> None:
    async def call() -> Rig:
        agent = Agent(greeting="One two three four five six seven eight nine ten eleven twelve.")
        return await Rig(agent, speech=[(1.0, 1.9)], stt=FakeStt([""])).run(8.0)

    rig = play(call())
    (paused,), (resumed,) = rig.of(AgentPaused), rig.of(AgentResumed)
    assert 0.1 <= resumed.at - paused.at <= 0.6
    assert not rig.of(CallerInterrupted)
    (spoke,) = rig.of(AgentSpoke)
    assert (spoke.interrupted, spoke.planned) == (False, "")
    assert rig.said() == [("assistant", "One two three four five six seven eight nine ten eleven twelve.")]
    again = spoke.heard_ms  # what was said twice counts once
    assert again == pytest.approx(len(rig.said()[0][1]) * 50, abs=40)


def test_an_agent_that_stopped_for_long_noise_goes_on() -> None:
    """Only words take the floor: a dog that barks for a second and a half costs the caller no answer."""

    async def call() -> Rig:
        agent = Agent(greeting="A long greeting that is going to be disturbed by a dog.")
        return await Rig(agent, speech=[(1.0, 2.6)], stt=FakeStt([""])).run(8.0)

    rig = play(call())
    assert not rig.of(CallerInterrupted)
    assert rig.said() == [("assistant", "A long greeting that is going to be disturbed by a dog.")]


def test_an_agent_that_was_talked_over_for_long_and_understood_nothing_asks_again() -> None:
    class Patient(FakeLlm):
        async def chat(
            self,
            messages: Sequence[Message],
            tools: Sequence[ToolSpec] = (),
            *,
            tool_choice: Literal["auto", "none", "required"] = "auto",
        ) -> AsyncGenerator[LlmDelta, None]:
            assert messages[-1].role == "user"
            assert not messages[-1].understood
            yield TextDelta("Sorry, what was that?")

    async def call() -> Rig:
        agent = Agent(greeting="A long greeting that is going to be cut off by somebody who mumbles.")
        mumbled = FakeStt(["?"], delay_s=9.0)  # the recogniser never tells
        return await Rig(agent, speech=[(1.0, 2.6)], stt=mumbled, llm=Patient()).run(9.0)

    rig = play(call())
    assert rig.of(CallerInterrupted)
    assert rig.said()[-1] == ("assistant", "Sorry, what was that?")


def test_a_recogniser_that_never_answers_does_not_hang_the_call() -> None:
    async def call() -> Rig:
        stt = FakeStt(["too late"], delay_s=60.0)
        return await Rig(Agent(), speech=[(1.0, 2.0)], stt=stt, options=TurnHandling()).run(6.0)

    rig = play(call())
    (turn,) = rig.of(UserTurnCommitted)
    assert turn.at == pytest.approx(4.4, abs=0.1), "2 s after the turn ended"
    assert not turn.understood, "the caller is asked to say it again"


class Clerk(Agent):
    """A tool that counts how often it ran."""

    runs = 0

    @function_tool
    async def book(self, context: RunContext, day: str) -> str:
        """Book."""
        type(self).runs += 1
        await asyncio.sleep(1.0)
        context.userdata["day"] = day
        return f"booked {day}"


def test_a_tool_runs_and_its_result_is_spoken() -> None:
    Clerk.runs = 0

    async def call() -> Rig:
        book = {"text": "One moment.", "tools": [{"name": "book", "arguments": {"day": "friday"}}]}
        rig = Rig(Clerk(name="c"), speech=[(1.0, 2.0)], llm=FakeLlm(script=[book, "Friday it is."]))
        return await rig.run(8.0)

    rig = play(call())
    assert Clerk.runs == 1
    assert [event.name for event in rig.of(ToolCalled)] == ["book"]
    (finished,) = rig.of(ToolFinished)
    assert finished.ok
    assert finished.result == "booked friday"
    assert finished.took_ms == pytest.approx(1000, abs=1)
    assert [role for role, _ in rig.said()] == ["user", "assistant", "tool", "assistant"]
    assert rig.session.userdata == {"day": "friday"}
    assert rig.of(AgentSpoke)[0].text == "One moment. Friday it is."


def test_a_tool_survives_an_interruption_and_its_result_is_kept_once() -> None:
    Clerk.runs = 0

    async def call() -> Rig:
        book = {
            "text": "One moment please, I am booking.",
            "tools": [{"name": "book", "arguments": {"day": "monday"}}],
        }
        llm = FakeLlm("What else?", script=[book])
        return await Rig(Clerk(name="c"), speech=[(1.0, 2.0), (2.6, 3.2)], llm=llm).run(8.0)

    rig = play(call())
    assert rig.of(CallerInterrupted)
    assert Clerk.runs == 1
    assert [text for role, text in rig.said() if role == "tool"] == ["booked monday"]
    assert ("assistant", "What else?") in rig.said()


def test_what_goes_wrong_in_a_tool_is_told_to_the_model_and_the_call_goes_on() -> None:
    class Broken(Agent):
        @function_tool(timeout_s=0.5)
        async def slow(self) -> str:
            """Too slow."""
            await asyncio.sleep(60)
            return ""

        @function_tool
        def crash(self) -> str:
            """Raises."""
            raise ValueError("no such table")

    async def call() -> Rig:
        tools = [{"tools": [{"name": name}]} for name in ("slow", "crash", "missing")]
        return await Rig(Broken(), speech=[(1.0, 2.0)], llm=FakeLlm("Sorry.", script=tools)).run(8.0)

    rig = play(call())
    results = [event.result for event in rig.of(ToolFinished)]
    assert results[0] == "slow did not answer within 0.5 s."
    assert results[1] == "crash failed: ValueError: no such table"
    assert results[2].startswith("There is no tool 'missing'. Known: slow, crash, hang_up")
    assert rig.of(AgentSpoke)[-1].text == "Sorry."


def test_handing_over_waits_for_the_sentence_and_keeps_the_history() -> None:
    async def call() -> Rig:
        billing = Agent(name="billing", greeting="Billing speaking.")
        first = Agent(name="desk", greeting="Hello.", handoffs={"billing": lambda: billing})
        move = {
            "text": "I will put you through.",
            "tools": [{"name": "hand_over", "arguments": {"agent": "billing"}}],
        }
        return await Rig(first, speech=[(2.0, 3.0)], llm=FakeLlm("Yes?", script=[move])).run(8.0)

    rig = play(call())
    assert [(event.agent, event.came_from) for event in rig.of(AgentEntered)] == [
        ("desk", ""),
        ("billing", "desk"),
    ]
    assert [event.text for event in rig.of(AgentSpoke)] == [
        "Hello.",
        "I will put you through.",
        "Billing speaking.",
    ]
    put_through, greeting = rig.of(AgentSpoke)[1], rig.of(AgentStartedSpeaking)[2]
    assert greeting.at >= put_through.at
    assert rig.session.agent.name == "billing"
    assert [role for role, _ in rig.said()] == ["assistant", "user", "assistant", "tool", "assistant"]


def test_the_agent_hangs_up_only_after_its_goodbye_was_heard() -> None:
    async def call() -> Rig:
        bye = {"text": "Goodbye.", "tools": [{"name": "hang_up"}]}
        return await Rig(Agent(greeting="Hi."), speech=[(2.0, 3.0)], llm=FakeLlm(script=[bye])).run(8.0)

    rig = play(call())
    assert rig.hung_up == "agent_hung_up"
    assert rig.of(AgentSpoke)[-1].text == "Goodbye."
    assert rig.kinds()[-1] == "SessionClosed"
    assert rig.heard[-2:] == [True, False], "the line closes on the tick after the last packet"


def test_a_caller_who_interrupts_the_goodbye_keeps_the_call() -> None:
    async def call() -> Rig:
        bye = {"text": "Thank you very much for calling us today. Goodbye.", "tools": [{"name": "hang_up"}]}
        llm = FakeLlm("Of course.", script=[bye])
        return await Rig(Agent(), speech=[(1.0, 2.0), (3.0, 3.8)], stt=FakeStt(["bye", "wait"]), llm=llm).run(
            9.0
        )

    rig = play(call())
    assert rig.hung_up == ""
    assert rig.said()[-1] == ("assistant", "Of course.")


def test_a_transfer_waits_for_the_words_before_it() -> None:
    async def call() -> Rig:
        move = {
            "text": "One moment please.",
            "tools": [{"name": "transfer", "arguments": {"target": "desk"}}],
        }
        agent = Agent(transfers={"desk": "sip:desk@example.com"})
        return await Rig(agent, speech=[(1.0, 2.0)], llm=FakeLlm("Still here.", script=[move])).run(8.0)

    rig = play(call())
    assert rig.transfers == ["sip:desk@example.com"]
    (finished,) = rig.of(TransferFinished)
    assert finished.ok
    started = rig.of(AgentStartedSpeaking)[0]
    assert finished.at - started.at >= len("One moment please.") * 0.05 - 0.021


def test_a_refused_transfer_is_told_to_the_model() -> None:
    async def call() -> Rig:
        move = {"tools": [{"name": "transfer", "arguments": {"target": "desk"}}]}
        agent = Agent(transfers={"desk": "sip:desk@example.com"})
        rig = Rig(agent, speech=[(1.0, 2.0)], llm=FakeLlm("Nobody there.", script=[move]))
        rig.transfer_result = TransferResult(False, 486, "Busy Here")
        return await rig.run(8.0)

    rig = play(call())
    assert "486 Busy Here" in rig.of(ToolFinished)[0].result
    assert rig.said()[-1] == ("assistant", "Nobody there.")


def test_keys_silence_the_agent_and_are_one_turn() -> None:
    async def call() -> Rig:
        agent = Agent(greeting="Please type your four digit number, then the hash key, or wait for a person.")
        return await Rig(agent, keys=[(1.0, "4"), (1.3, "2"), (1.6, "#")], llm=FakeLlm("Thanks.")).run(4.0)

    rig = play(call())
    (turn,) = rig.of(UserTurnCommitted)
    assert (turn.text, turn.by, turn.understood) == ("42", "keys", True)
    assert rig.of(AgentSpoke)[0].interrupted
    assert rig.said()[-1] == ("assistant", "Thanks.")


def test_keys_without_a_hash_count_after_a_pause() -> None:
    async def call() -> Rig:
        return await Rig(Agent(), keys=[(1.0, "7")], options=TurnHandling(keys_timeout_ms=1000)).run(4.0)

    (turn,) = play(call()).of(UserTurnCommitted)
    assert turn.text == "7"
    assert turn.at == pytest.approx(2.0, abs=0.021)


class _Failing(FakeLlm):
    name = "failing"

    def __init__(self, times: int) -> None:
        super().__init__("Here I am again.")
        self.times = times

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        if self.times:
            self.times -= 1
            raise ProviderError(self.name, "server", "500 out of order. Try again.")
        async for delta in super().chat(messages, tools, tool_choice=tool_choice):
            yield delta


def test_a_failing_model_is_apologised_for_and_the_next_turn_is_answered() -> None:
    async def call() -> Rig:
        return await Rig(Agent(), speech=[(1.0, 2.0), (7.0, 8.0)], llm=_Failing(1)).run(12.0)

    rig = play(call())
    (failed,) = rig.of(ProviderFailed)
    assert (failed.provider, failed.kind, failed.cause) == ("failing", "llm", "server")
    assert rig.of(AgentSpoke)[0].text.startswith("I am sorry")
    assert rig.of(AgentSpoke)[-1].text == "Here I am again."


def test_a_voice_that_fails_three_times_ends_the_call_instead_of_silence() -> None:
    class Mute(FakeTts):
        name = "mute"

        async def open(self, voice: Any) -> Any:
            raise ProviderError("mute", "connectivity", "no route")

    async def call() -> Rig:
        return await Rig(Agent(greeting="Hello."), tts=Mute(8000)).run(5.0)

    rig = play(call())
    assert rig.hung_up == "tts_failed"
    assert {event.kind for event in rig.of(ProviderFailed)} == {"tts"}


@pytest.mark.parametrize("ok", [True, False])
def test_a_caller_whom_we_cannot_serve_is_sent_to_somebody_who_can(ok: bool) -> None:
    async def call() -> Rig:
        speech = [(1.0, 2.0), (9.0, 10.0), (17.0, 18.0)]
        rig = Rig(Agent(), speech=speech, llm=_Failing(99), on_failure="sip:people@example.com")
        rig.transfer_result = TransferResult(ok, 200 if ok else 480)
        return await rig.run(40.0)

    rig = play(call())
    assert rig.transfers == ["sip:people@example.com"]
    assert len(rig.of(ProviderFailed)) == 3
    assert rig.hung_up == ("" if ok else "llm_failed")


def test_a_checkpoint_follows_every_turn_tool_and_handover() -> None:
    async def call() -> Rig:
        book = {"tools": [{"name": "book", "arguments": {"day": "friday"}}]}
        return await Rig(Clerk(name="c"), speech=[(1.0, 2.0)], llm=FakeLlm("Done.", script=[book])).run(6.0)

    rig = play(call())
    last = rig.saved[-1]
    assert last["agent"] == "c"
    assert last["userdata"] == {"day": "friday"}
    assert [row["role"] for row in last["history"]] == ["user", "assistant", "tool", "assistant"]
    assert any(row["history"] and row["history"][-1]["role"] == "tool" for row in rig.saved)


def test_the_same_conversation_has_the_same_events_every_time() -> None:
    def once() -> list[str]:
        async def call() -> Rig:
            agent = Agent(greeting="Hello, this is a greeting that is long enough to be cut.")
            rig = Rig(agent, speech=[(1.0, 1.8), (4.0, 4.1), (6.0, 7.0)], stt=FakeStt(["a", "b", "c"]))
            return await rig.run(12.0)

        return [repr(event) for event in play(call()).events]

    first = once()
    assert len(first) > 15
    assert all(once() == first for _ in range(20))
