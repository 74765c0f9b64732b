"""Tools beside a conversation, on a virtual clock: slow ones, asked for twice, cut off, with a toolset behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal, cast

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.conversation import Conversation
from pipeline.agent.history import History, Message, ToolRequest
from pipeline.agent.tools import RunContext, function_tool
from pipeline.agent.toolset import Toolset
from pipeline.events import (
    AgentEntered,
    AgentPaused,
    AgentSpoke,
    AgentStartedSpeaking,
    CallerInterrupted,
    SessionClosed,
    ToolFinished,
    ToolProgressed,
    ToolsetFailed,
)
from pipeline.ports import LlmDelta, ToolCall, ToolSpec
from pipeline.providers.fake import FakeLlm, FakeStt
from pipeline.testing.virtual_clock import run
from pipeline.tooling import ToolRunner
from tests.pipeline.rig import Rig

OPEN_END = "I am searching the archive."


class Asked(FakeLlm):
    """A model that keeps what it was asked."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.requests: list[list[Message]] = []

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        self.requests.append(list(messages))
        async for delta in super().chat(messages, tools, tool_choice=tool_choice):
            yield delta


class Clerk(Agent):
    """Books, and looks things up for as long as it takes."""

    def __init__(self, takes_s: float = 10.0) -> None:
        super().__init__(name="clerk")
        self.takes_s = takes_s
        self.booked: list[str] = []
        self.used: list[str] = []

    @function_tool
    async def book(self, context: RunContext, day: str) -> str:
        """Book."""
        self.used.append(context.call_id)
        await asyncio.sleep(self.takes_s)
        self.booked.append(day)
        return f"booked {day}"

    @function_tool(cancellable=True)
    async def browse(self) -> str:
        """Look around."""
        await asyncio.sleep(self.takes_s)
        self.booked.append("browsed")
        return "nothing special"

    @function_tool(timeout_s=None)
    async def look_up(self, context: RunContext, what: str) -> str:
        """Look something up."""
        context.update("the archive is being searched")
        await asyncio.sleep(self.takes_s)
        return f"{what}: found"


def _ask(tool: str, text: str = "", **arguments: str) -> dict[str, Any]:
    return {"text": text, "tools": [{"name": tool, "arguments": arguments}]}


def _spoken(rig: Rig) -> list[str]:
    return [event.text for event in rig.of(AgentSpoke)]


def _call(
    agent: Agent,
    llm: FakeLlm,
    *speech: tuple[float, float],
    stt: FakeStt | None = None,
    seconds: float = 20.0,
) -> Rig:
    async def call() -> Rig:
        return await Rig(agent, speech=speech, stt=stt, llm=llm).run(seconds)

    return run(call)


# ---------------------------------------------------------------- long-running tools


def test_a_long_tool_reports_and_its_result_is_spoken_once() -> None:
    llm = Asked(
        "Anything else?", script=[_ask("look_up", "One moment.", what="bill"), OPEN_END, "It is found."]
    )
    rig = _call(Clerk(10.0), llm, (1.0, 2.0))
    assert _spoken(rig) == [f"One moment. {OPEN_END}", "It is found."]
    (progress,) = rig.of(ToolProgressed)
    assert progress.message == "the archive is being searched"
    (finished,) = rig.of(ToolFinished)
    assert finished.result == "bill: found"
    told = rig.of(AgentStartedSpeaking)[1]
    assert told.at - finished.at < 0.1, "nobody spoke, so it was told at once"
    assert len(llm.requests) == 3
    assert "still running" in llm.requests[1][-1].text
    assert llm.requests[2][-1].text == "bill: found"


def test_a_result_that_comes_while_the_agent_speaks_is_told_after_that() -> None:
    answer = "We are open from eight in the morning until six in the evening, every day but Sunday."
    llm = Asked(script=[_ask("look_up", what="bill"), OPEN_END, answer, "By the way, it is found."])
    rig = _call(Clerk(4.0), llm, (1.0, 2.0), (4.5, 5.2))
    (finished,) = rig.of(ToolFinished)
    last = rig.of(AgentStartedSpeaking)[-2:]
    assert last[0].at < finished.at < last[1].at
    assert _spoken(rig) == [OPEN_END, answer, "By the way, it is found."]
    running = [message.text for message in llm.requests[2] if message.role == "tool"]
    assert "still running" in running[-1], "the model knows that it need not ask again"


def test_a_result_that_comes_while_the_caller_speaks_is_part_of_the_next_answer() -> None:
    llm = Asked(
        "Of no use.", script=[_ask("look_up", what="bill"), OPEN_END, "It is found, and we are open."]
    )
    rig = _call(Clerk(3.6), llm, (1.0, 2.0), (5.0, 7.0))
    (finished,) = rig.of(ToolFinished)
    assert 5.0 < finished.at < 7.0
    assert _spoken(rig) == [OPEN_END, "It is found, and we are open."], "not told again"


def test_results_that_come_together_are_told_in_one_reply() -> None:
    both = {"tools": [{"name": "look_up", "arguments": {"what": what}} for what in ("bill", "invoice")]}
    llm = Asked("Too much.", script=[both, OPEN_END, "Both are found."])
    rig = _call(Clerk(6.0), llm, (1.0, 2.0))
    assert len(rig.of(ToolFinished)) == 2
    assert _spoken(rig) == [OPEN_END, "Both are found."]
    assert {message.text for message in llm.requests[2]} >= {"bill: found", "invoice: found"}


def test_a_tool_says_something_in_the_middle_of_the_answer() -> None:
    class Slow(Agent):
        @function_tool
        async def find(self, context: RunContext) -> str:
            """Find."""
            context.say("The computer is slow today.")
            await asyncio.sleep(3.0)
            return "found"

    llm = Asked(script=[_ask("find", "One moment."), "Here it is."])
    rig = _call(Slow(), llm, (1.0, 2.0))
    assert _spoken(rig) == ["One moment. The computer is slow today. Here it is."]
    gap = [at for at, heard in enumerate(rig.heard) if heard]
    assert gap[0] * 0.02 < 3.0, "it was said while the tool ran"
    asked = llm.requests[1]
    assert [message.role for message in asked] == ["user", "assistant", "tool"], "as models insist on"
    assert asked[1].text == "One moment. The computer is slow today."


# ---------------------------------------------------------------- interruptions


def test_what_is_asked_for_again_after_an_interruption_is_not_done_twice() -> None:
    """Barge-in during a booking never runs it twice."""
    clerk = Clerk(8.0)
    script = [
        _ask("book", "I am booking Friday for you now.", day="friday"),
        _ask("book", day="friday"),
        "Wait.",
    ]
    rig = _call(clerk, Asked("It is booked.", script=script), (1.0, 2.0), (2.8, 3.6))
    assert rig.of(CallerInterrupted)
    assert clerk.booked == ["friday"]
    refused, finished = rig.of(ToolFinished)
    assert (refused.ok, finished.ok) == (False, True)
    assert "running already" in refused.result
    assert _spoken(rig)[-1] == "It is booked.", "nobody waited for it any more, but it is told"


def test_a_result_that_comes_during_an_interruption_is_in_the_history_at_once() -> None:
    clerk = Clerk(1.5)
    llm = Asked("Yes, it is done.", script=[_ask("book", "I am booking it now, one moment.", day="friday")])
    rig = _call(clerk, llm, (1.0, 2.0), (2.8, 5.0))
    (finished,) = rig.of(ToolFinished)
    saved = next(row for row in rig.saved if row["history"] and row["history"][-1]["role"] == "tool")
    assert saved["history"][-1]["text"] == "booked friday"
    assert rig.of(AgentPaused)[0].at < finished.at < 5.0, "while the caller speaks"
    assert [message.text for message in llm.requests[1] if message.role == "tool"] == ["booked friday"]
    assert clerk.booked == ["friday"]
    assert _spoken(rig)[1:] == ["Yes, it is done."]


def test_an_interruption_ends_only_a_tool_that_allows_it() -> None:
    clerk = Clerk(6.0)
    llm = Asked("Fine.", script=[{"text": "Let me see what I can find.", "tools": [{"name": "browse"}]}])
    rig = _call(clerk, llm, (1.0, 2.0), (2.8, 3.6))
    (finished,) = rig.of(ToolFinished)
    assert finished.result == "browse was stopped: the caller interrupted."
    assert finished.took_ms < 2000
    assert clerk.booked == []
    assert _spoken(rig)[-1] == "Fine."


@pytest.mark.parametrize(("tool", "done"), [("book", ["friday"]), ("browse", [])])
def test_the_end_of_the_call_lets_a_booking_finish_but_nothing_else(tool: str, done: list[str]) -> None:
    clerk = Clerk(4.0)
    arguments = {"day": "friday"} if tool == "book" else {}
    rig = _call(clerk, Asked(script=[_ask(tool, **arguments)]), (1.0, 2.0), seconds=4.0)
    assert clerk.booked == done
    assert len(rig.of(ToolFinished)) == 1


def test_a_tool_without_a_limit_does_not_keep_a_call_open_for_ever() -> None:
    clerk = Clerk(3600.0)
    rig = _call(clerk, Asked(script=[_ask("look_up", what="x"), OPEN_END]), (1.0, 2.0), seconds=6.0)
    assert rig.of(SessionClosed)[0].at < 6.0 + 10.0 + 2.0
    assert rig.of(ToolFinished)[0].result == "look_up was stopped: the call is over."


# ---------------------------------------------------------------- duplicates and keys


class Desk:
    """A runner without a phone: for what needs no voice."""

    def __init__(self, agent: Agent, history: History | None = None, call_id: str = "call") -> None:
        self.agent, self.history, self.call_id = agent, history or History(), call_id
        self.runner: ToolRunner
        self._stack = AsyncExitStack()
        self._ids = 0

    async def __aenter__(self) -> Desk:
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        runner = ToolRunner(
            cast("Conversation", None), self.history, tasks, lambda _: None, lambda _: None,
            idle=lambda: False, call_id=self.call_id,
        )  # fmt: skip
        self.runner = await self._stack.enter_async_context(runner)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    def hears(self, text: str) -> None:
        self.history.add(Message("user", text))

    async def asks(self, *requests: tuple[str, str]) -> list[str]:
        """The model asks for tools: (name, arguments). Returns what it is told."""
        calls = []
        for name, arguments in requests:
            self._ids += 1
            calls.append(ToolCall(f"{self.call_id}-{self._ids}", name, arguments))
        asked = tuple(ToolRequest(call.id, call.name, call.arguments) for call in calls)
        self.history.add(Message("assistant", "", tool_calls=asked))
        await self.runner.run(self.agent, calls)
        ids = [call.id for call in calls]
        return [message.text for message in self.history.messages if message.tool_call_id in ids]


class Till(Agent):
    """Counts what runs, and with which key."""

    def __init__(self) -> None:
        super().__init__()
        self.used: list[str] = []
        self.fails = 0

    @function_tool
    async def pay(self, context: RunContext, amount: int) -> str:
        """Pay."""
        self.used.append(context.call_id)
        await asyncio.sleep(1.0)
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the bank does not answer")
        return f"paid {amount}"

    @function_tool(on_duplicate="replace", duplicate_scope="name")
    async def show(self, amount: int) -> str:
        """Show."""
        await asyncio.sleep(1.0)
        return f"shown {amount}"

    @function_tool(on_duplicate="allow")
    async def roll(self, context: RunContext) -> str:
        """Roll a die."""
        self.used.append(context.call_id)
        return "6"


def test_of_two_equal_calls_at_once_one_runs_and_different_ones_run_both() -> None:
    async def call() -> list[str]:
        async with Desk(Till()) as desk:
            desk.hears("pay")
            return await desk.asks(
                ("pay", '{"amount": 1}'), ("pay", "{'amount': 1,}"), ("pay", '{"amount": 2}')
            )

    told = run(call)
    assert sorted(told) == [
        "paid 1",
        "paid 2",
        "pay is running already. Wait for its result, do not call it again.",
    ]


def test_a_newer_call_takes_the_place_of_a_running_one_that_allows_it() -> None:
    async def call() -> list[str]:
        async with Desk(Till()) as desk:
            return await desk.asks(("show", '{"amount": 1}'), ("show", '{"amount": 2}'))

    assert run(call) == ["show was stopped: a newer call took its place.", "shown 2"]


def test_equal_calls_that_are_allowed_at_once_have_keys_of_their_own() -> None:
    till = Till()

    async def call() -> list[str]:
        async with Desk(till) as desk:
            return await desk.asks(("roll", "{}"), ("roll", "{}"))

    assert run(call) == ["6", "6"]
    assert len(set(till.used)) == 2


def test_a_request_keeps_its_key_until_it_has_succeeded() -> None:
    till = Till()
    till.fails = 2
    pay = ("pay", '{"amount": 7}')

    async def call() -> None:
        async with Desk(till) as desk:
            desk.hears("pay seven")
            for _ in range(4):
                await desk.asks(pay)
            desk.hears("and again")
            await desk.asks(pay)

    run(call)
    first, second, third, after, again = till.used
    assert first == second == third, "two attempts failed, the third may be the second of the bank's"
    assert len({first, after, again}) == 3


def test_a_key_is_the_same_in_another_process_and_another_in_another_call() -> None:
    """The worker died while the tool ran; its successor has the history of the checkpoint."""
    first, second, stranger = Till(), Till(), Till()
    rows: list[dict[str, Any]] = []
    pay = ("pay", '{"amount": 7}')

    async def begin() -> None:
        async with Desk(first) as desk:
            desk.hears("pay seven")
            asking = asyncio.create_task(desk.asks(pay))
            await asyncio.sleep(0.5)
            rows.extend(desk.history.dump())
            await asking

    async def go_on() -> list[str]:
        async with Desk(second, History.load(rows)) as desk:
            lost = [message.text for message in desk.history.messages if message.role == "tool"]
            await desk.asks(pay)
            return lost

    async def elsewhere() -> None:
        async with Desk(stranger, call_id="another") as desk:
            desk.hears("pay seven")
            await desk.asks(pay)

    run(begin)
    assert run(go_on) == ["It is not known whether pay was done. Make sure before you call it again."]
    run(elsewhere)
    assert first.used == second.used
    assert first.used != stranger.used


def test_the_session_can_see_how_many_tools_run() -> None:
    async def call() -> list[int]:
        async with Desk(Clerk(5.0)) as desk:
            counts = [desk.runner.running]
            await desk.asks(("look_up", '{"what": "a"}'))
            counts.append(desk.runner.running)
            await asyncio.sleep(6.0)
            return [*counts, desk.runner.running]

    assert run(call) == [0, 1, 0]


def test_a_long_result_is_cut_because_every_later_request_carries_it() -> None:
    class Talker(Agent):
        @function_tool
        def read(self) -> str:
            """Read."""
            return "x" * 50_000

    async def call() -> list[str]:
        async with Desk(Talker()) as desk:
            return await desk.asks(("read", "{}"))

    (told,) = run(call)
    assert told.endswith("... (34000 more characters were left out)")


# ---------------------------------------------------------------- toolsets


class Line(Toolset):
    """A toolset that notes its life."""

    def __init__(self, log: list[str], *, fails: bool = False) -> None:
        super().__init__(name="line")
        self.log, self.fails = log, fails

    async def setup(self) -> None:
        self.log.append("open")
        if self.fails:
            raise ConnectionError("nobody there")

    async def aclose(self) -> None:
        self.log.append("closed")

    @function_tool
    def ring(self) -> str:
        """Ring."""
        self.log.append("rang")
        return "rang"


def test_a_toolset_is_open_before_its_agent_enters_survives_a_handoff_and_closes_with_the_call() -> None:
    log: list[str] = []
    line = Line(log)
    billing = Agent(name="billing", greeting="Billing.", toolsets=[line])
    desk = Agent(name="desk", toolsets=[line], handoffs={"billing": lambda: billing})
    script: list[str | dict[str, Any]] = [
        _ask("ring"),
        "Rang.",
        _ask("hand_over", agent="billing"),
        _ask("ring"),
        "Rang again.",
    ]
    rig = _call(desk, FakeLlm("Bye.", script=script), (1.0, 2.0), (4.0, 5.0), (8.0, 9.0))
    assert log == ["open", "rang", "rang", "closed"]
    assert [event.agent for event in rig.of(AgentEntered)] == ["desk", "billing"]
    assert not line.ready


def test_a_toolset_that_cannot_be_set_up_costs_only_its_tools() -> None:
    log: list[str] = []
    agent = Agent(greeting="Hello.", toolsets=[Line(log, fails=True)])
    rig = _call(agent, FakeLlm("It is out of order.", script=[_ask("ring")]), (2.0, 3.0))
    (failed,) = rig.of(ToolsetFailed)
    assert failed.message == "ConnectionError: nobody there"
    assert rig.of(ToolFinished)[0].result == "There is no tool 'ring'. Known: hang_up."
    assert _spoken(rig) == ["Hello.", "It is out of order."]
    assert log == ["open"]


def test_a_toolset_that_hangs_keeps_its_agent_out_for_five_seconds_at_most() -> None:
    class Stuck(Toolset):
        async def setup(self) -> None:
            await asyncio.sleep(3600)

    rig = _call(Agent(greeting="Hello.", toolsets=[Stuck()]), FakeLlm(), seconds=8.0)
    assert rig.of(AgentEntered)[0].at == pytest.approx(5.0, abs=0.01)
    assert rig.of(ToolsetFailed)[0].message == "TimeoutError"


def test_calls_that_share_a_toolset_open_it_once() -> None:
    log: list[str] = []
    line = Line(log)

    async def calls() -> None:
        await asyncio.gather(*[Rig(Agent(toolsets=[line])).run(seconds) for seconds in (3.0, 5.0)])

    run(calls)
    assert log == ["open", "closed"]


def test_an_agents_own_tool_wins_over_one_of_a_toolset_with_the_same_name() -> None:
    class Ringer(Agent):
        @function_tool
        def ring(self) -> str:
            """Ring myself."""
            return "mine"

    log: list[str] = []
    rig = _call(Ringer(toolsets=[Line(log)]), FakeLlm("Done.", script=[_ask("ring")]), (1.0, 2.0))
    assert rig.of(ToolFinished)[0].result == "mine"
