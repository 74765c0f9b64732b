"""Tools replaced for a while: by name, counted, put back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.tools import RunContext, function_tool
from pipeline.agent.toolset import Toolset
from pipeline.errors import ConfigError, ToolError
from pipeline.providers.fake import FakeLlm
from pipeline.testing import Result, TextCall, mock_tools, on_virtual_clock


class Clerk(Agent):
    """Books for real, which no test should do."""

    @function_tool
    def book(self, context: RunContext, day: str, seats: int = 1) -> str:
        """Book."""
        raise AssertionError("the real tool ran")


class Crm(Toolset):
    """Opened with the call."""

    @function_tool
    def find(self, name: str) -> str:
        """Find somebody."""
        return f"the real {name}"


async def ask(agent: Agent, tool: str = "book", **arguments: Any) -> Result:
    llm = FakeLlm("Done.", script=[{"tools": [{"name": tool, "arguments": arguments}]}])
    async with TextCall(agent, llm=llm) as call:
        return await call.say("please")


@on_virtual_clock
async def test_a_function_stands_in_for_a_tool_and_is_counted() -> None:
    agent = Clerk()
    with mock_tools(agent, book=lambda day: f"booked {day}") as mocks:
        (await ask(agent, day="friday", seats=2)).has.tool_result("book", contains="booked friday")
    assert mocks["book"].calls == [{"day": "friday", "seats": 2}]
    assert mocks["book"].count == 1


@on_virtual_clock
async def test_the_tools_are_back_when_the_block_is_over_even_by_an_error() -> None:
    agent = Clerk(toolsets=[Crm()])
    before = dict(agent.tools)
    with pytest.raises(KeyError), mock_tools(agent, book="x", hang_up="x", find="y"):
        assert agent.tools["book"] is not before["book"]
        raise KeyError
    assert dict(agent.tools) == before


@on_virtual_clock
async def test_a_class_is_mocked_for_every_agent_made_in_the_block() -> None:
    early = Clerk()
    with mock_tools(Clerk, book="full"):
        (await ask(Clerk(), day="friday")).has.tool_result("book", contains="full")
        (await ask(early, day="friday")).has.tool_result("book", contains="the real tool ran", ok=False)
        late = Clerk()
    (await ask(late, day="friday")).has.tool_result("book", contains="the real tool ran")
    (await ask(Clerk(), day="friday")).has.tool_result("book", contains="the real tool ran")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (ToolError("No seats left."), "No seats left."),
        (TimeoutError, "book failed: TimeoutError"),
        (lambda day: 1 / 0, "ZeroDivisionError"),
    ],
)
@on_virtual_clock
async def test_errors_are_told_to_the_model_as_those_of_the_tool_would_be(answer: Any, told: str) -> None:
    agent = Clerk()
    with mock_tools(agent, book=answer) as mocks:
        (await ask(agent, day="friday")).has.tool_result("book", contains=told, ok=False)
    assert mocks["book"].count == 1


@on_virtual_clock
async def test_a_slow_system_is_one_that_sleeps() -> None:
    async def slow() -> str:
        await asyncio.sleep(30.0)
        return "too late"

    agent = Clerk()
    with mock_tools(agent, book=slow):
        (await ask(agent, day="friday")).has.tool_result("book", contains="did not answer within 10 s")


@on_virtual_clock
async def test_wrong_arguments_are_refused_as_in_a_real_call() -> None:
    agent = Clerk()
    with mock_tools(agent, book="booked") as mocks:
        (await ask(agent, seats="many")).has.tool_result("book", contains="wrong arguments", ok=False)
    assert mocks["book"].calls == []


@on_virtual_clock
async def test_the_context_and_everything_are_there_for_a_function_that_names_them() -> None:
    def noted(context: RunContext, **rest: Any) -> str:
        context.userdata["booked"] = rest
        return "ok"

    agent = Clerk()
    with mock_tools(agent, book=noted):
        llm = FakeLlm("Done.", script=[{"tools": [{"name": "book", "arguments": {"day": "friday"}}]}])
        async with TextCall(agent, llm=llm) as call:
            await call.say("please")
            assert call.userdata == {"booked": {"day": "friday", "seats": 1}}


@on_virtual_clock
async def test_tools_of_toolsets_are_mocked_like_the_agents_own() -> None:
    agent = Agent(toolsets=[Crm()])
    with mock_tools(agent, find=lambda name: f"no {name}"):
        (await ask(agent, "find", name="Ann")).has.tool_result("find", contains="no Ann")
    (await ask(agent, "find", name="Ann")).has.tool_result("find", contains="the real Ann")


def test_a_tool_that_there_is_not_is_a_mistake_in_the_test() -> None:
    with (
        pytest.raises(ConfigError, match=r"no tool 'buch'. Known: book, hang_up"),
        mock_tools(Clerk(), buch="x"),
    ):
        pass


def test_a_function_that_wants_what_the_tool_has_not_is_a_mistake_in_the_test() -> None:
    with (
        pytest.raises(ConfigError, match=r"wants \['date'\]"),
        mock_tools(Clerk(), book=lambda date: "booked"),
    ):
        pass
