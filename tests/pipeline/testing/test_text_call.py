"""Dialogues in words: what a developer of agents asserts, and what a failure tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.task import AgentTask
from pipeline.agent.tools import RunContext, function_tool
from pipeline.events import UserTurnCommitted
from pipeline.providers.fake import FakeLlm
from pipeline.testing import FakePhone, Result, TextCall, on_virtual_clock
from pipeline.testing.virtual_clock import run


class Desk(Agent):
    """Books, and knows a colleague."""

    def __init__(self) -> None:
        billing = Agent(name="billing", greeting="Billing speaking.")
        super().__init__(
            name="desk",
            greeting="Hello.",
            handoffs={"billing": lambda: billing},
            transfers={"nurse": "sip:nurse@example.com"},
        )

    @function_tool(timeout_s=60.0)
    async def book(self, context: RunContext, day: str) -> str:
        """Book a day."""
        if day == "sunday":
            raise ValueError("closed")
        context.userdata["day"] = day
        return f"booked {day}"

    @function_tool(timeout_s=None)
    async def look_up(self, context: RunContext) -> str:
        """Takes a minute."""
        context.update("looking")
        await asyncio.sleep(40.0)
        return "found it"


def wants(name: str, text: str = "", **arguments: Any) -> dict[str, Any]:
    return {"text": text, "tools": [{"name": name, "arguments": arguments}]}


BOOKING: list[str | dict[str, Any]] = [wants("book", "One moment.", day="friday"), "Friday it is."]


async def book() -> Result:
    async with TextCall(Desk(), llm=FakeLlm(script=BOOKING)) as call:
        call.opening.expect.message(text="Hello.", agent="desk").no_more()
        result = await call.say("I want to come on Friday")
        assert call.userdata == {"day": "friday"}
    return result


def _told(result: Result) -> None:
    result.expect.message(contains="moment")
    result.expect.tool_call("book", arguments={"day": "friday"}).tool_result(
        "book", contains="booked", ok=True
    )
    result.expect.message(contains=["friday", "it is"], interrupted=False).no_more()
    assert result.said == "One moment. Friday it is."


@pytest.mark.parametrize("runner", [lambda main: asyncio.run(main()), run])
def test_a_dialogue_is_asserted_in_order_on_any_loop(
    runner: Callable[[Callable[[], Coroutine[Any, Any, Result]]], Result],
) -> None:
    _told(runner(book))


async def test_a_dialogue_is_asserted_in_order_under_pytest_asyncio() -> None:
    _told(await book())


@on_virtual_clock
async def test_a_dialogue_takes_no_time() -> None:
    """Ten turns that would last minutes on the phone: nothing is waited for, and little is computed."""
    loop, busy = asyncio.get_running_loop(), time.process_time()
    async with TextCall(Desk(), llm=FakeLlm("That is a long answer, " * 20, script=BOOKING)) as call:
        for _ in range(10):
            await call.say("I want to come on Friday")
        assert len(call.result.items) == 24
    assert loop.time() < 1.0
    assert time.process_time() - busy < 1.0


@on_virtual_clock
async def test_a_tool_that_reports_leaves_the_floor_and_its_result_is_waited_for() -> None:
    llm = FakeLlm(script=[wants("look_up"), "I am looking.", "It is here."])
    async with TextCall(Desk(), llm=llm) as call:
        first = await call.say("Where is my parcel?")
        first.expect.tool_call("look_up").tool_result(contains="looking").message(
            text="I am looking."
        ).no_more()
        later = await call.wait()
    later.expect.tool_result("look_up", contains="found it").message(text="It is here.").no_more()


@on_virtual_clock
async def test_a_handoff_is_followed_until_the_next_agent_has_greeted() -> None:
    llm = FakeLlm("Which bill?", script=[wants("hand_over", "I will put you through.", agent="billing")])
    async with TextCall(Desk(), llm=llm) as call:
        moved = await call.say("My bill is wrong")
        moved.expect.message(contains="put you through").tool_call("hand_over").skip()
        moved.expect.handoff("billing").message(text="Billing speaking.", agent="billing").no_more()
        (await call.say("The last one")).expect.message(agent="billing", contains="which bill")


@on_virtual_clock
async def test_what_the_agent_does_to_the_call_is_in_the_story() -> None:
    llm = FakeLlm(script=[wants("transfer", target="nurse"), wants("hang_up", "Goodbye.")])
    async with TextCall(Desk(), llm=llm, phone=FakePhone()) as call:
        (await call.say("A nurse, please")).has.transfer("sip:nurse@example.com", ok=True)
        gone = await call.say("Bye")
        gone.expect.message(text="Goodbye.").tool_call("hang_up").tool_result().over(
            "agent_hung_up"
        ).no_more()
        assert call.phone.transfers == ["sip:nurse@example.com"]
        with pytest.raises(AssertionError, match="The call is over"):
            await call.say("Hello?")


class Pin(AgentTask[str]):
    """Four digits."""

    async def on_enter(self) -> None:
        self.session.say("Please key in your PIN.")

    def on_keys(self, keys: str) -> bool:
        self.complete(keys)
        return True


class Bank(Agent):
    """Asks before anything else."""

    pin = ""

    @function_tool(timeout_s=60.0)
    async def identify(self, context: RunContext) -> str:
        """Ask for the PIN."""
        self.pin = await Pin().run(context)
        return "identified"


@pytest.mark.parametrize("runner", [lambda main: asyncio.run(main()), run])
def test_a_task_in_the_middle_of_an_answer_waits_for_the_caller(runner: Callable[..., None]) -> None:
    async def main() -> None:
        bank = Bank(name="bank")
        llm = FakeLlm("You are identified.", script=[wants("identify", "One moment.")])
        async with TextCall(bank, llm=llm) as call:
            asked = await call.say("My balance, please")
            asked.expect.message().tool_call("identify").handoff("Pin").message(contains="PIN").no_more()
            done = await call.press("4711#")
            done.expect.handoff("bank").tool_result(contains="identified").message(
                contains="identified"
            ).no_more()
        assert bank.pin == "4711"

    runner(main)


class Concierge(Agent):
    """Begins with a task."""

    async def on_enter(self) -> None:
        pin = await Pin().run(self.session)
        self.session.say(f"Welcome, {pin}.")


@on_virtual_clock
async def test_a_task_on_entering_waits_for_the_caller_too() -> None:
    async with TextCall(Concierge(name="concierge"), llm=FakeLlm()) as call:
        call.opening.expect.handoff("Pin").message(contains="PIN").no_more()
        (await call.press("12#")).expect.handoff("concierge").message(text="Welcome, 12.").no_more()


@on_virtual_clock
async def test_words_that_are_not_in_the_history_are_words_all_the_same() -> None:
    class Whispering(Agent):
        async def on_enter(self) -> None:
            self.session.say("Psst.", add_to_history=False)

    async with TextCall(Whispering(), llm=FakeLlm()) as call:
        call.opening.expect.message(text="Psst.").no_more()
        assert call.opening.messages == []


@on_virtual_clock
async def test_a_turn_typed_is_a_turn_of_its_own_kind() -> None:
    async with TextCall(Agent(), llm=FakeLlm("Hi.")) as call:
        result = await call.say("hello")
    (turn,) = [event for event in result.events if isinstance(event, UserTurnCommitted)]
    assert (turn.text, turn.by, turn.understood) == ("hello", "text", True)
    assert [message.role for message in result.messages] == ["user", "assistant"]


@on_virtual_clock
async def test_a_slow_tool_brings_no_fillers_into_a_dialogue() -> None:
    @function_tool(timeout_s=30.0)
    async def slow() -> str:
        """Slow."""
        await asyncio.sleep(20.0)
        return "ready"

    agent = Agent(tools=[slow], turn_handling={"profile": "fast"})
    async with TextCall(agent, llm=FakeLlm("Here it is.", script=[wants("slow")])) as call:
        (await call.say("go")).expect.tool_call("slow").tool_result().message(text="Here it is.").no_more()


@on_virtual_clock
async def test_a_key_of_a_menu_is_what_it_stands_for() -> None:
    async with TextCall(Agent(keys={"1": "opening hours"}), llm=FakeLlm("Nine to five.")) as call:
        (await call.press("1")).expect.message(contains="nine").no_more()
        assert call.result.has.message(role="user", text="opening hours")


@on_virtual_clock
async def test_a_speech_that_the_agent_itself_stops_is_over() -> None:
    class Hasty(Agent):
        async def on_enter(self) -> None:
            self.session.say("A long speech that nobody needs to hear.").interrupt()
            self.session.say("Hello.")

    async with TextCall(Hasty(), llm=FakeLlm("Yes.")) as call:
        call.opening.has.message(text="Hello.")
        (await call.say("hi")).expect.message(text="Yes.").no_more()


# ---------------------------------------------------------------- failures


async def _failure(claim: Callable[[Result], object]) -> str:
    result = await book()
    with pytest.raises(AssertionError) as failed:
        claim(result)
    return str(failed.value)


@on_virtual_clock
async def test_a_failed_assertion_tells_the_whole_turn() -> None:
    text = await _failure(
        lambda result: result.expect.message().tool_call("book", arguments={"day": "monday"})
    )
    assert text.splitlines() == [
        "Expected next a call of tool 'book' with {'day': 'monday'}, but there came tool call: book(day=\"friday\")",
        "What happened:",
        '  caller: "I want to come on Friday"',
        '  agent desk: "One moment."',
        '> tool call: book(day="friday")',
        '  tool result: book -> "booked friday"',
        '  agent desk: "Friday it is."',
    ]


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        (lambda result: result.expect.no_more(), "Expected nothing more"),
        (lambda result: result.expect.nothing_said(), "Expected that nothing is said"),
        (lambda result: result.expect.handoff("billing"), "Expected next a handoff to 'billing'"),
        (lambda result: result.expect.skip(4).next(), "Expected one thing more"),
        (lambda result: result.has.message(contains="Monday"), "somewhere, but there is none"),
        (lambda result: result.has.tool_result("book", ok=False), "a result of tool 'book' with ok=False"),
        (lambda result: result.has.over(), "the end of the call"),
    ],
)
def test_each_assertion_says_what_it_missed(claim: Callable[[Result], object], says: str) -> None:
    assert says in run(lambda: _failure(claim))


@on_virtual_clock
async def test_an_agent_that_never_comes_to_an_end_fails_the_test_with_its_story() -> None:
    @function_tool(timeout_s=None)
    async def dig() -> str:
        """Dig."""
        await asyncio.sleep(3600)
        return ""

    async with TextCall(Agent(tools=[dig]), llm=FakeLlm(script=[wants("dig")]), timeout_s=5.0) as call:
        with pytest.raises(AssertionError, match=r"within 5 s(.|\n)*tool call: dig\(\)"):
            await call.say("Dig")


def test_a_mistake_in_the_agents_own_code_is_raised_in_the_test() -> None:
    class Broken(Agent):
        async def on_enter(self) -> None:
            raise ZeroDivisionError("in on_enter")

    async def main() -> None:
        async with TextCall(Broken(), llm=FakeLlm()):
            pass

    with pytest.raises(ZeroDivisionError, match="in on_enter"):
        run(main)


@on_virtual_clock
async def test_a_caller_who_hangs_up_ends_the_call() -> None:
    async with TextCall(Agent(greeting="Hello."), llm=FakeLlm()) as call:
        (await call.hang_up()).expect.over("caller_hung_up").no_more()


@pytest.mark.parametrize("agent", [Concierge, Bank])
def test_a_caller_who_hangs_up_in_the_middle_of_a_task_ends_the_call_at_once(agent: type[Agent]) -> None:
    async def main() -> float:
        async with TextCall(agent(), llm=FakeLlm(script=[wants("identify")]), timeout_s=5.0) as call:
            if agent is Bank:
                await call.say("My balance, please")
            began = asyncio.get_running_loop().time()
            (await call.hang_up()).has.over("caller_hung_up")
            return asyncio.get_running_loop().time() - began

    assert run(main) < 0.1


@on_virtual_clock
async def test_an_agent_that_takes_over_may_begin_with_a_task() -> None:
    desk = Agent(name="desk", handoffs={"concierge": lambda: Concierge(name="concierge")})
    llm = FakeLlm(script=[wants("hand_over", "One moment.", agent="concierge")])
    async with TextCall(desk, llm=llm, timeout_s=5.0) as call:
        moved = await call.say("The concierge, please")
        moved.expect.skip(3).handoff("concierge").handoff("Pin").message(contains="PIN").no_more()
        (await call.press("12#")).expect.handoff("concierge").message(text="Welcome, 12.").no_more()
