"""Who has the floor, in whole conversations on the virtual clock: ahead of time, silence, noise, what must be heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.history import History, Message
from pipeline.agent.task import AgentTask, TaskFailed
from pipeline.agent.tools import RunContext, StopResponse, function_tool
from pipeline.events import (
    AgentDucked,
    AgentEntered,
    AgentPaused,
    AgentSpoke,
    AgentStartedSpeaking,
    AnswerDiscarded,
    CallerInterrupted,
    CallerSilent,
    FillerSaid,
    HandoffFailed,
    KeyPressed,
    TurnTooLong,
    UserTurnCommitted,
)
from pipeline.hearing.expectation import Expectation
from pipeline.options import Silence, TurnHandling
from pipeline.ports import Final, Hints, LlmDelta, SttEvent, ToolSpec, Voice
from pipeline.providers.fake import FakeLlm, FakeStt
from pipeline.providers.scripted import ScriptedLlm
from pipeline.testing.caller import CallerStt, CallerSttStream
from pipeline.testing.virtual_clock import run
from tests.pipeline.rig import Rig


def play(rig: Coroutine[Any, Any, Rig]) -> Rig:
    return run(lambda: rig)


class HearingStt(CallerStt):
    """The kit's recogniser, hearing words at given times instead of those of the caller: (at, all of them so far)."""

    def __init__(self, partials: Sequence[tuple[float, str]], *, delay_s: float = 0.0) -> None:
        super().__init__(lag_s=0.0, delay_s=delay_s)
        self._texts = list(partials)

    async def open(self, *, rate_hz: int, hints: Hints) -> CallerSttStream:
        before, loop = "", asyncio.get_running_loop()
        for at, text in self._texts:
            loop.call_at(at, self.hears, text.removeprefix(before).strip() or text)
            before = text
        return await super().open(rate_hz=rate_hz, hints=hints)


# ---------------------------------------------------------------- ahead of time


def _answered(preemptive: bool) -> Rig:
    async def call() -> Rig:
        stt, llm = HearingStt([(1.5, "how are you")], delay_s=0.1), FakeLlm("Fine, thanks.", delay_s=0.3)
        options = TurnHandling(preemptive=preemptive)
        return await Rig(Agent(), speech=[(1.0, 2.0)], stt=stt, llm=llm, options=options).run(6.0)

    return play(call())


def test_an_answer_made_ahead_saves_the_time_of_the_model() -> None:
    ahead, afterwards = _answered(True), _answered(False)
    assert ahead.said() == afterwards.said() == [("user", "how are you"), ("assistant", "Fine, thanks.")]
    early, late = ahead.of(AgentStartedSpeaking)[0], afterwards.of(AgentStartedSpeaking)[0]
    assert early.response_delay_ms is not None and late.response_delay_ms is not None
    assert late.response_delay_ms - early.response_delay_ms > 150
    parts = early.waited_ms + early.stt_ms + early.llm_ms + early.tool_ms + early.tts_ms + early.own_ms
    assert early.response_delay_ms == pytest.approx(parts, abs=0.6)
    assert not ahead.of(AnswerDiscarded)


def test_an_answer_to_words_that_were_not_the_last_is_thrown_away_and_paid_for() -> None:
    async def call() -> Rig:
        stt = HearingStt([(1.5, "I would like"), (2.9, "I would like to pay")])
        return await Rig(Agent(), speech=[(1.0, 2.0), (2.3, 3.0)], stt=stt, llm=FakeLlm("Sure.")).run(6.0)

    rig = play(call())
    assert rig.said() == [("user", "I would like to pay"), ("assistant", "Sure.")]
    assert rig.of(AnswerDiscarded)[0].tokens >= 1
    assert len(rig.of(AgentStartedSpeaking)) == 1, "the first one was never heard"


def test_a_tool_of_an_answer_made_ahead_waits_for_the_end_of_the_turn() -> None:
    ran: list[float] = []

    @function_tool
    def book() -> str:
        """Book."""
        ran.append(asyncio.get_running_loop().time())
        return "booked"

    async def call() -> Rig:
        llm = FakeLlm(script=[{"text": "", "tools": [{"name": "book"}]}, "Done."])
        stt = HearingStt([(1.5, "book it")])
        return await Rig(Agent(tools=[book]), speech=[(1.0, 2.0)], stt=stt, llm=llm).run(6.0)

    rig = play(call())
    (turn,) = rig.of(UserTurnCommitted)
    assert len(ran) == 1
    assert ran[0] >= turn.at


class Unsure(CallerSttStream):
    """Its last words are not certain."""

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        async for event in super().__aiter__():
            yield replace(event, understood=False) if isinstance(event, Final) else event


class UnsureStt(HearingStt):
    """Opens such streams."""

    async def open(self, *, rate_hz: int, hints: Hints) -> CallerSttStream:
        await super().open(rate_hz=rate_hz, hints=hints)
        self._stream = Unsure(self)
        return self._stream


def test_an_answer_made_ahead_is_not_taken_for_words_that_the_recogniser_is_not_sure_of() -> None:
    """A script asks again: it would begin with what the words seemed to be, and fall silent."""
    ran: list[str] = []

    @function_tool
    def look_up() -> str:
        """Look it up."""
        ran.append("look_up")
        return "It is open."

    async def call() -> Rig:
        script = {
            "intents": [
                {"name": "invoice", "phrases": ["four two seven one"], "say": "One look.", "tool": "look_up"}
            ],
            "not_understood": ["Please say it again."],
        }
        stt = UnsureStt([(1.5, "four two seven one")], delay_s=0.1)
        return await Rig(Agent(tools=[look_up]), speech=[(1.0, 2.0)], stt=stt, llm=ScriptedLlm(script)).run(
            6.0
        )

    rig = play(call())
    (turn,) = rig.of(UserTurnCommitted)
    assert not turn.understood
    assert rig.of(AnswerDiscarded), "there was one"
    assert ([spoke.text for spoke in rig.of(AgentSpoke)], ran) == (["Please say it again."], [])


def test_a_language_model_knows_the_words_only_and_is_not_asked_twice_for_uncertain_ones() -> None:
    async def call() -> Rig:
        stt = UnsureStt([(1.5, "four two seven one")], delay_s=0.1)
        llm = FakeLlm(script=["One look.", "You asked already."])
        return await Rig(Agent(), speech=[(1.0, 2.0)], stt=stt, llm=llm).run(6.0)

    rig = play(call())
    (turn,) = rig.of(UserTurnCommitted)
    assert not turn.understood
    assert [spoke.text for spoke in rig.of(AgentSpoke)] == ["One look."]


# ---------------------------------------------------------------- expected answers


@pytest.mark.parametrize(("heard", "delay_s"), [("one two three four", 0.2), ("one two", 2.5), ("help", 0.4)])
def test_a_turn_ends_as_soon_as_what_was_asked_for_is_there(heard: str, delay_s: float) -> None:
    """Four digits were asked for: complete they end the turn at once, two of them are waited for."""

    class Asking(Agent):
        async def on_enter(self) -> None:
            self.session.expect(Expectation("digits", 4, 4))

    async def call() -> Rig:
        return await Rig(Asking(), speech=[(1.0, 2.0)], stt=HearingStt([(1.8, heard)])).run(6.0)

    (turn,) = play(call()).of(UserTurnCommitted)
    assert turn.at - turn.spoke_until == pytest.approx(delay_s, abs=0.07)


def test_what_a_scripted_line_asks_for_is_expected_of_the_next_turn_only() -> None:
    script = {
        "intents": [
            {"name": "pay", "phrases": ["i want to pay"], "say": "Your number?", "expects": "digits 4"},
            {"name": "number", "phrases": ["{digits:4}"], "say": "Thanks."},
        ]
    }

    async def call() -> Rig:
        stt = HearingStt([(1.8, "i want to pay"), (4.8, "one two three four"), (7.8, "one two three four")])
        speech = [(1.0, 2.0), (4.0, 5.0), (7.0, 8.0)]
        return await Rig(Agent(), speech=speech, stt=stt, llm=ScriptedLlm(script)).run(11.0)

    turns = play(call()).of(UserTurnCommitted)
    waited = [turn.at - turn.spoke_until for turn in turns]
    assert waited[0] == pytest.approx(0.4, abs=0.07)
    assert waited[1] == pytest.approx(0.2, abs=0.07), "all four are there"
    assert waited[2] > 1.0, "nobody asked: perhaps more figures follow"


# ---------------------------------------------------------------- overlap


def test_listening_noises_do_not_stop_the_agent() -> None:
    async def call() -> Rig:
        agent = Agent(greeting="Our offices are open from Monday to Friday, and on Saturday in the morning.")
        stt = HearingStt([(1.25, "mm-hmm")])
        return await Rig(agent, speech=[(1.0, 1.7)], stt=stt).run(8.0)

    rig = play(call())
    assert rig.of(AgentDucked)
    assert not rig.of(AgentPaused) and not rig.of(CallerInterrupted)
    assert [event.interrupted for event in rig.of(AgentSpoke)] == [False]


def test_a_word_that_means_something_stops_the_agent_before_its_time() -> None:
    async def call() -> Rig:
        agent = Agent(greeting="Our offices are open from Monday to Friday, and on Saturday in the morning.")
        stt = HearingStt([(1.2, "stop")])
        return await Rig(agent, speech=[(1.0, 1.7)], stt=stt, llm=FakeLlm("Yes?")).run(8.0)

    rig = play(call())
    (cut,) = rig.of(CallerInterrupted)
    assert cut.at == pytest.approx(1.2, abs=0.03)
    assert rig.said()[-2:] == [("user", "stop"), ("assistant", "Yes?")]


class Notary(Agent):
    async def on_enter(self) -> None:
        self.session.say("This call is recorded and kept for ten years.", allow_interruptions=False)


@pytest.mark.parametrize("words", ["keep", "drop"])
def test_what_must_be_heard_is_heard_and_the_callers_words_are_kept_or_dropped(words: str) -> None:
    async def call() -> Rig:
        options = TurnHandling.model_validate({"uninterruptible_words": words})
        stt = HearingStt([(1.3, "I want to pay")])
        return await Rig(Notary(), speech=[(1.0, 1.8)], stt=stt, llm=FakeLlm("Fine."), options=options).run(
            8.0
        )

    rig = play(call())
    first = rig.of(AgentSpoke)[0]
    assert (first.text, first.interrupted) == ("This call is recorded and kept for ten years.", False)
    assert not rig.of(AgentDucked) and not rig.of(AgentPaused)
    turns = [event.text for event in rig.of(UserTurnCommitted)]
    assert turns == (["I want to pay"] if words == "keep" else [])


# ---------------------------------------------------------------- silence and noise


def test_a_silent_caller_is_asked_twice_and_told_goodbye() -> None:
    async def call() -> Rig:
        agent = Agent(greeting="Hello.", silence={"after_s": 3.0, "ask": "Hello?", "goodbye": "Bye."})
        return await Rig(agent).run(30.0)

    rig = play(call())
    assert [(event.asked, event.gave_up) for event in rig.of(CallerSilent)] == [
        (1, False),
        (2, False),
        (2, True),
    ]
    assert [event.text for event in rig.of(AgentSpoke)] == ["Hello.", "Hello?", "Hello?", "Bye."]
    assert rig.hung_up == "caller_silent"


def test_a_caller_who_speaks_again_is_asked_anew() -> None:
    async def call() -> Rig:
        agent = Agent(silence={"after_s": 3.0, "times": 1, "ask": "Hello?"})
        return await Rig(agent, speech=[(4.0, 5.0)], llm=FakeLlm("Yes."), stt=FakeStt(["hi"])).run(10.5)

    rig = play(call())
    assert [event.asked for event in rig.of(CallerSilent)] == [1, 1]
    assert rig.hung_up == ""


def test_silence_while_a_tool_works_is_not_the_callers() -> None:
    @function_tool(timeout_s=30.0)
    async def slow() -> str:
        """Slow."""
        await asyncio.sleep(9.0)
        return "ready"

    async def call() -> Rig:
        agent = Agent(tools=[slow], silence={"after_s": 3.0}, fillers=())
        llm = FakeLlm("Here it is.", script=[{"tools": [{"name": "slow"}]}])
        return await Rig(agent, speech=[(1.0, 2.0)], llm=llm).run(13.0)

    assert not play(call()).of(CallerSilent)


def test_hold_music_ends_the_turn_and_the_call_does_not_last_for_ever() -> None:
    """A line that sounds like speech for minutes: the agent says so, asks, and hangs up."""

    async def call() -> Rig:
        agent = Agent(silence={"after_s": 5.0, "times": 1}, turn_handling={"max_turn_s": 20.0})
        return await Rig(agent, speech=[(1.0, 300.0)], stt=FakeStt(["", ""], otherwise="")).run(90.0)

    rig = play(call())
    assert rig.of(TurnTooLong)[0].seconds == pytest.approx(20.0, abs=0.2)
    assert "too much noise" in rig.of(AgentSpoke)[0].text
    assert rig.hung_up == "caller_silent"


def test_an_answer_that_takes_long_is_never_dead_air() -> None:
    """Row of the budget: 2.5 s of silence at most, whatever the tool does."""

    @function_tool(timeout_s=30.0)
    async def slow() -> str:
        """Slow."""
        await asyncio.sleep(10.0)
        return "ready"

    async def call() -> Rig:
        llm = FakeLlm("Here it is.", script=[{"tools": [{"name": "slow"}]}])
        return await Rig(Agent(tools=[slow]), speech=[(1.0, 2.0)], llm=llm).run(16.0)

    rig = play(call())
    said = [event.text for event in rig.of(FillerSaid)]
    assert said[:2] == ["One moment, please.", "I am still working on it."]
    quiet = longest = 0
    for tick, heard in enumerate(rig.heard):
        answering = 2.4 <= tick * 0.02 <= 12.0
        quiet = 0 if heard or not answering else quiet + 1
        longest = max(longest, quiet)
    assert longest * 0.02 <= 2.6
    assert rig.said()[-1] == ("assistant", "Here it is.")


# ---------------------------------------------------------------- keys


def test_a_menu_key_is_what_it_stands_for() -> None:
    async def call() -> Rig:
        agent = Agent(greeting="For opening hours press one.", keys={"1": "opening hours"})
        return await Rig(agent, keys=[(1.0, "1")], llm=FakeLlm("Nine to five.")).run(4.0)

    rig = play(call())
    assert [(turn.text, turn.by) for turn in rig.of(UserTurnCommitted)] == [("opening hours", "keys")]


class Pin(AgentTask[str]):
    """A PIN by keys, seen by nobody."""

    expectation = Expectation("digits", 4, 4)
    masked = True

    async def on_enter(self) -> None:
        self.session.say("Please key in your PIN.")

    def on_keys(self, keys: str) -> bool:
        self.complete(keys)
        return True


class Bank(Agent):
    pin = ""

    @function_tool(timeout_s=60.0)
    async def identify(self, context: RunContext) -> str:
        """Ask for the PIN."""
        type(self).pin = await Pin().run(context)
        return "identified"


def test_a_task_takes_over_in_the_middle_of_an_answer_and_its_secret_is_nowhere() -> None:
    async def call() -> Rig:
        ask = {"text": "One moment.", "tools": [{"name": "identify", "arguments": {}}]}
        llm = FakeLlm("Thank you, you are identified.", script=[ask])
        keys = [(5.0, "4"), (5.2, "7"), (5.4, "1"), (5.6, "1")]
        return await Rig(Bank(name="bank"), speech=[(1.0, 2.0)], keys=keys, llm=llm).run(12.0)

    rig = play(call())
    assert Bank.pin == "4711"
    assert [event.agent for event in rig.of(AgentEntered)] == ["bank", "Pin", "bank"]
    assert [event.text for event in rig.of(AgentSpoke)] == [
        "Please key in your PIN.",
        "One moment. Thank you, you are identified.",
    ]
    assert "4711" not in repr(rig.events) + repr(rig.session.history) + repr(rig.saved)
    assert {event.digit for event in rig.of(KeyPressed)} == {"•"}
    assert rig.of(AgentStartedSpeaking)[-1].at < 6.5, "the fourth key was enough, no # needed"


def test_a_task_that_fails_is_told_to_the_model() -> None:
    class Refusing(AgentTask[str]):
        async def on_enter(self) -> None:
            self.fail("The caller does not want to say it.")

    class Desk(Agent):
        @function_tool
        async def ask(self, context: RunContext) -> str:
            """Ask."""
            with pytest.raises(TaskFailed):
                await Refusing().run(context)
            return "refused"

    async def call() -> Rig:
        llm = FakeLlm("Never mind.", script=[{"tools": [{"name": "ask"}]}])
        return await Rig(Desk(), speech=[(1.0, 2.0)], llm=llm).run(6.0)

    assert play(call()).said()[-1] == ("assistant", "Never mind.")


# ---------------------------------------------------------------- agents


def test_the_agents_own_code_sees_each_turn_once_and_may_add_to_it() -> None:
    seen: list[str] = []

    class Librarian(Agent):
        async def on_user_turn_completed(self, history: History, message: Message) -> Message:
            seen.append(message.text)
            history.add(Message("system", "The shelf is empty."))
            return message

    async def call() -> Rig:
        stt = HearingStt([(1.5, "any books")])
        return await Rig(Librarian(), speech=[(1.0, 2.0)], stt=stt, llm=FakeLlm("No.")).run(6.0)

    rig = play(call())
    assert seen == ["any books"]
    assert [role for role, _ in rig.said()] == ["system", "user", "assistant"]
    assert rig.of(AnswerDiscarded), "the answer made ahead did not know of the shelf"


def test_the_agents_own_code_may_want_no_answer() -> None:
    class Silent(Agent):
        async def on_user_turn_completed(self, history: History, message: Message) -> Message:
            raise StopResponse

    async def call() -> Rig:
        return await Rig(Silent(), speech=[(1.0, 2.0)], stt=FakeStt(["hi"])).run(5.0)

    rig = play(call())
    assert rig.said() == [("user", "hi")]
    assert not rig.of(AgentSpoke)


def test_agents_that_pass_a_caller_round_are_stopped() -> None:
    class Passing(Agent):
        async def on_enter(self) -> None:
            self.session.generate_reply("Hand over.")

    def chain(depth: int) -> Agent:
        return Passing(name=f"desk{depth}", handoffs={"next": lambda: chain(depth + 1)})

    async def call() -> Rig:
        move = {"tools": [{"name": "hand_over", "arguments": {"agent": "next"}}]}
        return await Rig(chain(0), llm=FakeLlm("I will help you.", script=[move] * 5)).run(8.0)

    rig = play(call())
    assert [event.agent for event in rig.of(AgentEntered)] == [f"desk{number}" for number in range(5)]
    assert "I will help you." in [event.text for event in rig.of(AgentSpoke)]


class Reading(FakeLlm):
    """A model that keeps what it was given."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.given: list[list[str]] = []

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        self.given.append([message.text for message in messages])
        async for delta in super().chat(messages, tools, tool_choice=tool_choice):
            yield delta


@pytest.mark.parametrize(
    ("history", "knows"),
    [
        ("shared", ["hello", "", "billing takes over.", "and now"]),
        ("summary", ["What was said before you took over: A caller said hello.", "and now"]),
        ("private", ["and now"]),
    ],
)
def test_an_agent_that_takes_over_knows_as_much_as_it_is_to_know(history: Any, knows: list[str]) -> None:
    move = {"tools": [{"name": "hand_over", "arguments": {"agent": "billing"}}]}
    llm = Reading("Yes?", script=[move, *(["A caller said hello."] if history == "summary" else [])])

    async def call() -> Rig:
        billing = Agent(name="billing", history=history)
        first = Agent(name="desk", handoffs={"billing": lambda: billing})
        stt = FakeStt(["hello", "and now"])
        return await Rig(first, speech=[(1.0, 2.0), (4.0, 5.0)], stt=stt, llm=llm).run(8.0)

    rig = play(call())
    assert llm.given[-1] == knows
    assert ("user", "hello") in rig.said(), "the record has everything"


def test_an_agent_may_change_its_voice_model_and_language_in_the_middle_of_a_call() -> None:
    other = FakeLlm("Guten Tag.")

    class Polyglot(Agent):
        @function_tool
        async def speak_german(self) -> str:
            """Speak German from now on."""
            await self.update(llm=other, voice=Voice(language="de-DE"), phrases=["rechnung"])
            return "done"

    async def call() -> Rig:
        llm = FakeLlm("Sure.", script=[{"tools": [{"name": "speak_german"}]}])
        return await Rig(Polyglot(), speech=[(1.0, 2.0), (5.0, 6.0)], llm=llm).run(9.0)

    rig = play(call())
    assert rig.said()[-1] == ("assistant", "Guten Tag.")
    assert rig.session.agent.hints == Hints(("rechnung",), "de-DE")


def test_an_agent_that_cannot_take_over_leaves_the_caller_with_the_one_before() -> None:
    class Broken(Agent):
        async def on_enter(self) -> None:
            raise RuntimeError("no database")

    async def call() -> Rig:
        first = Agent(name="desk", handoffs={"billing": lambda: Broken(name="billing")})
        move = {"tools": [{"name": "hand_over", "arguments": {"agent": "billing"}}]}
        return await Rig(first, speech=[(1.0, 2.0)], llm=FakeLlm("They are not there.", script=[move])).run(
            6.0
        )

    rig = play(call())
    assert rig.of(HandoffFailed)[0].reason == "RuntimeError: no database"
    assert rig.session.agent.name == "desk"
    assert rig.said()[-1] == ("assistant", "They are not there.")


def test_a_speech_that_is_told_to_stop_stops_and_one_that_waits_never_begins() -> None:
    class Chatty(Agent):
        async def on_enter(self) -> None:
            first = self.session.say("This is a very long story about a very long road.")
            second = self.session.say("And this is another one.")
            await asyncio.sleep(1.0)
            second.interrupt()
            first.interrupt()
            await first
            self.session.say("Enough.")

    async def call() -> Rig:
        return await Rig(Chatty()).run(6.0)

    rig = play(call())
    spoken = [(event.text, event.interrupted) for event in rig.of(AgentSpoke)]
    assert spoken[0][1] and spoken[-1] == ("Enough.", False)
    assert len(spoken) == 2


def test_the_profile_is_where_the_numbers_begin() -> None:
    assert TurnHandling.model_validate({"profile": "patient"}).min_delay_ms == 800
    assert TurnHandling.model_validate({"profile": "patient", "min_delay_ms": 500}).min_delay_ms == 500
    assert Silence().after_s == 10.0
