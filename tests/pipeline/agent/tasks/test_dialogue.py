"""How tasks talk: what stays secret, who answers what the rules cannot, going back, silence, and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.agent.agent import Agent
from pipeline.agent.tasks import (
    AskCard,
    AskChoice,
    AskDigits,
    AskName,
    AskPhoneNumber,
    AskPin,
    AskYesNo,
    Name,
    TaskFailed,
    TaskGroup,
)
from pipeline.agent.tools import RunContext, function_tool
from pipeline.events import AgentSpoke, CallerSilent, KeyPressed, UserTurnCommitted
from pipeline.options import TurnHandling
from pipeline.providers.fake import FakeLlm, FakeStt
from pipeline.providers.scripted import ScriptedLlm
from pipeline.testing.virtual_clock import run
from tests.pipeline.agent.tasks.caller import Outcome, StreamingStt, ask
from tests.pipeline.rig import Rig

SAID = "four one one one one one one one one one one one one one one one"
PHONE = "four one five five five five two six seven one"


def _spoken(outcome: Outcome) -> list[str]:
    return [event.text for event in outcome.rig.of(AgentSpoke)]


# ---------------------------------------------------------------- secrets


def test_a_card_number_is_in_no_event_history_checkpoint_or_recording() -> None:
    for lines in ([SAID, "twelve thirty", "yes"], ["keys 4111111111111111", "keys 1230"]):
        outcome = ask(AskCard, lines)
        rig = outcome.rig
        assert outcome.value.number == "4111111111111111"
        record = repr(rig.events) + repr(rig.session.history) + repr(rig.saved) + repr(outcome.value)
        assert "4111" not in record
        assert "four one one" not in record
        assert "twelve thirty" not in record
        assert "1230" not in record
        assert rig.control == ["pause recording", "resume recording"]


def test_a_secret_is_told_to_no_model() -> None:
    asked: list[Any] = []

    class Listening(FakeLlm):
        def chat(self, messages: Any, *rest: Any, **options: Any) -> Any:
            asked.append(messages)
            return super().chat(messages, *rest, **options)

    outcome = ask(AskPin, ["that is my birthday", "four seven one one"], llm=Listening())
    assert outcome.value == "4711"
    assert not asked, "what the rules do not understand of a secret is asked for again"


def test_keys_pressed_before_the_question_is_over_are_taken_and_hidden() -> None:
    async def call() -> Rig:
        class Bank(Agent):
            async def on_enter(self) -> None:
                self.session.userdata["pin"] = await AskPin().run(self.session)

        keys = [(0.3, "4"), (0.4, "7"), (0.5, "1"), (0.6, "1")]
        return await Rig(Bank(), keys=keys, llm=ScriptedLlm()).run(4.0)

    rig = run(call)
    assert rig.session.userdata == {"pin": "4711"}
    assert {event.digit for event in rig.of(KeyPressed)} == {"•"}


def test_a_pause_ends_an_entry_as_soon_as_the_task_says() -> None:
    quick = ask(lambda: AskDigits(at_least=2, at_most=8, keys_timeout_s=1.0), ["keys 47"])
    slow = ask(lambda: AskDigits(at_least=2, at_most=8, keys_timeout_s=6.0), ["keys 47"])
    assert quick.value == slow.value == "47"
    assert slow.rig.events[-1].at - quick.rig.events[-1].at > 4.0


# ---------------------------------------------------------------- turns


def test_a_complete_answer_ends_the_turn_at_once_and_a_begun_one_is_waited_for() -> None:
    outcome = ask(lambda: AskDigits(digits=4), ["four two seven one", "yes"])
    waits = [turn.at - turn.spoke_until for turn in outcome.rig.of(UserTurnCommitted)]
    assert max(waits) < 0.3
    begun = ask(lambda: AskDigits(digits=4), ["four two", "seven one", "yes"])
    first = begun.rig.of(UserTurnCommitted)[0]
    assert first.at - first.spoke_until > 2.0


def test_a_yes_over_the_question_is_an_answer_and_no_listening_noise() -> None:
    outcome = ask(lambda: AskYesNo("Would you like to hear about our new and improved rates?"), ["over yes"])
    assert outcome.value is True
    assert len(outcome.rig.of(AgentSpoke)) == 1, "heard to its end, and not asked again"


def test_the_recogniser_is_told_what_may_come() -> None:
    stt = StreamingStt()

    async def call() -> Rig:
        class Desk(Agent):
            async def on_enter(self) -> None:
                await AskChoice("Which?", ["red", "green"]).run(self.session)

        return await Rig(Desk(), stt=stt, llm=ScriptedLlm()).run(1.0)

    run(call)
    assert stt.stream is not None
    wanted = {"red", "green", "{yes_no}", "never mind"}
    assert any(set(hints.phrases) >= wanted for hints in stt.stream.hints)


# ---------------------------------------------------------------- other words, and ends


def test_a_question_is_asked_again_in_other_words_and_not_for_ever() -> None:
    outcome = ask(AskPhoneNumber, ["why", "what for", "no way"])
    assert outcome.why == "not_understood"
    said = _spoken(outcome)
    assert len(said) == len(set(said)) == 3


def test_keys_need_no_confirmation_unless_it_is_wanted() -> None:
    assert ask(lambda: AskDigits(digits=4), ["keys 4271"]).value == "4271"
    outcome = ask(lambda: AskDigits(digits=4, confirm=True), ["keys 4271", "keys 2", "keys 4272", "keys 1"])
    assert outcome.value == "4272"
    assert ask(lambda: AskDigits(digits=4, confirm=False), ["four two seven one"]).value == "4271"


def test_a_check_of_ones_own_refuses_with_a_reason() -> None:
    def known(number: str) -> str | None:
        return None if number == "4271" else "There is no such order."

    outcome = ask(lambda: AskDigits(digits=4, check=known), ["keys 1111", "keys 4271"])
    assert outcome.value == "4271"
    assert any("There is no such order." in text for text in _spoken(outcome))


def test_a_silent_caller_is_asked_the_question_again_also_while_a_tool_waits_for_the_task() -> None:
    class Desk(Agent):
        @function_tool(timeout_s=None)
        async def identify(self, context: RunContext) -> str:
            """Identify."""
            return await AskPin(silence={"after_s": 3.0}).run(context)

    async def call() -> Rig:
        llm = FakeLlm("Fine.", script=[{"tools": [{"name": "identify"}]}])
        agent = Desk(silence={"after_s": 30.0})
        return await Rig(agent, speech=[(0.5, 1.5)], stt=FakeStt(["my account"]), llm=llm).run(15.0)

    rig = run(call)
    assert rig.of(CallerSilent)
    asked = [event.text for event in rig.of(AgentSpoke)]
    assert asked[:2] == ["Please key in or say your PIN."] * 2


def test_who_says_nothing_to_a_read_back_hears_that_again_and_not_the_first_question() -> None:
    outcome = ask(
        lambda: AskDigits(digits=4, confirm=True, silence={"after_s": 4.0}), ["keys 4271"], seconds=25.0
    )
    spoken = _spoken(outcome)
    assert "4, 2, 7, 1" in spoken[1] or "4 2 7 1" in spoken[1] or "4271" in spoken[1], spoken
    assert spoken[2] == spoken[1] != spoken[0], spoken


def test_an_agent_may_deal_with_a_caller_who_stays_silent_itself() -> None:
    class Patient(Agent):
        def on_silence(self) -> bool:
            self.session.say("I will wait.")
            return True

    async def call() -> Rig:
        return await Rig(Patient(silence={"after_s": 2.0, "times": 1, "ask": "Hello?"})).run(12.0)

    rig = run(call)
    assert [event.text for event in rig.of(AgentSpoke)][:2] == ["Hello?", "I will wait."]
    assert rig.hung_up == ""


def test_a_call_that_ends_during_a_task_ends_at_once() -> None:
    async def call() -> Rig:
        class Desk(Agent):
            async def on_enter(self) -> None:
                await AskName().run(self.session)

        return await Rig(Desk(), llm=ScriptedLlm()).run(3.0)

    assert run(call).events[-1].at < 4.0


def test_a_task_speaks_and_listens_with_what_the_agent_that_sent_it_has() -> None:
    llm, heard = ScriptedLlm(), StreamingStt()
    tasks: list[AskName] = []

    async def call() -> Rig:
        class Desk(Agent):
            async def on_enter(self) -> None:
                tasks.append(AskName())
                await tasks[0].run(self.session)

        agent = Desk(llm=llm, stt=heard, language="en-GB", turn_handling={"min_delay_ms": 600})
        return await Rig(agent, options=TurnHandling()).run(2.0)

    run(call)
    (task,) = tasks
    assert task.llm is llm
    assert task.stt is heard
    assert task.voice.language == "en-GB"
    assert task.turn_handling["min_delay_ms"] == 600


# ---------------------------------------------------------------- with a language model


def test_what_the_rules_do_not_understand_the_model_may() -> None:
    record = {"tools": [{"name": "record", "arguments": {"first": "Siobhan", "last": "O'Leary"}}]}
    llm = FakeLlm(
        "So that we can call you back. What is your name?", script=["It is for our records.", record]
    )
    outcome = ask(
        AskName,
        ["why do you need my name", "you know it is the one like the singer but leary you know", "yes"],
        llm=llm,
    )
    assert outcome.value == Name("Siobhan", "O'Leary")
    assert _spoken(outcome)[1] == "It is for our records."
    assert "Siobhan O'Leary. Is that right?" in _spoken(outcome)


def test_a_model_that_records_nonsense_is_told_so() -> None:
    script: list[str | dict[str, Any]] = [
        {"tools": [{"name": "record", "arguments": {"number": "12"}}]},
        "Could you say it once more?",
        {"tools": [{"name": "record", "arguments": {"number": "+1 415 555 2671"}}]},
        {"tools": [{"name": "confirm", "arguments": {}}]},
    ]
    lines = ["it is on my card somewhere", "the usual one", "you have it as I said"]
    outcome = ask(AskPhoneNumber, lines, llm=FakeLlm(script=script))
    assert outcome.value == "+14155552671"
    assert "Could you say it once more?" in " ".join(_spoken(outcome))


def test_a_model_may_tell_that_the_caller_declines() -> None:
    decline = {"tools": [{"name": "decline", "arguments": {"reason": "privacy"}}]}
    outcome = ask(AskName, ["is that really necessary here you see"], llm=FakeLlm(script=[decline]))
    assert outcome.why == "declined"


def test_a_model_that_only_chats_is_stopped() -> None:
    lines = ["tell me about the weather and the news today"] * 12
    outcome = ask(AskPhoneNumber, lines, llm=FakeLlm("Lovely weather."), seconds=200.0)
    assert outcome.why == "not_understood"


# ---------------------------------------------------------------- groups


@dataclass(frozen=True)
class Booking:
    name: Name
    phone: str
    guests: str


def _group(**options: Any) -> TaskGroup[Booking]:
    return TaskGroup(
        Booking,
        name=AskName,
        phone=AskPhoneNumber,
        guests=lambda: AskChoice("For two, for three or for four?", ["two", "three", "four"], label="guests"),
        **options,
    )


GROUP_LINES = ["john smith", "yes", PHONE, "yes", "three"]


def test_a_group_gives_all_results_typed_after_reading_them_back() -> None:
    outcome = ask(_group, [*GROUP_LINES, "yes"])
    assert outcome.value == Booking(Name("John", "Smith"), "+14155552671", "three")
    assert _spoken(outcome)[-1] == (
        "Let me read that back. Name: John Smith. Phone number: 4 1 5, 5 5 5, 2 6 7 1. Guests: three."
        " Is everything right?"
    )
    assert ask(lambda: _group(summary=False), GROUP_LINES).value == outcome.value


def test_a_caller_may_go_back_to_what_was_said_before() -> None:
    wanted = Booking(Name("Peter", "Smith"), "+14155552671", "three")
    calls = [
        ["john smith", "yes", "wait the name is wrong", "peter smith", "yes", PHONE, "yes", "three", "yes"],
        ["john smith", "yes", "no wait i want to change my name", "peter smith", "yes", PHONE, "yes", "three", "yes"],
        ["john smith", "yes", "go back", "peter smith", "yes", PHONE, "yes", "three", "yes"],
        [*GROUP_LINES, "no the name is wrong", "peter smith", "yes", "yes"],
        [*GROUP_LINES, "no", "the name", "peter smith", "yes", "yes"],
    ]  # fmt: skip
    for lines in calls:
        outcome = ask(_group, lines)
        assert outcome.value == wanted, lines
        assert _spoken(outcome).count("What is your name, please?") == 2, "nothing else was taken for a name"


def test_a_new_value_may_come_with_the_wish_to_change_it() -> None:
    for words in (
        "no change my name to peter smith",
        "the name should be peter smith",
        "no the name is peter smith",
    ):
        outcome = ask(_group, [*GROUP_LINES, words, "yes", "yes"])
        assert outcome.value.name == Name("Peter", "Smith"), words


def test_a_correction_that_holds_the_right_value_needs_no_second_question() -> None:
    lines = [
        *GROUP_LINES,
        "no the phone number is wrong it's two one two five five five two six seven one",
        "yes",
        "yes",
    ]
    outcome = ask(_group, lines)
    assert outcome.value.phone == "+12125552671"
    assert _spoken(outcome).count("What is your phone number?") == 1


def test_a_group_fails_as_soon_as_one_of_its_tasks_does() -> None:
    outcome = ask(_group, ["john smith", "yes", "i'd rather not"])
    assert isinstance(outcome.failed, TaskFailed)
    assert outcome.why == "declined"


def test_a_model_may_send_the_caller_back() -> None:
    back = {"tools": [{"name": "go_back", "arguments": {"topic": "name"}}]}
    lines = [
        "john smith",
        "yes",
        "oh dear i told you my brother's",
        "peter smith",
        "yes",
        PHONE,
        "yes",
        "three",
        "yes",
    ]
    outcome = ask(_group, lines, llm=FakeLlm(script=[back]))
    assert outcome.value.name == Name("Peter", "Smith")
